"""Near duplicates: signatures of parts, band files of parts, pairs of a band. Tasks over files.

    signature_part    document table                     signatures.parquet
    band_part         signatures.parquet, who is in      members.parquet, sketches.bin, bounds.npy,
                                                         band-*.npy
    reduce_band       some bands and sketches, all parts edges.npy
    clusters.cluster  edges of all bands                 documents.parquet

Documents are numbered over all parts in order, rows in order, those in only. Two documents that
agree in all rows of a band are a candidate pair; at similarity ``s`` of their token shingles they
are found with probability ``1 - (1 - s^rows)^bands``. A group of equal band hashes becomes stars,
not cliques: a document is linked to the first centre of the group that it resembles
(:mod:`yanmo.curate.resemble`); one that resembles none is the centre of a new star. They are taken
in an order made of their content, so that the result does not hang on the order of the parts.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import PartWriter, iterate
from yanmo.errors import DataError

from .clusters import group_bounds, read_alive
from .keep import MEMBER_COLUMNS, write_members
from .resemble import SKETCH, SketchParts, fingerprints, lead, sketches
from .sketch import band_hashes, signatures

SCHEME: Final = "affine32"
SKETCH_KEYS: Final = ("shingle", "shingle_tokens", "permutations", "seed")
METADATA_KEY: Final = b"yanmo.minhash"
BAND_DTYPE: Final = np.dtype([("hash", "<u8"), ("row", "<u4")])

# Centres that a document of a group of equal band hashes is compared with. Only boilerplate gives
# a group more that are all unlike; what one band misses there, the others find.
MAX_CENTRES: Final = 32

# Entries of bands that a task sorts at least: a quarter of a second of work.
BAND_ENTRIES: Final = 1 << 18

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


def signature_schema(parameters: dict[str, Any]) -> pa.Schema:
    """Schema of ``signatures.parquet``; its metadata says how the signatures were made."""
    made = {"scheme": SCHEME, "sketch": SKETCH}
    made |= {name: parameters[name] for name in SKETCH_KEYS}
    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("timestamp", pa.string()),
        pa.field("n_chars", pa.int64(), nullable=False),
        pa.field("n_tokens", pa.int64(), nullable=False),
        pa.field("signature", pa.binary(4 * parameters["permutations"]), nullable=False),
        pa.field("sketch", pa.large_binary(), nullable=False),
    ]
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(made, sort_keys=True)})


def signature_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """MinHash signatures and sketches of one part: ``signatures.parquet``.

    Args:
        inputs: the part (document table).
        parameters: ``shingle``, ``shingle_tokens``, ``permutations``, ``seed``.
        out: folder to write.

    Returns:
        ``{"rows", "tokens", "without_tokens"}``.
    """
    schema = signature_schema(parameters)
    rows = tokens = empty = 0
    with PartWriter(out / "signatures.parquet", schema, intermediate=True) as writer:
        for batch in iterate(inputs, columns=[*MEMBER_COLUMNS, "text"]):
            values, n_tokens = signatures(
                batch.column("text"),
                k=parameters["shingle_tokens"],
                count=parameters["permutations"],
                seed=parameters["seed"],
                shingle=parameters["shingle"],
            )
            columns = {name: batch.column(name) for name in MEMBER_COLUMNS}
            columns["n_tokens"] = pa.array(n_tokens)
            columns["signature"] = _as_binary(values)
            columns["sketch"] = _as_ragged(*sketches(batch.column("text")))
            table = pa.table([columns[name] for name in schema.names], schema.names)
            writer.write(table)
            rows += len(n_tokens)
            tokens += int(n_tokens.sum())
            empty += int((n_tokens == 0).sum())
    return {"rows": rows, "tokens": tokens, "without_tokens": empty}


def _as_binary(values: U32) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values, "<u4"))
    width = pa.binary(4 * values.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(width, len(values), [None, data])


def _as_ragged(values: U32, bounds: I64) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values, "<u4"))
    offsets = pa.py_buffer(4 * bounds)
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(bounds) - 1,
                                            [None, offsets, data])  # fmt: skip


def check_signatures(path: Path, parameters: dict[str, Any]) -> None:
    """Refuse a ``signatures.parquet`` that was made with other settings.

    Raises:
        DataError: it was.
    """
    wanted = signature_schema(parameters).metadata[METADATA_KEY]
    made = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    if made != wanted:
        raise DataError("the signatures were made with other settings", where=path,
                        value=made and made.decode(),
                        fix=f"Expected {wanted.decode()}.")  # fmt: skip


def signature_values(column: pa.Array, width: int) -> U32:
    """The signatures of a column, uint32 ``[D, width]``, without a copy."""
    flat = np.frombuffer(column.buffers()[1] or b"", "<u4")
    return flat[column.offset * width :][: len(column) * width].reshape(-1, width)


def ragged_values(column: pa.LargeBinaryArray) -> tuple[U32, I64]:
    """The sketches of a column, back to back without a copy, and their bounds."""
    sizes = pc.binary_length(column).to_numpy(zero_copy_only=False).astype(np.int64) // 4
    return np.frombuffer(_data(column), "<u4"), np.concatenate([[0], np.cumsum(sizes)])


def band_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Band hashes of one part, sorted, and what later steps need of its documents.

    Writes ``band-00.npy`` … (BAND_DTYPE, sorted by hash, then row), the sketches (``sketches.bin``,
    ``bounds.npy``: :class:`yanmo.curate.resemble.SketchParts`) and ``members.parquet``, all of the
    documents that take part, numbered from 0. Documents without tokens have nothing to compare and
    are in no band.

    Args:
        inputs: ``signatures.parquet``, then optionally who takes part
            (:func:`yanmo.curate.clusters.read_alive`), then, for the policy ``highest:<field>``,
            the document table and the signals of the part.
        parameters: those of the signatures, ``bands`` (it divides ``permutations``), and optionally
            ``keep``.
        out: folder to write.

    Returns:
        ``{"documents", "without_tokens"}``.

    Raises:
        DataError: made with other settings, or the files differ in their rows.
    """
    check_signatures(inputs[0], parameters)
    rows = pq.read_metadata(inputs[0]).num_rows
    alive = read_alive(inputs[1]) if len(inputs) > 1 else np.ones(rows, np.bool_)
    if len(alive) != rows:
        raise DataError("not as many rows as signatures", where=inputs[1], value=len(alive),
                        fix=f"Expected {rows}.")  # fmt: skip
    members, sizes, hashes = _take_part(inputs[0], alive, parameters, out / "sketches.bin")
    np.save(out / "bounds.npy", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
    write_members(out / "members.parquet", members, keep=parameters.get("keep", ""),
                  sources=inputs[2:], alive=alive)  # fmt: skip
    found = np.flatnonzero(pc.greater(members.column("n_tokens"), 0).to_numpy())
    for band, column in enumerate(hashes[:, found]):
        order = np.argsort(column, kind="stable")
        entries = np.empty(len(found), BAND_DTYPE)
        entries["hash"], entries["row"] = column[order], found[order]
        np.save(out / band_name(band), entries)
    return {"documents": len(sizes), "without_tokens": len(sizes) - len(found)}


def _take_part(
    path: Path, alive: npt.NDArray[np.bool_], parameters: dict[str, Any], sketch_file: Path
) -> tuple[pa.Table, I64, npt.NDArray[np.uint64]]:
    """Members, lengths of their sketches (written to a file), their band hashes ``[bands, D]``."""
    empty = signature_schema(parameters).remove_metadata().empty_table()
    members = [empty.drop_columns(["signature", "sketch"])]
    sizes = [np.empty(0, np.int64)]
    hashes = [np.empty((parameters["bands"], 0), np.uint64)]
    start = 0
    with sketch_file.open("wb") as stream:
        for whole in iterate([path]):
            batch = whole.filter(pa.array(alive[start : start + whole.num_rows]))
            start += whole.num_rows
            table = pa.Table.from_batches([batch]).replace_schema_metadata(None)
            members.append(table.drop_columns(["signature", "sketch"]))
            column = batch.column("sketch")
            sizes.append(pc.binary_length(column).to_numpy() // 4)
            stream.write(_data(column))
            values = signature_values(batch.column("signature"), parameters["permutations"])
            hashes.append(band_hashes(values, bands=parameters["bands"]))
    return pa.concat_tables(members), np.concatenate(sizes), np.concatenate(hashes, axis=1)


def _data(column: pa.LargeBinaryArray) -> memoryview:
    """The bytes of all values back to back, without a copy."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets or b"", "<i8")[column.offset :][: len(column) + 1]
    return memoryview(data or b"")[ends[0] : ends[-1]] if len(column) else memoryview(b"")


def band_name(band: int) -> str:
    """File name of a band."""
    return f"band-{band:02d}.npy"


def bands_a_task(documents: int, bands: int) -> int:
    """How many bands one task reduces: for few documents a task costs more than its work.

    Args:
        documents: that take part.
        bands: of a signature.
    """
    return max(1, min(bands, BAND_ENTRIES // max(documents, 1)))


def reduce_band(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Pairs found by some bands: ``edges.npy``, uint32 ``[pairs, 2]`` of global document numbers.

    Args:
        inputs: for each of the bands its file of each part, then ``sketches.bin`` of each part,
            then ``bounds.npy`` of each part.
        parameters: ``min_jaccard`` (``None`` links every candidate), ``bands`` (how many; one if it
            is not there).
        out: folder to write.

    Returns:
        ``{"groups", "members", "edges", "largest"}``: groups of equal hashes with two documents
        and more, documents in them, pairs written, size of the largest group.
    """
    bands = parameters.get("bands", 1)
    parts = len(inputs) // (bands + 2)
    known = SketchParts(inputs[bands * parts : -parts], inputs[-parts:])
    total = {"groups": 0, "members": 0, "edges": 0, "largest": 0}
    found = []
    for first in range(0, bands * parts, parts):
        rows, group, largest = _shared(inputs[first : first + parts], known.starts)
        # Which one becomes a centre must not hang on the order of the parts.
        rows = rows[np.lexsort((fingerprints(known, rows), group))]
        centre, _ = lead(known, rows, group, min_jaccard=parameters["min_jaccard"],
                         limit=MAX_CENTRES)  # fmt: skip
        leaves = np.flatnonzero(centre != np.arange(len(centre)))
        found.append(np.column_stack([rows[centre[leaves]], rows[leaves]]).astype(np.uint32))
        total["groups"] += int(group[-1]) + 1 if len(group) else 0
        total["members"] += len(rows)
        total["edges"] += len(leaves)
        total["largest"] = max(total["largest"], largest)
    np.save(out / "edges.npy", np.concatenate(found))
    return total


def _shared(paths: list[Path], starts: I64) -> tuple[I64, I64, int]:
    """Documents whose hash is not theirs alone, the groups of equal hashes, the largest's size."""
    files = [np.load(path, mmap_mode="r") for path in paths]
    hashes = np.concatenate([file["hash"] for file in files])
    rows = np.concatenate([f["row"] + np.uint32(s) for f, s in zip(files, starts, strict=False)])
    # Each file is sorted by hash and row, so a stable sort leaves equal hashes in global order.
    order = np.argsort(hashes, kind="stable")
    hashes, rows = hashes[order], rows[order]
    del order
    sizes = np.diff(group_bounds(hashes))
    shared = sizes[sizes > 1]
    rows = rows[np.repeat(sizes > 1, sizes)].astype(np.int64)
    return rows, np.repeat(np.arange(len(shared)), shared), int(sizes.max(initial=0))
