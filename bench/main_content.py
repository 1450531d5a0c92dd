"""``python -m bench.main_content``: main content against gold, and pages a second, side by side.

Needs ``$YANMO_REALDATA``. ``--half dev`` leaves the test halves unread, for work on the extractor.
Speeds are processor seconds on one core, each run in a process of its own so that nothing is
remembered from the run before, the extractors taking turns.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from yanmo.curate.extract import ExtractOptions
from yanmo.report import Table

from .content_scores import (
    PageScore,
    compare_shingles,
    compare_snippets,
    score,
    shingle_summary,
    snippet_summary,
)  # fmt: skip
from .gold import HALVES, SETS, GoldPage, load

OURS: Final = "blocks"
ROUNDS: Final = 3
Extract = Callable[[bytes], str]


def extractors() -> dict[str, Extract]:
    """Each extractor as a function of a page, by name."""
    import trafilatura

    from yanmo.curate.main_content import blocks_text, resiliparse_text

    logging.getLogger("trafilatura").disabled = True
    options = asdict(ExtractOptions())
    balanced: dict[str, Any] = {"include_comments": False}
    return {
        OURS: lambda page: blocks_text(page, options)[0],
        "resiliparse": lambda page: resiliparse_text(page, options)[0],
        "trafilatura": lambda page: trafilatura.extract(page, **balanced) or "",
        "trafilatura fast": lambda page: trafilatura.extract(page, fast=True, **balanced) or "",
        "trafilatura with comments": lambda page: trafilatura.extract(page) or "",
    }


def realdata() -> Path:
    """The folder of real data.

    Raises:
        SystemExit: ``$YANMO_REALDATA`` is not set.
    """
    if not os.environ.get("YANMO_REALDATA"):
        raise SystemExit("set YANMO_REALDATA to the folder that holds html/")
    return Path(os.environ["YANMO_REALDATA"])


def quality(halves: Sequence[str]) -> list[dict[str, Any]]:
    """One row an extractor, set and half, with the difference of ours to it."""
    rows = []
    for which in SETS:
        pages = load(which, realdata())
        for half in halves:
            chosen = [page for page in pages if page.half == half]
            scored = {
                name: [score(p, extract(p.html), characters=which == "chinese") for p in chosen]
                for name, extract in extractors().items()
            }
            rows += [_row(which, half, name, scored) for name in scored]
    return rows


def _row(which: str, half: str, name: str, scored: dict[str, list[PageScore]]) -> dict[str, Any]:
    row: dict[str, Any] = {"set": which, "half": half, "extractor": name, "n": len(scored[name])}
    if which != "snippets":
        row["shingles"] = shingle_summary(scored[name])
    if which != "articles":
        row["snippets"] = snippet_summary(scored[name])
    if name != OURS:
        if which == "snippets":
            against = {"f1": compare_snippets(scored[OURS], scored[name])}
        else:
            against = compare_shingles(scored[OURS], scored[name])
        row["ours_minus_it"] = {key: value.as_dict() for key, value in against.items()}
    return row


def speeds(names: Sequence[str]) -> dict[str, list[float]]:
    """Pages a second of each extractor in each round, on the set of articles."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            command = [sys.executable, "-m", "bench.main_content", "--time", name]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name].append(float(answer.stdout))
    return found


def _time(name: str) -> float:
    pages: list[GoldPage] = load("articles", realdata())
    extract = extractors()[name]
    extract(b"<title>t</title><article><p>" + b"warm, " * 200)  # imports and compiles
    start = time.process_time()
    for page in pages:
        extract(page.html)
    return len(pages) / (time.process_time() - start)


def _table(rows: list[dict[str, Any]]) -> Table:
    columns = ["set", "half", "extractor", "n", "precision", "recall", "F1", "snippet F1"]
    body = []
    for row in rows:
        main = row.get("shingles") or row["snippets"]
        interval = row.get("ours_minus_it", {}).get("f1")
        body.append(
            [row["set"], row["half"], row["extractor"], row["n"]]
            + [round(main[key], 3) for key in ("precision", "recall", "f1")]
            + [round(row["snippets"]["f1"], 3) if "snippets" in row else None]
            + [f"{interval[k]:+.3f}" if interval else "" for k in ("difference", "low", "high")]
        )
    return Table("main content", [*columns, "ours minus it", "low", "high"], body)


def main(arguments: Sequence[str]) -> None:
    """Print tables on stderr and JSON on stdout."""
    parser = argparse.ArgumentParser(prog="python -m bench.main_content", description=__doc__)
    parser.add_argument("--half", choices=HALVES, action="append")
    parser.add_argument("--time", help=argparse.SUPPRESS)
    parser.add_argument("--no-speed", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.time:
        sys.stdout.write(f"{_time(asked.time)}\n")
        return
    rows = quality(asked.half or HALVES)
    sys.stderr.write(_table(rows).text() + "\n")
    runs = {} if asked.no_speed else speeds(list(extractors()))
    if runs:
        medians = {name: statistics.median(found) for name, found in runs.items()}
        body = [
            [
                name,
                round(value, 1),
                round(value / medians["trafilatura"], 2),
                " ".join(f"{run:.0f}" for run in runs[name]),
            ]
            for name, value in medians.items()
        ]
        table = Table("speed", ["extractor", "pages/s", "times trafilatura", "runs"], body)
        sys.stderr.write(table.text() + "\n")
    versions = {name: version(name) for name in ("trafilatura", "resiliparse")}
    sys.stdout.write(
        json.dumps({"versions": versions, "quality": rows, "pages_per_s": runs}) + "\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
