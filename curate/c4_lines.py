"""C4's removal of lines, for what its document rules and FineWeb's filter see after it.

The text that a run keeps is not edited: only signals are taken of what would be left.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .phrases import MARKERS
from .published_sets import C4_END, IS_DIGIT, IS_SPACE, LINE_END, TERMINAL, Roles, roles
from .utf8 import Bounds, Codes, kernel

Counts = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Kinds = npt.NDArray[np.uint8]

MAX_WORD_CHARS: Final = 1000
MIN_LINE_WORDS: Final = 3
SHORT_LINE_CHARS: Final = 30
CITATIONS: Final = ("[edit]", "[citation needed]")
"""Cut out of lines, besides ``[`` digits ``]``. Source: C4."""

_PHRASES: Final = (
    *MARKERS["n_lorem_ipsum"],
    *MARKERS["n_javascript"],
    *MARKERS["n_policy_phrases"],
)
_RARE: Final = "jzqxkvbpygwmfculdrhsinoate"
"""Letters of English, the rare ones first: a phrase is looked for where its rarest letter is."""
_LOREM: Final = 1
_JAVASCRIPT: Final = 2
_POLICY: Final = 4

# What a line is looked through for: everything else is passed by.
_ENDS_LINE: Final = 1
_SPACE: Final = 2
_CITES: Final = 4
_BRACKET: Final = 8
_RARE_LETTER: Final = 16

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_FREE: Final = np.uint64(0)


@dataclass(frozen=True)
class CleanedLines:
    """What C4 leaves of documents when it does not ask for terminal punctuation.

    Attributes:
        codes, bounds: the text, lines joined by ``\\n``, stripped of space at both ends.
        lines: start and end of each line that is left, in ``codes``, int64 ``[2, L]``.
        sources: start and end of the line in the whole text, if no citation was cut out of it,
            int64 ``[2, L]``; else -1.
        tails: spaces that stood behind each line and went as the end of the text, int64 ``[L]``.
        terminal: whether C4 would have kept the line when it asks, bool ``[L]``.
        line_bounds: document bounds in the lines, int64 ``[D + 1]``.
        lorem: lines with ``lorem ipsum`` that C4 came to see, int64 ``[2, D]``: without and with
            the rule on terminal punctuation.
        brackets: likewise with ``{``.
        counts: int64 ``[5, D]``: lines that are not blank; of those, lines that end in terminal
            punctuation, and lines of at most ``SHORT_LINE_CHARS``; characters of lines that came
            before; line ends.
    """

    codes: Codes
    bounds: Bounds
    lines: Counts
    sources: Counts
    tails: Counts
    terminal: npt.NDArray[np.bool_]
    line_bounds: Bounds
    lorem: Counts
    brackets: Counts
    counts: Counts


@cache
def _phrases() -> tuple[Codes, Bounds, Counts, Codes, Bounds]:
    """Phrases, and where in each its rarest letter stands; citations."""
    joined = np.array([ord(c) for c in "".join(_PHRASES)], np.int32)
    cuts = np.cumsum([0, *map(len, _PHRASES)], dtype=np.int64)
    rare = [phrase.index(min(phrase.replace(" ", ""), key=_RARE.index)) for phrase in _PHRASES]
    cited = np.array([ord(c) for c in "".join(CITATIONS)], np.int32)
    cited_cuts = np.cumsum([0, *map(len, CITATIONS)], dtype=np.int64)
    return joined, cuts, np.array(rare, np.int64), cited, cited_cuts


@cache
def _kinds() -> Kinds:
    """What of ``_ENDS_LINE`` … each character is, uint8 ``[1 114 112]``."""
    joined, cuts, rare, *_ = _phrases()
    table = np.zeros(len(roles()), np.uint8)
    table[(roles() & LINE_END) != 0] |= _ENDS_LINE
    table[(roles() & IS_SPACE) != 0] |= _SPACE
    table[0x5B] |= _CITES
    table[0x7B] |= _BRACKET
    for code in joined[cuts[:-1] + rare].tolist():
        table[[code, code - 32]] |= _RARE_LETTER
    return table


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
    counts = np.zeros((9, documents), np.int64)
    out, out_bounds, lines, terminal = _clean_lines(
        codes, bounds, roles(), _kinds(), *_phrases(), line_bounds, counts
    )
    _count_lines(out, out_bounds, roles(), lines, line_bounds, counts[4:])
    return CleanedLines(
        out, out_bounds, lines[:2], lines[2:4], lines[4], terminal, line_bounds,
        counts[:2], counts[2:4], counts[4:],
    )  # fmt: skip


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
def _found_at(  # noqa: PLR0913
    codes: Codes, start: int, i: int, end: int, phrases: Codes, cuts: Bounds, rare: Counts
) -> int:
    """Phrases whose rarest letter is the one at ``i``, as bits."""
    found = 0
    letter = codes[i] | 0x20
    for k in range(len(cuts) - 1):
        first = cuts[k] + rare[k]
        if phrases[first] != letter or i - rare[k] < start:
            continue
        if _is_at(codes, i - rare[k], end, phrases, cuts[k], cuts[k + 1]):
            found |= _LOREM if k == 0 else _JAVASCRIPT if k == 1 else _POLICY
    return found


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
def _clean_lines(  # noqa: C901, PLR0913
    codes: Codes,
    bounds: Bounds,
    roles: Roles,
    kinds: Kinds,
    phrases: Codes,
    phrase_cuts: Bounds,
    rare: Counts,
    cited: Codes,
    cited_cuts: Bounds,
    line_bounds: Bounds,
    counts: Counts,
) -> tuple[Codes, Bounds, Counts, npt.NDArray[np.bool_]]:
    documents = len(bounds) - 1
    out = np.empty(bounds[documents] - bounds[0] + 1, np.int32)
    out_bounds = np.zeros(documents + 1, np.int64)
    # Three words and the end of a line are six characters.
    most = (bounds[documents] - bounds[0]) // 6 + documents
    lines = np.empty((5, most), np.int64)
    terminal = np.empty(most, np.bool_)
    n = n_lines = 0
    for document in range(documents):
        line, end = bounds[document], bounds[document + 1]
        text = n
        while line < end:
            # One look at every character: ends of the line, words, and what to look at closer.
            words = 0
            too_long = False
            seen = found = 0
            first = last = i = line
            while i < end:
                while i < end and kinds[codes[i]] & _SPACE and not kinds[codes[i]] & _ENDS_LINE:
                    i += 1
                if i == end or kinds[codes[i]] & _ENDS_LINE:
                    break
                word = i
                while i < end:
                    kind = kinds[codes[i]]
                    if kind:
                        if kind & (_SPACE | _ENDS_LINE):
                            break
                        seen |= kind
                        if kind & _RARE_LETTER:
                            found |= _found_at(codes, line, i, end, phrases, phrase_cuts, rare)
                    i += 1
                first = word if words == 0 else first
                last = i
                words += 1
                too_long |= i - word > MAX_WORD_CHARS
            line = i + 1  # CR LF is one line end
            if i + 1 < end and codes[i] == 13 and codes[i + 1] == 10:
                line += 1
            if too_long or words < MIN_LINE_WORDS:
                continue
            # The line without its citations, written where it will stand if it is kept.
            begin = n
            start = n
            if n_lines > line_bounds[document]:
                out[n] = 10
                n += 1
                start = n
            cut = False
            if seen & _CITES:
                i = first
                while i < last:
                    length = 0
                    if codes[i] == 0x5B:
                        length = _citation(codes, i, last, roles, cited, cited_cuts)
                    if length:
                        i += length
                        cut = True
                    else:
                        out[n] = codes[i]
                        n += 1
                        i += 1
            else:
                for i in range(first, last):
                    out[n + i - first] = codes[i]
                n += last - first
            if cut:  # citations may have stood inside a phrase; none holds a bracket
                found = 0
                for i in range(start, n):
                    if kinds[out[i]] & _RARE_LETTER:
                        found |= _found_at(out, start, i, n, phrases, phrase_cuts, rare)
            ends = n > start and (roles[out[n - 1]] & C4_END) != 0
            if n - start > 2 and out[n - 1] == 0x2E and out[n - 2] == 0x2E and out[n - 3] == 0x2E:
                ends = False
            lorem = (found & _LOREM) != 0
            counts[0, document] += lorem
            counts[1, document] += lorem and ends
            if seen & _BRACKET and not found & _JAVASCRIPT:
                counts[2, document] += 1
                counts[3, document] += ends
            if found & (_JAVASCRIPT | _POLICY):
                n = begin
                continue
            lines[0, n_lines], lines[1, n_lines] = start, n
            lines[2, n_lines] = -1 if cut else first
            lines[3, n_lines] = -1 if cut else last
            lines[4, n_lines] = 0
            terminal[n_lines] = ends
            n_lines += 1
        # Strip the text. A line keeps its place; only its ends may move.
        front = text
        while front < n and roles[out[front]] & IS_SPACE:
            front += 1
        while n > front and roles[out[n - 1]] & IS_SPACE:
            n -= 1
        moved = front - text
        if moved:
            for i in range(front, n):
                out[i - moved] = out[i]
        n -= moved
        for k in range(line_bounds[document], n_lines):
            lines[0, k] = min(max(lines[0, k] - moved, text), n + 1)
            last = lines[1, k] - moved
            lines[1, k] = min(max(last, text), n)
            lines[4, k] = last - lines[1, k]
        out_bounds[document + 1] = n
        line_bounds[document + 1] = n_lines
    return out[:n], out_bounds, lines[:, :n_lines].copy(), terminal[:n_lines].copy()


@kernel
def _hash(codes: Codes, start: int, end: int) -> np.uint64:
    """Of a line; four hashes beside one another, because one waits for its own product."""
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
def _count_lines(
    codes: Codes, bounds: Bounds, roles: Roles, lines: Counts, line_bounds: Bounds, counts: Counts
) -> None:
    table = np.zeros(64, np.uint64)
    for document in range(len(bounds) - 1):
        first, last = line_bounds[document], line_bounds[document + 1]
        size = 64
        while size < 2 * (last - first):
            size *= 2
        if size > len(table):
            table = np.zeros(size, np.uint64)
        table[:size] = _FREE
        for line in range(first, last):
            start, end = lines[0, line], lines[1, line]
            if line > first:  # a line end that was not stripped with the space around it
                counts[4, document] += bounds[document] < start and start <= bounds[document + 1]
            i = start
            while i < end and roles[codes[i]] & IS_SPACE:
                i += 1
            if i >= end:
                continue
            counts[0, document] += 1
            counts[1, document] += (roles[codes[end - 1]] & TERMINAL) != 0
            counts[2, document] += end - start <= SHORT_LINE_CHARS
            if _seen_before(table, size - 1, _hash(codes, start, end)):
                counts[3, document] += end - start
