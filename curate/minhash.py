"""Near duplicates: signatures of parts, band files of parts, pairs of a band. Tasks over files.

    signature_part    document table                     signatures.parquet
    band_part         signatures.parquet, who is in      members.parquet, signatures.npy, band-*.npy
    reduce_band       one band and signatures, all parts edges.npy
    clusters.cluster  edges of all bands                 documents.parquet

Documents are numbered over all parts in order, rows in order, those in only. Two documents that
agree in all rows of a band are a candidate pair; at similarity ``s`` they are found with
probability ``1 - (1 - s^rows)^bands``. A group of equal band hashes becomes stars, not cliques: its
first document is compared with the others, those that resemble it (``min_jaccard``, estimated from
the whole signatures) are its leaves, the rest go on among themselves.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import PartWriter, iterate, write_part
from yanmo.errors import DataError

from .clusters import (
    MEMBER_COLUMNS,
    SignatureParts,
    batches,
    group_bounds,
    least_matches,
    read_alive,
)
from .sketch import band_hashes, signatures
from .utf8 import kernel

SCHEME: Final = "affine32"
SKETCH_KEYS: Final = ("shingle_tokens", "permutations", "seed")
METADATA_KEY: Final = b"yanmo.minhash"
BAND_DTYPE: Final = np.dtype([("hash", "<u8"), ("row", "<u4")])

# Centres tried in one group of equal band hashes. Documents that resemble none of them are not
# linked by this band; a group holds that many unlike documents only by boilerplate.
MAX_CENTRES: Final = 32

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


def signature_schema(parameters: dict[str, Any]) -> pa.Schema:
    """Schema of ``signatures.parquet``; its metadata says how the signatures were made."""
    made = {"scheme": SCHEME, **{name: parameters[name] for name in SKETCH_KEYS}}
    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("timestamp", pa.string()),
        pa.field("n_chars", pa.int64(), nullable=False),
        pa.field("n_tokens", pa.int64(), nullable=False),
        pa.field("signature", pa.binary(4 * parameters["permutations"]), nullable=False),
    ]
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(made, sort_keys=True)})


def signature_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """MinHash signatures of one part: ``signatures.parquet``.

    Args:
        inputs: the part (document table).
        parameters: ``shingle_tokens``, ``permutations``, ``seed``.
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
            )
            columns = {name: batch.column(name) for name in MEMBER_COLUMNS}
            columns["n_tokens"] = pa.array(n_tokens)
            columns["signature"] = _as_binary(values)
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


def read_signatures(path: Path, parameters: dict[str, Any]) -> tuple[pa.Table, U32]:
    """Read ``signatures.parquet``.

    Returns:
        All columns but the signature, and the signatures (uint32 ``[rows, permutations]``).

    Raises:
        DataError: the file was made with other parameters.
    """
    table = pq.read_table(path)
    wanted = signature_schema(parameters).metadata[METADATA_KEY]
    made = (table.schema.metadata or {}).get(METADATA_KEY)
    if made != wanted:
        raise DataError("the signatures were made with other settings", where=path,
                        value=made and made.decode(),
                        fix=f"Expected {wanted.decode()}.")  # fmt: skip
    column = table.column("signature").combine_chunks()
    data = column.buffers()[1]
    width = parameters["permutations"]
    flat = np.frombuffer(data or b"", "<u4")[column.offset * width :][: len(column) * width]
    return table.drop_columns(["signature"]), flat.reshape(-1, width)


def band_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Band hashes of one part, sorted, and what later steps need of its documents.

    Writes ``band-00.npy`` … (BAND_DTYPE, sorted by hash, then row), ``signatures.npy`` and
    ``members.parquet``, all of the documents that take part, numbered from 0. Documents without
    tokens have nothing to compare and are in no band.

    Args:
        inputs: ``signatures.parquet``, then optionally who takes part
            (:func:`yanmo.curate.clusters.read_alive`).
        parameters: those of the signatures, and ``bands`` (it divides ``permutations``).
        out: folder to write.

    Returns:
        ``{"documents", "without_tokens"}``.

    Raises:
        DataError: made with other settings, or the files differ in their rows.
    """
    members, values = read_signatures(inputs[0], parameters)
    for path in inputs[1:]:
        alive = read_alive(path)
        if len(alive) != members.num_rows:
            raise DataError("not as many rows as signatures", where=path, value=len(alive),
                            fix=f"Expected {members.num_rows}.")  # fmt: skip
        members, values = members.filter(pa.array(alive)), values[alive]
    np.save(out / "signatures.npy", values)
    write_part(out / "members.parquet", members.select(list(MEMBER_COLUMNS)))
    rows = np.flatnonzero(pc.greater(members.column("n_tokens"), 0).to_numpy())
    hashes = band_hashes(values[rows], bands=parameters["bands"])
    for band, column in enumerate(hashes):
        order = np.argsort(column, kind="stable")
        entries = np.empty(len(rows), BAND_DTYPE)
        entries["hash"], entries["row"] = column[order], rows[order]
        np.save(out / band_name(band), entries)
    return {"documents": len(values), "without_tokens": len(values) - len(rows)}


def band_name(band: int) -> str:
    """File name of a band."""
    return f"band-{band:02d}.npy"


def reduce_band(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Pairs found by one band: ``edges.npy``, uint32 ``[pairs, 3]``.

    A row is two global document numbers and how many of their signature values are equal.

    Args:
        inputs: the file of this band of each part, then ``signatures.npy`` of each part.
        parameters: ``min_jaccard`` (``None`` links every candidate).
        out: folder to write.

    Returns:
        ``{"groups", "members", "edges", "largest"}``: groups of equal hashes with two documents
        and more, documents in them, pairs written, size of the largest group.
    """
    parts = len(inputs) // 2
    signature_parts = SignatureParts(inputs[parts:])
    files = [np.load(path, mmap_mode="r") for path in inputs[:parts]]
    starts = signature_parts.starts.tolist()
    hashes = np.concatenate([file["hash"] for file in files])
    rows = np.concatenate([f["row"] + np.uint32(s) for f, s in zip(files, starts, strict=False)])
    # Each file is sorted by hash and row, so a stable sort leaves equal hashes in global order.
    order = np.argsort(hashes, kind="stable")
    hashes, rows = hashes[order], rows[order]
    del order
    sizes = np.diff(group_bounds(hashes))
    rows = rows[np.repeat(sizes > 1, sizes)]
    bounds = np.concatenate([[0], np.cumsum(sizes[sizes > 1])]).astype(np.int64)
    least = least_matches(parameters["min_jaccard"], signature_parts.permutations)
    edges: list[U32] = []
    for first, last in batches(bounds):
        some = rows[bounds[first] : bounds[last]]
        local = bounds[first : last + 1] - bounds[first]
        pairs = _stars(signature_parts.take(some), local, least)
        pairs[:, 0], pairs[:, 1] = some[pairs[:, 0]], some[pairs[:, 1]]
        edges.append(pairs)
    joined = np.concatenate(edges) if edges else np.empty((0, 3), np.uint32)
    np.save(out / "edges.npy", joined)
    return {
        "groups": len(bounds) - 1,
        "members": len(rows),
        "edges": len(joined),
        "largest": int(sizes.max(initial=0)),
    }


@kernel
def _stars(signature: U32, bounds: I64, least: int) -> U32:
    # Every document is a leaf at most once.
    out = np.empty((len(signature), 3), np.uint32)
    leaf = np.zeros(len(signature), np.bool_)
    n = 0
    for group in range(len(bounds) - 1):
        stop = bounds[group + 1]
        centres = 0
        for centre in range(bounds[group], stop):
            if leaf[centre]:
                continue
            if centres == MAX_CENTRES:
                break
            centres += 1
            for other in range(centre + 1, stop):
                if leaf[other]:
                    continue
                equal = 0
                for p in range(signature.shape[1]):
                    equal += signature[centre, p] == signature[other, p]
                if equal >= least:
                    leaf[other] = True
                    out[n, 0], out[n, 1], out[n, 2] = centre, other, equal
                    n += 1
    return out[:n]
