"""Intervals and tests for scores: Wilson, bootstraps (plain to paired), McNemar, Holm.

Everything is seeded and deterministic. Bootstraps are percentile bootstraps; items with few
distinct rows (right or wrong answers, pairs of them) are resampled by multinomial counts, which is
the same distribution as drawing items one by one and a hundred times faster.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError, UsageError

Floats = npt.NDArray[np.float64]
ROUNDS = 10_000
CONFIDENCE = 0.95
# Up to this many distinct rows multinomial counts beat drawing indices.
_FEW_ROWS = 16
_CHUNK_DRAWS = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: the point estimate on the data itself.
        low, high: bounds of the interval.
        n: number of items behind it.
    """

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int]:
        """The four fields, for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True, slots=True)
class Comparison:
    """First minus second on the same items: difference, interval and two-sided p value."""

    difference: float
    low: float
    high: float
    p: float
    n: int

    def as_dict(self) -> dict[str, float | int]:
        """The five fields, for JSON."""
        return {
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "p": self.p,
            "n": self.n,
        }


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise UsageError("confidence must lie between 0 and 1", value=confidence)


def wilson(k: int, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson score interval of a proportion.

    Args:
        k: successes.
        n: trials; with none the interval is (0, 1).
        confidence: two-sided coverage.

    Returns:
        Lower and upper bound, within [0, 1].

    Source:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    _check_confidence(confidence)
    if n < 0 or not 0 <= k <= n:
        raise UsageError("a proportion needs 0 <= k <= n", value=(k, n))
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = k / n
    centre = share + z * z / (2.0 * n)
    spread = z * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    scale = 1.0 + z * z / n
    # At the edges the bound is 0 or 1 exactly; rounding must not push it a hair inside.
    low = 0.0 if k == 0 else (centre - spread) / scale
    high = 1.0 if k == n else (centre + spread) / scale
    return low, high


def _resampled_sums(rows: Floats, rounds: int, rng: np.random.Generator) -> Floats:
    """Sums of resampled rows: (n, c) -> (rounds, c), n rows drawn with replacement a round."""
    n = rows.shape[0]
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    if len(distinct) <= _FEW_ROWS:
        drawn = rng.multinomial(n, counts / n, size=rounds)
        return np.asarray(drawn @ distinct, dtype=np.float64)
    sums = np.empty((rounds, rows.shape[1]), dtype=np.float64)
    step = max(1, _CHUNK_DRAWS // n)
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        sums[start : start + size] = rows[rng.integers(0, n, size=(size, n))].sum(axis=1)
    return sums


def percentile_bounds(draws: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The two quantiles between which ``confidence`` of the draws lie."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return float(low), float(high)


def _column(values: Sequence[float] | npt.NDArray[np.generic], name: str) -> Floats:
    column = np.asarray(values, dtype=np.float64).reshape(-1)
    if column.size == 0:
        raise DataError(f"no items to resample in {name}")
    if not np.isfinite(column).all():
        raise DataError(f"{name} holds values that are not finite")
    return column


def bootstrap_mean(
    values: Sequence[float] | npt.NDArray[np.generic],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Mean over items with a percentile bootstrap interval.

    Args:
        values: one number an item.
        seed: seed of the numpy generator.
        rounds: bootstrap resamples.
        confidence: two-sided coverage.

    Raises:
        DataError: no items, or a value is not finite.
    """
    _check_confidence(confidence)
    column = _column(values, "values")
    sums = _resampled_sums(column[:, None], rounds, np.random.default_rng(seed))
    low, high = percentile_bounds(sums[:, 0] / column.size, confidence)
    return Estimate(float(column.mean()), low, high, column.size)


def bootstrap_ratio(
    numerators: Sequence[float] | npt.NDArray[np.generic],
    denominators: Sequence[float] | npt.NDArray[np.generic],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Ratio of sums over items (bits over bytes, say), items resampled as wholes.

    Args:
        numerators, denominators: one pair an item; the denominators are not negative.
        seed, rounds, confidence: as in ``bootstrap_mean``.

    Raises:
        DataError: lengths differ, no items, or the denominators sum to zero.
    """
    _check_confidence(confidence)
    top, bottom = _column(numerators, "numerators"), _column(denominators, "denominators")
    if top.size != bottom.size:
        raise DataError(
            "numerators and denominators differ in length", value=(top.size, bottom.size)
        )
    if bottom.sum() <= 0.0:
        raise DataError("the denominators sum to zero")
    sums = _resampled_sums(np.stack([top, bottom], axis=1), rounds, np.random.default_rng(seed))
    # A resample of empty items alone has no ratio; it carries no information about the interval.
    sums = sums[sums[:, 1] > 0.0]
    low, high = percentile_bounds(sums[:, 0] / sums[:, 1], confidence)
    return Estimate(float(top.sum() / bottom.sum()), low, high, top.size)


def stratified_bootstrap(
    strata: Sequence[Sequence[float] | npt.NDArray[np.generic]],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Macro average (mean of the strata's means); items are resampled within their stratum.

    Args:
        strata: one sequence of numbers a stratum (the right and wrong answers of a subject).
        seed, rounds, confidence: as in ``bootstrap_mean``.

    Raises:
        DataError: no strata, or an empty one.
    """
    _check_confidence(confidence)
    if not strata:
        raise DataError("no strata to average")
    rng = np.random.default_rng(seed)
    columns = [_column(values, f"stratum {index}") for index, values in enumerate(strata)]
    total = np.zeros(rounds)
    for column in columns:
        total += _resampled_sums(column[:, None], rounds, rng)[:, 0] / column.size
    low, high = percentile_bounds(total / len(columns), confidence)
    value = float(np.mean([column.mean() for column in columns]))
    return Estimate(value, low, high, sum(column.size for column in columns))


def paired_bootstrap(
    first: Sequence[Sequence[float] | npt.NDArray[np.generic]],
    second: Sequence[Sequence[float] | npt.NDArray[np.generic]],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Difference of two macro averages over the same items, resampled as pairs within each stratum.

    Give one stratum for a plain (micro) difference.

    Args:
        first, second: strata of equal shapes; item ``i`` of both is the same question.
        seed, rounds, confidence: as in ``bootstrap_mean``.

    Returns:
        First minus second. The p value is the share of resamples on the far side of zero, doubled,
        with one resample added so that it is never zero.

    Raises:
        DataError: shapes differ, or nothing to compare.
    """
    if len(first) != len(second):
        raise DataError("the two runs have different strata", value=(len(first), len(second)))
    _check_confidence(confidence)
    if not first:
        raise DataError("no strata to compare")
    rng = np.random.default_rng(seed)
    total, value, items = np.zeros(rounds), 0.0, 0
    for index, (left, right) in enumerate(zip(first, second, strict=True)):
        a, b = _column(left, f"stratum {index}"), _column(right, f"stratum {index}")
        if a.size != b.size:
            raise DataError(f"stratum {index} is not paired", value=(a.size, b.size))
        gap = a - b
        total += _resampled_sums(gap[:, None], rounds, rng)[:, 0] / gap.size
        value += float(gap.mean())
        items += gap.size
    return _compared(value / len(first), total / len(first), confidence, items)


def paired_ratio_bootstrap(
    first: Sequence[float] | npt.NDArray[np.generic],
    second: Sequence[float] | npt.NDArray[np.generic],
    denominators: Sequence[float] | npt.NDArray[np.generic],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Difference of two ratios of sums over the same items and the same denominators.

    Args:
        first, second: numerators, such as bits that two models need for a document.
        denominators: what both are divided by, such as the document's bytes.
        seed, rounds, confidence: as in ``bootstrap_mean``.

    Raises:
        DataError: lengths differ, no items, or the denominators sum to zero.
    """
    _check_confidence(confidence)
    a, b, bottom = _column(first, "first"), _column(second, "second"), _column(denominators, "d")
    if not a.size == b.size == bottom.size:
        raise DataError("the sequences differ in length", value=(a.size, b.size, bottom.size))
    if bottom.sum() <= 0.0:
        raise DataError("the denominators sum to zero")
    rows = np.stack([a - b, bottom], axis=1)
    sums = _resampled_sums(rows, rounds, np.random.default_rng(seed))
    sums = sums[sums[:, 1] > 0.0]
    value = float((a - b).sum() / bottom.sum())
    return _compared(value, sums[:, 0] / sums[:, 1], confidence, a.size)


def _compared(value: float, draws: Floats, confidence: float, n: int) -> Comparison:
    low, high = percentile_bounds(draws, confidence)
    far = min(int((draws <= 0.0).sum()), int((draws >= 0.0).sum()))
    return Comparison(value, low, high, min(1.0, 2.0 * (far + 1) / (draws.size + 1)), n)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test (the sign test on discordant pairs).

    Args:
        only_first: items that only the first got right.
        only_second: items that only the second got right.

    Returns:
        The p value; 1 when no pair is discordant.

    Source:
        Q. McNemar (1947); exact binomial form with probability one half.
    """
    if only_first < 0 or only_second < 0:
        raise UsageError("counts cannot be negative", value=(only_first, only_second))
    n, k = only_first + only_second, min(only_first, only_second)
    # Whole numbers until the last division: 0.5**n underflows from about a thousand pairs on.
    term, tail = 1, 1
    for i in range(1, k + 1):
        term = term * (n - i + 1) // i
        tail += term
    return min(1.0, 2 * tail / (1 << n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p values, in the order given.

    Source:
        S. Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted
