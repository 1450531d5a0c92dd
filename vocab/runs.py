"""Count the Han runs of a corpus: the only thing continued BPE needs to know of it.

A run is a maximal span of Han characters. Distinct runs are kept once with their counts, in a hash
table over their UTF-8 bytes; where each occurred is kept as two small integers an occurrence. When
the distinct runs outgrow their budget, the table is thinned: half of the distinct runs, chosen by
their hash, go with all their occurrences. That keeps memory bounded and every remaining count
exact, and what is left is an unbiased sample; the share is reported.
"""

# ruff: noqa: PLR0913

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.documents import text_buffer

from .kernels import I32, I64, U8, U64, Number, kernel

EMPTY = -1


@kernel
def _is_han(code: Number) -> Number:
    if code < 0x3400:
        return code == 0x3005 or code == 0x3007
    if code <= 0x9FFF:
        return code <= 0x4DBF or code >= 0x4E00
    if code < 0x20000:
        return False
    return (
        code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2EBE0
        or 0x2EBF0 <= code <= 0x2EE5D
        or 0x30000 <= code <= 0x323AF
    )


@kernel
def _character(buffer: U8, at: Number) -> tuple[Number, Number]:
    """Code point and length of the character at a byte (Arrow text is valid UTF-8)."""
    lead = int(buffer[at])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0:
        return 0, 2
    second, third = int(buffer[at + 1]) & 0x3F, int(buffer[at + 2]) & 0x3F
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | second << 6 | third, 3
    return (lead & 0x07) << 18 | second << 12 | third << 6 | (int(buffer[at + 3]) & 0x3F), 4


@kernel
def find_runs(buffer: U8, offsets: I64, starts: I64, sizes: I32, documents: I32) -> Number:
    """Write start, byte length and document of every Han run; returns how many there are.

    With empty output arrays it only counts.
    """
    found = 0
    writing = len(starts) > 0
    for document in range(len(offsets) - 1):
        at, end = offsets[document], offsets[document + 1]
        start = -1
        while at < end:
            code, width = _character(buffer, at)
            if _is_han(code):
                if start < 0:
                    start = at
            elif start >= 0:
                if writing:
                    starts[found], sizes[found], documents[found] = start, at - start, document
                found += 1
                start = -1
            at += width
        if start >= 0:
            if writing:
                starts[found], sizes[found], documents[found] = start, end - start, document
            found += 1
    return found


@kernel
def hash_bytes(buffer: U8, start: Number, size: Number) -> Number:
    """FNV-1a with a final mix; runs are compared byte by byte, so a clash costs time alone."""
    value = np.uint64(0xCBF29CE484222325)
    for at in range(start, start + size):
        value = (value ^ np.uint64(buffer[at])) * np.uint64(0x100000001B3)
    value ^= value >> np.uint64(32)
    value *= np.uint64(0x9FB21C651E98DF25)
    return value ^ (value >> np.uint64(29))


@kernel
def insert_runs(
    buffer: U8, starts: I64, sizes: I32, table: I64, hashes: U64, store: U8, ends: I64, indexes: I64
) -> Number:
    """Find or add each run; ``indexes[k]`` becomes the index of run ``k`` (-1: thinned away).

    Args:
        buffer: text bytes; ``starts`` and ``sizes`` say where the runs are.
        table: open addressing, index of a distinct run or -1; a power of two, at most half full.
        hashes: hash of each distinct run; ``hashes[-1]`` holds the mask of thinning.
        store: bytes of the distinct runs, back to back; ``ends[i + 1]`` is where run ``i`` ends.
        indexes: in: index of the first free run at ``indexes[-1]``; out: see above.

    Returns:
        The number of distinct runs.
    """
    mask = np.uint64(len(table) - 1)
    thin = hashes[-1]
    count = indexes[-1]
    for k in range(len(starts)):
        start, size = starts[k], sizes[k]
        value = hash_bytes(buffer, start, size)
        if (value >> np.uint64(40)) & thin:
            indexes[k] = EMPTY
            continue
        slot = value & mask
        while True:
            found = table[slot]
            if found < 0:
                table[slot] = count
                hashes[count] = value
                base = ends[count]
                for i in range(size):
                    store[base + i] = buffer[start + i]
                ends[count + 1] = base + size
                indexes[k] = count
                count += 1
                break
            if hashes[found] == value and ends[found + 1] - ends[found] == size:
                base = ends[found]
                same = True
                for i in range(size):
                    if store[base + i] != buffer[start + i]:
                        same = False
                        break
                if same:
                    indexes[k] = found
                    break
            slot = (slot + np.uint64(1)) & mask
    return count


@kernel
def rebuild_table(table: I64, hashes: U64, count: Number) -> None:
    """Fill an empty table with the distinct runs 0 to ``count - 1``."""
    mask = np.uint64(len(table) - 1)
    for index in range(count):
        slot = hashes[index] & mask
        while table[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = index


@dataclass(frozen=True)
class Runs:
    """Distinct Han runs.

    Attributes:
        store: UTF-8 bytes of all runs back to back; ``ends`` int64 ``[R + 1]`` are the bounds.
        counts: occurrences of each, int64 ``[R]``.
        run, document: one entry an occurrence, int32: which run, in which document.
        kept_share: share of the distinct runs that the budget left (1.0: all).
    """

    store: U8
    ends: I64
    counts: I64
    run: I32
    document: I32
    kept_share: float

    def text(self, index: int) -> str:
        """The text of one run."""
        return bytes(self.store[self.ends[index] : self.ends[index + 1]]).decode("utf-8")


class RunCounter:
    """Counts runs batch by batch.

    Args:
        budget_bytes: bytes of distinct runs to hold; learning needs about 13 times as much.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._thin = 0
        self._count = 0
        self._store = np.zeros(1 << 16, np.uint8)
        self._ends = np.zeros(1 << 12, np.int64)
        self._hashes = np.zeros(1 << 12, np.uint64)
        self._counts = np.zeros(1 << 12, np.int64)
        self._table = np.full(1 << 13, EMPTY, np.int64)
        self._occurrences: list[tuple[I32, I32]] = []
        self.documents = 0
        self.han_bytes = 0

    def add(self, texts: pa.Array) -> None:
        """Count the runs of a batch of documents.

        Args:
            texts: a ``large_string`` array.
        """
        indexes, documents, total = self._insert(texts)
        kept = indexes >= 0
        chosen = indexes[kept]
        np.add.at(self._counts, chosen, 1)
        where = (documents[kept] + self.documents).astype(np.int32)
        self._occurrences.append((chosen.astype(np.int32), where))
        self.documents += len(texts)
        self.han_bytes += total
        while self._ends[self._count] > self._budget and self._count > 1:
            self._thin_out()

    def add_words(self, words: pa.Array) -> I64:
        """Add words as runs that occur nowhere; call it after the last document.

        Args:
            words: a ``large_string`` array, each of Han characters alone.

        Returns:
            The run of each word, int64; -1 for words that a thinned table does not hold.
        """
        return self._insert(words)[0]

    def _insert(self, texts: pa.Array) -> tuple[I64, I32, int]:
        """Index and document of each run in the texts, and their bytes in all."""
        buffer, offsets = text_buffer(texts)
        none = np.zeros(0, np.int64)
        small = np.zeros(0, np.int32)
        found = find_runs(buffer, offsets, none, small, small)
        starts, sizes = np.empty(found, np.int64), np.empty(found, np.int32)
        documents = np.empty(found, np.int32)
        if found:
            find_runs(buffer, offsets, starts, sizes, documents)
        total = int(sizes.sum(dtype=np.int64))
        self._reserve(found, total)
        indexes = np.empty(found + 1, np.int64)
        indexes[-1] = self._count
        self._hashes[-1] = (1 << self._thin) - 1
        self._count = insert_runs(
            buffer, starts, sizes, self._table, self._hashes, self._store, self._ends, indexes
        )
        return indexes[:-1], documents, total

    def _reserve(self, runs: int, size: int) -> None:
        """Room for ``runs`` more distinct runs of ``size`` bytes in all."""
        needed = self._count + runs + 2
        if needed > len(self._hashes):
            room = 1 << int(needed - 1).bit_length()
            self._ends = _grown(self._ends, room)
            self._hashes = _grown(self._hashes, room)
            self._counts = _grown(self._counts, room)
        if 2 * needed > len(self._table):
            self._table = np.full(1 << int(2 * needed - 1).bit_length(), EMPTY, np.int64)
            rebuild_table(self._table, self._hashes, self._count)
        filled = int(self._ends[self._count])
        if filled + size > len(self._store):
            self._store = _grown(self._store, max(filled + size, 3 * len(self._store) // 2))

    def _thin_out(self) -> None:
        self._thin += 1
        mask = np.uint64((1 << self._thin) - 1)
        keep = ((self._hashes[: self._count] >> np.uint64(40)) & mask) == 0
        sizes = np.diff(self._ends[: self._count + 1])
        new_index = np.cumsum(keep) - 1
        bytes_kept = np.repeat(keep, sizes)
        store = self._store[: self._ends[self._count]][bytes_kept]
        count = int(keep.sum())
        self._hashes[:count] = self._hashes[: self._count][keep]
        self._counts[:count] = self._counts[: self._count][keep]
        self._counts[count:] = 0
        self._ends[1 : count + 1] = np.cumsum(sizes[keep])
        self._store[: len(store)] = store
        for k, (run, document) in enumerate(self._occurrences):
            still = keep[run]
            self._occurrences[k] = (new_index[run[still]].astype(np.int32), document[still])
        self._count = count
        self._table[:] = EMPTY
        rebuild_table(self._table, self._hashes, count)

    def finish(self) -> Runs:
        """All that was counted."""
        pairs = self._occurrences or [(np.zeros(0, np.int32), np.zeros(0, np.int32))]
        return Runs(
            store=self._store[: self._ends[self._count]],
            ends=self._ends[: self._count + 1],
            counts=self._counts[: self._count],
            run=np.concatenate([run for run, _ in pairs]),
            document=np.concatenate([document for _, document in pairs]),
            kept_share=0.5**self._thin,
        )


def _grown(array: npt.NDArray[Any], room: int) -> npt.NDArray[Any]:
    wider = np.zeros(room, array.dtype)
    wider[: len(array)] = array
    return wider
