"""Continued byte-pair encoding: the most frequent pair becomes a symbol, again and again.

The loop works on distinct runs with their counts. Each pair of neighbours has an entry in a hash
table with its count and a linked list of the places where it stands; a heap gives the pair with the
highest count. A pair arises only together with its newer half, so afterwards its count only falls:
what is in the heap is an upper bound, and the pair on top is counted anew. Counts are not kept up
to date where a merge breaks pairs, which would be two look-ups in a large table an occurrence (on
100 MB of text: half of the time). Ties go to the pair with the lower symbols, so
equal input gives equal merges, and a shorter run gives a prefix of a longer one.
"""

# ruff: noqa: C901, PLR0913

from dataclasses import dataclass

import numpy as np

from .kernels import I32, I64, Number, kernel
from .segment import Symbols

DEAD = -2
NONE = -1


@dataclass(frozen=True)
class Learned:
    """Merges in the order in which they were made.

    Attributes:
        left, right: the two symbols of each merge, int32 ``[M]``; merge ``m`` made the symbol
            ``first_new + m``.
        count: how often each was made (weighted), int64 ``[M]``.
        first_new: number of the first new symbol.
        symbols: what became of the input: final symbols where they start, -2 elsewhere.
    """

    left: I32
    right: I32
    count: I64
    first_new: int
    symbols: I32


@kernel
def _slot(keys: I64, table: I32, key: Number) -> Number:
    mask = len(table) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(24)) & mask
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def _wider_i64(array: I64) -> I64:
    wider = np.zeros(2 * len(array), np.int64)
    wider[: len(array)] = array
    return wider


@kernel
def _wider_i32(array: I32) -> I32:
    wider = np.zeros(2 * len(array), np.int32)
    wider[: len(array)] = array
    return wider


@kernel
def _rehash(keys: I64, pairs: Number, size: Number) -> I32:
    table = np.full(size, np.int32(NONE), np.int32)
    for pair in range(pairs):
        table[_slot(keys, table, keys[pair])] = pair
    return table


@kernel
def _before(count_a: Number, key_a: Number, count_b: Number, key_b: Number) -> Number:
    return count_a > count_b or (count_a == count_b and key_a < key_b)


@kernel
def _sift_up(heap_count: I64, heap_pair: I32, keys: I64, at: Number) -> None:
    count, pair = heap_count[at], heap_pair[at]
    while at > 0:
        parent = (at - 1) >> 1
        other = heap_pair[parent]
        if not _before(count, keys[pair], heap_count[parent], keys[other]):
            break
        heap_count[at], heap_pair[at] = heap_count[parent], other
        at = parent
    heap_count[at], heap_pair[at] = count, pair


@kernel
def _sift_down(heap_count: I64, heap_pair: I32, keys: I64, size: Number) -> None:
    count, pair = heap_count[0], heap_pair[0]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _before(
            heap_count[right], keys[heap_pair[right]], heap_count[child], keys[heap_pair[child]]
        ):
            child = right
        if not _before(heap_count[child], keys[heap_pair[child]], count, keys[pair]):
            break
        heap_count[at], heap_pair[at] = heap_count[child], heap_pair[child]
        at = child
    heap_count[at], heap_pair[at] = count, pair


@kernel
def _link(symbols: I32, ends: I64, following: I32, previous: I32, places: I32) -> None:
    """Neighbours inside each run; a break (-1) is no neighbour of anything."""
    for run in range(len(ends) - 1):
        for at in range(ends[run], ends[run + 1]):
            following[at] = previous[at] = NONE
            places[at] = run
            if at > ends[run] and symbols[at] >= 0 and symbols[at - 1] >= 0:
                previous[at] = at - 1
                following[at - 1] = at


@kernel
def _recount(
    pair: Number, a: Number, b: Number, heads: I32, place_at: I32, place_next: I32,
    symbols: I32, following: I32, run_of: I32, weights: I64,
) -> Number:  # fmt: skip
    """What a pair counts now; places where it stands no longer leave its list."""
    total: Number = 0
    kept: Number = NONE
    entry: Number = heads[pair]
    while entry >= 0:
        at, beyond = place_at[entry], place_next[entry]
        after = following[at]
        if symbols[at] == a and after >= 0 and symbols[after] == b:
            total += weights[run_of[at]]
            if kept < 0:
                heads[pair] = entry
            else:
                place_next[kept] = entry
            kept = entry
        entry = beyond
    if kept < 0:
        heads[pair] = NONE
    else:
        place_next[kept] = NONE
    return total


@kernel
def _allowed(a: Number, b: Number, length: I32, same: I32, max_chars: Number) -> bool:
    """At most so many characters; no run of one character beyond two; no pair twice over."""
    if length[a] + length[b] > max_chars:
        return False
    if a == b and length[a] >= 2:
        return False
    return not (same[a] >= 0 and same[a] == same[b] and length[a] + length[b] > 2)


@kernel
def _learn(
    symbols: I32, ends: I64, weights: I64, length: I32, same: I32, first_new: Number,
    min_count: Number, max_chars: Number, left: I32, right: I32, made: I64,
) -> Number:  # fmt: skip
    """Fill ``left``, ``right``, ``made``; returns the number of merges. Changes ``symbols``."""
    size = len(symbols)
    following = np.empty(size, np.int32)
    previous = np.empty(size, np.int32)
    run_of = np.empty(size, np.int32)
    _link(symbols, ends, following, previous, run_of)

    # Pairs: key (left << 32 | right), count, head of the list of places.
    keys = np.zeros(1 << 16, np.int64)
    counts = np.zeros(1 << 16, np.int64)
    heads = np.zeros(1 << 16, np.int32)
    table = np.full(1 << 18, np.int32(NONE), np.int32)
    pair_at = np.empty(size, np.int32)
    pairs = 0
    for at in range(size):
        if following[at] < 0:
            continue
        key = np.int64(symbols[at]) << 32 | np.int64(symbols[at + 1])
        slot = _slot(keys, table, key)
        if table[slot] < 0:
            if pairs == len(keys):
                keys, counts, heads = _wider_i64(keys), _wider_i64(counts), _wider_i32(heads)
                table = _rehash(keys, pairs, 4 * len(keys))
                slot = _slot(keys, table, key)
            keys[pairs], heads[pairs] = key, NONE
            table[slot] = pairs
            pairs += 1
        pair_at[at] = table[slot]
        counts[table[slot]] += weights[run_of[at]]
    # Places of frequent pairs alone: a pair can only become rarer. From the end, so that the list
    # is in order.
    used: Number = 0
    for pair in range(pairs):
        used += counts[pair] >= min_count
    place_at = np.empty(max(size, 16), np.int32)
    place_next = np.empty(max(size, 16), np.int32)
    places = 0
    for at in range(size - 1, -1, -1):
        if following[at] < 0:
            continue
        known: Number = pair_at[at]
        if counts[known] >= min_count:
            place_at[places], place_next[places] = at, heads[known]
            heads[known] = places
            places += 1
    heap_count = np.empty(max(2 * used, 16), np.int64)
    heap_pair = np.empty(max(2 * used, 16), np.int32)
    heap = 0
    for pair in range(pairs):
        if counts[pair] >= min_count:
            heap_count[heap], heap_pair[heap] = counts[pair], pair
            _sift_up(heap_count, heap_pair, keys, heap)
            heap += 1

    # The pair that the present merge has made with a neighbour on its left or right; valid where
    # the stamp is the number of the merge.
    left_pair = np.zeros(len(length), np.int32)
    left_stamp = np.full(len(length), np.int32(NONE), np.int32)
    right_pair = np.zeros(len(length), np.int32)
    right_stamp = np.full(len(length), np.int32(NONE), np.int32)
    merges = 0
    while heap > 0 and merges < len(left):
        count, pair = heap_count[0], heap_pair[0]
        a, b = np.int32(keys[pair] >> 32), np.int32(keys[pair] & 0xFFFFFFFF)
        exact: Number = 0
        if _allowed(a, b, length, same, max_chars):
            exact = _recount(
                pair, a, b, heads, place_at, place_next, symbols, following, run_of, weights
            )
            if min_count <= exact < count:
                heap_count[0] = exact
                _sift_down(heap_count, heap_pair, keys, heap)
                continue
        # Off the heap before its merge: a new pair of equal count may belong on top.
        heap -= 1
        heap_count[0], heap_pair[0] = heap_count[heap], heap_pair[heap]
        if heap > 0:
            _sift_down(heap_count, heap_pair, keys, heap)
        if exact < count or exact == 0:
            continue
        new = np.int32(first_new + merges)
        length[new] = length[a] + length[b]
        same[new] = same[a] if same[a] == same[b] else NONE
        before = pairs
        done = 0
        entry = heads[pair]
        while entry >= 0:
            at = place_at[entry]
            entry = place_next[entry]
            after = following[at]
            if symbols[at] != a or after < 0 or symbols[after] != b:
                continue
            weight = weights[run_of[at]]
            done += weight
            back, beyond = previous[at], following[after]
            symbols[at], symbols[after] = new, DEAD
            following[at] = beyond
            if beyond >= 0:
                previous[beyond] = at
            for side in range(2):
                where = back if side == 0 else at
                if where < 0 or following[where] < 0:
                    continue
                other = symbols[where] if side == 0 else symbols[beyond]
                # The new symbol beside itself is one pair, whichever side sees it.
                on_left = side == 0 or other == new
                known_here = (left_stamp if on_left else right_stamp)[other] == merges
                if not known_here:
                    if pairs == len(keys):
                        keys, counts = _wider_i64(keys), _wider_i64(counts)
                        heads = _wider_i32(heads)
                    first = other if on_left else new
                    second = new if on_left else other
                    keys[pairs] = np.int64(first) << 32 | np.int64(second)
                    counts[pairs], heads[pairs] = 0, NONE
                    if on_left:
                        left_pair[other], left_stamp[other] = pairs, merges
                    else:
                        right_pair[other], right_stamp[other] = pairs, merges
                    pairs += 1
                grown = left_pair[other] if on_left else right_pair[other]
                counts[grown] += weight
                if places == len(place_at):
                    place_at, place_next = _wider_i32(place_at), _wider_i32(place_next)
                place_at[places], place_next[places] = where, heads[grown]
                heads[grown] = places
                places += 1
        left[merges], right[merges], made[merges] = a, b, done
        merges += 1
        for fresh in range(before, pairs):
            if counts[fresh] >= min_count:
                if heap == len(heap_count):
                    heap_count, heap_pair = _wider_i64(heap_count), _wider_i32(heap_pair)
                heap_count[heap], heap_pair[heap] = counts[fresh], fresh
                _sift_up(heap_count, heap_pair, keys, heap)
                heap += 1
    return merges


@dataclass(frozen=True)
class Limits:
    """What continued BPE may make."""

    merges: int
    min_count: int = 2
    max_chars: int = 6


def learn(symbols: Symbols, counts: I64, surfaces: list[bytes], limits: Limits) -> Learned:
    """Continue byte-pair encoding on segmented runs.

    Args:
        symbols: the runs as symbols of the base.
        counts: how often each run occurs, int64 ``[R]``.
        surfaces: bytes of every base entry.
        limits: how many merges, how rare and how long they may be.

    Returns:
        The merges; fewer than asked if no pair is left that is frequent and short enough.
    """
    first_new = symbols.first_virtual + len(symbols.virtual)
    texts = [s.decode("utf-8", errors="replace") for s in surfaces] + symbols.virtual
    length = np.zeros(first_new + limits.merges, np.int32)
    same = np.full(first_new + limits.merges, NONE, np.int32)
    length[:first_new] = [len(text) for text in texts]
    same[:first_new] = [ord(t[0]) if len(set(t)) == 1 else NONE for t in texts]
    work = symbols.symbols.copy()
    left = np.zeros(limits.merges, np.int32)
    right = np.zeros(limits.merges, np.int32)
    made = np.zeros(limits.merges, np.int64)
    found = _learn(
        work, symbols.ends, counts, length, same, first_new, limits.min_count, limits.max_chars,
        left, right, made,
    )  # fmt: skip
    return Learned(left[:found], right[:found], made[:found], first_new, work)
