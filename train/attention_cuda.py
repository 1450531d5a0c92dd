"""Attention over packed documents by kernels that know of them: made for GPUs.

Shapes: ``B`` batch, ``T`` tokens, ``H`` query heads, ``K`` key-value heads, ``d`` head width.

``varlen`` lays all documents end to end and needs no mask; ``flex`` skips blocks of scores that no
document reaches. Both are imported when they are first asked for.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from .attention import Documents


def varlen(q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
    """torch's attention over sequences of any lengths (torch >= 2.10, CUDA, 16 bits)."""
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters
    options: dict[str, Any] = (
        {"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True}
    )
    if q.shape[2] != k.shape[2]:
        if "enable_gqa" in known:  # from 2.12 on
            options["enable_gqa"] = True
        else:
            k, v = (x.repeat_interleave(q.shape[2] // x.shape[2], dim=2) for x in (k, v))
    # Norms on heads (Qwen3) give float32 under autocast, and the kernel takes one type.
    a, b, c = (x.to(v.dtype).flatten(0, 1) for x in (q, k, v))
    ends, longest = documents.cumulative, documents.longest
    out = cast(Tensor, varlen_attn(a, b, c, ends, ends, longest, longest, **options))
    return out.view(q.shape)


def flex(
    q: Tensor, k: Tensor, v: Tensor, documents: Documents, slopes: Tensor | None = None
) -> Tensor:
    """torch's attention with a mask of blocks, compiled on a GPU; on a CPU forward only."""
    attend = _flex_function(compiled=q.device.type == "cuda")
    q, k, v = (x.to(v.dtype).transpose(1, 2) for x in (q, k, v))
    score_mod = None if slopes is None else _penalty(slopes)
    grouped = q.shape[1] != k.shape[1]
    out = attend(
        q, k, v, score_mod=score_mod, block_mask=_block_mask(documents), enable_gqa=grouped
    )
    return cast(Tensor, out).transpose(1, 2)


@functools.cache
def _flex_function(*, compiled: bool) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    if not compiled:
        return flex_attention
    # Shapes of a run are fixed; dynamic ones have been slow and wrong here (pytorch#141486).
    return torch.compile(flex_attention, dynamic=False)


def _block_mask(documents: Documents) -> Any:
    """The blocks that some document reaches; made once a batch and shared by the layers."""
    kept = documents.__dict__
    if "_block_mask" not in kept:
        from torch.nn.attention.flex_attention import create_block_mask

        starts = documents.starts
        rows, tokens = starts.shape

        def visible(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key >= starts[b, query]) & (key <= query)

        kept["_block_mask"] = create_block_mask(
            visible, rows, None, tokens, tokens, device=starts.device
        )
    return kept["_block_mask"]


def _penalty(slopes: Tensor) -> Callable[..., Tensor]:
    def penalised(score: Tensor, b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score - slopes[h] * (query - key)

    return penalised
