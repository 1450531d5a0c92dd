"""What a device multiplies at most, in FLOP/s: the number that a trainer's speed is a share of.

Matrices are random: a multiplier draws less power on zeros, and runs faster on them than it ever
will on weights.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

Shape = tuple[int, int, int]
CUBE: Final[Shape] = (2048, 2048, 2048)


def model_shapes(shape: dict[str, Any], vocabulary: int, rows: int) -> list[Shape]:
    """(rows, inner, columns) of the products of a step, forward, as often as they occur once."""
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    query = shape["num_attention_heads"] * shape["head_dim"]
    return [(rows, width, query), (rows, width, inner), (rows, inner, width),
            (rows, width, vocabulary)]  # fmt: skip


def flops(
    shapes: Sequence[Shape],
    *,
    dtype: Any,
    device: Any,
    repeats: int = 20,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Operations of the products divided by the time of all, the best of some repeats.

    Args:
        shapes: (rows, inner, columns) of each product.
        dtype: of the matrices (``torch.dtype``).
        device: a ``torch.device``.
        repeats: how often; the best counts, since nothing makes a machine faster than it is.
        clock: seconds; ``time.process_time`` on a machine that others use too.
    """
    import torch

    matrices = [
        (torch.randn(m, k, device=device, dtype=dtype),
         torch.randn(k, n, device=device, dtype=dtype),
         torch.empty(m, n, device=device, dtype=dtype))
        for m, k, n in shapes
    ]  # fmt: skip
    best = float("inf")
    for _ in range(repeats + 1):  # the first warms up and is rarely the best
        start = _moment(device, clock)
        for left, right, out in matrices:
            torch.mm(left, right, out=out)
        best = min(best, _moment(device, clock) - start)
    return sum(2 * m * k * n for m, k, n in shapes) / best


def _moment(device: Any, clock: Callable[[], float]) -> float:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return clock()
