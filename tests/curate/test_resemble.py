"""Sketches and leaders against Python sets."""

import itertools
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import resemble
from yanmo.curate.resemble import SKETCH, SketchParts

from .duplicate_parts import write_sketches


def grams_of(text: str) -> set[str]:
    """Oracle: the character 5-grams as published with the real near duplicates."""
    plain = re.sub(r"\s+", "", text)
    return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))} if plain else set()


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


ANY = st.text(st.characters(codec="utf-8"), max_size=40)
SMALL = st.text(st.sampled_from("研墨池水aA1 \n\u3000\x85\u2028。😀é"), max_size=40)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.one_of(ANY, SMALL), max_size=8))
def test_the_sketch_of_a_short_document_is_its_set_of_grams(texts: list[str]) -> None:
    values, bounds = resemble.sketches(column(texts))
    assert bounds[0] == 0
    sets = [values[a:b] for a, b in itertools.pairwise(bounds)]
    grams = [grams_of(text) for text in texts]
    assert [len(s) for s in sets] == [len(g) for g in grams]
    for a, one in zip(grams, sets, strict=True):
        assert (np.diff(one.astype(np.int64)) > 0).all()
        for b, other in zip(grams, sets, strict=True):
            exact = len(a & b) / len(a | b) if a | b else 0.0
            assert resemble.similarity(one, other) == exact


@pytest.mark.parametrize("space", [c for c in map(chr, range(0x3001)) if c.isspace()])
def test_white_space_is_that_of_python(space: str) -> None:
    one, other = resemble.grams(column([f"研墨{space}池水清{space}"]))[0], resemble.grams(
        column(["研墨池水清"])
    )[0]  # fmt: skip
    assert one.tolist() == other.tolist()
    assert re.fullmatch(r"\s", space)


def test_nothing_else_is_white_space() -> None:
    wrong = [c for c in map(chr, range(0xD800)) if not c.isspace()]
    _, bounds = resemble.grams(column(wrong))
    assert (np.diff(bounds) == 1).all()


def long_text(seed: int, length: int) -> str:
    codes = np.random.default_rng(seed).integers(0x4E00, 0x9FA5, length)
    return "".join(map(chr, codes.tolist()))


def few_words(seed: int, length: int) -> str:
    """Most 5-grams many times, as in a long English text."""
    words = ["the", "page", "of", "ink", "and", "water", "stone", "brush"]
    return " ".join(np.random.default_rng(seed).choice(words, length).tolist())


def test_a_long_sketch_is_the_smallest_hashes(tmp_path: Path) -> None:
    texts = [
        long_text(1, 5000),
        "研墨池水" * 3000,
        long_text(2, 300) * 40,
        long_text(3, SKETCH + 4),
        few_words(4, 40_000),
        few_words(5, 6_000) + long_text(6, 40),
    ]
    hashes, gram_bounds = resemble.grams(column(texts))
    values, bounds = resemble.sketches(column(texts))
    for n in range(len(texts)):
        expected = np.unique(hashes[gram_bounds[n] : gram_bounds[n + 1]])[:SKETCH]
        assert values[bounds[n] : bounds[n + 1]].tolist() == expected.tolist()
    assert np.diff(bounds).tolist() == [SKETCH, 4, *[SKETCH] * 4]


def test_the_estimate_is_unbiased_with_the_stated_deviation() -> None:
    # 400 pairs at one similarity: 3000 grams of which 2400 are shared, 2400 / 3600.
    errors = []
    for seed in range(400):
        a, b, c = (long_text(3 * seed + k, n) for k, n in ((0, 2404), (1, 600), (2, 600)))
        values, bounds = resemble.sketches(column([a + b, a + c]))
        one, other = values[: bounds[1]], values[bounds[1] :]
        exact = [set(resemble.grams(column([t]))[0].tolist()) for t in (a + b, a + c)]
        truth = len(exact[0] & exact[1]) / len(exact[0] | exact[1])
        errors.append(resemble.similarity(one, other) - truth)
    deviation = (truth * (1 - truth) / SKETCH) ** 0.5
    assert abs(np.mean(errors)) < 4 * deviation / 20
    assert np.std(errors) == pytest.approx(deviation, rel=0.15)


def plain_lead(sets: list[set[int]], group: list[int], least: float, limit: int) -> list[int]:
    """Oracle: leaders in their order, the one idle longest makes room."""
    out: list[int] = []
    leaders: list[list[int]] = []  # position, when it was used last
    for n, mine in enumerate(sets):
        if n and group[n] != group[n - 1]:
            leaders = []
        for entry in leaders:
            both = mine | sets[entry[0]]
            if both and len(mine & sets[entry[0]]) / len(both) >= least:
                entry[1] = n
                out.append(entry[0])
                break
        else:
            if len(leaders) == limit:
                leaders.remove(min(leaders, key=lambda e: e[1]))
            leaders.append([n, n])
            out.append(n)
    return out


@settings(max_examples=150, deadline=None)
@given(data=st.data(), least=st.sampled_from([0.3, 0.5, 0.7, 1.0]), limit=st.integers(1, 4),
       block=st.sampled_from([1, 2, 5, 1 << 16]))  # fmt: skip
def test_leaders_are_those_of_plain_python(
    data: st.DataObject,
    least: float,
    limit: int,
    block: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sets = data.draw(st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=14))
    group = sorted(data.draw(st.lists(st.integers(0, 2), min_size=len(sets), max_size=len(sets))))
    order = data.draw(st.permutations(range(len(sets))))
    cut = data.draw(st.integers(0, len(sets)))
    folder = tmp_path_factory.mktemp("lead")
    pairs = [write_sketches(folder, n, part) for n, part in enumerate((sets[:cut], sets[cut:]))]
    parts = SketchParts([a for a, _ in pairs], [b for _, b in pairs])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resemble, "_BLOCK", block)
        found, jaccard = resemble.lead(
            parts, np.array(order), np.array(group), min_jaccard=least, limit=limit
        )
    taken = [sets[n] for n in order]
    assert found.tolist() == plain_lead(taken, group, least, limit)
    for n, leader in enumerate(found.tolist()):
        if leader != n:
            both = taken[n] | taken[leader]
            assert jaccard[n] == len(taken[n] & taken[leader]) / len(both)


def test_a_hundred_thousand_unlike_documents_keep_a_leader_that_is_followed(tmp_path: Path) -> None:
    # Every tenth is a copy; the unlike ones between them never push its leader out.
    n = 100_000
    kinds = np.arange(n)
    kinds[::10] = 0
    values = (kinds[:, None] * 16 + np.arange(8)).astype("<u4")
    values.tofile(tmp_path / "s.bin")
    np.save(tmp_path / "b.npy", np.arange(n + 1, dtype=np.int64) * 8)
    parts = SketchParts([tmp_path / "s.bin"], [tmp_path / "b.npy"])
    found, _ = resemble.lead(parts, np.arange(n), np.zeros(n, np.int64), min_jaccard=0.7, limit=32)
    expected = np.arange(n)
    expected[::10] = 0
    assert found.tolist() == expected.tolist()
