"""Which entries are worth having for text that was not seen: those used widely, leaf by leaf.

A corpus is a handful of inputs of unlike kinds. What one of them uses a thousand times and no other
at all says little about the next text; what all use ten times says much. So an entry is worth the
power mean of its rates of use over the inputs, and more merges are learned than are wanted: the
least worthy entry that is no part of another goes, its uses go to its two parts, and so on to the
last. Read backwards, that is a list in which parts stand before what is made of them, and in which
every head is the choice for its size.

Source: leaf-wise removal as in Purason et al., "Teaching Old Tokenizers New Words" (2025), with
another measure of worth.
"""

# ruff: noqa: C901, PLR0913

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .kernels import I32, I64, Number, kernel

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """The inputs as witnesses.

    Attributes:
        of_document: input of each document, int32.
        shares: what each input counts, sums to 1, float64 ``[G]``.
        sizes: Han characters of each, float64 ``[G]``.
        power: exponent of the mean over inputs; 1 is the plain mean.
    """

    of_document: I32
    shares: F64
    sizes: F64
    power: float


@dataclass(frozen=True)
class Forest:
    """Candidates and their halves.

    Attributes:
        left, right: candidate number of each half, -1 for an entry of the base, int32 ``[T]``;
            halves have lower numbers than what is made of them.
        saved: entries that one use saves, int64 ``[T]``.
        refused: not to be taken, and so nothing that holds it, bool ``[T]``.
    """

    left: I32
    right: I32
    saved: I64
    refused: npt.NDArray[np.bool_]


@kernel
def count_uses(
    symbols: I32, ends: I64, first: Number, run: I32, document: I32, group: I32, uses: I64
) -> None:
    """Add to ``uses[candidate, group]`` how often a candidate stands in the segmented runs."""
    for k in range(len(run)):
        column = group[document[k]]
        for at in range(ends[run[k]], ends[run[k] + 1]):
            if symbols[at] >= first:
                uses[symbols[at] - first, column] += 1


@kernel
def count_listed(symbols: I32, ends: I64, first: Number, times: I64, column: I64) -> None:
    """The same for runs that a list of words gives a frequency."""
    for run in range(len(times)):
        if times[run] == 0:
            continue
        for at in range(ends[run], ends[run + 1]):
            if symbols[at] >= first:
                column[symbols[at] - first] += times[run]


@kernel
def gather_parts(uses: I64, left: I32, right: I32) -> None:
    """Let each candidate's uses count for its halves too, the youngest first."""
    for token in range(len(left) - 1, -1, -1):
        for side in range(2):
            half = left[token] if side == 0 else right[token]
            if half >= 0:
                for group in range(uses.shape[1]):
                    uses[half, group] += uses[token, group]


@kernel
def _worth(row: I64, shares: Any, sizes: Any, power: Number) -> Number:
    total = 0.0
    for group in range(len(row)):
        if row[group] > 0:
            total += shares[group] * (row[group] / sizes[group]) ** power
    return total ** (1.0 / power)


@kernel
def _after(worth_a: Number, token_a: Number, worth_b: Number, token_b: Number) -> Number:
    """Whether ``a`` stays longer than ``b``: worth more, or as much and learned earlier."""
    return worth_a > worth_b or (worth_a == worth_b and token_a < token_b)


@kernel
def _push(heap: I32, worth: Any, size: Number, token: Number) -> None:
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if not _after(worth[heap[parent]], heap[parent], worth[token], token):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = token


@kernel
def _pop(heap: I32, worth: Any, size: Number) -> Number:
    """Take the first to go; ``size`` is the number before."""
    top, token = heap[0], heap[size - 1]
    at, last = 0, size - 1
    while 2 * at + 1 < last:
        child = 2 * at + 1
        if child + 1 < last and _after(
            worth[heap[child]], heap[child], worth[heap[child + 1]], heap[child + 1]
        ):
            child += 1
        if not _after(worth[token], token, worth[heap[child]], heap[child]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = token
    return top


@kernel
def _remove_leaves(
    uses: I64, shares: Any, sizes: Any, power: Number,
    left: I32, right: I32, saved: I64, refused: Any, order: I32, worth: Any,
) -> None:  # fmt: skip
    size = len(left)
    children = np.zeros(size, np.int32)
    for token in range(size):
        for side in range(2):
            half = left[token] if side == 0 else right[token]
            if half >= 0 and not (side == 1 and left[token] == half):
                children[half] += 1
    heap = np.empty(size + 1, np.int32)
    waiting, place = 0, size
    # What is refused goes first, the youngest before its halves; then the leaves, as they come.
    for turn in range(2 * size):
        if turn < size:
            token = size - 1 - turn
            if not refused[token]:
                continue
            worth[token] = saved[token] * _worth(uses[token], shares, sizes, power)
        else:
            if turn == size:
                for fresh in range(size):
                    if children[fresh] == 0 and not refused[fresh]:
                        worth[fresh] = saved[fresh] * _worth(uses[fresh], shares, sizes, power)
                        _push(heap, worth, waiting, fresh)
                        waiting += 1
            if waiting == 0:
                break
            token = _pop(heap, worth, waiting)
            waiting -= 1
        place -= 1
        order[place] = token
        # Both halves get the uses before either is looked at: they may be the same (哈哈).
        for side in range(2):
            half = left[token] if side == 0 else right[token]
            if half >= 0:
                for group in range(uses.shape[1]):
                    uses[half, group] += uses[token, group]
        for side in range(2):
            half = left[token] if side == 0 else right[token]
            if half < 0 or (side == 1 and left[token] == half):
                continue
            children[half] -= 1
            if turn >= size and children[half] == 0:
                worth[half] = saved[half] * _worth(uses[half], shares, sizes, power)
                _push(heap, worth, waiting, half)
                waiting += 1


def by_worth(uses: I64, groups: Groups, forest: Forest) -> tuple[I32, F64]:
    """Order candidates by what they are worth; halves before what is made of them.

    Args:
        uses: uses of each candidate in each input after all merges, int64 ``[T, G]``; changed: in
            the end each holds its uses inside others too.
        groups: the inputs.
        forest: the candidates' halves. What holds a refused one must be refused too.

    Returns:
        The candidates in order, int32 ``[T]``, refused ones last; and the worth of each (entries
        saved a character), float64 ``[T]``, by candidate.
    """
    order = np.empty(len(uses), np.int32)
    worth = np.zeros(len(uses), np.float64)
    _remove_leaves(
        uses, groups.shares, groups.sizes, groups.power,
        forest.left, forest.right, forest.saved, forest.refused, order, worth,
    )  # fmt: skip
    return order, worth
