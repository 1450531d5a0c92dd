"""The kernel of numbers: telephones, resident IDs, bank cards; in one pass.

It looks closer at every run of digits between the marks of ``pii_addresses`` and ``pii_cues``.
Digits may be full-width; of two candidates the one that starts first wins.

A number is left alone where it is a piece of something longer: next to letters or digits, joined to
digits by ``-`` or ``.``, in a path or a web address, in the local part of an e-mail, after a sign
of currency, before 元, 万, 亿 or ``%`` (all but 万 also with a space between).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .pii_addresses import CARD, FOUND, ID, LANDLINE, MOBILE, Marks, packed
from .utf8 import Bounds, Bytes, kernel

_MAX_DIGITS: Final = 32
_MAX_GROUPS: Final = 6
_LONGEST_LOCAL: Final = 64  # RFC 5321, 4.5.3.1.1
_CURRENCY: Final = packed("￥", "€")
_UNITS: Final = packed("元", "万", "亿")
_SPACED_UNITS: Final = packed("元", "亿")


@kernel
def _three(buffer: Bytes, i: int, end: int) -> int:
    """Three bytes as a number; 0 where there are not three."""
    if i + 3 > end:
        return 0
    three: int = buffer[i] << 16 | buffer[i + 1] << 8 | buffer[i + 2]
    return three


@kernel
def _digit(buffer: Bytes, i: int, end: int) -> tuple[int, int]:
    """Value and bytes of the digit at a place; no bytes where there is none."""
    if i >= end:
        return 0, 0
    if 0x30 <= buffer[i] <= 0x39:
        return buffer[i] - 0x30, 1
    if buffer[i] == 0xEF:
        three = _three(buffer, i, end)
        if 0xEFBC90 <= three <= 0xEFBC99:
            return three - 0xEFBC90, 3
    return 0, 0


@kernel
def _digit_before(buffer: Bytes, start: int, i: int) -> bool:
    if i > start and 0x30 <= buffer[i - 1] <= 0x39:
        return True
    return i - 3 >= start and 0xEFBC90 <= _three(buffer, i - 3, i) <= 0xEFBC99


@kernel
def _is_letter(byte: int) -> bool:
    return 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A


@kernel
def _is_word(byte: int) -> bool:
    return _is_letter(byte) or 0x30 <= byte <= 0x39 or byte == 0x5F


@kernel
def _is_local(byte: int) -> bool:
    """Of the local part of an address: letters, digits, ``._%+-``."""
    return _is_word(byte) or byte in (0x2E, 0x25, 0x2B, 0x2D)


@kernel
def _free_left(buffer: Bytes, start: int, i: int) -> bool:
    """Whether something can begin here."""
    if i == start:
        return True
    byte = buffer[i - 1]
    if _is_word(byte) or byte == 0x24 or _digit_before(buffer, start, i):  # $
        return False
    if byte in (0x2D, 0x2E) and _digit_before(buffer, start, i - 1):  # - .
        return False
    if i - 2 >= start and (byte == 0x2F and _is_letter(buffer[i - 2])):  # path/13
        return False
    if i - 2 >= start and byte == 0xA5 and buffer[i - 2] == 0xC2:  # ¥
        return False
    return i - 3 < start or _three(buffer, i - 3, i) not in _CURRENCY


@kernel
def _free_right(buffer: Bytes, i: int, end: int) -> bool:
    """Whether something can end before this place."""
    if i >= end:
        return True
    byte = buffer[i]
    if _is_word(byte) or _digit(buffer, i, end)[1]:
        return False
    if byte in (0x2D, 0x2E) and _digit(buffer, i + 1, end)[1]:
        return False
    if byte == 0x2E and i + 1 < end and 0x61 <= buffer[i + 1] <= 0x7A:  # 13.html
        return False
    if byte == 0x25 or _three(buffer, i, end) in _UNITS:  # %
        return False
    spaced = byte == 0x20 and i + 1 < end  # 万 after a space may be a family name
    if spaced and (buffer[i + 1] == 0x25 or _three(buffer, i + 1, end) in _SPACED_UNITS):
        return False
    last = min(end, i + _LONGEST_LOCAL)
    while i < last and _is_local(buffer[i]):
        i += 1
    return i >= end or buffer[i] != 0x40  # 13-a@b.com


@kernel
def _read_groups(
    buffer: Bytes, i: int, end: int, number: Bytes, groups: npt.NDArray[np.int64]
) -> int:
    """Read digits in groups parted by single spaces or hyphens.

    Args:
        buffer: UTF-8.
        i: where the first digit is.
        end: of the document.
        number: gets the values of the first 32 digits.
        groups: int64 ``[3, 6]``: gets the digits of each group, where it ends, the byte before it.

    Returns:
        How many groups; of the last one all digits are counted, however many there are.
    """
    digits = count = 0
    groups[2, 0] = 0
    while True:
        length = 0
        value, size = _digit(buffer, i, end)
        while size:
            if digits < _MAX_DIGITS:
                number[digits] = value
            digits += 1
            length += 1
            i += size
            value, size = _digit(buffer, i, end)
        if not length:
            return count
        groups[0, count], groups[1, count] = length, i
        count += 1
        if count == _MAX_GROUPS or digits >= _MAX_DIGITS or i >= end:
            return count
        if buffer[i] not in (0x20, 0x2D):
            return count
        groups[2, count] = buffer[i]
        i += 1


@kernel
def _has_groups(
    groups: npt.NDArray[np.int64], count: int, first: int, lengths: tuple[int, ...]
) -> bool:
    """Whether groups of these lengths follow, all parted alike."""
    if first + len(lengths) > count:
        return False
    for k in range(len(lengths)):
        if groups[0, first + k] != lengths[k]:
            return False
        if k > 1 and groups[2, first + k] != groups[2, first + 1]:
            return False
    return True


@kernel
def _is_id(number: Bytes, check: int) -> bool:
    """Whether 17 digits and a check digit (10 for X) are a resident ID. Source: GB 11643-1999.

    The province is one of GB/T 2260, prefecture and county are named (but in Hong Kong, Macau and
    Taiwan), the date of birth is in the calendar, the check digit is that of ISO 7064 mod 11-2.
    """
    province = number[0] * 10 + number[1]
    tens, ones = province // 10, province % 10
    limits = (0, 5, 3, 7, 6, 4, 5, 1, 3, 0)  # 11-15 21-23 31-37 41-46 50-54 61-65 71 81-83
    if ones > limits[tens] or (ones == 0 and tens != 5):
        return False
    inland = tens < 7
    if inland and (number[2] + number[3] == 0 or number[4] + number[5] == 0):
        return False
    year = ((number[6] * 10 + number[7]) * np.int64(10) + number[8]) * 10 + number[9]
    month, day = number[10] * 10 + number[11], number[12] * 10 + number[13]
    if not (1900 <= year < 2100 and 1 <= month <= 12 and day >= 1):
        return False
    days = 31 - (month in (4, 6, 9, 11))
    if month == 2:
        days = 28 + (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
    total = check
    for k in range(17):
        total += np.int64(number[k]) * (2 ** (17 - k) % 11)
    return day <= days and total % 11 == 1


@kernel
def _is_card(number: Bytes, digits: int) -> bool:
    """Whether it is a bank card: an issuer's prefix and length, and the Luhn check digit.

    Source: ISO/IEC 7812-1; UnionPay 62, Visa 4, Mastercard 51-55 and 2221-2720, JCB 3528-3589.
    """
    four = ((number[0] * np.int64(10) + number[1]) * 10 + number[2]) * 10 + number[3]
    two = four // 100
    known = two == 62
    if digits == 16:
        known |= 51 <= two <= 55 or 2221 <= four <= 2720 or 3528 <= four <= 3589
    if digits in (16, 19):
        known |= number[0] == 4
    if not known:
        return False
    total = 0
    for k in range(digits):
        value = number[digits - 1 - k] << (k & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@kernel
def _id_end(
    buffer: Bytes, end: int, number: Bytes, groups: npt.NDArray[np.int64], count: int
) -> int:
    """Where a resident ID ends, plain or 6-8-4; 0 if there is none."""
    k, digits = 0, groups[0, 0]
    if digits == 6 and count > 2 and groups[0, 1] == 8 and groups[2, 1] == groups[2, 2]:
        k, digits = 2, 14 + groups[0, 2]
    stop, check = groups[1, k], number[17]
    if digits == 17 and stop < end and buffer[stop] in (0x58, 0x78):  # X x
        stop, check = stop + 1, 10
    elif digits != 18:
        return 0
    return stop if _is_id(number, check) and _free_right(buffer, stop, end) else 0


@kernel
def _card_end(
    buffer: Bytes, end: int, number: Bytes, groups: npt.NDArray[np.int64], count: int
) -> int:
    """Where a bank card ends, plain or in fours; 0 if there is none."""
    stop: int = groups[1, 0]
    if 16 <= groups[0, 0] <= 19:
        return stop if _is_card(number, groups[0, 0]) and _free_right(buffer, stop, end) else 0
    if not _has_groups(groups, count, 0, (4, 4, 4, 4)):
        return 0
    if count > 4 and groups[0, 4] <= 3 and groups[2, 4] == groups[2, 3]:
        stop = groups[1, 4]
        if _is_card(number, 16 + groups[0, 4]) and _free_right(buffer, stop, end):
            return stop
    stop = groups[1, 3]
    return stop if _is_card(number, 16) and _free_right(buffer, stop, end) else 0


@kernel
def _phone(  # noqa: C901
    buffer: Bytes, end: int, number: Bytes, groups: npt.NDArray[np.int64], count: int, plus: bool
) -> tuple[int, int]:
    """Type and end of a telephone number; end 0 if it is none.

    Source: the numbering plan of the mainland: mobile 1[3-9] and nine digits, plain also after
    a 0; areas 10 and 2x with two, all others with three digits, after a 0 or +86; local numbers of
    seven or eight digits, eight also in fours.
    """
    first = at = 0  # group and digit after +86, 0086, 86
    skip = 4 if number[0] == 0 and number[1] == 0 else 2
    country = number[skip - 2] == 8 and number[skip - 1] == 6
    if country and groups[0, 0] == skip:
        first, at = 1, skip
    glued = country and groups[0, 0] == skip + 11
    if glued:
        at = skip
    elif number[0] == 0 and groups[0, 0] == 12 and not plus:  # 013800138000, from another town
        glued, at = True, 1
    if plus and not (glued or first):
        return 0, 0
    if first < count:
        whole = glued or groups[0, first] == 11
        if whole or _has_groups(groups, count, first, (3, 4, 4)):
            stop = groups[1, first if whole else first + 2]
            if number[at] == 1 and number[at + 1] >= 3 and _free_right(buffer, stop, end):
                return MOBILE, stop
    abroad = first == 1 and (plus or skip == 4)
    if first + 1 >= count or not (abroad or (first == 0 and number[0] == 0)):
        return 0, 0
    area = at if abroad else 1  # the digit after the 0
    lead = number[area]
    length = 2 if lead == 1 or lead == 2 else 3
    if lead == 0 or (lead == 1 and number[area + 1] != 0):
        return 0, 0
    k = first + 1
    if groups[0, first] != length + (not abroad) or number[at + groups[0, first]] < 2:
        return 0, 0
    if groups[0, k] == 4 and k + 1 < count and groups[0, k + 1] == 4:  # 6795 6674
        k += 1
    elif not 7 <= groups[0, k] <= 8:
        return 0, 0
    if k + 1 < count and groups[2, k + 1] == 0x2D and groups[0, k + 1] <= 5:  # an extension
        k += 1
    return LANDLINE, groups[1, k] if _free_right(buffer, groups[1, k], end) else 0


@kernel
def _goes_on(buffer: Bytes, i: int, end: int) -> bool:
    """Whether a short run of digits that ends here may be the first group of a number."""
    if i + 1 >= end:
        return False
    digit = 0x30 <= buffer[i + 1] <= 0x39 or buffer[i + 1] == 0xEF
    return buffer[i] in (0x20, 0x2D) and digit


@kernel
def _number_at(
    buffer: Bytes, start: int, i: int, end: int, number: Bytes, groups: npt.NDArray[np.int64]
) -> tuple[int, int, int]:
    """Type, begin and end of the number that the run of digits at ``i`` starts; end 0 if none."""
    begin = i
    count = _read_groups(buffer, i, end, number, groups)
    plus = i > start and buffer[i - 1] == 0x2B
    if plus:
        begin = i - 1
    if not _free_left(buffer, start, begin):
        return 0, 0, 0
    kind, stop = 0, 0
    if not plus:
        kind, stop = ID, _id_end(buffer, end, number, groups, count)
        if not stop:
            kind, stop = CARD, _card_end(buffer, end, number, groups, count)
    if not stop:
        kind, stop = _phone(buffer, end, number, groups, count, plus)
    return kind, begin, stop


@kernel
def find_numbers(buffer: Bytes, offsets: Bounds, digits: Bytes, marks: Marks) -> Marks:  # noqa: C901
    """Find numbers, and put what was found before among them.

    Args:
        buffer: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.
        digits: bool-like uint8 ``[256]``: which bytes begin a digit.
        marks: addresses and what cues announce, in order.

    Returns:
        All that was found, in order.
    """
    out = np.empty((64 + len(marks), 4), np.int64)
    number = np.zeros(_MAX_DIGITS, np.uint8)
    groups = np.zeros((3, _MAX_GROUPS), np.int64)
    n = m = 0
    for document in range(len(offsets) - 1):
        start, end = offsets[document], offsets[document + 1]
        i = floor = start
        while i <= end:
            # To the next mark, or over it.
            stop = end
            if m < len(marks) and marks[m, 0] == document:
                stop = marks[m, 1]
                if i >= stop:
                    if n + 2 >= len(out):
                        out = np.concatenate((out, np.empty_like(out)))
                    kind, i = marks[m, 3], max(i, marks[m, 2])
                    m += 1
                    if kind < FOUND:
                        out[n] = marks[m - 1]
                        n += 1
                    floor = i
                    continue
            while i < stop and not digits[buffer[i]]:
                i += 1
            if i >= stop:
                if stop == end and not (m < len(marks) and marks[m, 0] == document):
                    break
                i = stop
                continue
            run, size = i, _digit(buffer, i, end)[1]
            if not size:  # of ， or the like
                i += 3
                continue
            while size:
                run += size
                size = _digit(buffer, run, end)[1]
            kind = begin = last = 0
            if run - i > 10 or _goes_on(buffer, run, end):
                kind, begin, last = _number_at(buffer, start, i, end, number, groups)
            if floor <= begin < last <= stop:
                if n + 2 >= len(out):
                    out = np.concatenate((out, np.empty_like(out)))
                out[n, 0], out[n, 1], out[n, 2], out[n, 3] = document, begin, last, kind
                n += 1
                i = floor = last
            else:
                i = run
    return out[:n]
