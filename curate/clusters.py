"""From pairs of duplicates to clusters, and from clusters to the document that stays.

A cluster is a connected component of duplicate pairs. In it the documents are taken in the order
of the keep policy; each is removed if it resembles one that already stays, and stays otherwise. So
a removed document always resembles its ``kept_id``, also where a cluster is a chain of versions
whose ends have little in common; such a cluster keeps more than one document.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import write_part

from .keep import check_field, keep_order, read_members
from .resemble import SketchParts, lead
from .utf8 import kernel

if TYPE_CHECKING:
    import polars as pl

DUPLICATES_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("kept_id", pa.string(), nullable=False),
        pa.field("how", pa.string(), nullable=False),
        pa.field("jaccard", pa.float64(), nullable=False),
    ]
)
"""A row for every document that has a duplicate, sorted by cluster and id.

``cluster`` is the smallest id in it; ``kept_id`` the document that stays in its place, itself if it
stays; ``how`` is ``exact`` or ``near`` for a removed document, ``kept`` for one that stays;
``jaccard`` is the similarity to ``kept_id`` by :mod:`yanmo.curate.resemble` (1 if the texts are
equal)."""

# A document is compared with so many that stay in its cluster at a time. More are only reached by
# clusters that drift a lot (what is compared with too few stays, which is the safe side).
MAX_KEPT: Final = 256

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


def group_bounds(sorted_keys: npt.NDArray[Any]) -> I64:
    """Where runs of equal keys start, and the end of the last, int64 ``[groups + 1]``."""
    if len(sorted_keys) == 0:
        return np.zeros(1, np.int64)
    changes = np.flatnonzero(sorted_keys[1:] != sorted_keys[:-1]) + 1
    return np.concatenate([[0], changes, [len(sorted_keys)]]).astype(np.int64)


def connect(pairs: Iterable[npt.NDArray[Any]], documents: int) -> U32:
    """Union-find over pairs of documents.

    Args:
        pairs: uint32 arrays whose first two columns are document numbers; others are not read.
        documents: how many documents there are.

    Returns:
        For each document the smallest number in its component, uint32 ``[documents]``.
    """
    parent = np.arange(documents, dtype=np.uint32)
    for some in pairs:
        _union(parent, some)
    _flatten(parent)
    return parent


@kernel
def _root(parent: U32, at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]  # path halving
        at = parent[at]
    return at


@kernel
def _union(parent: U32, edges: U32) -> None:
    for i in range(len(edges)):
        a, b = _root(parent, edges[i, 0]), _root(parent, edges[i, 1])
        # The smaller index becomes the root, whatever the order of the edges.
        if a < b:
            parent[b] = a
        else:
            parent[a] = b


@kernel
def _flatten(parent: U32) -> None:
    for i in range(len(parent)):
        # Roots come first in their component, so parents are flat already.
        parent[i] = parent[parent[i]]


def read_alive(path: Path) -> npt.NDArray[np.bool_]:
    """Which rows of a part take part: a ``.npy`` mask, or the ``kept`` column of a Parquet file."""
    mask: npt.NDArray[np.bool_]
    if path.suffix == ".npy":
        mask = np.load(path)
    else:
        mask = pq.read_table(path, columns=["kept"]).column("kept").to_numpy()
    return mask


def cluster(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Clusters of near duplicates: ``documents.parquet`` in DUPLICATES_SCHEMA.

    Args:
        inputs: the edge files (``bands`` of them), then for each part ``members.parquet``, then
            for each ``sketches.bin``, then for each ``bounds.npy``.
        parameters: ``bands``, ``parts``, ``keep``, ``source_priority``, ``min_jaccard``.
        out: folder to write.

    Returns:
        ``{"documents", "clusters", "clustered", "removed", "largest"}``.

    Raises:
        UsageError: ``keep`` names a field that no document has.
    """
    bands, parts = parameters["bands"], parameters["parts"]
    edge_files, member_files = inputs[:bands], inputs[bands : bands + parts]
    check_field(member_files, parameters["keep"])
    sketches = SketchParts(inputs[bands + parts : bands + 2 * parts], inputs[bands + 2 * parts :])
    roots = connect((np.load(path, mmap_mode="r") for path in edge_files), len(sketches))
    # A root has itself as the smallest; a component has a second member or is none.
    leaves = np.flatnonzero(roots != np.arange(len(roots), dtype=np.uint32))
    wanted = np.union1d(leaves, roots[leaves]).astype(np.int64)
    members = read_members(member_files, wanted)
    policy = {name: parameters[name] for name in ("keep", "source_priority")}
    order = keep_order(members, roots[wanted], **policy)
    group = roots[wanted[order]].astype(np.int64)
    kept, jaccard = lead(
        sketches, wanted[order], group, min_jaccard=parameters["min_jaccard"], limit=MAX_KEPT
    )
    ids = members.column("id").combine_chunks().take(pa.array(order))
    bounds = group_bounds(group)
    table = duplicates_table(ids, bounds, kept, how="near", jaccard=jaccard)
    write_part(out / "documents.parquet", table)
    return {
        "documents": len(sketches),
        "clusters": len(bounds) - 1,
        "clustered": len(order),
        "removed": int((kept != np.arange(len(kept))).sum()),
        "largest": int(np.diff(bounds).max(initial=0)),
    }


def duplicates_table(
    ids: pa.Array, bounds: I64, kept: I64, *, how: str, jaccard: npt.NDArray[np.float64]
) -> pa.Table:
    """A table in DUPLICATES_SCHEMA from documents ordered by cluster.

    Args:
        ids: document ids, ``[N]``.
        bounds: where each cluster starts among them, ``[clusters + 1]``.
        kept: for each document the row of the one that stays, ``[N]``.
        how: of the removed ones.
        jaccard: to the one that stays, ``[N]``.
    """
    rows = np.arange(len(ids))
    hows = pc.if_else(pa.array(kept == rows), "kept", how)
    cluster_of = pa.array(np.repeat(np.arange(len(bounds) - 1), np.diff(bounds)), pa.int64())
    table = pa.table({"id": ids, "n": cluster_of, "kept_id": ids.take(pa.array(kept)),
                      "how": hows, "jaccard": jaccard})  # fmt: skip
    return _named(table)


def _named(table: pa.Table) -> pa.Table:
    """Name each cluster ``n`` after its smallest id; sort; give the columns their order."""
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(table)).with_columns(
        pl.col("id").min().over("n").alias("cluster")
    )
    return (
        frame.sort("cluster", "id")
        .select(DUPLICATES_SCHEMA.names)
        .to_arrow()
        .cast(DUPLICATES_SCHEMA)
    )


def combine(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Join exact and near duplicates into one ``documents.parquet``.

    Near duplicates are sought among what exact duplicates left. Where that again removes the kept
    document of an exact cluster, the whole cluster follows it: same cluster, same ``kept_id``.

    Args:
        inputs: table of exact duplicates, table of near duplicates.
        parameters: none.
        out: folder to write.

    Returns:
        ``{"clusters", "clustered", "exact", "near", "kept"}`` (documents).
    """
    import polars as pl

    exact, near = (pl.read_parquet(path) for path in inputs)
    onward = near.select(
        pl.col("id").alias("kept_id"),
        pl.col("cluster").alias("near_cluster"),
        pl.col("kept_id").alias("near_kept"),
        pl.col("jaccard").alias("near_jaccard"),
    )
    moved = exact.join(onward, on="kept_id", how="left", maintain_order="left").with_columns(
        pl.coalesce("near_cluster", "cluster").alias("n"),
        pl.coalesce("near_kept", "kept_id").alias("kept_id"),
        pl.coalesce("near_jaccard", "jaccard").alias("jaccard"),
    )
    # A document that both list is one that exact duplicates kept: near duplicates decide.
    moved = moved.join(near.select("id"), on="id", how="anti", maintain_order="left")
    columns = ["id", "n", "kept_id", "how", "jaccard"]
    both = pl.concat([moved.select(columns), near.rename({"cluster": "n"}).select(columns)])
    table = _named(both.to_arrow())
    write_part(out / "documents.parquet", table)
    return {"clusters": both["n"].n_unique(), "clustered": len(both), **_by_how(both)}


def _by_how(frame: "pl.DataFrame") -> dict[str, int]:
    counts = dict(frame["how"].value_counts().iter_rows())
    return {how: int(counts.get(how, 0)) for how in ("exact", "near", "kept")}
