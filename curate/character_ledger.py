"""The character ledger of an editing step: what each of its rules took and added, balanced."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from yanmo.errors import LedgerError


@dataclass
class Edits:
    """The character ledger of some documents.

    Attributes:
        rules: the editing rules.
        counts: int64 ``[len(rules), 2]``: characters removed and added by each rule.
        chars_in: characters before.
        chars_out: characters after.
    """

    rules: tuple[str, ...]
    counts: npt.NDArray[np.int64] = field(init=False)
    chars_in: int = 0
    chars_out: int = 0

    def __post_init__(self) -> None:
        self.counts = np.zeros((len(self.rules), 2), np.int64)

    def add(self, other: "Edits") -> None:
        """Add the ledger of other documents, kept by the same rules."""
        self.counts += other.counts
        self.chars_in += other.chars_in
        self.chars_out += other.chars_out

    def check(self, where: object) -> None:
        """Balance the books.

        Raises:
            LedgerError: in + added - removed is not out.
        """
        removed, added = self.counts.sum(axis=0).tolist()
        if self.chars_in + added - removed != self.chars_out:
            raise LedgerError(
                f"{self.chars_in} characters in + {added} added - {removed} removed "
                f"are not the {self.chars_out} that came out",
                where=where,
            )

    def by_rule(self) -> dict[str, dict[str, int]]:
        """``{rule: {"removed": n, "added": n}}``, all rules."""
        rows = zip(self.rules, self.counts.tolist(), strict=True)
        return {rule: {"removed": removed, "added": added} for rule, (removed, added) in rows}
