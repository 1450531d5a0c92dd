"""MinHash sketches: text to token shingles, shingles to signatures, signatures to band hashes.

What a token is, for every language alike:

- a hanzi, kana, hangul, bopomofo, Thai, Lao, Khmer or Burmese character is a token by itself;
- a run of any other letters, digits and combining marks is one token;
- everything else (spaces, punctuation, symbols, emoji) separates tokens and is not one.

Before that a character below U+20000 is folded: NFKC and lower case, each only where it gives one
character, so ``Ａ`` is ``a`` and ``①`` is ``1``. Digits stay: 第3章 and 第4章 differ. Zero-width
characters and variation selectors are skipped. A shingle is ``k`` tokens in a row; a document of
fewer tokens is one shingle of all it has; a document without tokens has none.

Hashes: all arithmetic is modulo 2^64; ``mix64`` is the finalizer of MurmurHash3 (a bijection). A
token of code points ``c1 … cn`` hashes to ``mix64(p)``, where ``p`` starts at 1 and becomes
``p * TOKEN_BASE + c`` with each; a shingle of token hashes ``t1 … tk`` to the upper 32 bits of
``mix64(t1 * SHINGLE_BASE^(k-1) + … + tk)``. That sum rolls: one token comes in and one goes out.
The token hashes are mixed, so the text's own regularity does not reach the polynomial.

Signatures are those of `datasketch` (scheme ``affine32``), bit for bit, for these shingle hashes:
``min over shingles of fmix32(h) * a + b mod 2^32`` for each permutation ``(a, b)``.
"""

import unicodedata
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .resemble import grams
from .sketch_tables import kept_characters, kept_permutations
from .utf8 import Bounds, Bytes, chunks, kernel, text_buffer

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

# The three fates of a character beside being skipped; the table stores them in its low bits.
BREAK: Final = 0
SINGLE: Final = 1
WORD: Final = 2
SKIP: Final = 3

# Scripts written without spaces between words (inclusive ranges, after folding).
_SINGLE_RANGES: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul jamo
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # 々 〆 〇
    (0x3031, 0x31FF),  # kana, bopomofo, Hangul compatibility jamo
    (0x3400, 0x4DBF),  # hanzi extension A
    (0x4E00, 0x9FFF),  # hanzi
    (0xA960, 0xA97F),  # Hangul jamo extended A
    (0xAC00, 0xD7FF),  # Hangul syllables, jamo extended B
    (0xF900, 0xFAFF),  # hanzi compatibility
)
# Characters that are themselves after folding: filled without a lookup.
_PLAIN: Final = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xAC00, 0xD7A4))
# The table ends where the supplementary hanzi begin; planes 2 and 3 hold nothing else.
TABLE_SIZE: Final = 0x20000
_HANZI_END: Final = 0x40000
_SELECTORS: Final = 0xE0100
_SELECTORS_END: Final = 0xE01F0

TOKEN_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd: the golden ratio times 2^64."""
SHINGLE_BASE: Final = np.uint64(0xD1342543DE82EF95)
"""Odd: Steele and Vigna's 64-bit multiplier."""

_ONE: Final = np.uint64(1)
_CHUNK_BYTES: Final = 1 << 18  # tokens of a chunk take up to 2 MiB: near the cache
_BLOCK: Final = 2048  # shingle hashes permuted at a time: 8 KiB, so they stay in L1
_LANES: Final = 32  # below this many hashes the loop over permutations is the faster one


@cache
def character_table() -> U32:
    """For each code point below ``TABLE_SIZE``: its folded code point times 4, plus its fate."""
    kept = kept_characters()
    return fold_characters() if kept is None else kept


def fold_characters() -> U32:
    """Make :func:`character_table` from the Unicode data of this Python."""
    table = np.zeros(TABLE_SIZE, np.uint32)
    plain = np.zeros(TABLE_SIZE, np.bool_)
    for start, end in _PLAIN:
        table[start:end] = np.arange(start, end, dtype=np.uint32) << 2 | SINGLE
        plain[start:end] = True
    for code in np.flatnonzero(~plain).tolist():
        if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co", "Cc"):
            folded = _fold(chr(code))
            table[code] = ord(folded) << 2 | _fate(folded)
    return table


def _fold(char: str) -> str:
    for form in (unicodedata.normalize("NFKC", char), char):
        lower = form.lower()
        if len(lower) == 1:
            return lower
    return char


def _fate(char: str) -> int:
    code, category = ord(char), unicodedata.category(char)
    if category == "Cf" or 0xFE00 <= code <= 0xFE0F:
        return SKIP
    if category[0] not in "LNM":
        return BREAK
    single = code >= TABLE_SIZE or any(low <= code <= high for low, high in _SINGLE_RANGES)
    return SINGLE if single else WORD


@cache
def permutations(count: int, seed: int) -> tuple[U32, U32]:
    """The multipliers and addends of `datasketch`'s permutations (scheme ``affine32``).

    Args:
        count: number of permutations.
        seed: datasketch's seed.

    Returns:
        ``a`` (odd) and ``b``, uint32 ``[count]``.
    """
    return kept_permutations(count, seed) or draw_permutations(count, seed)


def draw_permutations(count: int, seed: int) -> tuple[U32, U32]:
    """Let `datasketch` draw what :func:`permutations` gives."""
    from datasketch import MinHash

    a, b = MinHash(num_perm=count, seed=seed, scheme="affine32").permutations
    return np.ascontiguousarray(a), np.ascontiguousarray(b)


def as_minhash(signature: U32, *, seed: int) -> Any:
    """One signature as a ``datasketch.MinHash``, for its LSH indexes and estimates.

    Args:
        signature: uint32 ``[permutations]``.
        seed: the seed that the signature was made with.
    """
    from datasketch import MinHash

    a, b = permutations(len(signature), seed)
    return MinHash(seed=seed, hashvalues=signature, permutations=(a, b), scheme="affine32")


def shingles(texts: pa.Array, *, k: int) -> tuple[U32, I64, I64]:
    """Hash the shingles of a text column.

    Args:
        texts: ``string`` or ``large_string``.
        k: tokens a shingle.

    Returns:
        The hashes of all documents back to back, repeated ones included (uint32); their bounds
        (int64 ``[D + 1]``); the number of tokens of each document (int64 ``[D]``).
    """
    data, offsets = text_buffer(texts)
    tokens, bounds = _tokens(data, offsets, character_table())
    hashes, hash_bounds = _shingle(tokens, bounds, k)
    return hashes, hash_bounds, np.diff(bounds)


def signatures(
    texts: pa.Array, *, k: int, count: int, seed: int, shingle: str = "tokens"
) -> tuple[U32, I64]:
    """MinHash signatures of a text column.

    Args:
        texts: ``string`` or ``large_string``.
        k: tokens a shingle.
        count: number of permutations.
        seed: seed of the permutations.
        shingle: ``tokens``, or ``characters`` for the 5-grams of :mod:`yanmo.curate.resemble`.

    Returns:
        Signatures (uint32 ``[D, count]``; all ones where a document has no shingle) and the number
        of tokens, or of 5-grams, of each document (int64 ``[D]``).
    """
    data, offsets = text_buffer(texts)
    a, b = permutations(count, seed)
    out = np.full((len(texts), count), 0xFFFFFFFF, np.uint32)
    lengths = np.zeros(len(texts), np.int64)
    table = character_table()
    for rows in chunks(offsets, chunk_bytes=_CHUNK_BYTES):
        if shingle == "characters":
            hashes, bounds = grams(texts.slice(rows.start, rows.stop - rows.start))
            hash_bounds = bounds
        else:
            tokens, bounds = _tokens(data, offsets[rows.start : rows.stop + 1], table)
            hashes, hash_bounds = _shingle(tokens, bounds, k)
        _minimise(hashes, hash_bounds, a, b, out[rows])
        lengths[rows] = np.diff(bounds)
    return out, lengths


def band_hashes(signature: U32, *, bands: int) -> U64:
    """Hash each band of each signature to 64 bits.

    Args:
        signature: uint32 ``[D, P]``; ``bands`` divides ``P``.
        bands: number of bands of consecutive values.

    Returns:
        uint64 ``[bands, D]``.
    """
    return _band(np.ascontiguousarray(signature), bands)


def exact_jaccard(first: U32, second: U32) -> float:
    """Jaccard similarity of two documents given their shingle hashes (as sets)."""
    union = len(np.union1d(first, second))
    return len(np.intersect1d(first, second)) / union if union else 0.0


@kernel
def _mix64(value: Any) -> Any:
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@kernel
def _tokens(data: Bytes, offsets: Bounds, table: U32) -> tuple[U64, I64]:
    documents = len(offsets) - 1
    # A document of n bytes has at most n tokens.
    out = np.empty(max(offsets[documents] - offsets[0], 1), np.uint64)
    bounds = np.zeros(documents + 1, np.int64)
    n = 0
    for document in range(documents):
        at, stop = offsets[document], offsets[document + 1]
        run = np.uint64(0)
        while at < stop:
            lead = np.uint32(data[at])
            if lead < 0x80:
                packed = table[lead]
                at += 1
            elif 0xE0 <= lead < 0xF0 and at + 3 <= stop:
                code = (lead & np.uint32(0x0F)) << np.uint32(12)
                code |= (np.uint32(data[at + 1]) & np.uint32(0x3F)) << np.uint32(6)
                packed = table[code | (np.uint32(data[at + 2]) & np.uint32(0x3F))]
                at += 3
            else:
                packed, at = _rare_character(data, at, stop, table)
            fate = packed & np.uint32(3)
            value = np.uint64(packed >> np.uint32(2))
            if fate == WORD:
                # An open run is not 0: it starts from 1 and is multiplied by an odd number.
                run = max(run, _ONE) * TOKEN_BASE + value
            elif fate != SKIP:
                if run:
                    out[n] = run
                    n += 1
                    run = np.uint64(0)
                if fate == SINGLE:
                    out[n] = TOKEN_BASE + value
                    n += 1
        if run:
            out[n] = run
            n += 1
        bounds[document + 1] = n
    return out[:n], bounds


@kernel
def _rare_character(data: Bytes, at: int, stop: int, table: U32) -> tuple[np.uint32, int]:
    """Two and four bytes long, and whatever is not UTF-8 (never read past the document)."""
    lead = np.uint32(data[at])
    if 0xC0 <= lead < 0xE0 and at + 2 <= stop:
        low = np.uint32(data[at + 1]) & np.uint32(0x3F)
        return table[(lead & np.uint32(0x1F)) << np.uint32(6) | low], at + 2
    if lead < 0xF0 or at + 4 > stop:
        return np.uint32(BREAK), at + 1
    code = lead & np.uint32(0x07)
    for i in range(1, 4):
        code = code << np.uint32(6) | np.uint32(data[at + i]) & np.uint32(0x3F)
    if code < TABLE_SIZE:
        return table[code], at + 4
    if code < _HANZI_END:
        return np.uint32(code << np.uint32(2) | np.uint32(SINGLE)), at + 4
    if _SELECTORS <= code < _SELECTORS_END:
        return np.uint32(SKIP), at + 4
    return np.uint32(BREAK), at + 4


@kernel
def _shingle(tokens: U64, bounds: I64, k: int) -> tuple[U32, I64]:
    documents = len(bounds) - 1
    out = np.empty(len(tokens), np.uint32)
    out_bounds = np.zeros(documents + 1, np.int64)
    leaving = _ONE
    for _ in range(k):
        leaving *= SHINGLE_BASE
    for i in range(len(tokens)):
        tokens[i] = _mix64(tokens[i])
    n = 0
    for document in range(documents):
        start, stop = bounds[document], bounds[document + 1]
        rolling = np.uint64(0)
        for i in range(start, min(start + k, stop)):
            rolling = rolling * SHINGLE_BASE + tokens[i]
        if stop > start:
            out[n] = np.uint32(_mix64(rolling) >> np.uint64(32))
            n += 1
        for i in range(start + k, stop):
            rolling = rolling * SHINGLE_BASE + (tokens[i] - tokens[i - k] * leaving)
            out[n] = np.uint32(_mix64(rolling) >> np.uint64(32))
            n += 1
        out_bounds[document + 1] = n
    return out[:n], out_bounds


@kernel
def _minimise(hashes: U32, bounds: I64, a: U32, b: U32, out: U32) -> None:
    mixed = np.empty(_BLOCK, np.uint32)
    for document in range(len(bounds) - 1):
        row = out[document]
        for start in range(bounds[document], bounds[document + 1], _BLOCK):
            n = min(_BLOCK, bounds[document + 1] - start)
            for i in range(n):
                h = hashes[start + i]
                h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B))
                h = np.uint32((h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35))
                mixed[i] = h ^ (h >> np.uint32(16))
            whole = n // _LANES * _LANES
            if whole:
                for p in range(len(a)):
                    multiplier, addend, least = a[p], b[p], row[p]
                    for i in range(whole):
                        least = min(least, np.uint32(mixed[i] * multiplier + addend))
                    row[p] = least
            for i in range(whole, n):
                h = mixed[i]
                for p in range(len(a)):
                    row[p] = min(row[p], np.uint32(h * a[p] + b[p]))


@kernel
def _band(signature: U32, bands: int) -> U64:
    documents, count = signature.shape
    rows = count // bands
    out = np.empty((bands, documents), np.uint64)
    for document in range(documents):
        for band in range(bands):
            h = np.uint64(rows)
            for r in range(band * rows, band * rows + rows):
                h = _mix64(h * TOKEN_BASE + np.uint64(signature[document, r]))
            out[band, document] = h
    return out
