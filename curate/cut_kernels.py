"""The kernels that cut spans of characters out of texts."""

import numpy as np
import numpy.typing as npt

from .utf8 import Bounds, Bytes, kernel

Spans = npt.NDArray[np.int64]


@kernel
def byte_spans(buffer: Bytes, offsets: Bounds, spans: Spans) -> Spans:
    """First byte and byte after the last of spans (in order), from the start of the buffer."""
    out = np.empty((len(spans), 2), np.int64)
    document = -1
    at = count = 0
    for k in range(len(spans)):
        if spans[k, 0] != document:
            document, count = spans[k, 0], 0
            at = offsets[document]
        for side in range(2):
            # A code point ends where the next byte is no continuation.
            while count < spans[k, 1 + side]:
                at += 1
                while at < offsets[document + 1] and buffer[at] & 0xC0 == 0x80:
                    at += 1
                count += 1
            out[k, side] = at
    return out


@kernel
def without(buffer: Bytes, offsets: Bounds, spans: Spans, cuts: Spans) -> tuple[Bytes, Bounds]:
    """The documents without some bytes.

    Args:
        buffer, offsets: UTF-8 bytes and the byte offsets of the documents.
        spans: as ``judge_lines`` gives them; only the documents are read.
        cuts: from :func:`byte_spans`.

    Returns:
        Bytes and offsets, int64 ``[D + 1]``, from 0.
    """
    out = np.empty(offsets[len(offsets) - 1] - offsets[0], np.uint8)
    ends = np.zeros_like(offsets)
    n = k = 0
    for document in range(len(offsets) - 1):
        i = offsets[document]
        while k < len(spans) and spans[k, 0] == document:
            out[n : n + cuts[k, 0] - i] = buffer[i : cuts[k, 0]]
            n += cuts[k, 0] - i
            i = cuts[k, 1]
            k += 1
        stop = offsets[document + 1]
        out[n : n + stop - i] = buffer[i:stop]
        n += stop - i
        ends[document + 1] = n
    return out[:n], ends
