"""Rotary positions: the wavelengths of a model, and the rotation itself.

Shapes: ``B`` batch, ``T`` tokens, ``H`` heads, ``d`` head width. The rotation is the half-split
form of Hugging Face checkpoints: dimension ``i`` turns with dimension ``i + d/2``.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .config import ModelConfig, Rope


def wavelengths(config: ModelConfig) -> tuple[Tensor, float]:
    """Angular frequencies of the rotation.

    Returns:
        Frequencies, float32 of shape (d/2,), in radians per position; and the factor on cosine and
        sine (1 but for yarn).

    Source: RoFormer (Su et al. 2021); linear: Chen et al. 2023; llama3: Llama 3.1's release; yarn:
    Peng et al. 2023.
    """
    rope, width = config.rope, config.head_dim
    powers = torch.arange(0, width, 2, dtype=torch.int64).float() / width
    plain = 1.0 / (rope.theta**powers)
    if rope.kind == "linear":
        return plain / rope.factor, 1.0
    if rope.kind == "llama3":
        return _llama3(plain, rope), 1.0
    if rope.kind == "yarn":
        factor = rope.attention_factor
        if factor is None:
            factor = 0.1 * math.log(rope.factor) + 1.0 if rope.factor > 1 else 1.0
        return _yarn(plain, rope, width), factor
    return plain, 1.0


def _llama3(plain: Tensor, rope: Rope) -> Tensor:
    """Keep short waves, stretch long ones, blend in between (by turns within the old context)."""
    turns = rope.original_positions * plain / (2 * math.pi)
    share = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    share = share.clamp(0.0, 1.0)
    return (1 - share) * plain / rope.factor + share * plain


def _yarn(plain: Tensor, rope: Rope, width: int) -> Tensor:
    """Keep dimensions that turn often within the old context, stretch those that turn seldom."""

    def dimension(turns: float) -> float:
        return (
            width
            * math.log(rope.original_positions / (turns * 2 * math.pi))
            / (2 * math.log(rope.theta))
        )

    low = max(math.floor(dimension(rope.beta_fast)), 0)
    high = min(math.ceil(dimension(rope.beta_slow)), width - 1)
    ramp = (torch.arange(width // 2).float() - low) / (high - low if high != low else 0.001)
    share = 1 - ramp.clamp(0.0, 1.0)
    return (1 - share) * plain / rope.factor + share * plain


def angles(
    frequencies: Tensor, factor: float, positions: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position.

    Args:
        frequencies: (d/2,) float32.
        factor: multiplies both.
        positions: (B, T) or (1, T) integers, counted from the start of each document.
        dtype: what the rotation is computed in.

    Returns:
        Two tensors (B, T, 1, d/2); computed in float32, as transformers does.
    """
    turn = positions[..., None].float() * frequencies
    cos, sin = turn.cos() * factor, turn.sin() * factor
    return cos.to(dtype)[:, :, None], sin.to(dtype)[:, :, None]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn heads by the angles of their positions; dimension ``i`` turns with ``i + d/2``.

    Args:
        x: (B, T, H, d).
        cos, sin: (B or 1, T, 1, d/2), constants.

    Returns:
        (B, T, H, d) in the type of ``x``.
    """
    if x.dtype != cos.dtype or torch.compiler.is_compiling():
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
        return turned.to(x.dtype)
    return cast(Tensor, _Rotate.apply(x, cos, sin))  # type: ignore[no-untyped-call]


class _Rotate(torch.autograd.Function):
    """Keeps nothing but the angles: the derivative turns the other way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(slope, cos, sin, -1), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    (a, b), (first, second) = x.chunk(2, dim=-1), out.chunk(2, dim=-1)
    # Two roundings, not a fused one: the same bits as transformers.
    torch.mul(a, cos, out=first).sub_(b * sin, alpha=direction)
    torch.mul(b, cos, out=second).add_(a * sin, alpha=direction)
    return out
