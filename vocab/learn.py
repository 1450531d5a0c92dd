"""Continued byte-pair encoding: the most frequent pair becomes a symbol, again and again.

The loop works on distinct runs with their counts. All symbols lie in one array with a break between
runs; a merged symbol keeps its cells, so that its neighbours are found by its length alone. Each
pair of neighbours has its places in order, side by side in memory; a heap gives the pair with the
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
from .segment import BREAK, Symbols

NONE = -1
DEAD = -2  # below BREAK: inside a merged symbol, whose last cell holds BREAK less its cells
KEY, COUNT, FIRST, STOP = range(4)  # columns of a pair: left << 32 | right, and its places


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
def _slot(pairs: I64, table: I32, key: Number) -> Number:
    mask = len(table) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(24)) & mask
    while table[slot] >= 0 and pairs[table[slot], KEY] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def _more_i64(array: I64, needed: Number) -> I64:
    wider = np.empty(max(2 * len(array), needed), np.int64)
    wider[: len(array)] = array
    return wider


@kernel
def _more_i32(array: I32, needed: Number) -> I32:
    wider = np.empty(max(2 * len(array), needed), np.int32)
    wider[: len(array)] = array
    return wider


@kernel
def _more_rows(array: I64) -> I64:
    wider = np.empty((2 * len(array), array.shape[1]), np.int64)
    wider[: len(array)] = array
    return wider


@kernel
def _before(count_a: Number, key_a: Number, count_b: Number, key_b: Number) -> Number:
    return count_a > count_b or (count_a == count_b and key_a < key_b)


@kernel
def _sift_up(heap_count: I64, heap_pair: I32, pairs: I64, at: Number) -> None:
    count, pair = heap_count[at], heap_pair[at]
    while at > 0:
        parent = (at - 1) >> 1
        other = heap_pair[parent]
        if not _before(count, pairs[pair, KEY], heap_count[parent], pairs[other, KEY]):
            break
        heap_count[at], heap_pair[at] = heap_count[parent], other
        at = parent
    heap_count[at], heap_pair[at] = count, pair


@kernel
def _sift_down(heap_count: I64, heap_pair: I32, pairs: I64, size: Number) -> None:
    count, pair = heap_count[0], heap_pair[0]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _before(
            heap_count[right],
            pairs[heap_pair[right], KEY],
            heap_count[child],
            pairs[heap_pair[child], KEY],
        ):
            child = right
        if not _before(heap_count[child], pairs[heap_pair[child], KEY], count, pairs[pair, KEY]):
            break
        heap_count[at], heap_pair[at] = heap_count[child], heap_pair[child]
        at = child
    heap_count[at], heap_pair[at] = count, pair


@kernel
def _cells(symbols: I32, ends: I64) -> I32:
    """Int32 ``[cells, 2]``: symbol and run; a break stands before each run and at the end."""
    cells = np.empty((len(symbols) + len(ends), 2), np.int32)
    to = 0
    for run in range(len(ends) - 1):
        cells[to, 0], cells[to, 1] = BREAK, run
        to += 1
        for at in range(ends[run], ends[run + 1]):
            cells[to, 0], cells[to, 1] = symbols[at], run
            to += 1
    cells[to, 0] = BREAK
    return cells


@kernel
def _uncells(cells: I32, ends: I64, symbols: I32) -> None:
    """Write back what became of the symbols."""
    for run in range(len(ends) - 1):
        for at in range(ends[run], ends[run + 1]):
            symbols[at] = max(cells[at + run + 1, 0], DEAD)


@kernel
def _first_pairs(cells: I32, weights: I64, min_count: Number) -> tuple[I64, Number, I32]:
    """The frequent pairs, int64 ``[P, 4]`` and more rows, how many they are, and their places.

    A pair can only become rarer, so that the others never matter.
    """
    pairs = np.zeros((1 << 16, 4), np.int64)
    table = np.full(1 << 18, np.int32(NONE), np.int32)
    pair_at = np.empty(len(cells), np.int32)
    known = 0
    for at in range(len(cells) - 1):
        pair_at[at] = NONE
        if cells[at, 0] < 0 or cells[at + 1, 0] < 0:
            continue
        key = np.int64(cells[at, 0]) << 32 | np.int64(cells[at + 1, 0])
        slot = _slot(pairs, table, key)
        if table[slot] < 0:
            if known == len(pairs):
                pairs = _more_rows(pairs)
                table = np.full(4 * len(pairs), np.int32(NONE), np.int32)
                for pair in range(known):
                    table[_slot(pairs, table, pairs[pair, KEY])] = pair
                slot = _slot(pairs, table, key)
            pairs[known, KEY], pairs[known, COUNT], pairs[known, STOP] = key, 0, 0
            table[slot] = known
            known += 1
        pair_at[at] = table[slot]
        pairs[table[slot], COUNT] += weights[cells[at, 1]]
        pairs[table[slot], STOP] += 1
    number = np.full(known, NONE, np.int32)
    used: Number = 0
    frequent = 0
    for pair in range(known):
        if pairs[pair, COUNT] >= min_count:
            number[pair] = frequent
            size = pairs[pair, STOP]
            pairs[frequent, KEY], pairs[frequent, COUNT] = pairs[pair, KEY], pairs[pair, COUNT]
            pairs[frequent, FIRST] = pairs[frequent, STOP] = used
            used += size
            frequent += 1
    places = np.empty(max(used, 16), np.int32)
    for at in range(len(cells) - 1):
        if pair_at[at] >= 0 and number[pair_at[at]] >= 0:
            pair = number[pair_at[at]]
            places[pairs[pair, STOP]] = at
            pairs[pair, STOP] += 1
    return pairs, frequent, places


@kernel
def _recount(
    pair: Number, a: Number, b: Number, pairs: I64, places: I32, cells: I32, span: Number,
    weights: I64,
) -> Number:  # fmt: skip
    """What a pair counts now; places where it stands no longer leave its list."""
    total: Number = 0
    kept = pairs[pair, FIRST]
    for entry in range(pairs[pair, FIRST], pairs[pair, STOP]):
        at = places[entry]
        if cells[at, 0] == a and cells[at + span, 0] == b:
            total += weights[cells[at, 1]]
            places[kept] = at
            kept += 1
    pairs[pair, STOP] = kept
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
    cells: I32, weights: I64, length: I32, same: I32, first_new: Number,
    min_count: Number, max_chars: Number, left: I32, right: I32, made: I64,
) -> Number:  # fmt: skip
    """Fill ``left``, ``right``, ``made``; returns the number of merges. Changes ``cells``."""
    pairs, known, places = _first_pairs(cells, weights, min_count)
    used = np.int64(len(places))
    heap_count = np.empty(max(2 * known, 16), np.int64)
    heap_pair = np.empty(max(2 * known, 16), np.int32)
    heap = 0
    for pair in range(known):
        heap_count[heap], heap_pair[heap] = pairs[pair, COUNT], pair
        _sift_up(heap_count, heap_pair, pairs, heap)
        heap += 1
    span = np.ones(len(length), np.int32)  # cells of a symbol
    # What the present merge makes: the pair of each symbol on its left or right, valid where the
    # stamp is the number of the merge; of each such pair (key, count, places, number among
    # `pairs`); and where it stands.
    left_pair = np.zeros(len(length), np.int32)
    left_stamp = np.full(len(length), np.int32(NONE), np.int32)
    right_pair = np.zeros(len(length), np.int32)
    right_stamp = np.full(len(length), np.int32(NONE), np.int32)
    fresh = np.empty((1 << 10, 4), np.int64)
    fresh_pair = np.empty(1 << 10, np.int32)
    fresh_place = np.empty(1 << 10, np.int32)
    merges = 0
    while heap > 0 and merges < len(left):
        count, pair = heap_count[0], heap_pair[0]
        a, b = np.int32(pairs[pair, KEY] >> 32), np.int32(pairs[pair, KEY] & 0xFFFFFFFF)
        exact: Number = 0
        if _allowed(a, b, length, same, max_chars):
            exact = _recount(pair, a, b, pairs, places, cells, span[a], weights)
            if min_count <= exact < count:
                heap_count[0] = exact
                _sift_down(heap_count, heap_pair, pairs, heap)
                continue
        # Off the heap before its merge: a new pair of equal count may belong on top.
        heap -= 1
        heap_count[0], heap_pair[0] = heap_count[heap], heap_pair[heap]
        if heap > 0:
            _sift_down(heap_count, heap_pair, pairs, heap)
        if exact < count or exact == 0:
            continue
        new = np.int32(first_new + merges)
        length[new], span[new] = length[a] + length[b], span[a] + span[b]
        same[new] = same[a] if same[a] == same[b] else NONE
        first, stop = pairs[pair, FIRST], pairs[pair, STOP]
        if len(fresh_pair) < 2 * (stop - first):
            fresh_pair = _more_i32(fresh_pair, 2 * (stop - first))
            fresh_place = _more_i32(fresh_place, 2 * (stop - first))
        here, entries = 0, 0
        done: Number = 0
        for entry in range(first, stop):
            at = np.int64(places[entry])
            after = at + span[a]
            if cells[at, 0] != a or cells[after, 0] != b:
                continue
            weight, beyond = weights[cells[at, 1]], after + span[b]
            done += weight
            cells[at, 0], cells[after, 0] = new, DEAD
            cells[beyond - 1, 0] = BREAK - span[new]
            for side in range(2):
                where = at
                if side == 0:
                    where -= 1
                    if cells[where, 0] < BREAK:
                        where = at + 1 + cells[where, 0]
                other = cells[where if side == 0 else beyond, 0]
                if other == BREAK:
                    continue
                # The new symbol beside itself is one pair, whichever side sees it.
                on_left = side == 0 or other == new
                if (left_stamp if on_left else right_stamp)[other] != merges:
                    if here == len(fresh):
                        fresh = _more_rows(fresh)
                    one, two = (other, new) if on_left else (new, other)
                    fresh[here, KEY] = np.int64(one) << 32 | np.int64(two)
                    fresh[here, COUNT] = fresh[here, FIRST] = 0
                    if on_left:
                        left_pair[other], left_stamp[other] = here, merges
                    else:
                        right_pair[other], right_stamp[other] = here, merges
                    here += 1
                grown = left_pair[other] if on_left else right_pair[other]
                fresh[grown, COUNT] += weight
                fresh[grown, FIRST] += 1
                fresh_pair[entries], fresh_place[entries] = grown, where
                entries += 1
        left[merges], right[merges], made[merges] = a, b, done
        merges += 1
        if len(places) < used + entries:
            places = _more_i32(places, used + entries)
        for grown in range(here):
            fresh[grown, STOP] = NONE
            if fresh[grown, COUNT] < min_count:
                continue
            if known == len(pairs):
                pairs = _more_rows(pairs)
            if heap == len(heap_count):
                heap_count = _more_i64(heap_count, heap + 1)
                heap_pair = _more_i32(heap_pair, heap + 1)
            fresh[grown, STOP] = known
            pairs[known, KEY], pairs[known, COUNT] = fresh[grown, KEY], fresh[grown, COUNT]
            pairs[known, FIRST] = pairs[known, STOP] = used
            used += fresh[grown, FIRST]
            heap_count[heap], heap_pair[heap] = fresh[grown, COUNT], known
            _sift_up(heap_count, heap_pair, pairs, heap)
            known += 1
            heap += 1
        for entry in range(entries):
            pair = fresh[fresh_pair[entry], STOP]
            if pair >= 0:
                places[pairs[pair, STOP]] = fresh_place[entry]
                pairs[pair, STOP] += 1
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
    cells = _cells(symbols.symbols, symbols.ends)
    left = np.zeros(limits.merges, np.int32)
    right = np.zeros(limits.merges, np.int32)
    made = np.zeros(limits.merges, np.int64)
    found = _learn(
        cells, counts, length, same, first_new, limits.min_count, limits.max_chars, left, right,
        made,
    )  # fmt: skip
    became = np.empty_like(symbols.symbols)
    _uncells(cells, symbols.ends, became)
    return Learned(left[:found], right[:found], made[:found], first_new, became)
