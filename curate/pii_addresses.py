"""The kernel of addresses: e-mail, IP, and where addresses of the web are; in one pass.

A byte that can start something opens a closer look; all others cost one table look-up. What stands
in an address of the web is nobody's number and is marked to be passed over.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .utf8 import Bounds, Bytes, kernel

TYPES: Final = (
    "email", "ip", "mobile", "landline", "id_card", "bank_card", "plate", "wechat", "qq",
)  # fmt: skip
"""What is found; the type of a mark is a place in this list, or ``URL``."""
EMAIL, IP, MOBILE, LANDLINE, ID, CARD, PLATE, WECHAT, QQ = range(len(TYPES))
FOUND: Final = len(TYPES)
URL: Final = FOUND

Marks = npt.NDArray[np.int64]
"""int64 ``[M, 4]``: document, first byte, byte after the last (both in the buffer), type."""

_DIGIT, _AT, _COLON, _W = range(1, 5)
_LONGEST_LOCAL: Final = 64  # RFC 5321, 4.5.3.1.1
_LONGEST_LABEL: Final = 63  # RFC 1035, 2.3.4


def packed(*words: str) -> tuple[int, ...]:
    """The UTF-8 bytes of words, each as one number."""
    return tuple(int.from_bytes(word.encode(), "big") for word in words)


_WIDE_AT, _WIDE_COLON, _SCHEME = packed("＠", "：", "://")
_EDITION, _ROOT, _NUMBER = packed(*"版本号")
_VERSIONS: Final = packed("version", "ver", "release", "v")
_FILES: Final = packed("png", "jpg", "jpeg", "gif", "webp", "svg", "css", "js", "html")
_WWW, _IP_CUE = packed("www", "ip")


def starts() -> Bytes:
    """uint8 ``[256]``: what a byte can start."""
    table = np.zeros(256, np.uint8)
    table[ord("0") : ord("9") + 1] = _DIGIT
    table[[ord("@"), 0xEF]] = _AT  # ＠
    table[ord(":")] = _COLON
    table[[ord("W"), ord("w")]] = _W  # of www
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
def _is_local(byte: int) -> bool:
    """Of the local part of an address: letters, digits, ``._%+-``."""
    return _is_word(byte) or byte in (0x2E, 0x25, 0x2B, 0x2D)


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
def _address_start(buffer: Bytes, start: int, i: int) -> bool:
    """Whether an IP can begin here: at the start of a word, or after ``IP``."""
    if _word_start(buffer, start, i):
        return True
    return (
        i - 2 >= start
        and _letters(buffer, i - 2, i) == _IP_CUE
        and _word_start(buffer, start, i - 2)
    )


@kernel
def _end_of_url(buffer: Bytes, i: int, end: int) -> int:
    """The first byte that is white space, no ASCII, a quote, a bracket or a separator."""
    while i < end and 0x20 < buffer[i] < 0x7F:
        if buffer[i] in (0x22, 0x27, 0x28, 0x29, 0x2C, 0x3B, 0x3C, 0x3E, 0x5B, 0x5D, 0x7C):
            break
        i += 1
    return i


@kernel
def _email(  # noqa: C901
    buffer: Bytes, floor: int, i: int, end: int
) -> tuple[int, int]:
    """Begin and end of the address around the at sign at ``i``; end 0 if it is none.

    The domain ends in two or more letters that name no file (``icon@2x.png``), and no path on that
    machine follows.
    """
    begin = i
    while begin > floor and _is_local(buffer[begin - 1]):
        begin -= 1
        if i - begin > _LONGEST_LOCAL:
            return 0, 0
        if buffer[begin] == 0x2E and (begin + 1 == i or buffer[begin + 1] == 0x2E):
            begin += 1
            break
    while begin < i and not _is_word(buffer[begin]):
        begin += 1
    if begin == i:
        return 0, 0
    at = i + (1 if buffer[i] == 0x40 else 3)
    stop = labels = 0
    while True:
        first = at
        only_letters = True
        while at < end and (_is_letter(buffer[at]) or _is_digit(buffer[at]) or buffer[at] == 0x2D):
            only_letters = only_letters and _is_letter(buffer[at])
            at += 1
        if at == first or at - first > _LONGEST_LABEL:
            break
        if buffer[first] == 0x2D or buffer[at - 1] == 0x2D:
            break
        labels += 1
        stop = 0
        if labels > 1 and only_letters and at - first > 1:
            stop = 0 if _letters(buffer, first, at) in _FILES else at
        if at >= end or buffer[at] != 0x2E:
            break
        if at + 1 >= end or not _is_word(buffer[at + 1]):
            break
        at += 1
    if stop < end and buffer[stop] == 0x5F:
        return 0, 0
    if (
        0 < stop < end - 1
        and buffer[stop] == 0x3A  # git@github.com:owner/name
        and (_is_letter(buffer[stop + 1]) or buffer[stop + 1] in (0x2E, 0x2F, 0x7E))
    ):
        return 0, 0
    return begin, stop


@kernel
def _after_version(buffer: Bytes, start: int, i: int) -> bool:
    """Whether ``version``, 版本 or the like stands before."""
    while i > start and buffer[i - 1] in (0x20, 0x3A, 0x3D):
        i -= 1
    if i - 3 >= start and _three(buffer, i - 3, i) == _WIDE_COLON:
        i -= 3
    if i - 6 >= start and _three(buffer, i - 3, i) == _NUMBER:  # 版本号
        i -= 3
        return _three(buffer, i - 3, i) in (_EDITION, _ROOT)
    if i - 3 >= start and _three(buffer, i - 3, i) in (_EDITION, _ROOT):
        return True
    first = i
    while first > start and _is_letter(buffer[first - 1]):
        first -= 1
    return _letters(buffer, first, i) in _VERSIONS


@kernel
def _ipv4(buffer: Bytes, start: int, i: int, end: int) -> int:
    """Where a public IPv4 address ends; 0 if there is none. Source: IANA special-purpose registry.

    Four single digits are a number of a version or a section (``2.4.1.3``), not an address, and
    what ends in ``.0`` is a net or a version, not a host.
    """
    begin, value, digits = i, 0, 0
    for part in range(4):
        octet, first = 0, i
        while i < end and _is_digit(buffer[i]) and i - first < 4:
            octet = octet * 10 + (buffer[i] - 0x30)
            i += 1
        size = i - first
        if size == 0 or size > 3 or octet > 255 or (size > 1 and buffer[first] == 0x30):
            return 0
        digits += size
        value = value << 8 | octet
        if part < 3:
            if i >= end or buffer[i] != 0x2E:
                return 0
            i += 1
    if i < end and (_is_word(buffer[i]) or _is_wide_digit(buffer, i, end)):
        return 0
    if i + 1 < end and buffer[i] in (0x2D, 0x2E) and _is_digit(buffer[i + 1]):
        return 0
    if begin > start and buffer[begin - 1] in (0x2D, 0x2E):
        return 0
    first, pair = value >> 24, value >> 16
    if (
        digits == 4
        or value & 255 == 0
        or first in (0, 10, 127)
        or first >= 224
        or pair in (0xA9FE, 0xC0A8)
    ):
        return 0
    if pair >> 4 == 0xAC1 or value >> 22 == 0x191 or pair >> 1 == 0x6309:  # 172.16 100.64 198.18
        return 0
    if value >> 8 in (
        0xC00000,
        0xC00002,
        0xC63364,
        0xCB0071,
    ):  # 192.0.0 192.0.2 198.51.100 203.0.113
        return 0
    return 0 if _after_version(buffer, start, begin) else i


@kernel
def _hex(byte: int) -> int:
    if _is_digit(byte):
        return byte - 0x30
    lower = byte | 0x20
    return lower - 0x57 if 0x61 <= lower <= 0x66 else -1


@kernel
def _ipv6(buffer: Bytes, start: int, i: int, end: int) -> int:  # noqa: C901
    """Where a global IPv6 address (2000::/3) ends; 0 if there is none.

    Left out, by the IANA registry: 2001::/23, 2001:db8::/32, 2002::/16, 3fff::/20.
    """
    if i > start and buffer[i - 1] in (0x2D, 0x2E, 0x3A):
        return 0
    groups, gap, first, second = 0, False, 0, 0
    while groups < 8:
        value, size = 0, 0
        while i < end and size < 5 and _hex(buffer[i]) >= 0:
            value = value << 4 | _hex(buffer[i])
            i += 1
            size += 1
        if size == 0 or size > 4 or (groups == 0 and size < 4):
            return 0
        if groups == 0:
            first = value
        elif groups == 1 and not gap:
            second = value
        groups += 1
        if groups == 8 or i + 1 >= end or buffer[i] != 0x3A:
            break
        if buffer[i + 1] == 0x3A and not gap:
            gap = True
            i += 2  # a group must follow: 2400:da00::/32 is a net and nobody's
        elif _hex(buffer[i + 1]) >= 0:
            i += 1
        else:
            break
    if (groups < 8) != gap or first >> 13 != 1:
        return 0
    if i < end and (_is_word(buffer[i]) or _is_wide_digit(buffer, i, end)):
        return 0
    if i + 1 < end and buffer[i] == 0x3A and (buffer[i + 1] == 0x3A or _is_word(buffer[i + 1])):
        return 0
    if (first == 0x2001 and (second < 0x200 or second == 0xDB8)) or first == 0x2002:
        return 0
    return 0 if first == 0x3FFF and second < 0x1000 else i


@kernel
def find_addresses(buffer: Bytes, offsets: Bounds, table: Bytes) -> Marks:  # noqa: C901
    """Find e-mail, IP and web addresses.

    Args:
        buffer: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.
        table: :func:`starts`.

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
            if what == _DIGIT:
                kind = IP
                if i + 6 < end and _address_start(buffer, start, i):
                    if buffer[i + 4] == 0x3A and buffer[i] in (0x32, 0x33):
                        stop = _ipv6(buffer, start, i, end)
                    elif 0x2E in (buffer[i + 1], buffer[i + 2], buffer[i + 3]):
                        stop = _ipv4(buffer, start, i, end)
                while not stop and i + 1 < end and _is_digit(buffer[i + 1]):
                    i += 1
            elif what == _AT:
                if buffer[i] == 0x40 or _three(buffer, i, end) == _WIDE_AT:
                    begin, stop = _email(buffer, floor, i, end)
                    kind = EMAIL
            elif what == _COLON:
                if i > start and _is_letter(buffer[i - 1]) and _three(buffer, i, end) == _SCHEME:
                    stop, kind = _end_of_url(buffer, i, end), URL
            elif (
                i + 3 < end
                and buffer[i + 3] == 0x2E
                and _letters(buffer, i, end) == _WWW
                and _word_start(buffer, start, i)
            ):
                stop, kind = _end_of_url(buffer, i, end), URL
            if not stop:
                i += 1
                continue
            if n == len(out):
                out = np.concatenate((out, np.empty_like(out)))
            out[n, 0], out[n, 1], out[n, 2], out[n, 3] = document, begin, stop, kind
            n += 1
            i = floor = stop
    return out[:n]
