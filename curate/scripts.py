"""Scripts: what a document is written in, counted in units that weigh the same in all of them.

A hanzi, a kana and a Thai letter count one; elsewhere a run of letters of one script counts one,
as a word does. So a Chinese text with English terms is not outvoted by their letters.
"""

import unicodedata
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .character_tables import two_stages
from .utf8 import Bounds, Codes, kernel
from .variants import variants

Blocks = npt.NDArray[np.uint8]
Tokens = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]

NAMES: Final = (
    "Zyyy", "Latn", "Hani", "Hans", "Hant", "Kana", "Kore", "Cyrl", "Arab", "Deva", "Thai",
    "Grek", "Hebr", "Zzzz",
)  # fmt: skip
"""ISO 15924 where it has a name for it; columns of the token counts. Zyyy is what belongs to no
script (never counted), Zzzz any other script. Hans and Hant are hanzi that are only simplified or
only traditional, Hani the rest."""

LATN, HANI, HANS, HANT, KANA, KORE = 1, 2, 3, 4, 5, 6
_THAI: Final = 10
_OTHER: Final = 13

MIXED: Final = "mixed"
MIN_SHARE: Final = 2 / 3
"""A document is of a script if so much of its tokens are; otherwise it is mixed."""
MIN_KANA: Final = 0.1
"""Japanese prose has about half of its hanzi and kana in kana; Chinese that quotes some, 1 %."""
MIN_VARIANT: Final = 0.8
"""Share of one kind among the decisive hanzi that makes a text simplified or traditional."""

# Scripts by the first word of a letter's or mark's Unicode name; letters of all others are Zzzz.
_BY_NAME: Final = {
    "LATIN": LATN, "FEMININE": LATN, "MASCULINE": LATN, "CJK": HANI, "IDEOGRAPHIC": HANI,
    "HIRAGANA": KANA, "KATAKANA": KANA, "KATAKANA-HIRAGANA": KANA, "HENTAIGANA": KANA,
    "HANGUL": KORE, "CYRILLIC": 7, "ARABIC": 8, "DEVANAGARI": 9, "THAI": _THAI, "GREEK": 11,
    "HEBREW": 12,
}  # fmt: skip
_COMMON: Final = frozenset(
    ("CARON", "COMBINING", "MASU", "MICRO", "MODIFIER", "VARIATION", "VERTICAL")
)
_SYMBOLS: Final = ((0x2100, 0x2190), (0x1CF00, 0x1D800))  # letterlike, musical, mathematical
# Large blocks of one script, so that their names need not be looked up.
_FILLED: Final = (
    (0x3400, 0x4DC0, HANI), (0x4E00, 0xA000, HANI), (0xAC00, 0xD7A4, KORE),
    (0x20000, 0x3FFFE, HANI),
)  # fmt: skip
_LOOKED_UP: Final = ((0x41, 0x3400), (0xA000, 0xAC00), (0xD7B0, 0xD800), (0xF900, 0x20000))


@cache
def table() -> tuple[Blocks, Blocks]:
    """The script of every code point.

    Returns:
        ``index`` (uint8 ``[4352]``) and ``blocks`` (uint8 ``[B, 256]``): the script of ``c`` is
        ``blocks[index[c >> 8], c & 255]``.
    """
    return two_stages("scripts", all_scripts)


def all_scripts() -> Blocks:
    """The script of every code point, flat (0.1 s)."""
    flat = np.zeros(0x110000, np.uint8)
    for start, end, script in _FILLED:
        flat[start:end] = script
    for start, end in _LOOKED_UP:
        flat[start:end] = [_script_of(chr(code)) for code in range(start, end)]
    for start, end in _SYMBOLS:
        flat[start:end] = 0
    flat[[0x3005, 0x3006, 0x3007]] = HANI  # 々〆〇
    for script, members in zip((HANS, HANT), variants(), strict=True):
        flat[[ord(character) for character in members]] = script
    return flat


def _script_of(character: str) -> int:
    """By Unicode name: the data of this Python has no script property."""
    if unicodedata.category(character)[0] not in "LM":
        return 0
    words = unicodedata.name(character, "UNNAMED").split(" ", 2)
    word = words[1] if words[0] in ("FULLWIDTH", "HALFWIDTH") else words[0]
    return 0 if word in _COMMON else _BY_NAME.get(word, _OTHER)


def count_tokens(codes: Codes, bounds: Bounds) -> Tokens:
    """Tokens of each script in each document.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.

    Returns:
        int64 ``[D, len(NAMES)]``.
    """
    counts = np.zeros((len(bounds) - 1, len(NAMES)), np.int64)
    _count_tokens(codes, bounds, *table(), counts)
    return counts


@kernel
def _count_tokens(
    codes: Codes, bounds: Bounds, index: Blocks, blocks: Blocks, counts: Tokens
) -> None:
    for document in range(len(bounds) - 1):
        before = latin = np.int64(0)
        tokens = np.zeros(counts.shape[1], np.int64)
        for i in range(bounds[document], bounds[document + 1]):
            code = codes[i]
            if code < 0x80:  # without the table, and without a branch for each letter
                letter = 0x61 <= (code | 0x20) <= 0x7A
                latin += letter & (before != LATN)
                before = np.int64(LATN if letter else before if code == 0x27 else 0)
                continue
            script = np.int64(blocks[index[code >> 8], code & 255])
            alone = HANI <= script <= KANA or script == _THAI
            if script == before and not alone:
                continue  # inside a word or a gap, as most characters are
            if script == 0 and (code == 0x2019 or 0x300 <= code < 0x370):
                continue  # an apostrophe or a combining mark does not end a word
            if script != 0:
                tokens[script] += 1
            before = script
        tokens[LATN] += latin
        counts[document] = tokens


def share_of_hanzi(counts: Tokens) -> npt.NDArray[np.float64]:
    """Hanzi and kana among all tokens, float64 ``[D]``; 0 where there is no token."""
    total = np.maximum(counts.sum(axis=1), 1)
    share: npt.NDArray[np.float64] = counts[:, HANI : KANA + 1].sum(axis=1) / total
    return share


def main_scripts(counts: Tokens) -> tuple[Names, npt.NDArray[np.float64]]:
    """The script of each document, and the share of its tokens in that script.

    Args:
        counts: from :func:`count_tokens`.

    Returns:
        Names (``Hans``, ``Hant``, ``Hani`` if the characters do not tell, ``Jpan``, ``Kore``,
        ``Latn`` …, ``mixed``, ``Zyyy`` without a letter) and shares (of the largest script).
    """
    groups = counts.copy()
    groups[:, HANI] += counts[:, HANS] + counts[:, HANT] + counts[:, KANA]
    groups[:, HANS : KANA + 1] = 0
    total = groups.sum(axis=1)
    largest = groups.argmax(axis=1)
    share = groups.max(axis=1) / np.maximum(total, 1)
    names = np.array(NAMES, object)[largest]
    chinese = names == "Hani"
    names[chinese] = hanzi_kinds(counts[chinese])
    names[share < MIN_SHARE] = MIXED
    names[total == 0] = NAMES[0]
    return names, share


def hanzi_kinds(counts: Tokens) -> Names:
    """``Jpan``, ``Hans``, ``Hant`` or ``Hani``, looking at hanzi and kana alone."""
    new, old, kana = counts[:, HANS], counts[:, HANT], counts[:, KANA]
    all_hanzi = np.maximum(counts[:, HANI : KANA + 1].sum(axis=1), 1)
    decisive = np.maximum(new + old, 1)
    kinds = np.full(len(counts), "Hani", object)
    kinds[new >= MIN_VARIANT * decisive] = "Hans"
    kinds[old >= MIN_VARIANT * decisive] = "Hant"
    kinds[kana >= MIN_KANA * all_hanzi] = "Jpan"
    return kinds
