"""What the line rules ask of a character, as bits, for every code point."""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .character_tables import runs

Classes = npt.NDArray[np.uint16]

SPACE, HAN, ALNUM, UPPER, DIGIT = 1, 2, 4, 8, 16
STOP, CLOSER, NAME, COLON, BREAK, PROSE = 32, 64, 128, 256, 512, 1024
"""Bits of a character's class. HAN is a hanzi or kana, ALNUM any letter or digit, STOP ends a
sentence, CLOSER may follow it, NAME may stand in a list of names, BREAK may follow a label, PROSE
parts words and clauses of a sentence."""

_MARKS: Final = {
    STOP: ".?!。！？…",
    CLOSER: "\"'”’」』）)】》］",
    NAME: ":：﹕︰∶/／|｜·、()（）【】[]",
    COLON: ":：﹕︰∶",
    BREAK: ":：﹕︰∶|｜/／】]）)>»›》«《“—-·©→",
    PROSE: "，。、；！？,;!?",
}
_HAN_RANGES: Final = (
    (0x3005, 0x3008), (0x3041, 0x3097), (0x30A1, 0x30FB), (0x30FC, 0x3100), (0x3400, 0x4DC0),
    (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x3FFFE),
)  # fmt: skip
# Where characters are looked up one by one; all others are in the ranges above or Hangul.
_LOOKED_UP: Final = ((0, 0x3400), (0x4DC0, 0x4E00), (0xA000, 0xAC00), (0xD7A4, 0xD800),
                     (0xE000, 0x20000))  # fmt: skip


@cache
def classes() -> Classes:
    """The class of every code point, uint16 ``[0x110000]``."""
    return runs("lines", all_classes)


def all_classes() -> Classes:
    """:func:`classes` from the Unicode data of this Python (0.1 s)."""
    import unicodedata

    flat = np.zeros(0x110000, np.uint16)
    flat[0xAC00:0xD7A4] = ALNUM
    for start, end in _LOOKED_UP:
        for code in range(start, end):
            character = chr(code)
            if unicodedata.category(character)[0] in "LN":
                flat[code] = ALNUM
                flat[code] |= UPPER * character.isupper() | DIGIT * character.isdigit()
            elif character.isspace():
                flat[code] = SPACE | NAME | BREAK
            elif character.isupper():  # circled letters
                flat[code] = UPPER
    for start, end in _HAN_RANGES:
        flat[start:end] = HAN | ALNUM | NAME
    for bit, characters in _MARKS.items():
        flat[[ord(c) for c in characters]] |= bit
    return flat
