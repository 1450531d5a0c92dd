"""Clusters against a plain union-find; what stays against a reading with Python sets."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import clusters, resemble
from yanmo.curate.keep import MEMBER_SCHEMA, keep_order
from yanmo.errors import UsageError

from .duplicate_parts import write_sketches

Hashes = set[int]
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
    np.save(path, np.array(edges, np.uint32).reshape(-1, 2))
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
    edges = np.column_stack([order[:-1], order[1:]]).astype(np.uint32)
    assert not clusters.connect([edges], 100_000).any()


def members(*rows: tuple[Any, ...]) -> pa.Table:
    """Rows of id, source, timestamp, characters, and optionally a value."""
    columns = zip(*((*row, None)[:5] for row in rows), strict=True)
    fields = [pa.array(c, f.type) for c, f in zip(columns, MEMBER_SCHEMA, strict=True)]
    return pa.table(fields, schema=MEMBER_SCHEMA)


FOUR = members(
    ("d", "web", "2020-01-02T00:00:00Z", 50, 0.5),
    ("c", "news", None, 90, None),
    ("b", "wiki", "2019-05-01T00:00:00Z", 90, 7.0),
    ("a", "web", "2019-05-01T00:00:00Z", 10, 0.5),
)


@pytest.mark.parametrize(
    ("keep", "priority", "expected"),
    [
        ("longest", [], "bcda"),
        ("earliest", [], "abdc"),
        ("source-priority", ["wiki", "web"], "badc"),
        ("source-priority", [], "abcd"),
        ("highest:stars", [], "badc"),
    ],
)
def test_keep_policies_and_ties_by_id(keep: str, priority: list[str], expected: str) -> None:
    one = np.zeros(4, np.int64)
    order = keep_order(FOUR, one, keep=keep, source_priority=priority)
    assert "".join(FOUR.column("id")[i].as_py() for i in order) == expected


def test_an_unknown_policy_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="Did you mean 'highest:<field>'"):
        keep_order(FOUR, np.zeros(4, np.int64), keep="highest:", source_priority=[])


def run_cluster(
    folder: Path, parts: list[pa.Table], values: list[Hashes], edges: list[Edge], **more: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the step on parts with these members and sets of grams."""
    sizes = np.cumsum([0, *(part.num_rows for part in parts)])
    files = [write_edges(folder / "edges.npy", edges)]
    for number, part in enumerate(parts):
        files.append(folder / f"members-{number}.parquet")
        pq.write_table(part, files[-1])
    shares = [values[a:b] for a, b in itertools.pairwise(sizes)]
    pairs = [write_sketches(folder, n, share) for n, share in enumerate(shares)]
    files += [values for values, _ in pairs] + [bounds for _, bounds in pairs]
    parameters = {"bands": 1, "parts": len(parts), "keep": "longest", "source_priority": [],
                  "min_jaccard": 0.7} | more  # fmt: skip
    (folder / "out").mkdir(exist_ok=True)
    result = clusters.cluster(files, parameters, folder / "out")
    return result, pq.read_table(folder / "out" / "documents.parquet").to_pylist()


def chain(length: int, step: int) -> list[Hashes]:
    """Versions of 18 grams, each with ``step`` others than the one before."""
    return [set(range(n * step, n * step + 18)) for n in range(length)]


def test_every_removed_document_resembles_the_one_that_stays(tmp_path: Path) -> None:
    # Five versions, 2 of 18 grams changed each time: only neighbours reach 0.7.
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
    assert [r["jaccard"] for r in rows] == [10 / 26, 12 / 24, 14 / 22, 16 / 20, 1.0]


def test_documents_in_no_pair_are_not_listed(tmp_path: Path) -> None:
    table = members(*((f"v{n}", "s", None, 5) for n in range(4)))
    result, rows = run_cluster(tmp_path, [table], chain(4, 0), [(1, 3)])
    assert [r["id"] for r in rows] == ["v1", "v3"]
    result, rows = run_cluster(tmp_path, [table], chain(4, 0), [])
    assert (result["clusters"], result["largest"], rows) == (0, 0, [])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), block=st.sampled_from([1, 3, 1 << 16]))
def test_what_stays_equals_a_plain_reading(
    data: st.DataObject, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    n = data.draw(st.integers(1, 12))
    values = data.draw(st.lists(st.sets(st.integers(0, 6)), min_size=n, max_size=n))
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    node = st.integers(0, n - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=12))
    names = data.draw(st.permutations([f"d{i:02d}" for i in range(n)]))
    table = members(*((name, "s", None, size) for name, size in zip(names, sizes, strict=True)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resemble, "_BLOCK", block)
        folder = tmp_path_factory.mktemp("cluster")
        parts = [table[: n // 2], table[n // 2 :]]
        _, rows = run_cluster(folder, parts, values, edges, min_jaccard=0.5)
    roots = smallest_of_component(edges, n)
    expected = {}
    for root in set(roots):
        group = [i for i in range(n) if roots[i] == root]
        if len(group) == 1:
            continue
        stays: list[int] = []
        for i in sorted(group, key=lambda i: (-sizes[i], names[i])):
            like = [j for j in stays if jaccard(values[i], values[j]) >= 0.5]
            stays += [] if like else [i]
            expected[names[i]] = (names[(like or [i])[0]], min(names[g] for g in group))
    assert {r["id"]: (r["kept_id"], r["cluster"]) for r in rows} == expected
    assert [(r["cluster"], r["id"]) for r in rows] == sorted((r["cluster"], r["id"]) for r in rows)
    by_name = dict(zip(names, values, strict=True))
    for row in rows:
        if row["how"] == "near":
            assert row["jaccard"] == jaccard(by_name[row["id"]], by_name[row["kept_id"]]) >= 0.5
            assert expected[row["kept_id"]][0] == row["kept_id"]


def jaccard(a: Hashes, b: Hashes) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def test_a_cluster_that_drifts_without_end_stays_linear(tmp_path: Path) -> None:
    # No two resemble each other: all stay, after comparisons with MAX_KEPT at most.
    n = 3 * clusters.MAX_KEPT
    values = [set(range(10 * i, 10 * i + 10)) for i in range(n)]
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
