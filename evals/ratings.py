"""Bradley-Terry ratings of three or more systems from pairwise results.

Shapes: ``R`` rounds of a bootstrap, ``Q`` questions, ``K`` systems.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError
from yanmo.stats import CONFIDENCE, ROUNDS, percentile_bounds

Floats = npt.NDArray[np.float64]
SCALE: Final = 400.0
MEAN: Final = 1000.0
PRIOR: Final = 0.5
"""Games that every two systems are lent, half won by each, where wins alone have no maximum."""
_STEPS: Final = 100
_CHUNK: Final = 2_000


@dataclass(frozen=True)
class Rating:
    """One system's rating, with its interval over questions."""

    name: str
    rating: float
    low: float
    high: float


@dataclass(frozen=True)
class Ratings:
    """All systems, best first.

    Attributes:
        systems: their ratings; the mean is 1000, ten times the odds are 400 more.
        separated: whether one group of systems never lost to another, so that the prior was needed.
        separated_rounds: share of resamples in which it was needed.
    """

    systems: tuple[Rating, ...]
    separated: bool
    separated_rounds: float


def separated(wins: Floats) -> npt.NDArray[np.bool_]:
    """Whether the likelihood has no finite maximum.

    Args:
        wins: (R, K, K), wins of the row over the column; a tie is half a win of both.

    Returns:
        (R,): true if the systems fall into two groups of which one never beat the other.

    Source: L. R. Ford, Solution of a ranking problem from binary comparisons (1957).
    """
    size = wins.shape[-1]
    reach = (wins > 0) | np.eye(size, dtype=bool)
    for _ in range(max(1, size.bit_length())):
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    return np.asarray(~reach.all(axis=(-2, -1)))


def bradley_terry(wins: Floats, *, prior: float = PRIOR) -> Floats:
    """Maximum-likelihood ratings.

    Args:
        wins: (R, K, K), wins of the row over the column; a tie is half a win of both.
        prior: games lent to every pair of systems in rounds without a finite maximum.

    Returns:
        (R, K) ratings: base 10, scale 400, mean 1000.

    Raises:
        DataError: the table is not square, or holds negative numbers.

    Source: R. A. Bradley, M. E. Terry, Rank analysis of incomplete block designs (1952); Newton's
    method on the log-odds, whose log-likelihood is concave.
    """
    if wins.ndim != 3 or wins.shape[1] != wins.shape[2] or (wins < 0).any():
        raise DataError("wins are a square table of counts", value=wins.shape)
    size = wins.shape[-1]
    lent = prior / 2.0 * (1.0 - np.eye(size))
    wins = np.where(separated(wins)[:, None, None], wins + lent, wins)
    games, won = wins + wins.transpose(0, 2, 1), wins.sum(axis=2)
    theta = np.zeros(wins.shape[:2])
    anchor = np.full((size, size), 1.0 / size)  # keeps the mean, and the matrix regular
    for _ in range(_STEPS):
        expected = 1.0 / (1.0 + np.exp(theta[:, None, :] - theta[:, :, None]))
        slope = won - (games * expected).sum(axis=2)
        weight = games * expected * (1.0 - expected)
        curve = np.eye(size) * weight.sum(axis=2)[:, :, None] - weight + anchor
        step = np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
        # Far from the top the curve is flat and a whole step overshoots.
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1), 1e-12))[:, None]
        theta += step
        if np.abs(step).max() < 1e-10:
            break
    theta -= theta.mean(axis=1, keepdims=True)
    return np.asarray(MEAN + SCALE / np.log(10.0) * theta)


def rate(
    names: Sequence[str],
    wins: Floats,
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
) -> Ratings:
    """Ratings with intervals from a bootstrap over questions.

    Args:
        names: the systems.
        wins: (Q, K, K), for each question the wins of the row over the column.
        seed, rounds, confidence: of the bootstrap.

    Raises:
        DataError: no question, or the table does not fit the names.
    """
    questions, size = wins.shape[0], len(names)
    if questions == 0 or wins.shape[1:] != (size, size):
        raise DataError("wins do not fit the systems", value=(wins.shape, size))
    whole = wins.sum(axis=0, keepdims=True)
    values = bradley_terry(whole)[0]
    rng, flat = np.random.default_rng(seed), wins.reshape(questions, -1)
    draws, needed = [], 0
    share = np.full(questions, 1.0 / questions)
    for start in range(0, rounds, _CHUNK):
        drawn = rng.multinomial(questions, share, size=min(_CHUNK, rounds - start))
        tables = (drawn @ flat).reshape(-1, size, size)
        needed += int(separated(tables).sum())
        draws.append(bradley_terry(tables))
    every = np.concatenate(draws)
    rated = [
        Rating(name, float(values[k]), *percentile_bounds(every[:, k], confidence))
        for k, name in enumerate(names)
    ]
    rated.sort(key=lambda entry: (-entry.rating, entry.name))
    return Ratings(tuple(rated), bool(separated(whole)[0]), needed / rounds)
