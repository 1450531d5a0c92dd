"""Losses told apart: by source, and new tokens from old ones, at no extra forward pass."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .data import Batch, Feed
from .distributed import World

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rates:
    """Sums over one kind of target; rates follow from them.

    Attributes:
        nll: negative log-likelihood, nats.
        targets: how many.
        text_nll: the same without the closing EOS of each document.
        text_bytes: UTF-8 bytes of the documents read; 0 where they are not counted.
    """

    nll: float
    targets: int
    text_nll: float = 0.0
    text_bytes: int = 0

    @property
    def loss(self) -> float | None:
        """Mean over the targets, nats; ``None`` without any."""
        return self.nll / self.targets if self.targets else None

    @property
    def bits_per_byte(self) -> float | None:
        """Bits to code a byte of text: it compares across vocabularies; ``None`` without text."""
        return self.text_nll / math.log(2) / self.text_bytes if self.text_bytes else None


class Tally:
    """Adds up losses of batches of one loader, by source and by age of the target.

    Args:
        loader: where the batches are from.
        new_from: ids from here on are new; ``None``: there are none.
    """

    def __init__(self, loader: Feed, new_from: int | None) -> None:
        self.loader, self.new_from = loader, new_from
        self.names, self._source_of = loader.sources
        self._eos = loader.eos_id
        # Per source: nll, targets, nll of text; the last column is of new tokens.
        self.sums: Floats = np.zeros((3, len(self.names) + 1))

    def add(self, batch: Batch, rows: Tensor, nll: Tensor) -> None:
        """Count the losses ``nll`` (n,) of the flat rows ``rows`` (n,) of a batch."""
        kept, losses = rows.cpu().numpy(), nll.double().cpu().numpy()
        labels = batch.labels.flatten().cpu().numpy()[kept]
        source = self._source_of[self.loader.document_of(batch.positions[kept])]
        ones, count = np.ones_like(losses), len(self.names)
        for row, weights in enumerate((losses, ones, losses * (labels != self._eos))):
            self.sums[row, :count] += np.bincount(source, weights, minlength=count)
            if self.new_from is not None:
                self.sums[row, count] += weights[labels >= self.new_from].sum()

    def reduce(self, world: World) -> Floats:
        """Sums over all processes, (3, sources + 1); every process must call it."""
        return world.sum(torch.from_numpy(self.sums.copy())).cpu().numpy()

    def clear(self) -> None:
        """Start again from zero."""
        self.sums[:] = 0.0


def by_source(sums: Floats, names: list[str], text_bytes: Floats | None = None) -> dict[str, Rates]:
    """The rates of each source; see :class:`Tally`."""
    sizes = np.zeros(len(names)) if text_bytes is None else text_bytes
    return {name: _rates(sums[:, i], sizes[i]) for i, name in enumerate(names)}


def all_and_new(sums: Floats, text_bytes: float = 0.0) -> tuple[Rates, Rates]:
    """The rates of all targets, and of the new ones alone."""
    return _rates(sums[:, :-1].sum(axis=1), text_bytes), _rates(sums[:, -1], 0.0)


def _rates(column: Floats, text_bytes: float) -> Rates:
    return Rates(float(column[0]), int(column[1]), float(column[2]), int(text_bytes))


def apart(sums: Floats, names: list[str], new_from: int | None) -> dict[str, Any]:
    """What a line of the log says beside the loss: by source, and new and old tokens."""
    everything, new = all_and_new(sums)
    line: dict[str, Any] = {
        "loss_by_source": {name: r.loss for name, r in by_source(sums, names).items()}
    }
    if new_from is not None:
        old = Rates(everything.nll - new.nll, everything.targets - new.targets)
        line |= {"new_token_loss": new.loss, "old_token_loss": old.loss,
                 "new_token_share": new.targets / max(everything.targets, 1)}  # fmt: skip
    return line
