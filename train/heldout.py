"""Loss and bits per byte on held-out shards, in all and by source."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from yanmo.shards import Shards

from .data import Loader
from .distributed import World
from .packing import Ints, order
from .step import computing

Floats = npt.NDArray[np.float64]

# Which documents are read when not all are: a fixed choice, so that evaluations compare.
SAMPLE_KEY = 0x59414E4D4F


@dataclass(frozen=True)
class Evaluation:
    """Sums over held-out text; rates follow from them.

    Attributes:
        nll: negative log-likelihood of all targets, nats.
        targets: their number.
        text_nll: the same without the closing EOS of each document.
        text_bytes: UTF-8 bytes of the documents.
        sources: the same for each source.
    """

    nll: float
    targets: int
    text_nll: float
    text_bytes: int
    sources: dict[str, "Evaluation"] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Mean over the targets, nats."""
        return self.nll / max(self.targets, 1)

    @property
    def bits_per_byte(self) -> float:
        """Bits to code a byte of text: it compares across vocabularies.

        A document is read in windows of the training length; a window does not see the one before
        it, so this is an upper bound on what the model reaches with a longer context.
        """
        return self.text_nll / math.log(2) / max(self.text_bytes, 1)

    def summary(self) -> dict[str, Any]:
        """For the log."""
        by_source = {name: e.bits_per_byte for name, e in self.sources.items()}
        return {
            "loss": self.loss,
            "bits_per_byte": self.bits_per_byte,
            "targets": self.targets,
            "bytes": self.text_bytes,
            "bits_per_byte_by_source": by_source,
        }


def heldout_loader(shards: Shards, *, sequence_tokens: int, tokens: int | None) -> Loader:
    """What an evaluation reads.

    Args:
        shards: the held-out shards.
        sequence_tokens: T.
        tokens: read documents until there are this many tokens, in a fixed scrambled order;
            ``None``: all.
    """
    documents: Ints = np.arange(shards.documents)
    if tokens is not None and tokens < shards.tokens:
        lengths = np.diff(shards.document_ends, prepend=0)
        scrambled = order(shards.documents, SAMPLE_KEY)
        enough = int(np.searchsorted(np.cumsum(lengths[scrambled]), tokens)) + 1
        documents = np.sort(scrambled[:enough])
    return Loader(shards, sequence_tokens=sequence_tokens, seed=None, documents=documents)


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Loader, world: World, *, precision: str, rows: int = 4
) -> Evaluation:
    """Score held-out text; every process takes a share.

    Args:
        model: a :class:`yanmo.train.model.Llama`, wrapped or not.
        loader: from :func:`heldout_loader`.
        world: the processes.
        precision: see :mod:`yanmo.train.step`.
        rows: sequences in a forward pass.
    """
    names, source_of = loader.sources()
    eos = loader.shards.vocabulary.eos_id
    sums = np.zeros((3, len(names)))  # nll, targets, nll of text
    model.eval()
    for at in range(0, loader.sequences, rows * world.size):
        block = range(at, min(at + rows * world.size, loader.sequences))[world.rank :: world.size]
        # A sharded model needs every process in every forward pass: one without a share reads a
        # sequence that does not count.
        batch = loader.batch(block or [0])
        on_device = batch.to(world.device)
        with computing(model, precision, world.device):
            loss = model(on_device.tokens, on_device.labels, on_device.documents)
        kept = loss.rows.cpu().numpy()
        nll = loss.nll.double().cpu().numpy()
        source = source_of[loader.document_of(batch.positions[kept])]
        text = batch.labels.flatten().numpy()[kept] != eos
        if block:
            for row, weights in enumerate((nll, np.ones_like(nll), nll * text)):
                sums[row] += np.bincount(source, weights, minlength=len(names))
    model.train()
    total = world.sum(torch.from_numpy(sums)).cpu().numpy()
    return _evaluation(total, names, _bytes_by_source(loader, source_of, len(names)))


def _bytes_by_source(loader: Loader, source_of: npt.NDArray[np.int32], count: int) -> Floats:
    read = loader.documents
    sizes = loader.text_bytes()[read].astype(np.float64)
    return np.bincount(source_of[read], sizes, minlength=count).astype(np.float64)


def _evaluation(sums: Floats, names: list[str], text_bytes: Floats) -> Evaluation:
    def of(column: Floats, size: float, sources: dict[str, Evaluation]) -> Evaluation:
        return Evaluation(float(column[0]), int(column[1]), float(column[2]), int(size), sources)

    each = {name: of(sums[:, i], text_bytes[i], {}) for i, name in enumerate(names)}
    return of(sums.sum(axis=1), text_bytes.sum(), each)
