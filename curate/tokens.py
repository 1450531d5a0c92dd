"""English tokens as spaCy 3.8 cuts them, which is what datatrove's filters count.

Between spaces, punctuation and quotes are cut off at both ends until nothing gives; what is left is
kept whole if it is a contraction or an abbreviation in the list, an address, or else cut at hyphens
between letters, at full stops between a small and a capital letter, and the like. ``don't`` gives
``do`` and ``n't``; ``U.S.`` stays; ``well-known.`` gives four.

Source: spaCy's documentation of its tokenizer; its English rules and exceptions, version 3.8.
"""

from dataclasses import dataclass
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
    QUOTES,
    Roles,
    roles,
)
from .utf8 import Bounds, Codes, kernel

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_PRIME: Final = np.uint64(0x100000001B3)
_FREE: Final = np.uint64(0)
_MAX_SPECIAL: Final = 12  # characters; nothing longer stands in the list


def _hash(text: str) -> int:
    value = int(_OFFSET)
    for character in text:
        value = ((value ^ ord(character)) * int(_PRIME)) & 0xFFFFFFFFFFFFFFFF
    return value


@cache
def _tables() -> tuple[Keys, Places, Keys]:
    """Hash table of the specials: keys, and the lengths of four pieces in a byte each; units."""
    listed = specials()
    size = 4096
    keys, pieces = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for text, lengths in listed.items():
        key = _hash(text)
        slot = (key >> 20) & (size - 1)
        while keys[slot]:
            slot = (slot + 1) & (size - 1)
        keys[slot] = key
        pieces[slot] = sum(length << 8 * k for k, length in enumerate(lengths))
    units = sorted(map(_hash, UNITS.split()))
    return keys, pieces, np.array(units, np.uint64)


@dataclass(frozen=True)
class Tokens:
    """All tokens of all documents.

    Attributes:
        starts, ends: places in the code points, int64 ``[T]``.
        bounds: document bounds in ``starts``, int64 ``[D + 1]``.
    """

    starts: Places
    ends: Places
    bounds: Bounds


def cut_tokens(codes: Codes, bounds: Bounds) -> Tokens:
    """Cut documents into tokens; spaces are none.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
    """
    return Tokens(*_cut_tokens(codes, bounds, roles(), *_tables()))


@kernel
def _special(codes: Codes, start: int, end: int, keys: Keys) -> int:
    """Where this string stands in the list, or -1."""
    if end - start > _MAX_SPECIAL or end <= start:
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
    return bool(np.any(units == key))


@kernel
def _suffix(  # noqa: C901
    codes: Codes, start: int, end: int, roles: Roles, units: Keys
) -> int:
    """Characters to cut off behind: the longest that a rule allows."""
    last = codes[end - 1]
    role = roles[last]
    before = codes[end - 2] if end - start > 1 else np.int32(0)
    before_role = roles[before]
    for length in range(4, 0, -1):
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
    codes: Codes, starts: Places, ends: Places, first: int, n: int, keys: Keys, pieces: Places
) -> int:
    """Put neighbours together that are listed as one: ``)`` and ``:`` are a smiley."""
    kept = k = first
    while k < n:
        last = k
        for other in range(min(k + 6, n - 1), k, -1):
            found = _special(codes, starts[k], ends[other], keys)
            if found >= 0 and pieces[found] < 256:
                last = other
                break
        starts[kept], ends[kept] = starts[k], ends[last]
        kept += 1
        k = last + 1
    return kept


@kernel
def _cut_tokens(  # noqa: C901
    codes: Codes,
    bounds: Bounds,
    roles: Roles,
    special_keys: Keys,
    special_pieces: Places,
    units: Keys,
) -> tuple[Places, Places, Bounds]:
    documents = len(bounds) - 1
    starts = np.empty(bounds[documents] - bounds[0], np.int64)  # a token has a character or more
    ends = np.empty(bounds[documents] - bounds[0], np.int64)
    token_bounds = np.zeros(documents + 1, np.int64)
    longest = run = 0
    for i in range(bounds[0], bounds[documents]):
        run = 0 if roles[codes[i]] & IS_SPACE else run + 1
        longest = max(longest, run)
    # Lengths of what is cut off behind, outermost first. Made once: an array that is made anew
    # inside the loop is counted in and out at every turn.
    behind = np.empty(longest, np.int64)
    n = 0
    for document in range(documents):
        i, stop = bounds[document], bounds[document + 1]
        while i < stop:
            if roles[codes[i]] & IS_SPACE:
                i += 1
                continue
            start = i
            plain = True  # letters alone need none of the rules but the list
            while i < stop and not roles[codes[i]] & IS_SPACE:
                plain &= (roles[codes[i]] & IS_LETTER) != 0
                i += 1
            end = i
            first = n
            n_behind = 0
            found = _special(codes, start, end, special_keys)
            if found < 0 and not plain:
                while start < end:
                    front = _prefix(codes, start, end, roles)
                    if front:
                        found = _special(codes, start + front, end, special_keys)
                        if found >= 0:
                            starts[n], ends[n] = start, start + front
                            n += 1
                            start += front
                            break
                    back = 0
                    if start + front < end:
                        back = _suffix(codes, start + front, end, roles, units)
                    if back:
                        found = _special(codes, start, end - back, special_keys)
                        if found >= 0:
                            behind[n_behind] = back
                            n_behind += 1
                            end -= back
                            break
                    if front == 0 and back == 0:
                        break
                    if front:
                        starts[n], ends[n] = start, start + front
                        n += 1
                    if back:
                        behind[n_behind] = back
                        n_behind += 1
                    start += front
                    end -= back
                    found = _special(codes, start, end, special_keys)
                    if found >= 0:
                        break
            if found >= 0:
                lengths = special_pieces[found]
                while lengths:
                    starts[n], ends[n] = start, start + (lengths & 255)
                    start = ends[n]
                    n += 1
                    lengths >>= 8
            elif start < end and (plain or _is_address(codes, start, end, roles)):
                starts[n], ends[n] = start, end
                n += 1
            else:
                whole = k = start
                while k < end:
                    length = _infix(codes, whole, k, end, roles) if k > whole else 0
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
            for k in range(n_behind - 1, -1, -1):  # what was cut off last stands first
                starts[n], ends[n] = end, end + behind[k]
                end += behind[k]
                n += 1
            if n - first > 1:
                n = _join_smileys(codes, starts, ends, first, n, special_keys, special_pieces)
        token_bounds[document + 1] = n
    return starts[:n].copy(), ends[:n].copy(), token_bounds
