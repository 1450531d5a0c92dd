"""What FineWeb-2, MAP-NEO and ChineseWebText measure of Chinese.

Measured only if the recipe asks for it (``[measure] published_zh``). Everything is counted in
characters; lines are those of ``splitlines``, empty ones too. The words of FineWeb-2 are estimated
(``yanmo.curate.hanzi_tokens``).
"""

from collections.abc import Collection
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .hanzi_tokens import WORD_WEIGHT, cut_hanzi, weigh_words, word_repeats
from .layout import BULLETS, READ_MORE
from .published import Column, count_code, ratio
from .published_lines import PublishedLines
from .published_ngrams import character_repeats, repeated_13_grams
from .published_sets import IS_SPACE, LINE_END, PLANE_END, Roles, roles
from .repetition import DUPLICATE_SIZES, TOP_SIZES
from .signals import PUBLISHED_ZH
from .utf8 import Bounds, Codes, kernel
from .variants import variants

Counts = npt.NDArray[np.int64]

SENTENCE_ENDS: Final = '.!…?;"。！？；“”'
"""Source: MAP-NEO, which first makes full-width marks half-width."""
MAP_NEO_BULLETS: Final = BULLETS.replace("-", "")
HAN: Final = (0x4E00, 0x9FA5)
"""Source: ChineseWebText."""

_REPEATED_13: Final = "chinese_web_text_repeated_13_gram_fraction"

# Bits of the table below, beside IS_SPACE.
_IS_WORD: Final = 1 << 1
_IS_NUMERAL: Final = 1 << 2
_IS_HAN: Final = 1 << 3
_IS_OLD: Final = 1 << 4
_ENDS: Final = 1 << 5
_IS_BULLET: Final = 1 << 6
_ENDS_LINE: Final = 1 << 7


def published_zh(
    codes: Codes, bounds: Bounds, lines: PublishedLines, names: Collection[str]
) -> dict[str, Column]:
    """What the Chinese recipes measure.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
        lines: counts of lines.
        names: signals that are asked for.

    Returns:
        For each of ``names`` in ``yanmo.curate.signals.PUBLISHED_ZH``, and for those that are
        measured with it, an int64 or float64 ``[D]``.
    """
    wanted = {signal.name for signal in PUBLISHED_ZH}.intersection(names)
    columns: dict[str, Column] = {}
    fineweb2 = {name for name in wanted if "fineweb2" in name}
    of_grams = {name for name in wanted if name.startswith("map_neo") and "_gram_" in name}
    rest = wanted - fineweb2 - of_grams
    if fineweb2:
        columns |= _fineweb2_signals(codes, bounds, lines, fineweb2)
    if of_grams:
        columns |= _of_sizes("map_neo", character_repeats(codes, bounds), np.diff(bounds))
    if _REPEATED_13 in rest:
        columns[_REPEATED_13] = ratio(*repeated_13_grams(codes, bounds))
    return columns | (_character_signals(codes, bounds) if rest - {_REPEATED_13} else {})


def _of_sizes(prefix: str, repeated: Counts, chars: Counts) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for n, covered in zip((*TOP_SIZES, *DUPLICATE_SIZES), repeated, strict=True):
        kind = "top" if n in TOP_SIZES else "duplicate"
        columns[f"{prefix}_{kind}_{n}_gram_char_fraction"] = ratio(covered, chars)
    return columns


def _character_signals(codes: Codes, bounds: Bounds) -> dict[str, Column]:
    chars = np.diff(bounds)
    counts = np.zeros((11, len(bounds) - 1), np.int64)
    _count_characters(codes, bounds, _zh_roles(), *_endings(), counts)
    sentences, hashes, ellipses, digits, plain, lines, more, bullets, han, old, breaks = counts
    return {
        "n_map_neo_sentences": sentences,
        "map_neo_hash_runs_per_char": ratio(hashes, chars),
        "map_neo_ellipses_per_char": ratio(ellipses, chars),
        "map_neo_digit_fraction": ratio(digits, plain),
        "map_neo_read_more_line_fraction": ratio(more, lines),
        "map_neo_bullet_line_fraction": ratio(bullets, lines),
        "chinese_web_text_mean_line_chars": ratio(chars, breaks + 1),
        "chinese_web_text_hanzi_fraction": ratio(han, chars),
        "n_traditional_chars": old,
    }


def _fineweb2_signals(
    codes: Codes, bounds: Bounds, lines: PublishedLines, wanted: set[str]
) -> dict[str, Column]:
    tokens = cut_hanzi(codes, bounds)
    columns: dict[str, Column] = {}
    if any("_gram_" in name for name in wanted):
        columns |= _of_sizes("fineweb2", word_repeats(codes, tokens), np.diff(bounds))
    if all("_gram_" in name for name in wanted):
        return columns
    weight, plain, alphabetic, plain_chars = weigh_words(codes, tokens)
    hashes = count_code(codes, bounds, ord("#"))
    return columns | {
        "n_fineweb2_words": (plain + WORD_WEIGHT // 2) // WORD_WEIGHT,
        "fineweb2_mean_word_chars": ratio(WORD_WEIGHT * plain_chars, plain),
        "fineweb2_hashes_per_word": ratio(WORD_WEIGHT * hashes, weight),
        "fineweb2_ellipses_per_word": ratio(WORD_WEIGHT * lines.ellipses, weight),
        "fineweb2_alphabetic_word_fraction": ratio(alphabetic, weight),
        "fineweb2_newlines_per_word": ratio(WORD_WEIGHT * lines.newlines, weight),
    }


@cache
def _zh_roles() -> Roles:
    table = roles() & np.uint16(IS_SPACE)
    table[(roles() & np.uint16(LINE_END)) != 0] |= _ENDS_LINE
    for code in range(PLANE_END):
        character = chr(code)
        table[code] |= _IS_WORD if character.isalnum() or character == "_" else 0
        table[code] |= _IS_NUMERAL if character.isdigit() else 0
    table[HAN[0] : HAN[1] + 1] |= _IS_HAN
    for characters, bit in (
        (variants()[1], _IS_OLD),
        (SENTENCE_ENDS, _ENDS),
        (MAP_NEO_BULLETS, _IS_BULLET),
    ):
        for character in characters:
            table[ord(character)] |= bit
    return table


@cache
def _endings() -> tuple[Codes, Bounds]:
    words = tuple(word for word in READ_MORE if " " not in word)
    bounds = np.cumsum([0, *map(len, words)], dtype=np.int64)
    return np.array([ord(c) for c in "".join(words)], np.int32), bounds


@kernel
def _ends_with(codes: Codes, start: int, end: int, endings: Codes, cuts: Bounds) -> bool:
    for k in range(len(cuts) - 1):
        length = cuts[k + 1] - cuts[k]
        same = end - start >= length
        for j in range(length):
            same = same and codes[end - length + j] == endings[cuts[k] + j]
        if same:
            return True
    return False


@kernel
def _count_characters(
    codes: Codes, bounds: Bounds, roles: Roles, endings: Codes, cuts: Bounds, counts: Counts
) -> None:
    for document in range(len(bounds) - 1):
        start, end = bounds[document], bounds[document + 1]
        sentence = False
        line = start
        for i in range(start, end):
            code = codes[i]
            role = roles[code]
            before = codes[i - 1] if i > start else np.int32(0)
            if role & _ENDS:
                counts[0, document] += sentence
                sentence = False
            elif not role & IS_SPACE:
                sentence = True
            counts[1, document] += code in (0x23, 0xFF03) and before not in (0x23, 0xFF03)
            counts[2, document] += code == 0x2026 and before != 0x2026
            if code in (0x2E, 0x3002) and before in (0x2E, 0x3002):
                earlier = codes[i - 2] if i > start + 1 else np.int32(0)
                counts[2, document] += earlier not in (0x2E, 0x3002)
            counts[3, document] += (role & _IS_NUMERAL) != 0
            counts[4, document] += (role & (_IS_WORD | IS_SPACE)) != 0
            counts[8, document] += (role & _IS_HAN) != 0
            counts[9, document] += (role & _IS_OLD) != 0
            counts[10, document] += code == 10
            if role & _ENDS_LINE:
                if not (code == 10 and before == 13):
                    counts[5, document] += 1
                    counts[6, document] += _ends_with(codes, line, i, endings, cuts)
                    counts[7, document] += i > line and (roles[codes[line]] & _IS_BULLET) != 0
                line = i + 1
        counts[0, document] += sentence
        if line < end:
            counts[5, document] += 1
            counts[6, document] += _ends_with(codes, line, end, endings, cuts)
            counts[7, document] += (roles[codes[line]] & _IS_BULLET) != 0
