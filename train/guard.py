"""What to do about a loss that is not finite or that jumps, and which documents it came from."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from .data import Batch, Feed
from .recipe import GuardSettings

Verdict = Literal["fine", "nonfinite", "spike"]

# Documents that an event lists; the worst ones of the batch.
LISTED = 16


class Guard:
    """Watches the loss of each step.

    A value that is not finite never enters the window (one NaN would blind it for as long as it
    stays there), and a spike enters at the threshold, so that it neither hides the next one nor
    makes a lasting change of level look like a spike for ever.

    Attributes:
        window: the last losses, oldest first; part of a checkpoint.
    """

    def __init__(self, settings: GuardSettings, window: Sequence[float] = ()) -> None:
        self.settings, self.window = settings, list(window)

    def judge(self, loss: float, norm: float) -> Verdict:
        """Look at a step before it is taken.

        Args:
            loss: mean over the targets of the global batch, nats.
            norm: of the gradient, before clipping.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return "nonfinite"
        limit = self.limit()
        self.window = [*self.window, min(loss, limit)][-self.settings.window_steps :]
        return "spike" if loss > limit else "fine"

    def limit(self) -> float:
        """The loss above which a step is a spike; infinite until the window is full."""
        if self.settings.on_spike is None or len(self.window) < self.settings.window_steps:
            return math.inf
        mean, spread = statistics.fmean(self.window), statistics.pstdev(self.window)
        return mean + self.settings.spike_sigma * spread

    def skips(self, verdict: Verdict) -> bool:
        """Whether the step is left out."""
        policy = {"nonfinite": self.settings.on_nonfinite, "spike": self.settings.on_spike}
        return policy.get(verdict) == "skip"


def blame(loader: Feed, seen: Sequence[tuple[Batch, Tensor, Tensor]]) -> list[dict[str, Any]]:
    """The documents of a batch with the worst losses; those that are not finite come first.

    Args:
        loader: where the batches are from.
        seen: per micro-batch: the batch, the flat rows that had a target, and their losses.

    Returns:
        At most ``LISTED`` objects {id, source, origin, url, part, loss}; ``loss`` is the mean over
        the document's targets in the batch, ``None`` if not finite.
    """
    if not seen:
        return []
    positions = np.concatenate([b.positions[rows.cpu().numpy()] for b, rows, _ in seen])
    losses = np.concatenate([nll.double().cpu().numpy() for _, _, nll in seen])
    numbers, first, inverse = np.unique(
        loader.document_of(positions), return_index=True, return_inverse=True
    )
    means = np.bincount(inverse, losses) / np.bincount(inverse)
    worst = np.lexsort((numbers, -np.where(np.isfinite(means), means, np.inf)))[:LISTED]
    listed = []
    for index in worst:
        place = loader.place(int(positions[first[index]]))
        mean = float(means[index])
        listed.append(
            {
                "id": place.id, "source": place.source, "origin": place.origin, "url": place.url,
                "part": place.part, "loss": mean if math.isfinite(mean) else None,
            }
        )  # fmt: skip
    return listed
