"""The three ledgers of a run: bytes, records, characters. Each must balance, or the run fails.

Bytes: every input byte lies in one record, one skipped span or one quarantined span (kept by
:mod:`yanmo.curate.ledger` while reading; here the totals are added and checked again).
Records: read = kept + dropped (by rule) + quarantined + skipped (by kind).
Characters: in + added by each editing rule = kept + dropped + quarantined + removed by each rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yanmo.errors import LedgerError

from .ledger import add_totals, check_total, empty_total


def add_counts(into: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts by name."""
    for name, count in more.items():
        into[name] = into.get(name, 0) + count


@dataclass
class Balance:
    """The sums of a run. Units: bytes, records, code points."""

    input: dict[str, Any] = field(default_factory=empty_total)
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    chars_in: int = 0
    chars_kept: int = 0
    chars_dropped: dict[str, int] = field(default_factory=dict)
    chars_quarantined: int = 0
    edits: dict[str, dict[str, int]] = field(default_factory=dict)

    def add_ingest(self, result: Mapping[str, Any]) -> None:
        """Add what one `ingest` task reports; documents are counted where they end up."""
        add_totals(self.input, result["ledger"])
        add_counts(self.quarantined, result["quarantined"])
        self.chars_in += result["chars_in"]
        self.chars_quarantined += result["chars_quarantined"]
        self.add_edits(result["edits"])
        self.add_dropped(result["dropped"])

    def add_edits(self, edits: Mapping[str, Mapping[str, int]]) -> None:
        """Add characters removed and added by editing rules."""
        for rule, change in edits.items():
            add_counts(self.edits.setdefault(rule, {"removed": 0, "added": 0}), change)

    def add_dropped(self, dropped: Mapping[str, Mapping[str, int]]) -> None:
        """Add dropped documents and their characters by rule."""
        for rule, counts in dropped.items():
            add_counts(self.dropped, {rule: counts["documents"]})
            add_counts(self.chars_dropped, {rule: counts["chars"]})

    def add_final(self, result: Mapping[str, Any]) -> None:
        """Add what one `materialize` task reports."""
        self.kept += result["kept"]
        self.chars_kept += result["kept_chars"]
        self.add_dropped(result["dropped"])

    def add_cut(self, result: Mapping[str, Any]) -> None:
        """Add what one `cut-spans` task did to texts that were kept, unless it only reports."""
        if "edits" in result:
            self.add_dropped(result["dropped"])
            for counts in result["dropped"].values():
                self.kept -= counts["documents"]
                self.chars_kept -= counts["chars"]
            self.add_masked(result)

    def add_masked(self, result: Mapping[str, Any]) -> None:
        """Add what one `pii` task did to texts that are kept."""
        self.chars_kept += result["chars_out"] - result["chars_in"]
        self.add_edits(result["edits"])

    def add_cleared(self, result: Mapping[str, Any]) -> None:
        """Add what one `decontaminate` task did to texts that are kept."""
        self.add_masked(result)
        self.kept -= sum(counts["documents"] for counts in result["dropped"].values())
        self.chars_kept -= sum(counts["chars"] for counts in result["dropped"].values())
        self.add_dropped(result["dropped"])

    def check(self) -> None:
        """Balance all three.

        Raises:
            LedgerError: with both sides of the equation that does not hold.
        """
        check_total(self.input)
        records = self.input["records"]
        went = self.kept + sum(self.dropped.values()) + sum(records["skipped"].values())
        _equal("records", records["read"], went + sum(self.quarantined.values()))
        added = sum(change["added"] for change in self.edits.values())
        went = self.chars_kept + sum(self.chars_dropped.values()) + self.chars_quarantined
        removed = sum(change["removed"] for change in self.edits.values())
        _equal("characters", self.chars_in + added, went + removed)

    def funnel(self) -> dict[str, Any]:
        """The funnel that other programs read; keys as in the design, ledgers beside them."""
        return {
            "read": self.input["records"]["read"],
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "quarantined": sum(self.quarantined.values()),
            "skipped": self.input["records"]["skipped"],
            "quarantined_by_kind": dict(sorted(self.quarantined.items())),
            "bytes": {"content": self.input["content"], "stored": self.input["stored"]},
            "files": self.input["files"],
            "characters": {
                "in": self.chars_in,
                "kept": self.chars_kept,
                "dropped": dict(sorted(self.chars_dropped.items())),
                "quarantined": self.chars_quarantined,
                "edits": {rule: self.edits[rule] for rule in sorted(self.edits)},
            },
        }


def _equal(what: str, came: int, went: int) -> None:
    if came != went:
        raise LedgerError(f"the ledger of {what} does not balance: {came} came in, {went} went out",
                          where="run", fix="This is a defect; please report it.")  # fmt: skip
