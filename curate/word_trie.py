"""Find listed words in texts: the leftmost-longest match, by a trie over folded code points.

From every place where a word may begin the trie is walked as far as the text follows it, so that
the longest word that begins there is known; a place costs at most the length of the longest word.
Tables of the first character, the first two and the first four keep most places from being
walked at all: that, and not an automaton with failure links, is what the speed hangs on.

A match does not count if it lies within an *allowed* word: 色情 in 特色情怀. Of the others the
leftmost counts, of those that begin there the longest, and the next one begins where it ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .characters import (
    DIGIT,
    HANZI,
    LATIN,
    LETTER,
    MARK,
    PLANES_END,
    class_table,
)
from .utf8 import Bounds, Codes, kernel

BOUNDARIES: Final = ("words", "letters", "off")
"""What a word that begins or ends in a letter or digit must not touch: another letter or digit;
another of its own kind only (``QQ12345`` holds QQ); anything goes."""
NONE: Final = -1
_UNSPACED: Final = ((0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800))
"""Thai, Lao, Myanmar and Khmer write no space between words."""
_HASHES: Final = 1 << 16
_SHORT: Final = 1
_LONG: Final = 2
_CODE_BITS: Final = 21

Kinds = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]


@cache
def fold_table(*, case: bool, variants: bool) -> Codes:
    """The character that each character is compared as, int32 ``[1 114 112]``.

    Full-width forms and half-width kana are compared as the usual ones, every space of a line as
    U+0020. One character stays one character, so that places in the text remain what they are
    (``ß`` is not ``ss``).

    Args:
        case: small and capital letters are one.
        variants: traditional hanzi are compared as the simplified ones that OpenCC gives them.
    """
    table = np.arange(PLANES_END, dtype=np.int32)
    import unicodedata

    for code in (*range(0x80, 0x3001), *range(0xA000, 0xAC00), *range(0xFB00, 0x1F000)):
        character = chr(code)
        if character.isspace():
            table[code] = 0x20
        elif 0xFF00 <= code < 0xFFF0 and len(wide := unicodedata.normalize("NFKC", character)) == 1:
            table[code] = ord(wide)
    table[0x09] = 0x20
    if case:
        table = _small(table)
    if variants:
        for old, new in _simplified():
            table[ord(old)] = ord(new)
    table.flags.writeable = False
    return table


def _small(table: Codes) -> Codes:
    for code in (*range(0x41, 0x3001), *range(0xA640, 0xAC00), *range(0xFB00, 0x1F000)):
        small = chr(table[code]).casefold()
        if len(small) != 1:
            small = chr(table[code]).lower()
        if len(small) == 1:
            table[code] = ord(small)
    return table


def _simplified() -> list[tuple[str, str]]:
    from opencc import OpenCC

    hanzi = [chr(code) for code in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))]
    # One character a line, so that no phrase of the dictionaries applies.
    other = OpenCC("t2s").convert("\n".join(hanzi)).split("\n")
    return [(a, b) for a, b in zip(hanzi, other, strict=True) if a != b and len(b) == 1]


@cache
def kind_table(boundaries: str) -> Kinds:
    """What may not touch what, uint8 ``[1 114 112]``: 0 touches anything, equal kinds do not touch.

    Args:
        boundaries: one of ``BOUNDARIES``.
    """
    index, blocks = class_table()
    classes = blocks[index].reshape(-1)
    kinds = np.zeros(PLANES_END, np.uint8)
    if boundaries == "off":
        return kinds
    kinds[np.isin(classes, (LATIN, LETTER, MARK))] = 1
    kinds[classes == DIGIT] = 1 if boundaries == "words" else 2
    for start, end in _UNSPACED:
        kinds[start:end] = 0
    kinds[classes == HANZI] = 0
    return kinds


def folded(text: str, fold: Codes) -> str:
    """A text as it is compared."""
    return "".join(map(chr, fold[[ord(character) for character in text]].tolist()))


@dataclass(frozen=True)
class Trie:
    """Words to look for, ``W`` of them, in the order of their characters.

    A state is a stretch that two or more words begin with. Once one word alone is left, its
    characters are compared and no state is spent on it: phrases cost little more than short words.

    Attributes:
        codes: the characters of all words, int32.
        bounds: of the words in ``codes``, int64 ``[W + 1]``.
        terms: which listed word each is, or -1, int32 ``[W]``.
        allowed: is it an allowed word, bool ``[W]``.
        steps: open hash table, int64 ``[2 * slots]``: ``state << 21 | character`` (-1 where it is
            free), and beside it the state that follows, or ``-1 - w`` where word ``w`` alone is.
        ends: by state, the word that ends there or -1, int32.
        first: what follows each first character, as in ``steps``, 0 for nothing, int32 of all
            code points.
        pairs: by hash of the first two characters, uint8 ``[65 536]``: 1 begins a word of less than
            four, 2 a longer one.
        fours: by hash of the first four characters, uint8 ``[65 536]``: is there such a word.
    """

    codes: Codes
    bounds: Bounds
    terms: I32
    allowed: npt.NDArray[np.bool_]
    steps: npt.NDArray[np.int64]
    ends: I32
    first: I32
    pairs: Kinds
    fours: Kinds


def build(words: Sequence[str], allowed: Sequence[str] = ()) -> Trie:
    """Make the trie of words.

    Args:
        words: folded, none twice, none empty; their places are the terms that a match names.
        allowed: likewise.
    """
    terms = {word: term for term, word in enumerate(words)}
    both = sorted({*words, *allowed})
    codes = np.array([ord(c) for word in both for c in word], np.int32)
    bounds = np.cumsum([0, *map(len, both)], dtype=np.int64)
    shields = np.isin(np.array(both, object), np.array([*allowed], object)).astype(np.bool_)
    shared, slots = len(codes) + 1, 16
    ends, first = np.full(shared, NONE, np.int32), np.zeros(PLANES_END, np.int32)
    pairs, fours = np.zeros((2, _HASHES), np.uint8)
    edges = np.empty((3, shared), np.int64)
    states, count = _states(codes, bounds, ends, first, edges)
    _begin(codes, bounds, pairs, fours)
    while slots < 2 * (count + 1):
        slots *= 2
    steps = np.full(2 * slots, -1, np.int64)
    _store(edges, count, steps)
    return Trie(codes, bounds, np.array([terms.get(word, NONE) for word in both], np.int32),
                shields, steps, ends[:states].copy(), first, pairs, fours)  # fmt: skip


@dataclass(frozen=True)
class Matches:
    """One row a match, in the order of the texts.

    Attributes:
        document: int32.
        start: of the match in its document, code points, int32.
        end: behind it, int32.
        term: which word, int32.
    """

    document: I32
    start: I32
    end: I32
    term: I32


def find(codes: Codes, bounds: Bounds, trie: Trie, kinds: Kinds) -> Matches:
    """Find the words of every document.

    Args:
        codes: folded code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
        trie: the words.
        kinds: of :func:`kind_table`.
    """
    found = np.empty((4, len(codes)), np.int32)
    count = _find(codes, bounds, trie.codes, trie.bounds, trie.terms, trie.allowed, trie.steps,
                  trie.ends, trie.first, trie.pairs, trie.fours, kinds, found)  # fmt: skip
    return Matches(*found[:, :count].copy())


def fold_codes(codes: Codes, fold: Codes) -> Codes:
    """Code points as they are compared."""
    out = np.empty_like(codes)
    _fold(codes, fold, out)
    return out


@kernel
def _fold(codes: Codes, fold: Codes, out: Codes) -> None:
    for i in range(len(codes)):
        out[i] = fold[codes[i]]


@kernel
def _slot(steps: Bounds, key: Any) -> Any:
    """Where a key is, or the free place where it would be."""
    mask = len(steps) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    at = np.int64(mixed >> np.uint64(31)) & mask & ~1
    while steps[at] != -1 and steps[at] != key:
        at = (at + 2) & mask
    return at


@kernel
def _pair(one: Any, two: Any) -> Any:
    mixed = np.uint32(one) * np.uint32(0x9E3779B1) + np.uint32(two) * np.uint32(0x85EBCA6B)
    return np.int64(mixed >> np.uint32(16)) & 0xFFFF


@kernel
def _four(codes: Codes, i: int) -> Any:
    mixed = np.uint32(codes[i]) * np.uint32(0x9E3779B1) + np.uint32(codes[i + 1])
    mixed = mixed * np.uint32(0x85EBCA6B) + np.uint32(codes[i + 2])
    mixed = mixed * np.uint32(0xC2B2AE35) + np.uint32(codes[i + 3])
    mixed = mixed * np.uint32(0x9E3779B1)
    return np.int64(mixed >> np.uint32(16)) & 0xFFFF


@kernel
def _states(codes: Codes, bounds: Bounds, ends: I32, first: I32, edges: Bounds) -> tuple[int, int]:
    """Number the states of sorted words; how many there are, and how many edges.

    The words that begin with a state are neighbours: ``low`` to ``high`` of those at hand.
    """
    waiting = np.empty((4, len(codes) + 1), np.int64)  # state, low, high, depth
    waiting[0, 0], waiting[1, 0], waiting[2, 0], waiting[3, 0] = 0, 0, len(bounds) - 1, 0
    left, states, count = 1, 1, 0
    while left:
        left -= 1
        state, low, high = waiting[0, left], waiting[1, left], waiting[2, left]
        depth = waiting[3, left]
        if low < high and bounds[low + 1] - bounds[low] == depth:
            ends[state] = low
            low += 1
        while low < high:
            code = codes[bounds[low] + depth]
            stop = low + 1
            while stop < high and codes[bounds[stop] + depth] == code:
                stop += 1
            follows = -1 - low
            if stop - low > 1:
                follows = states
                waiting[0, left], waiting[1, left] = states, low
                waiting[2, left], waiting[3, left] = stop, depth + 1
                left += 1
                states += 1
            if depth == 0:
                first[code] = follows
            else:
                edges[0, count], edges[1, count], edges[2, count] = state, code, follows
                count += 1
            low = stop
    return states, count


@kernel
def _store(edges: Bounds, count: int, steps: Bounds) -> None:
    for edge in range(count):
        key = edges[0, edge] << _CODE_BITS | edges[1, edge]
        at = _slot(steps, key)
        steps[at], steps[at + 1] = key, edges[2, edge]


@kernel
def _begin(codes: Codes, bounds: Bounds, pairs: Kinds, fours: Kinds) -> None:
    for word in range(len(bounds) - 1):
        start, length = bounds[word], bounds[word + 1] - bounds[word]
        if length > 1:
            pairs[_pair(codes[start], codes[start + 1])] |= _LONG if length >= 4 else _SHORT
        if length >= 4:
            fours[_four(codes, start)] = 1


@kernel
def _may_begin(codes: Codes, i: int, end: int, pairs: Kinds, fours: Kinds) -> Any:
    """Do the first characters look like those of a word of two or more?"""
    if i + 1 >= end:
        return False
    begun = pairs[_pair(codes[i], codes[i + 1])]
    if begun == _LONG:
        return i + 3 < end and fours[_four(codes, i)] != 0
    return begun != 0


@kernel
def _alone(codes: Codes, i: int, known: int, end: int, words: Codes, cut: Bounds) -> bool:
    """Does the text go on at ``i`` as the word that alone is left, ``known`` characters of it?"""
    if i + cut[1] - cut[0] > end:
        return False
    for k in range(known, cut[1] - cut[0]):  # noqa: SIM110 (numba compiles no generators)
        if codes[i + k] != words[cut[0] + k]:
            return False
    return True


@kernel
def _find(  # noqa: C901, PLR0913
    codes: Codes, bounds: Bounds, words: Codes, cuts: Bounds, terms: I32,
    shields: npt.NDArray[np.bool_], steps: Bounds, ends: I32, first: I32, pairs: Kinds,
    fours: Kinds, kinds: Kinds, found: I32,
) -> int:  # fmt: skip
    count = 0
    for document in range(len(bounds) - 1):
        begin, end = bounds[document], bounds[document + 1]
        free = begin  # where the next match may begin
        reach = begin  # how far the allowed words go that began so far
        before = 0
        for i in range(begin, end):
            code = codes[i]
            kind = kinds[code]
            touching = kind != 0 and kind == before
            before = kind
            node: Any = np.int64(first[code])
            if node == 0 or touching:
                continue
            single = ends[node] != -1 if node > 0 else cuts[-node] - cuts[-1 - node] == 1
            if not single and not _may_begin(codes, i, end, pairs, fours):
                continue
            stop, term = i, -1
            j = i + 1
            while True:
                word: Any = -1
                if node > 0:
                    word = np.int64(ends[node])
                elif _alone(codes, i, j - i, end, words, cuts[-1 - node : 1 - node]):
                    word = -1 - node
                    j = i + cuts[-node] - cuts[-1 - node]
                if word != -1:
                    last = kinds[codes[j - 1]]
                    if last == 0 or j == end or kinds[codes[j]] != last:
                        if shields[word]:
                            reach = max(reach, j)
                        if terms[word] != -1:
                            stop, term = j, terms[word]
                if node < 0 or j == end:
                    break
                key = node << _CODE_BITS | codes[j]
                at = _slot(steps, key)
                if steps[at] == -1:
                    break
                node = steps[at + 1]
                j += 1
            if term != -1 and i >= free and stop > reach:
                found[0, count], found[1, count] = document, i - begin
                found[2, count], found[3, count] = stop - begin, term
                count += 1
                free = stop
    return count
