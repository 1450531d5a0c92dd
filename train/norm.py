"""The root-mean-square norm with its derivative written out.

Half the passes over memory that autograd takes, and less is kept. Under ``torch.compile`` the plain
formula is used, since the compiler fuses it by itself.

Shapes: ``N`` rows (any leading dimensions), ``D`` width.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x / rms(x) * weight``; the statistics are float32 at least, as in transformers.

    Args:
        x: (N, D).
        weight: (D,).
        eps: added to the mean square.

    Source: Zhang and Sennrich 2019.
    """
    narrow = x.dtype.itemsize < 4 or weight.dtype != x.dtype
    if narrow or torch.compiler.is_compiling():
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        return weight * (wide * scale).to(x.dtype)
    return cast(Tensor, _RMSNorm.apply(x, weight, eps))  # type: ignore[no-untyped-call]


class _RMSNorm(torch.autograd.Function):
    """Keeps the input and one number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        # The mean of squares, not a squared norm: the same bits as transformers.
        scale = x.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        result: Tensor = (x * scale).mul_(weight)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        product = (slope * x).flatten(0, -2)  # both sums below are products with a vector
        d_weight = scale.flatten() @ product if ctx.needs_input_grad[1] else None
        d_x = None
        if ctx.needs_input_grad[0]:
            along = (product @ weight).view(scale.shape)
            along.mul_(scale.pow(3)).div_(x.shape[-1])
            d_x = (slope * weight).mul_(scale).addcmul_(x, along, value=-1)
        return d_x, d_weight, None
