"""Causal attention that never crosses a document.

Shapes: ``B`` batch, ``T`` tokens, ``H`` query heads, ``K`` key-value heads, ``d`` head width.

The starts of the documents are the only truth: an end-of-sequence id may stand inside a document
(chat turns), and restarting positions isolates nothing by itself, since rotary positions are
relative. Every backend must give the logits and gradients of each document alone.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from yanmo.errors import UsageError

from .alibi import alibi_bias


@dataclass(frozen=True, eq=False)
class Documents:
    """Where the documents of packed rows begin.

    Attributes:
        starts: (B, T) int64: index in the row of the first token of the document around a token.
        lengths: the same on the host: tokens of each document, row by row; every row sums to T.
    """

    starts: Tensor
    lengths: tuple[tuple[int, ...], ...]

    @functools.cached_property
    def positions(self) -> Tensor:
        """(B, T): position of each token in its document."""
        return torch.arange(self.starts.shape[1], device=self.starts.device) - self.starts

    @functools.cached_property
    def mask(self) -> Tensor:
        """(B, 1, T, T) bool: may the query (row) see the key (column)?

        A key is seen if it is not later than the query and not before the query's document; made
        once a batch and shared by the layers.
        """
        place = torch.arange(self.starts.shape[1], device=self.starts.device)
        after_start = place[None, None, :] >= self.starts[:, :, None]
        return (after_start & (place[None, :] <= place[:, None]))[:, None]

    def bias(self, slopes: Tensor, dtype: torch.dtype) -> Tensor:
        """(B or 1, H, T, T): ALiBi's penalties, minus infinity where :attr:`mask` is false.

        Made once a batch and shared by the layers.
        """
        if dtype not in self._biases:
            made = alibi_bias(slopes, self.starts.shape[1], dtype)[None]
            if not self.single:
                made = made.masked_fill(~self.mask, float("-inf"))
            self._biases[dtype] = made
        return self._biases[dtype]

    @functools.cached_property
    def _biases(self) -> dict[torch.dtype, Tensor]:
        return {}

    @functools.cached_property
    def cumulative(self) -> Tensor:
        """(padded,) int32: where the documents of all rows, laid end to end, begin and end.

        The end is repeated until the number of documents is a power of two, 64 at least: a kernel
        sees few shapes, and the documents of no tokens cost it nothing.
        """
        lengths = [n for row in self.lengths for n in row]
        ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        room = max(64, 1 << (len(lengths) - 1).bit_length()) + 1
        padded = torch.cat([ends, ends[-1:].expand(room - len(ends))])
        return padded.to(self.starts.device, non_blocking=True)

    @functools.cached_property
    def longest(self) -> int:
        """Tokens of the longest document."""
        return max(n for row in self.lengths for n in row)

    @property
    def single(self) -> bool:
        """Whether every row is one document."""
        return all(len(row) == 1 for row in self.lengths)

    def to(self, device: torch.device) -> "Documents":
        """The same documents with the tensor on another device."""
        return Documents(self.starts.to(device, non_blocking=True), self.lengths)


def documents_from_lengths(lengths: Sequence[Sequence[int]]) -> Documents:
    """Describe packed rows.

    Args:
        lengths: tokens of each document, row by row; all rows must have the same sum T.

    Raises:
        ValueError: the rows differ in length, or a document is empty.
    """
    totals = {sum(row) for row in lengths}
    if len(totals) != 1 or any(n <= 0 for row in lengths for n in row):
        raise ValueError(f"rows of lengths {sorted(totals)} cannot be stacked")
    starts = torch.empty(len(lengths), totals.pop(), dtype=torch.int64)
    for row, counts in enumerate(lengths):
        at = 0
        for count in counts:
            starts[row, at : at + count] = at
            at += count
    return Documents(starts, tuple(tuple(int(n) for n in row) for row in lengths))


def attention(
    q: Tensor, k: Tensor, v: Tensor, documents: Documents | None = None, *,
    backend: str = "sdpa", slopes: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Causal attention within documents.

    Args:
        q: (B, T, H, d) queries, rotated unless positions are ALiBi's.
        k: (B, T, K, d) keys; H is a multiple of K.
        v: (B, T, K, d) values.
        documents: the documents of each row; ``None``: every row is one.
        backend: a name in ``BACKENDS``; see ``backends.pick`` for what can run where.
        slopes: (H,) of ALiBi; ``None``: no bias.

    Returns:
        (B, T, H, d).

    Raises:
        UsageError: no such backend.
    """
    if backend not in BACKENDS:
        raise UsageError("no such attention backend", value=backend,
                         fix=f"Known: {', '.join(BACKENDS)}.")  # fmt: skip
    if documents is None and (slopes is not None or backend in ("varlen", "flex")):
        documents = documents_from_lengths([[q.shape[1]]] * len(q)).to(q.device)
    return BACKENDS[backend](q, k, v, documents, slopes)


def eager(
    q: Tensor, k: Tensor, v: Tensor, documents: Documents | None, slopes: Tensor | None = None
) -> Tensor:
    """The definition, written out: the oracle that the fast backends are compared with."""
    rows, tokens, heads, width = q.shape
    k, v = (x.repeat_interleave(heads // x.shape[2], dim=2).transpose(1, 2) for x in (k, v))
    scores = q.transpose(1, 2) @ k.transpose(-1, -2) / width**0.5
    if documents is None:
        documents = documents_from_lengths([[tokens]] * rows).to(q.device)
    if slopes is not None:
        place = torch.arange(tokens, device=q.device)
        scores = scores - slopes[:, None, None] * (place[:, None] - place)
    scores = scores.masked_fill(~documents.mask, float("-inf"))
    wide = torch.promote_types(scores.dtype, torch.float32)
    out: Tensor = scores.softmax(-1, dtype=wide).to(q.dtype) @ v
    return out.transpose(1, 2)


def sdpa(
    q: Tensor, k: Tensor, v: Tensor, documents: Documents | None, slopes: Tensor | None = None
) -> Tensor:
    """torch's scaled dot product attention: any device, no T x T scores kept."""
    single = documents is None or documents.single
    if single and slopes is None:
        return _dense(q, k, v, None)
    assert documents is not None
    looped = not single and q.device.type == "cpu"
    if looped and loop_is_cheaper(documents.lengths, q.shape[2]):
        bias = None if slopes is None else alibi_bias(slopes, documents.longest, q.dtype)
        return _each_document(q, k, v, documents.lengths, bias)
    mask = documents.mask if slopes is None else documents.bias(slopes, q.dtype)
    return _dense(q, k, v, mask)


def _dense(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
        attn_mask=mask, is_causal=mask is None, enable_gqa=q.shape[2] != k.shape[2],
    )  # fmt: skip
    return out.transpose(1, 2)


def _each_document(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: tuple[tuple[int, ...], ...],
    bias: Tensor | None = None,
) -> Tensor:
    """One causal call per document; documents of one length that follow each other share a call.

    ``split`` and ``cat`` are used because their backward is one copy, where the backward of a slice
    is a zero tensor of full size per document. ``bias`` is that of the longest document.
    """
    runs = equal_runs([n for row in lengths for n in row])
    sizes = [length * count for length, count in runs]
    pieces = zip(*(torch.split(x.flatten(0, 1), sizes) for x in (q, k, v)), strict=True)
    outs = []
    for (length, count), piece in zip(runs, pieces, strict=True):
        a, b, c = (x.unflatten(0, (count, length)) for x in piece)
        mask = None if bias is None else bias[None, :, :length, :length]
        outs.append(_dense(a, b, c, mask).flatten(0, 1))
    return torch.cat(outs).view(q.shape)


def equal_runs(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Run-length code: ``[5, 5, 3]`` becomes ``[(5, 2), (3, 1)]``."""
    runs: list[tuple[int, int]] = []
    for length in lengths:
        if runs and runs[-1][0] == length:
            runs[-1] = (length, runs[-1][1] + 1)
        else:
            runs.append((length, 1))
    return runs


# One more call costs as much as this many query-key pairs of one head (forward and backward on two
# cores: 0.3 ms a call against 8 to 11 ns a pair with heads of 64).
CALL_PAIRS: Final = 40_000
# torch's CPU kernel skips the future in blocks of this many keys: a shorter causal call saves none.
KEY_BLOCK: Final = 512


def loop_is_cheaper(lengths: tuple[tuple[int, ...], ...], heads: int) -> bool:
    """Whether a call per document beats one call with a T x T mask.

    The mask costs T² pairs a row however short the documents are; a causal call over n tokens costs
    about n²/2 pairs (n² below a block) and a fixed start.
    """
    tokens = sum(lengths[0])
    runs = equal_runs([n for row in lengths for n in row])
    pairs = sum(count * length * (length + min(length, KEY_BLOCK)) / 2 for length, count in runs)
    return pairs * heads + CALL_PAIRS * len(runs) < len(lengths) * tokens**2 * heads


def attend_cache(
    q: Tensor, k: Tensor, v: Tensor, starts: Tensor, slopes: Tensor | None = None
) -> Tensor:
    """Attention of one new token per row to all tokens so far.

    Args:
        q: (B, 1, H, d) queries of the newest token.
        k: (B, S, K, d) keys of all tokens up to and with the newest.
        v: (B, S, K, d) values.
        starts: (B,) first key that belongs to the row's text; those before are padding.
        slopes: (H,) of ALiBi; ``None``: no bias.

    Returns:
        (B, 1, H, d).
    """
    place = torch.arange(k.shape[1], device=k.device)
    mask = (place >= starts[:, None])[:, None, None]
    if slopes is not None:
        bias = (slopes[:, None] * (place - place[-1])).to(q.dtype)  # (H, S)
        mask = bias[None, :, None].masked_fill(~mask, float("-inf"))
    return _dense(q, k, v, mask)


Backend = Callable[[Tensor, Tensor, Tensor, Documents | None, Tensor | None], Tensor]


def _varlen(
    q: Tensor, k: Tensor, v: Tensor, documents: Documents | None, slopes: Tensor | None
) -> Tensor:
    from .attention_cuda import varlen

    assert documents is not None
    if v.dtype not in (torch.bfloat16, torch.float16):  # outside of autocast: samples, export
        return sdpa(q, k, v, documents, slopes)
    return varlen(q, k, v, documents)


def _flex(
    q: Tensor, k: Tensor, v: Tensor, documents: Documents | None, slopes: Tensor | None
) -> Tensor:
    from .attention_cuda import flex

    assert documents is not None
    return flex(q, k, v, documents, slopes)


BACKENDS: Final[dict[str, Backend]] = {
    "sdpa": sdpa, "eager": eager, "varlen": _varlen, "flex": _flex,
}  # fmt: skip
