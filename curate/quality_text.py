"""Text as a quality model sees it, the same when it is trained and when it scores.

A bounded sample of each document, as one line of tokens with spaces between them:

- a hanzi, kana, hangul … is a token; word n-grams of the model make pairs of them (no segmenter);
- a run of other letters and digits is a token, in lower case, every digit as ``0``;
- a run of one punctuation mark or symbol is a token; full-width marks are their ASCII twins.

Long documents are seen in spans spread evenly over them, so that neither their end nor, beyond the
size of the sample, their length is known to the model.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.recipe import setting

from .sketch import BREAK, SINGLE, SKIP, TABLE_SIZE, WORD, character_table
from .utf8 import Bounds, Bytes, Codes, chunks, decode, kernel, text_buffer

_HANZI_END: Final = 0x40000
_SELECTORS: Final = 0xE0100
_SELECTORS_END: Final = 0xE01F0
_ZERO: Final = 0x30
_SEPARATORS: Final = 0x2028  # and U+2029: the only spaces that folding leaves beside U+0020
_BYTES: Final = 5  # of a character at most: a space and four of UTF-8


@dataclass(frozen=True)
class SampleOptions:
    """How much of a document a model sees."""

    spans: int = setting(3, low=1, high=64, help="Spans of a long document, evenly spread.")
    span_chars: int = setting(
        512, low=16, high=1 << 16, help="Characters of a span (fastText reads 4 to 6 MB/s)."
    )


@cache
def token_table() -> npt.NDArray[np.uint32]:
    """``character_table`` with every decimal digit as ``0``."""
    table = character_table().copy()
    for code in np.flatnonzero((table & 3) == WORD).tolist():
        if unicodedata.category(chr(int(table[code]) >> 2)) == "Nd":
            table[code] = _ZERO << 2 | WORD
    return table


def prepare(texts: pa.Array, options: SampleOptions | None = None) -> pa.LargeStringArray:
    """Documents as lines of tokens.

    Args:
        texts: ``string`` or ``large_string``.
        options: size of the sample.

    Returns:
        One line a document, without a line end; empty where a document has no visible character.
    """
    options = options or SampleOptions()
    buffer, offsets = text_buffer(texts)
    pieces: list[Bytes] = [np.zeros(0, np.uint8)]
    ends = np.zeros(len(offsets), np.int64)
    for rows in chunks(offsets):
        codes, bounds = decode(buffer, offsets[rows.start : rows.stop + 1])
        data, sizes = _prepare(codes, bounds, token_table(), options.spans, options.span_chars)
        pieces.append(data)
        ends[rows.start + 1 : rows.stop + 1] = sizes
    offsets = np.cumsum(ends)
    data = np.concatenate(pieces)
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data)
    )


@kernel
def _put(out: Bytes, n: int, code: Any) -> int:
    """Write a code point as UTF-8; where the next byte goes."""
    if code < 0x80:
        out[n] = code
        return n + 1
    if code < 0x800:
        out[n] = 0xC0 | code >> 6
        out[n + 1] = 0x80 | code & 0x3F
        return n + 2
    if code < 0x10000:
        out[n] = 0xE0 | code >> 12
        out[n + 1] = 0x80 | code >> 6 & 0x3F
        out[n + 2] = 0x80 | code & 0x3F
        return n + 3
    out[n] = 0xF0 | code >> 18
    out[n + 1] = 0x80 | code >> 12 & 0x3F
    out[n + 2] = 0x80 | code >> 6 & 0x3F
    out[n + 3] = 0x80 | code & 0x3F
    return n + 4


@kernel
def _prepare(
    codes: Codes, bounds: Bounds, table: npt.NDArray[np.uint32], spans: int, span_chars: int
) -> tuple[Bytes, Bounds]:
    documents, limit = len(bounds) - 1, spans * span_chars
    room = np.int64(0)
    for d in range(documents):
        room += min(bounds[d + 1] - bounds[d], limit) * _BYTES
    out = np.empty(room, np.uint8)
    sizes = np.empty(documents, np.int64)
    n = 0
    for d in range(documents):
        begin, length = n, bounds[d + 1] - bounds[d]
        pieces = spans if length > limit else 1
        for piece in range(pieces):
            at = bounds[d] + piece * (length // spans)
            stop = at + span_chars if length > limit else bounds[d + 1]
            in_word, last_mark = False, np.int64(-1)
            for i in range(at, stop):
                code = np.int64(codes[i])
                if code < TABLE_SIZE:
                    folded, fate = np.int64(table[code] >> 2), int(table[code] & 3)
                elif code < _HANZI_END:
                    folded, fate = code, SINGLE
                elif _SELECTORS <= code < _SELECTORS_END:
                    folded, fate = code, SKIP
                else:
                    folded, fate = code, BREAK
                if fate == SKIP:
                    continue
                if fate == BREAK and (folded <= 0x20 or folded - _SEPARATORS in (0, 1)):
                    in_word, last_mark = False, np.int64(-1)
                    continue
                if fate == BREAK and folded == last_mark:
                    continue
                if not (fate == WORD and in_word) and n > begin:
                    out[n] = 0x20
                    n += 1
                n = _put(out, n, folded)
                in_word = fate == WORD
                last_mark = folded if fate == BREAK else np.int64(-1)
        sizes[d] = n - begin
    return out[:n].copy(), sizes
