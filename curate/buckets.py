"""Buckets of quality: each source cut into parts of equal tokens by a score of its documents."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.errors import DataError, UsageError
from yanmo.order import document_column, source_codes
from yanmo.recipe import did_you_mean
from yanmo.shards import Shards

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Buckets:
    """Which bucket each document of some shards is in.

    Attributes:
        numbers: (documents,) uint8: 1 is the worst, ``count`` the best; 0 has no score.
        count: buckets a source.
        about: for a reader: the table, the column, the edges of each source.
    """

    numbers: npt.NDArray[np.uint8]
    count: int
    about: dict[str, Any]


def make_buckets(shards: Shards, table: Path, column: str, count: int) -> Buckets:
    """Cut every source into ``count`` buckets of about equal tokens, by score.

    Documents of one score share a bucket, so buckets can differ in size, and with few distinct
    scores some are empty.

    Args:
        shards: opened shards.
        table: id and score of documents: a run folder (its signals), Parquet, CSV or JSONL.
        column: the score; more is better.
        count: buckets a source.

    Raises:
        UsageError: no such table or column.
        DataError: the column holds no numbers, an id comes twice, or none is in the shards.
    """
    scores = document_scores(shards, table, column)
    names, codes = source_codes(shards)
    lengths = np.diff(shards.document_ends, prepend=0)
    numbers = np.zeros(len(codes), np.uint8)
    edges: dict[str, list[float]] = {}
    for code, name in enumerate(names):
        mine = np.flatnonzero((codes == code) & ~np.isnan(scores))
        if len(mine):
            cuts = token_quantiles(scores[mine], lengths[mine], count)
            numbers[mine] = 1 + np.searchsorted(cuts, scores[mine], side="left")
            edges[name] = cuts.tolist()
    about = {"table": str(table), "column": column, "count": count, "edges": edges,
             "unscored": int((numbers == 0).sum())}  # fmt: skip
    return Buckets(numbers, count, about)


def token_quantiles(scores: F64, lengths: npt.NDArray[np.int64], count: int) -> F64:
    """The ``count - 1`` scores up to which k / count of the tokens lie, rising."""
    order = np.argsort(scores, kind="stable")
    tokens = np.cumsum(lengths[order])
    wanted = [-(-int(tokens[-1]) * k // count) for k in range(1, count)]
    cuts: F64 = scores[order][np.searchsorted(tokens, wanted)]
    return cuts


def document_scores(shards: Shards, table: Path, column: str) -> F64:
    """The score of each document of the shards, NaN where the table has none."""
    found = _read(table, column)
    twice = found.filter(pl.col("id").is_duplicated())
    if twice.height:
        raise DataError("an id comes twice in the table of scores", where=table,
                        value=twice["id"][0])  # fmt: skip
    ids = pl.DataFrame({"id": pl.from_arrow(document_column(shards, "id"))})
    joined = ids.join(found, on="id", how="left", maintain_order="left")
    scores: F64 = joined[column].cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    if np.isnan(scores).all():
        raise DataError("no document of the shards has a score in the table", where=table,
                        value=column, fix="Are they of the run that was packed?")  # fmt: skip
    return scores


def _read(path: Path, column: str) -> pl.DataFrame:
    if not path.exists():
        raise UsageError("no such table of scores", where=path, fix="Check the path.")
    try:
        frame = _scan(path)
        names = frame.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"cannot read the table of scores ({error})", where=path) from None
    for name, kind in (("id", "column of ids"), (column, "column")):
        if name not in names:
            raise UsageError(f"no such {kind} in the table", where=path, value=name,
                             fix=did_you_mean(name, names))  # fmt: skip
    found = frame.select("id", column).collect()
    if not (found.schema[column].is_numeric() or found.schema[column] == pl.Boolean):
        raise DataError("the scores are no numbers", where=path, value=column,
                        fix=f"The column holds {found.schema[column]}.")  # fmt: skip
    return found


def _scan(path: Path) -> pl.LazyFrame:
    if path.is_dir():
        folder = path / "signals" if (path / "signals").is_dir() else path
        files = sorted(folder.glob("*.parquet"))
        if not files:
            raise UsageError("no Parquet files here", where=folder,
                             fix="Give a run folder, or a table of ids and scores.")  # fmt: skip
        return pl.scan_parquet(files)
    if path.suffix in (".jsonl", ".ndjson"):
        return pl.scan_ndjson(path)
    if path.suffix in (".csv", ".tsv"):
        return pl.scan_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return pl.scan_parquet(path)
