"""ALiBi: positions as a penalty on distance, one slope a head, instead of a rotation.

Shapes: ``H`` heads, ``T`` tokens.

Source: Press, Smith and Lewis 2022, "Train Short, Test Long".
"""

import math

import torch
from torch import Tensor


def alibi_slopes(heads: int) -> Tensor:
    """Slope of each head, float32 (H,).

    For a power of two they are ``2^(-8/H), 2^(-16/H), … 2^-8``. Otherwise those of the next lower
    power ``n`` come first, and then every other one of those of ``2 n``.
    """
    lower = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / lower) for i in range(lower)]
    slopes += [2 ** (-4 * (2 * i + 1) / lower) for i in range(heads - lower)]
    return torch.tensor(slopes, dtype=torch.float64).float()


def alibi_bias(slopes: Tensor, tokens: int, dtype: torch.dtype) -> Tensor:
    """What is added to the scores of one document: (H, T, T), minus infinity on the future.

    Args:
        slopes: (H,).
        tokens: T; the bias of a shorter document is the upper left corner.
        dtype: of the scores.
    """
    place = torch.arange(tokens, device=slopes.device)
    distance = place[:, None] - place[None, :]
    bias = -slopes[:, None, None] * distance
    return bias.masked_fill(distance < 0, float("-inf")).to(dtype)
