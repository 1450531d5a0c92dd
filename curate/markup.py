"""One pass over the markup of a page: its elements, and its blocks of text with what is in them.

The input is HTML as the parser writes it back: every element closed, attribute values in double
quotes with ``<`` and ``>`` escaped, ``&amp; &lt; &gt; &nbsp;`` the only references. So a kernel can
read it byte by byte, at a hundred times the speed of walking the same tree from Python.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .tags import (  # fmt: skip
    ANCHOR,
    ATTRIBUTE_TABLE,
    BLOCK,
    BREAK,
    BYTE_KINDS,
    HIDDEN,
    INLINE,
    MARK,
    PLAIN,
    PRE,
    RAW,
    REFERENCE,
    SKIPPED,
    SPACE,
    TAG_OPENS,
    TAG_TABLE,
    THREE,
    VOID,
    WHOLE,
    Table,
)
from .utf8 import Bytes, kernel

Rows = npt.NDArray[np.int32]
Wide = npt.NDArray[np.uint64]

# Columns of an element, in the order of the source; descendants of e are rows e + 1 … END[e] - 1.
TAG, PARENT, END, HINTS = range(4)
# Columns of a block. WEIGHT, LINKED and MARKS are explained at ``read_blocks``.
ELEMENT, FIRST, LAST, WEIGHT, LINKED, MARKS, LINKS, LINES = range(8)

_ONES: Final = np.uint64(0x0101010101010101)
_HIGHS: Final = np.uint64(0x8080808080808080)


@kernel
def _find(table: Table, code: int) -> int:
    mask = len(table) - 1
    slot = code & mask
    while table[slot, 1] != 0:
        if table[slot, 0] == code:
            return int(table[slot, 1])
        slot = (slot + 1) & mask
    return 0


@kernel
def _words_in(html: Bytes, start: int, end: int, words: Table) -> int:
    """Hints of the words in an attribute: runs of letters, parted at capitals."""
    hints = 0
    code = 17
    found = 0
    lower = False
    at, stop = np.uint64(start), np.uint64(end)
    while at <= stop:
        byte = html[at] if at < stop else 32
        at += np.uint64(1)
        capital = 65 <= byte <= 90
        letter = capital or 97 <= byte <= 122
        if not letter or (capital and lower):
            if found & WHOLE:
                hints |= found & ~WHOLE
            code = 17
            found = 0
        if letter:
            code = (code * 31 + (byte | 32)) & 0xFFFFFFFF
            found = _find(words, code)
            if found and not found & WHOLE:
                hints |= found
                found = 0
        lower = letter and not capital
    return hints


@kernel
def _display_none(html: Bytes, start: int, end: int) -> bool:
    """Whether a style says ``display: none``, in lower case as nearly all do."""
    none = (110, 111, 110, 101)
    for at in range(start + 2, end - 5):
        if html[at] != 121 or html[at - 1] != 97 or html[at - 2] != 108:  # l a y
            continue
        to = at + 1
        while to < end and (html[to] == 58 or html[to] == 32):
            to += 1
        same = to + 4 <= end and (to + 4 == end or html[to + 4] <= 59)
        for k in range(4):
            same = same and (html[to + k] | 32) == none[k]
        if same:
            return True
    return False


@kernel
def _scan(  # noqa: C901
    html: Bytes, wide: Wide, tags: Table, attributes: Table, words: Table
) -> tuple[Rows, Rows, Bytes, int]:
    # Functions within become part of this one: a call that hands on arrays costs 20 ns, which at a
    # thousand tags a page was a third of the time.
    size = len(html)
    openings = 2
    for byte in html:
        openings += byte == 60
    elements = np.empty((openings, 4), np.int32)
    blocks = np.empty((openings, 8), np.int32)
    stack = np.zeros(openings, np.int32)
    text = np.empty(size + 1, np.uint8)

    def seek(start: int, byte: int) -> Any:
        # Eight bytes at a time (S. E. Anderson, Bit Twiddling Hacks, "a word has a zero byte").
        size, at = np.uint64(len(html)), np.uint64(start)
        one, three, top = np.uint64(1), np.uint64(3), np.uint64(56)
        words = np.uint64(len(wide))
        word = at >> three
        pattern = _ONES * np.uint64(byte)
        passed = (one << ((at & np.uint64(7)) << three)) - one  # bytes of the word that lie before
        while word < words:
            rest = wide[word] ^ pattern | passed
            hit = (rest - _ONES) & ~rest & _HIGHS
            if hit:
                below = ((hit - one) & ~hit & _ONES) * _ONES >> top
                return np.int64((word << three) + below - one)
            passed = np.uint64(0)
            word += one
        at = max(at, word << three)
        while at < size and html[at] != byte:
            at += one
        return np.int64(at)

    def hints_of(start: int) -> tuple[int, Any]:
        """Hints of a start tag whose name ends here, and the position behind its ``>``."""
        size, at, one = np.uint64(len(html)), np.uint64(start), np.uint64(1)
        hints = 0
        while at < size and html[at] != 62:
            if html[at] == 32 or html[at] == 47:
                at += one
                continue
            code = 17
            while at < size and html[at] != 61 and html[at] != 62 and html[at] != 32:
                code = (code * 31 + html[at]) & 0xFFFFFFFF
                at += one
            kind = _find(attributes, code)
            if kind == 3:
                hints |= HIDDEN
            if at + one < size and html[at] == 61 and html[at + one] == 34:
                value: Any = np.int64(at) + 2
                end = seek(value, 34)
                if kind == 1:
                    hints |= _words_in(html, value, end, words)
                elif kind == 2 and _display_none(html, value, end):
                    hints |= HIDDEN
                at = np.uint64(end) + one
            elif at < size and html[at] == 61:
                at += one  # a name may itself hold a sign of equality
        return hints, np.int64(at) + 1

    def read_text(  # noqa: C901
        start: int, end: int, floor: int, pre: bool
    ) -> tuple[Any, Any, Any, Any]:
        """Copy text up to the next tag: where that is, the end of the copy, its weight, marks."""
        # Unsigned, since an index that may be negative costs a third more time.
        one, two = np.uint64(1), np.uint64(2)
        size, at = np.uint64(len(html)), np.uint64(start)
        used, first = np.uint64(end), np.uint64(floor)
        weight = marks = np.uint64(0)
        while at < size:
            byte = html[at]
            kind = BYTE_KINDS[byte]
            if kind == TAG_OPENS:
                break
            at += one
            if kind == REFERENCE:
                after = html[at] if at < size else 0
                if after == 97:  # &amp;
                    at += np.uint64(4)
                elif after == 108:  # &lt;
                    byte = 60
                    at += np.uint64(3)
                elif after == 103:  # &gt;
                    byte = 62
                    at += np.uint64(3)
                elif after == 110:  # &nbsp;
                    kind = SPACE
                    byte = 32
                    at += np.uint64(5)
            elif byte == 0xE3 and at + one < size and html[at] == 0x80 and html[at + one] == 0x80:
                kind = SPACE  # the ideographic space indents Chinese paragraphs
                byte = 32
                at += two
            if kind == SPACE:
                if pre:
                    text[used] = byte if byte != 13 else 10
                    used += one
                elif used > first and text[used - one] != 32 and text[used - one] != 10:
                    text[used] = 32
                    used += one
                continue
            text[used] = byte
            used += one
            weight += one
            if kind == PLAIN:  # a run of words: nothing else can happen before its end
                weight += size - at
                while at < size:
                    byte = html[at]
                    if byte == 32:
                        if text[used - one] == 32:
                            break
                        weight -= one
                    elif BYTE_KINDS[byte] != PLAIN:
                        break
                    text[used] = byte
                    used += one
                    at += one
                weight -= size - at
            elif kind == MARK:
                after = html[at] if at < size else 32
                if after == 32 or after == 10 or after == 60 or after == 34:
                    marks += one
            elif kind == THREE and at + one < size and html[at] >= 0x80 and html[at + one] >= 0x80:
                text[used] = html[at]
                text[used + one] = html[at + one]
                used += two
                weight += two
                if byte == 0xE3 or byte == 0xEF or byte == 0xE2:
                    code = np.int64(byte) << 16 | np.int64(html[at]) << 8 | html[at + one]
                    # 、 。 ！ ， ： ； ？ …
                    if code in (0xE38081, 0xE38082, 0xEFBC81, 0xEFBC8C, 0xEFBC9A, 0xEFBC9B,
                                0xEFBC9F, 0xE280A6):  # fmt: skip
                        marks += one
                at += two
        return np.int64(at), np.int64(used), np.int64(weight), np.int64(marks)

    n_elements = n_blocks = used = depth = deepest = at = 0
    skip_from = 0  # depth of the element whose text is not read; 0: all is read
    anchors = pres = breaks = 0
    # The block that is being written: where it starts, its columns, whether it ends here.
    first = home = weight = linked = marks = links = lines = 0
    ends = False
    while True:
        if ends or at >= size:
            while used > first and (text[used - 1] == 32 or text[used - 1] == 10):
                used -= 1
            if used > first:
                row = (home, first, used, weight, linked, marks, links, lines)  # as the columns
                for column in range(8):
                    blocks[n_blocks, column] = row[column]
                n_blocks += 1
                first = used
            weight = linked = marks = links = lines = home = 0
            ends = False
            if at >= size:
                break
        if html[at] == 60:
            if at + 1 < size and (html[at + 1] == 33 or html[at + 1] == 63):  # <!-- -->, <!doctype>
                comment = at + 3 < size and html[at + 2] == 45 and html[at + 3] == 45
                at += 4 if comment else 2
                while at < size and not (
                    html[at] == 62 and (not comment or (html[at - 1] == 45 and html[at - 2] == 45))
                ):
                    at += 1
                at += 1
                continue
            closing = at + 1 < size and html[at + 1] == 47
            at += 2 if closing else 1
            code = 17
            custom = False
            name = at
            while at < size and html[at] != 62 and html[at] != 32 and html[at] != 47:
                code = (code * 31 + (html[at] | 32)) & 0xFFFFFFFF
                custom = custom or html[at] == 45
                at += 1
            length = at - name
            tag = _find(tags, code)
            if tag == 0 and custom:
                tag = BLOCK
            up = hints = 0
            if closing:
                while at < size and html[at] != 62:
                    at += 1
                at += 1
                up = depth
                while up > 0 and elements[stack[up - 1], TAG] != tag:
                    up -= 1
                if up == 0:
                    continue
            elif at < size and html[at] == 62:
                at += 1
            else:
                hints, at = hints_of(at)
            if not skip_from:
                if tag == BREAK:
                    breaks += 1
                    if breaks == 1 and used > first:
                        if text[used - 1] == 32:
                            used -= 1
                        text[used] = 10
                        used += 1
                        lines += 1
                    ends = breaks == 2
                elif tag == BLOCK or tag > ANCHOR:  # neither inline nor unread
                    ends = True
                    breaks = 0
            if closing:
                while depth >= up:
                    depth -= 1
                    gone = elements[stack[depth], TAG]
                    elements[stack[depth], END] = n_elements
                    if skip_from == 0:
                        anchors -= gone == ANCHOR
                        pres -= gone == PRE
                    if skip_from > depth:
                        skip_from = 0
                continue
            new = n_elements
            n_elements += 1
            elements[new, TAG] = tag
            elements[new, PARENT] = stack[depth - 1] if depth else -1
            elements[new, HINTS] = hints
            elements[new, END] = n_elements
            deepest = max(deepest, depth + 1)
            if tag in (VOID, BREAK):
                continue
            stack[depth] = new
            depth += 1
            if tag == RAW:
                at = seek(at, 60)
                while at < size:  # to the end tag of the same name
                    if at + 1 + length < size and html[at + 1] == 47:
                        same = True
                        for k in range(length):
                            same = same and (html[at + 2 + k] | 32) == (html[name + k] | 32)
                        if same:
                            break
                    at = seek(at + 1, 60)
                continue
            if skip_from == 0:
                if tag == SKIPPED:
                    skip_from = depth
                elif tag == ANCHOR:
                    anchors += 1
                    links += 1
                elif tag == PRE:
                    pres += 1
            continue
        if skip_from:
            at = seek(at, 60)
            continue
        before = weight
        at, used, heavy, found = read_text(at, used, first, pres > 0)
        weight += heavy
        marks += found
        if weight > before:
            breaks = 0
            if anchors > 0:
                linked += weight - before
            if before == 0:
                holder = max(depth - 1, 0)
                while holder > 0 and (
                    elements[stack[holder], TAG] <= INLINE or elements[stack[holder], TAG] == ANCHOR
                ):
                    holder -= 1
                home = stack[holder]
    return elements[:n_elements], blocks[:n_blocks], text[:used], deepest


def read_blocks(html: bytes, words: Table) -> tuple[Rows, Rows, Bytes, int]:
    """Read elements and blocks of a page.

    A block is what lies between two tags that start a new line, or two ``<br>`` in a row. Its
    weight counts UTF-8 bytes other than white space, so that a hanzi, which says about as much as
    three letters, weighs three.

    Args:
        html: serialised by the parser, UTF-8.
        words: hints by word of class, id, role and itemprop; bit 0 is taken by hidden elements.

    Returns:
        Elements, (n, 4) int32: kind of tag, parent (-1), end of the subtree, hints.
        Blocks, (m, 8) int32: element, first and last byte of the text, weight, weight within
        links, marks that part sentences and clauses, links, lines ended by ``<br>``.
        The text of all blocks, uint8, white space collapsed except in ``<pre>``.
        The deepest nesting.
    """
    data = np.frombuffer(html, np.uint8)
    wide = np.frombuffer(html, np.uint64, len(html) >> 3)
    return _scan(data, wide, TAG_TABLE, ATTRIBUTE_TABLE, words)
