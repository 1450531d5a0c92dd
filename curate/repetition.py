"""Repeated n-grams of words: top 2- to 4-grams, duplicate 5- to 10-grams, 13-gram mass.

The n-gram that starts at word ``i`` is the pair of the two (n-1)-grams that start at ``i`` and
``i + 1``. Numbering those pairs makes n-grams equal exactly if their words are, with no hash of
n-grams; and an n-gram can repeat only if both its parts do, so that after the 3-grams hardly any
position of normal prose is left to look at.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .utf8 import Bounds, kernel

TOP_SIZES: Final = (2, 3, 4)
DUPLICATE_SIZES: Final = (5, 6, 7, 8, 9, 10)
MASS_SIZE: Final = 13

_FREE: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
Keys = npt.NDArray[np.uint64]


def repeated_chars(
    keys: Keys, chars: npt.NDArray[np.int32], bounds: Bounds, *, max_words: int
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
        max_words: no word after the first ``max_words`` of a document is looked at.

    Returns:
        int64 ``[12, D]``: top 2, 3, 4; duplicate 5 … 10; mass 13; and, for the denominators, the
        characters and the words looked at.

    Source: MassiveText (Gopher), table A1; the reading for duplicates is that of datatrove, with
    both numerator and denominator in characters of words; ChineseWebText for the 13-grams.
    """
    out = np.zeros((12, len(bounds) - 1), np.int64)
    _repeated_chars(keys, chars, bounds, max_words, out)
    return out


@kernel
def _number(table: Keys, mask: int, key: np.uint64, fresh: int) -> np.int64:
    """The number of a key; if it is new, it becomes ``fresh``.

    Key and number stand side by side in the table: one cache miss instead of two.
    """
    slot = np.int64(key * _FACTOR >> np.uint64(32)) & mask
    while table[2 * slot] != _FREE:
        if table[2 * slot] == key:
            return np.int64(table[2 * slot + 1])
        slot = (slot + 1) & mask
    table[2 * slot] = key
    table[2 * slot + 1] = fresh
    return np.int64(fresh)


@kernel
def _repeated_chars(  # noqa: C901
    keys: Keys,
    chars: npt.NDArray[np.int32],
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
            places[i] = i
        out[10, document] = ends[words]
        out[11, document] = words
        n_places = words
        for size in range(1, 14):
            if n_places == 0:
                break
            width = 64
            while 2 * width < 3 * n_places:
                width *= 2
            table[: 2 * width] = _FREE
            fresh = 0
            kept = 0
            # Number the n-grams of this size whose two parts both repeat.
            for k in range(n_places):
                i = places[k]
                if size == 1:
                    key = keys[first + i]
                elif k + 1 < n_places and places[k + 1] == i + 1:
                    key = np.uint64(number[i]) << np.uint64(32) | np.uint64(number[i + 1])
                else:
                    continue
                this = _number(table, width - 1, key, fresh)
                if this == fresh:
                    times[fresh] = 0
                    fresh += 1
                times[this] += 1
                number[i] = this
                places[kept] = i
                kept += 1
            n_places = 0
            top = 0
            for k in range(kept):
                i = places[k]
                if times[number[i]] > 1:
                    places[n_places] = i
                    n_places += 1
                    if times[number[i]] > times[top]:
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
