"""From pairs of duplicates to clusters, and from clusters to the document that stays.

A cluster is a connected component of duplicate pairs. In it the documents are taken in the order
of the keep policy; each is removed if it resembles one that already stays, and stays otherwise. So
a removed document always resembles its ``kept_id``, also where a cluster is a chain of versions
whose ends have little in common; such a cluster keeps more than one document.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import write_part
from yanmo.errors import DataError, UsageError

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
``jaccard`` is the similarity to ``kept_id``, estimated from the signatures (1 if the texts are
equal)."""

MEMBER_COLUMNS: Final = ("id", "source", "timestamp", "n_chars")
KEEP_POLICIES: Final = ("longest", "earliest", "source-priority")

# A document is compared with at most so many that stay. More are only reached by clusters that
# drift a lot (each further one stays, which is the safe side), and the cost stays linear: 100 000
# documents are compared in half a second.
MAX_KEPT: Final = 256
BATCH_DOCUMENTS: Final = 1 << 18  # signatures of a batch of clusters: 117 MB at 112 permutations

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


class SignatureParts:
    """The signatures of all documents, memory-mapped part by part, addressed by global index.

    Args:
        paths: ``.npy`` files, uint32 ``[documents of the part, permutations]``.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.parts = [np.load(path, mmap_mode="r") for path in paths]
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)], dtype=np.int64)
        self.permutations = self.parts[0].shape[1] if self.parts else 0

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, index: npt.NDArray[Any]) -> U32:
        """The signatures of some documents, uint32 ``[len(index), permutations]``."""
        out = np.empty((len(index), self.permutations), np.uint32)
        owner = np.searchsorted(self.starts, index, side="right") - 1
        for part in np.unique(owner).tolist():
            at = np.flatnonzero(owner == part)
            out[at] = self.parts[part][index[at] - self.starts[part]]
        return out


def batches(bounds: I64, *, limit: int = BATCH_DOCUMENTS) -> Iterator[tuple[int, int]]:
    """Cut groups into runs of whole groups of at most ``limit`` members (at least one group).

    Args:
        bounds: where each group starts, and the end of the last, int64 ``[groups + 1]``.
        limit: members a run.
    """
    first = 0
    while first < len(bounds) - 1:
        last = int(np.searchsorted(bounds, bounds[first] + limit, side="right")) - 1
        last = min(max(last, first + 1), len(bounds) - 1)
        yield first, last
        first = last


def group_bounds(sorted_keys: npt.NDArray[Any]) -> I64:
    """Where runs of equal keys start, and the end of the last, int64 ``[groups + 1]``."""
    if len(sorted_keys) == 0:
        return np.zeros(1, np.int64)
    changes = np.flatnonzero(sorted_keys[1:] != sorted_keys[:-1]) + 1
    return np.concatenate([[0], changes, [len(sorted_keys)]]).astype(np.int64)


def least_matches(min_jaccard: float | None, permutations: int) -> int:
    """Equal signature values that ``min_jaccard`` asks for; 0 if it is off."""
    return 0 if min_jaccard is None else int(np.ceil(min_jaccard * permutations - 1e-9))


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


@kernel
def _choose(signature: U32, bounds: I64, least: int, kept: I64, matches: I64) -> None:
    stays = np.empty(MAX_KEPT, np.int64)
    for group in range(len(bounds) - 1):
        n = 0
        for i in range(bounds[group], bounds[group + 1]):
            kept[i], matches[i] = i, signature.shape[1]
            for j in range(n):
                equal = 0
                for p in range(signature.shape[1]):
                    equal += signature[i, p] == signature[stays[j], p]
                if equal >= least:
                    kept[i], matches[i] = stays[j], equal
                    break
            if kept[i] == i and n < MAX_KEPT:
                stays[n] = i
                n += 1


def read_members(paths: Sequence[Path], wanted: npt.NDArray[Any]) -> pa.Table:
    """The columns that decide what is kept, of some documents.

    Args:
        paths: one Parquet file per part with ``MEMBER_COLUMNS``.
        wanted: global indices, increasing.

    Returns:
        One row per wanted document, in that order.
    """
    tables: list[pa.Table] = []
    start = 0
    for path in paths:
        rows = pq.read_metadata(path).num_rows
        low, high = np.searchsorted(wanted, [start, start + rows])
        if high > low:
            table = pq.read_table(path, columns=list(MEMBER_COLUMNS))
            tables.append(table.take(pa.array(wanted[low:high] - start)))
        start += rows
    if start and len(wanted) and wanted[-1] >= start:
        raise DataError("a document index is beyond the parts", value=int(wanted[-1]))
    return pa.concat_tables(tables) if tables else _no_members()


def _no_members() -> pa.Table:
    types = (pa.string(), pa.string(), pa.string(), pa.int64())
    return pa.schema(list(zip(MEMBER_COLUMNS, types, strict=True))).empty_table()


def read_alive(path: Path) -> npt.NDArray[np.bool_]:
    """Which rows of a part take part: a ``.npy`` mask, or the ``kept`` column of a Parquet file."""
    mask: npt.NDArray[np.bool_]
    if path.suffix == ".npy":
        mask = np.load(path)
    else:
        mask = pq.read_table(path, columns=["kept"]).column("kept").to_numpy()
    return mask


def keep_order(
    members: pa.Table, groups: npt.NDArray[Any], *, keep: str, source_priority: Sequence[str]
) -> I64:
    """Order documents by group and, in a group, from the one to keep to the last.

    Args:
        members: ``MEMBER_COLUMNS``.
        groups: group of each, any integers.
        keep: ``longest`` (most characters), ``earliest`` (smallest timestamp as text, which is the
            time for ISO 8601; those without come last), or ``source-priority``.
        source_priority: names of sources, best first; all others come after them.

    Returns:
        Row numbers. Ties go to the smaller id.

    Raises:
        UsageError: no such policy.
    """
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(members)).with_columns(pl.Series("group", groups))
    if keep == "longest":
        key, descending = pl.col("n_chars"), True
    elif keep == "earliest":
        key, descending = pl.col("timestamp"), False
    elif keep == "source-priority":
        known = {name: place for place, name in enumerate(source_priority)}
        rank = pl.col("source").replace_strict(
            list(known), list(known.values()), default=len(known), return_dtype=pl.Int64
        )
        key, descending = rank if known else pl.lit(0), False
    else:
        raise UsageError("no such keep policy", value=keep,
                         fix=f"Choose one of {', '.join(KEEP_POLICIES)}.")  # fmt: skip
    order = frame.select(
        pl.arg_sort_by(
            "group",
            key,
            "id",
            descending=[False, descending, False],
            nulls_last=[False, True, False],
        )
    )
    return order.to_series().to_numpy().astype(np.int64)


def cluster(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Clusters of near duplicates: ``documents.parquet`` in DUPLICATES_SCHEMA.

    Args:
        inputs: the edge files of all bands, then for each part ``members.parquet``, then for each
            part ``signatures.npy``.
        parameters: ``bands``, ``parts``, ``keep``, ``source_priority``, ``min_jaccard``.
        out: folder to write.

    Returns:
        ``{"documents", "clusters", "clustered", "removed", "largest"}``.
    """
    bands, parts = parameters["bands"], parameters["parts"]
    edge_files, member_files = inputs[:bands], inputs[bands : bands + parts]
    signatures = SignatureParts(inputs[bands + parts :])
    roots = connect((np.load(path, mmap_mode="r") for path in edge_files), len(signatures))
    # A root has itself as the smallest; a component has a second member or is none.
    leaves = np.flatnonzero(roots != np.arange(len(roots), dtype=np.uint32))
    wanted = np.union1d(leaves, roots[leaves]).astype(np.int64)
    members = read_members(member_files, wanted)
    policy = {name: parameters[name] for name in ("keep", "source_priority")}
    order = keep_order(members, roots[wanted], **policy)
    bounds = group_bounds(roots[wanted][order])
    kept = np.empty(len(order), np.int64)
    matches = np.empty(len(order), np.int64)
    least = least_matches(parameters["min_jaccard"], signatures.permutations)
    for first, last in batches(bounds):
        rows = slice(bounds[first], bounds[last])
        some = signatures.take(wanted[order[rows]])
        _choose(some, bounds[first : last + 1] - rows.start, least, kept[rows], matches[rows])
        kept[rows] += rows.start
    ids = members.column("id").combine_chunks().take(pa.array(order))
    jaccard = matches / max(signatures.permutations, 1)
    table = duplicates_table(ids, bounds, kept, how="near", jaccard=jaccard)
    write_part(out / "documents.parquet", table)
    return {
        "documents": len(signatures),
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
