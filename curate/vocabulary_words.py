"""Cut text into the words of a given vocabulary: the most probable path by unigram prices.

A run of hanzi becomes the words whose log probabilities have the largest sum (Viterbi); a hanzi in
no word is an unknown word. A run of letters and digits is a word, as it stands or else folded. A
mark is a word if the vocabulary has it, else it is nothing. Unknown words are counted and left
out. Sentences end at 。！？!? and line
ends, and at a full stop before a space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .sketch import SINGLE, SKIP, TABLE_SIZE, WORD, character_table
from .utf8 import Bounds, Bytes, Codes, chunks, decode, kernel, text_buffer

MAX_WORD_CHARS: Final = 16
_HANZI_END: Final = 0x40000
_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_PRIME: Final = np.uint64(0x100000001B3)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_FREE: Final = np.uint64(0)
_ROOM: Final = 6  # bytes of a character at most: four of UTF-8, a space, a line end

U64 = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Vocabulary:
    """A hash table of words.

    Attributes:
        keys: hashes, 0 where free, uint64 ``[S]``; S is a power of two.
        prices: log10 probabilities, float64 ``[S]``.
        unknown: that of a word outside.
        longest: most characters of a word that is looked for in hanzi.
    """

    keys: U64
    prices: Floats
    unknown: float
    longest: int

    @classmethod
    def build(
        cls, words: Sequence[str], prices: Sequence[float], unknown: float, *,
        longest: int | None = None,
    ) -> "Vocabulary":  # fmt: skip
        """Fill the table; ``<unk>``, ``<s>`` and ``</s>`` are no words of a text."""
        known = [(w, p) for w, p in zip(words, prices, strict=True)
                 if w not in ("<unk>", "<s>", "</s>")]  # fmt: skip
        codes, bounds = decode(*text_buffer(pa.array([w for w, _ in known], pa.large_string())))
        size = 1 << max(4, (2 * len(known)).bit_length())
        keys, values = np.zeros(size, np.uint64), np.zeros(size)
        _fill(codes, bounds, np.array([p for _, p in known], np.float64), keys, values)
        most = int(np.diff(bounds).max(initial=1))
        return cls(keys, values, unknown, min(longest or most, most, MAX_WORD_CHARS))


@dataclass(frozen=True)
class Cut:
    """Words of documents.

    Attributes:
        lines: known words with spaces between, sentences with line ends between.
        words, unknown, chars: how many of each document, int64 ``[D]``; ``words`` has the unknown
            ones too, ``chars`` are those of the known.
    """

    lines: pa.LargeStringArray
    words: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.int64]
    chars: npt.NDArray[np.int64]


def cut_words(texts: pa.Array, vocabulary: Vocabulary, *, spans: int, span_chars: int) -> Cut:
    """Cut documents, long ones in spans spread evenly over them.

    Args:
        texts: ``string`` or ``large_string``.
        vocabulary: the words.
        spans: how many spans of a long document.
        span_chars: characters of a span.
    """
    buffer, offsets = text_buffer(texts)
    pieces: list[Bytes] = [np.zeros(0, np.uint8)]
    counts = np.zeros((len(offsets) - 1, 4), np.int64)
    table = (vocabulary.keys, vocabulary.prices, vocabulary.unknown, vocabulary.longest)
    for rows in chunks(offsets):
        codes, bounds = decode(buffer, offsets[rows.start : rows.stop + 1])
        data = _cut(codes, bounds, character_table(), table, (spans, span_chars), counts[rows])
        pieces.append(data)
    ends = np.concatenate(([0], np.cumsum(counts[:, 3])))
    lines = pa.LargeStringArray.from_buffers(
        len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(np.concatenate(pieces))
    )
    return Cut(lines, counts[:, 0], counts[:, 1], counts[:, 2])


@kernel
def _finish(value: np.uint64) -> np.uint64:
    """Mix a hash; never 0, which marks a free slot."""
    value = (value ^ (value >> np.uint64(29))) * _MIX
    value ^= value >> np.uint64(32)
    return value | np.uint64(1)


@kernel
def _find(keys: U64, key: np.uint64) -> np.int64:
    mask = len(keys) - 1
    slot = np.int64(key >> np.uint64(20)) & np.int64(mask)
    while keys[slot] != _FREE:
        if keys[slot] == key:
            return slot
        slot = (slot + np.int64(1)) & np.int64(mask)
    return np.int64(-1) - slot


@kernel
def _fill(codes: Codes, bounds: Bounds, given: Floats, keys: U64, prices: Floats) -> None:
    for w in range(len(bounds) - 1):
        value = _OFFSET
        for i in range(bounds[w], bounds[w + 1]):
            value = (value ^ np.uint64(codes[i])) * _PRIME
        slot = _find(keys, _finish(value))
        if slot < 0:
            slot = -1 - slot
            keys[slot] = _finish(value)
            prices[slot] = given[w]


@kernel
def _write(codes: Codes, start: int, end: int, out: Bytes, n: int) -> int:
    for i in range(start, end):
        code = codes[i]
        if code < 0x80:
            out[n] = code
            n += 1
        elif code < 0x800:
            out[n], out[n + 1] = 0xC0 | code >> 6, 0x80 | code & 0x3F
            n += 2
        elif code < 0x10000:
            out[n], out[n + 1] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F
            out[n + 2] = 0x80 | code & 0x3F
            n += 3
        else:
            out[n], out[n + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 0x3F
            out[n + 2], out[n + 3] = 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
            n += 4
    out[n] = 0x20
    return n + 1


@kernel
def _path(  # noqa: PLR0913
    codes: Codes, start: int, end: int, keys: U64, prices: Floats, unknown: float, longest: int
) -> npt.NDArray[np.int64]:
    """Length of the last word of the best path to each place, negative where it is unknown."""
    size = end - start
    best, last = np.full(size + 1, -np.inf), np.zeros(size + 1, np.int64)
    best[0] = 0.0
    for at in range(size):
        value = _OFFSET
        for length in range(1, min(longest, size - at) + 1):
            value = (value ^ np.uint64(codes[start + at + length - 1])) * _PRIME
            slot = _find(keys, _finish(value))
            if length == 1 and slot < 0 and best[at] + unknown > best[at + 1]:
                best[at + 1], last[at + 1] = best[at] + unknown, -1
            # At equal prices the last found wins: the shorter last word, always the same.
            if slot >= 0 and best[at] + prices[slot] >= best[at + length]:
                best[at + length], last[at + length] = best[at] + prices[slot], length
    return last


@kernel
def _cut(  # noqa: C901
    codes: Codes, bounds: Bounds, table: npt.NDArray[np.uint32],
    vocabulary: tuple[U64, Floats, float, int], sample: tuple[int, int],
    counts: npt.NDArray[np.int64],
) -> Bytes:  # fmt: skip
    keys, prices, unknown, longest = vocabulary
    spans, span_chars = sample
    limit = spans * span_chars
    room = np.int64(0)
    for d in range(len(bounds) - 1):
        room += (min(bounds[d + 1] - bounds[d], limit) + spans) * _ROOM
    out = np.empty(room, np.uint8)
    fates = np.zeros(0, np.uint8)
    cuts = np.zeros(0, np.int64)
    n = 0
    for d in range(len(bounds) - 1):
        begin, length = n, bounds[d + 1] - bounds[d]
        for piece in range(spans if length > limit else 1):
            at = bounds[d] + piece * (length // spans)
            stop = at + span_chars if length > limit else bounds[d + 1]
            fates = np.empty(stop - at, np.uint8)
            for i in range(at, stop):
                code = codes[i]
                if code < TABLE_SIZE:
                    fates[i - at] = table[code] & 3
                else:
                    fates[i - at] = SINGLE if code < _HANZI_END else SKIP
            i = at
            while i < stop:
                fate, start = fates[i - at], i
                if fate == SINGLE:
                    while i < stop and fates[i - at] == SINGLE:
                        i += 1
                    last = _path(codes, start, i, keys, prices, unknown, longest)
                    cuts = np.empty(i - start, np.int64)
                    words, place = 0, i - start
                    while place > 0:
                        cuts[words] = place
                        words += 1
                        if last[place] < 0:
                            counts[d, 1] += 1
                        place -= abs(last[place])
                    place = start
                    for w in range(words - 1, -1, -1):
                        if last[cuts[w]] > 0:
                            n = _write(codes, place, start + cuts[w], out, n)
                            counts[d, 2] += start + cuts[w] - place
                        place = start + cuts[w]
                    counts[d, 0] += words
                elif fate == WORD:
                    value, folded = _OFFSET, _OFFSET
                    while i < stop and fates[i - at] == WORD:
                        value = (value ^ np.uint64(codes[i])) * _PRIME
                        folded = (folded ^ np.uint64(table[codes[i]] >> 2)) * _PRIME
                        i += 1
                    counts[d, 0] += 1
                    if _find(keys, _finish(value)) >= 0:
                        n = _write(codes, start, i, out, n)
                        counts[d, 2] += i - start
                    elif _find(keys, _finish(folded)) >= 0:
                        lower = np.empty(i - start, np.int32)
                        for k in range(start, i):
                            lower[k - start] = table[codes[k]] >> 2
                        n = _write(lower, 0, len(lower), out, n)
                        counts[d, 2] += i - start
                    else:
                        counts[d, 1] += 1
                else:
                    code = codes[i]
                    i += 1
                    if (
                        fate != SKIP
                        and code > 0x20
                        and (_find(keys, _finish((_OFFSET ^ np.uint64(code)) * _PRIME)) >= 0)
                    ):
                        n = _write(codes, start, i, out, n)
                        counts[d, 0] += 1
                        counts[d, 2] += 1
                    stops = code in (0x0A, 0x3002, 0xFF01, 0xFF1F, 0x21, 0x3F)
                    if code == 0x2E and (i == stop or codes[i] <= 0x20):
                        stops = True
                    if stops and n > begin and out[n - 1] == 0x20:
                        out[n - 1] = 0x0A
            if n > begin and out[n - 1] == 0x20:
                out[n - 1] = 0x0A
        counts[d, 3] = n - begin
    return out[:n].copy()
