"""The kernels that find exam questions in documents: tokens with places, n-gram hits, coverage.

Tokens are those of :mod:`yanmo.curate.sketch` (a hanzi, or a run of letters and digits; folded, no
spaces or punctuation), each a 64-bit hash. The n-grams of all questions lie in a hash table behind
a bit filter; hashes of the n-grams of a document roll over it, and what the table gives is compared
token by token. Hits of one question that lie near each other are a *place*; there the short pieces
(options, mostly) are looked for one by one.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .sketch import TOKEN_BASE
from .utf8 import Bounds, Bytes, kernel

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

ROW: Final = 8
"""Columns of a row of :func:`places`: document, question, first token, token after the last,
question tokens covered, option tokens covered, bits of the options found, n-grams so far."""

NEAR_TOKENS: Final = 32
"""A gap between hits of one question that never parts two places: what a changed word costs (two
n-grams of 13) and a little more. A long question may have gaps of its own length."""
LABEL_TOKENS: Final = 8
"""Room for each option beside its own tokens: ``A．``, a comment, a line number."""
SEED_TOKENS: Final = 5
"""A question shorter than an n-gram is looked up by its first five tokens and compared whole."""

_ONE: Final = np.uint64(1)
_BASE: Final = np.uint64(0xD1342543DE82EF95)


class Index(NamedTuple):
    """The n-grams of all questions.

    Attributes:
        lengths: tokens looked up at each position, int64 ``[C]``: n-grams, then seeds.
        bits: a filter of the keys, uint64; a power of two long.
        table: n-gram or -1 by key, int64; a power of two long.
        keys, following, first, length: of each n-gram: its key, the next one of the same seed (or
            -1), its place in ``tokens``, its tokens. ``[G]``.
        post_bounds, posts: places in ``tokens`` of each n-gram, int64 ``[G + 1]`` and ``[P]``.
        tokens: of all sections back to back, uint64 ``[T]``.
        own: which of them count, uint8 ``[T]``.
        section_of: section of each token, int64 ``[T]``.
        section_bounds: int64 ``[S + 1]``; a question, or an option.
        item_of: question of each section, int64 ``[S]``.
        item_sections: int64 ``[I + 1]``; the first section is the question.
        shortest: tokens of an n-gram for each question, int64 ``[I]``.
    """

    lengths: I64
    bits: U64
    table: I64
    keys: U64
    following: I64
    first: I64
    length: I64
    post_bounds: I64
    posts: I64
    tokens: U64
    own: Bytes
    section_of: I64
    section_bounds: I64
    item_of: I64
    item_sections: I64
    shortest: I64


@kernel
def _mix64(value: Any) -> Any:
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@kernel
def cut(  # noqa: C901
    data: Bytes, offsets: Bounds, table: U32
) -> tuple[U64, I64, I64, I64]:
    """Tokens with their places.

    Args:
        data: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.
        table: :func:`yanmo.curate.sketch.character_table`.

    Returns:
        Hashes (uint64), first bytes and bytes after the last (int64), bounds int64 ``[D + 1]``.
    """
    documents = len(offsets) - 1
    most = max(offsets[documents] - offsets[0], 1)
    out = np.empty(most, np.uint64)
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    bounds = np.zeros(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        at, stop = offsets[document], offsets[document + 1]
        run = np.uint64(0)
        begun = last = at
        while at < stop:
            lead = np.uint32(data[at])
            size = 1
            packed = np.uint32(0)
            if lead < 0x80:
                packed = table[lead]
            elif 0xC0 <= lead < 0xE0 and at + 2 <= stop:
                code = (lead & np.uint32(0x1F)) << np.uint32(6)
                packed, size = table[code | (np.uint32(data[at + 1]) & np.uint32(0x3F))], 2
            elif 0xE0 <= lead < 0xF0 and at + 3 <= stop:
                code = (lead & np.uint32(0x0F)) << np.uint32(12)
                code |= (np.uint32(data[at + 1]) & np.uint32(0x3F)) << np.uint32(6)
                packed, size = table[code | (np.uint32(data[at + 2]) & np.uint32(0x3F))], 3
            elif lead >= 0xF0 and at + 4 <= stop:
                code = lead & np.uint32(0x07)
                for i in range(1, 4):
                    code = code << np.uint32(6) | np.uint32(data[at + i]) & np.uint32(0x3F)
                size = 4
                if code < len(table):
                    packed = table[code]
                elif code < 0x40000:  # supplementary hanzi
                    packed = np.uint32(code << np.uint32(2) | np.uint32(1))
                elif 0xE0100 <= code < 0xE01F0:  # variation selectors
                    packed = np.uint32(3)
            fate = packed & np.uint32(3)
            value = np.uint64(packed >> np.uint32(2))
            if fate == 2:  # WORD
                if not run:
                    begun = at
                run = max(run, _ONE) * TOKEN_BASE + value
                last = at + size
            elif fate != 3:  # not SKIP
                if run:
                    out[n], starts[n], ends[n] = _mix64(run), begun, last
                    n += 1
                    run = np.uint64(0)
                if fate == 1:  # SINGLE
                    out[n], starts[n], ends[n] = _mix64(TOKEN_BASE + value), at, at + size
                    n += 1
            at += size
        if run:
            out[n], starts[n], ends[n] = _mix64(run), begun, last
            n += 1
        bounds[document + 1] = n
    return out[:n], starts[:n], ends[:n], bounds


@kernel
def hash_table(keys: U64, table: I64, following: I64) -> None:
    """Fill an open-addressed table, all -1 before; n-grams of one key form a chain.

    Args:
        keys: of each n-gram, uint64 ``[G]``.
        table: int64, a power of two long, more than ``G``.
        following: int64 ``[G]``.
    """
    mask = len(table) - 1
    for gram in range(len(keys)):
        slot = np.int64(keys[gram] >> np.uint64(24)) & mask
        while table[slot] >= 0 and keys[table[slot]] != keys[gram]:
            slot = (slot + 1) & mask
        following[gram] = table[slot]
        table[slot] = gram


@kernel
def keys_of(tokens: U64, starts: I64, length: int) -> U64:
    """Keys of the ``length`` tokens from each start on; they equal those that roll."""
    out = np.empty(len(starts), np.uint64)
    for k in range(len(starts)):
        rolling = np.uint64(0)
        for i in range(starts[k], starts[k] + length):
            rolling = rolling * _BASE + tokens[i]
        out[k] = _mix64(rolling + np.uint64(length))
    return out


@kernel
def _same(tokens: U64, at: int, stop: int, index: Index, gram: int) -> bool:
    length = index.length[gram]
    if at + length > stop:
        return False
    first = index.first[gram]
    k = 0
    while k < length and tokens[at + k] == index.tokens[first + k]:
        k += 1
    return bool(k == length)


@kernel
def find(tokens: U64, bounds: I64, index: Index) -> tuple[I64, I64]:
    """Where n-grams of questions stand.

    Args:
        tokens: uint64, of all documents.
        bounds: of the documents in them, int64 ``[D + 1]``.
        index: the questions.

    Returns:
        int64 ``[H, 2]``: token, n-gram; ordered by document, length and token. And the bounds of
        the documents in them, int64 ``[D + 1]``.
    """
    hits = np.empty((1024, 2), np.int64)
    hit_bounds = np.zeros(len(bounds), np.int64)
    n = 0
    bit_mask = np.uint64(64 * len(index.bits) - 1)
    slot_mask = len(index.table) - 1
    for document in range(len(bounds) - 1):
        start, stop = bounds[document], bounds[document + 1]
        for length in index.lengths:
            leaving = _ONE
            for _ in range(length):
                leaving *= _BASE
            salt = np.uint64(length)
            rolling = np.uint64(0)
            for i in range(start, stop):
                rolling = rolling * _BASE + tokens[i]
                at = i - length + 1
                if at < start:
                    continue
                if at > start:
                    rolling -= tokens[at - 1] * leaving
                key = _mix64(rolling + salt)
                bit = key & bit_mask
                word = index.bits[bit >> np.uint64(6)]
                if not (word >> (bit & np.uint64(63))) & _ONE:
                    continue
                slot = np.int64(key >> np.uint64(24)) & slot_mask
                gram = index.table[slot]
                while gram >= 0 and index.keys[gram] != key:
                    slot = (slot + 1) & slot_mask
                    gram = index.table[slot]
                while gram >= 0:
                    if _same(tokens, at, stop, index, gram):
                        if n == len(hits):
                            more = np.empty((2 * n, 2), np.int64)
                            more[:n] = hits
                            hits = more
                        hits[n, 0], hits[n, 1] = at, gram
                        n += 1
                    gram = index.following[gram]
        hit_bounds[document + 1] = n
    return hits[:n], hit_bounds


@kernel
def _stands(tokens: U64, low: Any, high: Any, index: Index, section: int) -> int:
    """First place in ``tokens[low:high]`` where a section stands whole, or -1."""
    first = index.section_bounds[section]
    length = index.section_bounds[section + 1] - first
    if length == 0:
        return -1
    for at in range(low, high - length + 1):
        k = 0
        while k < length and tokens[at + k] == index.tokens[first + k]:
            k += 1
        if k == length:
            return at
    return -1


@kernel
def _expand(hits: I64, low: int, high: int, index: Index) -> I64:
    """Hits of a document as question, token, place in the question's tokens, n-gram; in order."""
    total = 0
    for h in range(low, high):
        gram = hits[h, 1]
        total += index.post_bounds[gram + 1] - index.post_bounds[gram]
    found = np.empty((total, 4), np.int64)
    order_keys = np.empty(total, np.int64)
    n = 0
    for h in range(low, high):
        at, gram = hits[h, 0], hits[h, 1]
        for p in range(index.post_bounds[gram], index.post_bounds[gram + 1]):
            place = index.posts[p]
            item = index.item_of[index.section_of[place]]
            found[n, 0], found[n, 1], found[n, 2], found[n, 3] = item, at, place, gram
            order_keys[n] = item << 40 | at - hits[low, 0] + (1 << 39)
            n += 1
    return found[np.argsort(order_keys, kind="mergesort")]


@kernel
def places(  # noqa: C901, PLR0913
    tokens: U64,
    bounds: I64,
    hits: I64,
    hit_bounds: I64,
    index: Index,
    min_share: float,
    counts: I64,
) -> tuple[I64, I64]:
    """Where enough of a question stands, and how often n-grams stand where none does.

    Args:
        tokens, bounds: of the documents.
        hits, hit_bounds: from :func:`find`.
        index: the questions.
        min_share: share of the own tokens of the question, or of question and options.
        counts: int64 ``[G + 1, 3]``. The first column is added to: documents that hold the n-gram,
            but nowhere with the question and its options. The others are the kernel's own, zeros
            at the start: the serial numbers of documents, the last row those given so far.

    Returns:
        Rows int64 ``[R, ROW]``, and the n-grams of the rows back to back.
    """
    rows = np.empty((256, ROW), np.int64)
    grams = np.empty(4096, np.int64)
    n = n_grams = 0
    covered = np.zeros(1024, np.uint8)
    serial = counts[-1, 0]
    for document in range(len(bounds) - 1):
        low, high = hit_bounds[document], hit_bounds[document + 1]
        if low == high:
            continue
        found = _expand(hits, low, high, index)
        serial += 1
        begin, end = bounds[document], bounds[document + 1]
        k = 0
        while k < len(found):
            item = found[k, 0]
            sections = index.item_sections[item]
            options = index.item_sections[item + 1] - sections - 1
            first = index.section_bounds[sections]
            middle = index.section_bounds[sections + 1]
            last = index.section_bounds[sections + options + 1]
            if last - first > len(covered):
                covered = np.zeros(2 * (last - first), np.uint8)
            near = max(NEAR_TOKENS, last - first)
            start, stop = found[k, 1], found[k, 1]
            question_end = np.int64(-1)
            j = k
            while j < len(found) and found[j, 0] == item and found[j, 1] <= stop + near:
                length = index.length[found[j, 3]]
                stop = max(stop, found[j, 1] + length)
                place = found[j, 2]
                covered[place - first : place - first + length] = 1
                if place < middle:
                    question_end = max(question_end, found[j, 1] + length)
                j += 1
            reach = last - middle + LABEL_TOKENS * (options + 1)
            # A question that is too short, or too common, to have been looked up.
            whole = question_end >= 0 or middle == first
            if not whole:
                from_ = max(begin, start - reach - (middle - first))
                at = _stands(tokens, from_, min(end, stop), index, sections)
                if at >= 0:
                    covered[: middle - first] = 1
                    start = min(start, at)
                    question_end = at + middle - first
            behind = question_end if question_end >= 0 else max(begin, start - reach)
            # The last tokens of a question may be changed: its options follow all the same.
            until = min(end, max(stop, behind) + reach)
            marks = np.int64(0)
            reached = stop
            for option in range(options):
                section = sections + 1 + option
                left, right = index.section_bounds[section], index.section_bounds[section + 1]
                at = _stands(tokens, behind, until, index, section)
                if at >= 0:
                    covered[left - first : right - first] = 1
                    marks |= 1 << option
                    if question_end < 0:
                        start = min(start, at)
                    reached = max(reached, at + right - left)
            stop = max(reached, question_end)
            own_question = own_options = has_question = has_options = 0
            for place in range(first, last):
                if index.own[place]:
                    if place < middle:
                        own_question += 1
                        has_question += covered[place - first]
                    else:
                        own_options += 1
                        has_options += covered[place - first]
                covered[place - first] = 0
            shortest = index.shortest[item]
            alone = own_question >= shortest and has_question >= min_share * own_question
            both = has_question >= min_share * own_question and (
                has_options >= min_share * own_options
            )
            own = own_question + own_options
            together = own >= shortest and has_question + has_options >= min_share * own
            if alone or together:
                if n == len(rows):
                    more = np.empty((2 * n, ROW), np.int64)
                    more[:n] = rows
                    rows = more
                while n_grams + j - k > len(grams):
                    longer = np.empty(2 * len(grams), np.int64)
                    longer[:n_grams] = grams[:n_grams]
                    grams = longer
                for h in range(k, j):
                    grams[n_grams] = found[h, 3]
                    n_grams += 1
                    if both:
                        counts[found[h, 3], 1] = serial
                row = rows[n]
                row[0], row[1], row[2], row[3] = document, item, start, stop
                row[4], row[5], row[6], row[7] = has_question, has_options, marks, n_grams
                n += 1
            k = j
        for h in range(low, high):
            gram = hits[h, 1]
            if counts[gram, 1] != serial and counts[gram, 2] != serial:
                counts[gram, 2] = serial
                counts[gram, 0] += 1
    counts[-1, 0] = serial
    return rows[:n], grams[:n_grams]
