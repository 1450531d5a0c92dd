"""Log-probabilities of given tokens, with gradients, without ever holding T x V logits.

Shapes: ``N`` targets (of all sequences laid end to end), ``D`` width, ``V`` vocabulary.

A loss that is no sum over tokens (DPO's, PPO's ratio) knows the slope of each log-probability only
after all of them are known, so the logits of a chunk are computed a second time in backward: four
matrix products instead of three, and no more memory than one chunk.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .loss import rows_at_once


def linear_log_probabilities(
    hidden: Tensor, weight: Tensor, labels: Tensor, *, chunk_bytes: int | None = None
) -> Tensor:
    """Project to the vocabulary and take the log-probability of each label.

    Args:
        hidden: (N, D) final hidden states, each of the token *before* its label.
        weight: (V, D) output projection.
        labels: (N,) int64 target ids.
        chunk_bytes: logits held at once; ``None``: see ``loss.CHUNK_BYTES``.

    Returns:
        (N,) natural logarithms, float32 or wider.
    """
    wide = torch.promote_types(hidden.dtype, torch.float32)
    rows = rows_at_once(weight, wide.itemsize, chunk_bytes)
    options = _Options(rows, torch.is_autocast_enabled(hidden.device.type))
    return cast(Tensor, _Chunked.apply(hidden, weight, labels, options))  # type: ignore[no-untyped-call]


class _Options(NamedTuple):
    chunk_rows: int
    autocast: bool


class _Chunked(torch.autograd.Function):
    """Forward keeps the states and one number a row; backward computes the logits again."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, options: _Options
    ) -> Tensor:
        device = hidden.device.type
        compute = torch.get_autocast_dtype(device) if options.autocast else hidden.dtype
        wide = torch.promote_types(compute, torch.float32)
        found = torch.empty(labels.shape, dtype=wide, device=hidden.device)
        partition = torch.empty_like(found)
        narrow = weight.to(compute)
        with torch.autocast(device, enabled=False):
            for cut in _cuts(labels.numel(), options.chunk_rows):
                logits = (hidden[cut].to(compute) @ narrow.T).to(wide)
                partition[cut] = logits.logsumexp(dim=1)
                found[cut] = logits.gather(1, labels[cut, None]).squeeze(1) - partition[cut]
        ctx.save_for_backward(hidden, weight, labels, partition)
        ctx.compute, ctx.chunk_rows = compute, options.chunk_rows
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, labels, partition = ctx.saved_tensors
        want_hidden, want_weight = ctx.needs_input_grad[:2]
        d_hidden = torch.empty_like(hidden) if want_hidden else None
        d_weight = torch.zeros_like(weight, dtype=partition.dtype) if want_weight else None
        narrow = weight.to(ctx.compute)
        with torch.autocast(hidden.device.type, enabled=False):
            for cut in _cuts(labels.numel(), ctx.chunk_rows):
                states, scale = hidden[cut].to(ctx.compute), upstream[cut, None]
                logits = (states @ narrow.T).to(partition.dtype)
                # The slope of log softmax: one at the label, minus the probabilities.
                slope = logits.sub_(partition[cut, None]).exp_().mul_(-scale)
                slope = slope.scatter_add_(1, labels[cut, None], scale).to(ctx.compute)
                if d_hidden is not None:
                    d_hidden[cut] = slope @ narrow
                if d_weight is not None:
                    d_weight += slope.T @ states
        return d_hidden, None if d_weight is None else d_weight.to(weight.dtype), None, None


def _cuts(rows: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, rows, size)]
