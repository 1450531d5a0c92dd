"""How documents pack into training sequences: room used, documents cut, against concatenation."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from yanmo.files import write_json
from yanmo.mixture import Plan, reading
from yanmo.order import shards_identity
from yanmo.packing import Ints, order_key, pack
from yanmo.shards import Shards, open_shards

PACKING: Final = "packing.json"


def pack_plan(shards: Shards, plan: Plan | None, sequence_tokens: int) -> dict[str, Any]:
    """Pack one pass, as the trainer does with seed 0.

    Args:
        shards: opened shards.
        plan: what a pass reads; ``None``: every document once.
        sequence_tokens: targets in a sequence.

    Returns:
        See :func:`compare`.
    """
    ends = shards.document_ends
    begins = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    if plan is not None:
        read = reading(plan, shards)
        begins, ends = read.begins, read.ends
    return compare(begins, ends, sequence_tokens, key=order_key(shards_identity(shards), 0, 0))


def compare(begins: Ints, ends: Ints, sequence_tokens: int, *, key: int) -> dict[str, Any]:
    """Best fit beside what concatenating and cutting every ``sequence_tokens`` would give.

    Returns:
        ``sequence_tokens``, ``documents``, ``tokens``, and for ``best_fit`` and ``concatenation``
        {sequences, utilisation, cuts, short_documents_cut}: tokens over room, places where a
        document goes on in another sequence, and documents that are cut although they would fit
        into one. No token is thrown away by either.
    """
    packing = pack(begins, ends, sequence_tokens=sequence_tokens, key=key)
    sizes = ends - begins
    tokens = int(sizes.sum())
    starts = np.cumsum(sizes) - sizes
    pieces = (starts + sizes - 1) // sequence_tokens - starts // sequence_tokens + 1
    sequences = -(-tokens // sequence_tokens)
    fits = sizes <= sequence_tokens
    return {
        "sequence_tokens": sequence_tokens, "documents": len(sizes), "tokens": tokens,
        "best_fit": {
            "sequences": len(packing), "utilisation": packing.fill,
            "cuts": len(packing.starts) - len(sizes), "short_documents_cut": 0,
        },
        "concatenation": {
            "sequences": sequences, "utilisation": tokens / (sequences * sequence_tokens),
            "cuts": int((pieces - 1).sum()), "short_documents_cut": int((pieces[fits] > 1).sum()),
        },
    }  # fmt: skip


def write_packing(folder: Path, sequence_tokens: int) -> dict[str, Any]:
    """Write ``packing.json`` into a shard folder; what :func:`pack_plan` returns."""
    found = pack_plan(open_shards(folder), None, sequence_tokens)
    write_json(folder / PACKING, found)
    return found


def describe(found: dict[str, Any]) -> str:
    """The comparison as a table."""
    from yanmo.report import Table

    rows = [
        [name.replace("_", " "), row["sequences"], f"{row['utilisation']:.3%}", row["cuts"],
         row["short_documents_cut"]]
        for name, row in ((n, found[n]) for n in ("best_fit", "concatenation"))
    ]  # fmt: skip
    title = f"\nSequences of {found['sequence_tokens']} tokens"
    columns = ["packing", "sequences", "utilisation", "cuts", "short documents cut"]
    return Table(title, columns, rows).text()
