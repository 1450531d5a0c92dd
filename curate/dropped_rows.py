"""Rows of the documents that a step drops: what is told of them, and which keep their text."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from yanmo.documents import DROPPED_SCHEMA

from .reasons import encoding_reason

KEEP_DROPPED: Final = ("text", "sample", "none")


def shown_texts(ids: pa.Array, keep_dropped: str, share: float) -> np.ndarray[Any, Any]:
    """(rows,) bool: which dropped documents keep their text; a pure function of the id."""
    if keep_dropped != "sample":
        return np.full(len(ids), keep_dropped == "text")
    limit = int(share * 2**32)
    return np.array([xxhash.xxh32_intdigest(i.encode()) < limit for i in ids.to_pylist()], bool)


def dropped_rows(
    batch: pa.RecordBatch, word: pa.Table, parameters: dict[str, Any], by_rule: dict[str, list[int]]
) -> pa.Table:
    """Rows of DROPPED_SCHEMA; adds documents and characters to ``by_rule``.

    Args:
        batch: the documents, in the schema of the document table.
        word: ``step``, ``rule``, ``value`` and ``threshold`` of each.
        parameters: ``keep_dropped`` and ``sample_fraction``.
        by_rule: added to: ``{rule: [documents, characters]}``.
    """
    for rule, chars in zip(word["rule"].to_pylist(), batch.column("n_chars").to_pylist(),
                           strict=True):  # fmt: skip
        count = by_rule.setdefault(rule, [0, 0])
        count[0] += 1
        count[1] += chars
    ids = batch.column("id")
    shown = shown_texts(ids, parameters["keep_dropped"], parameters["sample_fraction"])
    text = pc.if_else(pa.array(shown), batch.column("text"), pa.scalar(None, pa.large_string()))
    reasons = pa.array(map(encoding_reason, batch.column("meta").to_pylist()), pa.string())
    return pa.table(
        {"id": ids, "source": batch.column("source"), "origin": batch.column("origin"),
         "url": batch.column("url"), "step": word["step"], "rule": word["rule"],
         "value": word["value"], "threshold": word["threshold"],
         "encoding": batch.column("encoding"), "encoding_reason": reasons,
         "matched": pa.nulls(len(ids), pa.string()), "text": text},
        schema=DROPPED_SCHEMA,
    )  # fmt: skip
