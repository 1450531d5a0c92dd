"""Exact duplicates: documents whose texts are equal, by their 128-bit hash. Tasks over files.

exact_part     document table, signals (+ verdicts)  -> members.parquet, hashes.npy, alive.npy
exact_groups   these of all parts                    -> documents.parquet, alive-*.npy
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.documents import write_part
from yanmo.errors import DataError

from .clusters import duplicates_table, group_bounds, read_alive
from .keep import MEMBER_COLUMNS, check_field, keep_order, read_members, write_members
from .signals import TEXT_HASH

U64 = npt.NDArray[np.uint64]


def exact_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """The text hashes of one part, and what later steps need of its documents.

    Args:
        inputs: the part (document table), its signals (with the text hashes), and optionally
            who takes part (:func:`yanmo.curate.clusters.read_alive`).
        parameters: ``keep``, needed for ``highest:<field>`` alone.
        out: folder to write.

    Returns:
        ``{"rows", "documents"}``: rows of the part, documents that take part.

    Raises:
        DataError: the files do not list the same documents in the same order.
    """
    members = pq.read_table(inputs[0], columns=list(MEMBER_COLUMNS))
    signal_ids = pq.read_table(inputs[1], columns=["id"]).column("id")
    if not signal_ids.combine_chunks().equals(members.column("id").combine_chunks()):
        raise DataError("signals and documents do not line up", where=inputs[1])
    alive = read_alive(inputs[2]) if len(inputs) > 2 else np.ones(members.num_rows, np.bool_)
    if len(alive) != members.num_rows:
        raise DataError("verdicts and documents do not line up", where=inputs[2],
                        value=(len(alive), members.num_rows))  # fmt: skip
    np.save(out / "alive.npy", alive)
    np.save(out / "hashes.npy", read_text_hashes(inputs[1])[alive])
    write_members(out / "members.parquet", members.filter(pa.array(alive)),
                  keep=parameters.get("keep", ""), sources=inputs[:2], alive=alive)  # fmt: skip
    return {"rows": len(alive), "documents": int(alive.sum())}


def read_text_hashes(path: Path) -> U64:
    """The 128-bit text hashes of a signals file, uint64 ``[rows, 2]``."""
    table = pq.read_table(path, columns=list(TEXT_HASH))
    return np.column_stack([table.column(name).to_numpy() for name in TEXT_HASH])


def exact_groups(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Groups of equal texts: ``documents.parquet`` in DUPLICATES_SCHEMA.

    Also writes ``alive-00000.npy`` … for each part: which of its rows are left.

    Args:
        inputs: for each part ``hashes.npy``, then for each ``members.parquet``, then ``alive.npy``.
        parameters: ``keep``, ``source_priority``.
        out: folder to write.

    Returns:
        ``{"documents", "clusters", "clustered", "removed", "largest"}``.

    Raises:
        UsageError: ``keep`` names a field that no document has.
    """
    parts = len(inputs) // 3
    check_field(inputs[parts : 2 * parts], parameters["keep"])
    hashes = np.concatenate([np.load(path) for path in inputs[:parts]])
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    new = np.ones(len(ordered), np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.cumsum(new) - 1
    shared = np.bincount(numbers, minlength=1)[numbers] > 1
    # Back to document order, as read_members wants it.
    group = np.full(len(hashes), -1, np.int64)
    group[order[shared]] = numbers[shared]
    wanted = np.flatnonzero(group >= 0)
    members = read_members(inputs[parts : 2 * parts], wanted)
    policy = {name: parameters[name] for name in ("keep", "source_priority")}
    ranked = keep_order(members, group[wanted], **policy)
    bounds = group_bounds(group[wanted][ranked])
    kept = np.repeat(bounds[:-1], np.diff(bounds))
    ids = members.column("id").combine_chunks().take(pa.array(ranked))
    table = duplicates_table(ids, bounds, kept, how="exact", jaccard=np.ones(len(ids)))
    write_part(out / "documents.parquet", table)
    gone = wanted[ranked[kept != np.arange(len(kept))]]
    _write_alive(inputs[2 * parts :], gone, out)
    return {
        "documents": len(hashes),
        "clusters": len(bounds) - 1,
        "clustered": len(ranked),
        "removed": len(gone),
        "largest": int(np.diff(bounds).max(initial=0)),
    }


def _write_alive(paths: list[Path], gone: npt.NDArray[np.int64], out: Path) -> None:
    start = 0
    for number, path in enumerate(paths):
        alive = np.load(path)
        rows = np.flatnonzero(alive)
        mine = gone[(gone >= start) & (gone < start + len(rows))] - start
        alive[rows[mine]] = False
        np.save(out / f"alive-{number:05d}.npy", alive)
        start += len(rows)
