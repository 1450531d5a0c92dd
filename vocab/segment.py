"""Han runs cut into symbols of a base vocabulary, the alphabet that continued BPE goes on from.

A symbol is a base entry of whole characters, or, for a character that the base spells in several
entries (bytes), a virtual symbol of its own; whether such a character gets an entry is decided
later, by what it saves. Where base entries cut across characters, nothing can be learned: a break.
"""

# ruff: noqa: PLR0913

from dataclasses import dataclass

import numpy as np

from .base import Base
from .charsets import is_han
from .kernels import I32, I64, U8, Number, kernel
from .runs import Runs
from .spm import PieceType
from .spm_json import merges_of_pieces

BREAK = -1
_NO_RANK = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Symbols:
    """The runs as symbols.

    Attributes:
        symbols: int32, back to back; below ``first_virtual`` base ids, from there on characters
            without an entry, -1 breaks.
        ends: int64 ``[R + 1]``, bounds of the runs in ``symbols``.
        virtual: the characters of the virtual symbols, in the order of their numbers.
        pieces_per_character: base entries that each virtual character takes now, int32.
        first_virtual: number of the first virtual symbol (the size of the base).
    """

    symbols: I32
    ends: I64
    virtual: list[str]
    pieces_per_character: I32
    first_virtual: int


@dataclass(frozen=True)
class MergeTable:
    """Merges inside Han text as open addressing: pair of ids -> rank and result."""

    keys: I64
    ranks: I64
    results: I32
    atoms: I32
    atom_is_byte: bool


def merge_table(base: Base) -> MergeTable:
    """The merges of a base that can act inside Han runs, and the ids of its atoms.

    SentencePiece starts from characters (``atoms[code point]``, -1: none), byte-level BPE from
    bytes (``atoms[byte]``).
    """
    ids = {piece: index for index, piece in enumerate(base.pieces)}
    if base.model is not None:
        normal = [p for p in base.model.pieces if p.type is PieceType.NORMAL and is_han(p.text)]
        pairs = merges_of_pieces(tuple(normal))
        atoms = np.full(0x110000, BREAK, np.int32)
        for piece in normal:
            if len(piece.text) == 1:
                atoms[ord(piece.text)] = ids[piece.text]
        return _table([(ids[a], ids[b], ids[a + b]) for a, b in pairs], atoms, by_bytes=False)
    surfaces = base.surfaces()
    atoms = np.full(256, BREAK, np.int32)
    for index, surface in enumerate(surfaces):
        if len(surface) == 1 and index < len(base.document["model"]["vocab"]):
            atoms[surface[0]] = index
    merges = [
        (ids[left], ids[right], ids[left + right])
        for left, right in base.document["model"]["merges"]
        if min(surfaces[ids[left + right]]) >= 0x80
    ]
    return _table(merges, atoms, by_bytes=True)


def _table(merges: list[tuple[int, int, int]], atoms: I32, *, by_bytes: bool) -> MergeTable:
    size = 1 << max(4, (2 * len(merges)).bit_length())
    table = MergeTable(
        keys=np.full(size, -1, np.int64),
        ranks=np.zeros(size, np.int64),
        results=np.zeros(size, np.int32),
        atoms=atoms,
        atom_is_byte=by_bytes,
    )
    columns = np.array(merges, np.int64).reshape(-1, 3)
    pairs = columns[:, 0] << 32 | columns[:, 1]
    _fill(table.keys, table.ranks, table.results, pairs, columns[:, 2].astype(np.int32))
    return table


@kernel
def _slot(keys: I64, key: Number) -> Number:
    """Where a key is, or the free place where it belongs."""
    mask = len(keys) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(20)) & mask
    while keys[slot] != -1 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def _fill(keys: I64, ranks: I64, results: I32, pairs: I64, made: I32) -> None:
    for rank in range(len(pairs)):
        slot = _slot(keys, pairs[rank])
        if keys[slot] == -1:  # a pair that stands twice keeps its first rank
            keys[slot], ranks[slot], results[slot] = pairs[rank], rank, made[rank]


@kernel
def _merge_all(ids: I32, sizes: I32, count: Number, keys: I64, ranks: I64, results: I32) -> Number:
    """Byte-pair encode in place: the lowest rank first, the leftmost on ties."""
    pair_rank = np.full(max(count, 1), _NO_RANK, np.int64)
    pair_made = np.zeros(max(count, 1), np.int32)
    for at in range(count - 1):
        _look(at, ids, keys, ranks, results, pair_rank, pair_made)
    while count > 1:
        best = 0
        for at in range(1, count - 1):
            if pair_rank[at] < pair_rank[best]:
                best = at
        if pair_rank[best] == _NO_RANK:
            break
        ids[best] = pair_made[best]
        sizes[best] += sizes[best + 1]
        count -= 1
        for at in range(best + 1, count):
            ids[at], sizes[at] = ids[at + 1], sizes[at + 1]
            pair_rank[at], pair_made[at] = pair_rank[at + 1], pair_made[at + 1]
        pair_rank[count - 1] = _NO_RANK
        if best < count - 1:
            _look(best, ids, keys, ranks, results, pair_rank, pair_made)
        if best > 0:
            _look(best - 1, ids, keys, ranks, results, pair_rank, pair_made)
    return count


@kernel
def _look(
    at: Number, ids: I32, keys: I64, ranks: I64, results: I32, pair_rank: I64, pair_made: I32
) -> None:
    pair_rank[at] = _NO_RANK
    if ids[at] < 0 or ids[at + 1] < 0:
        return
    slot = _slot(keys, np.int64(ids[at]) << 32 | np.int64(ids[at + 1]))
    if keys[slot] != -1:
        pair_rank[at], pair_made[at] = ranks[slot], results[slot]


@kernel
def _width(lead: Number) -> Number:
    return 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


@kernel
def _code(store: U8, at: Number) -> Number:
    lead = int(store[at])
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | (int(store[at + 1]) & 0x3F) << 6 | (int(store[at + 2]) & 0x3F)
    high = (lead & 0x07) << 18 | (int(store[at + 1]) & 0x3F) << 12
    return high | (int(store[at + 2]) & 0x3F) << 6 | (int(store[at + 3]) & 0x3F)


@kernel
def _segment(
    store: U8, ends: I64, keys: I64, ranks: I64, results: I32, atoms: I32, by_bytes: bool,
    virtual: I32, seen: I32, counts: I32, out: I32, out_ends: I64,
) -> Number:  # fmt: skip
    """Write the symbols of all runs; returns the number of virtual characters.

    ``virtual[code]`` becomes the number of a virtual character, ``seen[number]`` its code point,
    ``counts[number]`` the base entries it takes.
    """
    first_virtual = counts[-1]
    known = 0
    filled = 0
    for run in range(len(ends) - 1):
        start, end = ends[run], ends[run + 1]
        ids = np.empty(end - start, np.int32)
        sizes = np.empty(end - start, np.int32)
        count = 0
        at = start
        while at < end:
            width = 1 if by_bytes else _width(store[at])
            atom = store[at] if by_bytes else _code(store, at)
            ids[count], sizes[count] = atoms[atom], width
            count += 1
            at += width
        count = _merge_all(ids, sizes, count, keys, ranks, results)
        # Group the entries between character borders.
        at, k = start, 0
        border = start
        while k < count:
            first = k
            token_start = at
            characters = 0
            while True:
                at += sizes[k]
                k += 1
                while border < at:
                    border += _width(store[border])
                    characters += 1
                if border == at:
                    break
            if k - first == 1 and ids[first] >= 0:
                out[filled] = ids[first]
            elif characters == 1:
                code = _code(store, token_start)
                if virtual[code] < 0:
                    virtual[code] = known
                    seen[known] = code
                    counts[known] = k - first if by_bytes else at - token_start
                    known += 1
                out[filled] = first_virtual + virtual[code]
            else:
                out[filled] = BREAK
            filled += 1
        out_ends[run + 1] = filled
    return known


def segment(base: Base, runs: Runs) -> Symbols:
    """Cut runs into symbols of the base.

    Args:
        base: the vocabulary to grow.
        runs: distinct Han runs.
    """
    table = merge_table(base)
    characters = int(np.count_nonzero((runs.store & 0xC0) != 0x80))
    out = np.empty(characters, np.int32)
    ends = np.zeros(len(runs.ends), np.int64)
    virtual = np.full(0x110000, BREAK, np.int32)
    seen = np.zeros(100_000, np.int32)
    counts = np.zeros(100_001, np.int32)
    counts[-1] = base.size
    known = _segment(
        runs.store, runs.ends, table.keys, table.ranks, table.results, table.atoms,
        table.atom_is_byte, virtual, seen, counts, out, ends,
    )  # fmt: skip
    return Symbols(
        symbols=out[: ends[-1]],
        ends=ends,
        virtual=[chr(code) for code in seen[:known]],
        pieces_per_character=counts[:known],
        first_virtual=base.size,
    )
