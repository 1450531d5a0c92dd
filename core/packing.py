"""Which piece of which document lies in which training sequence.

A piece is a range of *targets*: token positions that the model has to predict, each from the token
before it (the first token of a document from the opening id). So every token of the shards is a
target exactly once an epoch, whatever is split and packed.

A document longer than a sequence is split into full windows and one remainder. Remainders and short
documents are packed by best fit, longest first: none is cut again. The room left over is padding:
1.1 % with 100 documents of web lengths, 0.1 % with 1 000, 0.001 % with a million.

Source: best-fit packing, "Fewer Truncations Improve Language Modeling" (Ding et al. 2024).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Packing:
    """The sequences of one epoch, in training order.

    Attributes:
        starts: (pieces,) token position of each piece's first target.
        lengths: (pieces,) targets in it.
        offsets: (sequences + 1,) pieces of sequence ``s`` are ``offsets[s] : offsets[s + 1]``.
        order: (sequences,) the ``i``-th sequence of the epoch is number ``order[i]``.
        sequence_tokens: room in a sequence.
    """

    starts: Ints
    lengths: Ints
    offsets: Ints
    order: Ints
    sequence_tokens: int

    def __len__(self) -> int:
        return len(self.order)

    def pieces(self, index: int) -> tuple[Ints, Ints]:
        """Starts and lengths of the pieces of the ``index``-th sequence of the epoch."""
        number = self.order[index]
        cut = slice(self.offsets[number], self.offsets[number + 1])
        return self.starts[cut], self.lengths[cut]

    @property
    def fill(self) -> float:
        """Share of the room that holds targets; the rest is padding."""
        return float(self.lengths.sum()) / max(len(self) * self.sequence_tokens, 1)


def pack(begins: Ints, ends: Ints, *, sequence_tokens: int, key: int | None) -> Packing:
    """Lay documents into sequences.

    Args:
        begins: (documents,) token position of each document's first token; a document may come
            more than once (a mixture) or not at all.
        ends: (documents,) exclusive ends.
        sequence_tokens: targets that a sequence holds.
        key: decides the order, and which documents of one length share a sequence; ``None`` keeps
            the order of the documents where packing allows it.
    """
    sizes = ends - begins
    windows = sizes // sequence_tokens
    nth = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
    full = np.repeat(begins, windows) + nth * sequence_tokens
    rest = np.flatnonzero(sizes % sequence_tokens)
    lengths = (sizes % sequence_tokens)[rest]
    ties = np.arange(len(rest)) if key is None else scramble(len(rest), key)
    longest_first = np.lexsort((ties, -lengths))
    rest, lengths = rest[longest_first], lengths[longest_first]
    bins = _best_fit(lengths, sequence_tokens)
    together = np.argsort(bins, kind="stable")
    counts = np.bincount(bins) if len(bins) else np.empty(0, np.int64)
    tail = begins[rest] + windows[rest] * sequence_tokens
    sequences = len(full) + len(counts)
    per_sequence = np.concatenate([np.ones(len(full), np.int64), counts])
    return Packing(
        starts=np.concatenate([full, tail[together]]),
        lengths=np.concatenate([np.full(len(full), sequence_tokens), lengths[together]]),
        offsets=np.concatenate([[0], np.cumsum(per_sequence)]).astype(np.int64),
        order=np.arange(sequences) if key is None else order(sequences, key),
        sequence_tokens=sequence_tokens,
    )


def alone(begins: Ints, ends: Ints, *, sequence_tokens: int, key: int | None) -> Packing:
    """Lay every document into a sequence of its own; see :func:`pack`.

    None may be longer than a sequence.
    """
    count = len(begins)
    return Packing(
        starts=begins, lengths=ends - begins, offsets=np.arange(count + 1),
        order=np.arange(count) if key is None else order(count, key),
        sequence_tokens=sequence_tokens,
    )  # fmt: skip


def order(count: int, key: int) -> Ints:
    """A permutation of ``range(count)`` that depends on the key alone, for any NumPy version."""
    return np.argsort(scramble(count, key ^ 0x5DEECE66D), kind="stable")


def order_key(*parts: object) -> int:
    """64 bits that depend on all parts."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def scramble(count: int, key: int) -> npt.NDArray[np.uint64]:
    """(count,) well mixed 64-bit numbers, one for each index.

    Source: the finalizer of SplitMix64 (Steele et al. 2014).
    """
    with np.errstate(over="ignore"):
        x = (np.arange(1, count + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        x += np.uint64(key & 0xFFFFFFFFFFFFFFFF)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


@njit(cache=True)
def _best_fit(lengths: Ints, room: int) -> Ints:  # pragma: no cover
    """Give each length (longest first) the open bin with the least room that still takes it.

    Bins of equal room wait in a stack; a binary tree over the rooms says which stacks are empty.
    """
    size = 1
    while size < room + 1:
        size *= 2
    tree = np.zeros(2 * size, np.bool_)
    top = np.full(room + 1, -1, np.int64)
    below = np.full(len(lengths) + 1, -1, np.int64)
    bins = np.empty(len(lengths), np.int64)
    opened = 0
    for item in range(len(lengths)):
        node = size + lengths[item]
        if not tree[node]:
            # Climb until something to the right of where we came from is set.
            while node > 1 and (node % 2 == 1 or not tree[node + 1]):
                node //= 2
            node += 1
        if node <= 2:
            place, left = opened, room
            opened += 1
        else:
            while node < size:
                node = 2 * node if tree[2 * node] else 2 * node + 1
            left = node - size
            place = top[left]
            top[left] = below[place]
            if top[left] < 0:
                _mark(tree, size + left, False)
        bins[item] = place
        left -= lengths[item]
        if left > 0:
            below[place] = top[left]
            top[left] = place
            _mark(tree, size + left, True)
    return bins


@njit(cache=True)
def _mark(tree, leaf, value):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Set a leaf; each inner node says whether any leaf below it is set."""
    tree[leaf] = value
    while leaf > 1:
        leaf //= 2
        tree[leaf] = tree[2 * leaf] or tree[2 * leaf + 1]
