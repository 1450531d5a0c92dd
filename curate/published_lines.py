"""Lines as the published filters cut them.

Three cuts stand side by side: ``splitlines`` with its empty lines (Gopher's bullets and ellipses,
C4, MAP-NEO), runs of ``\\n`` (Gopher's duplicate lines and paragraphs), and single ``\\n`` without
blank lines (FineWeb). ``yanmo.curate.layout`` has ours.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from .published_sets import IS_SPACE, LINE_END, TERMINAL, Roles, roles
from .utf8 import Bounds, Codes, kernel

Counts = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_PRIME: Final = np.uint64(0x100000001B3)
_FREE: Final = np.uint64(0)


@dataclass(frozen=True)
class PublishedLines:
    """Counts of lines, one row a document, all int64 ``[D]``; a duplicate came before."""

    gopher_lines: Counts
    """Lines of ``splitlines``, empty ones too."""
    bullet_lines: Counts
    """Of those, whose first visible character is ``•`` or ``-``."""
    ellipsis_lines: Counts
    """Of those, whose last visible characters are ``...`` or ``…``."""
    ellipses: Counts
    """``...`` (six full stops are two) and ``…``."""
    pieces: Counts
    """What runs of ``\\n`` separate; a text that begins or ends in one has an empty piece there."""
    duplicate_pieces: Counts
    duplicate_piece_chars: Counts
    paragraphs: Counts
    """What runs of two or more ``\\n`` separate, after the text is stripped of space."""
    duplicate_paragraphs: Counts
    duplicate_paragraph_chars: Counts
    terminal_lines: Counts
    """Lines between two ``\\n`` that are not blank and end in terminal punctuation."""
    text_lines: Counts
    """Lines between two ``\\n`` that are not blank."""


def count_published_lines(codes: Codes, bounds: Bounds) -> PublishedLines:
    """Count lines of every document.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.

    Source: datatrove 0.10.1, Gopher and FineWeb filters.
    """
    counts = np.zeros((len(fields(PublishedLines)), len(bounds) - 1), np.int64)
    _split_lines(codes, bounds, roles(), counts)
    _pieces(codes, bounds, roles(), counts)
    return PublishedLines(*counts)


@kernel
def _line_end(codes: Codes, i: int, end: int, roles: Roles) -> int:
    """The end of the line that starts at ``i``."""
    while i < end and not roles[codes[i]] & LINE_END:
        i += 1
    return i


@kernel
def _next_line(codes: Codes, i: int, end: int) -> int:
    """Where the line after the line end at ``i`` starts: ``\\r\\n`` is one."""
    return i + 2 if i + 1 < end and codes[i] == 13 and codes[i + 1] == 10 else i + 1


@kernel
def _split_lines(codes: Codes, bounds: Bounds, roles: Roles, counts: Counts) -> None:
    for document in range(len(bounds) - 1):
        line, end = bounds[document], bounds[document + 1]
        while line < end:
            stop = _line_end(codes, line, end, roles)
            first, last = line, stop
            while first < last and roles[codes[first]] & IS_SPACE:
                first += 1
            while last > first and roles[codes[last - 1]] & IS_SPACE:
                last -= 1
            counts[0, document] += 1
            if first < last:
                counts[1, document] += codes[first] == 0x2022 or codes[first] == 0x2D
                dots = 0
                while dots < 3 and last - dots > first and codes[last - 1 - dots] == 0x2E:
                    dots += 1
                counts[2, document] += codes[last - 1] == 0x2026 or dots == 3
            line = _next_line(codes, stop, end)
        run = 0
        for i in range(bounds[document], end):
            run = run + 1 if codes[i] == 0x2E else 0
            if run == 3 or codes[i] == 0x2026:
                counts[3, document] += 1
                run = 0


@kernel
def _seen_before(table: Keys, mask: int, key: np.uint64) -> bool:
    key = key | np.uint64(1)  # zero marks a free slot
    slot = np.int64(key >> np.uint64(20)) & mask
    while table[slot] != _FREE:
        if table[slot] == key:
            return True
        slot = (slot + 1) & mask
    table[slot] = key
    return False


@kernel
def _count_pieces(  # noqa: PLR0913
    codes: Codes, start: int, end: int, breaks: int, table: Keys, mask: int, counts: Counts
) -> None:
    """Pieces between runs of at least ``breaks`` ``\\n``; ``counts``: pieces, duplicates, chars."""
    i = start
    while i <= end:
        piece = i
        key = _OFFSET
        while i < end:
            if codes[i] == 10:
                run = i
                while run < end and codes[run] == 10:
                    run += 1
                if run - i >= breaks:
                    break
            key = (key ^ np.uint64(codes[i])) * _PRIME
            i += 1
        counts[0] += 1
        key ^= key >> np.uint64(29)
        if _seen_before(table, mask, key):
            counts[1] += 1
            counts[2] += i - piece
        if i == end:
            return
        while i < end and codes[i] == 10:
            i += 1


@kernel
def _pieces(codes: Codes, bounds: Bounds, roles: Roles, counts: Counts) -> None:
    table = np.zeros(64, np.uint64)
    found = np.zeros(3, np.int64)
    for document in range(len(bounds) - 1):
        start, end = bounds[document], bounds[document + 1]
        breaks = 0
        visible = False
        for i in range(start, end):
            if codes[i] == 10:
                breaks += 1
                visible = False
            else:
                visible |= (roles[codes[i]] & IS_SPACE) == 0
                if visible and (i + 1 == end or codes[i + 1] == 10):
                    counts[10, document] += (roles[codes[i]] & TERMINAL) != 0
                    counts[11, document] += 1
        size = 64
        while size < 2 * (breaks + 2):
            size *= 2
        if size > len(table):
            table = np.zeros(size, np.uint64)
        for paragraphs in range(2):
            table[:size] = _FREE
            found[:] = 0
            first, last = start, end
            if paragraphs:
                while first < last and roles[codes[first]] & IS_SPACE:
                    first += 1
                while last > first and roles[codes[last - 1]] & IS_SPACE:
                    last -= 1
            _count_pieces(codes, first, last, 1 + paragraphs, table, size - 1, found)
            for k in range(3):
                counts[4 + 3 * paragraphs + k, document] = found[k]
