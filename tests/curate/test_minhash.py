"""Near duplicates against plain Python on made-up texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import minhash, sketch
from yanmo.errors import DataError

from .duplicate_parts import (
    SKETCH,
    document_table,
    find_near,
    step,
    write_parts,
    write_sketches,
)
from .duplicate_truth import likeness

FEW: dict[str, Any] = {
    "shingle": "tokens",
    "shingle_tokens": 2,
    "permutations": 8,
    "seed": 1,
    "bands": 4,
}


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
    for changed in (
        {"seed": 2},
        {"shingle": "characters"},
        {"shingle_tokens": 4},
        {"permutations": 56},
    ):
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
    found = {frozenset(edge) for edge in np.load(tmp_path / "edges.npy").tolist()}
    # Equal sketches are taken in the order of the documents.
    assert found == {frozenset(edge) for edge in ((0, 2), (0, 4), (1, 3))}
    assert result == {"groups": 1, "members": 6, "edges": 3, "largest": 6}
    minhash.reduce_band(inputs, {"min_jaccard": None}, tmp_path)
    edges = np.load(tmp_path / "edges.npy")
    assert len(set(edges[:, 0].tolist())) == 1
    assert sorted({*edges.ravel().tolist()}) == list(range(6))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_order_of_parts_and_documents_does_not_matter(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Chains of versions: which of them lead decides what else is linked.
    base = data.draw(st.lists(st.sampled_from("研墨池水清风明月"), min_size=30, max_size=60))
    texts = []
    for n in range(data.draw(st.integers(2, 12))):
        copy = list(base)
        for at in data.draw(st.lists(st.integers(0, len(base) - 1), max_size=6)):
            copy[at] = "改变了的"[n % 4]
        texts.append("".join(copy))
        base = copy if data.draw(st.booleans()) else base
    ids = [f"d{n:02d}" for n in range(len(texts))]
    tables = []
    for order in (range(len(texts)), data.draw(st.permutations(range(len(texts))))):
        folder = tmp_path_factory.mktemp("order")
        cut = data.draw(st.integers(0, len(texts)))
        shares = [list(order)[:cut], list(order)[cut:]]
        parts = [document_table([texts[n] for n in s], [ids[n] for n in s]) for s in shares]
        rows, _ = find_near(folder / "work", write_parts(folder / "in", parts), sketch=FEW)
        tables.append(rows)
    assert tables[0] == tables[1]
    text_of = dict(zip(ids, texts, strict=True))
    stays = {row["id"] for row in tables[0] if row["how"] == "kept"}
    for row in tables[0]:
        assert row["kept_id"] in stays
        assert (row["kept_id"] == row["id"]) == (row["how"] == "kept")
        assert row["jaccard"] == likeness(text_of[row["id"]], text_of[row["kept_id"]]) >= 0.7


def test_bands_of_one_task_give_what_each_gives_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    sets = [set(random.integers(0, 40, 12).tolist()) for _ in range(60)]
    halves = [write_sketches(tmp_path, n, sets[30 * n : 30 * n + 30]) for n in range(2)]
    values = [pair[i] for i in range(2) for pair in halves]
    names = []
    for band in range(3):
        for part in range(2):
            entries = np.zeros(30, minhash.BAND_DTYPE)
            entries["hash"], entries["row"] = random.integers(0, 9, 30), np.arange(30)
            entries.sort(order=["hash", "row"])
            names.append(tmp_path / f"band-{band}-{part}.npy")
            np.save(names[-1], entries)
    alone, counts = [], []
    for band in range(3):
        inputs = [*names[2 * band : 2 * band + 2], *values]
        counts.append(minhash.reduce_band(inputs, {"min_jaccard": 0.2}, tmp_path))
        alone += np.load(tmp_path / "edges.npy").tolist()
    total = minhash.reduce_band([*names, *values], {"min_jaccard": 0.2, "bands": 3}, tmp_path)
    assert np.load(tmp_path / "edges.npy").tolist() == alone
    assert len(alone) == total["edges"] > 20
    assert total["members"] == sum(c["members"] for c in counts)
    assert total["largest"] == max(c["largest"] for c in counts)


@pytest.mark.parametrize(
    ("documents", "expected"), [(0, 14), (1000, 14), (20_000, 13), (100_000, 2), (10**7, 1)]
)
def test_few_documents_give_few_tasks(documents: int, expected: int) -> None:
    assert minhash.bands_a_task(documents, 14) == expected
