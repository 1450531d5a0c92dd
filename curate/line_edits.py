"""Pieces cut out of texts: the table without them, and the diff that says what they were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .cut_kernels import byte_spans, without
from .language import Identifier
from .utf8 import Bounds, Bytes, text_buffer

Spans = npt.NDArray[np.int64]

EDITS_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
    ]
)
"""One row a piece: ``start`` and ``end`` are code points of the text before the step (a line with
the line feed that went with it). The text before without its pieces is the text after."""


@dataclass(frozen=True)
class CutText:
    """A text column without some pieces.

    Attributes:
        text: ``large_string``, in order.
        spans: int64 ``[S, 4]``: row, first code point, code point after the last (of the text
            before), number of the rule; in order, apart from each other.
        pieces: what was there, ``large_string``, one a span.
    """

    text: pa.LargeStringArray
    spans: Spans
    pieces: pa.LargeStringArray


def cut_spans(buffer: Bytes, offsets: Bounds, spans: Spans) -> CutText:
    """Cut spans of code points out of texts.

    Args:
        buffer, offsets: UTF-8 bytes and the byte offsets of the documents.
        spans: as in :class:`CutText`.
    """
    edges = byte_spans(buffer, offsets, spans)
    inside = np.concatenate(([0], np.cumsum(edges[:, 1] - edges[:, 0]))).astype(np.int64)
    joined = [buffer[start:end] for start, end in edges.tolist()]
    pieces = _strings(np.concatenate(joined) if joined else buffer[:0], inside)
    return CutText(_strings(*without(buffer, offsets, spans, edges)), spans, pieces)


def _strings(data: Bytes, offsets: Bounds) -> pa.LargeStringArray:
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)
    )


def replaced(
    batch: pa.RecordBatch, cut: CutText, *, step: str, rules: Sequence[str]
) -> tuple[pa.Table, pa.Table]:
    """The documents with their new texts and sizes, and the diff (EDITS_SCHEMA).

    Args:
        batch: documents, with the texts before.
        cut: their texts after.
        step: its name in the diff.
        rules: names of the rules by number.
    """
    rows, starts, ends, kinds = cut.spans.T
    names = pa.array(list(rules), pa.string())
    edits = pa.table(
        [batch.column("id").take(pa.array(rows)), pa.array([step] * len(rows), pa.string()),
         pa.array(starts), pa.array(ends), names.take(pa.array(kinds)), cut.pieces],
        schema=EDITS_SCHEMA,
    )  # fmt: skip
    gone = np.bincount(rows, ends - starts, minlength=len(batch)).astype(np.int64)
    table = with_columns(
        pa.Table.from_batches([batch]),
        text=cut.text,
        n_chars=pa.array(batch.column("n_chars").to_numpy() - gone),
        n_bytes=pa.array(np.diff(text_buffer(cut.text)[1])),
    )
    return table, edits


def changed_rows(cut: CutText) -> npt.NDArray[np.bool_]:
    """Which texts lost something, bool ``[D]``."""
    changed = np.zeros(len(cut.text), np.bool_)
    changed[cut.spans[:, 0]] = True
    return changed


def identified_again(
    table: pa.Table, changed: npt.NDArray[np.bool_], identifier: Identifier
) -> pa.Table:
    """Language and script of documents whose text was changed, as `clean` would find them."""
    if not changed.any():
        return table
    mask = pa.array(changed)
    found = identifier.identify(table["text"].combine_chunks().filter(mask))
    new = {"lang": found.lang, "lang_score": found.score, "script": found.script}
    return with_columns(
        table,
        **{
            name: pc.replace_with_mask(table[name].combine_chunks(), mask, values)
            for name, values in new.items()
        },
    )


def with_columns(table: pa.Table, **columns: pa.Array) -> pa.Table:
    """A table with some of its columns replaced."""
    for name, column in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), column)
    return table
