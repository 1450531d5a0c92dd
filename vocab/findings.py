"""What the doctor finds: one line each, with how bad it is, examples, and what helps."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

LEVELS: Final = ("ill", "warning", "note")
EXAMPLES: Final = 12


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at and is not as it should be.

    Attributes:
        name: what it is about, a few words.
        level: ``ill`` (ids come out wrong, or what was added cannot come out), ``warning`` (a waste
            or a trap), ``note`` (good to know).
        count: how many entries, lines or pieces.
        of: out of how many, ``None`` where that makes no sense.
        what: one sentence.
        examples: counter-examples, the first few.
        fix: what helps; empty if nothing needs to.
    """

    name: str
    level: str
    count: int
    of: int | None
    what: str
    examples: tuple[Any, ...] = ()
    fix: str = ""

    def table(self) -> dict[str, Any]:
        """As it stands in ``report.json``."""
        return {**asdict(self), "examples": list(self.examples)}


def some(items: Iterable[Any]) -> tuple[Any, ...]:
    """The first few of something, for examples."""
    return tuple(islice(items, EXAMPLES))


def is_ill(findings: Iterable[Finding]) -> bool:
    """Whether any finding is of level ``ill``."""
    return any(finding.level == "ill" for finding in findings)
