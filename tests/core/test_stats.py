"""Statistics against closed forms, exact enumeration and scipy."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from yanmo import stats
from yanmo.errors import DataError, UsageError


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 19), (337, 1346), (3085, 12342)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_equals_scipy(k: int, n: int, confidence: float) -> None:
    low, high = stats.wilson(k, n, confidence=confidence)
    exact = scipy.stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert low == pytest.approx(exact.low, abs=1e-12)
    assert high == pytest.approx(exact.high, abs=1e-12)


def test_wilson_without_trials_and_with_wrong_counts() -> None:
    assert stats.wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(UsageError, match="0 <= k <= n"):
        stats.wilson(3, 2)
    with pytest.raises(UsageError, match="between 0 and 1"):
        stats.wilson(1, 2, confidence=95)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_equals_the_binomial_test(first: int, second: int) -> None:
    p = stats.mcnemar_exact(first, second)
    n = first + second
    expected = scipy.stats.binomtest(first, n, 0.5).pvalue if n else 1.0
    assert p == pytest.approx(expected, rel=1e-9)


def test_mcnemar_survives_thousands_of_discordant_pairs() -> None:
    expected = scipy.stats.binomtest(1900, 4000, 0.5).pvalue
    assert stats.mcnemar_exact(1900, 2100) == pytest.approx(expected, rel=1e-9)
    assert stats.mcnemar_exact(2000, 2000) == 1.0
    assert 0.0 < stats.mcnemar_exact(400, 700) < 1e-18


def test_holm_worked_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, then held at 0.06.
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]) == []
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]


def _exact_quantiles(values: list[float], confidence: float) -> tuple[float, float]:
    """Quantiles of the bootstrap distribution of the mean by enumerating every resample."""
    n = len(values)
    means = np.array([np.mean(draw) for draw in itertools.product(values, repeat=n)])
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def test_bootstrap_mean_against_every_resample() -> None:
    values = [0.0, 1.0, 2.5, 7.0, 3.0]
    result = stats.bootstrap_mean(values, seed=1, rounds=200_000, confidence=0.8)
    low, high = _exact_quantiles(values, 0.8)
    assert result.value == pytest.approx(2.7)
    assert result.low == pytest.approx(low, abs=0.11)
    assert result.high == pytest.approx(high, abs=0.11)


def test_multinomial_and_index_resampling_have_one_distribution() -> None:
    rng = np.random.default_rng(0)
    few = rng.integers(0, 2, size=300).astype(float)
    many = few + rng.normal(0, 1e-9, size=300)  # all rows distinct: the other path
    by_counts, by_index = stats.bootstrap_mean(few), stats.bootstrap_mean(many)
    assert by_counts.low == pytest.approx(by_index.low, abs=0.004)
    assert by_counts.high == pytest.approx(by_index.high, abs=0.004)
    normal = scipy.stats.norm.ppf(0.975) * few.std() / np.sqrt(300)
    assert by_counts.high - by_counts.low == pytest.approx(2 * normal, rel=0.03)


def test_bootstrap_is_deterministic_in_its_seed() -> None:
    values = np.linspace(0, 1, 40)
    assert stats.bootstrap_mean(values, seed=3) == stats.bootstrap_mean(values, seed=3)
    assert stats.bootstrap_mean(values, seed=3) != stats.bootstrap_mean(values, seed=4)


def test_ratio_is_of_sums_not_mean_of_ratios() -> None:
    result = stats.bootstrap_ratio([1.0, 90.0], [10.0, 90.0])
    assert result.value == pytest.approx(0.91)
    # The two-item bootstrap has three outcomes: 0.1, 0.91 and 1.0.
    assert (result.low, result.high) == pytest.approx((0.1, 1.0))
    with pytest.raises(DataError, match="differ in length"):
        stats.bootstrap_ratio([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="sum to zero"):
        stats.bootstrap_ratio([1.0], [0.0])


def test_stratified_bootstrap_weighs_subjects_alike() -> None:
    strata = [[1.0] * 10, [0.0] * 1000, [1.0, 0.0] * 100]
    result = stats.stratified_bootstrap(strata)
    assert result.value == pytest.approx(0.5)
    assert result.n == 1210
    # Only the third stratum varies: its standard error, a third of it in the macro mean.
    half = scipy.stats.norm.ppf(0.975) * 0.5 / np.sqrt(200) / 3
    assert result.high - result.low == pytest.approx(2 * half, rel=0.05)
    with pytest.raises(DataError, match="stratum 1"):
        stats.stratified_bootstrap([[1.0], []])


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(5)
    first = (rng.random(800) < 0.5).astype(float)
    second = first.copy()
    second[:40] = 0.0  # second loses a few of the first 40
    result = stats.paired_bootstrap([first], [second])
    assert result.difference == pytest.approx(first[:40].sum() / 800)
    assert result.p < 0.001
    assert result.low > 0.0
    unpaired = stats.bootstrap_mean(first)
    assert result.high - result.low < (unpaired.high - unpaired.low) / 2


def test_paired_bootstrap_on_equal_runs_finds_nothing() -> None:
    same = [[1.0, 0.0, 1.0], [0.0, 0.0]]
    result = stats.paired_bootstrap(same, same)
    assert (result.difference, result.low, result.high, result.p) == (0.0, 0.0, 0.0, 1.0)
    with pytest.raises(DataError, match="not paired"):
        stats.paired_bootstrap([[1.0, 0.0]], [[1.0]])
    with pytest.raises(DataError, match="different strata"):
        stats.paired_bootstrap([[1.0]], [[1.0], [0.0]])


def test_paired_ratio_is_the_difference_of_the_ratios() -> None:
    rng = np.random.default_rng(2)
    size = rng.integers(10, 500, size=60).astype(float)
    second = size * 1.5
    first = second + rng.normal(0.02, 0.01, size=60) * size  # a little worse on every document
    result = stats.paired_ratio_bootstrap(first, second, size)
    expected = first.sum() / size.sum() - second.sum() / size.sum()
    assert result.difference == pytest.approx(expected)
    assert 0.0 < result.low < expected < result.high
    assert result.p < 0.001
    swapped = stats.paired_ratio_bootstrap(second, first, size)
    assert swapped.difference == pytest.approx(-expected)
    with pytest.raises(DataError, match="differ in length"):
        stats.paired_ratio_bootstrap([1.0], [1.0, 2.0], [1.0])


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        stats.bootstrap_mean([1.0, float("nan")])
    with pytest.raises(DataError, match="no items"):
        stats.bootstrap_mean([])
