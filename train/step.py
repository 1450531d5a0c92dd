"""One optimiser step: count the targets, add up gradients, and say what happened.

The loss of a batch is the sum over its targets divided by their number (or by the sum of their
weights) *in the global batch*, over all micro-batches and processes, and that number is known
before the first backward pass. A mean of means would weigh a target by the company it happens to be
in.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yanmo.errors import DataError

from .data import Batch
from .distributed import World, loss_factor, quiet, sharded

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True, eq=False)
class Accumulated:
    """What a batch gave; the gradients are in the parameters.

    Attributes:
        nll: sum of the negative log-likelihoods of the global batch, nats.
        targets: targets of the global batch.
        read: inputs of the global batch that are no padding.
        stop: whether any process was asked to stop.
        seen: per micro-batch of this process: batch, rows with a target, their losses.
    """

    nll: float
    targets: int
    read: int
    stop: bool
    seen: list[tuple[Batch, Tensor, Tensor]]

    @property
    def loss(self) -> float:
        """Mean over the targets of the global batch."""
        return self.nll / self.targets


def computing(
    model: nn.Module, precision: str, device: torch.device
) -> AbstractContextManager[object]:
    """Autocast for ``bfloat16``; the other precisions are those of the weights.

    A sharded model casts its weights itself, when it puts them together.
    """
    if precision == "bfloat16" and not sharded(model):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def weight_dtype(precision: str) -> torch.dtype:
    """What weights and optimiser state are kept in: float32 also where bfloat16 computes.

    A bfloat16 weight loses every update smaller than 1/256 of it.
    """
    return torch.float64 if precision == "float64" else torch.float32


def accumulate(
    model: nn.Module,
    batches: Sequence[Batch],
    world: World,
    *,
    precision: str = "float32",
    z_loss: float = 0.0,
    stop: bool = False,
) -> Accumulated:
    """Add the gradients of a global batch to the parameters.

    Args:
        model: called as ``model(tokens, labels, documents, z_loss=…)``; wrapped or not.
        batches: the micro-batches of this process; every process has equally many.
        world: the processes.
        precision: a name in ``DTYPES``.
        z_loss: see :func:`yanmo.train.loss.linear_cross_entropy`.
        stop: this process was asked to stop; all are told.

    Raises:
        DataError: no process has a target.
    """
    counts = [[b.targets, b.read, b.weight] for b in batches]
    local = torch.tensor(counts, dtype=torch.float64).sum(0)
    targets, read, weight = world.sum(local).tolist()
    if targets == 0:
        raise DataError("the batch has no target: all its labels are masked")
    scale = loss_factor(model, world) / weight
    seen: list[tuple[Batch, Tensor, Tensor]] = []
    for number, batch in enumerate(batches):
        on_device = batch.to(world.device)
        silent = number + 1 < len(batches)
        with quiet(model, silent=silent):
            with computing(model, precision, world.device):
                inputs = on_device.tokens, on_device.labels, on_device.documents
                loss = model(*inputs, z_loss=z_loss, **_weights(on_device))
            (loss.total * scale).backward()
        seen.append((batch, loss.rows, loss.nll))
    nll = torch.stack([nll.double().sum() for _, _, nll in seen]).sum()
    totals = world.sum(torch.stack([nll, nll.new_tensor(float(stop))])).tolist()
    return Accumulated(totals[0], int(targets), int(read), totals[1] > 0, seen)


def _weights(batch: Batch) -> dict[str, Tensor]:
    """The argument for weights, where a batch has some."""
    return {} if batch.weights is None else {"weights": batch.weights}
