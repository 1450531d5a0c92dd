"""Nothing is written that was not verified: the last step of every command that grows."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .base import Base, Notes, write_grown
from .verify import require, verify


@dataclass(frozen=True)
class Proof:
    """What the verification looks at, and whether a broken check stops the writing."""

    texts: Sequence[str] = ()
    seed: int = 0
    strict: bool = True


def write_proven(out: Path, base: Base, grown: Base, notes: Notes, proof: Proof) -> dict[str, Any]:
    """Verify a grown vocabulary as transformers will load it, then write it with its report.

    Args:
        out: folder to write.
        base: what it grew from.
        grown: the result.
        notes: provenance and report; the report gets ``verification``.
        proof: texts and seed, and whether a broken check is an error.

    Returns:
        The report as written.

    Raises:
        DataError: a check is broken and ``proof.strict``; nothing is written then.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch) / "tokenizer"
        write_grown(trial, base, grown, notes)
        found = verify(base, grown, texts=proof.texts, folder=trial, seed=proof.seed)
    if proof.strict:
        require(found, out)
    report = {**notes.report, "verification": found}
    write_grown(out, base, grown, replace(notes, report=report))
    return report
