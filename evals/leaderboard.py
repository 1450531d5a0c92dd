"""Runs side by side: only what was measured on the same items stands in one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.charts import Bar, bar_chart
from yanmo.report import Page, Table

from . import judge_compare
from .compare import Run, load_run
from .pages import interval, percent


def leaderboard(folders: Sequence[str | Path]) -> dict[str, Any]:
    """Read runs and group those that can be compared.

    Args:
        folders: ``--out`` folders of ``ceval``, ``cmmlu``, ``mmlu``, ``score``, ``bpb``, ``judge``.

    Returns:
        ``boards``: a list, each with ``title``, ``kind`` and ``runs`` (best first); runs over
        different questions or texts are never on one board.
    """
    boards: dict[tuple[str, ...], list[Run]] = {}
    for folder in folders:
        run = load_run(folder)
        boards.setdefault((run.kind, _title(run), run.items_sha256), []).append(run)
    return {
        "boards": [
            {"kind": kind, "title": title, "items_sha256": digest, **_board(kind, runs)}
            for (kind, title, digest), runs in boards.items()
        ]
    }


def _title(run: Run) -> str:
    if run.kind == "multiple_choice":
        return f"{run.run['task']['title']} {run.summary['split']}"
    if run.kind in (judge_compare.PAIR, judge_compare.SINGLE):
        return f"{' and '.join(run.summary['systems'])}, {run.summary['questions']} questions"
    return f"bits per byte, {run.summary['documents']} documents"


def _board(kind: str, runs: Sequence[Run]) -> dict[str, Any]:
    if kind == "multiple_choice":
        entries = [_answers_entry(run) for run in runs]
        return {"runs": sorted(entries, key=lambda entry: -entry["macro"])}
    if kind in (judge_compare.PAIR, judge_compare.SINGLE):
        return {"runs": [
            entry for run in runs
            for entry in judge_compare.entries(kind, run.name, str(run.folder), run.summary)
        ]}  # fmt: skip
    entries = [_text_entry(run) for run in runs]
    one_vocabulary = len({entry["tokenizer_sha256"] for entry in entries}) == 1
    # What is refused is ranking by perplexity: per token it means nothing across vocabularies.
    if not one_vocabulary:
        for entry in entries:
            entry["perplexity"] = None
    ranked = sorted(entries, key=lambda e: (not e["rankable"], e["bits_per_byte"]))
    return {"runs": ranked, "one_vocabulary": one_vocabulary}


def _answers_entry(run: Run) -> dict[str, Any]:
    summary = run.summary
    settings = run.run["identity"]["settings"]
    return {
        "model": run.name,
        "folder": str(run.folder),
        **summary["accuracy"],
        "intervals": summary["intervals"],
        "n": summary["n"],
        "dialect": summary["dialect"],
        "shots": settings["shots"],
        "mass": summary["mass"]["mean"] if summary["mass"] else None,
        "edition": summary["data"]["edition"],
        "categories": {name: e["macro"] for name, e in summary["by_category"].items()},
    }


def _text_entry(run: Run) -> dict[str, Any]:
    keys = ("bits_per_byte", "bits_per_character", "perplexity", "intervals", "rankable",
            "tokenizer_sha256", "window", "stride")  # fmt: skip
    entry = {key: run.summary[key] for key in keys}
    return {"model": run.name, "folder": str(run.folder), **entry}


def table(board: Mapping[str, Any]) -> Table:
    """One board."""
    if board["kind"] in (judge_compare.PAIR, judge_compare.SINGLE):
        return judge_compare.board_table(board)
    if board["kind"] == "multiple_choice":
        names = list(board["runs"][0]["categories"])
        rows: list[list[Any]] = [
            [e["model"], e["dialect"], e["shots"], e["n"], percent(e["macro"]),
             interval(e["intervals"]["macro"]), percent(e["micro"]),
             interval(e["intervals"]["micro"]),
             *(percent(e["categories"][name]) for name in names)]
            for e in board["runs"]
        ]  # fmt: skip
        columns = ["model", "dialect", "shots", "questions", "macro", "95 %", "micro", "95 %"]
        return Table(board["title"], [*columns, *names], rows)
    rows = [
        [e["model"], f"{e['bits_per_byte']:.4f}", _bounds(e["intervals"]["bits_per_byte"]),
         f"{e['bits_per_character']:.4f}", e["perplexity"], f"{e['window']}/{e['stride']}",
         "" if e["rankable"] else "loses text: not ranked"]
        for e in board["runs"]
    ]  # fmt: skip
    columns = ["model", "bits per byte", "95 %", "bits per character", "perplexity",
               "window/stride", ""]  # fmt: skip
    return Table(board["title"], columns, rows)


def _bounds(bounds: Mapping[str, float] | None) -> str | None:
    return f"{bounds['low']:.4f} to {bounds['high']:.4f}" if bounds else None


def page(found: Mapping[str, Any]) -> Page:
    """One self-contained HTML page."""
    result = Page("Scores side by side")
    for board in found["boards"]:
        result.add_heading(board["title"])
        result.add_table(table(board))
        if board["kind"] == "multiple_choice":
            result.add_svg(bar_chart(
                "Accuracy, % (macro, 95 % interval)",
                [Bar(f"{e['model']} ({e['dialect']}, {e['shots']})", 100 * e["macro"],
                     interval=(100 * e["intervals"]["macro"]["low"],
                               100 * e["intervals"]["macro"]["high"]))
                 for e in board["runs"]],
            ))  # fmt: skip
        elif not board.get("one_vocabulary", True):
            result.add_text("Perplexity is left out: the vocabularies differ.")
    return result


def shown(found: Mapping[str, Any]) -> str:
    """For a terminal."""
    return "\n\n".join(table(board).text() for board in found["boards"])
