"""Intervals of tokens per character, against the plain bootstrap and known distributions."""

import json
from pathlib import Path

import numpy as np
import pytest

from yanmo.stats import bootstrap_ratio, paired_ratio_bootstrap
from yanmo.vocab.compare import compare
from yanmo.vocab.ratio_intervals import draw_ratios, pool
from yanmo.vocab.slices import Sampling


def test_intervals_agree_with_the_plain_bootstrap() -> None:
    rng = np.random.default_rng(1)
    chars = rng.integers(50, 900, 150)
    first = (chars * rng.uniform(0.5, 0.9, 150)).astype(np.int64)
    second = (first * rng.uniform(0.7, 0.9, 150)).astype(np.int64)
    draws = draw_ratios([first, second], chars, seed=4)
    for index, tokens in enumerate((first, second)):
        plain = bootstrap_ratio(tokens, chars, seed=9)
        found = draws.estimate(index)
        assert found.value == pytest.approx(plain.value)
        assert found.low == pytest.approx(plain.low, abs=0.05 * (plain.high - plain.low))
        assert found.high == pytest.approx(plain.high, abs=0.05 * (plain.high - plain.low))
    paired = paired_ratio_bootstrap(first, second, chars, seed=9)
    gap = draws.difference(0, 1)
    width = paired.high - paired.low
    assert gap["difference"] == pytest.approx(paired.difference)
    assert gap["low"] == pytest.approx(paired.low, abs=0.06 * width)
    assert gap["high"] == pytest.approx(paired.high, abs=0.06 * width)
    # Paired is what makes it narrow: each alone varies more than their difference.
    assert width < plain.high - plain.low


def test_the_interval_covers_the_truth() -> None:
    """Of 200 samples from one distribution, about 95 % of the intervals hold its ratio."""
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        chars = rng.integers(100, 1000, 60)
        tokens = (chars * rng.normal(0.6, 0.1, 60)).round().astype(np.int64)
        found = draw_ratios([tokens], chars, seed=int(rng.integers(1 << 30)), rounds=500)
        hits += found.estimate(0).low <= 0.6 <= found.estimate(0).high
    assert 0.88 <= hits / 200 <= 0.99


def test_pooled_draws_resample_within_slices() -> None:
    """Two slices that differ, without spread inside: the pool does not vary."""
    even = [draw_ratios([np.full(20, n)], np.full(20, 10), seed=(0, n)) for n in (5, 9)]
    joint = pool(even, [200, 200])
    found = joint.estimate(0)
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.7, 0.7))


def test_slices_are_drawn_independently(spm_file: Path, tmp_path: Path) -> None:
    """Two slices alike: pooled, the interval is narrower by the root of two."""
    rows = [json.dumps({"text": ("数据" if k % 3 else "ink ") * (k + 3)}) for k in range(40)]
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    inputs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    found = compare([f"x={spm_file}"], inputs, Sampling()).result
    widths = [
        part["tokenizers"]["x"]["tokens_per_char"]["high"]
        - part["tokenizers"]["x"]["tokens_per_char"]["low"]
        for part in (found["slices"][0], found["all"])
    ]
    assert widths[1] / widths[0] == pytest.approx(0.5**0.5, abs=0.07)
