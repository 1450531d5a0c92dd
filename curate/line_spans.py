"""The kernels of line cleaning that cut: from what was judged to the pieces of text that go.

Kernels of the judging half are repeated where they are needed, see
:func:`yanmo.curate.compiled.kernel`.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .line_classes import ALNUM, DIGIT, HAN, SPACE, Classes
from .line_edges import Lines
from .line_kernels import IS_BLANK, STAYS, Fates
from .line_phrases import KINDS, RULES, Compiled
from .utf8 import Bounds, Bytes, Codes, kernel

Spans = npt.NDArray[np.int64]

_CUT_HEAD, _CUT_TAIL, _CUT_INSIDE = 10, 11, 12
assert KINDS[_CUT_INSIDE] == "cut_inside"

_NAVIGATION: Final = RULES.index("refinedweb_navigation")
_CITATION: Final = RULES.index("c4_citation")
_NAVIGATION_WORDS: Final = 10
"""Source: RefinedWeb cuts pieces out of lines of at most ten words."""


@kernel
def _group(code: int, book: Compiled) -> tuple[int, int]:
    """The range of phrases that start with a character (in either case)."""
    if code > 0xFFFF or book.first[code] == 0:
        return 0, 0
    return book.first[code] - 1, book.ends[book.first[code] - 1]


@kernel
def _matches(codes: Codes, i: int, end: int, book: Compiled, k: int) -> bool:
    """Whether the phrase ``k`` stands at ``i``, ASCII case ignored."""
    start = book.cuts[k]
    length = book.cuts[k + 1] - start
    if i + length > end:
        return False
    for j in range(length):
        code = codes[i + j]
        if 0x41 <= code <= 0x5A:
            code += 32
        if code != book.codes[start + j]:
            return False
    return True


@kernel
def _trimmed(codes: Codes, s: int, e: int, classes: Classes) -> tuple[int, int]:
    """The line without spaces at its ends."""
    while s < e and classes[codes[s]] & SPACE:
        s += 1
    while e > s and classes[codes[e - 1]] & SPACE:
        e -= 1
    return s, e


@kernel
def _count_words(codes: Codes, first: int, last: int, classes: Classes) -> tuple[int, int]:
    """Words (a hanzi or kana each; else runs without space that hold a letter or digit), and the
    characters of the longest run without space, hanzi or kana."""
    words = longest = run = 0
    spelled = False
    for i in range(first, last):
        kind = classes[codes[i]]
        if kind & (SPACE | HAN):
            words += spelled
            spelled = False
            run = 0
            words += kind & HAN != 0
        else:
            run += 1
            longest = max(longest, run)
            spelled |= kind & ALNUM != 0
    return words + spelled, longest


@kernel
def _citation_end(codes: Codes, i: int, e: int, classes: Classes) -> int:
    """The end of ``[12]``, ``[edit]`` or ``[citation needed]`` at ``i``, or ``i``."""
    k = i + 1
    while k < e and classes[codes[k]] & DIGIT:
        k += 1
    if k < e and codes[k] == 0x5D:
        return k + 1 if k > i + 1 else i
    for length in (6, 17):
        if i + length <= e and codes[i + length - 1] == 0x5D:
            same = True
            for k in range(1, length - 1):
                if length == 6:
                    same &= codes[i + k] == (0x65, 0x64, 0x69, 0x74)[k - 1]
                else:
                    same &= codes[i + k] == (
                        0x63, 0x69, 0x74, 0x61, 0x74, 0x69, 0x6F, 0x6E, 0x20, 0x6E, 0x65, 0x65,
                        0x64, 0x65, 0x64,
                    )[k - 1]  # fmt: skip
            if same:
                return i + length
    return i


@kernel
def _navigation(
    codes: Codes,
    s: int,
    e: int,
    classes: Classes,
    book: Compiled,
) -> tuple[int, int]:
    """The piece of a short line that goes, with the spaces beside it; ``(s, s)`` if none."""
    short = _count_words(codes, s, e, classes)[0] <= _NAVIGATION_WORDS
    for i in range(s, e):
        for k in range(*_group(codes[i], book)):
            kind = book.facts[k, 1]
            end = i + book.cuts[k + 1] - book.cuts[k]
            fits = (
                (kind == _CUT_HEAD and i == s)
                or (kind == _CUT_TAIL and end == e)
                or kind == _CUT_INSIDE
            )
            # Hanzi are more than words: there the characters of the line count.
            fits = fits and (short or book.codes[book.cuts[k + 1] - 2] > 127)
            if fits and e - s <= book.facts[k, 3] and _matches(codes, i, e, book, k):
                start = i
                while start > s and classes[codes[start - 1]] & SPACE:
                    start -= 1
                while start == s and end < e and classes[codes[end]] & SPACE:
                    end += 1
                return start, end
    return s, s


@kernel
def _cut(  # noqa: PLR0913
    codes: Codes,
    s: int,
    e: int,
    classes: Classes,
    book: Compiled,
    on: Bytes,
    out: Spans,
    n: int,
) -> int:
    """Put the pieces that go out of a line into ``out[n:]`` (columns 1 to 3); their number."""
    start = stop = s
    if on[_NAVIGATION]:
        start, stop = _navigation(codes, s, e, classes, book)
    begun = n
    i = s
    while i < e:
        if i == start and stop > start:
            out[n, 1], out[n, 2], out[n, 3] = start, stop, _NAVIGATION
            n += 1
            i = stop
            continue
        end = i
        if on[_CITATION] and codes[i] == 0x5B:
            end = _citation_end(codes, i, e, classes)
        if end > i and (stop == start or end <= start or i >= stop):
            out[n, 1], out[n, 2], out[n, 3] = i, end, _CITATION
            n += 1
            i = end
        else:
            i += 1
    return n - begun


@kernel
def _is_cut_away(  # noqa: PLR0913
    codes: Codes, s: int, e: int, classes: Classes, out: Spans, n: int, more: int
) -> bool:  # fmt: skip
    """Whether nothing but spaces stays of a line, without the pieces ``out[n : n + more]``."""
    k, i = n, s
    while i < e:
        if k < n + more and i == out[k, 1]:
            i = out[k, 2]
            k += 1
        elif classes[codes[i]] & SPACE:
            i += 1
        else:
            return False
    return more > 0


@kernel
def spans_that_go(  # noqa: C901, PLR0913
    codes: Codes,
    bounds: Bounds,
    lines: Lines,
    fates: Fates,
    classes: Classes,
    book: Compiled,
    on: Bytes,
) -> Spans:
    """What goes of every document.

    A line goes with the line feed after it; those after the last line that stays, with the one
    before. A blank line goes if two would now follow each other or one would stand at an end.

    Args:
        codes, bounds, lines, classes, book, on: as for
            :func:`yanmo.curate.line_kernels.judge_lines`.
        fates: what that says; a line of which the pieces cut out leave nothing is entered too.

    Returns:
        int64 ``[S, 4]``: document, first code point, code point after the last (both from the start
        of the document), rule; in order, apart from each other.
    """
    cuts = on[_NAVIGATION] or on[_CITATION]
    brackets = np.count_nonzero(codes == 0x5B) if cuts else 0
    out = np.empty((2 * len(lines.edges) + brackets + 1, 4), np.int64)
    n = 0
    for document in range(len(bounds) - 1):
        base = bounds[document]
        first, end = lines.first[document], lines.first[document + 1]
        gone, last = -1, -1
        for line in range(first, end):
            if fates[line] == IS_BLANK:
                continue
            if fates[line] == STAYS and cuts:
                s, e = _trimmed(codes, lines.edges[line, 0], lines.edges[line, 1], classes)
                more = _cut(codes, s, e, classes, book, on, out, n)
                if more and _is_cut_away(codes, s, e, classes, out, n, more):
                    fates[line] = out[n, 3]
            if fates[line] == STAYS:
                last = line
            elif gone < 0:
                gone = fates[line]
        if gone < 0 and not cuts:
            continue
        blank_before = True
        for line in range(first, end):
            s, e = lines.edges[line, 0], lines.edges[line, 1]
            fate = fates[line]
            if fate == STAYS:
                blank_before = False
                if cuts:
                    s, e = _trimmed(codes, s, e, classes)
                    more = _cut(codes, s, e, classes, book, on, out, n)
                    for k in range(n, n + more):
                        out[k, 0] = document
                        out[k, 1] -= base
                        out[k, 2] -= base
                    n += more
                continue
            if fate == IS_BLANK:
                if gone < 0 or not (blank_before or line > last):
                    blank_before = True
                    continue
                fate = gone
            else:
                gone = fate
            if line < last:
                e += 1
            elif line > first:
                s -= 1
            out[n, 0], out[n, 1], out[n, 2], out[n, 3] = document, s - base, e - base, fate
            n += 1
    return out[:n].copy()


@kernel
def span_words(codes: Codes, bounds: Bounds, spans: Spans, classes: Classes) -> Spans:
    """Words of every document, and words in its spans, int64 ``[D, 2]``."""
    out = np.zeros((len(bounds) - 1, 2), np.int64)
    for document in range(len(bounds) - 1):
        out[document, 0] = _count_words(codes, bounds[document], bounds[document + 1], classes)[0]
    for k in range(len(spans)):
        base = bounds[spans[k, 0]]
        words = _count_words(codes, base + spans[k, 1], base + spans[k, 2], classes)[0]
        out[spans[k, 0], 1] += words
    return out
