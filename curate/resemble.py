"""How alike two documents are: sketches of character 5-grams, and the documents that lead a group.

The measure is the Jaccard similarity of the sets of character 5-grams of two texts without their
white space, as they stand: no folding, and punctuation counts. MinHash bands of tokens propose
pairs; this decides. It is the stricter reading of short and mixed texts, where tokens see neither
case nor punctuation and a Latin name of twenty letters is one token.

A sketch is the ``SKETCH`` smallest distinct 32-bit hashes of that set, in order. A document with
fewer 5-grams than that is known whole and its similarity to another such document is exact; beyond,
the share of common hashes among the ``SKETCH`` smallest of the union estimates it with a standard
deviation of ``sqrt(s (1 - s) / SKETCH)``: 0.029 at 0.7. (Broder 1997, "On the resemblance and
containment of documents"; Beyer et al. 2007, "On synopses for distinct-value estimation".)
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .utf8 import Bounds, Bytes, chunks, kernel, text_buffer

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

SKETCH: Final = 256
"""Hashes of a sketch: whole for the documents of 20 to 200 characters, 1 KiB for long ones."""
GRAM: Final = 5
"""Characters of a gram. Source: the 5-grams of FineWeb-2 and datatrove, in characters."""

MIX_1: Final = np.uint32(0x85EBCA6B)
MIX_2: Final = np.uint32(0xC2B2AE35)
"""The odd multipliers of MurmurHash3's 32-bit finalizer."""
PLACES: Final = (
    np.uint32(0x9E3779B1), np.uint32(0x85EBCA77), np.uint32(0xC2B2AE3D), np.uint32(0x27D4EB2F),
    np.uint32(0x165667B1),
)  # fmt: skip
"""An odd multiplier for each place of a gram: the five primes of xxHash32."""
_CHUNK_BYTES: Final = 1 << 18  # scratch of a chunk: 4 bytes for each of its bytes
_FEW: Final = 4096  # hashes sorted by their own places; equal ones among more would be slow
_REPEATS: Final = 0.4  # with it one pass is enough for nine of ten hashes of real long texts
_VISIBLE: Final = np.array([not chr(code).isspace() for code in range(0x80)], np.int64)
_BLOCK: Final = 1 << 16  # documents whose sketches are in memory at a time: 64 MiB


def grams(texts: pa.Array) -> tuple[U32, I64]:
    """Hash the character 5-grams of a text column, white space left out.

    A text of fewer than 5 visible characters is one gram of all it has; without any it has none.

    Args:
        texts: ``string`` or ``large_string``.

    Returns:
        The hashes of all documents back to back, repeated ones included (uint32), and their bounds
        (int64 ``[D + 1]``).
    """
    data, offsets = text_buffer(texts)
    return _grams(data, offsets)


def sketches(texts: pa.Array) -> tuple[U32, I64]:
    """Sketch the documents of a text column.

    Args:
        texts: ``string`` or ``large_string``.

    Returns:
        The sketches back to back (uint32, increasing in each) and their bounds (int64 ``[D + 1]``).
    """
    data, offsets = text_buffer(texts)
    values = [np.empty(0, np.uint32)]
    sizes = [np.zeros(1, np.int64)]
    for rows in chunks(offsets, chunk_bytes=_CHUNK_BYTES):
        hashes, bounds = _grams(data, offsets[rows.start : rows.stop + 1])
        some, lengths = _smallest(hashes, bounds, SKETCH)
        values.append(some)
        sizes.append(lengths)
    return np.concatenate(values), np.cumsum(np.concatenate(sizes), dtype=np.int64)


def similarity(first: U32, second: U32) -> float:
    """Similarity of two documents by their sketches; 0 if both are empty."""
    return float(_similarity(first, second, SKETCH, 0.0))


class SketchParts:
    """The sketches of all documents, memory-mapped part by part, addressed by global number.

    Args:
        paths: for each part ``sketches.bin``: uint32, one sketch after the other, no header.
        bounds: for each part ``bounds.npy``: int64 ``[documents of the part + 1]``.
    """

    def __init__(self, paths: Sequence[Path], bounds: Sequence[Path]) -> None:
        empty = np.empty(0, np.uint32)  # an empty file cannot be mapped
        self.values = [np.memmap(path, "<u4", "r") if path.stat().st_size else empty
                       for path in paths]  # fmt: skip
        self.bounds = [np.load(path, mmap_mode="r") for path in bounds]
        self.starts = np.cumsum([0, *(len(b) - 1 for b in self.bounds)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, index: I64) -> tuple[U32, I64]:
        """The sketches of some documents, and their bounds (int64 ``[len(index) + 1]``)."""
        owner = np.searchsorted(self.starts, index, side="right") - 1
        local = index - self.starts[owner]
        sizes = np.zeros(len(index) + 1, np.int64)
        groups = [(part, np.flatnonzero(owner == part)) for part in np.unique(owner).tolist()]
        for part, at in groups:
            bounds = self.bounds[part]
            sizes[at + 1] = bounds[local[at] + 1] - bounds[local[at]]
        out_bounds = np.cumsum(sizes)
        out = np.empty(out_bounds[-1], np.uint32)
        for part, at in groups:
            _gather(self.values[part], self.bounds[part], local[at], at, out_bounds, out)
            self._forget(part)
        return out, out_bounds

    def _forget(self, part: int) -> None:
        # Pages that were looked at count as memory of the process until they are given back.
        mapped = getattr(self.values[part], "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def fingerprints(parts: SketchParts, index: I64) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of the sketch of some documents: an order that is a matter of content alone."""
    out = np.empty(len(index), np.uint64)
    for start in range(0, len(index), _BLOCK):
        rows = slice(start, start + _BLOCK)
        out[rows] = _fingerprint(*parts.take(index[rows]))
    return out


def lead(
    parts: SketchParts, index: I64, group: I64, *, min_jaccard: float | None, limit: int
) -> tuple[I64, F64]:
    """Give each document of a group the first one before it that leads and that it resembles.

    A document that resembles no leader of its group becomes one. A group has ``limit`` leaders at a
    time; of more, the one that was longest without a follower makes room, so that a group of
    documents that are all unlike costs ``limit`` comparisons each.

    Args:
        parts: the sketches.
        index: documents, group after group.
        group: group of each, not decreasing, ``[len(index)]``.
        min_jaccard: what resembling means; ``None``: all documents of a group do.
        limit: leaders of a group that a document is compared with.

    Returns:
        For each document the position in ``index`` of its leader, itself if it leads (int64), and
        its similarity to it (float64).
    """
    leader = np.arange(len(index), dtype=np.int64)
    jaccard = np.ones(len(index), np.float64)
    least = 0.0 if min_jaccard is None else min_jaccard
    state = np.array([-1, 0, 0], np.int64)
    slots = np.empty((limit, 4), np.int64)
    buffer = np.empty((limit, SKETCH), np.uint32)
    for start in range(0, len(index), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(index)))
        values, bounds = parts.take(index[rows])
        found = (leader[rows], jaccard[rows])
        _lead((values, bounds, group[rows]), (state, slots, buffer), found, start, least)
    return leader, jaccard


@kernel
def _space(code: Any) -> Any:
    """Characters that ``str.isspace`` accepts."""
    if code <= 0x20:
        return code == 0x20 or 0x09 <= code <= 0x0D or 0x1C <= code <= 0x1F
    if code < 0x1680:
        return code == 0x85 or code == 0xA0
    if code < 0x3000:
        between = 0x2000 <= code <= 0x200A or 0x2028 <= code <= 0x2029
        return between or code == 0x1680 or code == 0x202F or code == 0x205F
    return code == 0x3000


@kernel
def _grams(data: Bytes, offsets: Bounds) -> tuple[U32, I64]:
    documents = len(offsets) - 1
    # A document of n bytes has at most n characters and as many grams.
    most = 1
    for document in range(documents):
        most = max(most, offsets[document + 1] - offsets[document])
    out = np.empty(max(offsets[documents] - offsets[0], 1), np.uint32)
    out_bounds = np.zeros(documents + 1, np.int64)
    seen = np.empty(most + GRAM, np.uint32)
    n = 0
    for document in range(documents):
        at, stop = offsets[document], offsets[document + 1]
        length = 0
        while at < stop:
            code = np.uint32(data[at])
            if code < 0x80:
                seen[length] = code + np.uint32(1)
                length += _VISIBLE[code]
                at += 1
                continue
            if 0xE0 <= code < 0xF0 and at + 3 <= stop:
                code = (code & np.uint32(0x0F)) << np.uint32(12)
                code |= (np.uint32(data[at + 1]) & np.uint32(0x3F)) << np.uint32(6)
                code |= np.uint32(data[at + 2]) & np.uint32(0x3F)
                at += 3
            else:
                extra = 1 if code < 0xE0 else 2 if code < 0xF0 else 3
                code &= np.uint32(0x3F) >> np.uint32(extra)
                for i in range(at + 1, min(at + 1 + extra, stop)):
                    code = code << np.uint32(6) | (np.uint32(data[i]) & np.uint32(0x3F))
                at += 1 + extra
            seen[length] = code + np.uint32(1)
            length += not _space(code)
        if length:
            # A text shorter than a gram is filled up with zeros, which no character is.
            seen[length : length + GRAM] = 0
            grams = max(length - GRAM + 1, 1)
            for i in range(length):
                mixed = seen[i] * MIX_1
                seen[i] = (mixed ^ (mixed >> np.uint32(15))) * MIX_2
            for i in range(grams):
                h = seen[i] * PLACES[0] + seen[i + 1] * PLACES[1] + seen[i + 2] * PLACES[2]
                h += seen[i + 3] * PLACES[3] + seen[i + 4] * PLACES[4]
                h = (h ^ (h >> np.uint32(16))) * MIX_1
                h = (h ^ (h >> np.uint32(13))) * MIX_2
                out[n + i] = h ^ (h >> np.uint32(16))
            n += grams
        out_bounds[document + 1] = n
    return out[:n], out_bounds


@kernel
def _sort(values: U32, n: int, limit: Any, spare: U32, counts: I64) -> None:
    """Sort the first ``n``, spread evenly up to the limit: put near their places, then moved."""
    bits = 1
    while (1 << bits) < n and bits < 12:
        bits += 1
    shift = np.uint32(0)
    while limit >> shift >= 1 << bits:
        shift += np.uint32(1)
    counts[: (1 << bits) + 1] = 0
    for i in range(n):
        counts[(values[i] >> shift) + 1] += 1
    for i in range(1 << bits):
        counts[i + 1] += counts[i]
    for i in range(n):
        bucket = values[i] >> shift
        spare[counts[bucket]] = values[i]
        counts[bucket] += 1
    for i in range(n):
        value = spare[i]
        j = i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@kernel
def _smallest(hashes: U32, bounds: I64, size: int) -> tuple[U32, I64]:
    documents = len(bounds) - 1
    lengths = np.zeros(documents, np.int64)
    room = 0
    for document in range(documents):
        room += min(bounds[document + 1] - bounds[document], size)
    out = np.empty(room, np.uint32)
    some, spare = np.empty(_FEW, np.uint32), np.empty(_FEW, np.uint32)
    counts = np.empty((1 << 12) + 1, np.int64)
    end = 0
    for document in range(documents):
        start, stop = bounds[document], bounds[document + 1]
        # Below this hash there should be enough, also if a third of the grams are repeated; the
        # longer a text, the more of them are.
        below = (1.5 * size + 32.0) / max(stop - start, 1)
        below *= max(1.0, (stop - start) / _FEW) ** _REPEATS
        while True:
            limit = np.uint32(0xFFFFFFFF) if below >= 1.0 else np.uint32(below * 4294967295.0)
            n = 0
            for i in range(start, stop):
                n += hashes[i] <= limit
            if n >= len(some):
                some, spare = np.empty(n + 1, np.uint32), np.empty(n + 1, np.uint32)
            n = 0
            for i in range(start, stop):
                some[n] = hashes[i]
                n += hashes[i] <= limit
            if n <= _FEW:
                _sort(some, n, limit, spare, counts)
            else:  # few distinct ones, often repeated
                some[:n].sort()
            written = end
            for i in range(n):
                if written - end == size:
                    break
                if i == 0 or some[i] != some[i - 1]:
                    out[written] = some[i]
                    written += 1
            if written - end == size or below >= 1.0:
                break
            below *= max(2.0, 1.2 * size / max(written - end, 1))
        lengths[document] = written - end
        end = written
    return out[:end], lengths


@kernel
def _gather(values: U32, bounds: I64, rows: I64, at: I64, out_bounds: I64, out: U32) -> None:
    for i in range(len(rows)):
        start = bounds[rows[i]]
        to = out_bounds[at[i]]
        for j in range(out_bounds[at[i] + 1] - to):
            out[to + j] = values[start + j]


@kernel
def _fingerprint(values: U32, bounds: I64) -> npt.NDArray[np.uint64]:
    out = np.empty(len(bounds) - 1, np.uint64)
    for document in range(len(out)):
        h = np.uint64(bounds[document + 1] - bounds[document])
        for i in range(bounds[document], bounds[document + 1]):
            h = (h ^ np.uint64(values[i])) * np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
            h ^= h >> np.uint64(29)
        out[document] = h
    return out


@kernel
def _similarity(first: U32, second: U32, size: int, least: float) -> float:
    """The similarity; once it cannot reach ``least``, -1."""
    a, b = len(first), len(second)
    whole = a < size and b < size
    if whole and min(a, b) < least * max(a, b) - 1e-9:
        return -1.0
    # Elements of one document alone; with more of them the similarity falls below the least.
    if whole:
        allowed = (a + b) * (1.0 - least) / (1.0 + least) + 1e-9
    else:
        allowed = size * (1.0 - least) + 1e-9
    limit = a + b if whole else size
    i = j = common = walked = 0
    while i < a and j < b and walked < limit:
        x, y = first[i], second[j]
        i += x <= y
        j += y <= x
        common += x == y
        walked += 1
        if walked - common > allowed:
            return -1.0
    walked = min(walked + (a - i) + (b - j), limit)
    found = common / walked if walked else 0.0
    return found if found >= least - 1e-9 else -1.0


@kernel
def _lead(block: tuple[U32, I64, I64], known: tuple[I64, I64, U32], found: tuple[I64, F64],
          start: int, least: float) -> None:  # fmt: skip
    # What is known goes on from block to block. The state: group, its leaders, a clock. A slot, in
    # the order of the leaders: position of the leader, when it last had a follower, its row in the
    # buffer, the length of its sketch there.
    values, bounds, group = block
    state, slots, buffer = known
    leader, jaccard = found
    for i in range(len(group)):
        sketch = values[bounds[i] : bounds[i + 1]]
        if group[i] != state[0]:
            state[0], state[1] = group[i], 0
        state[2] += 1
        alike = -1.0
        for s in range(state[1]):
            other = buffer[slots[s, 2], : slots[s, 3]]
            alike = _similarity(other, sketch, SKETCH, least)
            if alike >= 0.0:
                leader[i], jaccard[i] = slots[s, 0], alike
                slots[s, 1] = state[2]
                break
        if alike >= 0.0:
            continue
        row = state[1]
        if row == len(slots):
            oldest = np.argmin(slots[:, 1])
            row = slots[oldest, 2]
            for s in range(oldest, len(slots) - 1):
                slots[s] = slots[s + 1]
            state[1] -= 1
        last = state[1]
        slots[last, 0], slots[last, 1] = start + i, state[2]
        slots[last, 2], slots[last, 3] = row, len(sketch)
        buffer[row, : len(sketch)] = sketch
        state[1] += 1


@kernel
def similarities(a: U32, a_bounds: I64, b: U32, b_bounds: I64, least: float) -> F64:
    """Similarity of documents pair by pair, sketches back to back; -1 where below ``least``."""
    out = np.empty(len(a_bounds) - 1, np.float64)
    for i in range(len(out)):
        one, other = a[a_bounds[i] : a_bounds[i + 1]], b[b_bounds[i] : b_bounds[i + 1]]
        out[i] = _similarity(one, other, SKETCH, least)
    return out
