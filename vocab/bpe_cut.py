"""From a text column to code points, words and segments: the first half of fast encoding.

Byte-level vocabularies cut a text into words by a pattern. Words, or whole texts, are then cut
between two characters that no entry of the vocabulary holds side by side: no merge crosses such a
place, so merging each *segment* by itself gives what merging the whole gives. With Chinese
vocabularies a segment has one to three characters.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .kernels import Number, kernel

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int32]
Bounds = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

CODES: Final = 0x110000
OTHER, LETTER, NUMBER, SPACE, LINE = range(5)  # kinds of characters, the low bits of a class
KIND: Final = 7
HAND: Final = 8  # the text goes to the reference: its normaliser might change this character
START: Final = 16  # a token that is looked for in the text itself starts with this character
LEFT: Final = 32  # some entry holds this character and the first bytes of the next one
RIGHT: Final = 64  # some entry holds the last bytes of a character and then this one
UNKNOWN: Final = 255  # not yet classified

WHOLE, GPT2, CL100K = range(3)  # how a text is cut into words
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


class CutTables(NamedTuple):
    """Where texts may be cut.

    Attributes:
        joined: bits of a Bloom filter (one hash) of characters that stand side by side in an entry;
            a power of two of words.
        crossed: uint8 ``[256, 64]``: an entry holds the end of a character whose last byte is the
            first index and the start of one whose first byte is 0xC0 + the second.
        byte_level: entries may hold parts of characters.
        style: ``WHOLE``, ``GPT2`` or ``CL100K``; ``digits``: most numerals of a word.
        patterns: characters of the tokens looked for in the text, ``[pattern_bounds]``.
    """

    joined: Words
    crossed: Bytes
    byte_level: bool
    style: int
    digits: int
    patterns: Codes
    pattern_bounds: Bounds


@kernel
def decode(
    buffer: Bytes, offsets: Bounds, prefix: int, space: int, classes: Bytes
) -> tuple[Codes, Bounds, Codes]:
    """Decode documents into code points, and list the characters that have no class yet.

    Args:
        buffer: UTF-8 bytes, as Arrow holds them.
        offsets: byte offsets of the documents ``[D + 1]``.
        prefix: put before each text that is not empty; -1: nothing.
        space: what U+0020 becomes.
        classes: uint8 ``[0x110000]``; what is listed is marked 0.

    Returns:
        Code points, their bounds ``[D + 1]``, and the new characters.
    """
    documents = len(offsets) - 1
    codes = np.empty(offsets[documents] - offsets[0] + documents, np.int32)
    bounds = np.empty(documents + 1, np.int64)
    new = np.empty(CODES, np.int32)  # room for all; pages that are not touched cost nothing
    n = found = 0
    for document in range(documents):
        bounds[document] = n
        i, end = offsets[document], offsets[document + 1]
        if i < end and prefix >= 0:
            codes[n] = prefix
            n += 1
        while i < end:
            lead = np.int32(buffer[i])
            if lead < 0x80:
                code = lead if lead != 0x20 else np.int32(space)
                i += 1
            elif lead < 0xE0:
                code = (lead & 0x1F) << 6 | np.int32(buffer[i + 1]) & 0x3F
                i += 2
            elif lead < 0xF0:
                code = (lead & 0x0F) << 12 | (np.int32(buffer[i + 1]) & 0x3F) << 6
                code |= np.int32(buffer[i + 2]) & 0x3F
                i += 3
            else:
                code = (lead & 0x07) << 18 | (np.int32(buffer[i + 1]) & 0x3F) << 12
                code |= (np.int32(buffer[i + 2]) & 0x3F) << 6 | np.int32(buffer[i + 3]) & 0x3F
                i += 4
            codes[n] = code
            n += 1
            if classes[code] == UNKNOWN:
                classes[code] = 0
                new[found] = code
                found += 1
    bounds[documents] = n
    return codes[:n], bounds, new[:found].copy()


@kernel
def cut(
    codes: Codes, bounds: Bounds, classes: Bytes, tables: CutTables
) -> tuple[Bounds, Bounds, Flags]:
    """Cut documents into segments.

    Args:
        codes: code points of all documents.
        bounds: where each starts ``[D + 1]``.
        classes: of every character that occurs.
        tables: where to cut.

    Returns:
        Of every segment twice its end, and one more if it is a whole word; for each document the
        end of its segments in that array (``[D + 1]``); and which documents go to the reference
        instead (they have no segments).
    """
    documents = len(bounds) - 1
    segments = np.empty(len(codes), np.int64)
    ends = np.zeros(documents + 1, np.int64)
    handed = np.zeros(documents, np.bool_)
    plain = tables.style == WHOLE and len(tables.pattern_bounds) == 1
    # Arrays of a tuple are taken out of it here: handing on the tuple counts references each time.
    joined, crossed, style, digits = tables.joined, tables.crossed, tables.style, tables.digits
    byte_level = tables.byte_level
    n = 0
    for document in range(documents):
        i, end = bounds[document], bounds[document + 1]
        if not plain:
            handed[document] = _foreign(codes, i, end, classes, tables)
        if handed[document]:
            i = end
        while i < end:
            if style == WHOLE:
                stop = end
            elif style == GPT2:
                stop = _gpt2_word(codes, i, end, classes)
            else:
                stop = _cl100k_word(codes, i, end, classes, digits)
            before = n
            while i < stop:
                i += 1
                while i < stop and (
                    _in_filter(codes[i - 1], codes[i], joined)
                    or (byte_level and _ends_meet(codes[i - 1], codes[i], classes, joined, crossed))
                ):
                    i += 1
                segments[n] = 2 * i
                n += 1
            if n == before + 1:
                segments[before] += 1
        ends[document + 1] = n
    return segments[:n], ends, handed


@kernel
def _foreign(codes: Codes, i: int, end: int, classes: Bytes, tables: CutTables) -> bool:
    """Whether a document holds what the reference must see."""
    for k in range(i, end):
        found = classes[codes[k]]
        if found & (HAND | START) and (found & HAND or _special(codes, k, end, tables)):
            return True
    return False


@kernel
def _special(codes: Codes, at: int, end: int, tables: CutTables) -> bool:
    """Whether a token that the reference looks for in the text stands here."""
    for k in range(len(tables.pattern_bounds) - 1):
        low, high = tables.pattern_bounds[k], tables.pattern_bounds[k + 1]
        if high - low <= end - at:
            same = 0
            while same < high - low and codes[at + same] == tables.patterns[low + same]:
                same += 1
            if same == high - low:
                return True
    return False


@kernel
def _spaces(codes: Codes, i: int, end: int, classes: Bytes) -> int:
    r"""``\s+(?!\S)|\s+`` at white space: the last space is left to a word that follows."""
    j = i + 1
    while j < end and classes[codes[j]] & KIND >= SPACE:
        j += 1
    return j - 1 if j < end and j - 1 > i else j


@kernel
def _run(codes: Codes, i: int, end: int, classes: Bytes, kind: int) -> int:
    while i < end and classes[codes[i]] & KIND == kind:
        i += 1
    return i


@kernel
def _contraction(codes: Codes, i: int, end: int, fold: int) -> int:
    """Length of ``'s 't 're 've 'm 'll 'd`` at an apostrophe, 0 if it is none."""
    if i + 1 >= end:
        return 0
    a = codes[i + 1] | fold if codes[i + 1] < 0x80 else 0
    if a == 0x73 or a == 0x74 or a == 0x6D or a == 0x64:
        return 2
    b = codes[i + 2] | fold if i + 2 < end and codes[i + 2] < 0x80 else 0
    if ((a == 0x72 or a == 0x76) and b == 0x65) or (a == 0x6C and b == 0x6C):
        return 3
    return 0


@kernel
def _gpt2_word(codes: Codes, i: int, end: int, classes: Bytes) -> int:
    """End of the word that starts at ``i``, by the pattern of GPT-2 (``convert.GPT2_PATTERN``)."""
    if codes[i] == 0x27:
        length = _contraction(codes, i, end, 0)
        if length:
            return i + length
    kind = classes[codes[i]] & KIND
    if kind < SPACE:
        return _run(codes, i + 1, end, classes, kind)
    if codes[i] == 0x20 and i + 1 < end:
        following = classes[codes[i + 1]] & KIND
        if following < SPACE:
            return _run(codes, i + 2, end, classes, following)
    return _spaces(codes, i, end, classes)


@kernel
def _cl100k_word(codes: Codes, i: int, end: int, classes: Bytes, digits: int) -> int:
    """End of the word that starts at ``i``: ``convert.CL100K_PATTERN``, or Qwen's (one digit)."""
    if codes[i] == 0x27:
        length = _contraction(codes, i, end, 0x20)
        if length:
            return i + length
    kind = classes[codes[i]] & KIND
    if kind == LETTER:
        return _run(codes, i + 1, end, classes, LETTER)
    if kind == NUMBER:
        j = i + 1
        while j < end and j - i < digits and classes[codes[j]] & KIND == NUMBER:
            j += 1
        return j
    following = classes[codes[i + 1]] & KIND if i + 1 < end else LINE
    if kind != LINE and following == LETTER:
        return _run(codes, i + 2, end, classes, LETTER)
    if kind == OTHER or (codes[i] == 0x20 and following == OTHER):
        j = _run(codes, i + 1, end, classes, OTHER)
        return _run(codes, j, end, classes, LINE)
    j, line = i, -1
    while j < end and classes[codes[j]] & KIND >= SPACE:
        if classes[codes[j]] & KIND == LINE:
            line = j
        j += 1
    return line + 1 if line >= 0 else _spaces(codes, i, end, classes)


@kernel
def _in_filter(left: int, right: int, joined: Words) -> Number:
    bits = np.uint64(len(joined) * 64 - 1)
    h = (np.uint64(left) << np.uint64(21) | np.uint64(right)) * _GOLDEN
    at = h >> np.uint64(32) & bits
    return (joined[at >> np.uint64(6)] >> (at & np.uint64(63))) & np.uint64(1) != 0


@kernel
def _note(left: Number, right: Number, joined: Words) -> None:
    """Set the bit that :func:`_in_filter` looks at."""
    bits = np.uint64(len(joined) * 64 - 1)
    h = (np.uint64(left) << np.uint64(21) | np.uint64(right)) * _GOLDEN
    at = h >> np.uint64(32) & bits
    joined[at >> np.uint64(6)] |= np.uint64(1) << (at & np.uint64(63))


@kernel
def _edge(code: int, last: bool) -> int:
    """The last or the first byte of a character."""
    if code < 0x80:
        return code
    if last:
        return 0x80 | code & 0x3F
    if code < 0x800:
        return 0xC0 | code >> 6
    return 0xE0 | code >> 12 if code < 0x10000 else 0xF0 | code >> 18


@kernel
def _ends_meet(left: int, right: int, classes: Bytes, joined: Words, crossed: Bytes) -> Number:
    """Whether some entry may hold the ends of two characters side by side."""
    if left < 0x80 and right < 0x80:
        return False
    if classes[left] & LEFT and _in_filter(left, CODES + _edge(right, False), joined):
        return True
    if classes[right] & RIGHT and _in_filter(CODES + _edge(left, True), right, joined):
        return True
    if left < 0x80 or right < 0x80:
        return False
    return crossed[_edge(left, True), _edge(right, False) - 0xC0] != 0


@kernel
def neighbours(codes: Codes, bounds: Bounds, joined: Words) -> None:
    """Note all pairs of characters that stand side by side in an entry."""
    for entry in range(len(bounds) - 1):
        for k in range(bounds[entry] + 1, bounds[entry + 1]):
            _note(codes[k - 1], codes[k], joined)


@kernel
def crossings(data: Bytes, bounds: Bounds, joined: Words, crossed: Bytes, flags: Flags) -> None:
    """Note all pairs of characters, or of their ends, that stand side by side in an entry."""
    for entry in range(len(bounds) - 1):
        low, high = bounds[entry], bounds[entry + 1]
        for k in range(low + 1, high):
            if data[k] & 0xC0 == 0x80:
                continue
            left, first = 0, k - 1
            while first >= low and data[first] & 0xC0 == 0x80:
                first -= 1
            if first >= low:
                left = _code(data, first, k)
            last = k + 1
            while last < high and data[last] & 0xC0 == 0x80:
                last += 1
            size = 1 if data[k] < 0x80 else 2 if data[k] < 0xE0 else 3 if data[k] < 0xF0 else 4
            whole = last - k == size
            right = _code(data, k, last) if whole else 0
            before, after = CODES + np.int64(data[k - 1]), CODES + np.int64(data[k])
            if first >= low and left >= CODES:
                continue  # no text has these bytes
            if first >= low and whole:
                _note(left, right, joined)
            elif first >= low:
                flags[0, left] = True
                _note(left, after, joined)
            elif whole:
                flags[1, right] = True
                _note(before, right, joined)
            elif data[k] >= 0xC0:
                crossed[data[k - 1], data[k] - 0xC0] = 1


@kernel
def _code(data: Bytes, first: int, stop: int) -> Number:
    """The code point of a character's bytes; at least ``CODES`` if they are none."""
    lead = np.int64(data[first])
    if lead < 0x80:
        return lead if stop - first == 1 else CODES
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if stop - first != size:
        return CODES
    code = lead & (0xFF >> (size + 1))
    for k in range(first + 1, stop):
        code = code << 6 | np.int64(data[k]) & 0x3F
    return min(code, CODES)
