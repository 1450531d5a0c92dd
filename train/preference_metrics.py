"""What scores of judged answers say: accuracy, calibration, and how much of it is mere length.

A model that has learned nothing but that people like long answers gets some .56 to .62 of the
usual preference data right, so length stands beside every accuracy.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from yanmo.stats import bootstrap_ratio, paired_bootstrap, wilson

from .preference_data import Ranked
from .preference_pairs import PairLoss, pair_weight

Floats = npt.NDArray[np.float64]
MATCHED: Final = 0.1
"""Answers of like length: they differ by at most this share of the longer."""
SURPRISES: Final = 12
BINS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def measure(
    rankings: Sequence[Ranked], scores: Sequence[Sequence[float]], loss: PairLoss
) -> dict[str, Any]:
    """Figures of some scored rankings.

    Args:
        rankings: what people judged.
        scores: one number an answer.
        loss: formula of the loss; its sigmoid is what calibration is about.

    Returns:
        ``pairs``, ``accuracy`` (ties count one half) with ``low`` and ``high``, ``loss``,
        ``margin``, ``reward_mean``, ``reward_std``, ``calibration``, ``length``: see below.
    """
    import torch

    table = _pairs(rankings, scores)
    lead, weight = table["lead"], table["weight"]
    flat = np.array([s for row in scores for s in row])
    better, worse = (torch.tensor(table[name]) for name in ("better", "worse"))
    losses = loss(better, worse).numpy()
    return {
        "rankings": len(rankings),
        "pairs": len(lead),
        **share_right(table, lead),
        "loss": float((losses * weight).sum() / weight.sum()),
        "margin": float((lead * weight).sum() / weight.sum()),
        "reward_mean": float(flat.mean()),
        "reward_std": float(flat.std()),
        "histogram": bins_of(flat),
        "calibration": calibration(table),
        "length": _length(rankings, table, flat),
    }


Columns = dict[str, Any]


def _pairs(rankings: Sequence[Ranked], scores: Sequence[Sequence[float]]) -> Columns:
    """One row a pair: scores, tokens of the answers, weight, number of the ranking."""
    rows = [
        (row[i], row[j], len(r.answers[i]), len(r.answers[j]), pair_weight(len(r.answers)), number)
        for number, (r, row) in enumerate(zip(rankings, scores, strict=True))
        for i, j in r.pairs
    ]
    names = ("better", "worse", "long_better", "long_worse", "weight", "ranking")
    table: Columns = {
        name: np.array([row[place] for row in rows], np.float64) for place, name in enumerate(names)
    }
    table["lead"] = table["better"] - table["worse"]
    table["longer"] = table["long_better"] - table["long_worse"]
    table["plain"] = all(len(r.answers) == 2 for r in rankings)
    return table


def hits(lead: Floats) -> Floats:
    """1 where the better answer leads, one half where nothing does."""
    return np.where(lead > 0, 1.0, np.where(lead == 0, 0.5, 0.0))


def share_right(table: Columns, lead: Floats) -> dict[str, float | None]:
    """Weighted share of pairs that a number gets right, with a 95 % interval.

    The interval is Wilson's where every ranking is one pair, and else a bootstrap over rankings,
    whose pairs share answers.
    """
    right, weight = hits(lead), table["weight"]
    if not len(right):
        return {"accuracy": None, "low": None, "high": None}
    value = float((right * weight).sum() / weight.sum())
    if table["plain"]:
        low, high = wilson(round(right.sum()), len(right))
    else:
        numbers = table["ranking"].astype(np.int64)
        top, bottom = np.bincount(numbers, right * weight), np.bincount(numbers, weight)
        found = bootstrap_ratio(top[bottom > 0], bottom[bottom > 0])
        low, high = found.low, found.high
    return {"accuracy": value, "low": low, "high": high}


def bins_of(values: Floats) -> dict[str, list[float]]:
    """Edges and counts of a histogram."""
    counts, edges = np.histogram(values, bins=min(30, max(len(values) // 4, 5)))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def calibration(table: Columns) -> list[dict[str, float]]:
    """Per bin of confidence ``sigma(|difference of scores|)``: how often it is right."""
    with np.errstate(over="ignore"):
        sure = 1 / (1 + np.exp(-np.abs(table["lead"])))
    right, found = hits(table["lead"]), []
    places = np.clip(np.searchsorted(BINS, sure, side="right") - 1, 0, len(BINS) - 2)
    for place in range(len(BINS) - 1):
        mask = places == place
        if mask.any():
            found.append({"from": BINS[place], "to": BINS[place + 1], "pairs": int(mask.sum()),
                          "confidence": float(sure[mask].mean()),
                          "accuracy": float(right[mask].mean())})  # fmt: skip
    return found


def _length(rankings: Sequence[Ranked], table: Columns, scores: Floats) -> dict[str, Any]:
    """How much length alone explains."""
    tokens = np.array([len(a) for r in rankings for a in r.answers], np.float64)
    longest = np.maximum(table["long_better"], table["long_worse"])
    like = np.abs(table["longer"]) <= MATCHED * longest
    matched = {name: v[like] if isinstance(v, np.ndarray) else v for name, v in table.items()}
    gap = paired_bootstrap([hits(table["lead"])], [hits(table["longer"])])
    return {
        "longer_is_better": share_right(table, table["longer"]),
        "above_length": {"difference": gap.difference, "low": gap.low, "high": gap.high},
        "matched": {"pairs": int(like.sum()), **share_right(matched, matched["lead"])},
        "correlation": correlation(scores, tokens),
        "correlation_of_differences": correlation(table["lead"], table["longer"]),
    }


def correlation(one: Floats, other: Floats) -> float | None:
    """Pearson's; ``None`` where a column does not vary."""
    if len(one) < 2 or one.std() == 0 or other.std() == 0:
        return None
    value = float(np.corrcoef(one, other)[0, 1])
    return value if math.isfinite(value) else None


def surprises(
    rankings: Sequence[Ranked],
    scores: Sequence[Sequence[float]],
    decode: Callable[[Sequence[int]], str],
    count: int = SURPRISES,
) -> list[dict[str, Any]]:
    """The pairs that the scores are surest and wrong about: bad answers, or bad judgements.

    Args:
        rankings: what people judged.
        scores: one number an answer.
        decode: ids to text, special tokens shown.
        count: at most.

    Returns:
        ``id``, ``lead`` (of the better answer, below 0), texts of ``prompt``, ``better`` and
        ``worse``; the surest first.
    """
    wrong = sorted(
        (row[i] - row[j], number, i, j)
        for number, (ranked, row) in enumerate(zip(rankings, scores, strict=True))
        for i, j in ranked.pairs
        if row[i] < row[j]
    )
    return [
        {"id": rankings[n].id, "lead": lead, "prompt": decode(rankings[n].prompt),
         "better": decode(rankings[n].answers[i]), "worse": decode(rankings[n].answers[j])}
        for lead, n, i, j in wrong[:count]
    ]  # fmt: skip
