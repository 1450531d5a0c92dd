"""Nothing is written that was not verified: the last step of every command that grows."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import Base, write_grown
from .verify import require, verify


@dataclass(frozen=True)
class Proof:
    """What the verification looks at, and whether a broken check stops the writing."""

    texts: Sequence[str] = ()
    seed: int = 0
    strict: bool = True


def write_proven(
    out: Path,
    base: Base,
    grown: Base,
    *,
    provenance: Mapping[str, Any],
    report: Mapping[str, Any],
    proof: Proof,
) -> dict[str, Any]:
    """Verify a grown vocabulary as transformers will load it, then write it with its report.

    Args:
        out: folder to write.
        base: what it grew from.
        grown: the result.
        provenance: for ``yanmo.json``.
        report: what the command has to say; ``verification`` is added.
        proof: texts and seed, and whether a broken check is an error.

    Returns:
        The report as written.

    Raises:
        DataError: a check is broken and ``proof.strict``; nothing is written then.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch) / "tokenizer"
        write_grown(trial, base, grown, provenance=provenance, report={})
        found = verify(base, grown, texts=proof.texts, folder=trial, seed=proof.seed)
    if proof.strict:
        require(found, out)
    whole = {**report, "verification": found}
    write_grown(out, base, grown, provenance=provenance, report=whole)
    return whole
