"""Bradley-Terry: closed forms, the equations of the maximum, and data without one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import DataError
from yanmo.evals.ratings import bradley_terry, rate, separated


def test_two_systems_have_a_closed_form() -> None:
    wins = np.array([[[0.0, 30.0], [10.0, 0.0]]])
    found = bradley_terry(wins)[0]
    assert found[0] - found[1] == pytest.approx(400 * math.log10(3.0))
    assert found.mean() == pytest.approx(1000.0)


def test_ten_times_the_odds_are_four_hundred() -> None:
    """Expected wins of known ratings give these ratings back."""
    known = np.array([1400.0, 1000.0, 600.0])
    chance = 1 / (1 + 10 ** ((known[None, :] - known[:, None]) / 400))
    wins = 100 * chance * (1 - np.eye(3))
    assert bradley_terry(wins[None])[0] == pytest.approx(known)


def test_a_published_table() -> None:
    """Agresti, Categorical data analysis (2002), table 10.10: baseball, American League 1987.

    Fitted abilities there, Baltimore 0: Milwaukee 1.58, Detroit 1.44, Toronto 1.29, New York 1.25,
    Boston 1.11, Cleveland 0.68.
    """
    wins = np.array([
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ], dtype=np.float64)  # fmt: skip
    theta = bradley_terry(wins[None])[0] * math.log(10) / 400
    assert theta - theta[-1] == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0], abs=0.006)


@given(st.lists(st.integers(1, 9), min_size=12, max_size=12))
@settings(max_examples=50, deadline=None)
def test_expected_wins_are_the_wins(counts: list[int]) -> None:
    wins = np.zeros((4, 4))
    wins[~np.eye(4, dtype=bool)] = counts
    theta = bradley_terry(wins[None])[0] * math.log(10) / 400
    chance = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
    assert ((wins + wins.T) * chance).sum(axis=1) - 0.5 * np.diag(wins + wins.T) == pytest.approx(
        wins.sum(axis=1), abs=1e-6
    )


def test_separated_data_get_half_a_game() -> None:
    wins = np.array([[[0.0, 5.0], [0.0, 0.0]], [[0.0, 5.0], [1.0, 0.0]]])
    assert separated(wins).tolist() == [True, False]
    found = bradley_terry(wins)
    assert found[0, 0] - found[0, 1] == pytest.approx(400 * math.log10(5.25 / 0.25))
    assert found[1, 0] - found[1, 1] == pytest.approx(400 * math.log10(5.0))


def test_a_chain_of_wins_is_separated_and_a_circle_is_not() -> None:
    chain = np.zeros((5, 5))
    for k in range(4):
        chain[k, k + 1] = 1
    circle = chain.copy()
    circle[4, 0] = 1
    assert separated(np.stack([chain, circle])).tolist() == [True, False]


def test_intervals_hold_the_rating_and_the_order_is_by_it() -> None:
    rng = np.random.default_rng(0)
    wins = np.zeros((60, 3, 3))
    for question in wins:
        for a, b, p in ((0, 1, 0.3), (0, 2, 0.6), (1, 2, 0.8)):
            question[(a, b) if rng.random() < p else (b, a)] = 1
    found = rate(["weak", "strong", "last"], wins, rounds=500)
    assert [entry.name for entry in found.systems] == ["strong", "weak", "last"]
    assert all(entry.low < entry.rating < entry.high for entry in found.systems)
    assert rate(["weak", "strong", "last"], wins, rounds=500) == found
    assert not found.separated


def test_questions_that_say_the_same_are_no_more_evidence_each() -> None:
    """A question is resampled with all its games: its games are not independent."""
    one = np.zeros((20, 2, 2))
    one[:12, 0, 1] = one[12:, 1, 0] = 1
    narrow, wide = rate(["a", "b"], np.concatenate([one, one]), rounds=2000), rate(
        ["a", "b"], 2 * one, rounds=2000)  # fmt: skip
    span = [found.systems[0].high - found.systems[0].low for found in (narrow, wide)]
    assert span[1] > 1.2 * span[0]


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="square"):
        bradley_terry(np.zeros((1, 2, 3)))
    with pytest.raises(DataError, match="fit the systems"):
        rate(["a"], np.zeros((0, 1, 1)))
