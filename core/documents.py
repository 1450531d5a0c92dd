"""The document table: one row a document, Parquet (zstd) on disk, Arrow columns in memory."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from yanmo.errors import DataError
from yanmo.files import atomic_write, sha256_file

SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        ("url", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        ("licence", pa.string()),
        pa.field("origin", pa.string(), nullable=False),
        ("timestamp", pa.string()),
        ("lang", pa.string()),
        ("lang_score", pa.float64()),
        ("script", pa.string()),
        ("encoding", pa.string()),
        pa.field("n_chars", pa.int64(), nullable=False),
        pa.field("n_bytes", pa.int64(), nullable=False),
        ("meta", pa.string()),
    ]
)
"""``n_chars`` counts code points, ``n_bytes`` UTF-8 bytes; ``origin`` is the way back to the input:
path relative to the named input root, ``#``, then offset or row; ``meta`` is a JSON object."""

DROPPED_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        ("url", pa.string()),
        pa.field("step", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("encoding", pa.string()),
        ("encoding_reason", pa.string()),
        ("matched", pa.string()),
        ("text", pa.large_string()),
    ]
)
"""``encoding_reason`` is the JSON object that ``meta`` holds of a kept document under ``encoding``:
why its bytes were read so. Null where nothing had to be chosen. ``matched`` says what the rule
found where that is no number, the entry of a list; null for all other rules."""

# A row group is what a reader holds at once. 1024 rows of web text are a few megabytes; a table is
# cut by rows alone, so the bytes depend on the rows and not on who wrote them.
ROW_GROUP_ROWS: Final = 1024
ZSTD_LEVEL: Final = 3
# Columns with few distinct values. A dictionary of texts or ids is built, found too large and
# thrown away: on 149 MB of Chinese documents, reading took 0.83 s with it and 0.25 s without.
_REPETITIVE: Final = frozenset(
    ("source", "licence", "lang", "script", "encoding", "step", "rule", "how", "route")
)


CHUNK_BYTES: Final = 1 << 20
"""Text is measured in chunks of this many UTF-8 bytes (a longer document is a chunk by itself), so
that the decoded arrays stay near the cache: with 4 MiB the signals cost a tenth more. It does not
change any result."""


def document_id(source: str, origin: str) -> str:
    """A stable identifier: 24 hex characters of xxh3-128 over source and origin.

    96 bits: among ten million documents two are equal with a chance of about 1e-15.
    """
    return xxhash.xxh3_128_hexdigest(f"{source}\0{origin}".encode())[:24]


def _parquet_options(schema: pa.Schema, *, intermediate: bool) -> dict[str, Any]:
    """How a part is encoded: a function of its schema, so that equal rows give equal bytes."""
    compression = (
        {"compression": {n: "none" if n == "text" else "lz4" for n in schema.names}}
        if intermediate
        else {"compression": "zstd", "compression_level": ZSTD_LEVEL}
    )
    # A page is full at one megabyte, but only after so many rows: with all rows of a group in one
    # page, writer and reader hold long texts twice more (40 MB less in `materialize`).
    return {
        **compression,
        "write_batch_size": ROW_GROUP_ROWS // 8,
        "use_dictionary": [n for n in schema.names if n in _REPETITIVE],
    }


def write_part(path: str | Path, table: pa.Table) -> dict[str, Any]:
    """Write one Parquet part atomically and in a form that depends on the rows alone.

    Returns:
        ``{"rows", "bytes", "sha256"}`` of the file written.
    """
    path = Path(path)
    with atomic_write(path) as stream:
        pq.write_table(
            table.combine_chunks(),
            stream,
            row_group_size=ROW_GROUP_ROWS,
            store_schema=True,
            **_parquet_options(table.schema, intermediate=False),
        )
    return {"rows": table.num_rows, "bytes": path.stat().st_size, "sha256": sha256_file(path)}


class PartWriter:
    """Write one Parquet part batch by batch, cut into fixed row groups (bounded memory).

    The file appears under its name only if the ``with`` block ends without an error.

    Args:
        path: the file.
        schema: its columns; what is written is cast to it.
        intermediate: later steps read the part, some of them the text, and nobody else does: texts
            as they are, the rest LZ4 (100 MB of Chinese documents are written in 0.07 s, with LZ4
            in 0.25, with zstd in 0.53; read in 0.08, 0.11, 0.18; the file has 100, 55, 37 MB).
    """

    def __init__(self, path: str | Path, schema: pa.Schema, *, intermediate: bool = False) -> None:
        self.path, self.schema, self.rows = Path(path), schema, 0
        self._options = _parquet_options(schema, intermediate=intermediate)
        self._buffered: list[pa.Table] = []
        self._buffered_rows = 0

    def __enter__(self) -> "PartWriter":
        self._atomic = atomic_write(self.path)
        self._writer = pq.ParquetWriter(
            self._atomic.__enter__(),
            self.schema,
            **self._options,
        )
        return self

    def write(self, table: pa.Table | pa.RecordBatch) -> None:
        """Append rows; full row groups go to disk at once."""
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        self.rows += table.num_rows
        self._buffered.append(table.cast(self.schema))
        self._buffered_rows += table.num_rows
        if self._buffered_rows >= ROW_GROUP_ROWS:
            joined = pa.concat_tables(self._buffered).combine_chunks()
            full = joined.num_rows // ROW_GROUP_ROWS * ROW_GROUP_ROWS
            # What is held while a row group is encoded counts twice: batches, and rows beyond it
            # (a slice would keep all of them).
            self._buffered.clear()
            self._buffered_rows = joined.num_rows - full
            if self._buffered_rows:
                self._buffered.append(joined.take(pa.array(range(full, joined.num_rows))))
            joined = joined.slice(0, full)
            del table
            self._writer.write_table(joined, row_group_size=ROW_GROUP_ROWS)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None and self._buffered_rows:
                rest = pa.concat_tables(self._buffered).combine_chunks()
                self._writer.write_table(rest, row_group_size=ROW_GROUP_ROWS)
            self._writer.close()
        finally:
            self._atomic.__exit__(kind, error, trace)


def part_paths(path: str | Path) -> list[Path]:
    """The Parquet parts behind a path, in order: a run folder, a documents folder, or one file.

    Raises:
        DataError: there is no such path, or no part in it.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    folder = path / "documents" if (path / "documents").is_dir() else path
    parts = sorted(folder.glob("part-*.parquet")) or sorted(folder.glob("*.parquet"))
    if not parts:
        fix = "Give a run folder, a folder of Parquet parts, or a file."
        raise DataError("no documents here", where=path, fix=fix)
    return parts


def text_buffer(column: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of a text column and where each document starts and ends in them, without a copy.

    Args:
        column: a ``string`` or ``large_string`` array; slices are fine, null is the empty text.

    Returns:
        The UTF-8 buffer (uint8), and the byte offsets (int64, one more than rows).
    """
    if column.null_count:
        column = column.fill_null("")
    width = np.int64 if pa.types.is_large_string(column.type) else np.int32
    _, offset_buffer, data = column.buffers()
    if not len(column):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    offsets = np.frombuffer(offset_buffer, width)[column.offset :][: len(column) + 1]
    buffer = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return buffer, offsets.astype(np.int64)


def chunks(offsets: npt.NDArray[np.int64], *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[slice]:
    """Cut documents into runs of rows of at most ``chunk_bytes`` (at least one document each)."""
    rows = len(offsets) - 1
    start = 0
    while start < rows:
        limit = offsets[start] + chunk_bytes
        stop = int(np.searchsorted(offsets, limit, side="right")) - 1
        stop = min(max(stop, start + 1), rows)
        yield slice(start, stop)
        start = stop


def iterate(
    paths: Sequence[Path], *, columns: Sequence[str] | None = None, batch_rows: int = ROW_GROUP_ROWS
) -> Iterator[pa.RecordBatch]:
    """Read parts batch by batch, in order, with memory bounded by a batch.

    Raises:
        DataError: a file is not Parquet or lacks a column.
    """
    for path in paths:
        with _parquet(path) as file:
            wanted = _wanted(file, columns, path)
            yield from file.iter_batches(batch_size=batch_rows, columns=wanted)


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a part, whole.

    Raises:
        DataError: the file is not Parquet or lacks a column.
    """
    with _parquet(path) as file:
        return file.read(columns=_wanted(file, columns, path))


def column_names(path: Path) -> list[str]:
    """The columns of a part.

    Raises:
        DataError: the file is not Parquet.
    """
    with _parquet(path) as file:
        return list(file.schema_arrow.names)


def _wanted(file: pq.ParquetFile, columns: Sequence[str] | None, path: Path) -> list[str] | None:
    names = file.schema_arrow.names
    missing = [c for c in columns or () if c not in names]
    if missing:
        raise DataError(f"no column '{missing[0]}'", where=path,
                        fix=f"It has: {', '.join(names)}.")  # fmt: skip
    return list(columns) if columns is not None else None


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """An open Parquet file; what is wrong with it, now or while it is read, names it."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        fix = "Is it cut? Other formats: yanmo curate run FILE --out RUN."
        raise DataError(f"not a readable Parquet file: {error}", where=path, fix=fix) from None


def texts(path: str | Path, *, column: str = "text") -> Iterator[pa.LargeStringArray]:
    """The text column of whatever holds documents, batch by batch.

    Args:
        path: run folder, documents folder, ``.parquet``, ``.jsonl`` (``.gz``, ``.zst``), or any
            other file, which is taken as one UTF-8 document.
        column: the column or JSON field that holds the text.

    Raises:
        DataError: a record has no such text, or the file is not UTF-8.
    """
    path = Path(path)
    plain = path.name.removesuffix(".gz").removesuffix(".zst")
    if path.is_dir() or plain.endswith(".parquet"):
        for batch in iterate(part_paths(path), columns=[column]):
            yield batch.column(0).cast(pa.large_string())
    elif plain.endswith((".jsonl", ".ndjson", ".json")):
        yield from _json_line_texts(path, column)
    else:
        from yanmo.files import open_input

        try:
            with open_input(path) as stream:
                text = b"".join(_whole(stream, path)).decode("utf-8")
                yield pa.array([text], pa.large_string())
        except UnicodeDecodeError as error:
            fix = "Run `yanmo curate extract` first."
            raise DataError(f"not UTF-8: {error}", where=path, fix=fix) from None


def _whole(stream: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Lines of a stream that must not end too early.

    Raises:
        DataError: it does, or cannot be decompressed.
    """
    from yanmo.files import reading

    fix = "Is the file cut? `yanmo curate run` reads what can be read."
    with reading(path, fix=fix):
        yield from stream


def _json_line_texts(path: Path, column: str) -> Iterator[pa.LargeStringArray]:
    import json

    from yanmo.files import open_input

    batch: list[str] = []
    size = 0
    with open_input(path) as stream:
        for number, line in enumerate(_whole(stream, path), 1):
            if not line.strip():
                continue
            try:
                text = json.loads(line)[column]
            except (ValueError, KeyError, TypeError):
                text = None
            if not isinstance(text, str):
                raise DataError(f"no text in field '{column}'", where=f"{path}:{number}",
                                value=line[:80], fix="Name the field, or run `yanmo curate run`, "
                                "which quarantines bad records.")  # fmt: skip
            batch.append(text)
            size += len(line)
            if size > 16 << 20:
                yield pa.array(batch, pa.large_string())
                batch, size = [], 0
    if batch:
        yield pa.array(batch, pa.large_string())
