"""Spans of text that other documents hold too: lines, paragraphs, sentences. Tasks over files.

    units_part    kept documents of a part            units.npy, sorted by hash (one task a kind)
    owners_part   kept documents of a part            members.parquet
    rank_owners   members of all parts                rank-*.npy: place of each in the keep order
    equal_units   a range of hashes, units and ranks  found-*.parquet, one for each part
                  of all parts
    cut_spans     kept documents of a part, found     lines.parquet, kept.parquet, dropped.parquet

The first occurrence, by the keep order and then by its place in the document, stays; what is cut
out therefore stands in a document earlier in that order, and if it was cut out there as well, in
one still earlier. The last step looks at the text of one part, the step before it at as many units
as ``RANGE_UNITS`` says; only the keep order is made over all documents at once.
"""

import bisect
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import PartWriter, iterate

from .clusters import group_bounds, read_alive
from .keep import MEMBER_COLUMNS, MEMBER_SCHEMA, check_field, keep_order, write_members
from .sentences import abbreviations, sentence_classes
from .sketch import character_table
from .span_kernels import I64, Keys, Units, cut_lines, cut_sentences, hash_units, join_windows
from .span_options import FOLDS
from .utf8 import Bounds, Codes, chunks, decode, text_buffer

UNIT: Final = np.dtype(
    [("hash", "<u8"), ("more", "<u8"), ("row", "<u4"), ("start", "<u4"), ("end", "<u4")]
)
"""A unit: 128 bits of hash, the row of its document in the part, code points."""

FOUND_SCHEMA: Final = pa.schema(
    [
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("first_id", pa.string(), nullable=False),
        ("documents", pa.int64()),
    ]
)
"""A duplicate span of one part: where, of what, and how many documents hold it (null if that was
not counted)."""


def units_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """The units of one part: ``units.npy`` (``UNIT``), sorted by hash.

    Args:
        inputs: the kept documents of a part.
        parameters: ``kind``, ``fold``, ``min_chars``, for sentences ``window``.
        out: folder to write.

    Returns:
        ``{"documents", "units", "chars"}``: documents, units of them, characters of all.
    """
    found = [np.empty(0, UNIT)]
    rows = chars = 0
    for batch in iterate([inputs[0]], columns=["text"]):
        data, offsets = text_buffer(batch.column("text"))
        for some in chunks(offsets):
            codes, bounds = decode(data, offsets[some.start : some.stop + 1])
            found.append(_units(codes, bounds, parameters, rows + some.start))
            chars += len(codes)
        rows += batch.num_rows
    units = np.concatenate(found)
    del found
    np.save(out / "units.npy", units[np.argsort(units["hash"], kind="stable")])
    return {"documents": rows, "units": len(units), "chars": chars}


def find_units(
    codes: Codes, bounds: Bounds, parameters: dict[str, Any]
) -> tuple[Units, Keys, npt.NDArray[np.int64]]:
    """Units of some documents, their hashes, and the characters in each hash; see `units_part`."""
    fold = FOLDS.index(parameters["fold"])
    table = character_table()
    if parameters["kind"] == "sentences":
        units = cut_sentences(codes, bounds, sentence_classes(), table, abbreviations())
    else:
        units = cut_lines(codes, bounds, parameters["kind"] == "paragraphs")
    keys, chars = hash_units(codes, bounds, units, table, fold)
    if parameters["kind"] == "sentences":
        units, keys, chars = join_windows(units, keys, chars, parameters["window"])
    long = chars >= parameters["min_chars"]
    return units[long], keys[long], chars[long]


def _units(codes: Codes, bounds: Bounds, parameters: dict[str, Any], first_row: int) -> Any:
    units, keys, _ = find_units(codes, bounds, parameters)
    out = np.empty(len(units), UNIT)
    out["hash"], out["more"] = keys[:, 0], keys[:, 1]
    out["row"] = units[:, 0] + first_row
    out["start"], out["end"] = units[:, 1], units[:, 2]
    return out


def owners_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """What the keep order looks at, of the kept documents of one part: ``members.parquet``.

    Args:
        inputs: the kept documents; for the policy ``highest:<field>`` also the part before
            documents were dropped, its signals, and the final word on each of its documents.
        parameters: ``keep``.
        out: folder to write.

    Returns:
        ``{"documents"}``.
    """
    members = pq.read_table(inputs[0], columns=list(MEMBER_COLUMNS))
    alive = read_alive(inputs[3]) if len(inputs) > 3 else np.ones(members.num_rows, np.bool_)
    write_members(out / "members.parquet", members, keep=parameters["keep"], sources=inputs[1:3],
                  alive=alive)  # fmt: skip
    return {"documents": members.num_rows}


def rank_owners(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """The place of every document in the keep order: ``rank-00000.npy`` … (int64).

    Args:
        inputs: for each part ``members.parquet``.
        parameters: ``keep``, ``source_priority``.
        out: folder to write.

    Returns:
        ``{"documents"}``.

    Raises:
        UsageError: ``keep`` names a field that no document has.
    """
    check_field(inputs, parameters["keep"])
    tables = [pq.read_table(path).replace_schema_metadata(None) for path in inputs]
    members = pa.concat_tables([MEMBER_SCHEMA.empty_table(), *tables])
    sizes = [table.num_rows for table in tables]
    del tables
    order = keep_order(members, np.zeros(len(members), np.int8), keep=parameters["keep"],
                       source_priority=parameters["source_priority"])  # fmt: skip
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    for number, some in enumerate(np.split(rank, np.cumsum(sizes)[:-1])):
        np.save(out / f"rank-{number:05d}.npy", some)
    return {"documents": len(rank)}


def equal_units(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Which units of a range of hashes repeat an earlier one: ``found-00000.parquet`` ….

    Args:
        inputs: for each part ``units.npy``, then for each its ranks, then for each
            ``members.parquet``.
        parameters: ``range`` and ``ranges`` (a power of two): which of how many; the fewest
            documents that must hold a unit (``min_documents``); whether occurrences in one document
            count as well (``within``); whether the first one stays (``keep_first``).
        out: folder to write.

    Returns:
        ``{"units", "repeated", "found"}``: units looked at, those that are equal to another, those
        that are duplicates.
    """
    parts = len(inputs) // 3
    units, part = _in_range(inputs[:parts], parameters["range"], parameters["ranges"])
    looked_at = len(units)
    order = np.argsort(units["hash"], kind="stable")
    sizes = np.diff(group_bounds(units["hash"][order]))
    order = order[np.repeat(sizes > 1, sizes)]
    units, part = units[order], part[order]
    rank = np.empty(len(units), np.int64)
    for number in np.unique(part).tolist():
        mine = part == number
        rank[mine] = np.load(inputs[parts + number], mmap_mode="r")[units["row"][mine]]
    order = np.lexsort((units["start"], rank, units["more"], units["hash"]))
    units, part, rank = units[order], part[order], rank[order]
    first, documents = _firsts(units, rank)
    again = documents >= parameters["min_documents"]
    places = np.arange(len(units))
    if parameters["keep_first"]:
        again &= places != first if parameters["within"] else rank != rank[first]
    elif parameters["within"]:
        again &= np.bincount(first, minlength=len(units))[first] > 1
    # A unit never takes anything from the one that it repeats.
    same = (rank == rank[first]) & (places != first) & parameters["keep_first"]
    start = np.where(same, np.maximum(units["start"], units["end"][first]), units["start"])
    again &= start < units["end"]
    ids = _first_ids(inputs[2 * parts :], part, units["row"], first[again])
    found = units[again]
    write_found(out, parts, part[again],
                {"row": found["row"], "start": start[again].astype(np.int64),
                 "end": found["end"].astype(np.int64), "hash": _hex(found), "first_id": ids,
                 "documents": documents[again]})  # fmt: skip
    return {"units": looked_at, "repeated": len(units), "found": int(again.sum())}


def _in_range(paths: list[Path], number: int, ranges: int) -> tuple[Any, npt.NDArray[np.int32]]:
    """The units of one range of hashes, and the part of each."""
    width = (1 << 64) // ranges
    found, owner = [np.empty(0, UNIT)], [np.empty(0, np.int32)]
    for part, path in enumerate(paths):
        file = np.load(path, mmap_mode="r")
        low, high = (
            len(file) if edge >= 1 << 64 else
            bisect.bisect_left(file, edge, key=lambda unit: int(unit["hash"]))
            for edge in (number * width, (number + 1) * width)
        )  # fmt: skip
        found.append(np.array(file[low:high]))
        owner.append(np.full(high - low, part, np.int32))
    return np.concatenate(found), np.concatenate(owner)


def _firsts(units: Any, rank: I64) -> tuple[I64, I64]:
    """For each unit (sorted) the place of the first equal one, and the documents of its group."""
    new = np.ones(len(units), np.bool_)
    new[1:] = (units["hash"][1:] != units["hash"][:-1]) | (units["more"][1:] != units["more"][:-1])
    starts = np.flatnonzero(new)
    group = np.cumsum(new) - 1
    other = new.copy()
    other[1:] |= rank[1:] != rank[:-1]
    documents = np.bincount(group, weights=other, minlength=len(starts)).astype(np.int64)
    return starts[group], documents[group]


def _first_ids(paths: list[Path], part: Any, rows: Any, first: I64) -> pa.Array:
    """The ids of the documents of some units."""
    ids = np.empty(len(first), object)
    owner = part[first]
    for number in np.unique(owner).tolist():
        mine = owner == number
        known = pq.read_table(paths[number], columns=["id"]).column("id").combine_chunks()
        ids[mine] = known.take(pa.array(rows[first[mine]])).to_numpy(zero_copy_only=False)
    return pa.array(ids, pa.string())


def write_found(out: Path, parts: int, part: Any, columns: dict[str, Any]) -> None:
    """Write ``found-00000.parquet`` … of some spans.

    Args:
        out: the folder.
        parts: how many parts there are.
        part: the part of each span.
        columns: those of FOUND_SCHEMA.
    """
    table = pa.table({name: columns[name] for name in FOUND_SCHEMA.names}, schema=FOUND_SCHEMA)
    order = np.lexsort((columns["end"], columns["start"], columns["row"], part))
    table = table.take(pa.array(order))
    edges = np.searchsorted(part[order], np.arange(parts + 1))
    for number in range(parts):
        path = out / f"found-{number:05d}.parquet"
        with PartWriter(path, FOUND_SCHEMA, intermediate=True) as writer:
            writer.write(table.slice(edges[number], edges[number + 1] - edges[number]))


def _hex(units: Any) -> pa.Array:
    """The hashes of units, 32 hex digits each."""
    joined = np.column_stack([units["hash"], units["more"]]).astype(">u8").tobytes().hex()
    return pa.array(np.frombuffer(joined.encode(), "S32").astype(str), pa.string())


def read_found(paths: list[Path]) -> pa.Table:
    """The duplicate spans of one part, from all ranges, in the order of the text."""
    tables = [pq.read_table(path).cast(FOUND_SCHEMA) for path in paths]
    table = pa.concat_tables([FOUND_SCHEMA.empty_table(), *tables])
    keys = [(name, "ascending") for name in ("row", "start", "end", "hash")]
    return table.take(pc.sort_indices(table, sort_keys=keys)).combine_chunks()
