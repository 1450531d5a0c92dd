"""The kernels of normalisation: edits on code points, each counted under the name of its rule.

Two passes. :func:`edit_characters` looks at single characters and their neighbours;
:func:`edit_lines`, which needs NFC to be done, at the white space of lines. Every edit deletes a
character or puts one in the place of one, so an output is never longer than its input.
"""

import unicodedata
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .character_tables import two_stages
from .utf8 import Bounds, Bytes, Codes, kernel

RULES: Final = (
    "mojibake",
    "line_breaks",
    "control",
    "invisible",
    "indent",
    "spaces",
    "width",
    "nfc",
    "hanzi_spaces",
    "trailing_spaces",
    "blank_lines",
)
"""Editing rules in the order in which they apply; rows of a count array."""

Counts = npt.NDArray[np.int64]
"""int64 ``[len(RULES), 2]``: characters removed, characters added."""
Blocks = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_BREAK, _CONTROL, _INVISIBLE, _INDENT, _SPACE, _WIDTH = 1, 2, 3, 4, 5, 6
_HANZI_SPACE, _TRAILING, _BLANK = 8, 9, 10

# What a character is, in the low four bits of its table entry, and four properties above them.
_KEEP: Final = 0
_IS_BREAK: Final = 1
_IS_CONTROL: Final = 2
_IS_INVISIBLE: Final = 3
_IS_SPACE: Final = 4
_IS_WIDE_SPACE: Final = 5
_IS_WIDE: Final = 6
_IS_JOINER: Final = 7
_IS_NON_JOINER: Final = 8  # the joiners come last: one comparison finds both
_CLASS: Final = 0x0F
_COMPOSES: Final = 0x10
"""NFC may change a text that holds it."""
_EMOJI: Final = 0x20
_JOINED: Final = 0x40
"""Of a script whose spelling uses ZWJ and ZWNJ."""
_MARK: Final = 0x80
"""Reordered by NFC (combining class above 0): not a base that a joiner could refer to."""

_LF: Final = 0x0A
_CR: Final = 0x0D
_ESCAPE: Final = 0x1B
_SPACE_CODE: Final = 0x20
_TAB: Final = 0x09
_WIDTH_SHIFT: Final = 0xFEE0  # from ！..～ to !..~

_BREAKS: Final = (0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029)
_SPACES: Final = (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F)
_INVISIBLES: Final = (0xAD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF)
_WIDE: Final = ((0xFF10, 0xFF1A), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B))
"""Full-width digits and letters; full-width punctuation is right in Chinese and stays."""
# Superset of Extended_Pictographic (UTS #51), with skin tones and the emoji variation selector.
_EMOJI_BLOCKS: Final = (
    (0xA9, 0xAA), (0xAE, 0xAF), (0x203C, 0x203D), (0x2049, 0x204A), (0x2122, 0x2123),
    (0x2139, 0x213A), (0x2190, 0x2200), (0x2300, 0x2400), (0x25A0, 0x27C0), (0x2900, 0x2980),
    (0x2B00, 0x2C00), (0x3030, 0x3031), (0x303D, 0x303E), (0x3297, 0x329A), (0xFE0F, 0xFE10),
    (0x1F000, 0x1FB00),
)  # fmt: skip
# Arabic, Syriac, N'Ko and their extensions; the Brahmic scripts; Mongolian. Source: Unicode 16,
# 23.2 "Cursive Connection and Ligatures", and 12, 13, 14 and 16 for the scripts.
_JOINED_BLOCKS: Final = (
    (0x600, 0x8FF + 1), (0x900, 0xE00), (0xF00, 0x10A0), (0x1780, 0x18B0), (0x1900, 0x1AB0),
    (0x1B00, 0x1C50), (0xA800, 0xAAE0), (0xFB50, 0xFE00), (0xFE70, 0xFEFF), (0x11000, 0x11A00),
)  # fmt: skip
# Code points where NFC can do something or a mark can stand: planes 0 to 2 without hanzi, Hangul
# and the private area; nothing else decomposes or combines.
_COMPOSING_BLOCKS: Final = ((0x80, 0x3400), (0xA000, 0xAC00), (0xD7A4, 0xD800), (0xF900, 0x1FB00),
                            (0x2F800, 0x2FA20))  # fmt: skip


@cache
def table() -> tuple[Blocks, Blocks]:
    """Class and properties of every code point.

    Returns:
        ``index`` (uint8 ``[4352]``) and ``blocks`` (uint8 ``[B, 256]``): the entry of ``c`` is
        ``blocks[index[c >> 8], c & 255]``.
    """
    return two_stages("edits", all_edits)


def all_edits() -> Blocks:
    """Class and properties of every code point, flat (0.1 s)."""
    flat = np.zeros(0x110000, np.uint8)
    _fill_properties(flat)
    for start, end in ((0, 0x20), (0x7F, 0xA0), (0xFDD0, 0xFDF0)):
        flat[start:end] = _IS_CONTROL
    for plane in range(17):  # noncharacters
        flat[[plane * 0x10000 + 0xFFFE, plane * 0x10000 + 0xFFFF]] = _IS_CONTROL
    flat[0xFFFC] = _IS_INVISIBLE  # where an image was
    flat[[_TAB, _LF]] = _KEEP
    flat[list(_BREAKS)] = _IS_BREAK
    flat[list(_SPACES)] = _IS_SPACE
    flat[list(_INVISIBLES)] = _IS_INVISIBLE
    flat[0x3000] = _IS_WIDE_SPACE
    for start, end in _WIDE:
        flat[start:end] = _IS_WIDE
    flat[0x200D], flat[0x200C] = _IS_JOINER, _IS_NON_JOINER
    return flat


def _fill_properties(flat: Blocks) -> None:
    for start, end in _EMOJI_BLOCKS:
        flat[start:end] |= _EMOJI
    for start, end in _JOINED_BLOCKS:
        flat[start:end] |= _JOINED
    flat[0x1161:0x1176] |= _COMPOSES  # vowels and finals of conjoining Hangul
    flat[0x11A8:0x11C3] |= _COMPOSES
    for start, end in _COMPOSING_BLOCKS:
        for code in range(start, end):
            character = chr(code)
            if unicodedata.combining(character):
                flat[code] |= _COMPOSES | _MARK
            if not unicodedata.is_normalized("NFC", character):
                flat[code] |= _COMPOSES
            parts = unicodedata.decomposition(character).split()
            if len(parts) == 2 and not parts[0].startswith("<"):
                flat[int(parts[1], 16)] |= _COMPOSES


@kernel
def edit_characters(  # noqa: C901
    codes: Codes, bounds: Bounds, index: Blocks, blocks: Blocks, counts: Counts
) -> tuple[Codes, Bounds, Flags]:
    """Delete, replace and narrow single characters.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
        index: from :func:`table`.
        blocks: from :func:`table`.
        counts: added to.

    Returns:
        New code points and bounds, and bool ``[D]``: which documents NFC may change.
    """
    out = np.empty(len(codes), np.int32)
    out_bounds = np.empty_like(bounds)
    composes = np.zeros(len(bounds) - 1, np.bool_)
    n = 0
    for document in range(len(bounds) - 1):
        out_bounds[document] = first = n
        base = 0  # properties of the last character put out that is no mark
        seen = 0
        i, end = bounds[document], bounds[document + 1]
        while i < end:
            code = codes[i]
            i += 1
            if 0x20 <= code < 0x7F or 0x4E00 <= code < 0xA000:  # most of all text
                out[n] = code
                n += 1
                base = 0
                continue
            entry = blocks[index[code >> 8], code & 255]
            kind = entry & _CLASS
            if kind == _KEEP:
                out[n] = code
                n += 1
                seen |= entry
                if not entry & _MARK:
                    base = entry
                continue
            following = 0
            if i < end:
                following = blocks[index[codes[i] >> 8], codes[i] & 255]
            if kind >= _IS_JOINER:
                between_emoji = base & _EMOJI and following & _EMOJI and kind == _IS_JOINER
                if between_emoji or base & _JOINED:
                    out[n] = code
                    n += 1
                    base = 0
                else:
                    counts[_INVISIBLE, 0] += 1
            elif kind == _IS_INVISIBLE:
                counts[_INVISIBLE, 0] += 1
            elif kind == _IS_CONTROL:
                counts[_CONTROL, 0] += 1
                if code == _ESCAPE and i < end and codes[i] == 0x5B:  # ESC [ 0 ; 1 m
                    k = i + 1
                    while k < end and (48 <= codes[k] <= 57 or codes[k] == 0x3B):
                        k += 1
                    if k < end and (65 <= codes[k] <= 90 or 97 <= codes[k] <= 122):
                        counts[_CONTROL, 0] += k + 1 - i
                        i = k + 1
            elif kind == _IS_BREAK:
                counts[_BREAK, 0] += 1
                if code != _CR or i == end or codes[i] != _LF:
                    counts[_BREAK, 1] += 1
                    out[n] = _LF
                    n += 1
                    base = 0
            elif kind == _IS_WIDE_SPACE and (n == first or out[n - 1] == _LF):
                counts[_INDENT, 0] += 1
            else:
                rule = _WIDTH if kind == _IS_WIDE else _SPACE
                out[n] = code - _WIDTH_SHIFT if kind == _IS_WIDE else _SPACE_CODE
                n += 1
                base = 0
                counts[rule, 0] += 1
                counts[rule, 1] += 1
        composes[document] = seen & _COMPOSES != 0
    out_bounds[len(bounds) - 1] = n
    return out[:n], out_bounds, composes


@kernel
def _is_hanzi(code: int) -> bool:
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x3FFFD
        or 0xF900 <= code <= 0xFAFF
        or code == 0x3007
        or code == 0x3005
    )


@kernel
def _spaced_stretch(codes: Codes, start: int, end: int) -> tuple[int, bool]:
    """Where a stretch of hanzi and spaces ends, and whether its spaces are letter spacing.

    They are if there are at least five hanzi, each pair parted by the same one or two spaces. Two
    hanzi side by side make it a list (北京 上海), so do different widths (英 语  数 学), and up to
    four hanzi may be quoted one by one (易 太 以 老): all those are left alone.
    """
    hanzi, i, stop = 0, start, start
    first_width, uniform = -1, True
    while i < end and _is_hanzi(codes[i]):
        hanzi += 1
        i += 1
        stop = i
        width = 0
        while i < end and codes[i] == _SPACE_CODE:
            width += 1
            i += 1
        if width > 2 or i == end or not _is_hanzi(codes[i]):
            break
        if first_width < 0:
            first_width = width
        uniform = uniform and width == first_width
    return stop, hanzi >= 5 and first_width > 0 and uniform


@kernel
def edit_lines(  # noqa: C901
    codes: Codes, bounds: Bounds, hanzi_spaces: bool, counts: Counts
) -> tuple[Codes, Bounds]:
    """Trailing spaces, blank lines, and spaces set between all hanzi of a stretch.

    Args:
        codes: code points, int32, with LF as the only line break.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
        hanzi_spaces: close up stretches of hanzi that are spaced one by one.
        counts: added to.

    Returns:
        New code points and bounds.
    """
    out = np.empty(len(codes), np.int32)
    out_bounds = np.empty_like(bounds)
    n = 0
    for document in range(len(bounds) - 1):
        out_bounds[document] = first = n
        i, end = bounds[document], bounds[document + 1]
        stretch_end, spaced = i, False  # of the stretch of hanzi and spaces last looked at
        while i <= end:
            code = codes[i] if i < end else _LF
            if code == _LF:
                while n > first and (out[n - 1] == _SPACE_CODE or out[n - 1] == _TAB):
                    n -= 1
                    counts[_TRAILING, 0] += 1
                if i < end:
                    if n == first or (n - first > 1 and out[n - 1] == _LF and out[n - 2] == _LF):
                        counts[_BLANK, 0] += 1
                    else:
                        out[n] = _LF
                        n += 1
            elif code == _SPACE_CODE and hanzi_spaces:
                if i > stretch_end and _is_hanzi(codes[i - 1]):
                    start = i - 1
                    while start > stretch_end and _is_hanzi(codes[start - 1]):
                        start -= 1
                    stretch_end, spaced = _spaced_stretch(codes, start, end)
                if spaced and i < stretch_end:
                    counts[_HANZI_SPACE, 0] += 1
                else:
                    out[n] = code
                    n += 1
            else:
                out[n] = code
                n += 1
                while code < 0x80 and i + 9 <= end:  # eight at a time
                    together, low = np.int32(0), np.int32(0)
                    for k in range(1, 9):
                        together |= codes[i + k]
                        low |= codes[i + k] - np.int32(_SPACE_CODE)
                    if low < 0 or together >= 0x3000:  # a line ends, or there may be hanzi
                        break
                    for k in range(8):
                        out[n + k] = codes[i + 1 + k]
                    n += 8
                    i += 8
            i += 1
        while n > first and out[n - 1] == _LF:
            n -= 1
            counts[_BLANK, 0] += 1
    out_bounds[len(bounds) - 1] = n
    return out[:n], out_bounds


@kernel
def encode(codes: Codes, bounds: Bounds) -> tuple[Bytes, Bounds]:
    """Code points back to UTF-8.

    Returns:
        Bytes (uint8) and byte offsets (int64 ``[D + 1]``).
    """
    size = 0
    for i in range(len(codes)):
        code = codes[i]
        size += 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)
    out = np.empty(size, np.uint8)
    offsets = np.empty_like(bounds)
    n = 0
    for document in range(len(bounds) - 1):
        offsets[document] = n
        i, end = bounds[document] - 1, bounds[document + 1]
        while i + 1 < end:
            i += 1
            code = codes[i]
            if code < 0x80:
                out[n] = code
                n += 1
                while i + 8 < end:  # eight at a time
                    together = np.int32(0)
                    for k in range(1, 9):
                        together |= codes[i + k]
                    if together >= 0x80:
                        break
                    for k in range(8):
                        out[n + k] = codes[i + 1 + k]
                    n += 8
                    i += 8
                continue
            if code < 0x800:
                out[n] = 0xC0 | code >> 6
            else:
                if code < 0x10000:
                    out[n] = 0xE0 | code >> 12
                else:
                    out[n] = 0xF0 | code >> 18
                    out[n + 1] = 0x80 | code >> 12 & 0x3F
                    n += 1
                out[n + 1] = 0x80 | code >> 6 & 0x3F
                n += 1
            out[n + 1] = 0x80 | code & 0x3F
            n += 2
    offsets[len(bounds) - 1] = n
    return out, offsets
