"""English tokens as spaCy 3.8 cuts them, which is what datatrove's filters count.

Between spaces, punctuation and quotes are cut off at both ends until nothing gives; what is left is
kept whole if it is a contraction or an abbreviation in the list, an address, or else cut at hyphens
between letters, at full stops between a small and a capital letter, and the like. ``don't`` gives
``do`` and ``n't``; ``U.S.`` stays; ``well-known.`` gives four.

Source: spaCy's documentation of its tokenizer; its English rules and exceptions, version 3.8.
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .contractions import UNITS, specials
from .published_sets import (
    CURRENCY,
    CUTS,
    ICON,
    IS_DIGIT,
    IS_LETTER,
    IS_LOWER,
    IS_SPACE,
    IS_UPPER,
    PUNCTUATION,
    QUOTES,
    SYMBOL_ONLY,
    TERMINAL,
    Roles,
    roles,
)
from .token_columns import (
    ENDS_SENTENCE,
    HAS_LETTER,
    IS_MARK,
    IS_WORD,
    CutLines,
    Kinds,
    Places,
    Tokens,
)
from .utf8 import Bounds, Codes, kernel

Keys = npt.NDArray[np.uint64]
Gate = npt.NDArray[np.bool_]

_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_PRIME: Final = np.uint64(0x100000001B3)
_FREE: Final = np.uint64(0)
_MAX_SPECIAL: Final = 12  # characters; nothing longer stands in the list
_GATE_SIZE: Final = 8192


def _hash(text: str) -> int:
    value = int(_OFFSET)
    for character in text:
        value = ((value ^ ord(character)) * int(_PRIME)) & 0xFFFFFFFFFFFFFFFF
    return value


@kernel
def _place_in_gate(first: int, middle: int, last: int, length: int) -> int:
    """Three characters and the length send off 19 of 20 words before they are hashed."""
    return (first * 7 + middle * 229 + last * 61 + length * 1031) & (_GATE_SIZE - 1)


@cache
def _tables() -> tuple[Gate, Keys, Places, Keys]:
    """The specials: their gate; hash table of keys and of the lengths of four pieces in a byte
    each; the units."""
    listed = specials()
    size = 4096
    gate = np.zeros(2 * _GATE_SIZE, np.bool_)  # the second half: how those of one piece begin
    keys, pieces = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for text, lengths in listed.items():
        key = _hash(text)
        slot = (key >> 20) & (size - 1)
        while keys[slot]:
            slot = (slot + 1) & (size - 1)
        keys[slot] = key
        pieces[slot] = sum(length << 8 * k for k, length in enumerate(lengths))
        first, middle, last = map(ord, (text[0], text[len(text) // 2], text[-1]))
        gate[_place_in_gate(first, middle, last, len(text))] = True
        if len(lengths) == 1 and len(text) > 1:
            gate[_GATE_SIZE + _place_in_gate(first, ord(text[1]), 0, 0)] = True
    units = sorted(map(_hash, UNITS.split()))
    return gate, keys, pieces, np.array(units, np.uint64)


def cut_tokens(codes: Codes, bounds: Bounds) -> Tokens:
    """Cut documents into tokens; spaces are none.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
    """
    return Tokens(*_cut_tokens(codes, bounds, roles(), *_tables()))


def cut_lines(codes: Codes, bounds: Bounds, lines: CutLines, tokens: Tokens) -> Tokens:
    """Cut what is left of documents; where a line was left as it was, its tokens are known.

    Args:
        codes: what is left, code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
        lines: where its lines stand and stood.
        tokens: of the whole documents.
    """
    spans = (lines.ends, lines.bounds, lines.sources, lines.source_ends)
    known = (tokens.starts, tokens.ends, tokens.kinds, tokens.bounds)
    return Tokens(*_cut_lines(codes, bounds, *spans, *known, roles(), *_tables()))


@kernel
def _special(codes: Codes, start: int, end: int, gate: Gate, keys: Keys) -> int:
    """Where this string stands in the list, or -1."""
    length = end - start
    if length > _MAX_SPECIAL or length <= 0:
        return -1
    middle = codes[start + length // 2]
    if not gate[_place_in_gate(codes[start], middle, codes[end - 1], length)]:
        return -1
    key = _OFFSET
    for i in range(start, end):
        key = (key ^ np.uint64(codes[i])) * _PRIME
    slot = np.int64(key >> np.uint64(20)) & (len(keys) - 1)
    while keys[slot] != _FREE:
        if keys[slot] == key:
            return int(slot)
        slot = (slot + 1) & (len(keys) - 1)
    return -1


@kernel
def _prefix(codes: Codes, start: int, end: int, roles: Roles) -> int:
    """Characters to cut off in front."""
    code = codes[start]
    role = roles[code]
    if role & (CUTS | QUOTES | CURRENCY | ICON) or code in (0xA7, 0x25, 0x3D, 0x2014, 0x2013):
        return 1
    if code == 0x2B:  # a plus, but not that of a number
        return 0 if start + 1 < end and roles[codes[start + 1]] & IS_DIGIT else 1
    if code == 0x2E:
        length = 1
        while start + length < end and codes[start + length] == 0x2E:
            length += 1
        return length if length > 1 else 0
    if end - start > 2 and codes[start + 1] == 0x53 and codes[start + 2] == 0x24 and code == 0x55:
        return 3  # US$
    if end - start > 1 and codes[start + 1] == 0x24 and code in (0x43, 0x41):
        return 2  # C$, A$
    return 0


@kernel
def _is_unit(codes: Codes, start: int, end: int, units: Keys) -> bool:
    key = _OFFSET
    for i in range(start, end):
        key = (key ^ np.uint64(codes[i])) * _PRIME
    for unit in units:  # noqa: SIM110  # numba has no generators
        if unit == key:
            return True
    return False


@kernel
def _suffix(  # noqa: C901
    codes: Codes, start: int, end: int, roles: Roles, units: Keys
) -> int:
    """Characters to cut off behind: the longest that a rule allows."""
    last = codes[end - 1]
    role = roles[last]
    before = codes[end - 2] if end - start > 1 else np.int32(0)
    before_role = roles[before]
    unit = role & IS_LETTER or last in (0x25, 0xB2, 0xB3)  # what units end in
    for length in range(4 if unit else 0, 0, -1):
        number = end - start > length and roles[codes[end - length - 1]] & IS_DIGIT
        if number and _is_unit(codes, end - length, end, units):
            return length
    if last == 0x2E:
        length = 1
        while end - length > start and codes[end - length - 1] == 0x2E:
            length += 1
        if length > 1:
            return length
        if end - start < 2:
            return 0
        if before_role & (IS_DIGIT | IS_LOWER | CUTS | QUOTES):
            return 1
        if before in (0x25, 0xB2, 0x2D, 0x2B, 0x7C):
            return 1
        if end - start > 2:
            earlier = codes[end - 3]
            if before_role & IS_UPPER and roles[earlier] & IS_UPPER:
                return 1
            if earlier == 0xB0 and before in (0x46, 0x66, 0x43, 0x63, 0x4B, 0x6B):
                return 1
        return 0
    if last in (0x73, 0x53) and before in (0x27, 0x2019):  # 's
        return 2
    if last == 0x2026 and before == 0x2026:
        return 2
    if role & (CUTS | QUOTES | ICON) or last in (0x2014, 0x2013):
        return 1
    if before_role & IS_DIGIT and (last == 0x2B or role & CURRENCY):
        return 1
    return 0


@kernel
def _hyphen(codes: Codes, i: int, end: int) -> int:
    """Characters of the hyphen or dash here, or 0."""
    code = codes[i]
    if code in (0x2D, 0x2014):
        length = 1
        most = 3 if code == 0x2D else 2
        while length < most and i + length < end and codes[i + length] == code:
            length += 1
        return length
    return 1 if code in (0x2013, 0x7E) else 0


@kernel
def _infix(codes: Codes, start: int, i: int, end: int, roles: Roles) -> int:
    """Characters of the token that cuts the string at ``i``, or 0."""
    code = codes[i]
    role = roles[code]
    if role & ICON or code == 0x2026:
        return 1
    before = roles[codes[i - 1]] if i > start else np.uint16(0)
    after = roles[codes[i + 1]] if i + 1 < end else np.uint16(0)
    following = codes[i + 1] if i + 1 < end else np.int32(0)
    if code == 0x2E:
        length = 1
        while i + length < end and codes[i + length] == 0x2E:
            length += 1
        if length > 1:
            return length
        return 1 if before & (IS_LOWER | QUOTES) and after & (IS_UPPER | QUOTES) else 0
    if code == 0x2C:
        return 1 if before & IS_LETTER and after & IS_LETTER else 0
    sign = code in (0x2B, 0x2D, 0x2A, 0x5E) and before & IS_DIGIT
    if sign and (after & IS_DIGIT or following == 0x2D):
        return 1
    length = _hyphen(codes, i, end)
    if length and before & (IS_LETTER | IS_DIGIT) and i + length < end:
        return length if roles[codes[i + length]] & IS_LETTER else 0
    if code in (0x3A, 0x3C, 0x3E, 0x3D, 0x2F):
        return 1 if before & (IS_LETTER | IS_DIGIT) and after & IS_LETTER else 0
    return 0


@kernel
def _is_host_letter(code: int) -> bool:
    return (
        0x30 <= code <= 0x39
        or 0x41 <= code <= 0x5A
        or 0x61 <= code <= 0x7A
        or 0xA1 <= code <= 0xFFFF
    )


@kernel
def _is_host(codes: Codes, start: int, end: int, roles: Roles) -> bool:
    """Labels, a domain in small letters, and perhaps a port and a path."""
    i = start
    label = start
    dots = 0
    while i < end and (_is_host_letter(codes[i]) or codes[i] in (0x2E, 0x2D, 0x5F)):
        if codes[i] == 0x2E:
            if i == label or not _is_host_letter(codes[label]) or not _is_host_letter(codes[i - 1]):
                return False
            dots += 1
            label = i + 1
        i += 1
    if dots == 0 or i - label < 2 or i - label > 63:
        return False
    for k in range(label, i):
        if not roles[codes[k]] & IS_LOWER:
            return False
    if i < end and codes[i] == 0x3A:
        digits = 0
        while i + 1 + digits < end and roles[codes[i + 1 + digits]] & IS_DIGIT:
            digits += 1
        if digits < 2 or digits > 5:
            return False
        i += 1 + digits
    return i == end or codes[i] in (0x2F, 0x3F, 0x23)


@kernel
def _is_address(codes: Codes, start: int, end: int, roles: Roles) -> bool:
    """A web or mail address: scheme and user may be missing."""
    if _is_host(codes, start, end, roles):
        return True
    scheme = True
    for i in range(start, end - 3):
        code = codes[i]
        if code == 0x40 and i > start and _is_host(codes, i + 1, end, roles):
            return True
        slashes = code == 0x3A and codes[i + 1] == 0x2F and codes[i + 2] == 0x2F
        if slashes and scheme and i > start + 1 and _is_host(codes, i + 3, end, roles):
            return True
        scheme = scheme and (
            roles[code] & (IS_LETTER | IS_DIGIT) or code in (0x2B, 0x2D, 0x2E, 0x5F)
        )
    return False


@kernel
def _join_smileys(  # noqa: PLR0913
    codes: Codes, starts: Places, ends: Places, first: int, n: int, gate: Gate, keys: Keys,
    pieces: Places
) -> int:  # fmt: skip
    """Put neighbours together that are listed as one: ``)`` and ``:`` are a smiley."""
    kept = k = first
    while k < n:
        last = k
        most = min(k + 6, n - 1)
        if k < most and (
            ends[k + 1] - starts[k] > _MAX_SPECIAL
            or not gate[_GATE_SIZE + _place_in_gate(codes[starts[k]], codes[starts[k] + 1], 0, 0)]
        ):
            most = k
        for other in range(most, k, -1):
            found = _special(codes, starts[k], ends[other], gate, keys)
            if found >= 0 and pieces[found] < 256:
                last = other
                break
        starts[kept], ends[kept] = starts[k], ends[last]
        kept += 1
        k = last + 1
    return kept


@kernel
def _cut_middle(  # noqa: PLR0913
    codes: Codes, start: int, end: int, roles: Roles, starts: Places, ends: Places, n: int
) -> int:
    """Cut what is left between prefixes and suffixes; the number of tokens after it."""
    dots = other = False
    for i in range(start, end):
        dots |= codes[i] == 0x2E
        other |= (roles[codes[i]] & (IS_LETTER | IS_DIGIT)) == 0
    whole = k = start
    if other and not (dots and _is_address(codes, start, end, roles)):
        while k < end:
            length = 0
            if k > whole and not roles[codes[k]] & (IS_LETTER | IS_DIGIT):
                length = _infix(codes, whole, k, end, roles)
            if length == 0:
                k += 1
                continue
            if k > start:
                starts[n], ends[n] = start, k
                n += 1
            starts[n], ends[n] = k, k + length
            n += 1
            start = k = k + length
    if start < end:
        starts[n], ends[n] = start, end
        n += 1
    return n


@kernel
def _cut_word(  # noqa: C901, PLR0913
    codes: Codes, start: int, end: int, roles: Roles, gate: Gate, keys: Keys, pieces: Places,
    units: Keys, starts: Places, ends: Places, n: int
) -> int:  # fmt: skip
    """Cut what stands between two spaces, by all rules; the number of tokens after it.

    Lengths of what is cut off behind, outermost first, wait at the far end of ``ends``: there is a
    place for every character.
    """
    first, n_behind, far = n, 0, len(ends) - 1
    found = _special(codes, start, end, gate, keys)
    while found < 0 and start < end:
        front = _prefix(codes, start, end, roles)
        if front:
            found = _special(codes, start + front, end, gate, keys)
            if found >= 0:
                starts[n], ends[n] = start, start + front
                n += 1
                start += front
                break
        back = 0
        if start + front < end:
            back = _suffix(codes, start + front, end, roles, units)
        if back:
            found = _special(codes, start, end - back, gate, keys)
            if found >= 0:
                ends[far - n_behind] = back
                n_behind += 1
                end -= back
                break
        if front == 0 and back == 0:
            break
        if front:
            starts[n], ends[n] = start, start + front
            n += 1
        if back:
            ends[far - n_behind] = back
            n_behind += 1
        start += front
        end -= back
        found = _special(codes, start, end, gate, keys)
    if found >= 0:
        lengths = pieces[found]
        while lengths:
            starts[n], ends[n] = start, start + (lengths & 255)
            start = ends[n]
            n += 1
            lengths >>= 8
    elif start < end:
        n = _cut_middle(codes, start, end, roles, starts, ends, n)
    for k in range(n_behind - 1, -1, -1):  # what was cut off last stands first
        back = ends[far - k]
        starts[n], ends[n] = end, end + back
        end += back
        n += 1
    if n - first > 1:
        n = _join_smileys(codes, starts, ends, first, n, gate, keys, pieces)
    return n


@kernel
def _kind(codes: Codes, start: int, end: int, roles: Roles) -> int:
    """What a token is."""
    every = some = roles[codes[start]]
    for i in range(start + 1, end):
        every &= roles[codes[i]]
        some |= roles[codes[i]]
    kind = 0 if every & SYMBOL_ONLY else IS_WORD
    if some & IS_LETTER:
        kind |= HAS_LETTER
    if every & PUNCTUATION:
        kind |= IS_MARK
    if end - start == 1 and some & TERMINAL:
        kind |= ENDS_SENTENCE
    return kind


@kernel
def _cut_span(  # noqa: PLR0913
    codes: Codes, i: int, stop: int, roles: Roles, gate: Gate, keys: Keys, pieces: Places,
    units: Keys, starts: Places, ends: Places, kinds: Kinds, n: int
) -> int:  # fmt: skip
    """Cut a stretch of text; the number of tokens after it.

    Most of prose is letters, perhaps with one mark or quote at either end. Those need none of the
    rules, as long as no part of them is in the list.
    """
    while i < stop:
        if roles[codes[i]] & IS_SPACE:
            i += 1
            continue
        start = i
        letters = 0
        while i < stop:
            role = roles[codes[i]]
            if role & IS_SPACE:
                break
            letters += (role & IS_LETTER) != 0
            i += 1
        inner, end = start, i
        if letters < i - start:
            role = roles[codes[i - 1]]
            stop_ends = codes[i - 1] == 0x2E and end - start > 1
            if role & (CUTS | QUOTES) or (stop_ends and roles[codes[end - 2]] & IS_LOWER):
                end -= 1
            if end > start and roles[codes[start]] & (CUTS | QUOTES):
                inner += 1
        simple = (
            letters > 0
            and letters == end - inner
            and _special(codes, start, i, gate, keys) < 0
            and (inner == start or _special(codes, inner, i, gate, keys) < 0)
            and (end == i or _special(codes, start, end, gate, keys) < 0)
            and (inner == start or end == i or _special(codes, inner, end, gate, keys) < 0)
        )
        if not simple:
            first = n
            n = _cut_word(codes, start, i, roles, gate, keys, pieces, units, starts, ends, n)
            for t in range(first, n):
                kinds[t] = _kind(codes, starts[t], ends[t], roles)
            continue
        if inner > start:
            starts[n], ends[n] = start, inner
            kinds[n] = _kind(codes, start, inner, roles)
            n += 1
        starts[n], ends[n] = inner, end
        kinds[n] = IS_WORD | HAS_LETTER
        n += 1
        if end < i:
            starts[n], ends[n] = end, i
            kinds[n] = _kind(codes, end, i, roles)
            n += 1
    return n


@kernel
def _cut_tokens(  # noqa: PLR0913
    codes: Codes, bounds: Bounds, roles: Roles, gate: Gate, keys: Keys, pieces: Places,
    units: Keys
) -> tuple[Places, Places, Kinds, Bounds]:  # fmt: skip
    documents = len(bounds) - 1
    chars = bounds[documents] - bounds[0]  # a token has one or more
    starts, ends = np.empty(chars, np.int64), np.empty(chars, np.int64)
    kinds = np.empty(chars, np.uint8)
    token_bounds = np.zeros(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        n = _cut_span(
            codes, bounds[document], bounds[document + 1],
            roles, gate, keys, pieces, units, starts, ends, kinds, n,
        )  # fmt: skip
        token_bounds[document + 1] = n
    return starts[:n], ends[:n], kinds[:n], token_bounds


@kernel
def _cut_lines(  # noqa: PLR0913
    codes: Codes, bounds: Bounds, lines: Places, line_bounds: Bounds, sources: Places,
    source_ends: Places, known_starts: Places, known_ends: Places, known_kinds: Kinds,
    known_bounds: Bounds, roles: Roles, gate: Gate, keys: Keys, pieces: Places, units: Keys
) -> tuple[Places, Places, Kinds, Bounds]:  # fmt: skip
    documents = len(bounds) - 1
    chars = bounds[documents] - bounds[0]
    starts, ends = np.empty(chars, np.int64), np.empty(chars, np.int64)
    kinds = np.empty(chars, np.uint8)
    token_bounds = np.zeros(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        t, last = known_bounds[document], known_bounds[document + 1]
        before = bounds[document]
        for line in range(line_bounds[document], line_bounds[document + 1]):
            if sources[line] < 0:
                n = _cut_span(
                    codes, before, lines[line],
                    roles, gate, keys, pieces, units, starts, ends, kinds, n,
                )  # fmt: skip
            else:
                moved = lines[line] - source_ends[line]
                while t < last and known_starts[t] < sources[line]:
                    t += 1
                while t < last and known_starts[t] < source_ends[line]:
                    starts[n], ends[n] = known_starts[t] + moved, known_ends[t] + moved
                    kinds[n] = known_kinds[t]
                    n += 1
                    t += 1
            before = lines[line]
        token_bounds[document + 1] = n
    return starts[:n], ends[:n], kinds[:n], token_bounds
