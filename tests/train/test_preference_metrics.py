"""Figures of scored rankings, against counts by hand and scipy."""

import math
import random

import numpy as np
import pytest

from yanmo.stats import wilson
from yanmo.train.preference_data import Ranked
from yanmo.train.preference_metrics import measure, surprises
from yanmo.train.preference_pairs import PairLoss


def pair(better: int, worse: int, name: str = "p") -> Ranked:
    """A pair with answers of so many tokens; the better one stands second."""
    return Ranked(name, (1,), ((5,) * worse, (6,) * better), (2, 1))


def test_accuracy_counts_ties_as_one_half_and_stands_beside_length() -> None:
    rankings = [pair(4, 2), pair(3, 3), pair(2, 9), pair(100, 95)]
    scores = [[0.0, 1.0], [1.0, 1.0], [2.0, -1.0], [0.0, 0.5]]
    found = measure(rankings, scores, PairLoss())
    assert found["accuracy"] == 2.5 / 4
    assert (found["low"], found["high"]) == wilson(2, 4)
    assert found["margin"] == pytest.approx((1 + 0 - 3 + 0.5) / 4)
    assert found["loss"] == pytest.approx(
        np.mean([math.log1p(math.exp(-lead)) for lead in (1, 0, -3, 0.5)])
    )
    length = found["length"]
    assert length["longer_is_better"]["accuracy"] == 2.5 / 4
    assert (length["matched"]["pairs"], length["matched"]["accuracy"]) == (2, 0.75)
    tokens = [2, 4, 3, 3, 9, 2, 95, 100]
    want = np.corrcoef([s for row in scores for s in row], tokens)[0, 1]
    assert length["correlation"] == pytest.approx(want)


def test_pairs_of_a_ranking_share_its_weight() -> None:
    three = Ranked("k", (1,), ((1,), (2, 2), (3, 3, 3)), (1, 2, 3))
    found = measure([three, pair(1, 2)], [[3.0, 2.0, 2.5], [1.0, 0.0]], PairLoss())
    # Two of three pairs right, at 1/3 each; the pair is wrong, at 1.
    assert found["accuracy"] == pytest.approx((2 / 3) / 2)
    assert found["low"] <= found["accuracy"] <= found["high"]


def test_sure_and_right_is_calibrated() -> None:
    rng = random.Random(1)
    rankings, scores = [], []
    for number in range(4000):
        lead = rng.gauss(0, 2)
        right = rng.random() < 1 / (1 + math.exp(-abs(lead)))
        rankings.append(pair(1, 1, str(number)))
        scores.append([0.0, abs(lead) if right else -abs(lead)])
    found = measure(rankings, scores, PairLoss())
    assert sum(b["pairs"] for b in found["calibration"]) == 4000
    for one in found["calibration"]:
        assert one["from"] <= one["confidence"] <= one["to"]
        assert one["accuracy"] == pytest.approx(one["confidence"], abs=0.06)


def test_the_surest_mistakes_come_first() -> None:
    rankings = [pair(1, 2, "a"), pair(1, 2, "b"), pair(1, 2, "c")]
    scores = [[1.0, 0.0], [0.0, 1.0], [5.0, 0.0]]
    found = surprises(rankings, scores, lambda ids: " ".join(map(str, ids)))
    assert [row["id"] for row in found] == ["c", "a"]
    assert found[0] == {"id": "c", "lead": -5.0, "prompt": "1", "better": "6", "worse": "5 5"}


def test_nothing_to_correlate_is_no_number() -> None:
    found = measure([pair(3, 3)], [[0.0, 1.0]], PairLoss())
    assert found["length"]["correlation"] is None
    assert found["length"]["longer_is_better"]["accuracy"] == 0.5
