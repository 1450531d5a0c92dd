"""Lines as the published filters cut them.

Three cuts stand side by side: ``splitlines`` with its empty lines (Gopher's bullets and ellipses,
C4, MAP-NEO), runs of ``\\n`` (Gopher's duplicate lines and paragraphs), and single ``\\n`` without
blank lines (FineWeb). ``yanmo.curate.layout`` has ours.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .published_sets import IS_SPACE, LINE_END, TERMINAL, Roles, roles
from .utf8 import Bounds, Codes, kernel

Counts = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Kinds = npt.NDArray[np.uint8]

_ENDS_LINE: Final = 1
_DOT: Final = 2
_ELLIPSIS: Final = 3

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
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
    newlines: Counts
    """Characters ``\\n``."""


def count_published_lines(codes: Codes, bounds: Bounds) -> PublishedLines:
    """Count lines of every document.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.

    Source: datatrove 0.10.1, Gopher and FineWeb filters.
    """
    counts = np.zeros((len(fields(PublishedLines)), len(bounds) - 1), np.int64)
    _count_lines(codes, bounds, _kinds(), roles(), counts)
    return PublishedLines(*counts)


@cache
def _kinds() -> Kinds:
    """What a line is looked through for; everything else is passed by."""
    table = np.zeros(len(roles()), np.uint8)
    table[(roles() & LINE_END) != 0] = _ENDS_LINE
    table[[0x2E, 0x2026]] = _DOT, _ELLIPSIS
    return table


@kernel
def _trimmed(codes: Codes, start: int, end: int, roles: Roles) -> tuple[int, int]:
    """A stretch without the space at its ends."""
    while start < end and roles[codes[start]] & IS_SPACE:
        start += 1
    while end > start and roles[codes[end - 1]] & IS_SPACE:
        end -= 1
    return start, end


@kernel
def _split_lines(  # noqa: PLR0913
    codes: Codes, start: int, end: int, kinds: Kinds, roles: Roles, breaks: Counts, counts: Counts
) -> int:  # fmt: skip
    """Count the lines of a document; ``breaks`` gets where its ``\\n`` are. Returns how many."""
    n = run = 0
    line = start
    visible = False  # since the last \\n
    i = start
    while i <= end:
        if i < end:
            kind = kinds[codes[i]]
            if kind == 0:  # most of all text
                i += 1
                continue
            if kind == _DOT:
                run = 1
                while i + run < end and codes[i + run] == 0x2E:
                    run += 1
                counts[3] += run // 3
                i += run
                continue
            if kind == _ELLIPSIS:
                counts[3] += 1
                i += 1
                continue
        first, last = _trimmed(codes, line, i, roles)
        if first < last:
            visible = True
            counts[1] += codes[first] == 0x2022 or codes[first] == 0x2D
            dots = 0
            while dots < 3 and last - dots > first and codes[last - 1 - dots] == 0x2E:
                dots += 1
            counts[2] += codes[last - 1] == 0x2026 or dots == 3
        counts[0] += line < end
        if i + 1 < end and codes[i] == 13 and codes[i + 1] == 10:  # one line end
            i += 1
        at_break = i < end and codes[i] == 10
        if visible and (at_break or i == end):
            counts[10] += (roles[codes[i - 1]] & TERMINAL) != 0
            counts[11] += 1
        if at_break:
            breaks[n] = i
            n += 1
            visible = False
        i += 1
        line = i
    return n


@kernel
def _hash(codes: Codes, start: int, end: int) -> np.uint64:
    """Of a piece; four hashes beside one another, because one waits for its own product."""
    first, second, third, fourth = _FACTOR, _FACTOR, _FACTOR, _FACTOR
    i = start
    while i + 4 <= end:
        first = (first ^ np.uint64(codes[i])) * _FACTOR
        second = (second ^ np.uint64(codes[i + 1])) * _FACTOR
        third = (third ^ np.uint64(codes[i + 2])) * _FACTOR
        fourth = (fourth ^ np.uint64(codes[i + 3])) * _FACTOR
        i += 4
    while i < end:
        first = (first ^ np.uint64(codes[i])) * _FACTOR
        i += 1
    for part in (second, third, fourth, np.uint64(end - start)):
        first = (first ^ first >> np.uint64(29) ^ part) * _FACTOR
    return first ^ first >> np.uint64(32)


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
    codes: Codes, start: int, end: int, breaks: Counts, least: int, table: Keys, counts: Counts
) -> None:  # fmt: skip
    """Pieces between runs of at least ``least`` breaks; ``counts``: pieces, duplicates, chars."""
    size = 64
    while size < 2 * (len(breaks) + 2):
        size *= 2
    table[:size] = _FREE
    piece = start
    k = 0
    while piece <= end:
        stop, following = end, end + 1
        while k < len(breaks):
            run = 1
            while k + run < len(breaks) and breaks[k + run] == breaks[k] + run:
                run += 1
            k += run
            if breaks[k - 1] >= start and run >= least and breaks[k - run] < end:
                stop, following = breaks[k - run], breaks[k - 1] + 1
                break
        counts[0] += 1
        if _seen_before(table, size - 1, _hash(codes, piece, stop)):
            counts[1] += 1
            counts[2] += stop - piece
        piece = following


@kernel
def _count_lines(codes: Codes, bounds: Bounds, kinds: Kinds, roles: Roles, out: Counts) -> None:
    breaks = np.empty(bounds[len(bounds) - 1] - bounds[0], np.int64)
    table = np.zeros(64, np.uint64)
    counts = np.empty(len(out), np.int64)
    for document in range(len(bounds) - 1):
        start, end = bounds[document], bounds[document + 1]
        counts[:] = 0
        n = _split_lines(codes, start, end, kinds, roles, breaks, counts)
        if len(table) < 4 * (n + 2):
            table = np.zeros(8 * (n + 2), np.uint64)
        counts[12] = n
        _count_pieces(codes, start, end, breaks[:n], 1, table, counts[4:7])
        start, end = _trimmed(codes, start, end, roles)
        _count_pieces(codes, start, end, breaks[:n], 2, table, counts[7:10])
        out[:, document] = counts
