"""What is held out: whole components, within the budget, the same for any cut into parts."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.clusters import DUPLICATES_SCHEMA
from yanmo.curate.holdout import plan_split, site_of, sites

from .duplicate_parts import document_table, write_parts


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("news.sina.com.cn", "sina.com.cn"),
        ("SINA.com.cn.", "sina.com.cn"),
        ("www.bbc.co.uk", "bbc.co.uk"),
        ("a.b.example.org", "example.org"),
        ("com.cn", "com.cn"),
        ("wh.hb.cn", "wh.hb.cn"),
        ("x.wh.hb.cn", "wh.hb.cn"),
        ("zj.gov.cn", "zj.gov.cn"),
        ("www.tj.com", "tj.com"),
        ("研墨.中国", "研墨.中国"),
        ("10.1.2.3", "10.1.2.3"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("localhost", None),
        ("", None),
    ],
)
def test_site_of_a_host(host: str, site: str | None) -> None:
    assert site_of(host) == site


def test_sites_of_addresses() -> None:
    urls = {
        "http://user:pw@News.Sina.com.cn:80/a?b#c": "sina.com.cn",
        "https://example.org": "example.org",
        "//cdn.example.org/x": "example.org",
        "www.example.org/x": "example.org",
        "http://[2001:db8::1]:8080/": "2001:db8::1",
        "urn:uuid:1234": None,
        "file:///home/a.b/c": None,
        "": None,
        "not an address": None,
    }
    column = pa.chunked_array([list(urls), [None]], pa.string())
    assert sites(column).to_list() == [*urls.values(), None]


def plan(
    folder: Path, tables: list[pa.Table], clusters: dict[str, str], fraction: float, seed: int = 0
) -> tuple[dict[str, Any], list[tuple[str | None, bool]]]:
    """Run the step; return its result and (cluster, heldout) of every document in order."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": i, "cluster": c, "kept_id": i, "how": "kept", "jaccard": 1.0}
            for i, c in clusters.items()]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, DUPLICATES_SCHEMA), folder / "duplicates.parquet")
    parts = write_parts(folder / "in", tables)
    (folder / "out").mkdir()
    parameters = {"duplicates": True, "holdout_fraction": fraction, "seed": seed}
    result = plan_split([folder / "duplicates.parquet", *parts], parameters, folder / "out")
    found = []
    for path in sorted((folder / "out").glob("split-*.parquet")):
        table = pq.read_table(path)
        found += list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return result, found


URLS = ["http://a.cn/1", "http://b.com.cn/2", "http://c.org/3", "http://x.d.org/4", None, None]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_cluster_and_no_site_crosses_and_budgets_hold(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    n = data.draw(st.integers(1, 30))
    ids = [f"d{i:02d}" for i in range(n)]

    def draw(options: list[Any]) -> list[Any]:
        return data.draw(st.lists(st.sampled_from(options), min_size=n, max_size=n))

    urls, sources, names = draw(URLS), draw(["x", "y"]), draw(["k", "l", "m", None, None, None])
    texts = ["墨" * size for size in data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))]
    clusters = {i: name for i, name in zip(ids, names, strict=True) if name}
    fraction, seed = data.draw(st.floats(0, 0.5)), data.draw(st.integers(0, 5))
    table = document_table(texts, ids, url=urls, source=sources)
    folder = tmp_path_factory.mktemp("split")
    cut = data.draw(st.integers(0, n))
    result, rows = plan(folder / "two", [table[:cut], table[cut:]], clusters, fraction, seed)
    assert plan(folder / "one", [table], clusters, fraction, seed) == (result, rows)
    assert [cluster for cluster, _ in rows] == names
    sides: defaultdict[Any, set[bool]] = defaultdict(set)
    size: defaultdict[Any, int] = defaultdict(int)
    for url, name, source, text, (_, held) in zip(urls, names, sources, texts, rows, strict=True):
        sides["site", sites(pa.chunked_array([[url]], pa.string()))[0]].add(held)
        sides["cluster", name].add(held)
        size[source] += len(text.encode())
        size[source, "held"] += held * len(text.encode())
    assert all(len(held) == 1 for key, held in sides.items() if key[1] is not None)
    for source in set(sources):
        assert size[source, "held"] <= fraction * size[source]
        assert result["heldout"][source]["bytes"] == size[source, "held"]
        assert result["heldout"][source]["of_bytes"] == size[source]


def test_the_budget_is_filled_when_documents_are_free(tmp_path: Path) -> None:
    ids = [f"d{i:03d}" for i in range(400)]
    table = document_table(["墨池" * 5] * 400, ids, source=["x", "y"] * 200)
    result, rows = plan(tmp_path / "a", [table], {}, 0.1)
    assert {s: h["documents"] for s, h in result["heldout"].items()} == {"x": 20, "y": 20}
    _, other = plan(tmp_path / "b", [table], {}, 0.1, seed=1)
    assert rows != other
    result, rows = plan(tmp_path / "c", [table], {}, 0.0)
    assert not any(held for _, held in rows)


def test_a_component_larger_than_the_budget_is_left_alone(tmp_path: Path) -> None:
    # One cluster ties the site a.cn to b.cn, so all but d3 are one component.
    ids = ["d0", "d1", "d2", "d3"]
    urls = ["http://a.cn/1", "http://a.cn/2", "http://b.cn/3", "http://c.cn/4"]
    table = document_table(["墨" * 10] * 4, ids, url=urls)
    result, rows = plan(tmp_path, [table], {"d1": "d1", "d2": "d1"}, 0.3)
    assert result["components"] == 2
    assert [held for _, held in rows] == [False, False, False, True]
