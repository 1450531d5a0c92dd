"""The kernels of line cleaning that judge: the rule that takes a line as a whole, or none."""

from typing import Final

import numpy as np
import numpy.typing as npt

from .line_classes import (
    ALNUM,
    BREAK,
    CLOSER,
    COLON,
    DIGIT,
    HAN,
    NAME,
    PROSE,
    SPACE,
    STOP,
    UPPER,
    Classes,
)  # fmt: skip
from .line_edges import BLANK, IS_ASCII, QUIET, Lines
from .line_phrases import KINDS, PLACES, RULES, Compiled
from .utf8 import Bounds, Bytes, Codes, kernel

Fates = npt.NDArray[np.int64]

START_LINES: Final = 5
END_LINES: Final = 15
"""How many lines with text are the start and the end of a document, within its halves."""

_ALONE, _PAGER, _FILLER, _HEAD, _TAIL, _INSIDE, _FIELD, _LABEL, _NAME, _COUNTER = range(10)
_ANY, _START, _END = 0, 1, 2
STAYS, IS_BLANK = -1, -2
"""Fates of a line that no rule takes."""
_ALL_BITS: Final = np.uint64((1 << 64) - 1)
assert KINDS[_COUNTER] == "counter"
assert PLACES[_END] == "end"

_COUNTERS: Final = RULES.index("refinedweb_counter")
_TERMINAL: Final = RULES.index("c4_terminal_punctuation")
_MIN_WORDS: Final = RULES.index("c4_min_words")
_LONG_WORD: Final = RULES.index("c4_max_word_chars")
_UPPERCASE: Final = RULES.index("refinedweb_uppercase")
_NUMERIC: Final = RULES.index("refinedweb_numeric")
_ONE_WORD: Final = RULES.index("refinedweb_one_word")


@kernel
def _group(code: int, book: Compiled) -> tuple[int, int]:
    """The range of phrases that start with a character (in either case)."""
    if code > 0xFFFF or book.first[code] == 0:
        return 0, 0
    return book.first[code] - 1, book.ends[book.first[code] - 1]


@kernel
def _may_start(codes: Codes, i: int, end: int, seconds: np.uint64) -> bool:
    """Whether a phrase may go on as the text does after ``i``, by bits of second characters."""
    # All of the book here would be a hundred numbers on the stack at every call.
    if i + 1 >= end:
        return bool(seconds == _ALL_BITS)
    following = codes[i + 1]
    if 0x41 <= following <= 0x5A:
        following += 32
    return bool((seconds >> np.uint64(following & 63)) & np.uint64(1))


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
def _bare(codes: Codes, s: int, e: int, classes: Classes) -> tuple[int, int]:
    """The line without what is neither letter nor digit at its ends."""
    while s < e and not classes[codes[s]] & ALNUM:
        s += 1
    while e > s and not classes[codes[e - 1]] & ALNUM:
        e -= 1
    return s, e


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
def _in_place(place: int, number: int, lines: int) -> bool:
    if place == _ANY:
        return True
    at_start = number < START_LINES and 2 * number + 1 < lines
    at_end = number >= lines - END_LINES and 2 * number >= lines and lines > 1
    if place == _START:
        return at_start
    return at_end if place == _END else at_start or at_end


@kernel
def _follows(codes: Codes, i: int, last: int, classes: Classes, kind: int) -> bool:
    """Whether what follows a phrase that ends at ``i`` suits its kind."""
    if kind == _FIELD:
        while i < last and classes[codes[i]] & SPACE:
            i += 1
        return i + 1 < last and classes[codes[i]] & COLON != 0
    if i < last and not classes[codes[i]] & BREAK:
        return False
    if kind == _NAME:
        while i < last:
            if not classes[codes[i]] & NAME:
                return False
            i += 1
    return True


@kernel
def _number_end(codes: Codes, i: int, last: int, classes: Classes) -> int:
    """The end of a number such as ``1,204`` or ``3.5万``; ``i`` if there is none."""
    start = i
    while i < last and (
        classes[codes[i]] & DIGIT
        or (i > start and (codes[i] == 0x2C or codes[i] == 0x2E) and i + 1 < last
            and classes[codes[i + 1]] & DIGIT)
    ):  # fmt: skip
        i += 1
    if i > start and i < last:
        code = codes[i]
        # k m b w, if no letter follows; 万 萬 亿 億 千
        short = (code | 0x20) in (0x6B, 0x6D, 0x62, 0x77) and (
            i + 1 == last or not classes[codes[i + 1]] & ALNUM or classes[codes[i + 1]] & HAN
        )
        if short or code in (0x4E07, 0x842C, 0x4EBF, 0x5104, 0x5343):
            i += 1
    return i


@kernel
def _gap_end(codes: Codes, i: int, last: int, classes: Classes) -> int:
    """The end of at most three spaces, colons and brackets."""
    stop = min(last, i + 3)
    while i < stop and classes[codes[i]] & (NAME | ALNUM) == NAME:
        i += 1
    return i


@kernel
def _is_counter(
    codes: Codes,
    lead: int,
    trail: int,
    classes: Classes,
    book: Compiled,
) -> bool:
    if trail - lead > 40:
        return False
    after = _number_end(codes, lead, trail, classes)
    at = _gap_end(codes, after, trail, classes) if after > lead else lead
    if at == trail:
        return False
    for k in range(*_group(codes[at], book)):
        if book.facts[k, 1] != _COUNTER or not _matches(codes, at, trail, book, k):
            continue
        end = at + book.cuts[k + 1] - book.cuts[k]
        if after > lead and end == trail:
            return True
        if after == lead:
            start = _gap_end(codes, end, trail, classes)
            number = _number_end(codes, start, trail, classes)
            if number > start and number == trail and start > end:
                return True
    return False


@kernel
def _menu(  # noqa: PLR0913
    codes: Codes,
    lead: int,
    trail: int,
    place: int,
    lines: int,
    classes: Classes,
    book: Compiled,
) -> int:
    """The rule of the first phrase of a line that is made of menu phrases, or -1.

    With three phrases of four characters and more, a third of the letters is enough, if there is no
    comma or full stop: footers hold names that are in no list.
    """
    rule = -1
    makers = letters = covered = 0
    pager = digits = prose = False
    second = book.second
    i = lead
    while i < trail:
        code = codes[i]
        if not classes[code] & ALNUM:
            prose |= classes[code] & PROSE != 0
            i += 1
            continue
        if classes[code] & DIGIT:
            digits = True
            i += 1
            continue
        step = 0
        makes = -1
        first = stop = 0
        if code <= 0xFFFF and second[code] and _may_start(codes, i, trail, second[code]):
            first, stop = book.first[code] - 1, book.ends[book.first[code] - 1]
        for k in range(first, stop):
            length = int(book.cuts[k + 1] - book.cuts[k])
            if (
                book.facts[k, 1] <= _FILLER
                and length >= step
                and trail - lead <= book.facts[k, 3]
                and _in_place(book.facts[k, 2], place, lines)
                and _matches(codes, i, trail, book, k)
            ):
                step = length
                if book.facts[k, 1] != _FILLER and makes < 0:
                    makes = book.facts[k, 0]
                pager |= book.facts[k, 1] == _PAGER
        letters += max(step, 1)
        covered += step
        bare = letters - covered
        if bare and (prose or bare > 2 * (covered + trail - i)):
            return -1  # whatever follows
        makers += makes >= 0 and step >= 4
        if rule < 0:
            rule = makes
        i += max(step, 1)
    if covered == letters:
        return -1 if digits and not pager else rule
    return rule if makers >= 3 and 3 * covered >= letters and not prose else -1


@kernel
def _phrase_rule(  # noqa: PLR0913
    codes: Codes,
    s: int,
    e: int,
    place: int,
    lines: int,
    classes: Classes,
    book: Compiled,
    is_ascii: bool,
) -> int:
    """The first rule that has a phrase for the line, or a number above all rules."""
    lead, trail = _bare(codes, s, e, classes)
    best = 1 << 30
    within = book.ascii_within if is_ascii else book.within
    second = book.second
    for i in range(lead, trail):
        # Most characters start no phrase that may stand inside a line as long as this one.
        if i > lead and (codes[i] > 0xFFFF or within[codes[i]] < e - s):
            continue
        code = codes[i]
        if code > 0xFFFF or not second[code] or not _may_start(codes, i, e, second[code]):
            continue
        for k in range(book.first[code] - 1, book.ends[book.first[code] - 1]):
            kind = book.facts[k, 1]
            end = i + book.cuts[k + 1] - book.cuts[k]
            fits = (
                book.facts[k, 0] < best
                and e - s <= book.facts[k, 3]
                and _HEAD <= kind <= _NAME
                and (i == lead or kind in (_INSIDE, _TAIL))
                and (kind != _TAIL or end == trail)
                and _in_place(book.facts[k, 2], place, lines)
                and _matches(codes, i, e, book, k)
            )
            if fits and (kind < _FIELD or _follows(codes, end, e, classes, kind)):
                best = book.facts[k, 0]
    return best


@kernel
def _ends_sentence(codes: Codes, s: int, e: int, classes: Classes) -> bool:
    """C4's terminal punctuation, in Chinese too; three dots are none, an ellipsis is one."""
    i = e - 1
    if i - 2 >= s and codes[i] == 0x2E and codes[i - 1] == 0x2E and codes[i - 2] == 0x2E:
        return False
    if codes[i] in (0x22, 0x27, 0x201D, 0x300D, 0x300F):
        return True
    while i > s and classes[codes[i]] & CLOSER:
        i -= 1
    return bool(classes[codes[i]] & STOP != 0)


@kernel
def _judge(  # noqa: C901, PLR0913
    codes: Codes,
    s: int,
    e: int,
    place: int,
    lines: int,
    classes: Classes,
    book: Compiled,
    on: Bytes,
    limits: npt.NDArray[np.float64],
    is_ascii: bool,
) -> int:
    """The rule that takes the line ``codes[s:e]`` (it starts and ends with no space), or -1."""
    # What starts with / ' " ` ! = # is a line of code, a quotation, a picture or a heading.
    opener = codes[s]
    coded = opener in (0x2F, 0x27, 0x22, 0x60, 0x21, 0x3D, 0x23)
    if len(book.facts) and e - s <= limits[3] and not coded:
        lead, trail = _bare(codes, s, e, classes)
        if lead < trail:
            rule = -1
            if trail - lead <= (book.ascii_menu[0] if is_ascii else limits[4]):
                rule = _menu(codes, lead, trail, place, lines, classes, book)
            found = _phrase_rule(codes, s, e, place, lines, classes, book, is_ascii)
            if rule < 0 or found < rule:
                rule = found
            if rule > _COUNTERS and on[_COUNTERS] and _is_counter(
                codes, lead, trail, classes, book
            ):  # fmt: skip
                rule = _COUNTERS
            if rule < len(on):
                return rule
    if on[_TERMINAL] and not _ends_sentence(codes, s, e, classes):
        return _TERMINAL
    words = longest = 0
    if on[_MIN_WORDS] or on[_LONG_WORD] or on[_ONE_WORD]:
        words, longest = _count_words(codes, s, e, classes)
        if on[_MIN_WORDS] and words < limits[0]:
            return _MIN_WORDS
        if on[_LONG_WORD] and longest > limits[1]:
            return _LONG_WORD
    if on[_UPPERCASE]:
        upper = 0
        for i in range(s, e):
            upper += classes[codes[i]] & UPPER != 0
        if upper > limits[2] * (e - s):
            return _UPPERCASE
    if on[_NUMERIC]:
        i = s
        while i < e and classes[codes[i]] & (DIGIT | SPACE):
            i += 1
        if i == e:
            return _NUMERIC
    if on[_ONE_WORD] and words < 2:
        return _ONE_WORD
    return -1


@kernel
def judge_lines(  # noqa: PLR0913
    codes: Codes,
    bounds: Bounds,
    lines: Lines,
    classes: Classes,
    book: Compiled,
    on: Bytes,
    limits: npt.NDArray[np.float64],
) -> Fates:
    """What becomes of every line.

    Args:
        codes, bounds: code points of the documents, int32, and their bounds, int64 ``[D + 1]``.
        lines: theirs, from :mod:`yanmo.curate.line_edges`.
        classes: from :mod:`yanmo.curate.line_classes`.
        book: from :mod:`yanmo.curate.line_phrases`.
        on: uint8 ``[len(RULES)]``: which rules apply.
        limits: least words, most characters of a word, greatest share of capitals, most characters
            of a line that phrases are looked for in, and of one that may be a menu.

    Returns:
        int64 ``[L]``: the rule that takes the line, ``STAYS`` or ``IS_BLANK``.
    """
    # With no other rule on, a line in which no phrase may stand is not judged.
    only_phrases = book.ascii_menu[0] == 0
    for rule in (_TERMINAL, _MIN_WORDS, _LONG_WORD, _UPPERCASE, _NUMERIC, _ONE_WORD):
        only_phrases &= on[rule] == 0
    fates = np.where(lines.kinds & BLANK, IS_BLANK, STAYS)
    for document in range(len(bounds) - 1):
        first, end = lines.first[document], lines.first[document + 1]
        texts = int(np.count_nonzero(fates[first:end] == STAYS))
        number = 0
        for line in range(first, end):
            if fates[line] == IS_BLANK:
                continue
            kind = lines.kinds[line]
            if not (only_phrases and kind & QUIET):
                s, e = _trimmed(codes, lines.edges[line, 0], lines.edges[line, 1], classes)
                fates[line] = _judge(codes, s, e, number, texts, classes, book,
                                     on, limits, kind & IS_ASCII != 0)  # fmt: skip
            number += 1
    return fates
