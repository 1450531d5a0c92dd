"""What kinds of characters a document is made of: classes, variety, entropy.

All of it comes from one histogram of code points a document, so that a class is looked up once a
distinct character and not once a character.
"""

import math
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .character_tables import two_stages
from .utf8 import Bounds, Codes, kernel

# Character classes. HANZI and KANA are words by themselves; HANGUL to DIGIT build words in runs.
OTHER: Final = 0
"""Control, format, private and unassigned."""
NEWLINE: Final = 1
SPACE: Final = 2
"""All that ``str.isspace`` calls space, but ``\\n``."""
HANZI: Final = 3
"""Ideographs, all extensions and compatibility forms, and 々 〆 〇."""
KANA: Final = 4
HANGUL: Final = 5
LATIN: Final = 6
"""Letters named LATIN or FULLWIDTH LATIN."""
LETTER: Final = 7
"""Letters of all other scripts."""
DIGIT: Final = 8
"""Numbers (N*): digits, full-width digits, fractions, ①."""
MARK: Final = 9
"""Combining marks (M*); they belong to the word they follow."""
PUNCTUATION: Final = 10
SYMBOL: Final = 11
N_CLASSES: Final = 12

PLANES_END: Final = 0x110000
Blocks = npt.NDArray[np.uint8]

# Large uniform blocks are filled, the rest is looked up; what is in neither stays OTHER.
_FILLED: Final = (
    (0x3400, 0x4DC0, HANZI),
    (0x4E00, 0xA000, HANZI),
    (0xAC00, 0xD7A4, HANGUL),
    (0x20000, 0x2A6E0, HANZI),
    (0x2A700, 0x2EE5E, HANZI),
    (0x2F800, 0x2FA1E, HANZI),
    (0x30000, 0x3347A, HANZI),
)
_LOOKED_UP: Final = (
    (0, 0x3400),
    (0x4DC0, 0x4E00),
    (0xA000, 0xAC00),
    (0xD7B0, 0xD800),
    (0xF900, 0x20000),
    (0xE0100, 0xE01F0),
)
_BY_CATEGORY: Final = {"L": LETTER, "N": DIGIT, "M": MARK, "P": PUNCTUATION, "S": SYMBOL}
_BY_NAME: Final = {
    "CJK": HANZI,
    "IDEOGRAPHIC": HANZI,
    "HENTAIGANA": KANA,
    "HIRAGANA": KANA,
    "KATAKANA": KANA,
    "KATAKANA-HIRAGANA": KANA,
    "HANGUL": HANGUL,
    "LATIN": LATIN,
}


@cache
def class_table() -> tuple[Blocks, Blocks]:
    """The class of every code point.

    Returns:
        ``index`` (uint8 ``[4352]``) and ``blocks`` (uint8 ``[B, 256]``): the class of ``c`` is
        ``blocks[index[c >> 8], c & 255]``.
    """
    return two_stages("classes", all_classes)


def all_classes() -> Blocks:
    """The class of every code point from the Unicode data of this Python (0.1 s), flat."""
    flat = np.zeros(PLANES_END, np.uint8)
    for start, end in _LOOKED_UP:
        flat[start:end] = [_class_of(chr(code)) for code in range(start, end)]
    for start, end, kind in _FILLED:
        flat[start:end] = kind
    return flat


def _class_of(character: str) -> int:
    if character.isspace():
        return NEWLINE if character == "\n" else SPACE
    if character == "〇":
        return HANZI
    kind = _BY_CATEGORY.get(unicodedata.category(character)[0], OTHER)
    if kind != LETTER:
        return kind
    words = unicodedata.name(character, "").split(" ", 2)
    script = words[1] if words[0] in ("FULLWIDTH", "HALFWIDTH") else words[0]
    return _BY_NAME.get(script, LETTER)


@dataclass(frozen=True)
class Histogram:
    """One row a document, from :func:`count_characters`.

    Attributes:
        classes: characters of each class, int64 ``[D, N_CLASSES]``.
        tracked: how often each tracked character occurs, int64 ``[D, T]``.
        unique: distinct characters, int64 ``[D]``.
        entropy: entropy of the characters in nats, float64 ``[D]``; 0 for an empty document.
    """

    classes: npt.NDArray[np.int64]
    tracked: npt.NDArray[np.int64]
    unique: npt.NDArray[np.int64]
    entropy: npt.NDArray[np.float64]


def count_characters(codes: Codes, bounds: Bounds, tracked: str) -> Histogram:
    """Histogram every document.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
        tracked: characters whose own counts are wanted.
    """
    documents = len(bounds) - 1
    result = Histogram(
        np.zeros((documents, N_CLASSES), np.int64),
        np.zeros((documents, len(tracked)), np.int64),
        np.zeros(documents, np.int64),
        np.zeros(documents, np.float64),
    )
    wanted = np.array([ord(character) for character in tracked], np.int32)
    _histogram(
        codes, bounds, *class_table(), wanted,
        result.classes, result.tracked, result.unique, result.entropy,
    )  # fmt: skip
    return result


@kernel
def _histogram(  # noqa: PLR0913
    codes: Codes,
    bounds: Bounds,
    index: Blocks,
    blocks: Blocks,
    wanted: Codes,
    classes: npt.NDArray[np.int64],
    tracked: npt.NDArray[np.int64],
    unique: npt.NDArray[np.int64],
    entropy: npt.NDArray[np.float64],
) -> None:
    counts = np.zeros(PLANES_END, np.int32)
    seen = np.empty(PLANES_END, np.int32)  # pages are committed only as far as they are used
    for document in range(len(bounds) - 1):
        start, end = bounds[document], bounds[document + 1]
        n_seen = 0
        for i in range(start, end):
            code = codes[i]
            count = counts[code]
            if count == 0:
                seen[n_seen] = code
                n_seen += 1
            counts[code] = count + 1
        for k in range(len(wanted)):
            tracked[document, k] = counts[wanted[k]]
        unique[document] = n_seen
        total = 0.0
        for k in range(n_seen):
            code = seen[k]
            count = counts[code]
            counts[code] = 0
            classes[document, blocks[index[code >> 8], code & 255]] += count
            total += count * math.log(count)
        if end > start:
            # -sum(p ln p) with p = count / n, the characters in the order of their first place
            entropy[document] = max(math.log(end - start) - total / (end - start), 0.0)
