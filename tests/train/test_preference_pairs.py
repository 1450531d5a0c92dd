"""Losses over pairs against numpy in float64, and the ways a ranking becomes pairs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yanmo.train.preference_pairs import PairLoss, pair_weight, ranked_pairs


def logistic(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, 0)


def test_equal_scores_cost_ln_2() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    assert PairLoss()(zero, zero).tolist() == pytest.approx([math.log(2)] * 3, abs=1e-15)
    assert PairLoss(label_smoothing=0.2)(zero, zero)[0].item() == pytest.approx(math.log(2))


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=20), st.floats(0, 2), st.floats(0, 0.5))
def test_formulas_equal_numpy(values: list[float], margin: float, smooth: float) -> None:
    a, b = np.array(values), np.array(values[::-1])
    better, worse = torch.tensor(a), torch.tensor(b)
    want = (1 - smooth) * logistic(a - b - margin) + smooth * logistic(b - a - margin)
    want = want + 0.01 * (a + b) ** 2
    found = PairLoss(margin=margin, label_smoothing=smooth, centring=0.01)(better, worse)
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-12, atol=1e-12)
    ipo = PairLoss("ipo", beta=0.2)(better, worse).numpy()
    np.testing.assert_allclose(ipo, ((a - b) / 0.2 - 1 / 0.4) ** 2, rtol=1e-12, atol=1e-12)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=7))
def test_pairs_are_those_that_the_ranks_decide(ranks: list[int]) -> None:
    pairs = ranked_pairs(ranks)
    assert len(set(pairs)) == len(pairs)
    undecided = sum(ranks[i] == ranks[j] for i in range(len(ranks)) for j in range(i))
    assert len(pairs) + undecided == math.comb(len(ranks), 2)
    assert all(ranks[i] < ranks[j] for i, j in pairs)


def test_two_answers_are_one_pair_of_weight_one() -> None:
    assert ranked_pairs([2, 1]) == ((1, 0),)
    assert pair_weight(2) == 1.0
    assert pair_weight(4) * math.comb(4, 2) == 1.0
