"""From verdicts and duplicates to the final word on every document, and the folder that holds it.

``settle_part`` reads no text: it joins the verdicts of a part with the duplicates found over all
parts. ``materialize_part`` is the only step after `measure` that copies text, and only for parts
whose final word changed.
"""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import (
    DROPPED_SCHEMA,
    ROW_GROUP_ROWS,
    SCHEMA,
    PartWriter,
    iterate,
    write_part,
)
from yanmo.errors import LedgerError

from .clusters import DUPLICATES_SCHEMA
from .dropped_rows import dropped_rows

FINAL_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        ("step", pa.string()),
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("cluster", pa.string()),
        ("kept_id", pa.string()),
    ]
)
"""One row a document: why it was dropped (``step``, ``rule``, ``value``, ``threshold``), and for a
member of a duplicate cluster the cluster and the document kept in its place."""


def settle_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write ``final.parquet`` of one part.

    Args:
        inputs: the part's verdicts, then duplicate tables (id, cluster, kept_id, how).
        parameters: none.
        out: folder to write.

    Returns:
        ``{"rows", "kept", "dropped": {rule: n}}``.
    """
    verdicts = pq.read_table(inputs[0], columns=["id", "kept", "rule", "value", "threshold"])
    ids = verdicts["id"].combine_chunks()
    kept = verdicts["kept"].combine_chunks().to_numpy(zero_copy_only=False).copy()
    columns: dict[str, Any] = {
        name: verdicts[name].combine_chunks() for name in ("rule", "value", "threshold")
    }
    columns["step"] = pc.if_else(pa.array(kept), pa.scalar(None, pa.string()), "decide")
    cluster = pa.nulls(len(ids), pa.string())
    kept_id = pa.nulls(len(ids), pa.string())
    for path in inputs[1:]:
        table = _rows_of(path, ids)
        at = pc.index_in(ids, value_set=table["id"].combine_chunks())
        found = at.is_valid()
        cluster = pc.coalesce(table["cluster"].combine_chunks().take(at), cluster)
        twin = table["kept_id"].combine_chunks().take(at)
        kept_id = pc.coalesce(twin, kept_id)
        # Not by the id: an earlier run may hold a document of the same name.
        how = table["how"].combine_chunks().take(at)
        removed = pc.and_(found, pc.fill_null(pc.not_equal(how, "kept"), False))
        columns["step"] = pc.if_else(removed, how, columns["step"])
        columns["rule"] = pc.if_else(removed, pc.binary_join_element_wise(how, "duplicate", "_"),
                                     columns["rule"])  # fmt: skip
        kept &= ~removed.to_numpy(zero_copy_only=False)
    final = pa.table(
        {"id": ids, "kept": pa.array(kept), **{n: columns[n] for n in ("step", "rule")},
         "value": columns["value"], "threshold": columns["threshold"],
         "cluster": cluster, "kept_id": kept_id}, schema=FINAL_SCHEMA,
    )  # fmt: skip
    write_part(out / "final.parquet", final)
    counted = final.filter(pc.invert(final["kept"]))["rule"].value_counts().to_pylist()
    dropped = {item["values"]: item["counts"] for item in counted}
    return {"rows": len(ids), "kept": int(kept.sum()), "dropped": dict(sorted(dropped.items()))}


def _rows_of(path: Path, ids: pa.Array) -> pa.Table:
    """The duplicates of one part; the table of all parts is never held whole."""
    columns = ["id", "cluster", "kept_id", "how"]
    found = [
        batch.filter(pc.is_in(batch.column("id"), value_set=ids))
        for batch in iterate([path], columns=columns, batch_rows=1 << 16)
    ]
    schema = pa.schema([DUPLICATES_SCHEMA.field(name) for name in columns])
    return pa.Table.from_batches(found).cast(schema) if found else schema.empty_table()


def materialize_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Copy the rows of a part to ``kept.parquet`` and ``dropped.parquet``.

    Args:
        inputs: the part (document table), its final word.
        parameters: ``keep_dropped`` (``text``, ``sample`` or ``none``) and ``sample_fraction``.
        out: folder to write.

    Returns:
        Rows and characters kept and dropped (by rule).

    Raises:
        LedgerError: the two inputs do not list the same documents in the same order.
    """
    final = pq.read_table(inputs[1])
    start = 0
    totals: dict[str, Any] = {"kept": 0, "kept_chars": 0, "kept_bytes": 0}
    by_rule: dict[str, list[int]] = {}
    with (
        PartWriter(out / "kept.parquet", SCHEMA) as kept_writer,
        PartWriter(out / "dropped.parquet", DROPPED_SCHEMA) as dropped_writer,
    ):
        # A quarter of a row group: of long documents that is some megabytes less, a few times.
        for batch in iterate([inputs[0]], batch_rows=ROW_GROUP_ROWS // 4):
            word = final.slice(start, batch.num_rows).combine_chunks()
            start += batch.num_rows
            if not pa.array(batch.column("id")).equals(word["id"].combine_chunks()):
                raise LedgerError("verdicts and documents do not line up", where=inputs[0])
            keep = word["kept"].combine_chunks()
            kept = batch.filter(keep)
            kept_writer.write(kept)
            totals["kept"] += kept.num_rows
            totals["kept_chars"] += pc.sum(kept.column("n_chars")).as_py() or 0
            totals["kept_bytes"] += pc.sum(kept.column("n_bytes")).as_py() or 0
            gone = pc.invert(keep)
            dropped_writer.write(
                dropped_rows(batch.filter(gone), word.filter(gone), parameters, by_rule)
            )
    if start != final.num_rows:
        raise LedgerError("verdicts and documents do not line up", where=inputs[0],
                          value=(start, final.num_rows))  # fmt: skip
    dropped = {rule: {"documents": n, "chars": c} for rule, (n, c) in sorted(by_rule.items())}
    return {**totals, "dropped": dropped}
