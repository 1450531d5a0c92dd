"""Clusters against a plain union-find; what stays against the policy's own words."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import clusters
from yanmo.errors import UsageError

Values = np.ndarray[Any, Any]
P = 10  # permutations of the small signatures here
Edge = tuple[int, int]


def smallest_of_component(edges: list[Edge], documents: int) -> list[int]:
    """Oracle: merge sets until nothing changes."""
    groups = [{n} for n in range(documents)]
    for a, b in edges:
        one = next(g for g in groups if a in g)
        other = next(g for g in groups if b in g)
        if one is not other:
            groups.remove(other)
            one |= other
    owner = {n: min(group) for group in groups for n in group}
    return [owner[n] for n in range(documents)]


def write_edges(path: Path, edges: list[Edge]) -> Path:
    rows = [(a, b, P) for a, b in edges]
    np.save(path, np.array(rows, np.uint32).reshape(-1, 3))
    return path


@settings(max_examples=60, deadline=None)
@given(data=st.data(), documents=st.integers(1, 40))
def test_components_equal_a_plain_union_find(data: st.DataObject, documents: int) -> None:
    node = st.integers(0, documents - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=60))
    rows = np.array(edges, np.uint32).reshape(-1, 2)
    halves = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    expected = smallest_of_component(edges, documents)
    assert clusters.connect(halves, documents).tolist() == expected
    assert clusters.connect(halves[::-1], documents).tolist() == expected


def test_a_long_chain_is_one_component() -> None:
    order = np.random.default_rng(3).permutation(100_000)
    edges = np.column_stack([order[:-1], order[1:], order[1:]]).astype(np.uint32)
    assert not clusters.connect([edges], 100_000).any()


def members(*rows: tuple[str, str, str | None, int]) -> pa.Table:
    """Rows of id, source, timestamp, characters."""
    names = clusters.MEMBER_COLUMNS
    types = (pa.string(), pa.string(), pa.string(), pa.int64())
    columns = zip(*rows, strict=True)
    return pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})


FOUR = members(
    ("d", "web", "2020-01-02T00:00:00Z", 50),
    ("c", "news", None, 90),
    ("b", "wiki", "2019-05-01T00:00:00Z", 90),
    ("a", "web", "2019-05-01T00:00:00Z", 10),
)


@pytest.mark.parametrize(
    ("keep", "priority", "expected"),
    [
        ("longest", [], "bcda"),
        ("earliest", [], "abdc"),
        ("source-priority", ["wiki", "web"], "badc"),
        ("source-priority", [], "abcd"),
    ],
)
def test_keep_policies_and_ties_by_id(keep: str, priority: list[str], expected: str) -> None:
    one = np.zeros(4, np.int64)
    order = clusters.keep_order(FOUR, one, keep=keep, source_priority=priority)
    assert "".join(FOUR.column("id")[i].as_py() for i in order) == expected


def test_an_unknown_policy_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="longest, earliest, source-priority"):
        clusters.keep_order(FOUR, np.zeros(4, np.int64), keep="newest", source_priority=[])


def run_cluster(
    folder: Path,
    parts: list[pa.Table],
    values: np.ndarray[Any, Any],
    edges: list[Edge],
    **more: Any,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the step on parts with these members and signatures."""
    sizes = np.cumsum([0, *(part.num_rows for part in parts)])
    files = [write_edges(folder / "edges.npy", edges)]
    for number, part in enumerate(parts):
        files.append(folder / f"members-{number}.parquet")
        pq.write_table(part, files[-1])
    for number in range(len(parts)):
        files.append(folder / f"signatures-{number}.npy")
        np.save(files[-1], values[sizes[number] : sizes[number + 1]].astype(np.uint32))
    parameters = {"bands": 1, "parts": len(parts), "keep": "longest", "source_priority": [],
                  "min_jaccard": 0.7} | more  # fmt: skip
    (folder / "out").mkdir(exist_ok=True)
    result = clusters.cluster(files, parameters, folder / "out")
    return result, pq.read_table(folder / "out" / "documents.parquet").to_pylist()


def chain(length: int, step: int) -> Values:
    """Signatures of versions, each ``step`` of 10 values away from the one before."""
    values = np.zeros((length, P), np.uint32)
    for n in range(1, length):
        values[n] = values[n - 1]
        at = np.arange((n - 1) * step, n * step) % P
        values[n, at] = n
    return values


def test_every_removed_document_resembles_the_one_that_stays(tmp_path: Path) -> None:
    # Five versions, 2 of 10 values changed each time: only neighbours reach 0.7.
    table = members(*((f"v{n}", "s", None, 100 - n) for n in range(5)))
    edges = [(n, n + 1) for n in range(4)]
    result, rows = run_cluster(tmp_path, [table[:2], table[2:]], chain(5, 2), edges)
    assert [(r["id"], r["cluster"], r["kept_id"], r["how"]) for r in rows] == [
        ("v0", "v0", "v0", "kept"),
        ("v1", "v0", "v0", "near"),
        ("v2", "v0", "v2", "kept"),
        ("v3", "v0", "v2", "near"),
        ("v4", "v0", "v4", "kept"),
    ]
    assert [r["jaccard"] for r in rows] == [1.0, 0.8, 1.0, 0.8, 1.0]
    assert result == {"documents": 5, "clusters": 1, "clustered": 5, "removed": 2, "largest": 5}


def test_without_a_threshold_a_cluster_keeps_one(tmp_path: Path) -> None:
    table = members(*((f"v{n}", "s", None, n) for n in range(5)))
    edges = [(n, n + 1) for n in range(4)]
    _, rows = run_cluster(tmp_path, [table], chain(5, 2), edges, min_jaccard=None)
    assert {r["kept_id"] for r in rows} == {"v4"}


def test_documents_in_no_pair_are_not_listed(tmp_path: Path) -> None:
    table = members(*((f"v{n}", "s", None, 5) for n in range(4)))
    result, rows = run_cluster(tmp_path, [table], chain(4, 0), [(1, 3)])
    assert [r["id"] for r in rows] == ["v1", "v3"]
    result, rows = run_cluster(tmp_path, [table], chain(4, 0), [])
    assert (result["clusters"], result["largest"], rows) == (0, 0, [])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), batch=st.sampled_from([1, 3, 1 << 18]))
def test_what_stays_equals_a_plain_reading(
    data: st.DataObject, batch: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    n = data.draw(st.integers(1, 12))
    values = np.array(data.draw(st.lists(st.lists(st.integers(0, 1), min_size=P, max_size=P),
                                         min_size=n, max_size=n)))  # fmt: skip
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    node = st.integers(0, n - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=12))
    names = data.draw(st.permutations([f"d{i:02d}" for i in range(n)]))
    table = members(*((name, "s", None, size) for name, size in zip(names, sizes, strict=True)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters.batches, "__kwdefaults__", {"limit": batch})
        folder = tmp_path_factory.mktemp("cluster")
        _, rows = run_cluster(folder, [table[: n // 2], table[n // 2 :]], values, edges)
    roots = smallest_of_component(edges, n)
    expected = {}
    for root in set(roots):
        group = [i for i in range(n) if roots[i] == root]
        if len(group) == 1:
            continue
        stays: list[int] = []
        for i in sorted(group, key=lambda i: (-sizes[i], names[i])):
            like = [j for j in stays if (values[i] == values[j]).sum() >= 7]
            stays += [] if like else [i]
            expected[names[i]] = (names[(like or [i])[0]], min(names[g] for g in group))
    assert {r["id"]: (r["kept_id"], r["cluster"]) for r in rows} == expected
    assert [(r["cluster"], r["id"]) for r in rows] == sorted((r["cluster"], r["id"]) for r in rows)


def test_a_cluster_that_drifts_without_end_stays_linear(tmp_path: Path) -> None:
    # No two resemble each other: all stay, after comparisons with MAX_KEPT at most.
    n = 3 * clusters.MAX_KEPT
    values = np.arange(n * P).reshape(n, P)
    table = members(*((f"v{i:05d}", "s", None, 5) for i in range(n)))
    result, rows = run_cluster(tmp_path, [table], values, [(0, i) for i in range(1, n)])
    assert result["removed"] == 0
    assert {r["how"] for r in rows} == {"kept"}


def duplicates(*rows: tuple[str, str, str, str, float]) -> pa.Table:
    names = clusters.DUPLICATES_SCHEMA.names
    columns = list(zip(*rows, strict=True)) or [()] * 5
    return pa.table(dict(zip(names, columns, strict=True)), schema=clusters.DUPLICATES_SCHEMA)


def combine(folder: Path, exact: pa.Table, near: pa.Table) -> tuple[dict[str, Any], list[Any]]:
    pq.write_table(exact, folder / "exact.parquet")
    pq.write_table(near, folder / "near.parquet")
    inputs = [folder / "exact.parquet", folder / "near.parquet"]
    (folder / "both").mkdir()
    result = clusters.combine(inputs, {}, folder / "both")
    table = pq.read_table(folder / "both" / "documents.parquet")
    assert table.schema.equals(clusters.DUPLICATES_SCHEMA)
    return result, [tuple(row.values()) for row in table.to_pylist()]


def test_an_exact_cluster_follows_its_kept_document(tmp_path: Path) -> None:
    exact = duplicates(
        ("a", "a", "m", "exact", 1.0),
        ("m", "a", "m", "kept", 1.0),
        ("x", "x", "x", "kept", 1.0),
        ("y", "x", "x", "exact", 1.0),
    )
    near = duplicates(("m", "k", "n", "near", 0.875), ("n", "k", "n", "kept", 1.0))
    result, rows = combine(tmp_path, exact, near)
    assert rows == [
        ("a", "a", "n", "exact", 0.875),
        ("m", "a", "n", "near", 0.875),
        ("n", "a", "n", "kept", 1.0),
        ("x", "x", "x", "kept", 1.0),
        ("y", "x", "x", "exact", 1.0),
    ]
    assert result == {"clusters": 2, "clustered": 5, "exact": 2, "near": 1, "kept": 2}


def test_combining_nothing_gives_nothing(tmp_path: Path) -> None:
    result, rows = combine(tmp_path, duplicates(), duplicates())
    assert (rows, result["clusters"]) == ([], 0)
