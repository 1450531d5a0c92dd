"""Which edition of an examination is this? Known copies differ in a few cells and labels.

A table beside the task holds a digest for every file of every known edition (text with line ends
LF, so that a copy saved on another system is still the same edition). Scores of different editions
must not be compared in silence, so the answer goes into every report.
"""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from yanmo.files import sha256_json

from .exam import Exam, Question

# 64 bits tell a few hundred known files apart; the full hashes of the bytes are in run.json.
_DIGITS = 16


@dataclass(frozen=True)
class Edition:
    """What is known about the copy that was read.

    Attributes:
        name: the edition that holds every file read, or ``None``.
        mixed: files come from different known editions.
        unknown: files that no known edition holds.
    """

    name: str | None
    mixed: bool
    unknown: tuple[str, ...]

    def note(self) -> str:
        """One sentence for a report; empty when there is nothing to say."""
        if self.name is not None:
            return f"Data edition: {self.name}."
        if self.mixed:
            return "Data editions are MIXED: the files come from different known copies."
        if self.unknown:
            shown = ", ".join(self.unknown[:3]) + (" …" if len(self.unknown) > 3 else "")
            return f"{len(self.unknown)} files are of no known edition: {shown}."
        return ""


def file_digests(rows: list[Question]) -> tuple[str, str]:
    """Digests of one file: of its text (ids, questions, options) and of its labels."""
    text = [[q.id, q.question, *q.options] for q in rows]
    labels = [[q.id, q.answer] for q in rows]
    return sha256_json(text)[:_DIGITS], sha256_json(labels)[:_DIGITS]


def digest_table(exam: Exam) -> dict[str, str]:
    """``split/subject`` -> both digests; the labels' is absent where the split has none."""
    table = {}
    for split, subjects in exam.splits.items():
        for key, rows in subjects.items():
            text, labels = file_digests(rows)
            labelled = any(q.answer is not None for q in rows)
            table[f"{split}/{key}"] = f"{text}-{labels}" if labelled else text
    return table


def identify(exam: Exam) -> Edition:
    """Find the edition of the files that were read; a task without a table knows none."""
    if exam.task.editions is None:
        return Edition(None, mixed=False, unknown=())
    file = resources.files("yanmo.evals") / "tasks" / exam.task.editions
    known: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    candidates = list(known)
    unknown = []
    for name, digest in digest_table(exam).items():
        holding = [e for e in known if _same(digest, _lookup(known, e, name))]
        if not holding:
            unknown.append(name)
        candidates = [e for e in candidates if e in holding]
    if candidates:
        return Edition(candidates[0], mixed=False, unknown=())
    return Edition(None, mixed=not unknown, unknown=tuple(unknown))


def _lookup(known: dict[str, dict[str, Any]], edition: str, name: str) -> str:
    """An edition lists only what differs from the one that it is ``like``."""
    entry = known[edition]
    found: str | None = entry["files"].get(name)
    if found is None and "like" in entry:
        return _lookup(known, entry["like"], name)
    return found or ""


def _same(digest: str, expected: str) -> bool:
    """Labels count only where both sides have them."""
    text, _, labels = digest.partition("-")
    known_text, _, known_labels = expected.partition("-")
    return text == known_text and (not labels or not known_labels or labels == known_labels)
