"""One model under every published wording of the same examination, and why the numbers differ."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import write_json
from yanmo.report import Page, Table

from .exam import load_task
from .multiple_choice import Outcome, evaluate
from .pages import percent
from .planning import Settings
from .prompts import Dialect, load_dialects
from .runs import write_page
from .score import Scorer


def all_dialects(
    scorer: Scorer,
    data: str | Path,
    *,
    task: str,
    settings: Settings,
    out: Path | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Evaluate under every dialect of the task's language.

    Args:
        scorer: the model.
        data: zip or folder with the questions.
        task: name of a bundled task, or a TOML file.
        settings: of all runs but for the dialect.
        out: folder that gets one run a dialect, ``dialects.json`` and ``report.html``.
        quiet: show no progress.

    Returns:
        ``dialects``: name -> accuracies, probability on the letters, the slot, the share of answers
        equal to the task's own dialect, and what differs; ``skipped``: name -> reason.
    """
    description = load_task(task)
    known = {
        name: dialect
        for name, dialect in load_dialects().items()
        if dialect.language == description.language
    }
    names = sorted(known, key=lambda name: name != description.dialect)
    found: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    first: Outcome | None = None
    for name in names:
        run = replace(settings, dialect=name)
        folder = out / name if out is not None else None
        try:
            outcome = evaluate(scorer, data, task=task, settings=run, out=folder, quiet=quiet)
        except (DataError, UsageError) as error:
            if first is None or (known[name].slot == "prompt" and not known[name].chat):
                raise
            # No chat template, or letters that a lookup (as in the source) cannot tell apart.
            skipped[name] = str(error)
            continue
        first = first or outcome
        found[name] = _entry(outcome, first, known[name])
    result = {"task": description.name, "dialects": found, "skipped": skipped}
    if out is not None:
        write_json(out / "dialects.json", result)
        page = Page(f"{description.title}: {scorer.info.name} under {len(found)} dialects")
        page.add_table(table(result))
        for name, reason in skipped.items():
            page.add_text(f"{name} was skipped: {reason}")
        write_page(out / "report.html", page)
    return result


def _entry(outcome: Outcome, first: Outcome, dialect: Dialect) -> dict[str, Any]:
    summary = outcome.summary
    same = [
        a["prediction"] == b["prediction"]
        for a, b in zip(outcome.samples, first.samples, strict=True)
    ]
    return {
        **summary["accuracy"],
        "n": summary["n"],
        "printed": summary["accuracy"][dialect.average],
        "average": dialect.average,
        "mass": summary["mass"]["mean"] if summary["mass"] else None,
        "slot": summary["slot"],
        "same_answers": sum(same) / len(same),
        "why": dialect.why,
        "source": dialect.source,
    }


def table(result: Mapping[str, Any]) -> Table:
    """The comparison, the task's own dialect first."""
    rows: list[Sequence[Any]] = []
    for name, entry in result["dialects"].items():
        slot = entry["slot"]
        letters = ", ".join(slot["answers"]) or "words"
        rows.append([
            name, percent(entry["macro"]), percent(entry["micro"]),
            f"{percent(entry['printed'])} ({entry['average']})",
            percent(entry["mass"]) if entry["mass"] is not None else None,
            percent(entry["same_answers"]),
            f"{''.join(slot['before'])} | {letters}", entry["why"],
        ])  # fmt: skip
    columns = ["dialect", "macro", "micro", "its authors print", "on the letters", "same answers",
               "slot", "what differs"]  # fmt: skip
    return Table(f"{result['task']} under every dialect", columns, rows)


def shown(result: Mapping[str, Any]) -> str:
    """For a terminal."""
    skipped = [f"{name} was skipped: {reason}" for name, reason in result["skipped"].items()]
    return "\n".join([table(result).text(), *skipped])
