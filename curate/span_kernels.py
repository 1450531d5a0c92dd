"""The kernels that cut texts into lines, paragraphs and sentences, hash these, and cut them out.

A unit is a row of int64 ``[U, 3]``: document, first code point, code point after the last, both
counted from the start of the document, white space at its ends left out.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .utf8 import Bounds, Bytes, Codes, kernel

Units = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]

FOLDED: Final = 0
LETTERS: Final = 1
EXACT: Final = 2

# What a character does at the end of a sentence (class table of `sentence_classes`).
ENDS: Final = 1  # 。！？… and the like: always
ASKS: Final = 2  # ! and ? of ASCII: unless something of ASCII follows at once
STOP: Final = 3  # the full stop of ASCII
CLOSES: Final = 4  # quotes and brackets that still belong to the sentence

_BREAK: Final = 0  # fates of `yanmo.curate.sketch.character_table`
_SKIP: Final = 3
_TABLE: Final = 0x20000
_LINE_FEED: Final = 10
_ABBREVIATION: Final = 8  # letters

_KEY_1: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_KEY_2: Final = np.uint64(0xD1342543DE82EF95)  # Steele and Vigna's multiplier
_SEED_2: Final = np.uint64(0x2545F4914F6CDD1D)


@kernel
def _mix64(value: Any) -> Any:
    """The finalizer of MurmurHash3."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@kernel
def _space(code: Any) -> Any:
    """Characters that ``str.isspace`` accepts."""
    if code <= 0x20:
        return code == 0x20 or 0x09 <= code <= 0x0D or 0x1C <= code <= 0x1F
    if code < 0x1680:
        return code == 0x85 or code == 0xA0
    if code < 0x3000:
        return (
            code == 0x1680
            or 0x2000 <= code <= 0x200A
            or code == 0x2028
            or code == 0x2029
            or code == 0x202F
            or code == 0x205F
        )
    return code == 0x3000


@kernel
def _add(codes: Codes, first: int, last: int, units: Units, n: int) -> int:
    """Append ``codes[first:last]`` without white space at its ends, if anything is left."""
    while first < last and _space(codes[first]):
        first += 1
    while last > first and _space(codes[last - 1]):
        last -= 1
    if first < last:
        units[n, 1], units[n, 2] = first, last
        return n + 1
    return n


@kernel
def cut_lines(codes: Codes, bounds: Bounds, paragraphs: bool) -> Units:
    """Cut at line feeds, or, for paragraphs, at blank lines (of white space alone)."""
    most = len(bounds)
    for i in range(bounds[0], bounds[len(bounds) - 1]):
        most += codes[i] == _LINE_FEED
    units = np.empty((most, 3), np.int64)
    n = 0
    for document in range(len(bounds) - 1):
        begin, end = bounds[document], bounds[document + 1]
        before = n
        start = begin
        i = begin
        while i < end:
            if codes[i] != _LINE_FEED:
                i += 1
                continue
            if not paragraphs:
                n = _add(codes, start, i, units, n)
                start = i + 1
                i += 1
                continue
            j, feeds = i, 0
            while j < end and _space(codes[j]):
                feeds += codes[j] == _LINE_FEED
                j += 1
            if feeds > 1:
                n = _add(codes, start, i, units, n)
                start = j
            i = j
        n = _add(codes, start, end, units, n)
        for k in range(before, n):
            units[k, 0] = document
            units[k, 1] -= begin
            units[k, 2] -= begin
    return units[:n]


@kernel
def _stop_ends(  # noqa: C901
    codes: Codes, start: int, at: int, after: int, bounds: tuple[int, int], abbreviations: Keys
) -> bool:
    """Whether the full stop at ``at`` ends a sentence; ``after`` comes after closing quotes."""
    begin, end = bounds
    if at > begin and codes[at - 1] >= 0x2E80:  # after a hanzi there is no other reading
        return after >= end or not (0x30 <= codes[after] <= 0x39)
    if after < end and not _space(codes[after]):
        return codes[after] >= 0x2E80 and after > at + 1
    k = after
    while k < end and _space(codes[k]) and codes[k] != _LINE_FEED:
        k += 1
    if k < end and 0x61 <= codes[k] <= 0x7A:
        return False
    word = np.uint64(0)
    k = at
    while k > start and not _space(codes[k - 1]) and codes[k - 1] not in (0x28, 0x22, 0x201C):
        if codes[k - 1] >= 0x2E80:
            break
        k -= 1
    letters = at - k
    digits = letters > 0
    for j in range(k, at):
        digits &= 0x30 <= codes[j] <= 0x39
    if digits:  # the number of an item at the start of a line
        while k > start and _space(codes[k - 1]):
            k -= 1
        return k > start
    if letters == 1 and (0x41 <= codes[k] <= 0x5A):  # an initial
        return False
    if 0 < letters <= _ABBREVIATION:
        for j in range(k, at):
            code = codes[j]
            if code >= 0x80:
                return True
            if 0x41 <= code <= 0x5A:
                code += 32
            word = word << np.uint64(8) | np.uint64(code & 0xFF)
        place = np.searchsorted(abbreviations, word)
        if place < len(abbreviations) and abbreviations[place] == word:
            return False
    return True


@kernel
def cut_sentences(  # noqa: C901
    codes: Codes, bounds: Bounds, classes: Bytes, table: U32, abbreviations: Keys
) -> Units:
    """Cut into sentences. Line feeds end one; what has no letter goes with the one before it.

    Args:
        codes, bounds: the texts.
        classes: uint8 ``[0x10000]``: what each character does at the end of a sentence.
        table: folding and fate of each character below 0x20000.
        abbreviations: packed ASCII words after which a full stop ends nothing, sorted.
    """
    most = len(bounds)
    for i in range(bounds[0], bounds[len(bounds) - 1]):
        code = codes[i]
        most += code == _LINE_FEED or (code < 0x10000 and 0 < classes[code] < CLOSES)
    units = np.empty((most, 3), np.int64)
    n = 0
    for document in range(len(bounds) - 1):
        begin, end = bounds[document], bounds[document + 1]
        before = n
        start = i = begin
        while i <= end:
            stop = -1
            if i == end or codes[i] == _LINE_FEED:
                stop = i
                i += 1
            else:
                code = codes[i]
                what = classes[code] if code < 0x10000 else np.uint8(0)
                if what == 0 or what == CLOSES:
                    i += 1
                    continue
                j = i
                always = False
                while j < end and codes[j] < 0x10000 and 0 < classes[codes[j]] < CLOSES:
                    always |= classes[codes[j]] == ENDS
                    j += 1
                last = codes[j - 1]
                run = j - i
                while j < end and codes[j] < 0x10000 and classes[codes[j]] == CLOSES:
                    j += 1
                if always:
                    stop = j
                elif classes[last] == ASKS:
                    if j >= end or _space(codes[j]) or codes[j] >= 0x80:
                        stop = j
                elif run > 1:  # an ellipsis of full stops
                    if j >= end or _space(codes[j]) or codes[j] >= 0x2E80:
                        stop = j
                elif _stop_ends(codes, start, i, j, (begin, end), abbreviations):
                    stop = j
                i = j
            if stop < 0:
                continue
            letters = False
            for k in range(start, stop):
                code = codes[k]
                fate = table[code] & np.uint32(3) if code < _TABLE else np.uint32(1)
                letters |= fate != _BREAK and fate != _SKIP
            if letters:
                n = _add(codes, start, stop, units, n)
            elif n > before:
                last_end = stop
                while last_end > start and _space(codes[last_end - 1]):
                    last_end -= 1
                if last_end > start:
                    units[n - 1, 2] = last_end
            start = stop
        for k in range(before, n):
            units[k, 0] = document
            units[k, 1] -= begin
            units[k, 2] -= begin
    return units[:n]


@kernel
def hash_units(
    codes: Codes, bounds: Bounds, units: Units, table: U32, fold: int
) -> tuple[Keys, I64]:
    """Hash units to 128 bits, and count the characters that went into each hash.

    Returns:
        uint64 ``[U, 2]``, int64 ``[U]``.
    """
    keys = np.empty((len(units), 2), np.uint64)
    chars = np.empty(len(units), np.int64)
    for u in range(len(units)):
        a, b = _KEY_1, _SEED_2
        n = 0
        first = bounds[units[u, 0]]
        for i in range(first + units[u, 1], first + units[u, 2]):
            code = codes[i]
            value = np.uint64(code)
            if fold != EXACT:
                if _space(code):
                    continue
                if code < _TABLE:
                    packed = table[code]
                    fate = packed & np.uint32(3)
                    if fate == _SKIP or (fold == LETTERS and fate == _BREAK):
                        continue
                    if packed > np.uint32(3):
                        value = np.uint64(packed >> np.uint32(2))
            n += 1
            a = (a ^ value) * _KEY_1
            a ^= a >> np.uint64(29)
            b = (b + value) * _KEY_2
            b ^= b >> np.uint64(32)
        keys[u, 0] = _mix64(a + np.uint64(n))
        keys[u, 1] = _mix64(b ^ np.uint64(n))
        chars[u] = n
    return keys, chars


@kernel
def join_windows(units: Units, keys: Keys, chars: I64, window: int) -> tuple[Units, Keys, I64]:
    """Each ``window`` units in a row of one document as one unit."""
    out = np.empty((max(len(units) - window + 1, 0), 3), np.int64)
    out_keys = np.empty((len(out), 2), np.uint64)
    out_chars = np.empty(len(out), np.int64)
    n = 0
    for u in range(len(out)):
        last = u + window - 1
        if units[last, 0] != units[u, 0]:
            continue
        a, b, total = np.uint64(window), _SEED_2, 0
        for k in range(u, last + 1):
            a = _mix64((a ^ keys[k, 0]) * _KEY_1)
            b = _mix64((b + keys[k, 1]) * _KEY_2)
            total += chars[k]
        out[n, 0], out[n, 1], out[n, 2] = units[u, 0], units[u, 1], units[last, 2]
        out_keys[n, 0], out_keys[n, 1], out_chars[n] = a, b, total
        n += 1
    return out[:n], out_keys[:n], out_chars[:n]


@kernel
def paint(mask: Bytes, bounds: Bounds, units: Units, mark: int) -> None:
    """Mark the characters of units that bear no mark yet."""
    for u in range(len(units)):
        first = bounds[units[u, 0]]
        for i in range(first + units[u, 1], first + units[u, 2]):
            if mask[i] == 0:
                mask[i] = mark


@kernel
def _fill(mask: Bytes, start: int, stop: int, mark: Any) -> None:
    for i in range(start, stop):
        if mask[i] == 0:
            mask[i] = mark


@kernel
def close_seams(codes: Codes, bounds: Bounds, mask: Bytes) -> None:  # noqa: C901
    """Mark the white space that would be left over where something is cut out.

    At an end of the document all of it goes. Elsewhere the larger gap stays: of the line feeds on
    both sides the more, the spaces that indent the next line, else one side's spaces.
    """
    for document in range(len(bounds) - 1):
        begin, end = bounds[document], bounds[document + 1]
        i = begin
        while i < end:
            if mask[i] == 0:
                i += 1
                continue
            mark = mask[i]
            start = i
            stop = i
            while stop < end and (mask[stop] or _space(codes[stop])):
                stop += 1
            right = stop  # the end of the white space after the last marked character
            while mask[stop - 1] == 0:
                stop -= 1
            _fill(mask, start, stop, mark)
            left = start
            while left > begin and mask[left - 1] == 0 and _space(codes[left - 1]):
                left -= 1
            if left == begin or right == end:
                _fill(mask, left, right, mark)
                i = right
                continue
            before = after = 0
            indent = stop
            for k in range(left, start):
                before += codes[k] == _LINE_FEED
            for k in range(stop, right):
                if codes[k] == _LINE_FEED:
                    after += 1
                    indent = k + 1
            if before == 0 and after == 0:
                if left < start:
                    _fill(mask, stop, right, mark)
            elif after >= before:
                _fill(mask, left, start, mark)
            else:
                _fill(mask, stop, indent, mark)
            i = right


@kernel
def copy_unmarked(
    buffer: Bytes, offsets: Bounds, mask: Bytes, marks: int
) -> tuple[Bytes, Bounds, I64, I64]:
    """The texts without their marked characters.

    Args:
        buffer, offsets: the texts as UTF-8.
        mask: a mark for every character of theirs, 0 for those that stay.
        marks: how many marks there are, 0 included.

    Returns:
        Bytes, their offsets, characters of each document by mark (int64 ``[D, marks]``), and its
        visible characters that stay (int64 ``[D]``).
    """
    rows = len(offsets) - 1
    out = np.empty(offsets[rows] - offsets[0], np.uint8)
    out_offsets = np.zeros(rows + 1, np.int64)
    counts = np.zeros((rows, marks), np.int64)
    visible = np.zeros(rows, np.int64)
    n = 0
    character = -1
    for row in range(rows):
        for i in range(offsets[row], offsets[row + 1]):
            if buffer[i] & 0xC0 != 0x80:
                character += 1
                counts[row, mask[character]] += 1
                visible[row] += mask[character] == 0 and buffer[i] > 0x20
            if mask[character] == 0:
                out[n] = buffer[i]
                n += 1
        out_offsets[row + 1] = n
    return out[:n], out_offsets, counts, visible
