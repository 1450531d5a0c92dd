"""Documents to show in a run's report: a few of each group, read without the text of the others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from yanmo.documents import part_paths


def samples(folder: Path, *, count: int, by: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """The rows with the smallest ids of each group: the same on every machine.

    Ids alone are read of all rows; then the row groups that hold a chosen row, one after another.

    Args:
        folder: Parquet parts.
        count: rows of a group.
        by: the column that makes the groups; all rows are one group, "", without it.

    Returns:
        Rows by group, sorted by id.
    """
    paths = part_paths(folder)
    found = [_smallest(path, number, count=count, by=by) for number, path in enumerate(paths)]
    chosen = _first(pl.concat(found), count)
    rows = _rows(paths, chosen)
    groups: dict[str, list[dict[str, Any]]] = {}
    for group, part, row in chosen.select("group", "part", "row").iter_rows():
        groups.setdefault(group, []).append(rows[part, row])
    return groups


def _smallest(path: Path, number: int, *, count: int, by: str | None) -> pl.DataFrame:
    table = pl.from_arrow(pq.read_table(path, columns=["id"] if by is None else ["id", by]))
    assert isinstance(table, pl.DataFrame)
    group = pl.lit("") if by is None else pl.col(by)
    frame = table.with_row_index("row").select(
        "id",
        group.cast(pl.String).alias("group"),
        pl.lit(number, pl.Int64).alias("part"),
        pl.col("row").cast(pl.Int64),
    )
    return _first(frame, count)


def _first(frame: pl.DataFrame, count: int) -> pl.DataFrame:
    return frame.sort("group", "id").group_by("group", maintain_order=True).head(count)


def _rows(paths: Sequence[Path], chosen: pl.DataFrame) -> dict[tuple[int, int], dict[str, Any]]:
    """The chosen rows by part and row, all columns."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    wanted = chosen.select("part", "row").sort("part", "row")
    for part, numbers in wanted.group_by("part", maintain_order=True).agg("row").iter_rows():
        with pq.ParquetFile(paths[part]) as file:
            start, left = 0, list(numbers)
            for index in range(file.num_row_groups):
                end = start + file.metadata.row_group(index).num_rows
                inside = [row for row in left if row < end]
                if inside:
                    table = file.read_row_group(index).take([row - start for row in inside])
                    rows |= zip(((part, row) for row in inside), table.to_pylist(), strict=True)
                    left = left[len(inside) :]
                start = end
    return rows
