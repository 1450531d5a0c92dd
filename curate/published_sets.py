"""Which characters the published filters treat alike, as one table of bits.

The sets are facts about datatrove 0.10.1 and about the rules by which spaCy 3.8 cuts English, which
is what datatrove counts in.
"""

import unicodedata
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .characters import HANGUL, HANZI, KANA, LATIN, LETTER, PLANES_END, SPACE, class_table

Roles = npt.NDArray[np.uint16]

IS_SPACE: Final = 1
"""``str.isspace``."""
IS_LETTER: Final = 2
"""``str.isalpha``."""
IS_LOWER: Final = 4
"""Lower case, or of a script without case."""
IS_UPPER: Final = 8
"""Upper case, or of a script without case."""
IS_DIGIT: Final = 16
"""ASCII digits."""
CUTS: Final = 32
"""Punctuation that is cut off at both ends of a word."""
QUOTES: Final = 64
"""Quotation marks, single and double, and Chinese brackets; cut off likewise."""
CURRENCY: Final = 128
ICON: Final = 256
"""Symbols of category So that spaCy lists (those of Unicode 11), a token wherever they stand."""
SYMBOL_ONLY: Final = 512
"""A word of these alone does not count as a word (datatrove, ``PUNCTUATION_SET``)."""
TERMINAL: Final = 1024
"""Ends a line (datatrove, FineWeb) or, as a token of its own, a sentence (spaCy)."""
PUNCTUATION: Final = 2048
"""Category P*."""
LINE_END: Final = 4096
"""``str.splitlines`` ends a line here."""
C4_END: Final = 8192
"""A line that ends in one of these ends a sentence (C4, as datatrove reads it)."""

PLANE_END: Final = 0x33480
"""No letter, mark or number of a language lies beyond."""

_CUTS: Final = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES: Final = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_CURRENCY: Final = ("$£¥฿﷼", (0x20A0, 0x20BF))
_LINE_ENDS: Final = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_SYMBOL_ONLY: Final = (
    "/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*（–：$～«〉,><》)）…@_\"}►»"
)
_CONTROLS: Final = ((0, 9), (11, 13), (13, 32), (127, 160))
# In datatrove's list: full stops, question and exclamation marks of all scripts.
_TERMINAL: Final = (
    "21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e "
    "1735-1736 17d4-17d6 17d9-17da 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e "
    "1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c 2e53-2e54 3002 a4ff a60e-a60f a6f3 a6f7 "
    "a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f "
    "ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6 "
    "111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 "
    "11641-11642 1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8 "
    "11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 1bc9f 1da88"
)
# Symbols of category So that came after Unicode 11.
_NEWER_SYMBOLS: Final = (
    "166d 2b97 2bc9 2bff 2e50-2e51 32ff fd40-fdcf fdfe-fdff 1019c 11fd5-11ff1 1cf50-1cfc3 "
    "1d1e9-1d1ea 1e14f 1ed2e 1f10d-1f10f 1f16c-1f16f 1f1ad 1f6d5-1f6df 1f6fa-1f6fc 1f7e0-1f7f0 "
    "1f8b0-1f8b1 1f90c-1f90f 1f93f 1f971-1f972 1f977-1f979 1f97b 1f9a3-1f9af 1f9ba-1f9bf "
    "1f9c3-1f9cf 1fa00-1fa53 1fa70-1fbca"
)
# Where a category matters and the table of classes does not tell: all but hanzi and hangul.
_LOOKED_UP: Final = ((0, 0x3400), (0x4DC0, 0x4E00), (0xA000, 0xAC00), (0xF900, 0x20000))


def _characters(ranges: str) -> str:
    codes: list[int] = []
    for item in ranges.split():
        first, _, last = item.partition("-")
        codes += range(int(first, 16), int(last or first, 16) + 1)
    return "".join(map(chr, codes))


def terminals() -> str:
    """datatrove's ``TERMINAL_PUNCTUATION``."""
    return _characters(_TERMINAL)


def newer_symbols() -> str:
    """Symbols that spaCy's list is too old for."""
    return _characters(_NEWER_SYMBOLS)


def symbols_only() -> str:
    """datatrove's ``PUNCTUATION_SET``."""
    controls = "".join(chr(code) for start, end in _CONTROLS for code in range(start, end))
    return _SYMBOL_ONLY + controls + terminals()


@cache
def roles() -> Roles:
    """The bits of every code point, uint16 ``[1 114 112]`` (built once, 0.1 s)."""
    index, blocks = class_table()
    kinds = blocks[index].reshape(-1)
    table = np.zeros(PLANES_END, np.uint16)
    table[(kinds == SPACE) | (np.arange(PLANES_END) == 10)] |= IS_SPACE
    caseless = np.isin(kinds, (HANZI, KANA, HANGUL))
    caseless[0x3007] = False  # 〇 is a number
    table[caseless] |= IS_LETTER | IS_LOWER | IS_UPPER
    cased = np.isin(kinds, (LATIN, LETTER))
    for code in np.nonzero(cased)[0].tolist():
        character = chr(code)
        table[code] |= IS_LETTER
        table[code] |= 0 if character.isupper() or character.istitle() else IS_LOWER
        table[code] |= 0 if character.islower() else IS_UPPER
    newer = set(map(ord, newer_symbols()))
    for start, end in _LOOKED_UP:
        for code in range(start, end):
            category = unicodedata.category(chr(code))
            if category[0] == "P":
                table[code] |= PUNCTUATION
            elif category == "So" and code not in newer:
                table[code] |= ICON
    currency, (low, high) = _CURRENCY
    for characters, bit in (
        ("0123456789", IS_DIGIT),
        (_CUTS, CUTS),
        (_QUOTES, QUOTES),
        (currency + "".join(map(chr, range(low, high + 1))), CURRENCY),
        (symbols_only(), SYMBOL_ONLY),
        (terminals(), TERMINAL),
        (_LINE_ENDS, LINE_END),
        (".?!\"'", C4_END),
    ):
        for character in characters:
            table[ord(character)] |= bit
    return table
