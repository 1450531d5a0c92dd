"""Cross-entropy over a large vocabulary without ever holding T x V logits.

Shapes: ``N`` rows (tokens of a batch laid end to end), ``D`` width, ``V`` vocabulary.

The gradients of a chunk of rows are computed while its logits exist, so the projection is done
once and nothing is recomputed: three matrix products in all, as in the dense form.
"""

from typing import Any, Final, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED: Final = -100
"""Label of a position that has no target; it is dropped before the projection."""

CHUNK_BYTES: Final = {"cpu": 16 << 20, "cuda": 256 << 20}
"""Logits held at once. On a CPU 4 to 16 MB are fastest: they stay in the cache. On a GPU a chunk
must be wide enough that reading and writing the weight's gradient is little beside the products."""


class Loss(NamedTuple):
    """Sums, never means: a mean of means is wrong as soon as two micro-batches differ in targets.

    Attributes:
        total: scalar, sum of the negative log-likelihoods in nats (and the z-loss, if any): it is
            what gradients flow through.
        targets: how many labels are in it.
        nll: (targets,) detached: the negative log-likelihood of each kept row.
        rows: (targets,) int64: which of the N rows were kept.
    """

    total: Tensor
    targets: int
    nll: Tensor
    rows: Tensor


def rows_at_once(weight: Tensor, itemsize: int, chunk_bytes: int | None = None) -> int:
    """Rows whose logits are held at once.

    Args:
        weight: (V, D) output projection.
        itemsize: bytes of a logit.
        chunk_bytes: logits held at once; ``None``: what ``CHUNK_BYTES`` says of the device.
    """
    room = chunk_bytes or CHUNK_BYTES.get(weight.device.type, CHUNK_BYTES["cpu"])
    return max(room // (weight.shape[0] * itemsize), 1)


def linear_cross_entropy(  # noqa: PLR0913
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    weights: Tensor | None = None,
    z_loss: float = 0.0,
    frozen_rows: int = 0,
    chunk_bytes: int | None = None,
) -> Loss:
    """Project to the vocabulary and compare with the labels, in chunks of rows.

    Args:
        hidden: (N, D) final hidden states.
        weight: (V, D) output projection.
        labels: (N,) int64 target ids; ``IGNORED`` rows cost nothing.
        weights: (N,) factors of the rows' losses in ``total``, not with a z-loss; ``None``: one.
        z_loss: weight of ``logsumexp(logits)²``, which keeps logits from drifting (PaLM, Chowdhery
            et al. 2022, uses 1e-4); 0: none.
        frozen_rows: the first so many rows of ``weight`` want no gradient; theirs stays zero and
            is not computed.
        chunk_bytes: logits held at once; ``None``: see ``CHUNK_BYTES``.

    Returns:
        Sums and per-row losses. Without any target: zeros, connected to the graph.
    """
    rows = (labels != IGNORED).nonzero().squeeze(1)
    if rows.numel() != labels.numel():
        hidden, labels = hidden.index_select(0, rows), labels.index_select(0, rows)
        weights = None if weights is None else weights.index_select(0, rows)
    if weights is not None and z_loss:
        raise ValueError("weights and a z-loss exclude each other")
    wide = torch.promote_types(hidden.dtype, torch.float32)
    chunk = rows_at_once(weight, wide.itemsize, chunk_bytes)
    needs = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    total, nll = cast(
        tuple[Tensor, Tensor],
        _Chunked.apply(  # type: ignore[no-untyped-call]
            hidden, weight, labels, _Options(z_loss, chunk, needs, frozen_rows), weights
        ),
    )
    return Loss(total, rows.numel(), nll, rows)


class _Options(NamedTuple):
    z_loss: float
    chunk_rows: int
    needs_gradient: bool
    frozen_rows: int


class _Chunked(torch.autograd.Function):
    """Forward computes the gradients too (for an upstream gradient of one); backward scales."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, options: _Options,
        weights: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        compute = torch.get_autocast_dtype(device) if autocast else hidden.dtype
        wide = torch.promote_types(compute, torch.float32)
        nll = torch.empty(labels.shape, dtype=wide, device=hidden.device)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        want_hidden, want_weight = (
            options.needs_gradient and needed for needed in ctx.needs_input_grad[:2]
        )
        d_hidden = torch.empty_like(hidden) if want_hidden else None
        frozen = slice(options.frozen_rows)
        d_weight = torch.empty_like(weight, dtype=wide) if want_weight else None
        narrow = weight.to(compute)
        # One buffer for all chunks: fresh pages cost a third of the product that fills them.
        rows = min(options.chunk_rows, labels.numel())
        buffer = torch.empty(rows, weight.shape[0], dtype=wide, device=hidden.device)
        with torch.autocast(device, enabled=False):
            for start in range(0, labels.numel(), options.chunk_rows):
                cut = slice(start, start + options.chunk_rows)
                states = hidden[cut].to(compute)
                logits = _product(states, narrow.T, buffer[: len(states)])
                nll[cut], slope = _row_losses(logits, labels[cut], options, total)
                if weights is not None:
                    slope.mul_(weights[cut, None])
                if d_hidden is not None:
                    _product(slope.to(compute), narrow, d_hidden[cut])
                if d_weight is not None:
                    wanted = slope[:, options.frozen_rows :].to(compute)
                    _add_product(d_weight[options.frozen_rows :], wanted.T, states, first=not start)
        if d_weight is not None:
            # Without a target there is no chunk that would have set it.
            d_weight[frozen if labels.numel() else slice(None)] = 0
        ctx.gradients, ctx.weight_dtype = (d_hidden, d_weight), weight.dtype
        ctx.mark_non_differentiable(nll)
        return total + (nll if weights is None else nll * weights).sum().to(wide), nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        # Scaled in place and given away: the weight's gradient is V x D and a copy would cost.
        if ctx.gradients is None:
            raise RuntimeError("the chunked loss can be differentiated once")
        d_hidden, d_weight = ctx.gradients
        ctx.gradients = None
        if d_hidden is not None:
            d_hidden.mul_(upstream)
        if d_weight is not None:
            d_weight = d_weight.mul_(upstream).to(ctx.weight_dtype)
        return d_hidden, d_weight, None, None, None


def _row_losses(
    logits: Tensor, labels: Tensor, options: _Options, penalty: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses of a chunk and the slope of its logits, which overwrites them.

    The exponential is taken once and serves both the sum and the softmax.
    """
    top = logits.amax(dim=1, keepdim=True)
    target = logits.gather(1, labels[:, None]) - top
    slope = logits.sub_(top).exp_()
    total = slope.sum(dim=1, keepdim=True)
    log_total = total.log()
    nll = (log_total - target).squeeze(1)
    if options.z_loss:
        log_partition = log_total + top
        penalty += options.z_loss * log_partition.square().sum()
        slope.mul_((1 + 2 * options.z_loss * log_partition) / total)
    elif options.needs_gradient:
        slope.div_(total)
    if options.needs_gradient:
        slope.scatter_add_(1, labels[:, None], torch.full_like(target, -1.0))
    return nll, slope


def _product(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """``left @ right``, put into ``out`` and widened to its type."""
    return torch.mm(left, right, out=out) if left.dtype == out.dtype else out.copy_(left @ right)


def _add_product(into: Tensor, left: Tensor, right: Tensor, *, first: bool) -> None:
    """``into += left @ right``, accumulated in the width of ``into``; ``first`` overwrites it."""
    if first:
        _product(left, right, into)
    elif left.dtype == into.dtype:
        into.addmm_(left, right)
    else:
        into += left @ right
