"""The kernel of cues and plates: accounts after 微信 or QQ, licence plates; in one pass.

A cue such as ``QQ：`` before digits is marked for :mod:`yanmo.curate.pii_numbers`. Kernels call
only kernels of their own file, so small ones stand here as they do in ``pii_addresses``.
"""

from typing import Final

import numpy as np

from .pii_addresses import CUE_QQ, CUE_WECHAT, PLATE, WECHAT, Marks, packed
from .utf8 import Bounds, Bytes, kernel

_CAPITAL, _CUE_LETTER, _CUE_LEAD, _CUE = range(1, 5)
_SECOND: Final = (0x71, 0x78, 0x65)  # the letter after q, v, w in qq, vx, wx, we…
_WIDE_COLON, _BULLET = packed("：", "•")
_NUMBER_WORDS: Final = packed(*"号码账帐同")
_LINK_WORDS: Final = packed(*"是为")
_WEI, _XIN, _KOU = packed(*"微信扣")
_PROVINCES: Final = packed(*"京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新")
_LAST_OF_PLATE: Final = packed(*"挂学警港澳")
_LATIN_CUES: Final = packed("vx", "wx", "wechat", "weixin")
_QQ_CUE, _V = packed("qq", "v")


def cue_starts() -> Bytes:
    """uint8 ``[256]``: what a byte can start."""
    table = np.zeros(256, np.uint8)
    table[ord("A") : ord("Z") + 1] = _CAPITAL
    for character in "QqVvWw":
        table[ord(character)] = _CUE_LETTER
    table[[0xE5, 0xE6]] = _CUE_LEAD  # of 微 and 扣
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
            return i + 6, CUE_WECHAT
        return (i + 6, CUE_QQ) if _three(buffer, i + 3, end) == _KOU else (0, 0)
    if buffer[i] >= 0x80 or not _word_start(buffer, start, i):
        return 0, 0
    word, size = _letters(buffer, i, end), 0
    while i + size < end and _is_letter(buffer[i + size]):
        size += 1
    if word == _QQ_CUE:
        return i + size, CUE_QQ
    if word in _LATIN_CUES:
        return i + size, CUE_WECHAT
    if word == _V and _three(buffer, i + 1, end) == _XIN:
        return i + 4, CUE_WECHAT
    return 0, 0


@kernel
def _wechat(buffer: Bytes, i: int, end: int, latin: bool, announced: int) -> int:
    """Where an account that begins with a letter ends; 0 if there is none.

    Six to twenty letters, digits, ``_`` and ``-``. Letters alone are one only after a Chinese cue
    and, but for 微信号, if no second word follows (``微信：Tencent Holdings``).

    Source: the WeChat help centre.
    """
    first, letters = i, 0
    if not _is_letter(buffer[i]):
        return 0
    while i < end and (_is_word(buffer[i]) or buffer[i] == 0x2D):
        letters += _is_letter(buffer[i])
        i += 1
    if not 6 <= i - first <= 20 or not _is_word(buffer[i - 1]):
        return 0
    if letters == i - first:
        phrase = announced < 2 and i + 1 < end and buffer[i] == 0x20 and _is_letter(buffer[i + 1])
        if latin or phrase or _letters(buffer, first, i) in _LATIN_CUES:
            return 0
    if i < end and (buffer[i] == 0x40 or _is_wide_digit(buffer, i, end)):
        return 0
    return 0 if i + 1 < end and buffer[i] == 0x2E and _is_word(buffer[i + 1]) else i


@kernel
def _after_cue(buffer: Bytes, i: int, end: int, kind: int, latin: bool) -> tuple[int, int, int]:
    """The mark that a cue leaves: an account with letters, or where digits begin; end 0 if none.

    ``:``, ``=`` and 号 announce an account; only an announced one may have letters.
    """
    announced = 0
    for _ in range(6):
        three = _three(buffer, i, end)
        if three == _WIDE_COLON or (i < end and buffer[i] in (0x3A, 0x3D)):
            announced = max(announced, 1)
        elif three in _NUMBER_WORDS:
            announced = 2
        elif not (three in _LINK_WORDS or (i < end and buffer[i] == 0x20)):
            break
        i += 1 if buffer[i] < 0x80 else 3
    if i >= end:
        return 0, 0, 0
    if _is_digit(buffer[i]) or _is_wide_digit(buffer, i, end):
        return i, i, kind
    if announced and kind == CUE_WECHAT:
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
    """Find plates, accounts with letters, and cues before digits.

    Args:
        buffer: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.
        table: :func:`cue_starts`.

    Returns:
        In order, without overlaps; a cue is an empty mark where its digits begin.
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
            if what == _CUE_LEAD:  # two hanzi of five begin so; look at the second byte first
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
