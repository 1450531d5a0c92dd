"""Words without a segmenter: a hanzi or kana is a word, a run of letters and digits is a word.

An apostrophe between two letters and a comma or full stop between two digits stay inside the word
(as in Unicode's word boundaries); a combining mark belongs to the word it follows; all other
characters separate words. A run of one punctuation mark or symbol is a *mark* (``……`` is one),
which never enters a word count.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from .characters import (
    DIGIT,
    HANGUL,
    HANZI,
    KANA,
    LATIN,
    LETTER,
    MARK,
    NEWLINE,
    OTHER,
    SPACE,
    Blocks,
    class_table,
)
from .utf8 import Bounds, Codes, kernel

STOP_WORDS_EN: Final = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Source: MassiveText (Gopher), appendix A."""

Keys = npt.NDArray[np.uint64]

_RUN_KEY: Final = np.uint64(1 << 62)  # above every code point, so a run never equals a hanzi
_HASH_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_HASH_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_TICK: Final = 0x27
_APOSTROPHE: Final = 0x2019
_COMMA: Final = 0x2C
_FULL_STOP: Final = 0x2E
_IDEOGRAPHIC_STOP: Final = 0x3002
_ELLIPSIS: Final = 0x2026
_LEFT_BRACKET: Final = 0x3010
_RIGHT_BRACKET: Final = 0x3011


@dataclass(frozen=True)
class WordCounts:
    """Counts over words, one row a document, all int64 ``[D]``."""

    words: npt.NDArray[np.int64]
    """Hanzi, kana and runs."""
    runs: npt.NDArray[np.int64]
    """Words of letters and digits, of whatever script but hanzi and kana."""
    run_chars: npt.NDArray[np.int64]
    latin: npt.NDArray[np.int64]
    """Runs with a Latin letter."""
    alphabetic: npt.NDArray[np.int64]
    """Words with a letter, hanzi or kana."""
    longest_run: npt.NDArray[np.int64]
    """Characters."""
    marks: npt.NDArray[np.int64]
    ellipses: npt.NDArray[np.int64]
    """Runs of ``…``, and of three or more ``.`` or ``。``."""
    sentences: npt.NDArray[np.int64]
    """Stretches with a word in them, ended by ``。！？…!?``, by a ``.`` before space, quote,
    bracket or the end, or by a line end."""
    bracketed_chars: npt.NDArray[np.int64]
    """Characters between 【 and the next 】 of the same line."""
    stop_words_en: npt.NDArray[np.int64]
    """How many of ``STOP_WORDS_EN`` occur, ASCII case ignored."""


@dataclass(frozen=True)
class Words:
    """All words of all documents, back to back, and the counts.

    Attributes:
        keys: what word it is, uint64: the code point of a hanzi or kana, or 62 bits of hash.
        chars: its characters, int32.
        bounds: document bounds in ``keys``, int64 ``[D + 1]``.
        counts: per document.
    """

    keys: Keys
    chars: npt.NDArray[np.int32]
    bounds: Bounds
    counts: WordCounts


def find_words(codes: Codes, bounds: Bounds) -> Words:
    """Cut documents into words and count what they are.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
    """
    counts = np.zeros((len(fields(WordCounts)), len(bounds) - 1), np.int64)
    stops = np.array([_pack(word) for word in STOP_WORDS_EN], np.int64)
    keys, chars, word_bounds = _find_words(codes, bounds, *class_table(), stops, counts)
    return Words(keys, chars, word_bounds, WordCounts(*counts))


def _pack(word: str) -> int:
    return int.from_bytes(word.encode("ascii"), "big")


@kernel
def _joins(code: int, before: int, following: int, index: Blocks, blocks: Blocks) -> bool:
    """Whether a mark after a character of class ``before`` stays inside the word."""
    after = blocks[index[following >> 8], following & 255]
    if code in (_COMMA, _FULL_STOP):
        return before == DIGIT and after == DIGIT
    return before in (LATIN, LETTER) and after in (LATIN, LETTER)


@kernel
def _ends_sentence(codes: Codes, after: int, end: int, index: Blocks, blocks: Blocks) -> bool:
    """Whether a full stop whose run ends before ``after`` ends a sentence."""
    if after >= end:
        return True
    code = codes[after]
    kind = blocks[index[code >> 8], code & 255]
    if kind in (SPACE, NEWLINE):
        return True
    return code in (0x22, 0x27, 0x29, 0x5D, 0x201D, 0x2019, 0xFF09, 0x300D)


@kernel
def _find_words(  # noqa: C901
    codes: Codes,
    bounds: Bounds,
    index: Blocks,
    blocks: Blocks,
    stops: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> tuple[Keys, npt.NDArray[np.int32], Bounds]:
    documents = len(bounds) - 1
    # Two words of one character need a separator unless they are hanzi, so there are at most as
    # many words as characters.
    keys = np.empty(bounds[documents] - bounds[0], np.uint64)
    chars = np.empty(bounds[documents] - bounds[0], np.int32)
    word_bounds = np.zeros(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        i, end = bounds[document], bounds[document + 1]
        first = n
        open_sentence = False
        bracket = -1
        found_stops = 0
        # In locals: the compiler cannot know that `counts` is none of the arrays written to.
        runs = run_chars = latin_words = letter_words = longest = 0
        while i < end:
            code = codes[i]
            kind = blocks[index[code >> 8], code & 255]
            if kind in (HANZI, KANA):
                keys[n] = code
                chars[n] = 1
                n += 1
                letter_words += 1
                open_sentence = True
                i += 1
            elif HANGUL <= kind <= DIGIT:
                start = i
                word_hash = _HASH_OFFSET
                packed = np.int64(0)
                ascii_only = True
                letters = False
                latin = False
                while True:
                    word_hash = (word_hash ^ np.uint64(code)) * _HASH_FACTOR
                    packed = packed << 8 | (np.int64(code) | 0x20)
                    ascii_only &= code < 0x80
                    letters |= kind != DIGIT and kind != MARK
                    latin |= kind == LATIN
                    i += 1
                    if latin:  # most of a word by a comparison; they change nothing but the hash
                        while i < end and 0x61 <= codes[i] <= 0x7A:
                            word_hash = (word_hash ^ np.uint64(codes[i])) * _HASH_FACTOR
                            packed = packed << 8 | np.int64(codes[i])
                            kind = np.uint8(LATIN)
                            i += 1
                    if i == end:
                        break
                    code = codes[i]
                    before = kind
                    kind = blocks[index[code >> 8], code & 255]
                    if HANGUL <= kind <= MARK:
                        continue
                    if (
                        code in (_TICK, _APOSTROPHE, _COMMA, _FULL_STOP)
                        and i + 1 < end
                        and _joins(code, before, codes[i + 1], index, blocks)
                    ):
                        kind = MARK
                        continue
                    break
                length = i - start
                keys[n] = word_hash >> np.uint64(2) | _RUN_KEY
                chars[n] = length
                n += 1
                runs += 1
                run_chars += length
                latin_words += latin
                letter_words += letters
                longest = max(longest, length)
                open_sentence = True
                if ascii_only and length <= 4:
                    for k in range(len(stops)):
                        if packed == stops[k]:
                            found_stops |= 1 << k
            elif kind in (NEWLINE, SPACE, MARK, OTHER):
                if kind == NEWLINE:
                    counts[8, document] += open_sentence
                    open_sentence = False
                    bracket = -1
                i += 1
            else:
                start = i
                while i < end and codes[i] == code:
                    i += 1
                counts[6, document] += 1
                length = i - start
                if code == _ELLIPSIS or (length >= 3 and (code in (_FULL_STOP, _IDEOGRAPHIC_STOP))):
                    counts[7, document] += 1
                if code in (0x21, 0x3F, _IDEOGRAPHIC_STOP, 0xFF01, 0xFF1F, _ELLIPSIS) or (
                    code == _FULL_STOP and _ends_sentence(codes, i, end, index, blocks)
                ):
                    counts[8, document] += open_sentence
                    open_sentence = False
                elif code == _LEFT_BRACKET and bracket < 0:
                    bracket = start + 1
                elif code == _RIGHT_BRACKET and bracket >= 0:
                    counts[9, document] += start - bracket
                    bracket = -1
        counts[8, document] += open_sentence
        counts[0, document] = n - first
        counts[1, document], counts[2, document] = runs, run_chars
        counts[3, document], counts[4, document] = latin_words, letter_words
        counts[5, document] = longest
        while found_stops:
            counts[10, document] += found_stops & 1
            found_stops >>= 1
        word_bounds[document + 1] = n
    return keys[:n], chars[:n], word_bounds
