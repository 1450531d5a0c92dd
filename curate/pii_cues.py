"""The kernel of cues and plates: accounts, licence plates, landlines that are announced.

Brackets around its area code announce a landline, or a word such as 电话. Kernels call only kernels
of their own file, so small ones stand here as they do in ``pii_addresses``.
"""

from typing import Final

import numpy as np

from .pii_addresses import LANDLINE, PLATE, QQ, WECHAT, Marks, packed
from .utf8 import Bounds, Bytes, kernel

_CAPITAL, _CUE_LETTER, _CUE_LEAD, _CUE, _ZERO, _WIDE = range(1, 7)
_SECOND: Final = (0x71, 0x78, 0x65)  # the letter after q, v, w in qq, vx, wx, we…
_WIDE_COLON, _BULLET = packed("：", "•")
_NUMBER_WORDS: Final = packed(*"号码账帐同")
_LINK_WORDS: Final = packed(*"是为")
_CLERK: Final = packed(*"客服")
_WEI, _XIN, _KOU = packed(*"微信扣")
_PROVINCES: Final = packed(*"京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新")
_LAST_OF_PLATE: Final = packed(*"挂学警港澳")
_LATIN_CUES: Final = packed("vx", "wx", "wechat", "weixin")
# What ends before a telephone number: 电话, 传真, 座机, 热线; Tel, phone, fax.
_CALLS: Final = packed(*"话真机线")
_LATIN_CALLS: Final = packed("tel", "phone", "fax")
_OPENING, _CLOSING, _WIDE_ZERO = packed("（", "）", "０")
_CURRENCY_UNITS, _SPACED_UNITS = packed(*"元万亿"), packed(*"元亿")
_LONGEST_LOCAL: Final = 64  # RFC 5321, 4.5.3.1.1
_QQ_CUE, _V, _ID, _WXID = packed("qq", "v", "id", "wxid")


def cue_starts() -> Bytes:
    """uint8 ``[256]``: what a byte can start."""
    table = np.zeros(256, np.uint8)
    table[ord("A") : ord("Z") + 1] = _CAPITAL
    for character in "QqVvWw":
        table[ord(character)] = _CUE_LETTER
    table[[0xE5, 0xE6]] = _CUE_LEAD  # of 微 and 扣
    table[ord("0")] = _ZERO
    table[0xEF] = _WIDE  # ０
    return table


@kernel
def _three(buffer: Bytes, i: int, end: int) -> int:
    """Three bytes as a number; 0 where there are not three."""
    if i + 3 > end:
        return 0
    three: int = buffer[i] << 16 | buffer[i + 1] << 8 | buffer[i + 2]
    return three


@kernel
def _is_letter(byte: int) -> bool:
    return 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A


@kernel
def _is_digit(byte: int) -> bool:
    return 0x30 <= byte <= 0x39


@kernel
def _is_word(byte: int) -> bool:
    return _is_letter(byte) or _is_digit(byte) or byte == 0x5F


@kernel
def _is_wide_digit(buffer: Bytes, i: int, end: int) -> bool:
    return 0xEFBC90 <= _three(buffer, i, end) <= 0xEFBC99


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
def _is_local(byte: int) -> bool:
    """Of the local part of an address: letters, digits, ``._%+-``."""
    return _is_word(byte) or byte in (0x2E, 0x25, 0x2B, 0x2D)


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
    if byte == 0x25 or _three(buffer, i, end) in _CURRENCY_UNITS:  # %
        return False
    spaced = byte == 0x20 and i + 1 < end  # 万 after a space may be a family name
    if spaced and (buffer[i + 1] == 0x25 or _three(buffer, i + 1, end) in _SPACED_UNITS):
        return False
    last = min(end, i + _LONGEST_LOCAL)
    while i < last and _is_local(buffer[i]):
        i += 1
    return i >= end or buffer[i] != 0x40  # 13-a@b.com


@kernel
def _run(buffer: Bytes, i: int, end: int) -> tuple[int, int, int, int]:
    """Digits from a place on: how many, where they end, the first, the first three as a number."""
    count = first = head = 0
    value, size = _digit(buffer, i, end)
    while size:
        first = value if count == 0 else first
        head = head * 10 + value if count < 3 else head
        count += 1
        i += size
        value, size = _digit(buffer, i, end)
    return count, i, first, head


@kernel
def _account(buffer: Bytes, i: int, end: int) -> int:
    """Where an account of five to eleven digits ends; 0 if there is none."""
    count, stop, first, _ = _run(buffer, i, end)
    return stop if first and 5 <= count <= 11 and _free_right(buffer, stop, end) else 0


@kernel
def _called(buffer: Bytes, start: int, i: int) -> bool:
    """Whether 电话, ``Tel`` or the like stands before."""
    if i > start and _is_word(buffer[i - 1]):
        return False
    while i > start and buffer[i - 1] in (0x20, 0x3A, 0x2E):
        i -= 1
    if i - 3 >= start and _three(buffer, i - 3, i) == _WIDE_COLON:
        i -= 3
    if i - 3 >= start and _three(buffer, i - 3, i) in _CALLS:
        return True
    first = i
    while first > start and i - first < 6 and _is_letter(buffer[first - 1]):
        first -= 1
    return _letters(buffer, first, i) in _LATIN_CALLS


@kernel
def _landline(buffer: Bytes, start: int, i: int, end: int) -> tuple[int, int]:
    """Begin and end of an announced landline whose area code has its 0 at ``i``; end 0 if none."""
    if i > start and (_is_digit(buffer[i - 1]) or _is_wide_digit(buffer, max(start, i - 3), i)):
        return 0, 0
    count, stop, _, head = _run(buffer, i, end)
    if head < 10 or (head < 20 and head != 10):
        return 0, 0
    length = 3 if head < 30 else 4
    if count > length:
        local = i
        for _ in range(length):
            local += _digit(buffer, local, end)[1]
        good = count - length == 8 or (count - length == 7 and length == 4)
        good = good and _digit(buffer, local, end)[0] > 1 and _called(buffer, start, i)
        return i, stop if good and _free_right(buffer, stop, end) else 0
    begin = i
    if i > start and buffer[i - 1] == 0x28:
        begin = i - 1
    elif i - 3 >= start and _three(buffer, i - 3, i) == _OPENING:
        begin = i - 3
    if begin == i or count != length:
        return 0, 0
    if stop < end and buffer[stop] == 0x29:
        stop += 1
    elif _three(buffer, stop, end) == _CLOSING:
        stop += 3
    else:
        return 0, 0
    if stop < end and buffer[stop] in (0x20, 0x2D):
        stop += 1
    count, stop, first, _ = _run(buffer, stop, end)
    good = 7 <= count <= 8 and first > 1 and _free_right(buffer, stop, end)
    return begin, stop if good else 0


@kernel
def _letters(buffer: Bytes, i: int, end: int) -> int:
    """The letters from a place on as a number, case ignored; -1 if there are more than eight."""
    word = 0
    for k in range(9):
        if i + k >= end or not _is_letter(buffer[i + k]):
            return word
        word = word << 8 | buffer[i + k] | 0x20
    return -1


@kernel
def _word_start(buffer: Bytes, start: int, i: int) -> bool:
    if i == start:
        return True
    if _is_word(buffer[i - 1]):
        return False
    return i - 3 < start or not _is_wide_digit(buffer, i - 3, i)


@kernel
def _cue(buffer: Bytes, start: int, i: int, end: int) -> tuple[int, int]:
    """Where a cue that begins here ends, and its mark; end 0 if it is none."""
    three = _three(buffer, i, end)
    if three in (_WEI, _KOU):
        if three == _WEI and _three(buffer, i + 3, end) == _XIN:
            return i + 6, WECHAT
        return (i + 6, QQ) if _three(buffer, i + 3, end) == _KOU else (0, 0)
    if buffer[i] >= 0x80 or not _word_start(buffer, start, i):
        return 0, 0
    word, size = _letters(buffer, i, end), 0
    while i + size < end and _is_letter(buffer[i + size]):
        size += 1
    if word == _QQ_CUE:
        return i + size, QQ
    if word in _LATIN_CUES:
        return i + size, WECHAT
    if word == _V and _three(buffer, i + 1, end) == _XIN:
        return i + 4, WECHAT
    return 0, 0


@kernel
def _wechat(buffer: Bytes, i: int, end: int, latin: bool, announced: int) -> int:
    """Where an account that begins with a letter ends; 0 if there is none.

    Six to twenty letters, digits, ``_`` and ``-``. Letters alone are one only after 微信号 or
    ``WeChat ID``, or after a Chinese cue and a colon if no second word follows (``微信：Tencent
    Holdings``). What nothing announces has three digits or begins with ``wxid_`` (微信 iPhone15).

    Source: the WeChat help centre.
    """
    first, letters, digits = i, 0, 0
    if not _is_letter(buffer[i]):
        return 0
    while i < end and (_is_word(buffer[i]) or buffer[i] == 0x2D):
        letters += _is_letter(buffer[i])
        digits += _is_digit(buffer[i])
        i += 1
    if not 6 <= i - first <= 20 or not _is_word(buffer[i - 1]):
        return 0
    if letters == i - first:
        phrase = announced < 2 and i + 1 < end and buffer[i] == 0x20 and _is_letter(buffer[i + 1])
        if (latin and announced < 2) or phrase or _letters(buffer, first, i) in _LATIN_CUES:
            return 0
    wxid = _letters(buffer, first, i) == _WXID and buffer[first + 4] == 0x5F
    if not (announced or digits > 2 or wxid):
        return 0
    if i < end and (buffer[i] == 0x40 or _is_wide_digit(buffer, i, end)):
        return 0
    return 0 if i + 1 < end and buffer[i] == 0x2E and _is_word(buffer[i + 1]) else i


@kernel
def _after_cue(buffer: Bytes, i: int, end: int, kind: int, latin: bool) -> tuple[int, int, int]:
    """The mark that a cue leaves: an account; end 0 if there is none.

    ``:``, ``=``, 号 and ``ID`` announce an account. After 客服 only digits that are announced count
    (微信客服95017 is a hot line).
    """
    announced, clerk = 0, False
    for _ in range(6):
        three = _three(buffer, i, end)
        if three == _WIDE_COLON or (i < end and buffer[i] in (0x3A, 0x3D)):
            announced = max(announced, 1)
        elif three in _NUMBER_WORDS:
            announced = 2
        elif three in _CLERK:
            clerk = True
        elif _letters(buffer, i, end) == _ID and not (
            i + 2 < end and (_is_word(buffer[i + 2]) or buffer[i + 2] == 0x2D)
        ):
            announced = 2
            i += 1
        elif not (three in _LINK_WORDS or (i < end and buffer[i] == 0x20)):
            break
        i += 1 if buffer[i] < 0x80 else 3
    if i >= end:
        return 0, 0, 0
    if _is_digit(buffer[i]) or _is_wide_digit(buffer, i, end):
        return (i, _account(buffer, i, end), kind) if announced or not clerk else (0, 0, 0)
    if kind == WECHAT and (announced or not clerk):
        return i, _wechat(buffer, i, end, latin, announced), WECHAT
    return 0, 0, 0


@kernel
def _plate(buffer: Bytes, start: int, i: int, end: int) -> int:
    """Where a licence plate with its letter at ``i`` ends; 0 if it is none. Source: GA 36-2018.

    A letter of the town, five letters and digits (at most two letters, no I and no O), six with a
    letter on electric cars, or four and 挂, 学, 警, 港, 澳.
    """
    if i - 3 < start or buffer[i] == 0x49 or _three(buffer, i - 3, i) not in _PROVINCES:
        return 0
    i += 1
    if i < end and buffer[i] in (0x20, 0x2D):
        i += 1
    elif i + 1 < end and buffer[i] == 0xC2 and buffer[i + 1] == 0xB7:  # ·
        i += 2
    elif _three(buffer, i, end) == _BULLET:
        i += 3
    count = letters = 0
    while i < end and count < 7 and (_is_digit(buffer[i]) or 0x41 <= buffer[i] <= 0x5A):
        if buffer[i] in (0x49, 0x4F):
            return 0
        letters += buffer[i] >= 0x41
        count += 1
        i += 1
    if count == 4 and letters < 2 and _three(buffer, i, end) in _LAST_OF_PLATE:
        return i + 3
    if letters > 2 or not (count == 5 or (count == 6 and letters)):
        return 0
    joined = i < end and (_is_word(buffer[i]) or _is_wide_digit(buffer, i, end))
    return 0 if joined else i


@kernel
def find_cues(buffer: Bytes, offsets: Bounds, table: Bytes) -> Marks:  # noqa: C901
    """Find plates, accounts and announced landlines.

    Args:
        buffer: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.
        table: :func:`cue_starts`.

    Returns:
        In order, without overlaps.
    """
    out = np.empty((64, 4), np.int64)
    n = 0
    for document in range(len(offsets) - 1):
        start, end = offsets[document], offsets[document + 1]
        i = floor = start
        while True:
            while i < end and table[buffer[i]] == 0:
                i += 1
            if i == end:
                break
            what = table[buffer[i]]
            begin, stop, kind = i, 0, 0
            following = buffer[i + 1] if i + 1 < end else 0
            if what >= _ZERO:
                if what == _ZERO or _three(buffer, i, end) == _WIDE_ZERO:
                    (begin, stop), kind = _landline(buffer, start, i, end), LANDLINE
                    stop = stop if begin >= floor else 0
                elif i + 2 < end:
                    i += 2
            elif what == _CUE_LEAD:  # two hanzi of five begin so; look at the second byte first
                if following in (0xBE, 0x89):
                    what = _CUE
            else:
                if buffer[i] < 0x5B and i - 3 >= floor and buffer[i - 1] >= 0x80:
                    stop, kind = _plate(buffer, start, i, end), PLATE
                    begin = i - 3 if stop else i
                if what == _CUE_LETTER and (following | 0x20 in _SECOND or following == 0xE4):
                    what = _CUE
            if what == _CUE and not stop:
                after, kind = _cue(buffer, start, i, end)
                if after:
                    latin = buffer[after - 1] < 0x80
                    begin, stop, kind = _after_cue(buffer, after, end, kind, latin)
            if not stop:
                i += 1
                continue
            if n == len(out):
                out = np.concatenate((out, np.empty_like(out)))
            out[n, 0], out[n, 1], out[n, 2], out[n, 3] = document, begin, stop, kind
            n += 1
            i = floor = stop
    return out[:n]


@kernel
def merge_marks(first: Marks, second: Marks) -> Marks:
    """Two lists of marks, in order; of two that overlap the one that starts first stays."""
    out = np.empty((len(first) + len(second), 4), np.int64)
    n = i = k = 0
    while i < len(first) or k < len(second):
        if k == len(second) or (i < len(first) and first[i, 1] <= second[k, 1]):
            mark = first[i]
            i += 1
        else:
            mark = second[k]
            k += 1
        if n == 0 or mark[1] >= out[n - 1, 2]:
            out[n] = mark
            n += 1
    return out[:n]
