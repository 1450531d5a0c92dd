"""Scripts: what a document is written in, counted in units that weigh the same in all of them.

A hanzi, a kana and a Thai letter count one; elsewhere a run of letters of one script counts one,
as a word does. So a Chinese text with English terms is not outvoted by their letters.
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

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

_RANGES: Final = (
    (0x41, 0x5B, LATN), (0x61, 0x7B, LATN), (0xAA, 0xAB, LATN), (0xBA, 0xBB, LATN),
    (0xC0, 0xD7, LATN), (0xD8, 0xF7, LATN), (0xF8, 0x2B0, LATN), (0x1E00, 0x1F00, LATN),
    (0x2C60, 0x2C80, LATN), (0xA722, 0xA800, LATN), (0xFB00, 0xFB07, LATN),
    (0x370, 0x400, 11), (0x1F00, 0x2000, 11),
    (0x400, 0x530, 7), (0x1C80, 0x1C90, 7), (0x2DE0, 0x2E00, 7), (0xA640, 0xA6A0, 7),
    (0x531, 0x590, _OTHER), (0x591, 0x600, 12), (0xFB1D, 0xFB50, 12),
    (0x620, 0x660, 8), (0x66E, 0x6D4, 8), (0x6E5, 0x6F0, 8), (0x6FA, 0x700, 8),
    (0x750, 0x780, 8), (0x8A0, 0x900, 8), (0xFB50, 0xFDD0, 8), (0xFE70, 0xFEFD, 8),
    (0x700, 0x750, _OTHER), (0x780, 0x8A0, _OTHER),
    (0x900, 0x964, 9), (0x971, 0x980, 9), (0xE01, 0xE3B, _THAI), (0xE40, 0xE4F, _THAI),
    (0x980, 0xE00, _OTHER), (0xE80, 0x1100, _OTHER), (0x1200, 0x1C80, _OTHER),
    (0xA800, 0xA960, _OTHER), (0xA980, 0xAC00, _OTHER), (0x10000, 0x1D000, _OTHER),
    (0x1100, 0x1200, KORE), (0x3131, 0x318F, KORE), (0xA960, 0xA980, KORE),
    (0xAC00, 0xD7FC, KORE),
    (0x3041, 0x3097, KANA), (0x309D, 0x30A0, KANA), (0x30A1, 0x30FB, KANA),
    (0x30FC, 0x3100, KANA), (0x31F0, 0x3200, KANA), (0xFF66, 0xFF9E, KANA),
    (0x3005, 0x3008, HANI), (0x3400, 0x4DC0, HANI), (0x4E00, 0xA000, HANI),
    (0xF900, 0xFB00, HANI), (0x20000, 0x3FFFE, HANI),
)  # fmt: skip


@cache
def table() -> tuple[Blocks, Blocks]:
    """The script of every code point.

    Returns:
        ``index`` (uint8 ``[4352]``) and ``blocks`` (uint8 ``[B, 256]``): the script of ``c`` is
        ``blocks[index[c >> 8], c & 255]``.
    """
    flat = np.zeros(0x110000, np.uint8)
    for start, end, script in _RANGES:
        flat[start:end] = script
    for script, members in zip((HANS, HANT), variants(), strict=True):
        flat[[ord(character) for character in members]] = script
    blocks, index = np.unique(flat.reshape(-1, 256), axis=0, return_inverse=True)
    return index.reshape(-1).astype(np.uint8), np.ascontiguousarray(blocks)


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
        before = 0
        for i in range(bounds[document], bounds[document + 1]):
            code = codes[i]
            if code == 0x27 or code == 0x2019 or 0x300 <= code < 0x370:
                continue  # an apostrophe or a combining mark does not end a word
            script = blocks[index[code >> 8], code & 255]
            if script != 0 and (script != before or HANI <= script <= KANA or script == _THAI):
                counts[document, script] += 1
            before = script


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
