"""Columns of a user's own tables as signals: read once into a sorted lookup, joined part by part.

    table ─ sort_table ─┐   (hashes of the keys, sorted, and the values; memory of one bucket)
    part ───────────────┴─ join_part   (binary search in the mapped files)

A key is matched by its 128-bit XXH3: two different keys of 10⁹ share one with a chance of 1.5e-21.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from yanmo.errors import DataError, RecipeError
from yanmo.files import open_input, reading
from yanmo.recipe import did_you_mean, setting

from .measure import text_hashes
from .utf8 import text_buffer

if TYPE_CHECKING:
    import polars as pl

KEYS: Final = ("id", "url", "origin")
META: Final = "meta."
BUCKETS: Final = 64
_CHUNK_BYTES: Final = 16 << 20
_BATCH_ROWS: Final = 1 << 16
_FORMATS: Final = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")

U64 = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UserSignals:
    """One ``[[signals]]`` table of a recipe."""

    columns: tuple[str, ...] = setting(help="Columns of numbers, or meta.<field> without a path.")
    path: str | None = setting(
        None, help="Parquet, CSV, TSV or JSONL (.gz, .zst); off: fields of the records themselves."
    )
    key: str = setting("id", help="What rows are found by: id, url, origin or meta.<field>.")
    key_column: str | None = setting(None, help="Its column in the table; off: the same name.")

    def __post_init__(self) -> None:
        """Refuse what cannot be joined."""
        if self.key not in KEYS and not self.key.startswith(META):
            raise RecipeError("'signals.key' is no key of a document", value=self.key,
                              fix=did_you_mean(self.key, [*KEYS, "meta.<field>"]))  # fmt: skip
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise RecipeError("'signals.columns' must name columns, each once",
                              value=list(self.columns))  # fmt: skip
        if self.path is None and not all(c.startswith(META) for c in self.columns):
            raise RecipeError("'signals.columns' without a path are fields of meta",
                              value=list(self.columns),
                              fix="Write meta.<field>, or give a path.")  # fmt: skip
        if self.path is not None and not _plain(self.path).endswith(_FORMATS):
            raise RecipeError("'signals.path' is of an unknown format", value=self.path,
                              fix=f"Known: {', '.join(_FORMATS)}.")  # fmt: skip

    @property
    def column_of_key(self) -> str:
        """The column of the table that holds the key."""
        return self.key_column or self.key.removeprefix(META)


def _plain(path: str) -> str:
    return path.lower().removesuffix(".gz").removesuffix(".zst")


def sort_table(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: a table as a sorted lookup.

    Args:
        inputs: the table.
        parameters: ``columns``, ``key_column``, ``name`` (of the file, with its suffix).
        out: gets ``keys.npy`` (uint64 ``[N, 2]``, sorted) and ``values.npy`` (float64 ``[N, C]``).

    Returns:
        ``{"rows", "without_key"}``.

    Raises:
        DataError: the file cannot be read, a column is missing or no number, a key stands twice.
    """
    columns, key = list(parameters["columns"]), str(parameters["key_column"])
    rows = without = 0
    record = np.dtype(
        [("hi", "<u8"), ("lo", "<u8"), ("row", "<i8"), ("values", "<f8", (len(columns),))]
    )
    with contextlib.ExitStack() as stack:
        spools = [stack.enter_context((out / f"bucket-{b:02d}").open("wb")) for b in range(BUCKETS)]
        for keys, values in _batches(inputs[0], str(parameters["name"]), key, columns):
            known = keys.is_valid().to_numpy(zero_copy_only=False)
            block = np.empty(len(keys), record)
            block["hi"], block["lo"] = text_hashes(*text_buffer(keys))
            block["row"], block["values"] = np.arange(rows, rows + len(keys)), values
            block, rows, without = block[known], rows + len(keys), without + int((~known).sum())
            bucket = (block["hi"] >> np.uint64(58)).astype(np.int64)
            for b in np.unique(bucket).tolist():
                spools[b].write(block[bucket == b].tobytes())
    _merge(out, record, rows - without, inputs[0])
    return {"rows": rows, "without_key": without}


def _merge(out: Path, record: "np.dtype[Any]", rows: int, where: Path) -> None:
    shape = (rows, record["values"].shape[0])
    keys = np.lib.format.open_memmap(out / "keys.npy", "w+", "<u8", (rows, 2))
    values = np.lib.format.open_memmap(out / "values.npy", "w+", "<f8", shape)
    at = 0
    for b in range(BUCKETS):
        path = out / f"bucket-{b:02d}"
        block = np.fromfile(path, record)
        path.unlink()
        block = block[np.lexsort((block["row"], block["lo"], block["hi"]))]
        same = (block["hi"][1:] == block["hi"][:-1]) & (block["lo"][1:] == block["lo"][:-1])
        if same.any():
            first = int(np.argmax(same))
            raise DataError("two rows have the same key", where=where,
                            value=(int(block["row"][first]) + 1, int(block["row"][first + 1]) + 1),
                            fix="Rows are counted from 1; keep one row a key.")  # fmt: skip
        keys[at : at + len(block), 0], keys[at : at + len(block), 1] = block["hi"], block["lo"]
        values[at : at + len(block)] = block["values"]
        at += len(block)
    keys.flush()
    values.flush()


def _batches(path: Path, name: str, key: str, columns: list[str]) -> Iterator[tuple[Any, Floats]]:
    """Keys (strings, null allowed) and values (NaN where null) of a table, batch by batch."""
    schema = pa.schema([(key, pa.string()), *((c, pa.float64()) for c in columns)])
    plain = _plain(name)
    try:
        if plain.endswith(".parquet"):
            batches = _parquet(path, schema)
        elif plain.endswith((".csv", ".tsv")):
            batches = _csv(path, schema, "\t" if plain.endswith(".tsv") else ",")
        else:
            batches = _jsonl(path, schema)
        for batch in batches:
            keys = batch.column(key).cast(pa.string())
            keys = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
            values = [batch.column(c).cast(pa.float64()).to_numpy(zero_copy_only=False)
                      for c in columns]  # fmt: skip
            yield keys, np.stack(values, axis=1)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, EOFError, KeyError) as error:
        fix = f"It needs '{key}' and, as numbers: {', '.join(columns)}."
        raise DataError(f"cannot use the table: {error}", where=path, fix=fix) from None


def _parquet(path: Path, schema: pa.Schema) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        _lacking(path, schema, file.schema_arrow.names)
        yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=schema.names)


def _csv(path: Path, schema: pa.Schema, delimiter: str) -> Iterator[Any]:
    with reading(path), open_input(path) as stream:
        head = stream.readline().decode("utf-8-sig").rstrip("\r\n")
    names = next(iter(_split(head, delimiter)), [])
    _lacking(path, schema, names)
    with reading(path), open_input(path) as stream:
        yield from csv.open_csv(
            stream,
            read_options=csv.ReadOptions(block_size=_CHUNK_BYTES),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=schema, include_columns=schema.names, strings_can_be_null=True
            ),
        )


def _split(head: str, delimiter: str) -> Iterator[list[str]]:
    import csv as plain

    yield from plain.reader([head], delimiter=delimiter)


def _jsonl(path: Path, schema: pa.Schema) -> Iterator[Any]:
    options = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    seen: set[str] = set()
    with reading(path), open_input(path) as stream:
        while lines := stream.readlines(_CHUNK_BYTES):
            data = pa.BufferReader(b"".join(lines))
            how = pa_json.ReadOptions(block_size=max(1 << 20, data.size() + 1))
            table = pa_json.read_json(data, read_options=how, parse_options=options)
            seen |= {n for n in schema.names if table.column(n).null_count < table.num_rows}
            yield table
    _lacking(path, schema, sorted(seen))


def _lacking(path: Path, schema: pa.Schema, have: list[str]) -> None:
    for name in schema.names:
        if name not in have:
            raise DataError("the table has no such column", where=path, value=name,
                            fix=did_you_mean(name, have))  # fmt: skip


def look_up(keys: pa.Array, table: Path, values: Path) -> Floats:
    """Values of keys, float64 ``[D, C]``; NaN where the table has no such key.

    Args:
        keys: strings, null allowed.
        table: ``keys.npy`` of :func:`sort_table`.
        values: its ``values.npy``.
    """
    stored, numbers = np.load(table, mmap_mode="r"), np.load(values, mmap_mode="r")
    found = np.full((len(keys), numbers.shape[1]), np.nan)
    if not len(stored) or not len(keys):
        return found
    high, low = text_hashes(*text_buffer(keys))
    order = np.argsort(high)  # neighbours in the file are read together
    place = np.searchsorted(stored[:, 0], high[order])
    inside = place < len(stored)
    place, order = place[inside], order[inside]
    pairs = stored[place]
    equal = (pairs[:, 0] == high[order]) & (pairs[:, 1] == low[order])
    found[order[equal]] = numbers[place[equal]]
    found[~keys.is_valid().to_numpy(zero_copy_only=False)] = np.nan
    return found


def document_keys(documents: Path, key: str) -> pa.Array:
    """The key of every document of a part: a column, or a field of its ``meta``."""
    if not key.startswith(META):
        column = pq.read_table(documents, columns=[key]).column(key).combine_chunks()
        return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    return meta_field(documents, key).to_arrow().cast(pa.string())


def meta_field(documents: Path, name: str) -> "pl.Series":
    """A field of ``meta`` as text; null where there is none."""
    import json

    import polars as pl

    path = f"$[{json.dumps(name.removeprefix(META), ensure_ascii=False)}]"
    return pl.read_parquet(documents, columns=["meta"])["meta"].str.json_path_match(path)


def meta_numbers(documents: Path, name: str) -> Floats:
    """A field of ``meta`` as numbers, float64 ``[D]``; NaN where it is none."""
    import polars as pl

    numbers: Floats = (
        meta_field(documents, name)
        .cast(pl.Float64, strict=False)
        .fill_null(float("nan"))
        .to_numpy()
    )
    return numbers
