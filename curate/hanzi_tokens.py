"""Words of Chinese without a dictionary, counted as if they had been cut by jieba.

FineWeb-2 counts words that jieba cuts. Where they begin needs its dictionary; how many there are
does not: on 1,153 Chinese texts of twelve kinds a word of hanzi has 1.8 of them (1.4 in a newspaper
of 1998 to 2.1 in statutes). So a hanzi weighs 5/9 of a word here, and what jieba keeps apart weighs
one: a run of ASCII letters and digits (with decimals and a per cent sign), a run of ``#%&+-._``,
any other character. An n-gram is the stretch from a hanzi or word on that weighs n, to the nearest
hanzi.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .published_sets import IS_DIGIT, IS_LETTER, IS_SPACE, SYMBOL_ONLY, Roles, roles
from .token_columns import HAS_LETTER, IS_WORD, Kinds, Tokens
from .utf8 import Bounds, Codes, kernel

Counts = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int32]
Times = npt.NDArray[np.int32]

HANZI_WEIGHT: Final = 5
WORD_WEIGHT: Final = 9
"""Weights in ninths of a word: ``9 / 5`` hanzi a word, measured; see docs/recipes.md."""

_CACHED: Final = 1 << 15  # bytes
_FAR: Final = 9  # characters: a stretch of 5 words of hanzi
_FIRST_HAN: Final = 0x4E00
_LAST_HAN: Final = 0x9FD5
_FREE: Final = np.uint64(0)
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)


def cut_hanzi(codes: Codes, bounds: Bounds) -> Tokens:
    """Cut documents into single hanzi and what jieba keeps apart from them; spaces are none.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
    """
    return Tokens(*_cut_hanzi(codes, bounds, roles()))


def weigh_words(codes: Codes, tokens: Tokens) -> Counts:
    """Ninths of words.

    Args:
        codes: code points, int32.
        tokens: from :func:`cut_hanzi`.

    Returns:
        int64 ``[4, D]``: ninths of all words, of those that are not punctuation alone, of those
        with a letter; and the characters (not ninths) of the second.
    """
    out = np.zeros((4, len(tokens.bounds) - 1), np.int64)
    _weigh(codes, tokens.starts, tokens.ends, tokens.kinds, tokens.bounds, out)
    return out


def word_repeats(codes: Codes, tokens: Tokens) -> Counts:
    """Characters of repeated n-grams of weighed words, as datatrove counts them.

    Args:
        codes: code points, int32.
        tokens: from :func:`cut_hanzi`.

    Returns:
        int64 ``[9, D]``: top 2, 3, 4 (with a space between two words, times the occurrences);
        duplicate 5 … 10 (read before, counted and skipped).

    Source: datatrove 0.10.1, GopherRepetitionFilter.
    """
    out = np.zeros((9, len(tokens.bounds) - 1), np.int64)
    _word_repeats(codes, tokens.starts, tokens.ends, tokens.bounds, out)
    return out


@kernel
def _is_run(code: int) -> bool:
    return 0x30 <= code <= 0x39 or 0x41 <= code <= 0x5A or 0x61 <= code <= 0x7A


@kernel
def _is_joint(code: int) -> bool:
    """``# % & + - . _``, which jieba leaves in runs."""
    return code in (0x23, 0x25, 0x26, 0x2B, 0x2D, 0x2E, 0x5F)


@kernel
def _cut_hanzi(  # noqa: C901
    codes: Codes, bounds: Bounds, roles: Roles
) -> tuple[Counts, Counts, Kinds, Bounds]:
    documents = len(bounds) - 1
    chars = bounds[documents] - bounds[0]
    starts, ends = np.empty(chars, np.int64), np.empty(chars, np.int64)
    kinds = np.empty(chars, np.uint8)
    token_bounds = np.zeros(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        i, end = bounds[document], bounds[document + 1]
        while i < end:
            if roles[codes[i]] & IS_SPACE:
                i += 1
                continue
            starts[n] = i
            role = roles[codes[i]]
            kinds[n] = (0 if role & SYMBOL_ONLY else IS_WORD) | (
                HAS_LETTER if role & IS_LETTER else 0
            )
            i += 1
            if _FIRST_HAN <= codes[i - 1] <= _LAST_HAN:
                ends[n] = i
                n += 1
                continue
            if _is_run(codes[i - 1]):
                while i < end and _is_run(codes[i]):
                    i += 1
                if i + 1 < end and codes[i] == 0x2E and roles[codes[i + 1]] & IS_DIGIT:
                    i += 2
                    while i < end and roles[codes[i]] & IS_DIGIT:
                        i += 1
                if i < end and codes[i] == 0x25:
                    i += 1
            elif _is_joint(codes[i - 1]):
                while i < end and _is_joint(codes[i]):
                    i += 1
            for k in range(starts[n] + 1, i):
                kinds[n] |= 0 if roles[codes[k]] & SYMBOL_ONLY else IS_WORD
                kinds[n] |= HAS_LETTER if roles[codes[k]] & IS_LETTER else 0
            ends[n] = i
            n += 1
        token_bounds[document + 1] = n
    return starts[:n], ends[:n], kinds[:n], token_bounds


@kernel
def _weight(code: int) -> int:
    return HANZI_WEIGHT if _FIRST_HAN <= code <= _LAST_HAN else WORD_WEIGHT


@kernel
def _weigh(
    codes: Codes, starts: Counts, ends: Counts, kinds: Kinds, bounds: Bounds, out: Counts
) -> None:
    for document in range(len(bounds) - 1):
        every = words = letters = chars = 0
        for t in range(bounds[document], bounds[document + 1]):
            weight = _weight(codes[starts[t]])
            every += weight
            if kinds[t] & IS_WORD:
                words += weight
                chars += ends[t] - starts[t]
            if kinds[t] & HAS_LETTER:
                letters += weight
        out[0, document] = every
        out[1, document] = words
        out[2, document] = letters
        out[3, document] = chars


@kernel
def _mixed(value: np.uint64) -> np.uint64:
    """One to one, so that it makes no two keys equal; all bits are good for places in a table."""
    value = (value ^ value >> np.uint64(32)) * _MIX
    return value ^ value >> np.uint64(29)


@kernel
def _slot_of(table: Keys, mask: int, key: np.uint64) -> int:
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
def _repeated_prefixes(  # noqa: PLR0913
    hashes: Keys, powers: Keys, places: Counts, chars: int, n: int, keys: Keys, seen: Marks,
    before: Places, n_before: int, kept: Places, flags: Marks
) -> int:  # fmt: skip
    """Of the tokens ``before``, those whose next ``n`` characters may stand elsewhere too.

    They are listed in ``kept``, or, if that is empty, marked in ``flags``.
    """
    mask = 64
    while mask < 8 * n_before:
        mask *= 2
    mask -= 1
    seen[: mask + 1] = 0
    whole = 0
    while whole < n_before and places[before[whole]] + n <= chars:
        place = places[before[whole]]
        keys[whole] = _mixed(hashes[place + n] - hashes[place] * powers[n])
        _saw(seen, mask, keys[whole])
        whole += 1
    if len(kept) == 0:
        flags[:n_before] = 0
        for k in range(whole):
            flags[k] = seen[np.int64(keys[k]) & mask] > 1
        return n_before
    n_kept = 0
    for k in range(whole):
        kept[n_kept] = before[k]
        n_kept += seen[np.int64(keys[k]) & mask] > 1
    return n_kept


@kernel
def _top(  # noqa: PLR0913
    hashes: Keys, powers: Keys, places: Counts, weights: Counts, tokens: int, n: int, keys: Keys,
    seen: Marks, stops: Places, kept: Places, table: Keys, times: Times
) -> int:  # fmt: skip
    """Characters of the most frequent stretch of ``n`` words, times how often it occurs.

    ``seen`` says for a place in it how often stretches fell there, at most 255 times: none is more
    frequent, so that only those in the fullest places are counted one by one.
    """
    enough = 2 * WORD_WEIGHT * n - 5  # half a hanzi may be missing: the nearest end, not the next
    mask = 64
    while mask < min(2 * tokens, _CACHED):
        mask *= 2
    mask -= 1
    seen[: mask + 1] = 0
    fullest = np.uint8(0)
    t = stop = 0
    while t < tokens and 2 * (weights[tokens] - weights[t]) >= enough:
        while 2 * (weights[stop] - weights[t]) < enough:
            stop += 1
        length = places[stop] - places[t]
        keys[t] = _mixed(hashes[places[stop]] - hashes[places[t]] * powers[length])
        stops[t] = stop
        place = np.int64(keys[t]) & mask
        seen[place] += seen[place] < 255
        fullest = max(fullest, seen[place])
        t += 1
    stretches, least = t, int(fullest)
    while least > 1:
        n_kept = 0
        for t in range(stretches):
            kept[n_kept] = t
            n_kept += seen[np.int64(keys[t]) & mask] >= least
        size = 64
        while size < 2 * n_kept:
            size *= 2
        table[:size] = _FREE
        best = covered = 0
        for k in range(n_kept):
            t = kept[k]
            key = keys[t] | np.uint64(1)  # zero marks a free slot
            slot = _slot_of(table, size - 1, key)
            times[slot] = times[slot] + 1 if table[slot] == key else 1
            table[slot] = key
            # Ties: the first in the text to reach the number.
            if times[slot] > best:
                best = int(times[slot])
                covered = int(places[stops[t]] - places[t] + n - 1) * best
        if best >= least:
            return covered
        least = max(best, 2) if least > 2 else 1
    return int(places[stops[0]] + n - 1) if stretches else 0


@kernel
def _duplicates(  # noqa: PLR0913
    hashes: Keys, powers: Keys, places: Counts, weights: Counts, tokens: int, n: int, kept: Places,
    far: Marks, n_kept: int, table: Keys
) -> int:  # fmt: skip
    """Characters of stretches of ``n`` words that were read before, from the left."""
    size = 64
    while size < 2 * n_kept:
        size *= 2
    table[:size] = _FREE
    enough = 2 * WORD_WEIGHT * n - 5
    covered = stop = free_from = 0
    for k in range(n_kept):
        t = kept[k]
        if t < free_from:
            continue
        if 2 * (weights[tokens] - weights[t]) < enough:
            break
        stop = max(stop, t + n)  # no token weighs more than a word
        while 2 * (weights[stop] - weights[t]) < enough:
            stop += 1
        length = places[stop] - places[t]
        if length >= _FAR and not far[k]:
            continue
        key = _mixed(hashes[places[stop]] - hashes[places[t]] * powers[length])
        key |= np.uint64(1)  # zero marks a free slot
        slot = _slot_of(table, size - 1, key)
        if table[slot] == key:
            covered += length
            free_from = stop
        else:
            table[slot] = key
    return covered


@kernel
def _word_repeats(codes: Codes, starts: Counts, ends: Counts, bounds: Bounds, out: Counts) -> None:
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
    powers = np.ones(min(most_chars, 20 * longest) + 20, np.uint64)  # under 20 tokens a stretch
    for k in range(1, len(powers)):
        powers[k] = powers[k - 1] * _BASE
    keys = np.empty(most_tokens, np.uint64)
    places = np.zeros(most_tokens + 1, np.int64)  # characters before a token
    weights = np.zeros(most_tokens + 1, np.int64)  # ninths of words before a token
    each = np.arange(most_tokens + 1).astype(np.int32)
    kept = np.empty(most_tokens + 1, np.int32)  # where stretches start that may repeat
    stops = np.empty(most_tokens + 1, np.int32)  # where they end
    far = np.empty(most_tokens + 1, np.uint8)  # whether so do their first ``_FAR`` characters
    for document in range(len(bounds) - 1):
        first = bounds[document]
        tokens = bounds[document + 1] - first
        chars = 0
        hashed = np.uint64(0)
        for t in range(tokens):
            for i in range(starts[first + t], ends[first + t]):
                hashed = hashed * _BASE + np.uint64(codes[i])
                chars += 1
                hashes[chars] = hashed
            places[t + 1] = chars
            weights[t + 1] = weights[t] + _weight(codes[starts[first + t]])
        for n in range(2, 5):
            out[n - 2, document] = _top(
                hashes, powers, places, weights, tokens, n, keys, seen, stops, kept, table, times
            )
        # A stretch of 5 words has 5 characters or more: equal ones share their first 5.
        n_kept = _repeated_prefixes(
            hashes, powers, places, chars, 5, keys, seen, each, tokens, kept, far
        )
        _repeated_prefixes(
            hashes, powers, places, chars, _FAR, keys, seen, kept, n_kept, each[:0], far
        )
        for n in range(5, 11):
            out[n - 2, document] = _duplicates(
                hashes, powers, places, weights, tokens, n, kept, far, n_kept, table
            )
