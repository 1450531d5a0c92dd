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
from .tokens import Tokens
from .utf8 import Bounds, Codes, kernel

Counts = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int32]
Times = npt.NDArray[np.int32]

HANZI_WEIGHT: Final = 5
WORD_WEIGHT: Final = 9
"""Weights in ninths of a word: ``9 / 5`` hanzi a word, measured; see docs/recipes.md."""

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
    _weigh(codes, roles(), tokens.starts, tokens.ends, tokens.bounds, out)
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
def _cut_hanzi(codes: Codes, bounds: Bounds, roles: Roles) -> tuple[Counts, Counts, Bounds]:
    documents = len(bounds) - 1
    starts = np.empty(bounds[documents] - bounds[0], np.int64)
    ends = np.empty(bounds[documents] - bounds[0], np.int64)
    token_bounds = np.zeros(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        i, end = bounds[document], bounds[document + 1]
        while i < end:
            if roles[codes[i]] & IS_SPACE:
                i += 1
                continue
            starts[n] = i
            i += 1
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
            ends[n] = i
            n += 1
        token_bounds[document + 1] = n
    return starts[:n].copy(), ends[:n].copy(), token_bounds


@kernel
def _weight(code: int) -> int:
    return HANZI_WEIGHT if _FIRST_HAN <= code <= _LAST_HAN else WORD_WEIGHT


@kernel
def _weigh(
    codes: Codes, roles: Roles, starts: Counts, ends: Counts, bounds: Bounds, out: Counts
) -> None:
    for document in range(len(bounds) - 1):
        for t in range(bounds[document], bounds[document + 1]):
            weight = _weight(codes[starts[t]])
            word = letter = False
            for i in range(starts[t], ends[t]):
                word |= (roles[codes[i]] & SYMBOL_ONLY) == 0
                letter |= (roles[codes[i]] & IS_LETTER) != 0
            out[0, document] += weight
            if word:
                out[1, document] += weight
                out[3, document] += ends[t] - starts[t]
            if letter:
                out[2, document] += weight


@kernel
def _mixed(value: np.uint64) -> np.uint64:
    """One to one, so that it makes no two keys equal; both halves are good for places in a table."""
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
    before: Places, n_before: int, kept: Places
) -> int:  # fmt: skip
    """Of the tokens ``before``, those whose next ``n`` characters may stand elsewhere too."""
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
    n_kept = 0
    for k in range(whole):
        kept[n_kept] = before[k]
        n_kept += seen[np.int64(keys[k]) & mask] > 1
    return n_kept


@kernel
def _stretches(  # noqa: PLR0913
    hashes: Keys, powers: Keys, places: Counts, weights: Counts, tokens: int, n: int, kept: Places,
    n_kept: int, table: Keys, times: Times
) -> int:  # fmt: skip
    """Characters of repeated stretches of ``n`` words that begin at one of the tokens ``kept``."""
    size = 64
    while size < 2 * n_kept:
        size *= 2
    table[:size] = _FREE
    enough = 2 * WORD_WEIGHT * n - 5  # half a hanzi may be missing: the nearest end, not the next
    covered = best = stop = free_from = 0
    if n <= 4 and 2 * weights[tokens] >= enough:  # what stands first occurs once at least
        while 2 * weights[stop] < enough:
            stop += 1
        best, covered = 1, places[stop] + n - 1
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
        key = _mixed(hashes[places[stop]] - hashes[places[t]] * powers[length])
        key |= np.uint64(1)  # zero marks a free slot
        slot = _slot_of(table, size - 1, key)
        again = table[slot] == key
        table[slot] = key
        if n <= 4:
            times[slot] = times[slot] + 1 if again else 1
            # Ties: the first in the text to reach the number.
            if times[slot] > best:
                best = np.int64(times[slot])
                covered = (length + n - 1) * best
        elif again:
            covered += length
            free_from = stop
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
        n_kept = 0
        for n in range(2, 11):
            # A stretch of n words has n characters or more: equal ones share their first n.
            if n == 2:
                n_kept = _repeated_prefixes(
                    hashes, powers, places, chars, n, keys, seen, each, tokens, kept
                )
            elif n_kept:
                n_kept = _repeated_prefixes(
                    hashes, powers, places, chars, n, keys, seen, kept, n_kept, kept
                )
            out[n - 2, document] = _stretches(
                hashes, powers, places, weights, tokens, n, kept, n_kept, table, times
            )
