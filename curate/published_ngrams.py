"""Repeated n-grams as datatrove counts them in tokens, and as MAP-NEO and ChineseWebText count
them in characters.

Ours (``yanmo.curate.repetition``) count each character once and divide by characters of words.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .published_sets import IS_SPACE, Roles, roles
from .repetition import DUPLICATE_SIZES, TOP_SIZES
from .token_columns import Tokens
from .utf8 import Bounds, Codes, kernel

Counts = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int32]
Times = npt.NDArray[np.int32]

_PREFIX: Final = 16
_CACHED: Final = 1 << 15  # bytes
_FREE: Final = np.uint64(0)
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)


def token_repeats(codes: Codes, tokens: Tokens) -> Counts:
    """Characters of repeated n-grams of tokens.

    - ``top``, sizes 2 to 4: length of the most frequent n-gram (the first of several), its tokens
      joined by spaces, times how often it occurs, even if that is once.
    - ``duplicate``, sizes 5 to 10: reading from the left, an n-gram read before counts its
      characters without spaces and is skipped; two are equal if their characters are, wherever
      the tokens end.

    Args:
        codes: code points, int32.
        tokens: of all documents.

    Returns:
        int64 ``[9, D]``: top 2, 3, 4; duplicate 5 … 10.

    Source: datatrove 0.10.1, GopherRepetitionFilter.
    """
    out = np.zeros((9, len(tokens.bounds) - 1), np.int64)
    _token_repeats(codes, tokens.starts, tokens.ends, tokens.bounds, out)
    return out


def character_repeats(codes: Codes, bounds: Bounds) -> Counts:
    """Characters of repeated n-grams of characters, spaces and all.

    - ``top``, sizes 2 to 4: the most frequent n-gram's repetitions after the first, times n.
    - ``duplicate``, sizes 5 to 10: characters that stand in an n-gram that occurs twice or more,
      each once. (The program counts the distinct ones and never uses the number; this is what is
      described.)

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.

    Returns:
        int64 ``[9, D]``: top 2, 3, 4; duplicate 5 … 10.

    Source: MAP-NEO, Chinese pipeline.
    """
    out = np.zeros((9, len(bounds) - 1), np.int64)
    _character_repeats(codes, bounds, out)
    return out


def repeated_13_grams(codes: Codes, bounds: Bounds) -> tuple[Counts, Counts]:
    """13-grams of characters: how many occur twice or more, and how many there are.

    As in the program, spaces, tabs and line ends are left out (and any space at either end), ASCII
    letters are lowered, a text under 13 characters is one gram, and the last gram of any other text
    is not counted.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.

    Source: ChineseWebText.
    """
    out = np.zeros((2, len(bounds) - 1), np.int64)
    _repeated_13_grams(codes, bounds, roles(), out)
    return out[0], out[1]


assert (*TOP_SIZES, *DUPLICATE_SIZES) == tuple(range(2, 11))


@kernel
def _mixed(value: np.uint64) -> np.uint64:
    """One to one, so that it makes no two keys equal; all bits are good for places in a table."""
    value = (value ^ value >> np.uint64(32)) * _MIX
    return value ^ value >> np.uint64(29)


@kernel
def _prefix_hashes(hashes: Keys, powers: Keys, i: int, code: int) -> None:
    """Extend the hashes of the first ``i`` characters by one more."""
    hashes[i + 1] = hashes[i] * _BASE + _mixed(np.uint64(code) + _BASE)
    powers[i + 1] = powers[i] * _BASE


@kernel
def _slot_of(table: Keys, mask: int, key: np.uint64) -> int:
    key = key | np.uint64(1)  # zero marks a free slot
    slot = np.int64(key >> np.uint64(20)) & mask
    while table[slot] != _FREE and table[slot] != key:
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def _saw(seen: Marks, mask: int, key: np.uint64) -> None:
    """Note a key in a filter that tells "once" from "perhaps more than once"."""
    slot = np.int64(key) & mask
    seen[slot] += seen[slot] < 2


@kernel
def _most_frequent(  # noqa: PLR0913
    keys: Keys, n_keys: int, seen: Marks, mask: int, least: int, kept: Places, slots: Places,
    table: Keys, times: Times
) -> tuple[int, int]:  # fmt: skip
    """Where the most frequent key stands first (the first of several in the text), and how often.

    ``seen`` says for a place in it how often keys fell there, at most 255 times: no key is more
    frequent, so that only those in the fullest places are counted one by one.

    Args:
        least: the most in any place of ``seen``.
    """
    while least > 1:
        n_kept = 0
        for t in range(n_keys):
            kept[n_kept] = t
            n_kept += seen[np.int64(keys[t]) & mask] >= least
        size = 64
        while size < 2 * n_kept:
            size *= 2
        table[:size] = _FREE
        most = 0
        for k in range(n_kept):
            key = keys[kept[k]] | np.uint64(1)  # zero marks a free slot
            slot = _slot_of(table, size - 1, key)
            if table[slot] == _FREE:
                table[slot] = key
                times[slot] = 0
            times[slot] += 1
            most = max(most, times[slot])
            slots[k] = slot
        if most >= least:
            k = 0
            while times[slots[k]] != most:
                k += 1
            return int(kept[k]), most
        least = max(most, 2) if least > 2 else 1
    return 0, 1


@kernel
def _tops(  # noqa: PLR0913
    words: Keys, places: Counts, tokens: int, keys: Keys, seen: Marks, kept: Places, slots: Places,
    table: Keys, times: Times, out: Counts
) -> None:  # fmt: skip
    """Sizes 2 to 4. The filter stays in the nearest cache: the more tokens, the more often do the
    frequent ones occur, and stand out of what falls in one place by chance."""
    mask = 64
    while mask < min(2 * tokens, _CACHED):
        mask *= 2
    mask -= 1
    keys[:tokens] = words[:tokens]
    for n in range(2, min(tokens, 4) + 1):
        seen[: mask + 1] = 0
        fullest = np.uint8(0)
        for t in range(tokens - n + 1):
            key = _mixed(keys[t] * _BASE + words[t + n - 1])
            keys[t] = key
            slot = np.int64(key) & mask
            seen[slot] += seen[slot] < 255
            fullest = max(fullest, seen[slot])
        top, often = _most_frequent(
            keys, tokens - n + 1, seen, mask, int(fullest), kept, slots, table, times
        )
        out[n - 2] = (places[top + n] - places[top] + n - 1) * often


@kernel
def _duplicates(  # noqa: PLR0913
    hashes: Keys, powers: Keys, places: Counts, tokens: int, keys: Keys, seen: Marks, kept: Places,
    prefixes: Marks, table: Keys, out: Counts
) -> None:  # fmt: skip
    """Sizes 5 to 10. Equal n-grams begin with the same 16 characters, or are shorter than that: of
    prose, few tokens are left to look at."""
    mask = 64
    while mask < 8 * tokens:
        mask *= 2
    mask -= 1
    seen[: mask + 1] = 0
    chars = places[tokens]
    for t in range(tokens - 4):
        place = places[t]
        if place + _PREFIX > chars:
            break
        keys[t] = _mixed(hashes[place + _PREFIX] - hashes[place] * powers[_PREFIX])
        _saw(seen, mask, keys[t])
    n_kept = 0
    for t in range(tokens - 4):
        short = places[t + 5] - places[t] < _PREFIX
        again = seen[np.int64(keys[t]) & mask] > 1  # means nothing where under 16 are left
        kept[n_kept] = t
        prefixes[n_kept] = again
        n_kept += short | again
    size = 64
    while size < 2 * n_kept:
        size *= 2
    for n in range(5, 11):
        table[:size] = _FREE
        covered = free_from = 0
        for k in range(n_kept):
            t = kept[k]
            if t < free_from:
                continue
            if t + n > tokens:
                break
            length = places[t + n] - places[t]
            if length >= _PREFIX and not prefixes[k]:
                continue
            key = _mixed(hashes[places[t + n]] - hashes[places[t]] * powers[length])
            key |= np.uint64(1)
            slot = _slot_of(table, size - 1, key)
            if table[slot] == key:
                covered += length
                free_from = t + n
            else:
                table[slot] = key
        out[n - 2] = covered


@kernel
def _token_repeats(codes: Codes, starts: Counts, ends: Counts, bounds: Bounds, out: Counts) -> None:
    most_tokens = most_chars = longest = 1
    for document in range(len(bounds) - 1):
        first, last = bounds[document], bounds[document + 1]
        most_tokens = max(most_tokens, last - first)
        if last > first:
            most_chars = max(most_chars, ends[last - 1] - starts[first])
    for t in range(len(starts)):
        longest = max(longest, ends[t] - starts[t])
    size = 64
    while size < 2 * most_tokens:
        size *= 2
    table = np.empty(size, np.uint64)
    times = np.empty(size, np.int32)
    seen = np.empty(4 * size + 64, np.uint8)
    hashes = np.zeros(most_chars + 1, np.uint64)
    powers = np.ones(max(10 * longest, _PREFIX) + 1, np.uint64)
    for k in range(1, len(powers)):
        powers[k] = powers[k - 1] * _BASE
    words = np.empty(most_tokens, np.uint64)
    keys = np.empty(most_tokens, np.uint64)
    places = np.zeros(most_tokens + 1, np.int64)  # characters before a token
    kept = np.empty(most_tokens + 1, np.int32)  # where n-grams start that may repeat
    slots = np.empty(most_tokens + 1, np.int32)
    prefixes = np.empty(most_tokens + 1, np.uint8)  # whether such a prefix stands elsewhere too
    found = np.empty(9, np.int64)
    for document in range(len(bounds) - 1):
        first = bounds[document]
        tokens = bounds[document + 1] - first
        chars = 0
        hashed = np.uint64(0)
        for t in range(tokens):
            before, place = hashed, chars
            for i in range(starts[first + t], ends[first + t]):
                hashed = hashed * _BASE + np.uint64(codes[i])
                chars += 1
                hashes[chars] = hashed
            places[t + 1] = chars
            length = chars - place
            words[t] = _mixed(hashed - before * powers[length] + np.uint64(length))
        found[:] = 0
        _tops(words, places, tokens, keys, seen, kept, slots, table, times, found)
        _duplicates(hashes, powers, places, tokens, keys, seen, kept, prefixes, table, found)
        for k in range(9):
            out[k, document] = found[k]


@kernel
def _character_repeats(  # noqa: C901
    codes: Codes, bounds: Bounds, out: Counts
) -> None:
    longest = 1
    for document in range(len(bounds) - 1):
        longest = max(longest, bounds[document + 1] - bounds[document])
    size = 64
    while size < 2 * longest:
        size *= 2
    table = np.empty(size, np.uint64)
    times = np.empty(size, np.int32)
    hashes = np.zeros(longest + 1, np.uint64)
    powers = np.ones(longest + 1, np.uint64)
    places = np.empty(longest, np.int64)  # where grams start that may repeat
    slots = np.empty(longest, np.int64)
    for document in range(len(bounds) - 1):
        first = bounds[document]
        chars = bounds[document + 1] - first
        for i in range(chars):
            _prefix_hashes(hashes, powers, i, codes[first + i])
            places[i] = i
        n_places = chars
        for n in range(2, 11):
            size = 64
            while size < 2 * n_places:
                size *= 2
            table[:size] = _FREE
            most = 0
            kept = 0
            for k in range(n_places):
                i = places[k]
                if i + n > chars:
                    continue
                key = _mixed(hashes[i + n] - hashes[i] * powers[n]) | np.uint64(1)
                slot = _slot_of(table, size - 1, key)
                if table[slot] == _FREE:
                    table[slot] = key
                    times[slot] = 0
                times[slot] += 1
                most = max(most, times[slot])
                places[kept] = i
                slots[kept] = slot
                kept += 1
            covered = free_from = n_places = 0
            for k in range(kept):
                i = places[k]
                if times[slots[k]] > 1:
                    covered += i + n - max(i, free_from)
                    free_from = i + n
                    places[n_places] = i
                    n_places += 1
            out[n - 2, document] = covered if n > 4 else max(most - 1, 0) * n
            if n_places == 0:
                break


@kernel
def _repeated_13_grams(  # noqa: C901
    codes: Codes, bounds: Bounds, roles: Roles, out: Counts
) -> None:
    n = 13
    longest = 1
    for document in range(len(bounds) - 1):
        longest = max(longest, bounds[document + 1] - bounds[document])
    size = 64
    while size < 2 * longest:
        size *= 2
    table = np.empty(size, np.uint64)
    times = np.empty(size, np.int32)
    hashes = np.zeros(longest + 1, np.uint64)
    powers = np.ones(longest + 1, np.uint64)
    for document in range(len(bounds) - 1):
        chars = 0
        first, last = bounds[document], bounds[document + 1]
        while first < last and roles[codes[first]] & IS_SPACE:
            first += 1
        while last > first and roles[codes[last - 1]] & IS_SPACE:
            last -= 1
        for i in range(first, last):
            code = codes[i]
            if code in (0x20, 0x0A, 0x09):
                continue
            if 0x41 <= code <= 0x5A:
                code += 32
            _prefix_hashes(hashes, powers, chars, code)
            chars += 1
        grams = chars - n if chars >= n else 1
        out[1, document] = grams
        if chars < n:
            continue
        size = 64
        while size < 2 * grams:
            size *= 2
        table[:size] = _FREE
        repeated = 0
        for i in range(grams):
            key = _mixed(hashes[i + n] - hashes[i] * powers[n]) | np.uint64(1)
            slot = _slot_of(table, size - 1, key)
            if table[slot] == _FREE:
                table[slot] = key
                times[slot] = 0
            times[slot] += 1
            repeated += 2 if times[slot] == 2 else times[slot] > 2
        out[0, document] = repeated
