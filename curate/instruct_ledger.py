"""What became of instruction data: records, dialogues and characters, rule by rule."""

import heapq
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import xxhash

from yanmo.errors import LedgerError
from yanmo.messages import Message

from .instruct_sample import Hit

EXAMPLES: Final = 8
_HAN: Final = re.compile(r"[\u3400-\u9fff]")


@dataclass
class Tally:
    """Counts, and examples of each rule chosen by a hash of where they stand.

    Attributes:
        records: read as dialogues.
        rejects: where, reason and record of the others.
        dialogues: met, kept and dropped by rule; turns and characters likewise.
        findings: by rule and action.
        touched: dialogues by rule and action.
        removed: characters that fixes of a rule took out.
        added: characters that they put in.
        scored: dialogues that have a score column.
    """

    records: int = 0
    rejects: list[dict[str, Any]] = field(default_factory=list)
    dialogues: int = 0
    chars: int = 0
    kept: int = 0
    kept_chars: int = 0
    kept_scripts: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_chars: Counter[str] = field(default_factory=Counter)
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)
    touched: Counter[tuple[str, str]] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    scored: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[int, int, dict[str, Any]]]] = field(default_factory=dict)
    _last: dict[tuple[str, str], str] = field(default_factory=dict)

    def reject(self, where: str, reason: str, record: Any) -> None:
        """A record that is no dialogue."""
        self.rejects.append({"where": where, "reason": reason, "record": record})

    def enter(self, messages: Sequence[Message], form: str) -> None:
        """A dialogue comes in."""
        self.dialogues += 1
        self.chars += sum(len(m.content) for m in messages)
        self.formats[form] += 1

    def edited(self, hits: Sequence[Hit]) -> None:
        """Fixes were applied."""
        for hit in hits:
            self.removed[hit.rule] += hit.end - hit.start
            self.added[hit.rule] += len(hit.put or "")

    def found(self, row: dict[str, Any]) -> None:
        """A finding; a few of each rule are kept, whichever hash lowest."""
        rule, key = row["rule"], (row["rule"], row["action"])
        self.findings[key] += 1
        name = f"{row['where']} {row['id']}"
        if self._last.get(key) != name:
            self._last[key] = name
            self.touched[key] += 1
            place = xxhash.xxh64_intdigest(name.encode("utf-8", "surrogatepass"))
            heap = self.examples.setdefault(rule, [])
            entry = (-place, self.findings[key], row)
            if len(heap) < EXAMPLES:
                heapq.heappush(heap, entry)
            elif entry[:2] > heap[0][:2]:
                heapq.heapreplace(heap, entry)

    def drop(self, rule: str, chars: int) -> None:
        """A dialogue goes."""
        self.dropped[rule] += 1
        self.dropped_chars[rule] += chars

    def keep(self, text: str, chars: int) -> None:
        """A dialogue stays."""
        self.kept += 1
        self.kept_chars += chars
        share = len(_HAN.findall(text)) / max(len(text), 1)
        self.kept_scripts["zh" if share >= 0.25 else "other"] += 1

    def check(self) -> None:
        """Balance the books.

        Raises:
            LedgerError: dialogues or characters went missing.
        """
        if self.dialogues != self.kept + self.dropped.total():
            raise LedgerError("dialogues went missing", value=self.books()["dialogues"])
        out = self.kept_chars + self.dropped_chars.total()
        if self.chars + self.added.total() != out + self.removed.total():
            raise LedgerError("characters went missing", value=self.books()["characters"])

    def books(self) -> dict[str, Any]:
        """The ledgers."""
        return {
            "records": {"read": self.records + len(self.rejects), "used": self.records,
                        "rejected": len(self.rejects)},
            "dialogues": {"read": self.dialogues, "kept": self.kept,
                          "dropped": dict(self.dropped.most_common())},
            "characters": {"read": self.chars, "kept": self.kept_chars,
                           "dropped": self.dropped_chars.total(),
                           "removed": dict(self.removed.most_common()),
                           "added": dict(self.added.most_common())},
        }  # fmt: skip

    def rules(self) -> list[dict[str, Any]]:
        """One row a rule and action that found something, with examples."""
        rows = []
        for (rule, action), count in sorted(self.findings.items()):
            examples = [row for _, _, row in sorted(self.examples[rule], key=lambda e: -e[0])]
            rows.append({
                "rule": rule, "action": action, "dialogues": self.touched[rule, action],
                "findings": count, "decided": self.dropped[rule] if action == "drop" else 0,
                "examples": [row for row in examples if row["action"] == action],
            })  # fmt: skip
        return rows
