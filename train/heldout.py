"""Loss and bits per byte on held-out shards, in all and by source."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from yanmo.packing import Ints, order
from yanmo.shards import Shards

from .data import Feed, Loader
from .distributed import World
from .step import computing
from .tally import Floats, Rates, Tally, all_and_new, by_source

# Which documents are read when not all are: a fixed choice, so that evaluations compare.
SAMPLE_KEY = 0x59414E4D4F


@dataclass(frozen=True)
class Evaluation:
    """Losses on held-out text.

    A document is read in windows of the training length; a window does not see the one before it,
    so bits per byte are an upper bound on what the model reaches with a longer context.

    Attributes:
        every: all targets.
        new: targets of a grown vocabulary alone; ``None`` where nothing is new.
        sources: all targets, by source.
    """

    every: Rates
    new: Rates | None = None
    sources: dict[str, Rates] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """For the log."""
        found = {
            "loss": self.every.loss,
            "bits_per_byte": self.every.bits_per_byte,
            "targets": self.every.targets,
            "bytes": self.every.text_bytes,
            "bits_per_byte_by_source": {n: r.bits_per_byte for n, r in self.sources.items()},
        }
        return found if self.new is None else {**found, "new_token_loss": self.new.loss}


def heldout_loader(shards: Shards, *, sequence_tokens: int, tokens: int | None) -> Loader:
    """What an evaluation reads.

    Args:
        shards: the held-out shards.
        sequence_tokens: T.
        tokens: read documents until there are this many tokens, in a fixed scrambled order;
            ``None``: all.
    """
    documents = some_documents(np.diff(shards.document_ends, prepend=0), tokens)
    return Loader(shards, sequence_tokens=sequence_tokens, seed=None, documents=documents)


def some_documents(lengths: Ints, tokens: int | None) -> Ints:
    """Numbers of documents that hold so many tokens together: always the same ones.

    Args:
        lengths: (documents,) tokens of each.
        tokens: at least so many; ``None``: all.
    """
    if tokens is None or tokens >= lengths.sum():
        return np.arange(len(lengths))
    scrambled = order(len(lengths), SAMPLE_KEY)
    enough = int(np.searchsorted(np.cumsum(lengths[scrambled]), tokens)) + 1
    return np.sort(scrambled[:enough])


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Feed,
    world: World,
    *,
    precision: str,
    rows: int = 4,
    new_from: int | None = None,
) -> Evaluation:
    """Score held-out text; every process takes a share.

    Args:
        model: a :class:`yanmo.train.model.Llama`, wrapped or not.
        loader: from :func:`heldout_loader`, or the like.
        world: the processes.
        precision: see :mod:`yanmo.train.step`.
        rows: sequences in a forward pass.
        new_from: ids from here on are new to the model.
    """
    tally = Tally(loader, new_from)
    model.eval()
    for at in range(0, loader.sequences, rows * world.size):
        block = range(at, min(at + rows * world.size, loader.sequences))[world.rank :: world.size]
        # A sharded model needs every process in every forward pass: one without a share reads a
        # sequence that does not count.
        batch = loader.batch(block or [0])
        on_device = batch.to(world.device)
        with computing(model, precision, world.device):
            loss = model(on_device.tokens, on_device.labels, on_device.documents)
        if block:
            tally.add(batch, loss.rows, loss.nll)
    model.train()
    sums = tally.reduce(world)
    sizes = _bytes_by_source(loader, len(tally.names))
    every, new = all_and_new(sums, sizes.sum())
    return Evaluation(every, None if new_from is None else new, by_source(sums, tally.names, sizes))


def _bytes_by_source(loader: Feed, count: int) -> Floats:
    read, source_of = loader.documents, loader.sources[1]
    sizes = loader.text_bytes[read].astype(np.float64)
    return np.bincount(source_of[read], sizes, minlength=count).astype(np.float64)
