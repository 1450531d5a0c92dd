"""Lines and paragraphs: how a document is laid out and how much of it repeats whole.

A *line* is what stands between two ``\\n`` and is not all space; a *paragraph* is a run of lines
without a blank line between them. Two lines are equal if all their characters are (compared by a
64-bit hash: among 10⁵ lines of a document a false match has a chance of about 3e-10).
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .characters import NEWLINE, SPACE, Blocks, class_table
from .utf8 import Bounds, Codes, kernel

TERMINAL: Final = ".!?\"'。！？…；”’」』．｡"
"""A line that ends in one of these ends a sentence.

Source: C4 (``. ! ? "``), FineWeb (adds ``'``), and their Chinese counterparts; ``；`` ends the
items of Chinese lists and statutes as a full stop does."""
BULLETS: Final = "•-●○■□▪▫※·➢‣▶◀◦–"
"""Source: MassiveText (``•``), datatrove (adds ``-``), MAP-NEO (the others)."""
READ_MORE: Final = ("readmore", "read more", "展开", "更多", "。。。")
"""Line ends of a teaser, ASCII case ignored. Source: MAP-NEO."""

_IS_TERMINAL: Final = 1
_IS_BULLET: Final = 2
_ELLIPSIS: Final = 0x2026
_FULL_STOP: Final = 0x2E
_FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)
_FREE: Final = np.uint64(0)


@dataclass(frozen=True)
class Layout:
    """Counts over lines and paragraphs, one row a document, all int64 ``[D]``.

    ``*_chars`` count characters of whole lines, without their ``\\n``. A line or paragraph is a
    duplicate if an equal one came before it in the same document.
    """

    lines: npt.NDArray[np.int64]
    paragraphs: npt.NDArray[np.int64]
    line_chars: npt.NDArray[np.int64]
    terminal_lines: npt.NDArray[np.int64]
    bullet_lines: npt.NDArray[np.int64]
    ellipsis_lines: npt.NDArray[np.int64]
    read_more_lines: npt.NDArray[np.int64]
    short_lines: npt.NDArray[np.int64]
    duplicate_lines: npt.NDArray[np.int64]
    duplicate_line_chars: npt.NDArray[np.int64]
    duplicate_paragraphs: npt.NDArray[np.int64]
    duplicate_paragraph_chars: npt.NDArray[np.int64]


@cache
def _line_roles() -> Blocks:
    roles = np.zeros(0x10000, np.uint8)
    for character in TERMINAL:
        roles[ord(character)] |= _IS_TERMINAL
    for character in BULLETS:
        roles[ord(character)] |= _IS_BULLET
    return roles


@cache
def _endings() -> tuple[Codes, Bounds]:
    joined = "".join(READ_MORE)
    bounds = np.cumsum([0, *map(len, READ_MORE)], dtype=np.int64)
    return np.array([ord(c) for c in joined], np.int32), bounds


def count_lines(codes: Codes, bounds: Bounds, *, short_line_chars: int) -> Layout:
    """Count lines and paragraphs of every document.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
        short_line_chars: a line of at most so many characters is short.
    """
    names = fields(Layout)
    counts = np.zeros((len(names), len(bounds) - 1), np.int64)
    _count_lines(
        codes, bounds, *class_table(), _line_roles(), *_endings(), short_line_chars, counts
    )
    return Layout(*counts)


@kernel
def _seen_before(table: npt.NDArray[np.uint64], mask: int, key: np.uint64) -> bool:
    key = key | np.uint64(1)  # zero marks a free slot
    slot = np.int64(key >> np.uint64(20)) & mask
    while table[slot] != _FREE:
        if table[slot] == key:
            return True
        slot = (slot + 1) & mask
    table[slot] = key
    return False


@kernel
def _is_space(code: int, index: Blocks, blocks: Blocks) -> bool:
    kind = blocks[index[code >> 8], code & 255]
    return bool(kind in (SPACE, NEWLINE))


@kernel
def _ends_with(codes: Codes, start: int, end: int, endings: Codes, cuts: Bounds) -> bool:
    for k in range(len(cuts) - 1):
        length = cuts[k + 1] - cuts[k]
        if end - start < length:
            continue
        same = True
        for j in range(length):
            code = codes[end - length + j]
            if 0x41 <= code <= 0x5A:
                code += 32
            if code != endings[cuts[k] + j]:
                same = False
                break
        if same:
            return True
    return False


@kernel
def _count_lines(  # noqa: C901, PLR0913
    codes: Codes,
    bounds: Bounds,
    index: Blocks,
    blocks: Blocks,
    roles: Blocks,
    endings: Codes,
    cuts: Bounds,
    short_line_chars: int,
    counts: npt.NDArray[np.int64],
) -> None:
    line_table = np.zeros(64, np.uint64)
    paragraph_table = np.zeros(64, np.uint64)
    for document in range(len(bounds) - 1):
        start, end = bounds[document], bounds[document + 1]
        breaks = 0
        for i in range(start, end):
            breaks += codes[i] == 10
        size = 64
        while size < 2 * (breaks + 1):
            size *= 2
        if size > len(line_table):
            line_table = np.zeros(size, np.uint64)
            paragraph_table = np.zeros(size, np.uint64)
        else:
            line_table[:size] = _FREE
            paragraph_table[:size] = _FREE
        mask = size - 1
        paragraph_chars = 0
        paragraph_hash = _FNV_OFFSET
        i = start
        while i <= end:
            line = i
            line_hash = _FNV_OFFSET
            other = _FNV_OFFSET  # two lanes: a product waits for the one before it
            while i + 1 < end and codes[i] != 10 and codes[i + 1] != 10:
                line_hash = (line_hash ^ np.uint64(codes[i])) * _FNV_PRIME
                other = (other ^ np.uint64(codes[i + 1])) * _FNV_PRIME
                i += 2
            if i < end and codes[i] != 10:
                line_hash = (line_hash ^ np.uint64(codes[i])) * _FNV_PRIME
                i += 1
            line_hash = (line_hash ^ other >> np.uint64(32)) * _FNV_PRIME ^ other
            chars = i - line
            content = line  # the first character that is not space
            while content < i and _is_space(codes[content], index, blocks):
                content += 1
            last = i - 1  # the last one
            while last > content and _is_space(codes[last], index, blocks):
                last -= 1
            content = content if content < i else -1
            at_end = i == end
            i += 1
            if content >= 0:
                line_hash ^= line_hash >> np.uint64(29)
                counts[0, document] += 1
                counts[2, document] += chars
                if codes[last] < 0x10000 and roles[codes[last]] & _IS_TERMINAL:
                    counts[3, document] += 1
                if codes[content] < 0x10000 and roles[codes[content]] & _IS_BULLET:
                    counts[4, document] += 1
                if codes[last] == _ELLIPSIS or (
                    last - content >= 2
                    and codes[last] == _FULL_STOP
                    and codes[last - 1] == _FULL_STOP
                    and codes[last - 2] == _FULL_STOP
                ):
                    counts[5, document] += 1
                counts[6, document] += _ends_with(codes, content, last + 1, endings, cuts)
                counts[7, document] += chars <= short_line_chars
                if _seen_before(line_table, mask, line_hash):
                    counts[8, document] += 1
                    counts[9, document] += chars
                paragraph_chars += chars
                paragraph_hash = (paragraph_hash ^ line_hash) * _FNV_PRIME
                paragraph_hash ^= paragraph_hash >> np.uint64(31)
            if (content < 0 or at_end) and paragraph_chars > 0:
                counts[1, document] += 1
                if _seen_before(paragraph_table, mask, paragraph_hash):
                    counts[10, document] += 1
                    counts[11, document] += paragraph_chars
                paragraph_chars = 0
                paragraph_hash = _FNV_OFFSET
