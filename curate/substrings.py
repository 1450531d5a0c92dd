"""Stretches of text that stand in an earlier document as well, wherever they begin; a task.

Whatever of a text is equal, for at least so many bytes, to a stretch of an earlier document (or of
the same one, if the two do not overlap) is found, as by a suffix array (Lee et al. 2022), unless it
is white space for the most part. In the place of a suffix array stands a table of hashes: an
earlier text is cut into blocks of half that length, and each place of a later text is looked up. A
common stretch of the full length holds a whole block of the earlier text; from there it is followed
to both sides, byte by byte. The table has one entry for each block, not one for each byte.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from yanmo.documents import iterate

from .spans import write_found
from .utf8 import Bounds, Bytes, kernel, text_buffer

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

MAX_TRIED: Final = 64
"""Earlier blocks of equal text that a place is compared with; of more, the first. What they have in
common is found in any case, but perhaps not how far a later one goes on beyond it."""
_MEMO: Final = 1 << 10  # matches that are remembered, so as not to be followed twice
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_SPREAD: Final = np.uint64(0xD1342543DE82EF95)


def repeats_shard(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Repeated stretches in some parts: ``found-00000.parquet`` … (as of `equal_units`).

    Args:
        inputs: for each part the kept documents, then for each its ranks, then for each
            ``members.parquet``.
        parameters: ``min_bytes``.
        out: folder to write.

    Returns:
        ``{"documents", "bytes", "found"}``.
    """
    parts = len(inputs) // 3
    text, bounds, owner = read_in_order(inputs[:parts], inputs[parts : 2 * parts])
    starts, ends, sources = find_repeats(text, bounds, parameters["min_bytes"], MAX_TRIED)
    starts, ends = _to_characters(text, starts, ends)
    # Stretches that are mostly white space are the padding of tables.
    good = _visible(text, starts, ends) * 2 >= parameters["min_bytes"]
    starts, ends, sources = starts[good], ends[good], sources[good]
    document = np.searchsorted(bounds, starts, side="right") - 1
    source = np.searchsorted(bounds, sources, side="right") - 1
    ids = pa.concat_arrays([pq.read_table(path, columns=["id"])["id"].combine_chunks()
                            for path in inputs[2 * parts :]])  # fmt: skip
    places = _code_points(text, bounds, document, np.column_stack([starts, ends]))
    hashes = [xxhash.xxh3_128_hexdigest(text[a:b].data) for a, b in
              zip(starts.tolist(), ends.tolist(), strict=True)]  # fmt: skip
    part, row = owner[document].T
    found = {"row": row.astype(np.uint32), "start": places[:, 0], "end": places[:, 1],
             "hash": pa.array(hashes, pa.string()), "first_id": ids.take(pa.array(owner_places(
                 owner, source, inputs[2 * parts :]))),
             "documents": pa.nulls(len(starts), pa.int64())}  # fmt: skip
    write_found(out, parts, part, found)
    return {"documents": len(bounds) - 1, "bytes": len(text), "found": len(starts)}


def owner_places(owner: I64, documents: I64, paths: list[Path]) -> I64:
    """Places of documents among those of all parts back to back."""
    sizes = [pq.read_metadata(path).num_rows for path in paths]
    first = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
    places: I64 = first[owner[documents, 0]] + owner[documents, 1]
    return places


def read_in_order(parts: list[Path], ranks: list[Path]) -> tuple[Bytes, Bounds, I64]:
    """The texts of some parts in the keep order.

    Returns:
        UTF-8 bytes back to back, byte bounds (int64 ``[D + 1]``), and part and row of each text
        (int64 ``[D, 2]``).
    """
    pieces, sizes, owner = [np.zeros(0, np.uint8)], [np.zeros(0, np.int64)], []
    for number, path in enumerate(parts):
        rows = 0
        for batch in iterate([path], columns=["text"]):
            data, offsets = text_buffer(batch.column("text"))
            pieces.append(data[offsets[0] : offsets[-1]].copy())
            sizes.append(np.diff(offsets))
            rows += batch.num_rows
        owner.append(np.column_stack([np.full(rows, number), np.arange(rows)]))
    order = np.argsort(np.concatenate([np.load(path) for path in ranks]))
    data, lengths = np.concatenate(pieces), np.concatenate(sizes)
    del pieces
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    text, in_order = _reorder(data, bounds, order)
    return text, in_order, np.concatenate(owner)[order].astype(np.int64)


@kernel
def _reorder(data: Bytes, bounds: Bounds, order: I64) -> tuple[Bytes, Bounds]:
    out = np.empty(len(data), np.uint8)
    out_bounds = np.zeros(len(bounds), np.int64)
    n = 0
    for k in range(len(order)):
        start, stop = bounds[order[k]], bounds[order[k] + 1]
        out[n : n + stop - start] = data[start:stop]
        n += stop - start
        out_bounds[k + 1] = n
    return out, out_bounds


@kernel
def _to_characters(text: Bytes, starts: I64, ends: I64) -> tuple[I64, I64]:
    """Stretches without the characters that they hold in part."""
    first, last = starts.copy(), ends.copy()
    for k in range(len(starts)):
        while first[k] < last[k] and text[first[k]] & 0xC0 == 0x80:
            first[k] += 1
        while last[k] > first[k] and last[k] < len(text) and text[last[k]] & 0xC0 == 0x80:
            last[k] -= 1
    return first, last


@kernel
def _visible(text: Bytes, starts: I64, ends: I64) -> I64:
    """Bytes of stretches that are no white space of ASCII."""
    out = np.zeros(len(starts), np.int64)
    for k in range(len(starts)):
        for i in range(starts[k], ends[k]):
            out[k] += text[i] > 0x20
    return out


@kernel
def _code_points(text: Bytes, bounds: Bounds, document: I64, places: I64) -> I64:
    """Places in bytes as code points of their documents; rows in the order of the text."""
    out = np.empty_like(places)
    now = -1
    at = count = 0
    for k in range(len(places)):
        if document[k] != now or places[k, 0] < at:
            now, count = document[k], 0
            at = bounds[now]
        while at < places[k, 0]:
            count += text[at] & 0xC0 != 0x80
            at += 1
        length = 0
        for i in range(places[k, 0], places[k, 1]):
            length += text[i] & 0xC0 != 0x80
        out[k, 0], out[k, 1] = count, count + length
    return out


@kernel
def find_repeats(  # noqa: C901
    text: Bytes, bounds: Bounds, least: int, most_tried: int
) -> tuple[I64, I64, I64]:
    """Stretches that stand in an earlier text, or earlier in the same text.

    Args:
        text: bytes of all texts, in order.
        bounds: int64 ``[D + 1]``.
        least: bytes that a stretch must have.
        most_tried: earlier blocks of equal bytes that are remembered.

    Returns:
        First byte, byte after the last, and first byte of the earlier stretch, of each; they may
        overlap. In the order in which they were found.
    """
    block = (least + 1) // 2
    blocks = 1
    for d in range(len(bounds) - 1):
        blocks += (bounds[d + 1] - bounds[d]) // block
    bits = 10
    while (1 << bits) < 2 * blocks:
        bits += 1
    slot_shift, filter_shift = np.uint64(64 - bits), np.uint64(64 - bits - 3)
    mask = (1 << bits) - 1
    slot_hash, heads = np.zeros(1 << bits, np.uint64), np.full(1 << bits, -1, np.int32)
    tails, lengths = np.zeros(1 << bits, np.int32), np.zeros(1 << bits, np.int32)
    seen = np.zeros(1 << bits, np.uint8)  # 8 bits for each slot: most places end here
    place, owner = np.empty(blocks, np.int64), np.empty(blocks, np.int32)
    following = np.full(blocks, -1, np.int32)
    memo_shift, memo_end = np.full(_MEMO, -1, np.int64), np.zeros(_MEMO, np.int64)
    out = np.empty((1024, 3), np.int64)
    n = entries = 0
    leaving = np.uint64(1)
    for _ in range(block - 1):
        leaving *= _BASE
    for d in range(len(bounds) - 1):
        low, high = bounds[d], bounds[d + 1]
        if high - low < block:
            continue
        rolling = np.uint64(0)
        for i in range(low, low + block):
            rolling = rolling * _BASE + np.uint64(text[i]) + np.uint64(1)
        pending, pending_at = np.uint64(0), np.int64(-1)
        covered_from, covered_to = np.int64(-1), np.int64(-1)
        due = low
        p = low
        while True:
            past = p > high - block
            if p == due or past:
                if pending_at >= 0:  # the block before this one can be found from here on
                    spread = pending * _SPREAD
                    slot = np.int64(spread >> slot_shift)
                    while heads[slot] >= 0 and slot_hash[slot] != pending:
                        slot = (slot + 1) & mask
                    if heads[slot] < 0 or lengths[slot] < most_tried:
                        place[entries], owner[entries] = pending_at, d
                        if heads[slot] < 0:
                            heads[slot], slot_hash[slot] = entries, pending
                        else:
                            following[tails[slot]] = entries
                        tails[slot] = entries
                        lengths[slot] += 1
                        entries += 1
                        bit = spread >> filter_shift
                        seen[np.int64(bit >> np.uint64(3))] |= np.uint8(1) << np.uint8(
                            bit & np.uint64(7)
                        )
                pending, pending_at = rolling, p
                due = p + block
            if past:
                break
            spread = rolling * _SPREAD
            bit = spread >> filter_shift
            if seen[np.int64(bit >> np.uint64(3))] >> np.uint8(bit & np.uint64(7)) & 1:
                slot = np.int64(spread >> slot_shift)
                while heads[slot] >= 0 and slot_hash[slot] != rolling:
                    slot = (slot + 1) & mask
                e = heads[slot]
                while e >= 0:
                    q = place[e]
                    shift = p - q
                    m = np.int64((np.uint64(shift) * _SPREAD) >> np.uint64(54))
                    d_low, d_high = bounds[owner[e]], bounds[owner[e] + 1]
                    e = following[e]
                    if (d_low == low and shift < least) or (
                        memo_shift[m] == shift and memo_end[m] > p
                    ):
                        continue
                    # Nothing new if the two differ right behind and right before what is known.
                    if covered_from <= p < covered_to:
                        k = covered_to - shift
                        longer = covered_to < high and k < d_high and text[covered_to] == text[k]
                        k = covered_from - 1 - shift
                        if not longer and not (
                            covered_from > low and k >= d_low and text[covered_from - 1] == text[k]
                        ):
                            continue
                    end = p
                    while end < high and end - shift < d_high and text[end] == text[end - shift]:
                        end += 1
                    memo_shift[m], memo_end[m] = shift, end
                    start = p
                    while (
                        start > low and start - shift > d_low
                        and text[start - 1] == text[start - shift - 1]
                    ):  # fmt: skip
                        start -= 1
                    if end - start < least or (covered_from <= start and end <= covered_to):
                        continue
                    if start <= covered_to and covered_from <= end:
                        covered_from = min(start, covered_from)
                        covered_to = max(end, covered_to)
                    else:
                        covered_from, covered_to = start, end
                    if n == len(out):
                        wider = np.empty((2 * n, 3), np.int64)
                        wider[:n] = out
                        out = wider
                    out[n, 0], out[n, 1], out[n, 2] = start, end, start - shift
                    n += 1
            if p + block < high:
                rolling = (rolling - (np.uint64(text[p]) + np.uint64(1)) * leaving) * _BASE + (
                    np.uint64(text[p + block]) + np.uint64(1)
                )
            p += 1
    return out[:n, 0].copy(), out[:n, 1].copy(), out[:n, 2].copy()
