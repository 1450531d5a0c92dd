"""Duplicate spans are cut out of the kept documents of a part, and put on the books; a task."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from yanmo.documents import DROPPED_SCHEMA, SCHEMA, PartWriter, iterate

from .character_ledger import Edits
from .dropped_rows import dropped_rows
from .span_kernels import Units, close_seams, copy_unmarked, paint
from .span_options import KINDS, RULES, TOO_SHORT
from .spans import read_found
from .utf8 import chunks, decode, text_buffer

STEP: Final = "spans"
BATCH_ROWS: Final = 1024
CHUNK_BYTES: Final = 8 << 20  # text in work at a time, 40 MiB of code points and marks

LINES_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("first_id", pa.string(), nullable=False),
        ("documents", pa.int64()),
        ("text", pa.large_string()),
    ]
)
"""A row for every duplicate span, by document and kind: ``start`` and ``end`` are code points of
the text before this step, ``first_id`` the document whose text stays, ``documents`` how many hold
it (null for substrings), ``text`` what stands there (null if the recipe keeps no dropped text)."""


@dataclass(frozen=True)
class Cut:
    """A text column without spans.

    Attributes:
        text: ``large_string``, in order.
        n_chars: code points of each text, int64 ``[D]``.
        visible: visible characters of each text, int64 ``[D]``.
        taken: characters taken out of each text, by rule, int64 ``[D, len(RULES)]``.
    """

    text: pa.LargeStringArray
    n_chars: np.ndarray[Any, np.dtype[np.int64]]
    visible: np.ndarray[Any, np.dtype[np.int64]]
    taken: np.ndarray[Any, np.dtype[np.int64]]


def cut(column: pa.Array, spans: list[tuple[int, Units]]) -> Cut:
    """Cut spans out of texts, and the white space that would be left over at the seams.

    Args:
        column: a text column.
        spans: place in ``KINDS``, and units of that kind, int64 ``[U, 3]``, by document; a
            character that several cover is taken by the first.
    """
    data, offsets = text_buffer(column)
    pieces, sizes = [np.zeros(0, np.uint8)], [np.zeros(1, np.int64)]
    counts = [np.zeros((0, len(RULES) + 1), np.int64)]
    visible = [np.zeros(0, np.int64)]
    for rows in chunks(offsets, chunk_bytes=CHUNK_BYTES):
        places = offsets[rows.start : rows.stop + 1]
        codes, bounds = decode(data, places)
        mask = np.zeros(len(codes), np.uint8)
        for kind, units in spans:
            low, high = np.searchsorted(units[:, 0], [rows.start, rows.stop])
            some = units[low:high].copy()
            some[:, 0] -= rows.start
            paint(mask, bounds, some, kind + 1)
        close_seams(codes, bounds, mask)
        out, out_offsets, by_mark, seen = copy_unmarked(data, places, mask, len(RULES) + 1)
        pieces.append(out)
        sizes.append(np.diff(out_offsets))
        counts.append(by_mark)
        visible.append(seen)
    ends = np.cumsum(np.concatenate(sizes), dtype=np.int64)
    text = pa.LargeStringArray.from_buffers(
        len(column), pa.py_buffer(ends), pa.py_buffer(np.concatenate(pieces))
    )
    by_rule = np.concatenate(counts)
    return Cut(text, by_rule[:, 0], np.concatenate(visible), by_rule[:, 1:])


def cut_spans(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write the duplicate spans of one part and, if any kind is removed, its texts without them.

    Args:
        inputs: the kept documents, then for each kind its ``found`` files.
        parameters: ``kinds`` (name, action, how many files, for each), ``min_chars``,
            ``keep_dropped``.
        out: gets ``lines.parquet`` (``LINES_SCHEMA``) and, if something is removed,
            ``kept.parquet`` and ``dropped.parquet``.

    Returns:
        ``{"found": {kind: {"spans", "chars", "documents"}}}``, and if something is removed
        ``{"documents", "edits", "chars_in", "chars_out", "dropped"}``: documents that were edited,
        and the books of those that are kept and those that go.

    Raises:
        LedgerError: the characters do not balance.
    """
    found, at = {}, 1
    for kind, _, files in parameters["kinds"]:
        found[kind] = read_found(inputs[at : at + files])
        at += files
    books = _Books(Edits(RULES))
    removes = any(action == "remove" for _, action, _ in parameters["kinds"])
    with PartWriter(out / "lines.parquet", LINES_SCHEMA) as lines:
        if not removes:
            _list_all(inputs[0], found, parameters, lines, books)
            return {"found": books.found}
        with (
            PartWriter(out / "kept.parquet", SCHEMA) as kept,
            PartWriter(out / "dropped.parquet", DROPPED_SCHEMA) as dropped,
        ):
            for batch, some in _batches(inputs[0], found):
                lines.write(_lines(batch, some, parameters, books))
                _cut_batch(batch, some, parameters, (kept, dropped), books)
    books.edits.check(inputs[0])
    return books.result()


@dataclass
class _Books:
    """What the step did."""

    edits: Edits
    documents: int = 0

    def __post_init__(self) -> None:
        self.found: dict[str, dict[str, int]] = {}
        self.by_rule: dict[str, list[int]] = {}

    def result(self) -> dict[str, Any]:
        gone = {rule: {"documents": n, "chars": c} for rule, (n, c) in self.by_rule.items()}
        return {"found": self.found, "documents": self.documents, "edits": self.edits.by_rule(),
                "chars_in": self.edits.chars_in, "chars_out": self.edits.chars_out,
                "dropped": gone}  # fmt: skip


def _batches(path: Path, found: dict[str, pa.Table]) -> Any:
    """The part batch by batch, with the spans in it; their rows are those of the batch."""
    rows = {kind: table["row"].to_numpy() for kind, table in found.items()}
    start = 0
    for batch in iterate([path], batch_rows=BATCH_ROWS):
        some = {}
        for kind, table in found.items():
            low, high = np.searchsorted(rows[kind], [start, start + batch.num_rows])
            part = table.slice(low, high - low)
            units = [rows[kind][low:high].astype(np.int64) - start,
                     part["start"].to_numpy(), part["end"].to_numpy()]  # fmt: skip
            some[kind] = (part, np.column_stack(units).astype(np.int64))
        yield batch, some
        start += batch.num_rows


def _list_all(path: Path, found: dict[str, pa.Table], parameters: dict[str, Any],
              lines: PartWriter, books: _Books) -> None:  # fmt: skip
    for batch, some in _batches(path, found):
        lines.write(_lines(batch, some, parameters, books))


def _lines(batch: pa.RecordBatch, some: dict[str, tuple[pa.Table, Units]],
           parameters: dict[str, Any], books: _Books) -> pa.Table:  # fmt: skip
    """The spans of a batch in LINES_SCHEMA."""
    tables = [LINES_SCHEMA.empty_table()]
    texts = batch.column("text")
    for kind, action, _ in parameters["kinds"]:
        part, units = some[kind]
        count = books.found.setdefault(kind, {"spans": 0, "chars": 0, "documents": 0})
        count["spans"] += len(units)
        count["chars"] += int((units[:, 2] - units[:, 1]).sum())
        count["documents"] += len(np.unique(units[:, 0]))
        owner = pa.array(units[:, 0])
        text = pa.nulls(len(units), pa.large_string())
        if parameters["keep_dropped"] == "text":
            text = _slices(texts, units)
        columns = {"id": batch.column("id").take(owner), "kind": pa.array([kind] * len(units)),
                   "action": pa.array([action] * len(units)), "text": text,
                   **{name: part[name] for name in ("start", "end", "hash", "first_id",
                                                    "documents")}}  # fmt: skip
        tables.append(pa.table([columns[n] for n in LINES_SCHEMA.names], LINES_SCHEMA.names)
                      .cast(LINES_SCHEMA))  # fmt: skip
    return pa.concat_tables(tables)


def _slices(texts: pa.Array, units: Units) -> pa.Array:
    """The text of units, which are in the order of the documents."""
    data, offsets = text_buffer(texts)
    found: list[str] = []
    for rows in chunks(offsets, chunk_bytes=CHUNK_BYTES):
        low, high = np.searchsorted(units[:, 0], [rows.start, rows.stop])
        if high > low:
            codes, bounds = decode(data, offsets[rows.start : rows.stop + 1])
            first = bounds[units[low:high, 0] - rows.start]
            starts, ends = first + units[low:high, 1], first + units[low:high, 2]
            found += [codes[a:b].astype("<u4").tobytes().decode("utf-32-le")
                      for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]  # fmt: skip
    return pa.array(found, pa.large_string())


def _cut_batch(batch: pa.RecordBatch, some: dict[str, tuple[pa.Table, Units]],
               parameters: dict[str, Any], writers: tuple[PartWriter, PartWriter],
               books: _Books) -> None:  # fmt: skip
    removed = [(KINDS.index(kind), some[kind][1])
               for kind, action, _ in parameters["kinds"] if action == "remove"]  # fmt: skip
    done = cut(batch.column("text"), removed)
    touched = done.taken.any(axis=1)
    least = parameters["min_chars"]
    # What is left empty goes in any case: there is no document without text.
    short = touched & (done.visible < max(1, least or 0))
    keep = pa.array(~short)
    columns = {name: batch.column(name) for name in SCHEMA.names}
    columns |= {"text": done.text, "n_chars": pa.array(done.n_chars),
                "n_bytes": pc.binary_length(done.text).cast(pa.int64())}  # fmt: skip
    writers[0].write(pa.table(columns, schema=SCHEMA).filter(keep))
    gone = batch.filter(pc.invert(keep))
    word = _verdicts(done.visible[short], least)
    writers[1].write(dropped_rows(gone, word, parameters, books.by_rule))
    before = batch.column("n_chars").to_numpy()
    books.documents += int((touched & ~short).sum())
    books.edits.chars_in += int(before[~short].sum())
    books.edits.chars_out += int(done.n_chars[~short].sum())
    books.edits.counts[:, 0] += done.taken[~short].sum(axis=0)


def _verdicts(left: Any, least: int | None) -> pa.Table:
    """What is told of documents of which too little was left."""
    threshold = None if least is None else float(least)
    return pa.table({
        "step": pa.array([STEP] * len(left), pa.string()),
        "rule": pa.array([TOO_SHORT] * len(left), pa.string()),
        "value": pa.array(left.astype(np.float64)),
        "threshold": pa.array([threshold] * len(left), pa.float64()),
    })  # fmt: skip
