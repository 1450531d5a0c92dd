"""Near duplicates: against plain Python on made-up texts, and against truth on real ones."""

import csv
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import minhash, sketch
from yanmo.errors import DataError
from yanmo.stats import wilson

from .duplicate_parts import (
    POLICY,
    SKETCH,
    document_table,
    find_near,
    step,
    write_parts,
    write_sketches,
)

FEW: dict[str, Any] = {"shingle_tokens": 2, "permutations": 8, "seed": 1, "bands": 4}


def linked_sets(texts: list[str], parameters: dict[str, Any]) -> set[frozenset[int]]:
    """Oracle: join documents that share a band, by sets of Python tuples, until nothing changes."""
    values, tokens = sketch.signatures(
        pa.array(texts, pa.large_string()), k=parameters["shingle_tokens"],
        count=parameters["permutations"], seed=parameters["seed"],
    )  # fmt: skip
    rows = parameters["permutations"] // parameters["bands"]
    seen: dict[tuple[Any, ...], int] = {}
    group = list(range(len(texts)))
    for n, value in enumerate(values.tolist()):
        if tokens[n] == 0:
            continue
        for band in range(parameters["bands"]):
            first = seen.setdefault((band, *value[band * rows : (band + 1) * rows]), n)
            old, new = group[n], group[first]
            group = [new if g == old else g for g in group]
    sets = {frozenset(n for n, g in enumerate(group) if g == number) for number in set(group)}
    return {s for s in sets if len(s) > 1}


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_clusters_are_those_of_plain_python(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = st.text(st.sampled_from("研墨池水。 "), max_size=8)
    texts = data.draw(st.lists(text, max_size=12))
    cut = data.draw(st.integers(0, len(texts)))
    ids = [f"d{n:02d}" for n in range(len(texts))]
    tables = [document_table(texts[h], ids[h]) for h in (slice(0, cut), slice(cut, None))]
    folder = tmp_path_factory.mktemp("near")
    parts = write_parts(folder / "in", tables)
    rows, _ = find_near(folder / "work", parts, min_jaccard=None, sketch=FEW)
    found: dict[str, set[int]] = {}
    for row in rows:
        found.setdefault(row["cluster"], set()).add(int(row["id"][1:]))
    assert {frozenset(group) for group in found.values()} == linked_sets(texts, FEW)


STORY = "从前有座山，山里有座庙，庙里有个老和尚在给小和尚讲故事，讲的什么故事呢？"


def test_versions_of_a_page_are_found_across_parts_and_others_are_not(tmp_path: Path) -> None:
    texts = [STORY * 2, STORY * 2 + "转载请注明出处。", "研墨之前先磨一池水，" * 3, STORY[::-1] * 2]
    tables = [document_table(texts[:1], ["a"]), document_table(texts[1:], ["b", "c", "d"])]
    rows, _ = find_near(tmp_path / "work", write_parts(tmp_path / "in", tables))
    assert [(r["id"], r["cluster"], r["kept_id"], r["how"]) for r in rows] == [
        ("a", "a", "b", "near"),
        ("b", "a", "b", "kept"),
    ]
    assert 0.7 <= rows[0]["jaccard"] < 1
    # Only what takes part is looked at.
    masks = []
    for number, mask in enumerate(([True], [False, True, True])):
        masks.append(tmp_path / f"mask-{number}.npy")
        np.save(masks[-1], np.array(mask))
    parts = [tmp_path / "in" / f"part-{n:05d}.parquet" for n in range(2)]
    rows, _ = find_near(tmp_path / "again", parts, alive=masks)
    assert rows == []


def test_documents_shorter_than_a_shingle_are_told_apart(tmp_path: Path) -> None:
    # datasketch's empty signature would make all of these one cluster.
    texts = ["好。", "坏。", "好！", "", "……", "😀", "——", "好 。\n"]
    parts = write_parts(tmp_path / "in", [document_table(texts, list("abcdefgh"))])
    rows, _ = find_near(tmp_path / "work", parts, min_jaccard=None)
    assert [r["id"] for r in rows] == ["a", "c", "h"]
    # The bands propose those; punctuation counts when they are compared.
    rows, _ = find_near(tmp_path / "again", parts)
    assert [(r["id"], r["kept_id"]) for r in rows] == [("a", "h"), ("h", "h")]


def test_verdicts_may_say_who_takes_part(tmp_path: Path) -> None:
    parts = write_parts(tmp_path / "in", [document_table([STORY] * 3, list("abc"))])
    verdicts = tmp_path / "verdicts.parquet"
    pq.write_table(pa.table({"id": list("abc"), "kept": [True, False, True]}), verdicts)
    rows, _ = find_near(tmp_path / "work", parts, alive=[verdicts])
    assert [r["id"] for r in rows] == ["a", "c"]


def test_signatures_made_with_other_settings_are_refused(tmp_path: Path) -> None:
    parts = write_parts(tmp_path / "in", [document_table([STORY], ["a"])])
    made, result = step(tmp_path / "s", minhash.signature_part, parts, SKETCH)
    assert result == {"rows": 1, "tokens": 32, "without_tokens": 0}
    signatures = made / "signatures.parquet"
    for changed in ({"seed": 2}, {"shingle_tokens": 4}, {"permutations": 56}):
        with pytest.raises(DataError, match="made with other settings"):
            minhash.band_part([signatures], SKETCH | changed, tmp_path)
    np.save(tmp_path / "mask.npy", np.ones(2, np.bool_))
    with pytest.raises(DataError, match=r"got 2\. Expected 1"):
        minhash.band_part([signatures, tmp_path / "mask.npy"], SKETCH, tmp_path)


def test_a_group_becomes_stars_around_the_documents_that_are_resembled(tmp_path: Path) -> None:
    # One group of equal band hashes: rows 0 2 4 alike, 1 3 alike, 5 alone.
    sets = [set(range(10 * kind, 10 * kind + 10)) for kind in (0, 1, 0, 1, 0, 2)]
    entries = np.zeros(6, minhash.BAND_DTYPE)
    entries["row"] = np.arange(6)
    np.save(tmp_path / "band.npy", entries)
    inputs = [tmp_path / "band.npy", *write_sketches(tmp_path, 0, sets)]
    result = minhash.reduce_band(inputs, {"min_jaccard": 0.7}, tmp_path)
    assert np.load(tmp_path / "edges.npy").tolist() == [[0, 2], [1, 3], [0, 4]]
    assert result == {"groups": 1, "members": 6, "edges": 3, "largest": 6}
    minhash.reduce_band(inputs, {"min_jaccard": None}, tmp_path)
    assert np.load(tmp_path / "edges.npy").tolist() == [[0, n] for n in range(1, 6)]


class Versions(NamedTuple):
    """Four releases of the same manual, and the truth about every pair of versions of a page."""

    ids: list[str]
    texts: list[str]
    pairs: np.ndarray[Any, Any]  # [N, 2] rows
    char5: np.ndarray[Any, Any]  # [N] Jaccard of character 5-grams, as published
    token5: np.ndarray[Any, Any]  # [N] Jaccard of our shingles


@pytest.fixture(scope="module")
def versions(realdata: Path) -> Versions:
    """The real near duplicates."""
    folder = realdata / "dedup"
    with zstandard.open(folder / "tidb-versions.jsonl.zst", "rb") as stream:
        rows = [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8")]
    ids = [row["id"] for row in rows]
    texts = [row["text"] for row in rows]
    row_of = {name: n for n, name in enumerate(ids)}
    with (folder / "tidb-versions-pairs.tsv").open(encoding="utf-8") as stream:
        truth = list(csv.DictReader(stream, delimiter="\t"))
    pairs = np.array([[row_of[t["a"]], row_of[t["b"]]] for t in truth])
    hashes, bounds, _ = sketch.shingles(pa.array(texts, pa.large_string()), k=5)
    sets = [hashes[low:high] for low, high in itertools.pairwise(bounds)]
    token5 = np.array([sketch.exact_jaccard(sets[a], sets[b]) for a, b in pairs])
    return Versions(ids, texts, pairs, np.array([float(t["char5_jaccard"]) for t in truth]), token5)


def curve(jaccard: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Chance that 14 bands of 8 rows find a pair."""
    return 1 - (1 - jaccard**8) ** 14


BINS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)


@pytest.mark.realdata
def test_recall_per_bin_follows_the_curve(versions: Versions, tmp_path: Path) -> None:
    parts = write_parts(tmp_path / "in", [document_table(versions.texts, versions.ids)])
    _, (banded,) = find_near(tmp_path / "work", parts)
    share = np.zeros(len(versions.pairs), np.bool_)
    for band in range(14):
        entries = np.load(banded / minhash.band_name(band))
        assert (np.diff(entries["hash"].astype(object)) >= 0).all()
        hashes = np.empty(len(versions.ids), np.uint64)
        hashes[entries["row"]] = entries["hash"]
        share |= hashes[versions.pairs[:, 0]] == hashes[versions.pairs[:, 1]]
    for low, high in itertools.pairwise(BINS):
        inside = (versions.token5 >= low) & (versions.token5 < high)
        found, n = int(share[inside].sum()), int(inside.sum())
        expected = curve(versions.token5[inside]).mean()
        # 99.9 %: seven bins, and the versions of a page are not independent of each other.
        at_least, at_most = wilson(found, n, confidence=0.999)
        assert at_least <= expected <= at_most, (low, found, n, expected)
    assert share[versions.char5 >= 0.9].mean() > 0.999


@pytest.mark.realdata
def test_recall_over_many_seeds_follows_the_curve(versions: Versions) -> None:
    # One seed gives correlated pairs; the mean over seeds shows a bias if there is one.
    column = pa.array(versions.texts, pa.large_string())
    found = []
    for seed in range(1, 13):
        values, _ = sketch.signatures(column, k=5, count=112, seed=seed)
        hashes = sketch.band_hashes(values, bands=14)
        pairs = versions.pairs
        found.append((hashes[:, pairs[:, 0]] == hashes[:, pairs[:, 1]]).any(axis=0))
    rate = np.array(found)
    for low, high in itertools.pairwise(BINS):
        inside = (versions.token5 >= low) & (versions.token5 < high)
        assert rate[:, inside].mean() == pytest.approx(
            curve(versions.token5[inside]).mean(), abs=0.03
        )


def char5_of(text: str) -> set[str]:
    plain = re.sub(r"\s+", "", text)
    return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))}


@pytest.mark.realdata
def test_removed_pages_resemble_what_stays(versions: Versions, tmp_path: Path) -> None:
    parts = write_parts(tmp_path / "in", [document_table(versions.texts, versions.ids)])
    rows, _ = find_near(tmp_path / "work", parts, policy=POLICY)
    grams = dict(zip(versions.ids, map(char5_of, versions.texts), strict=True))
    removed = [(grams[r["id"]], grams[r["kept_id"]]) for r in rows if r["how"] == "near"]
    unlike = sum(len(a & b) < 0.7 * len(a | b) for a, b in removed)
    assert len(removed) > 1000
    assert unlike <= 0.02 * len(removed)
    gone = np.isin(versions.ids, [r["id"] for r in rows if r["how"] == "near"])
    resolved = gone[versions.pairs].any(axis=1)
    assert resolved[versions.char5 >= 0.9].mean() > 0.995
