"""Which documents are held out: whole components of duplicate clusters and sites, never a part.

Two documents belong together if they share a duplicate cluster or a site, also over others; so no
near-duplicate and no site stands on both sides. Components are taken in an order made of the seed
and their smallest document id, as long as no source is held out beyond its budget (bytes of text);
a component that does not fit is left where it is.
"""

import ipaddress
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import xxhash

from yanmo.documents import read_columns, write_part

from .clusters import connect, group_bounds
from .utf8 import kernel

COLUMNS: Final = ("id", "source", "url", "n_bytes")
SPLIT_SCHEMA: Final = pa.schema(
    [("cluster", pa.string()), pa.field("heldout", pa.bool_(), nullable=False)]
)
"""One row a document of the part, in order."""
ROOTS: Final = "roots.npy"
"""uint32, one a document over all parts: which documents belong together."""

_HOST: Final = r"(?i)^(?:[a-z][a-z0-9+.\-]*:)?(?://)?(?:[^/?#@]*@)?(\[[0-9a-f:.]+\]|[^/?#:\s\\]+)"

# Names that registries of two-letter domains sell below, and the provinces below .cn.
_THREE_LABELS: Final = re.compile(
    r"\.(?:(?:com|net|org|gov|edu|ac|co|or|ne|go|mil|gob|idv|sch|ltd|plc|nom|info|biz)\.[a-z]{2}"
    r"|(?:ah|bj|cq|fj|gd|gs|gx|gz|ha|hb|he|hi|hk|hl|hn|jl|js|jx|ln|mo|nm|nx|qh|sc|sd|sh|sn|sx|tj"
    r"|tw|xj|xz|yn|zj)\.cn)"
)

Int = npt.NDArray[np.int64]


def site_of(host: str) -> str | None:
    """The name a site is registered under: ``news.sina.com.cn`` belongs to ``sina.com.cn``.

    Two labels, three below the usual second-level names of two-letter domains; a number address is
    its own site. All pages of a hosting platform are one site, which errs on the safe side.

    Returns:
        ``None`` if the name has no dot (``localhost``, or no host name at all).
    """
    host = host.strip("[].").lower()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        labels = [label for label in host.split(".") if label]
    if len(labels) < 2:
        return None
    three = _THREE_LABELS.fullmatch("." + ".".join(labels[-2:]))
    return ".".join(labels[-3 if three else -2 :])


def sites(urls: pa.ChunkedArray) -> pl.Series:
    """The site of every address; null where there is no address or no site in it."""
    hosts = pl.Series("site", urls, dtype=pl.String).str.extract(_HOST, 1)
    names = hosts.drop_nulls().unique(maintain_order=True).to_list()
    known = {host: site_of(host) for host in names}
    return hosts.replace_strict(list(known), list(known.values()), default=None,
                                return_dtype=pl.String)  # fmt: skip


def plan_split(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Decide for every document; writes ``split-00000.parquet`` … (SPLIT_SCHEMA) for each part.

    Args:
        inputs: table of duplicates if ``duplicates`` says so, then the document parts.
        parameters: ``duplicates``, ``holdout_fraction`` (of the bytes of each source), ``seed``.
        out: folder to write.

    Returns:
        ``{"documents", "components", "heldout": {source: {"documents", "bytes", "of_bytes"}}}``.
    """
    parts = inputs[1:] if parameters["duplicates"] else inputs
    clusters = pl.DataFrame(schema={"id": pl.String, "cluster": pl.String})
    if parameters["duplicates"]:
        clusters = pl.read_parquet(inputs[0], columns=["id", "cluster"])
    tables = [_part_columns(path) for path in parts]
    frame = pl.concat(tables).join(clusters, on="id", how="left", maintain_order="left")
    roots = _components(frame)
    heldout = _choose(frame, roots, parameters["holdout_fraction"], parameters["seed"])
    np.save(out / ROOTS, roots)
    start = 0
    for number, table in enumerate(tables):
        rows = slice(start, start + len(table))
        split = pa.table({"cluster": frame["cluster"][rows].to_arrow().cast(pa.string()),
                          "heldout": heldout[rows]}, schema=SPLIT_SCHEMA)  # fmt: skip
        write_part(out / f"split-{number:05d}.parquet", split)
        start = rows.stop
    totals = (
        frame.with_columns(pl.Series("held", heldout))
        .group_by("source")
        .agg(
            pl.col("held").sum().alias("documents"),
            (pl.col("n_bytes") * pl.col("held")).sum().alias("bytes"),
            pl.col("n_bytes").sum().alias("of_bytes"),
        )
        .sort("source")
    )
    by_source = {row.pop("source"): row for row in totals.to_dicts()}
    return {
        "documents": len(frame),
        "components": len(np.unique(roots)),
        "heldout": by_source,
    }


def _part_columns(path: Path) -> pl.DataFrame:
    table = read_columns(path, COLUMNS)
    columns = {name: pl.Series(name, table.column(name)) for name in ("id", "source", "n_bytes")}
    return pl.DataFrame(columns).with_columns(sites(table.column("url")).alias("site"))


def _components(frame: pl.DataFrame) -> npt.NDArray[np.uint32]:
    rows = frame.select("cluster", "site").with_row_index("row")
    pairs = []
    for name in ("cluster", "site"):
        first = rows.filter(pl.col(name).is_not_null()).select(
            "row", pl.col("row").min().over(name).alias("first")
        )
        pairs.append(np.ascontiguousarray(first.to_numpy().astype(np.uint32)))
    return connect(pairs, len(frame))


def _choose(
    frame: pl.DataFrame, roots: npt.NDArray[np.uint32], fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Which rows are held out, bool ``[documents]``."""
    sums = (
        frame.select("id", "source", "n_bytes")
        .with_columns(pl.Series("root", roots))
        .with_columns(pl.col("id").min().over("root").alias("name"))
        .group_by("root", "name", "source")
        .agg(pl.col("n_bytes").sum())
    )
    names = sums["name"].to_list()
    keys = np.fromiter(
        (xxhash.xxh3_64_intdigest(f"{seed}\0{name}".encode()) for name in names),
        np.uint64, len(names),
    )  # fmt: skip
    # The name decides where two components have one key.
    sums = sums.with_columns(pl.Series("key", keys)).sort("key", "name", "source")
    sources = sorted(set(frame["source"].to_list()))
    codes = sums["source"].replace_strict(sources, range(len(sources)), return_dtype=pl.Int64)
    total = frame.group_by("source").agg(pl.col("n_bytes").sum()).sort("source")
    budget = np.floor(total["n_bytes"].to_numpy() * fraction).astype(np.int64)
    bounds = group_bounds(sums["name"].rle_id().to_numpy())
    source, size = (c.to_numpy().astype(np.int64) for c in (codes, sums["n_bytes"]))
    chosen = _fill(bounds, source, size, budget)
    taken = sums["root"].to_numpy()[np.repeat(chosen, np.diff(bounds))]
    return np.isin(roots, taken)


@kernel
def _fill(bounds: Int, source: Int, size: Int, budget: Int) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(len(bounds) - 1, np.bool_)
    left = budget.copy()
    for component in range(len(chosen)):
        fits = True
        for i in range(bounds[component], bounds[component + 1]):
            fits &= size[i] <= left[source[i]]
        # A source whose budget is spent takes no further empty documents either.
        for i in range(bounds[component], bounds[component + 1]):
            fits &= left[source[i]] > 0
        if fits:
            chosen[component] = True
            for i in range(bounds[component], bounds[component + 1]):
                left[source[i]] -= size[i]
    return chosen
