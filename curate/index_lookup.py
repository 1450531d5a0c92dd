"""Documents that an index of earlier runs holds already, and what a run adds to it; tasks.

against_exact    text hashes of a part, a segment   matched.parquet, alive.npy
against_near     signatures of a part, a segment    matched.parquet, alive.npy
combine_matches  those of a part                    index.parquet
segment_part     kept documents of a part           ids.parquet, hashes.npy, band-*.npy, …
join_segment     those of all parts                 the files of a segment
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import iterate, write_part

from .clusters import read_alive
from .exact import read_text_hashes
from .minhash import check_signatures, ragged_values, signature_values
from .resemble import SketchParts, similarities
from .sketch import band_hashes

MATCHED_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("kept_id", pa.string(), nullable=False),
        pa.field("how", pa.string(), nullable=False),
        pa.field("jaccard", pa.float64(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
    ]
)
"""A row for every document that an earlier run holds already: ``kept_id`` (and ``cluster``) is the
document there, ``run`` its run in the index, ``how`` is ``index_exact`` or ``index_near``."""

MAX_CANDIDATES: Final = 32
"""Documents of the index with the same band hash that a document is compared with."""
_BLOCK: Final = 1 << 16  # pairs compared at a time: 128 MiB of sketches

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


def against_exact(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Documents of a part whose text a segment holds: ``matched.parquet``, ``alive.npy``.

    Args:
        inputs: signals of the part, who takes part, then ``ids.parquet``, ``hashes.npy`` and
            ``hash-rows.npy`` of the segment.
        parameters: ``run``.
        out: folder to write.

    Returns:
        ``{"documents", "matched"}``.
    """
    alive = read_alive(inputs[1]).copy()
    mine = read_text_hashes(inputs[0])
    known, rows = np.load(inputs[3], mmap_mode="r"), np.load(inputs[4], mmap_mode="r")
    documents = np.flatnonzero(alive)
    # Sorted by the first half of the hash; equal first halves by the second.
    at = np.searchsorted(known[0], mine[documents, 0])
    twin = np.full(len(documents), -1, np.int64)
    while True:
        open_ = np.flatnonzero((twin < 0) & (at < known.shape[1]))
        open_ = open_[known[0][at[open_]] == mine[documents[open_], 0]]
        if not len(open_):
            break
        same = known[1][at[open_]] == mine[documents[open_], 1]
        twin[open_[same]] = rows[at[open_[same]]]
        at[open_] += 1
    found = np.flatnonzero(twin >= 0)
    ids = pq.read_table(inputs[0], columns=["id"]).column("id").combine_chunks()
    _write_matches(out, (ids, alive, documents[found]), twin[found], np.ones(len(found)),
                   (inputs[2], parameters["run"], "index_exact"))  # fmt: skip
    return {"documents": len(documents), "matched": len(found)}


def _write_matches(out: Path, part: tuple[pa.Array, npt.NDArray[np.bool_], I64], twins: Any,
                   jaccard: F64, known: tuple[Path, str, str]) -> None:  # fmt: skip
    ids, alive, rows = part
    alive[rows] = False
    np.save(out / "alive.npy", alive)
    path, run, how = known
    there = _ids(path, np.asarray(twins, np.int64))
    columns = {"id": ids.take(pa.array(rows)), "cluster": there, "kept_id": there,
               "how": pa.array([how] * len(rows), pa.string()), "jaccard": jaccard,
               "run": pa.array([run] * len(rows), pa.string())}  # fmt: skip
    write_part(out / "matched.parquet", pa.table(columns, schema=MATCHED_SCHEMA))


def _ids(path: Path, rows: I64) -> pa.Array:
    """The ids of some documents of a segment, row group by row group."""
    wanted, back = np.unique(rows, return_inverse=True)
    found = [pa.array([], pa.string())]
    start = 0
    for batch in iterate([path], batch_rows=1 << 16):
        low, high = np.searchsorted(wanted, [start, start + batch.num_rows])
        found.append(batch.column("id").take(pa.array(wanted[low:high] - start)))
        start += batch.num_rows
    return pa.concat_arrays(found).take(pa.array(back))


def against_near(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Documents of a part that resemble one of a segment: ``matched.parquet``, ``alive.npy``.

    Each is matched with the document of the segment that it resembles most; ties go to the smaller
    id. Candidates agree in a band, :data:`MAX_CANDIDATES` of each band at most.

    Args:
        inputs: ``signatures.parquet``, who takes part, then of the segment ``ids.parquet``,
            ``sketches.bin``, ``bounds.npy``, then the hashes of each band, then their rows.
        parameters: those of the signatures, ``bands``, ``min_jaccard``, ``run``.
        out: folder to write.

    Returns:
        ``{"documents", "compared", "matched"}``.
    """
    check_signatures(inputs[0], parameters)
    alive = read_alive(inputs[1]).copy()
    known = SketchParts([inputs[3]], [inputs[4]])
    bands = parameters["bands"]
    least = 0.0 if parameters["min_jaccard"] is None else parameters["min_jaccard"]
    rows, twins = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    alike = [np.empty(0)]
    names = [pa.array([], pa.string())]
    start = compared = documents = 0
    for batch in iterate([inputs[0]], columns=["id", "n_tokens", "signature", "sketch"]):
        names.append(batch.column("id"))
        some = np.flatnonzero(
            alive[start : start + batch.num_rows] & (batch.column("n_tokens").to_numpy() > 0)
        )
        documents += len(some)
        values = signature_values(batch.column("signature"), parameters["permutations"])[some]
        pairs = _candidates(band_hashes(values, bands=bands), inputs[5:], bands)
        compared += len(pairs)
        # Rows of the segment are in the order of ids: the first of the best is the smallest.
        mine, theirs, jaccard = _best(
            batch.column("sketch"), some[pairs[:, 0]], known, pairs[:, 1], least
        )
        rows.append(mine + start)
        twins.append(theirs)
        alike.append(jaccard)
        start += batch.num_rows
    part = (pa.concat_arrays(names), alive, np.concatenate(rows))
    _write_matches(out, part, np.concatenate(twins), np.concatenate(alike),
                   (inputs[2], parameters["run"], "index_near"))  # fmt: skip
    return {"documents": documents, "compared": compared, "matched": len(part[2])}


def _candidates(hashes: npt.NDArray[np.uint64], files: list[Path], bands: int) -> I64:
    """Pairs of (document, row of the segment) that agree in a band, sorted, int64 ``[P, 2]``."""
    found = [np.empty((0, 2), np.int64)]
    for band in range(bands):
        known = np.load(files[band], mmap_mode="r")
        rows = np.load(files[bands + band], mmap_mode="r")
        low = np.searchsorted(known, hashes[band])
        high = np.searchsorted(known, hashes[band], side="right")
        counts = np.minimum(high - low, MAX_CANDIDATES)
        document = np.repeat(np.arange(hashes.shape[1]), counts)
        within = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
        row = rows[np.repeat(low, counts) + within].astype(np.int64)
        found.append(np.column_stack([document, row]))
    return np.unique(np.concatenate(found), axis=0)


def _best(column: pa.Array, mine: I64, known: SketchParts, theirs: I64,
          least: float) -> tuple[I64, I64, F64]:  # fmt: skip
    """For each document that resembles one: its row, the row of that, and how alike they are."""
    alike = [np.empty(0)]
    for start in range(0, len(mine), _BLOCK):
        some = slice(start, start + _BLOCK)
        first = ragged_values(column.take(pa.array(mine[some])))
        alike.append(similarities(*first, *known.take(theirs[some]), least))
    jaccard = np.concatenate(alike)
    good = np.flatnonzero(jaccard >= 0)
    order = good[np.lexsort((theirs[good], -jaccard[good], mine[good]))]
    _, first_of = np.unique(mine[order], return_index=True)
    chosen = order[first_of]
    return mine[chosen], theirs[chosen], jaccard[chosen]


def combine_matches(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """The matches of a part in one file, by id: ``index.parquet``.

    Args:
        inputs: its ``matched.parquet`` files.
        parameters: none.
        out: folder to write.

    Returns:
        ``{"matched": {how: n}}``.
    """
    table = pa.concat_tables([pq.read_table(path).cast(MATCHED_SCHEMA) for path in inputs])
    table = table.take(pc.sort_indices(table, sort_keys=[("id", "ascending")]))
    write_part(out / "index.parquet", table)
    counted = {row["values"]: row["counts"] for row in table["how"].value_counts().to_pylist()}
    return {"matched": dict(sorted(counted.items()))}


def segment_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """What an index needs of the kept documents of one part.

    Args:
        inputs: the kept documents, the signals of the part if ``exact``, then its signatures if
            ``near``.
        parameters: ``exact``, ``near``; if near those of the signatures, and ``bands``.
        out: gets ``ids.parquet``; ``hashes.npy``; ``bands.npy`` (uint64 ``[bands, D]``),
            ``sketches.bin`` and ``bounds.npy``.

    Returns:
        ``{"documents"}``.
    """
    ids = pq.read_table(inputs[0], columns=["id"])
    wanted = ids.column("id").combine_chunks()
    write_part(out / "ids.parquet", ids)
    if parameters["exact"]:
        known = pq.read_table(inputs[1], columns=["id"]).column("id").combine_chunks()
        np.save(out / "hashes.npy", read_text_hashes(inputs[1])[_places(wanted, known)])
    if parameters["near"]:
        check_signatures(inputs[-1], parameters)
        hashes = [np.empty((parameters["bands"], 0), np.uint64)]
        sizes = [np.empty(0, np.int64)]
        with (out / "sketches.bin").open("wb") as stream:
            for whole in iterate([inputs[-1]], columns=["id", "n_tokens", "signature", "sketch"]):
                batch = whole.filter(pc.is_in(whole.column("id"), value_set=wanted))
                values = signature_values(batch.column("signature"), parameters["permutations"])
                some = band_hashes(values, bands=parameters["bands"])
                # Without a token there is nothing to compare; no band hash of theirs is looked up.
                some[:, batch.column("n_tokens").to_numpy() == 0] = 0
                hashes.append(some)
                sketch, bounds = ragged_values(batch.column("sketch"))
                stream.write(np.ascontiguousarray(sketch, "<u4").data)
                sizes.append(np.diff(bounds))
        np.save(out / "bands.npy", np.concatenate(hashes, axis=1))
        np.save(out / "bounds.npy", np.concatenate([[0], np.cumsum(np.concatenate(sizes))]))
    return {"documents": len(wanted)}


def _places(wanted: pa.Array, known: pa.Array) -> I64:
    places: I64 = pc.index_in(wanted, value_set=known).to_numpy(zero_copy_only=False)
    return places.astype(np.int64)


def join_segment(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """The files of a segment, documents in the order of their ids.

    Args:
        inputs: ``ids.parquet`` of each part; ``hashes.npy`` of each if ``exact``; ``bands.npy``,
            ``sketches.bin``, ``bounds.npy`` of each if ``near``.
        parameters: ``exact``, ``near``, ``bands``, ``parts``.
        out: folder to write.

    Returns:
        ``{"documents"}``.
    """
    parts = parameters["parts"]
    files = [inputs[at : at + parts] for at in range(0, len(inputs), parts)]
    ids = pa.concat_tables([pq.read_table(path) for path in files[0]])
    order = pc.sort_indices(ids, sort_keys=[("id", "ascending")]).to_numpy().astype(np.int64)
    write_part(out / "ids.parquet", ids.take(pa.array(order)))
    row = np.empty(len(order), np.uint32)
    row[order] = np.arange(len(order), dtype=np.uint32)
    at = 1
    if parameters["exact"]:
        hashes = np.concatenate([np.load(path) for path in files[at]])
        by = np.lexsort((row, hashes[:, 1], hashes[:, 0]))
        np.save(out / "hashes.npy", np.ascontiguousarray(hashes[by].T))
        np.save(out / "hash-rows.npy", row[by])
        at += 1
    if parameters["near"]:
        _join_bands(files[at], row, parameters["bands"], out)
        _join_sketches(SketchParts(files[at + 1], files[at + 2]), order, out)
    return {"documents": len(order)}


def _join_bands(paths: list[Path], row: npt.NDArray[np.uint32], bands: int, out: Path) -> None:
    for band in range(bands):
        hashes = np.concatenate([np.load(path, mmap_mode="r")[band] for path in paths])
        real = np.flatnonzero(hashes)
        by = real[np.lexsort((row[real], hashes[real]))]
        np.save(out / f"band-{band:02d}.npy", hashes[by])
        np.save(out / f"band-rows-{band:02d}.npy", row[by])


def _join_sketches(parts: SketchParts, order: I64, out: Path) -> None:
    sizes = [np.zeros(1, np.int64)]
    with (out / "sketches.bin").open("wb") as stream:
        for start in range(0, len(order), _BLOCK):
            values, bounds = parts.take(order[start : start + _BLOCK])
            stream.write(np.ascontiguousarray(values, "<u4").data)
            sizes.append(np.diff(bounds))
    np.save(out / "bounds.npy", np.cumsum(np.concatenate(sizes)))
