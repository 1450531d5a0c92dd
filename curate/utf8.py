"""From an Arrow text column to code points: the one decoding that all signals share.

Kernels see a document as the slice ``codes[bounds[d]:bounds[d + 1]]`` of one array of code points.
Decoding once costs about 2 ns a byte and lets every kernel index characters instead of bytes.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from yanmo.documents import chunks as chunks
from yanmo.documents import text_buffer as text_buffer

from .compiled import kernel as kernel

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int32]
Bounds = npt.NDArray[np.int64]

REPLACEMENT: Final = 0xFFFD


@kernel
def decode(buffer: Bytes, offsets: Bounds) -> tuple[Codes, Bounds]:  # noqa: C901
    """Decode documents into code points.

    Bytes that are no UTF-8 (Arrow forbids them but does not look) become U+FFFD one by one, and no
    read passes the end of a document.

    Args:
        buffer: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.

    Returns:
        Code points (int32, all documents back to back) and their bounds (int64 ``[D + 1]``).
    """
    documents = len(offsets) - 1
    first, last = offsets[0], offsets[documents]
    codes = np.empty(last - first, np.int32)
    bounds = np.empty(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        bounds[document] = n
        i, end = offsets[document], offsets[document + 1]
        while i < end:
            lead = np.int32(buffer[i])
            if lead < 0x80:
                while i + 8 <= end:  # eight at a time: 1.5 GB/s instead of 1.2
                    together = np.uint8(0)
                    for k in range(8):
                        together |= buffer[i + k]
                    if together >= 0x80:
                        break
                    for k in range(8):
                        codes[n + k] = buffer[i + k]
                    n += 8
                    i += 8
                while i < end and buffer[i] < 0x80:
                    codes[n] = buffer[i]
                    n += 1
                    i += 1
                continue
            if 0xE0 <= lead < 0xF0 and i + 2 < end:  # most hanzi: 1.2 GB/s instead of 0.6
                second, third = np.int32(buffer[i + 1]), np.int32(buffer[i + 2])
                if second & 0xC0 == 0x80 and third & 0xC0 == 0x80:
                    code = (lead & np.int32(0x0F)) << np.int32(12)
                    code |= (second & np.int32(0x3F)) << np.int32(6)
                    codes[n] = code | third & np.int32(0x3F)
                    n += 1
                    i += 3
                    continue
            if lead < 0xC2 or lead > 0xF4:
                extra, code = 0, np.int32(REPLACEMENT)
            elif lead < 0xE0:
                extra, code = 1, lead & np.int32(0x1F)
            elif lead < 0xF0:
                extra, code = 2, lead & np.int32(0x0F)
            else:
                extra, code = 3, lead & np.int32(0x07)
            if i + extra >= end:
                extra, code = 0, np.int32(REPLACEMENT)
            for k in range(extra):
                byte = np.int32(buffer[i + 1 + k])
                if byte & 0xC0 != 0x80:
                    extra, code = 0, np.int32(REPLACEMENT)
                    break
                code = code << np.int32(6) | byte & np.int32(0x3F)
            if code > 0x10FFFF:
                extra, code = 0, np.int32(REPLACEMENT)
            codes[n] = code
            n += 1
            i += 1 + extra
    bounds[documents] = n
    return codes[:n], bounds
