"""What every kept document of a duplicate cluster stands for: how many, whose, since when."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import iterate, write_part
from yanmo.tasks import Done, Task

if TYPE_CHECKING:
    from .run_recipe import CurateRecipe

CLUSTERS_NAME: Final = "clusters.parquet"

WEIGHTS: Final = ((1, 1), (2, 2), (3, 3), (5, 5), (100, 8), (1000, 1))
"""From so many documents on, how often the one that is kept counts. Source: FineWeb-2, which brings
back documents ("rehydration") by the size of their MinHash cluster: 1, 2 and 3 once each, 4 as 3,
5 to 99 as 5, 100 to 999 as 8; clusters of 1000 and more, mostly spam, once."""

CLUSTERS_SCHEMA: Final = pa.schema(
    [
        pa.field("kept_id", pa.string(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("cluster_size", pa.int64(), nullable=False),
        pa.field("exact", pa.int64(), nullable=False),
        pa.field("near", pa.int64(), nullable=False),
        pa.field("sources", pa.list_(pa.string()), nullable=False),
        pa.field("domains", pa.list_(pa.string()), nullable=False),
        ("first_timestamp", pa.string()),
        ("last_timestamp", pa.string()),
        pa.field("weight", pa.int64(), nullable=False),
    ]
)
"""A row for every kept document that has duplicates: ``size`` counts it and what it stands for
(``exact`` and ``near`` of these were removed), ``cluster_size`` the whole cluster, which may keep
several; sources, host names and timestamps are of all documents that ``size`` counts; ``weight`` is
that of ``size``. A document that is not listed has size and weight 1."""


def list_clusters(
    run: Callable[[Sequence[Task]], list[Done]], cleaned: Sequence[Done],
    duplicates: Done | None, settings: "CurateRecipe",
) -> Done | None:  # fmt: skip
    """Run the tasks that write ``clusters.parquet``, if the recipe asks for it."""
    if duplicates is None or not settings.duplicates.clusters:
        return None
    table, module = duplicates.input("documents.parquet"), "yanmo.curate.cluster_table"
    members = run([Task("cluster-members", f"{module}:cluster_part",
                        (c.input("documents.parquet"), table)) for c in cleaned])  # fmt: skip
    inputs = tuple(d.input("members.parquet") for d in members)
    return run([Task("clusters", f"{module}:cluster_table", inputs)])[0]


def cluster_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Where the clustered documents of one part are from: ``members.parquet``.

    Args:
        inputs: the part (document table), the table of duplicates.
        parameters: none.
        out: folder to write.

    Returns:
        ``{"documents"}``.
    """
    names = ["id", "source", "url", "timestamp"]
    part = pq.read_table(inputs[0], columns=names)
    ids = part["id"].combine_chunks()
    columns = ["id", "cluster", "kept_id", "how"]
    found = [b.filter(pc.is_in(b.column("id"), value_set=ids))
             for b in iterate([inputs[1]], columns=columns, batch_rows=1 << 16)]  # fmt: skip
    schema = pa.schema([(name, pa.string()) for name in columns])
    table = pa.Table.from_batches(found).cast(schema) if found else schema.empty_table()
    rows = part.take(pc.index_in(table["id"].combine_chunks(), value_set=ids))
    host = pc.struct_field(
        pc.extract_regex(
            rows["url"], r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>[^/:?#]+)"
        ),
        "host",
    )
    table = table.drop_columns(["id"]).append_column("domain", pc.utf8_lower(host))
    for name in ("source", "timestamp"):
        table = table.append_column(name, rows[name])
    write_part(out / "members.parquet", table.combine_chunks())
    return {"documents": table.num_rows}


def cluster_table(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """``clusters.parquet`` in CLUSTERS_SCHEMA, by ``kept_id``.

    Args:
        inputs: ``members.parquet`` of each part.
        parameters: none.
        out: folder to write.

    Returns:
        ``{"rows", "documents", "weight"}``: rows, the documents that they stand for, their weights.
    """
    import polars as pl

    members = pl.concat([pl.read_parquet(path) for path in inputs])
    whole = members.group_by("cluster").agg(pl.len().cast(pl.Int64).alias("cluster_size"))
    table = (
        members.group_by("kept_id")
        .agg(
            pl.col("cluster").first(),
            pl.len().cast(pl.Int64).alias("size"),
            *((pl.col("how") == how).sum().cast(pl.Int64).alias(how) for how in ("exact", "near")),
            pl.col("source").unique().sort().alias("sources"),
            pl.col("domain").drop_nulls().unique().sort().alias("domains"),
            pl.col("timestamp").min().alias("first_timestamp"),
            pl.col("timestamp").max().alias("last_timestamp"),
        )
        .join(whole, on="cluster", how="left")
        .sort("kept_id")
    )
    weights = pl.Series("weight", [weight(size) for size in table["size"].to_list()], pl.Int64)
    table = table.with_columns(weights).select(CLUSTERS_SCHEMA.names)
    write_part(out / CLUSTERS_NAME, table.to_arrow().cast(CLUSTERS_SCHEMA))
    return {"rows": table.height, "documents": members.height, "weight": int(weights.sum())}


def weight(size: int) -> int:
    """How often a document counts that stands for so many, itself included."""
    return [factor for least, factor in WEIGHTS if size >= least][-1]
