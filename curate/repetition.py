"""Repeated n-grams of words: top 2- to 4-grams, duplicate 5- to 10-grams, 13-gram mass.

The n-gram that starts at word ``i`` is the pair of the two (n-1)-grams that start at ``i`` and
``i + 1``. Numbering those pairs makes n-grams equal exactly if their words are, with no hash of
n-grams; and an n-gram can repeat only if both its parts do, so that after the 3-grams hardly any
position of normal prose is left to look at.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .signals import MAX_NGRAM_WORDS
from .utf8 import Bounds, kernel

TOP_SIZES: Final = (2, 3, 4)
DUPLICATE_SIZES: Final = (5, 6, 7, 8, 9, 10)
MASS_SIZE: Final = 13

_FREE: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]


def repeated_chars(
    keys: Keys, chars: Numbers, bounds: Bounds, *, max_words: int
) -> npt.NDArray[np.int64]:
    """Characters of words that stand in repeated n-grams.

    - ``top``, sizes 2 to 4: characters covered by the most frequent n-gram (the one that comes
      first if several are), overlaps counted once; 0 if it occurs once.
    - ``duplicate``, sizes 5 to 10: reading from the left, an n-gram that was read before counts
      its characters and is skipped whole; any other is remembered and the reading moves on by one
      word.
    - ``mass``, size 13: how many n-grams (not characters) occur more than once.

    Args:
        keys: words, uint64; equal words have equal keys.
        chars: their characters, int32.
        bounds: document bounds in ``keys``, int64 ``[D + 1]``.
        max_words: no word after the first ``max_words`` of a document is looked at (and none
            after the first ``MAX_NGRAM_WORDS``).

    Returns:
        int64 ``[12, D]``: top 2, 3, 4; duplicate 5 … 10; mass 13; and, for the denominators, the
        characters and the words looked at.

    Source: MassiveText (Gopher), table A1; the reading for duplicates is that of datatrove, with
    both numerator and denominator in characters of words; ChineseWebText for the 13-grams.
    """
    out = np.zeros((12, len(bounds) - 1), np.int64)
    _repeated_chars(keys, chars, bounds, min(max_words, MAX_NGRAM_WORDS), out)
    return out


@kernel
def _number_words(
    keys: Keys, table: Keys, mask: int, number: Numbers, times: Numbers, places: Numbers
) -> int:
    """Number the words of a document in the order of their first places.

    Key and number stand side by side in the table: one cache miss instead of two.
    """
    table[: 2 * mask + 2] = _FREE
    fresh = 0
    for i in range(len(keys)):
        key = keys[i]
        slot = np.int64(key * _FACTOR >> np.uint64(32)) & mask
        while table[2 * slot] != key and table[2 * slot] != _FREE:
            slot = (slot + 1) & mask
        if table[2 * slot] == _FREE:
            table[2 * slot] = key
            table[2 * slot + 1] = fresh
            times[fresh] = 0
            fresh += 1
        this = np.int32(table[2 * slot + 1])
        number[i] = this
        times[this] += 1
        places[i] = i
    return len(keys)


@kernel
def _number_pairs(
    table: Keys, mask: int, number: Numbers, times: Numbers, places: Numbers, n_places: int
) -> int:
    """Number the n-grams whose two parts both repeat, in the order of their first places.

    ``number`` holds the numbers of the (n-1)-grams and gets those of the n-grams, ``places`` where
    they start. A slot holds two numbers of 20 bits and the new number: 8 bytes a slot, because
    the speed is that of the cache.
    """
    table[: mask + 1] = _FREE
    fresh = 0
    kept = 0
    for k in range(n_places - 1):
        i = places[k]
        if places[k + 1] != i + 1:
            continue
        pair = np.uint64(number[i]) << np.uint64(20) | np.uint64(number[i + 1])
        slot = np.int64(pair * _FACTOR >> np.uint64(32)) & mask
        while table[slot] != _FREE and table[slot] >> np.uint64(24) != pair:
            slot = (slot + 1) & mask
        if table[slot] == _FREE:
            table[slot] = pair << np.uint64(24) | np.uint64(fresh)
            times[fresh] = 0
            fresh += 1
        this = np.int32(table[slot] & np.uint64(0xFFFFFF))
        number[i] = this
        times[this] += 1
        places[kept] = i
        kept += 1
    return kept


@kernel
def _repeated_chars(  # noqa: C901
    keys: Keys,
    chars: Numbers,
    bounds: Bounds,
    max_words: int,
    out: npt.NDArray[np.int64],
) -> None:
    longest = 1
    for document in range(len(bounds) - 1):
        longest = max(longest, min(bounds[document + 1] - bounds[document], max_words))
    full = 64
    while full < 2 * longest:
        full *= 2
    table = np.empty(2 * full, np.uint64)
    number = np.empty(longest, np.int32)  # of the n-gram that starts at a word
    places = np.empty(longest, np.int32)  # where n-grams start that may repeat
    times = np.empty(longest, np.int32)  # how often a numbered n-gram occurs
    ends = np.empty(longest + 1, np.int64)  # characters up to a word
    for document in range(len(bounds) - 1):
        first = bounds[document]
        words = min(bounds[document + 1] - first, max_words)
        ends[0] = 0
        for i in range(words):
            ends[i + 1] = ends[i] + chars[first + i]
        out[10, document] = ends[words]
        out[11, document] = words
        n_places = words
        for size in range(1, 14):
            width = 64
            while 2 * width < 3 * n_places:
                width *= 2
            if size == 1:
                kept = _number_words(
                    keys[first : first + words], table, width - 1, number, times, places
                )
            else:
                kept = _number_pairs(table, width - 1, number, times, places, n_places)
            n_places = 0
            top = 0
            for k in range(kept):
                i = places[k]
                often = times[number[i]]
                places[n_places] = i
                n_places += often > 1
                if often > times[top]:
                    top = number[i]
            if n_places == 0:
                break
            covered = np.int64(0)
            free_from = 0
            if 2 <= size <= 4:
                for k in range(n_places):
                    i = places[k]
                    if number[i] == top:
                        covered += ends[i + size] - ends[max(i, free_from)]
                        free_from = i + size
                out[size - 2, document] = covered
            elif 5 <= size <= 10:
                for k in range(n_places):
                    i = places[k]
                    if i < free_from:
                        continue
                    if times[number[i]] < 0:
                        covered += ends[i + size] - ends[i]
                        free_from = i + size
                    else:
                        times[number[i]] = -1  # read before
                out[size - 2, document] = covered
            elif size == 13:
                out[9, document] = n_places
