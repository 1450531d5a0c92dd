"""Duplicate spans, and what earlier runs held, on the report of a run."""

from pathlib import Path
from typing import Final

import polars as pl

from yanmo.report import Page, Table

from .report_words import say

MOST: Final = 15  # rows of the table of spans that most documents hold
SHOWN_CHARS: Final = 100


def earlier_section(page: Page, run: Path) -> None:
    """How many documents each earlier run held; nothing where no index was looked up."""
    paths = sorted((run / "duplicates").glob("index-*.parquet"))
    if not paths:
        return
    page.add_heading(say("Held by earlier runs"), anchor="earlier")
    counts = (
        pl.scan_parquet(paths)
        .group_by("run")
        .agg(*((pl.col("how") == how).sum().alias(how) for how in ("index_exact", "index_near")),
             pl.col("kept_id").n_unique().alias("twins"))
        .sort("run")
        .collect()
    )  # fmt: skip
    columns = ["run of the index", "equal text", "alike", "documents there"]
    page.add_table(Table("", [say(name) for name in columns], [list(row) for row in counts.rows()]))


def spans_section(page: Page, run: Path) -> None:
    """What was found of each kind, and the spans that most documents hold; nothing if off."""
    paths = sorted((run / "duplicates").glob("lines-*.parquet"))
    if not paths:
        return
    page.add_heading(say("Spans that several documents hold"), anchor="spans")
    table = pl.scan_parquet(paths)
    kinds = (
        table.group_by("kind", "action")
        .agg(pl.len(), pl.col("hash").n_unique().alias("different"), pl.col("id").n_unique(),
             (pl.col("end") - pl.col("start")).sum().alias("chars"))
        .sort("kind")
        .collect()
    )  # fmt: skip
    columns = ["kind", "action", "spans", "different", "in documents", "characters"]
    page.add_table(Table("", [say(name) for name in columns], [list(row) for row in kinds.rows()]))
    said = "Spans may overlap; what was taken out, character by character, is in the books."
    page.add_text(say(said))
    most = (
        table.group_by("kind", "hash")
        .agg(
            pl.len(),
            pl.col("documents").max().fill_null(0),
            pl.col("first_id").min(),
            pl.col("text").min(),
        )
        .sort(["documents", "len", "kind", "hash"], descending=[True, True, False, False])
        .head(MOST)
        .collect()
    )
    rows = [[kind, documents or None, count, first, " ".join((text or "").split())[:SHOWN_CHARS]]
            for kind, _, count, documents, first, text in most.rows()]  # fmt: skip
    columns = ["kind", "documents", "spans", "stays in", "text"]
    page.add_table(Table(say("In most documents"), [say(name) for name in columns], rows))
