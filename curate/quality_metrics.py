"""How well a score tells two classes apart, and how far its probabilities can be believed.

AUC is the chance that a positive document scores above a negative one, ties half. Its intervals are
percentile bootstraps in which positives and negatives are drawn apart, so that every resample has
the same number of each; two scores of the same documents are compared on the same resamples.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError
from yanmo.stats import Comparison, Estimate, wilson

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ROUNDS: Final = 2000
BINS: Final = 10
_TAIL: Final = 0.025
_EDGE: Final = 1e-6  # probabilities are kept off 0 and 1, where the logit has no end
_CHUNK_DRAWS: Final = 4_000_000


def auc(scores: Floats, positive: Flags) -> float:
    """Area under the ROC curve.

    Args:
        scores: float64 ``[N]``.
        positive: bool ``[N]``.

    Raises:
        DataError: a class is empty.
    """
    ones = np.ones((1, len(scores)))
    return float(_weighted(scores, positive, ones)[0])


def auc_interval(
    scores: Floats, positive: Flags, *, seed: int = 0, rounds: int = ROUNDS
) -> Estimate:
    """AUC with its 95 % bootstrap interval."""
    draws = _draws([scores], positive, seed, rounds)[0]
    low, high = np.quantile(draws, [_TAIL, 1 - _TAIL])
    return Estimate(auc(scores, positive), float(low), float(high), len(scores))


def auc_difference(
    first: Floats, second: Floats, positive: Flags, *, seed: int = 0, rounds: int = ROUNDS
) -> Comparison:
    """AUC of the first score minus that of the second, on the same documents and resamples.

    The p value is two-sided, with one resample added so that it is never zero.
    """
    one, two = _draws([first, second], positive, seed, rounds)
    draws = one - two
    low, high = np.quantile(draws, [_TAIL, 1 - _TAIL])
    far = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p = min(1.0, 2 * (far + 1) / (rounds + 1))
    value = auc(first, positive) - auc(second, positive)
    return Comparison(value, float(low), float(high), p, len(first))


def _draws(columns: list[Floats], positive: Flags, seed: int, rounds: int) -> list[Floats]:
    """AUC of each column on each resample, float64 ``[rounds]`` a column."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    if min(map(len, groups)) == 0:
        raise DataError("the AUC needs documents of both classes",
                        value=(len(groups[0]), len(groups[1])))  # fmt: skip
    results: list[list[Floats]] = [[] for _ in columns]
    step = max(1, _CHUNK_DRAWS // len(positive))
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        weights = np.zeros((size, len(positive)))
        for rows in groups:
            drawn = rng.integers(0, len(rows), (size, len(rows)))
            drawn += np.arange(size)[:, None] * len(rows)
            counts = np.bincount(drawn.ravel(), minlength=size * len(rows))
            weights[:, rows] = counts.reshape(size, len(rows))
        for column, result in zip(columns, results, strict=True):
            result.append(_weighted(column, positive, weights))
    return [np.concatenate(result) for result in results]


def _weighted(scores: Floats, positive: Flags, weights: Floats) -> Floats:
    """AUC where document ``n`` counts ``weights[r, n]`` times, float64 ``[R]``."""
    if not positive.any() or positive.all():
        raise DataError("the AUC needs documents of both classes",
                        value=(int(positive.sum()), int((~positive).sum())))  # fmt: skip
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan))  # of runs of equal scores
    ups = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    downs = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(downs, axis=1) - downs
    wins = (ups * (below + downs / 2)).sum(axis=1)
    result: Floats = wins / (ups.sum(axis=1) * downs.sum(axis=1))
    return result


def logit(probabilities: Floats) -> Floats:
    """Log odds, of probabilities kept off 0 and 1."""
    clipped = np.clip(probabilities, _EDGE, 1 - _EDGE)
    return np.log(clipped) - np.log1p(-clipped)


def platt(scores: Floats, positive: Flags) -> tuple[float, float]:
    """Slope and offset of the logistic curve through the log odds of a score.

    Targets are smoothed by the counts of the classes, so that classes that can be told apart
    without error do not drive the slope to infinity. Newton's method, halving steps that do not
    improve.

    Source:
        J. Platt, Probabilistic outputs for support vector machines (1999).
    """
    x = logit(scores)
    ups, downs = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (ups + 1) / (ups + 2), 1 / (downs + 2))
    design = np.stack([x, np.ones_like(x)], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(100):
        p = _sigmoid(design @ found)
        gradient = design.T @ (p - target)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size, before = 1.0, _cross_entropy(p, target)
        while size > 1e-6:
            trial = found - size * step
            if _cross_entropy(_sigmoid(design @ trial), target) <= before:
                break
            size /= 2
        found = found - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def _sigmoid(x: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(x, -50, 50)))
    return result


def _cross_entropy(p: Floats, target: Floats) -> float:
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return float(-(target * np.log(p) + (1 - target) * np.log1p(-p)).sum())


def isotonic(scores: Floats, positive: Flags) -> tuple[Floats, Floats]:
    """The rising step curve nearest to the classes: its corners, to be joined by straight lines.

    Returns:
        Scores (strictly rising) and probabilities (rising), the same length.

    Source:
        Pool adjacent violators: Ayer et al. (1955).
    """
    values, inverse = np.unique(scores, return_inverse=True)
    counts = np.bincount(inverse).astype(np.float64)
    means = np.bincount(inverse, positive) / counts
    blocks: list[list[float]] = []  # mean, weight, first and last score
    for value, mean, count in zip(values.tolist(), means.tolist(), counts.tolist(), strict=True):
        blocks.append([mean, count, value, value])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last = blocks.pop()
            weight = blocks[-1][1] + last[1]
            blocks[-1][0] = (blocks[-1][0] * blocks[-1][1] + last[0] * last[1]) / weight
            blocks[-1][1], blocks[-1][3] = weight, last[3]
    corners = {edge: block[0] for block in blocks for edge in (block[2], block[3])}
    return np.array(list(corners)), np.array(list(corners.values()))


def calibrated(scores: Floats, calibration: dict[str, Any]) -> Floats:
    """Probabilities of scores by a stored calibration, four decimals.

    Args:
        scores: raw scores, float64 ``[N]``.
        calibration: ``{"method": "platt", "slope", "offset"}`` or ``{"method": "isotonic",
            "scores", "probabilities"}``.
    """
    if calibration["method"] == "platt":
        found = _sigmoid(calibration["slope"] * logit(scores) + calibration["offset"])
    else:
        found = np.interp(scores, calibration["scores"], calibration["probabilities"])
    return np.round(found, 4)


def reliability(probabilities: Floats, positive: Flags) -> dict[str, Any]:
    """Is what gets 0.8 positive in 80 of 100 cases? Ten bins of equal width.

    Returns:
        ``{"ece", "brier", "bins": [{"low", "high", "n", "mean", "positive", "interval"}]}``; the
        expected calibration error weighs each bin by its documents.
    """
    which = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    bins, ece = [], 0.0
    for b in range(BINS):
        inside = which == b
        n = int(inside.sum())
        if not n:
            continue
        mean, share = float(probabilities[inside].mean()), float(positive[inside].mean())
        ece += n / len(probabilities) * abs(mean - share)
        low, high = wilson(int(positive[inside].sum()), n)
        bins.append({"low": b / BINS, "high": (b + 1) / BINS, "n": n, "mean": round(mean, 4),
                     "positive": round(share, 4),
                     "interval": [round(low, 4), round(high, 4)]})  # fmt: skip
    brier = float(((probabilities - positive) ** 2).mean())
    return {"ece": round(ece, 4), "brier": round(brier, 4), "bins": bins}


def at_threshold(probabilities: Floats, positive: Flags, threshold: float) -> dict[str, Any]:
    """Precision and recall of keeping all from a threshold on, with Wilson intervals."""
    kept = probabilities >= threshold
    right, n, ups = int((kept & positive).sum()), int(kept.sum()), int(positive.sum())
    return {
        "threshold": threshold,
        "kept": n,
        "precision": round(right / n, 4) if n else None,
        "precision_interval": [round(x, 4) for x in wilson(right, n)],
        "recall": round(right / ups, 4) if ups else None,
        "recall_interval": [round(x, 4) for x in wilson(right, ups)],
    }
