"""C4's removal of lines, for what its document rules and FineWeb's filter see after it.

The text that a run keeps is not edited: only signals are taken of what would be left.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .phrases import MARKERS
from .published_sets import C4_END, IS_DIGIT, IS_SPACE, LINE_END, Roles, roles
from .utf8 import Bounds, Codes, kernel

Counts = npt.NDArray[np.int64]

MAX_WORD_CHARS: Final = 1000
MIN_LINE_WORDS: Final = 3
CITATIONS: Final = ("[edit]", "[citation needed]")
"""Cut out of lines, besides ``[`` digits ``]``. Source: C4."""

_PHRASES: Final = (
    *MARKERS["n_lorem_ipsum"],
    *MARKERS["n_javascript"],
    *MARKERS["n_policy_phrases"],
)
_LOREM: Final = 0
_JAVASCRIPT: Final = 1


@dataclass(frozen=True)
class CleanedLines:
    """What C4 leaves of documents when it does not ask for terminal punctuation.

    Attributes:
        codes, bounds: the text, lines joined by ``\\n``, stripped of space at both ends.
        lines: end of each line that is left, in ``codes``, int64 ``[L]``.
        terminal: whether C4 would have kept the line when it asks, bool ``[L]``.
        line_bounds: document bounds in ``lines``, int64 ``[D + 1]``.
        lorem: lines with ``lorem ipsum`` that C4 came to see, int64 ``[2, D]``: without and with
            the rule on terminal punctuation.
        brackets: likewise with ``{``.
    """

    codes: Codes
    bounds: Bounds
    lines: Counts
    terminal: npt.NDArray[np.bool_]
    line_bounds: Bounds
    lorem: Counts
    brackets: Counts


@cache
def _phrases() -> tuple[Codes, Bounds, Codes, Bounds]:
    joined = np.array([ord(c) for c in "".join(_PHRASES)], np.int32)
    cuts = np.cumsum([0, *map(len, _PHRASES)], dtype=np.int64)
    cited = np.array([ord(c) for c in "".join(CITATIONS)], np.int32)
    return joined, cuts, cited, np.cumsum([0, *map(len, CITATIONS)], dtype=np.int64)


def clean_lines(codes: Codes, bounds: Bounds) -> CleanedLines:
    """Apply C4's line rules.

    A line goes if a word has more than 1000 characters, if it has under 3 words (cut at spaces), or
    if it holds "javascript" or a phrase about cookies and terms of use; citations such as ``[1]``
    are cut out of the others.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.

    Source: C4, as datatrove 0.10.1 reads it.
    """
    documents = len(bounds) - 1
    line_bounds = np.zeros(documents + 1, np.int64)
    marks = np.zeros((4, documents), np.int64)
    out, out_bounds, lines, terminal = _clean_lines(
        codes, bounds, roles(), *_phrases(), line_bounds, marks
    )
    return CleanedLines(out, out_bounds, lines, terminal, line_bounds, marks[:2], marks[2:])


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
def _is_at(codes: Codes, i: int, end: int, phrases: Codes, start: int, stop: int) -> bool:
    """Whether the phrase ``phrases[start:stop]`` stands at ``i``, ASCII case ignored."""
    if i + stop - start > end:
        return False
    for k in range(stop - start):
        code = codes[i + k]
        if 0x41 <= code <= 0x5A:
            code += 32
        if code != phrases[start + k]:
            return False
    return True


@kernel
def _citation(codes: Codes, i: int, end: int, roles: Roles, cited: Codes, cuts: Bounds) -> int:
    """Characters of the citation at ``i``, or 0. Unlike phrases, ``[Edit]`` is none."""
    k = i + 1
    while k < end and roles[codes[k]] & IS_DIGIT:
        k += 1
    if k < end and codes[k] == 0x5D:
        return k + 1 - i
    for phrase in range(len(cuts) - 1):
        length = int(cuts[phrase + 1] - cuts[phrase])
        if i + length <= end:
            same = True
            for k in range(length):
                same &= codes[i + k] == cited[cuts[phrase] + k]
            if same:
                return length
    return 0


@kernel
def _too_few_or_long(codes: Codes, first: int, last: int, roles: Roles) -> bool:
    words = 0
    i = first
    while i < last:
        word = i
        while i < last and not roles[codes[i]] & IS_SPACE:
            i += 1
        if i - word > MAX_WORD_CHARS:
            return True
        words += 1
        while i < last and roles[codes[i]] & IS_SPACE:
            i += 1
    return words < MIN_LINE_WORDS


@kernel
def _clean_lines(  # noqa: C901, PLR0913
    codes: Codes,
    bounds: Bounds,
    roles: Roles,
    phrases: Codes,
    phrase_cuts: Bounds,
    cited: Codes,
    cited_cuts: Bounds,
    line_bounds: Bounds,
    marks: Counts,
) -> tuple[Codes, Bounds, Counts, npt.NDArray[np.bool_]]:
    documents = len(bounds) - 1
    out = np.empty(bounds[documents] - bounds[0] + 1, np.int32)
    out_bounds = np.zeros(documents + 1, np.int64)
    most = documents + 1
    for i in range(bounds[0], bounds[documents]):
        most += (roles[codes[i]] & LINE_END) != 0
    lines = np.empty(most, np.int64)
    terminal = np.zeros(most, np.bool_)
    n = n_lines = 0
    for document in range(documents):
        line, end = bounds[document], bounds[document + 1]
        text = n
        while line < end:
            stop = _line_end(codes, line, end, roles)
            first, last = line, stop
            line = _next_line(codes, stop, end)
            while first < last and roles[codes[first]] & IS_SPACE:
                first += 1
            while last > first and roles[codes[last - 1]] & IS_SPACE:
                last -= 1
            if _too_few_or_long(codes, first, last, roles):
                continue
            # The line without its citations, written where it will stand if it is kept.
            start = n
            if n_lines > line_bounds[document]:
                out[n] = 10
                n += 1
                start = n
            i = first
            while i < last:
                length = 0
                if codes[i] == 0x5B:
                    length = _citation(codes, i, last, roles, cited, cited_cuts)
                if length:
                    i += length
                else:
                    out[n] = codes[i]
                    n += 1
                    i += 1
            ends = n > start and (roles[out[n - 1]] & C4_END) != 0
            if n - start > 2 and out[n - 1] == 0x2E and out[n - 2] == 0x2E and out[n - 3] == 0x2E:
                ends = False
            lorem = javascript = policy = bracket = False
            for i in range(start, n):
                code = out[i]
                bracket |= code == 0x7B
                if code not in (
                    0x6C,
                    0x4C,
                    0x6A,
                    0x4A,
                    0x74,
                    0x54,
                    0x70,
                    0x50,
                    0x63,
                    0x43,
                    0x75,
                    0x55,
                ):
                    continue
                for k in range(len(phrase_cuts) - 1):
                    if _is_at(out, i, n, phrases, phrase_cuts[k], phrase_cuts[k + 1]):
                        lorem |= k == _LOREM
                        javascript |= k == _JAVASCRIPT
                        policy |= k > _JAVASCRIPT
            marks[0, document] += lorem
            marks[1, document] += lorem and ends
            bracket &= not javascript
            marks[2, document] += bracket
            marks[3, document] += bracket and ends
            if javascript or policy:
                n = start - 1 if n_lines > line_bounds[document] else start
                continue
            lines[n_lines] = n
            terminal[n_lines] = ends
            n_lines += 1
        # Strip the text. A line keeps its place; only its ends may move.
        front = text
        while front < n and roles[out[front]] & IS_SPACE:
            front += 1
        while n > front and roles[out[n - 1]] & IS_SPACE:
            n -= 1
        for i in range(front, n):
            out[text + i - front] = out[i]
        for k in range(line_bounds[document], n_lines):
            lines[k] = min(max(lines[k] - (front - text), text), n - (front - text))
        n -= front - text
        out_bounds[document + 1] = n
        line_bounds[document + 1] = n_lines
    return out[:n].copy(), out_bounds, lines[:n_lines].copy(), terminal[:n_lines].copy()
