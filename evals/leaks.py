"""The score on the questions that a leak report leaves clean, beside the whole.

``yanmo curate decontaminate`` writes ``leaks.jsonl``: one row a question that was looked for in the
training corpus. Rows are matched by split, subject, id and the text itself, so that another edition
of the data is never taken for the one that was looked for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo.curate.exam_items import text_digest
from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_file, write_json

from .exam import Question
from .multiple_choice import Outcome
from .pages import write_reports
from .runs import SUMMARY
from .summary import averages

_FIX: Final = "Give a run of `yanmo curate decontaminate`, or its leaks/leaks.jsonl."


@dataclass(frozen=True)
class Leaks:
    """A leak report.

    Attributes:
        path: the file.
        found: (split, subject, id, digest of the text) -> what was found: "no", "question" …
        judged: those of them that are long enough to be found.
    """

    path: Path
    found: Mapping[tuple[str, str, str, str], str]
    judged: frozenset[tuple[str, str, str, str]]


def read_leaks(path: Path) -> Leaks:
    """Read a leak report: the file, or a run folder that holds one.

    Raises:
        UsageError: there is none.
        DataError: a line is no row of one.
    """
    inside = path / "leaks" / "leaks.jsonl"
    file = inside if path.is_dir() else path
    if not file.is_file():
        raise UsageError("no leak report here", where=path, fix=_FIX)
    found: dict[tuple[str, str, str, str], str] = {}
    judged = set()
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").split("\n")):
        if not line:
            continue
        try:
            row = json.loads(line)
            name = (row["split"], row["subject"], row["id"], row["sha256"])
            found[name] = row["found"]
            if row["judged"]:
                judged.add(name)
        except (ValueError, KeyError, TypeError):
            raise DataError("no row of a leak report", where=f"{file}:{number + 1}",
                            value=line[:80], fix=_FIX) from None  # fmt: skip
    return Leaks(file, found, frozenset(judged))


def clean_subset(
    samples: Sequence[Mapping[str, Any]], questions: Sequence[Question], split: str, leaks: Leaks
) -> dict[str, Any]:
    """Accuracy over the questions that were looked for and not found.

    Args:
        samples: of a run; rotations are left out.
        questions: what was asked.
        split: where they are from.
        leaks: the report.

    Returns:
        ``{"n", "leaked": {found: n}, "not_judged", "accuracy", "intervals", "subjects", "report",
        "report_sha256"}``; accuracy is None where nothing is clean. Questions too short to be
        found count as clean, and ``not_judged`` says how many they are.

    Raises:
        DataError: some questions were never looked for.
    """
    names = {
        (q.subject, q.id): (split, q.subject, q.id, text_digest(q.question, q.options))
        for q in questions
    }
    missing = [name for name in names.values() if name not in leaks.found]
    if missing:
        raise DataError(
            f"the leak report does not know {len(missing)} of {len(names)} questions",
            where=leaks.path, value="/".join(missing[0][:3]),
            fix="Look for this very copy of the data: `yanmo curate decontaminate --against`.",
        )  # fmt: skip
    right: dict[str, list[float]] = {}
    leaked: dict[str, int] = {}
    for sample in samples:
        if sample["shift"] != 0:
            continue
        what = leaks.found[names[sample["subject"], sample["id"]]]
        if what == "no":
            hit = float(sample["prediction"] == sample["answer"])
            right.setdefault(sample["subject"], []).append(hit)
        else:
            leaked[what] = leaked.get(what, 0) + 1
    found = averages(right) if right else None
    return {
        "n": found["n"] if found else 0,
        "leaked": dict(sorted(leaked.items())),
        "not_judged": sum(name not in leaks.judged for name in names.values()),
        "accuracy": {k: found[k] for k in ("macro", "micro")} if found else None,
        "intervals": found["intervals"] if found else None,
        "subjects": len(right),
        "report": str(leaks.path),
        "report_sha256": sha256_file(leaks.path),
    }


def add_clean(outcome: Outcome, leaks: Leaks, *, out: Path | None) -> None:
    """Put the clean subset into a summary, and into the reports of a run folder.

    Raises:
        DataError: some questions were never looked for.
    """
    summary = outcome.summary
    summary["clean"] = clean_subset(outcome.samples, outcome.questions, summary["split"], leaks)
    if out is not None:
        write_json(out / SUMMARY, summary)
        write_reports(out, summary, prompt=outcome.prompt)
