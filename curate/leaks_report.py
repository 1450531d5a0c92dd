"""Exam questions in the corpus, for people: a section of the report, lines of ``curate why``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.files import read_json
from yanmo.report import Bilingual, Page, Table

from .leak_verdicts import FOUND
from .report_words import WORDS, say

SHOWN: Final = 20  # places shown, best first


def leaks_section(page: Page, run: Path) -> None:
    """Add the section; nothing where no questions were looked for.

    Args:
        page: the report.
        run: the run folder.
    """
    path = run / "leaks" / "leaks.json"
    if not path.is_file():
        return
    summary = read_json(path)
    page.add_heading(say("Exam questions in the corpus"), anchor="leaks")
    page.add_text(leaked_line(summary))
    page.add_table(exam_table(summary))
    places = pl.scan_parquet(run / "leaks" / "part-00000.parquet")
    best = places.sort("share", "id", descending=[True, False]).head(SHOWN).collect()
    for row in best.iter_rows(named=True):
        head = place_line(row) + f" · {row['url'] or row['origin']} [{row['id']}]"
        page.add_details(head, row["text"])


def leaked_line(summary: Mapping[str, Any]) -> Bilingual:
    """The finding in one sentence; in English what the run prints."""
    found, looked = summary["leaked"], summary["questions"]
    line = say("{found} of {all} exam questions stand in {documents} documents",
               found=f"{found:,}", all=f"{looked:,}",
               documents=f"{summary['documents']:,}")  # fmt: skip
    if found:
        line = line + say(" ({whole} with their options)", whole=f"{summary['found']['both']:,}")
    missed = looked - summary["judged"]
    rest = "; {missed} are too short to be looked for."
    return line + (say(rest, missed=f"{missed:,}") if missed else say("."))


def exam_table(summary: Mapping[str, Any]) -> Table:
    """How many questions of each exam and split were found."""
    columns = ["exam", "split", "questions", "can be found", *FOUND[:0:-1]]
    rows = [[e["exam"], e["split"], e["questions"], e["judged"], *(e[w] for w in FOUND[:0:-1])]
            for e in summary["exams"]]  # fmt: skip
    title = say("Questions by exam and split, and what of them was found")
    return Table(title, [say(name) for name in columns], rows)


def place_line(row: Mapping[str, Any]) -> Bilingual:
    """One place in a few words."""
    line = "{question}: question {share_question}, options {share_options} ({found})"
    return say(line, question=row["question"], share_question=f"{row['share_question']:.0%}",
               share_options=f"{row['share_options']:.0%}",
               found=say(row["found"]) if row["found"] in WORDS else row["found"])  # fmt: skip


def leaks_of(run: Path, identity: str) -> list[dict[str, Any]]:
    """The questions that stand in a document."""
    path = run / "leaks" / "part-00000.parquet"
    if not path.is_file():
        return []
    table = pl.scan_parquet(path).filter(pl.col("id") == identity).sort("start").collect()
    return list(table.iter_rows(named=True))


def leak_lines(leaks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same for a terminal."""
    return [f"holds {place_line(row)}, characters {row['start']} to {row['end']} of the text "
            "before this step" for row in leaks]  # fmt: skip
