"""The duplicates of a run on its report: how many, how large the clusters, how alike."""

from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.charts import PALETTE, Bar, bar_chart
from yanmo.files import read_json
from yanmo.report import Bilingual, Page, Table, show

from .report_words import say
from .verify_duplicates import MEASURES, PROMISED, VERIFY_NAME

SIZES: Final = ((2, 2), (3, 4), (5, 99), (100, 999), (1000, None))
"""Cluster sizes told apart. Source: FineWeb-2's weights of clusters."""


def duplicates_section(page: Page, run: Path) -> None:
    """Add the section; nothing where no duplicates were looked for.

    Args:
        page: the report.
        run: the run folder.
    """
    path = run / "duplicates" / "documents.parquet"
    if not path.is_file():
        return
    page.add_heading(say("Duplicates"), anchor="duplicates")
    table = pl.scan_parquet(path)
    sizes = table.group_by("cluster").agg(
        pl.len().alias("n"), (pl.col("how") == "kept").sum().alias("kept")
    )
    found = sizes.collect()
    rows = []
    for low, high in SIZES:
        enough = pl.col("n") >= low
        some = found.filter(enough if high is None else enough & (pl.col("n") <= high))
        label = f"{low}" if low == high else f"{low}–{high}"
        label = say("{low} and more", low=low) if high is None else label
        rows.append([label, some.height, int(some["n"].sum()), int(some["kept"].sum())])
    columns = ["documents of a cluster", "clusters", "documents", "kept"]
    page.add_table(Table(say("Clusters"), [say(name) for name in columns], rows))
    verified = run / "duplicates" / VERIFY_NAME
    if not verified.is_file():
        said = "Not verified: `--verify` compares removed documents with the kept ones."
        page.add_text(say(said))
        return
    _verified(page, read_json(verified))


def _verified(page: Page, result: dict[str, Any]) -> None:
    page.add_text(verified_line(result))
    for name in MEASURES:
        bars = [Bar(f"{low:.2f}–{low + 0.05:.2f}", count, show(count), PALETTE[2 * (low >= 0.7)])
                for low, count in result[name]["histogram"] if count]  # fmt: skip
        of = {"char5": "character 5-grams", "token5": "token 5-grams"}[name]
        title = say(f"Removed documents by Jaccard similarity of {of}")
        page.add_svg(bar_chart(title, bars))
    rows = [[w["id"], w["kept_id"], w["how"], f"{w['char5']:.3f}", f"{w['token5']:.3f}"]
            for w in result["worst"]]  # fmt: skip
    columns = ["removed", "kept", "how", "characters", "tokens"]
    page.add_table(Table(say("Least alike"), [say(name) for name in columns], rows))


def verified_line(result: dict[str, Any]) -> Bilingual:
    """The findings in one line; in English what the run prints."""
    low = result["char5"]["below_0.7"]
    line = (
        "Verified {compared} of {removed} removed duplicates ({which}): {count} ({share}) have a "
        "Jaccard similarity of character 5-grams below {promised} with the document kept."
    )
    return say(
        line,
        compared=f"{result['compared']:,}",
        removed=f"{result['removed']:,}",
        which=say("a sample by id" if result["sampled"] else "all"),
        count=f"{low['count']:,}",
        share=f"{low['share']:.2%}",
        promised=PROMISED,
    )
