"""Where the lines of documents are, and which of them no phrase can take."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .line_classes import ALNUM, DIGIT, SPACE, Classes
from .utf8 import Bounds, Bytes, Codes, kernel

BLANK, IS_ASCII, QUIET = 1, 2, 4
"""Bits of a line. QUIET: it is ASCII, and no phrase of ASCII can stand where it would count."""
_ALL_BITS: Final = np.uint64((1 << 64) - 1)


class Lines(NamedTuple):
    """The lines of some documents.

    Attributes:
        edges: first code point and line feed (or end) of each, int64 ``[L, 2]``.
        kinds: bits of each, uint8 ``[L]``.
        first: where the lines of a document begin, int64 ``[D + 1]``.
    """

    edges: npt.NDArray[np.int64]
    kinds: Bytes
    first: Bounds


@kernel
def _may_match(  # noqa: PLR0913
    codes: Codes,
    s: int,
    e: int,
    classes: Classes,
    first: npt.NDArray[np.int32],
    second: npt.NDArray[np.uint64],
    within: npt.NDArray[np.int64],
) -> bool:
    """Whether a phrase may take a line of ASCII, of which none makes a menu.

    It stands in front, or may stand inside a line as long as this one, or follows a number. Most
    lines of English end here, before a call that takes all of the phrases along.
    """
    lead = s
    while lead < e and not classes[codes[lead]] & ALNUM:
        lead += 1
    if lead == e:
        return False
    if classes[codes[lead]] & DIGIT:
        return True
    for i in range(lead, e):
        code = codes[i]
        if first[code] if i == lead else within[code] >= e - s:
            seconds = second[code]
            if i + 1 == e:
                if seconds == _ALL_BITS:
                    return True
                continue
            following = codes[i + 1]
            if 0x41 <= following <= 0x5A:
                following += 32
            if (seconds >> np.uint64(following & 63)) & np.uint64(1):
                return True
    return False


@kernel
def find_lines(  # noqa: C901, PLR0913
    codes: Codes,
    bounds: Bounds,
    classes: Classes,
    first: npt.NDArray[np.int32],
    second: npt.NDArray[np.uint64],
    within: npt.NDArray[np.int64],
    longest: float,
) -> tuple[npt.NDArray[np.int64], Bytes, Bounds]:
    """Find the lines of documents.

    Args:
        codes, bounds: code points of the documents, int32, and their bounds, int64 ``[D + 1]``.
        classes: from :mod:`yanmo.curate.line_classes`.
        first, second, within: of the phrases (``within`` of those of ASCII alone).
        longest: most characters of a line in which phrases are looked for.

    Returns:
        The fields of :class:`Lines`.
    """
    documents = len(bounds) - 1
    breaks = documents
    for i in range(bounds[0], bounds[documents]):
        breaks += codes[i] == 10
    edges = np.empty((breaks, 2), np.int64)
    kinds = np.zeros(breaks, np.uint8)
    starts = np.zeros(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        i, end = bounds[document], bounds[document + 1]
        while i <= end:
            start, together = i, np.int32(0)
            while i + 8 <= end:  # eight at a time
                feed, bits = False, np.int32(0)
                for k in range(8):
                    feed |= codes[i + k] == 10
                    bits |= codes[i + k]
                if feed:
                    break
                together |= bits
                i += 8
            while i < end and codes[i] != 10:
                together |= codes[i]
                i += 1
            edges[n, 0], edges[n, 1] = start, i
            s, e = start, i
            while s < e and classes[codes[s]] & SPACE:
                s += 1
            while e > s and classes[codes[e - 1]] & SPACE:
                e -= 1
            if s == e:
                kinds[n] = BLANK
            elif together < 0x80:
                kinds[n] = IS_ASCII
                if e - s > longest or not _may_match(codes, s, e, classes, first, second, within):
                    kinds[n] |= QUIET
            n += 1
            i += 1
        starts[document + 1] = n
    return edges, kinds, starts
