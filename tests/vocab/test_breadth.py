"""Worth over inputs, leaf-wise removal, lists of general words."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import DataError, UsageError
from yanmo.vocab.breadth import Forest, Groups, by_worth
from yanmo.vocab.counted import Weighting, count_corpus, read_frequencies
from yanmo.vocab.extend import ExtendOptions, extend_tokenizer
from yanmo.vocab.load import load_tokenizer

quick = settings(max_examples=80, deadline=None, derandomize=True)


def _replay(
    order: list[int],
    uses: list[list[int]],
    groups: Groups,
    halves: list[tuple[int, int]],
    saved: list[int],
    refused: list[bool],
) -> None:
    """The definition: the least worthy leaf goes, again and again; refused ones first."""
    left = set(range(len(uses)))

    def worth(token: int) -> float:
        total = 0.0
        for share, size, count in zip(groups.shares, groups.sizes, uses[token], strict=True):
            total += float(share) * (count / float(size)) ** groups.power
        return float(saved[token] * total ** (1 / groups.power))

    for token in reversed(order):
        leaves = [t for t in left if not any(t in halves[other] for other in left)]
        assert token in leaves
        if any(refused[t] for t in left):
            assert refused[token]
        else:
            assert worth(token) <= min(map(worth, leaves)) * (1 + 1e-9)
        left.discard(token)
        for half in halves[token]:
            if half >= 0:
                uses[half] = [a + b for a, b in zip(uses[half], uses[token], strict=True)]
    assert not left


@st.composite
def forests(
    draw: st.DrawFn,
) -> tuple[list[list[int]], list[tuple[int, int]], list[int], list[bool]]:
    size = draw(st.integers(1, 14))
    characters = draw(st.integers(1, size))
    halves = [(-1, -1)] * characters
    for token in range(characters, size):
        halves.append((draw(st.integers(-1, token - 1)), draw(st.integers(-1, token - 1))))
    uses = [[draw(st.integers(0, 20)) for _ in range(3)] for _ in range(size)]
    saved = [draw(st.integers(1, 2)) for _ in range(size)]
    refused = [draw(st.integers(0, 5)) == 0 for _ in range(size)]
    for token in range(size):
        refused[token] |= any(half >= 0 and refused[half] for half in halves[token])
    return uses, halves, saved, refused


@quick
@given(forest=forests(), power=st.sampled_from([1.0, 0.5, 0.25]))
def test_order_is_that_of_the_definition(
    forest: tuple[list[list[int]], list[tuple[int, int]], list[int], list[bool]], power: float
) -> None:
    uses, halves, saved, refused = forest
    groups = Groups(
        np.zeros(1, np.int32), np.array([0.5, 0.3, 0.2]), np.array([7.0, 100.0, 13.0]), power
    )
    left, right = (np.array([pair[side] for pair in halves], np.int32) for side in (0, 1))
    found, worth = by_worth(
        np.array(uses, np.int64),
        groups,
        Forest(left, right, np.array(saved, np.int64), np.array(refused, np.bool_)),
    )
    order = found.tolist()
    _replay(order, [list(row) for row in uses], groups, halves, saved, refused)
    place = {token: at for at, token in enumerate(order)}
    for token, pair in enumerate(halves):
        assert all(half < 0 or place[half] < place[token] for half in pair)
    assert np.isfinite(worth).all()


def _write(folder: Path, name: str, texts: list[str]) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    return path


def _inputs(folder: Path) -> list[Path]:
    """Three inputs: 研墨 is in each, 落笔 in one alone, but more often."""
    inputs = [_write(folder, f"in{k}", ["研墨，" * 10, "研墨。"]) for k in range(3)]
    inputs[0] = _write(folder, "in0", ["研墨，" * 10 + "落笔，" * 50, "研墨。落笔。" * 2])
    return inputs


def _words(folder: Path, base: Path) -> list[str]:
    loaded, size = load_tokenizer(folder), load_tokenizer(base).vocab_size
    return [loaded.decode([index]) for index in range(size, loaded.vocab_size)]


@pytest.mark.parametrize(
    ("settings_", "first"),
    [
        ({"power": 1.0, "temperature": 0.0}, "落"),
        ({"power": 0.25, "temperature": 0.0}, "研"),
    ],
)
def test_wide_use_counts_more_with_a_lower_power(
    settings_: dict[str, float], first: str, english_spm: Path, tmp_path: Path
) -> None:
    options = ExtendOptions(add=6, **settings_)  # type: ignore[arg-type]
    extend_tokenizer(english_spm, _inputs(tmp_path), tmp_path / "out", options)
    words = _words(tmp_path / "out", english_spm)
    assert words[0] == first
    assert set(words) == set("研墨落笔") | {"研墨", "落笔"}


def _weighting(**changes: object) -> Weighting:
    plain = {"weights": {}, "temperature": 0.0, "power": 1.0, "background": None,
             "background_share": 0.25}  # fmt: skip
    return Weighting(**{**plain, **changes})  # type: ignore[arg-type]


def test_shares(tmp_path: Path) -> None:
    inputs = [
        _write(tmp_path, "big", ["研墨先于落笔" * 15]),
        _write(tmp_path, "small", ["研墨落笔，天"]),
    ]

    def shares(**changes: object) -> list[float]:
        counted = count_corpus(
            inputs, column="text", budget_bytes=1 << 20, weighting=_weighting(**changes)
        )
        assert counted.groups.sizes.tolist()[:2] == [90, 5]
        found: list[float] = counted.groups.shares.tolist()
        return found

    assert shares() == pytest.approx([90 / 95, 5 / 95])
    assert shares(temperature=1.0) == pytest.approx([0.5, 0.5])
    assert shares(temperature=1.0, weights={"small": 3.0}) == pytest.approx([0.25, 0.75])
    words = tmp_path / "words.txt"
    words.write_text("研墨 7 n\n落笔\t3\nabc 5\n", encoding="utf-8")
    with_list = shares(temperature=1.0, background=str(words), background_share=0.4)
    assert with_list == pytest.approx([0.3, 0.3, 0.4])
    with pytest.raises(UsageError, match="names no input") as caught:
        shares(weights={"smal": 1.0})
    assert "small" in str(caught.value)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="small: a weight is a number from 0 up"):
            shares(weights={"small": wrong})
    with pytest.raises(DataError, match="weigh nothing"):
        shares(weights={"small": 0.0, "big": 0.0})


def test_counts_are_weighted_exactly(tmp_path: Path) -> None:
    inputs = [_write(tmp_path, "a", ["研墨，" * 8]), _write(tmp_path, "b", ["落笔，研墨"])]
    weighting = _weighting(temperature=1.0)
    counted = count_corpus(inputs, column="text", budget_bytes=1 << 20, weighting=weighting)
    found = {counted.runs.text(k): int(n) for k, n in enumerate(counted.weighted())}
    # 20 characters in all: an occurrence in `a` counts 20 * 0.5 / 16, in `b` 20 * 0.5 / 4.
    assert found == {"研墨": 8 * 62 + 250, "落笔": 250}


def test_a_list_of_words_brings_what_the_text_lacks(english_spm: Path, tmp_path: Path) -> None:
    words = tmp_path / "general.txt"
    words.write_text("# general\n砚台 500 n\n研墨 100 v\n", encoding="utf-8")
    inputs = [_write(tmp_path, "in", ["研墨，落笔，" * 10] * 3)]
    options = ExtendOptions(add=9, background=str(words), background_share=0.5)
    report = extend_tokenizer(english_spm, inputs, tmp_path / "out", options)
    assert report["verification"]["passed"]
    assert set(_words(tmp_path / "out", english_spm)) == set("研墨落笔砚台") | {
        "研墨",
        "落笔",
        "砚台",
    }
    table = (tmp_path / "out" / "added.tsv").read_text(encoding="utf-8").splitlines()
    names = table[0].split("\t")
    rows = [dict(zip(names, row.split("\t"), strict=True)) for row in table[1:]]
    assert {
        row["token"]: (row["count"], row["listed"]) for row in rows if len(row["token"]) == 2
    } == {
        "研墨": ("30", "100"),
        "落笔": ("30", "0"),
        "砚台": ("0", "500"),
    }
    assert [i["name"] for i in report["text"]["inputs"]] == ["in", "general.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("研墨\n", "no frequency"),
        ("研墨 x\n", "no frequency"),
        ("研墨 99999999999999999999\n", "no frequency"),
        ("abc 3\n", "no Han word"),
        ("", "no Han word"),
    ],
)
def test_a_bad_list_of_words(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_frequencies(path)
    with pytest.raises(UsageError, match="cannot read"):
        read_frequencies(tmp_path / "missing.txt")
