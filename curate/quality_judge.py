"""What held-out documents say of a quality model, beside what their length alone says."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .quality_metrics import at_threshold, auc_difference, auc_interval, reliability

THRESHOLDS: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
BATCHES: Final = (10, 20, 30, 50)
"""Shares of the best documents (percent) whose precision is told."""

Floats = npt.NDArray[np.float64]


def judge(
    scores: Floats,
    probabilities: Floats,
    lengths: Floats,
    positive: npt.NDArray[np.bool_],
    *,
    longer: bool,
    seed: int,
) -> dict[str, Any]:
    """All figures of one held-out set.

    Args:
        scores: raw scores, float64 ``[N]``.
        probabilities: calibrated, float64 ``[N]``.
        lengths: characters of the whole documents, float64 ``[N]``.
        positive: bool ``[N]``.
        longer: the positive training documents were the longer ones: length alone then guesses
            that the longer document is positive, else the shorter.
        seed: of the bootstraps.
    """
    by_length = lengths if longer else -lengths
    return {
        "positive": int(positive.sum()),
        "negative": int((~positive).sum()),
        "auc": _rounded(auc_interval(scores, positive, seed=seed).as_dict()),
        "auc_of_length": _rounded(auc_interval(by_length, positive, seed=seed).as_dict()),
        "auc_difference": _rounded(
            auc_difference(scores, by_length, positive, seed=seed).as_dict()
        ),
        "reliability": reliability(probabilities, positive),
        "thresholds": [at_threshold(probabilities, positive, t) for t in THRESHOLDS],
        "best": [{"percent": share, **_of_best(scores, positive, share)} for share in BATCHES],
    }


def _of_best(scores: Floats, positive: npt.NDArray[np.bool_], percent: int) -> dict[str, Any]:
    cut = float(np.quantile(scores, 1 - percent / 100, method="higher"))
    return at_threshold(scores, positive, round(cut, 6))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
