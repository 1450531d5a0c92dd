"""The kernels that put something else in the place of personal data, and count characters."""

import numpy as np
import numpy.typing as npt

from .pii_addresses import Marks
from .utf8 import Bounds, Bytes, kernel


@kernel
def count_characters(buffer: Bytes, offsets: Bounds) -> npt.NDArray[np.int64]:
    """Code points of each document, int64 ``[D]``."""
    out = np.zeros(len(offsets) - 1, np.int64)
    for document in range(len(out)):
        count = 0
        for i in range(offsets[document], offsets[document + 1]):
            count += buffer[i] & 0xC0 != 0x80
        out[document] = count
    return out


@kernel
def character_spans(buffer: Bytes, offsets: Bounds, marks: Marks) -> Marks:
    """Marks (in order) as row, first code point, code point after the last, type."""
    out = np.empty_like(marks)
    document = -1
    at = count = 0
    for k in range(len(marks)):
        if marks[k, 0] != document:
            document, count = marks[k, 0], 0
            at = offsets[document]
        while at < marks[k, 1]:
            count += buffer[at] & 0xC0 != 0x80
            at += 1
        length = 0
        for i in range(marks[k, 1], marks[k, 2]):
            length += buffer[i] & 0xC0 != 0x80
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = document, count, count + length, marks[k, 3]
    return out


@kernel
def rewrite(  # noqa: PLR0913
    buffer: Bytes,
    offsets: Bounds,
    hits: Marks,
    actions: Bytes,
    labels: Bytes,
    cuts: Bounds,
    counts: npt.NDArray[np.int64],
) -> tuple[Bytes, Bounds, npt.NDArray[np.int64]]:
    """Put something else in the place of what was found.

    Args:
        buffer: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.
        hits: in order.
        actions: by type: 1 mask, 2 replace, 3 drop.
        labels: all labels, ASCII.
        cuts: where the label of each type begins in them.
        counts: int64 ``[types, 2]``, added to: characters removed and added.

    Returns:
        Bytes, their offsets, and int64 ``[H, 2]``: first byte and byte after the last of what
        stands in the place of each hit.
    """
    longest = 0
    for k in range(len(cuts) - 1):
        longest = max(longest, cuts[k + 1] - cuts[k])
    first, last = offsets[0], offsets[len(offsets) - 1]
    out = np.empty(last - first + longest * len(hits), np.uint8)
    out_offsets = np.zeros_like(offsets)
    moved = np.empty((len(hits), 2), np.int64)
    n = k = 0
    for document in range(len(offsets) - 1):
        i, end = offsets[document], offsets[document + 1]
        while i < end:
            stop = end
            if k < len(hits) and hits[k, 0] == document:
                stop = hits[k, 1]
            out[n : n + stop - i] = buffer[i:stop]
            n += stop - i
            i = stop
            if i == end:
                break
            kind = hits[k, 3]
            moved[k, 0] = n
            while i < hits[k, 2]:
                byte = buffer[i]
                size = 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
                shown = byte < 0x30 or 0x39 < byte < 0x41 or byte in (0xC2, 0xE2, 0x5F)
                if byte == 0xEF:  # digits go, brackets and the at sign stay
                    shown = not 0x90 <= buffer[i + 2] <= 0x99
                if actions[kind] == 1 and shown:
                    for _ in range(size):
                        out[n] = buffer[i]
                        n += 1
                        i += 1
                    continue
                if actions[kind] == 1:
                    out[n] = 0x2A
                    n += 1
                    counts[kind, 1] += 1
                counts[kind, 0] += 1
                i += size
            if actions[kind] == 2:
                length = cuts[kind + 1] - cuts[kind]
                out[n : n + length] = labels[cuts[kind] : cuts[kind + 1]]
                n += length
                counts[kind, 1] += length
            moved[k, 1] = n
            k += 1
        out_offsets[document + 1] = n
    return out[:n], out_offsets, moved
