"""The duplicates of a run on its report: how many, how large the clusters, how alike."""

from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.charts import PALETTE, Bar, bar_chart
from yanmo.files import read_json
from yanmo.report import Page, Table, show

from .verify_duplicates import MEASURES, VERIFY_NAME, said

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
    page.add_heading("Duplicates", anchor="duplicates")
    table = pl.scan_parquet(path)
    sizes = table.group_by("cluster").agg(
        pl.len().alias("n"), (pl.col("how") == "kept").sum().alias("kept")
    )
    found = sizes.collect()
    rows = []
    for low, high in SIZES:
        enough = pl.col("n") >= low
        some = found.filter(enough if high is None else enough & (pl.col("n") <= high))
        label = f"{low} and more" if high is None else f"{low}" if low == high else f"{low}–{high}"
        rows.append([label, some.height, int(some["n"].sum()), int(some["kept"].sum())])
    columns = ["documents of a cluster", "clusters", "documents", "kept"]
    page.add_table(Table("Clusters", columns, rows))
    verified = run / "duplicates" / VERIFY_NAME
    if not verified.is_file():
        page.add_text("Not verified: `--verify` compares removed documents with the kept ones.")
        return
    _verified(page, read_json(verified))


def _verified(page: Page, result: dict[str, Any]) -> None:
    page.add_text(said(result))
    for name in MEASURES:
        bars = [Bar(f"{low:.2f}–{low + 0.05:.2f}", count, show(count), PALETTE[2 * (low >= 0.7)])
                for low, count in result[name]["histogram"] if count]  # fmt: skip
        title = {"char5": "character 5-grams", "token5": "token 5-grams"}[name]
        page.add_svg(bar_chart(f"Removed documents by Jaccard similarity of {title}", bars))
    rows = [[w["id"], w["kept_id"], w["how"], f"{w['char5']:.3f}", f"{w['token5']:.3f}"]
            for w in result["worst"]]  # fmt: skip
    columns = ["removed", "kept", "how", "characters", "tokens"]
    page.add_table(Table("Least alike", columns, rows))
