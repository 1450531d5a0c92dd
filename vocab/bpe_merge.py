"""From segments to ids: the second half of fast encoding. What a segment is: ``bpe_cut``.

A segment is looked up in a cache, and merged if it is new. Merging is the definition itself: the
pair of lowest rank, the leftmost of equals, again and again; over a heap where a segment is long.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .kernels import Number, kernel

Codes = npt.NDArray[np.int32]
Bounds = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint32]
Words = npt.NDArray[np.uint64]

NO_PAIR: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_EMPTY: Final = np.uint64(0)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FNV: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x00000100000001B3)
_LONG: Final = np.uint64(1 << 63)  # a key that is a hash, not the characters themselves
_WHOLE_WORD: Final = np.uint64(1 << 62)
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_COUNT: Final = np.uint64(255)
_INLINE: Final = np.uint64(1 << 63)  # a value that holds the ids themselves
_FEW_IDS: Final = 3  # so many of them
_ID_BITS: Final = 18
_ID: Final = np.uint64((1 << _ID_BITS) - 1)
_FEW: Final = 48  # symbols merged by looking at all pairs; more go over a heap
_CACHED: Final = 40  # longer segments are merged each time
_TABLED_BITS: Final = np.uint64(18)
_TABLED: Final = (
    1 << 18
) - 1  # characters below it take so many bits of a key, three of them a key


class MergeTables(NamedTuple):
    """A vocabulary as arrays.

    Attributes:
        pairs: uint64 ``[2 slots]``, open addressing: left symbol << 32 | right symbol, then rank
            << 32 | symbol of the merge. Slots are a power of two; empty keys are ``NO_PAIR``.
        single: int32 ``[0x110000]``: symbol of a character by itself; -1: none.
        byte: int32 ``[256]``: symbol of each byte; in SentencePiece the id of the byte that an
            unknown character falls back to.
        unseen: int32: characters of the symbols from ``size`` on, which are no entries
            (SentencePiece).
        size: entries of the vocabulary; symbols below are ids.
        byte_level: symbols start as bytes, not as characters.
        hashes: uint64, sorted: words that are entries but that merges do not give; ``word_ids``,
            and their characters ``word_codes[word_bounds[k] : word_bounds[k + 1]]``.
    """

    pairs: Words
    single: Codes
    byte: Codes
    unseen: Codes
    size: int
    byte_level: bool
    hashes: Words
    word_ids: Ids
    word_codes: Codes
    word_bounds: Bounds


class Cache(NamedTuple):
    """Segments met before. ``used``: int64 ``[slots, pool]``.

    ``slots``: uint64 ``[2 n]``: key, then how many ids, and above these eight bits up to three ids
    of 18 bits (``_INLINE``), or the place in ``pool`` where they stand. A long key's ids stand
    there behind the segment's length and characters.
    """

    slots: Words
    pool: Ids
    used: Bounds


def new_cache(slots: int, pool: int) -> Cache:
    """An empty cache.

    Args:
        slots: a power of two, 16 bytes each; half of them are used.
        pool: numbers, 4 bytes each, for ids and characters that do not fit into a slot.
    """
    return Cache(np.zeros(2 * slots, np.uint64), np.zeros(pool, np.uint32), np.zeros(2, np.int64))


@kernel
def encode(  # noqa: C901 - all in one: a call that hands on arrays counts references to them
    codes: Codes,
    bounds: Bounds,
    segments: Bounds,
    ends: Bounds,
    tables: MergeTables,
    cache: Cache,
) -> tuple[Ids, Bounds]:
    """Encode segments.

    Args:
        codes: code points of all documents.
        bounds: where each document starts in them ``[D + 1]``.
        segments: of each segment twice its end, and one more if it is a whole word.
        ends: where each document's segments end ``[D + 1]``.
        tables: the vocabulary.
        cache: changed.

    Returns:
        Ids of all documents (uint32), and their bounds ``[D + 1]``.
    """
    ids = np.empty(4 * len(codes) + _FEW_IDS, np.uint32)  # pages not touched cost nothing
    found = np.zeros(len(ends), np.int64)
    single, size, byte_level, byte = tables.single, tables.size, tables.byte_level, tables.byte
    slots, pool, words = cache.slots, cache.pool, len(tables.hashes) > 0
    mask = np.uint64(len(slots) // 2 - 1)
    n: Number = 0
    for document in range(len(ends) - 1):
        start = bounds[document]
        for k in range(ends[document], ends[document + 1]):
            first, start = start, segments[k] >> 1
            if start - first == 1:
                symbol = single[codes[first]]
                if 0 <= symbol < size:
                    ids[n] = symbol
                    n += 1
                    continue
                if not byte_level:  # a line break is such a character in LLaMA
                    n = _fall_back(codes[first], byte, ids, n)
                    continue
            length, whole = start - first, words and segments[k] & 1 == 1
            if length > _CACHED:
                n = _merged(codes, first, start, whole, tables, ids, n)
                continue
            key, largest = np.uint64(0), 0
            if length <= 3:
                for i in range(first, start):
                    largest = max(largest, codes[i])
                    key = key << _TABLED_BITS | np.uint64(codes[i] + 1)
            if length > 3 or largest >= _TABLED:
                key = _FNV
                for i in range(first, start):
                    key = (key ^ np.uint64(codes[i])) * _FNV_PRIME
                key = key & ~_WHOLE_WORD | _LONG
            if whole:
                key |= _WHOLE_WORD
            at = (key * _GOLDEN >> np.uint64(31)) & mask
            after = n
            while slots[2 * at] != _EMPTY:
                if slots[2 * at] == key:
                    value = slots[2 * at + 1]
                    count, place = np.int64(value & _COUNT), np.int64(value >> np.uint64(8))
                    if value & _INLINE != 0:
                        for i in range(_FEW_IDS):
                            ids[n + i] = value >> np.uint64(8 + _ID_BITS * i) & _ID
                        after = n + count
                        break
                    i = 0
                    if key & _LONG != 0 and pool[place] == length:
                        while i < length and pool[place + 1 + i] == codes[first + i]:
                            i += 1
                        place += 1 + length
                    if key & _LONG == 0 or i == length:
                        for i in range(count):
                            ids[n + i] = pool[place + i]
                        after = n + count
                        break
                at = (at + np.uint64(1)) & mask
            if after == n:
                after = _merged(codes, first, start, whole, tables, ids, n)
                _remember(codes[first:start], key, at, ids[n:after], cache)
            n = after
        found[document + 1] = n
    return ids[:n].copy(), found


@kernel
def hash_codes(codes: Codes, first: int, stop: int) -> np.uint64:
    """64 bits of a word: FNV-1a over characters, closed by a multiplication and a shift."""
    h = _FNV
    for k in range(first, stop):
        h = (h ^ np.uint64(codes[k])) * _FNV_PRIME
    h *= _GOLDEN
    return h ^ (h >> np.uint64(29))


@kernel
def _remember(codes: Codes, key: np.uint64, at: np.uint64, ids: Ids, cache: Cache) -> None:
    """Put a segment into the empty slot of its key; a cache that is full is emptied first."""
    slots, pool, used = cache
    if 4 * used[0] > len(slots) or used[1] + 8 * _CACHED > len(pool):
        slots[:] = _EMPTY
        used[:] = 0
        at = (key * _GOLDEN >> np.uint64(31)) & np.uint64(len(slots) // 2 - 1)
    used[0] += 1
    slots[2 * at] = key
    value, fits = np.uint64(len(ids)), key & _LONG == 0 and len(ids) <= _FEW_IDS
    for i in range(len(ids) if fits else 0):
        fits = fits and ids[i] <= _ID
        value |= np.uint64(ids[i]) << np.uint64(8 + _ID_BITS * i)
    if fits:
        slots[2 * at + 1] = value | _INLINE
        return
    place = used[1]
    slots[2 * at + 1] = np.uint64(place) << np.uint64(8) | np.uint64(len(ids))
    if key & _LONG != 0:
        pool[place] = len(codes)
        pool[place + 1 : place + 1 + len(codes)] = codes
        place += 1 + len(codes)
    pool[place : place + len(ids)] = ids
    used[1] = place + len(ids)


@kernel
def _width(code: int) -> int:
    """How many bytes a character takes in UTF-8."""
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


@kernel
def _byte(code: int, place: int) -> int:
    """One of the UTF-8 bytes of a character."""
    last = _width(code) - 1
    if not last:
        return code
    rest = code >> 6 * (last - place)
    return rest & 0x3F | 0x80 if place else rest | (0xF0 << 3 - last) & 0xFF


@kernel
def _fall_back(code: int, byte: Codes, ids: Ids, n: int) -> int:
    """The byte entries of an unknown character."""
    for k in range(_width(code)):
        ids[n] = byte[_byte(code, k)]
        n += 1
    return n


@kernel
def _merged(  # noqa: PLR0913
    codes: Codes, first: int, stop: int, whole: bool, tables: MergeTables, ids: Ids, n: int
) -> int:
    """Merge a segment and append its ids; returns how many ids there are now."""
    if whole:
        word = _word(codes[first:stop], tables)
        if word >= 0:
            ids[n] = tables.word_ids[word]
            return n + 1
    unknown = tables.size + len(tables.unseen)
    symbols = np.empty(4 * (stop - first), np.int64)
    count = 0
    for code in codes[first:stop]:
        if tables.byte_level:
            for k in range(_width(code)):
                symbols[count] = tables.byte[_byte(code, k)]
                count += 1
        else:
            symbol = np.int64(tables.single[code])
            # A character that no entry holds is a symbol of its own, in no pair.
            symbols[count] = symbol if symbol >= 0 else unknown + code
            count += 1
    if count > _FEW:
        count = _merge_heap(symbols[:count], tables.pairs)
    else:
        count = _merge_few(symbols, count, tables.pairs)
    for symbol in symbols[:count]:
        if symbol < tables.size:
            ids[n] = symbol
            n += 1
        elif symbol < unknown:
            n = _fall_back(tables.unseen[symbol - tables.size], tables.byte, ids, n)
        else:
            n = _fall_back(symbol - unknown, tables.byte, ids, n)
    return n


@kernel
def _word(codes: Codes, tables: MergeTables) -> Number:
    """Which of the words that merges do not give this is; -1: none."""
    h = hash_codes(codes, 0, len(codes))
    k = np.searchsorted(tables.hashes, h)
    while k < len(tables.hashes) and tables.hashes[k] == h:
        low, high = tables.word_bounds[k], tables.word_bounds[k + 1]
        if high - low == len(codes) and np.all(tables.word_codes[low:high] == codes):
            return k
        k += 1
    return -1


@kernel
def _pair(left: Number, right: Number, pairs: Words) -> Number:
    """Rank << 32 | merged symbol of two neighbours, or ``NO_PAIR``."""
    key = np.uint64(left) << _HALF | np.uint64(right)
    mask = np.uint64(len(pairs) // 2 - 1)
    at = (key * _GOLDEN >> np.uint64(31)) & mask
    while pairs[2 * at] != key:
        if pairs[2 * at] == NO_PAIR:
            return NO_PAIR
        at = (at + np.uint64(1)) & mask
    return pairs[2 * at + 1]


@kernel
def _merge_few(symbols: Bounds, count: int, pairs: Words) -> int:
    """Merge ``symbols[:count]`` in place; returns how many are left."""
    values = np.empty(count, np.uint64)
    for k in range(count - 1):
        values[k] = _pair(symbols[k], symbols[k + 1], pairs)
    while count > 1:
        best, low = 0, values[0] >> _HALF
        for k in range(1, count - 1):
            if values[k] >> _HALF < low:
                best, low = k, values[k] >> _HALF
        if values[best] == NO_PAIR:
            break
        symbols[best] = np.int64(values[best] & _LOW)
        count -= 1
        for k in range(best + 1, count):
            symbols[k] = symbols[k + 1]
            values[k - 1] = values[k]
        if best + 1 < count:
            values[best] = _pair(symbols[best], symbols[best + 1], pairs)
        if best:
            values[best - 1] = _pair(symbols[best - 1], symbols[best], pairs)
    return count


@kernel
def _merge_heap(symbols: Bounds, pairs: Words) -> int:
    """As :func:`_merge_few`, in n log n: a binary heap of rank << 32 | place of the left symbol.

    An entry counts if the pair that stands there now has its rank; others are out of date.
    """
    count = len(symbols)
    after = np.arange(1, count + 1)
    before = np.arange(-1, count - 1)
    heap = np.empty(3 * count, np.uint64)
    size = 0
    k: Number
    for k in range(count - 1):
        size = _push(heap, size, _pair(symbols[k], symbols[k + 1], pairs), k)
    while size:
        top = heap[0]
        size = _pop(heap, size)
        k = np.int64(top & _LOW)
        if symbols[k] < 0 or after[k] == count:
            continue
        value = _pair(symbols[k], symbols[after[k]], pairs)
        if value == NO_PAIR or value >> _HALF != top >> _HALF:
            continue
        gone = after[k]
        symbols[k] = np.int64(value & _LOW)
        symbols[gone] = -1
        after[k] = after[gone]
        if after[k] < count:
            before[after[k]] = k
            size = _push(heap, size, _pair(symbols[k], symbols[after[k]], pairs), k)
        if before[k] >= 0:
            previous = before[k]
            size = _push(heap, size, _pair(symbols[previous], symbols[k], pairs), previous)
    left = 0
    for k in range(count):
        if symbols[k] >= 0:
            symbols[left] = symbols[k]
            left += 1
    return left


@kernel
def _push(heap: Words, size: int, value: Number, place: Number) -> int:
    if value == NO_PAIR:
        return size
    entry = value & ~_LOW | np.uint64(place)
    at = size
    while at and heap[(at - 1) // 2] > entry:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = entry
    return size + 1


@kernel
def _pop(heap: Words, size: int) -> int:
    size -= 1
    entry, at = heap[size], 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry
    return size
