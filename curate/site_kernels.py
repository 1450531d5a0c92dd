"""The kernels of site cleaning: hashes of texts and lines, and the lines whose hash is known."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .utf8 import Bounds, Bytes, kernel

U64 = npt.NDArray[np.uint64]
Spans = npt.NDArray[np.int64]

_START: Final = np.uint64(0xCBF29CE484222325)
_PRIME: Final = np.uint64(0x100000001B3)
_MIX_1: Final = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2: Final = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT: Final = np.uint64(33)


@kernel
def _hash(buffer: Bytes, start: int, end: int, seed: Any) -> Any:
    """FNV-1a over the bytes from a seed, then the finaliser of MurmurHash3."""
    value = _START ^ np.uint64(seed)
    for i in range(start, end):
        value = (value ^ np.uint64(buffer[i])) * _PRIME
    value = (value ^ (value >> _SHIFT)) * _MIX_1
    value = (value ^ (value >> _SHIFT)) * _MIX_2
    return value ^ (value >> _SHIFT)


@kernel
def hash_rows(buffer: Bytes, offsets: Bounds) -> U64:
    """A 64-bit hash of every text, uint64 ``[D]``."""
    out = np.empty(len(offsets) - 1, np.uint64)
    for row in range(len(out)):
        out[row] = _hash(buffer, offsets[row], offsets[row + 1], np.uint64(0))
    return out


@kernel
def _line(
    buffer: Bytes, start: int, end: int, max_chars: int, min_letters: int
) -> tuple[int, int, int, int, bool]:
    """Of the line at ``start``: its end, its text without spaces at the ends (two places), its code
    points, and whether it may be a template's.

    Letters are those and digits of ASCII, and all from U+00C0 on but U+2000 to U+303F (symbols and
    punctuation) and U+F000 to U+FFFF (full-width forms). Headings and fences of Markdown (``#`` and
    a backtick at the start) structure a text, however often they stand there.
    """
    stop = start
    chars = letters = 0
    while stop < end and buffer[stop] != 10:
        byte = buffer[stop]
        chars += byte & 0xC0 != 0x80
        if byte < 0x80:
            letters += 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122
        elif byte >= 0xC3:
            symbol = byte == 0xE2 or byte == 0xEF
            if byte == 0xE3 and stop + 1 < end:
                symbol = buffer[stop + 1] == 0x80
            letters += not symbol
        stop += 1
    first, last = start, stop
    while first < last and (buffer[first] == 32 or buffer[first] == 9):
        first += 1
    while last > first and (buffer[last - 1] == 32 or buffer[last - 1] == 9):
        last -= 1
    likely = chars <= max_chars and letters >= min_letters and first < last
    if likely and (buffer[first] == 0x23 or buffer[first] == 0x60):
        likely = False
    return stop, first, last, chars, likely


@kernel
def line_keys(
    buffer: Bytes, offsets: Bounds, hosts: U64, max_chars: int, min_letters: int
) -> tuple[U64, Spans]:
    """The keys of the lines that may be a template's, of the documents that have a host.

    Args:
        buffer, offsets: UTF-8 bytes and the byte offsets of the documents.
        hosts: hash of the host of each document, 0 for none.
        max_chars: longer lines (in code points) have no key.
        min_letters: nor have lines with fewer letters, see :func:`_line`.

    Returns:
        uint64 ``[L]``, a hash of host and line, and the document of each, int64 ``[L]``.
    """
    size = 0
    for row in range(len(hosts)):
        if hosts[row] != 0:
            size += 1
            for i in range(offsets[row], offsets[row + 1]):
                size += buffer[i] == 10
    keys, rows = np.empty(size, np.uint64), np.empty(size, np.int64)
    n = 0
    for row in range(len(hosts)):
        if hosts[row] == 0:
            continue
        start, end = offsets[row], offsets[row + 1]
        while start <= end:
            stop, first, last, _, likely = _line(buffer, start, end, max_chars, min_letters)
            if likely:
                keys[n] = _hash(buffer, first, last, hosts[row])
                rows[n] = row
                n += 1
            start = stop + 1
    return keys[:n].copy(), rows[:n].copy()


@kernel
def _is_known(keys: U64, key: int) -> bool:
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low < len(keys) and keys[low] == key


@kernel
def marked_lines(  # noqa: C901
    buffer: Bytes, offsets: Bounds, hosts: U64, keys: U64, max_chars: int, min_letters: int
) -> tuple[Spans, int]:
    """The lines whose key is known, as spans; a document of nothing else has none.

    Blank lines go as in :func:`yanmo.curate.line_spans.spans_that_go`.

    Args:
        buffer, offsets, hosts, max_chars, min_letters: as for :func:`line_keys`.
        keys: sorted.

    Returns:
        int64 ``[S, 4]``: document, first code point, code point after the last, 0; and the number
        of lines with text among them.
    """
    size = longest = here = 0
    for row in range(len(hosts)):
        here = 1
        for i in range(offsets[row], offsets[row + 1]):
            here += buffer[i] == 10
        size += here
        longest = max(longest, here)
    out = np.empty((size, 4), np.int64)
    edges = np.empty((longest, 2), np.int64)  # code points
    fates = np.empty(longest, np.int64)  # 0 goes, -1 stays, -2 blank
    n = marked = 0
    for row in range(len(hosts)):
        if hosts[row] == 0:
            continue
        start, end = offsets[row], offsets[row + 1]
        lines = hits = at = 0
        last_kept = -1
        while start <= end:
            stop, first, last, chars, likely = _line(buffer, start, end, max_chars, min_letters)
            edges[lines, 0], edges[lines, 1] = at, at + chars
            fates[lines] = -2
            if first < last:
                fates[lines] = -1
                if likely and _is_known(keys, _hash(buffer, first, last, hosts[row])):
                    fates[lines] = 0
                    hits += 1
                else:
                    last_kept = lines
            at += chars + 1
            start = stop + 1
            lines += 1
        if hits == 0 or last_kept < 0:
            continue
        marked += hits
        blank_before = True
        for line in range(lines):
            s, e = edges[line, 0], edges[line, 1]
            if fates[line] == -1:
                blank_before = False
                continue
            if fates[line] == -2 and not (blank_before or line > last_kept):
                blank_before = True
                continue
            if line < last_kept:
                e += 1
            else:
                s -= 1
            out[n, 0], out[n, 1], out[n, 2], out[n, 3] = row, s, e, 0
            n += 1
    return out[:n].copy(), marked
