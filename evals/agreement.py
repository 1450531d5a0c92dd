"""Agreement of raters beyond chance: Cohen's kappa for two, Krippendorff's alpha for any number.

Categories are nominal: a win is not nearer to a tie than to a loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError
from yanmo.stats import CONFIDENCE, ROUNDS, percentile_bounds

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Two raters over the same items.

    Attributes:
        raw: share of items on which they agree.
        kappa: Cohen's kappa; ``None`` where both gave one and the same category to all items (then
            agreement by chance is certain and the ratio is 0/0).
        low, high: bootstrap interval of kappa over items; ``None`` with kappa.
        n: items.
        categories: names, in the order of the table.
        confusion: counts, rows are the first rater, columns the second.
    """

    raw: float
    kappa: float | None
    low: float | None
    high: float | None
    n: int
    categories: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {
            "raw": self.raw, "kappa": self.kappa, "low": self.low, "high": self.high, "n": self.n,
            "categories": list(self.categories), "confusion": [list(r) for r in self.confusion],
        }  # fmt: skip


def confusion(first: Sequence[str], second: Sequence[str], categories: Sequence[str]) -> Counts:
    """How often each pair of categories was given: (C, C), rows are the first rater.

    Raises:
        DataError: lengths differ, there is no item, or a category is not listed.
    """
    if len(first) != len(second):
        raise DataError("the raters have different numbers of items",
                        value=(len(first), len(second)))  # fmt: skip
    if not first:
        raise DataError("no item was rated by both")
    place = {name: index for index, name in enumerate(categories)}
    odd = next((c for c in (*first, *second) if c not in place), None)
    if odd is not None:
        raise DataError("not one of the categories", value=odd, fix=f"Known: {list(categories)}.")
    table = np.zeros((len(categories), len(categories)))
    for a, b in zip(first, second, strict=True):
        table[place[a], place[b]] += 1
    return table


def kappas(tables: Counts) -> Counts:
    """Kappa of each table.

    Args:
        tables: (..., C, C) counts.

    Returns:
        (...), NaN where agreement by chance is certain.

    Source: J. Cohen, A coefficient of agreement for nominal scales (1960).
    """
    n = tables.sum(axis=(-2, -1))
    observed = np.trace(tables, axis1=-2, axis2=-1) / n
    expected = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / n**2
    certain = expected >= 1.0
    return np.asarray(
        np.where(certain, np.nan, (observed - expected) / np.where(certain, 1.0, 1.0 - expected))
    )


def cohen_kappa(
    first: Sequence[str],
    second: Sequence[str],
    categories: Sequence[str],
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Agreement:
    """Agreement of two raters, with a bootstrap interval over items.

    Args:
        first, second: a category for each item, in the same order.
        categories: their names.
        seed, rounds, confidence: of the bootstrap.

    Raises:
        DataError: see :func:`confusion`.
    """
    table = confusion(first, second, categories)
    n = int(table.sum())
    value = float(kappas(table))
    low = high = None
    if not np.isnan(value):
        drawn = np.random.default_rng(seed).multinomial(n, table.ravel() / n, size=rounds)
        draws = kappas(drawn.reshape(rounds, *table.shape).astype(np.float64))
        # A resample of one category alone says nothing about agreement.
        low, high = percentile_bounds(draws[~np.isnan(draws)], confidence)
    return Agreement(
        float(np.trace(table) / n), None if np.isnan(value) else value, low, high, n,
        tuple(categories), tuple(tuple(int(v) for v in row) for row in table),
    )  # fmt: skip


def krippendorff_alpha(units: Sequence[Sequence[str | None]]) -> float | None:
    """Agreement of any number of raters, with gaps.

    Args:
        units: for each item the categories that raters gave it; ``None`` where one gave none.

    Returns:
        1 for perfect agreement, 0 for chance; ``None`` where no item has two ratings, or only one
        category occurs (there is nothing to agree about).

    Source: K. Krippendorff, Computing Krippendorff's alpha-reliability (2011), nominal metric.
    """
    rated = [[v for v in unit if v is not None] for unit in units]
    rated = [unit for unit in rated if len(unit) > 1]
    names = sorted({value for unit in rated for value in unit})
    if len(names) < 2:
        return None
    counts = np.array([[unit.count(name) for name in names] for unit in rated], dtype=np.float64)
    per_unit = counts.sum(axis=1)
    # Pairs of ratings within a unit that agree, each unit weighted by 1 / (raters - 1).
    agreed = ((counts * (counts - 1)).sum(axis=1) / (per_unit - 1)).sum()
    total, marginal = per_unit.sum(), counts.sum(axis=0)
    by_chance = (marginal * (marginal - 1)).sum() / (total - 1)
    return float(1.0 - (total - agreed) / (total - by_chance))
