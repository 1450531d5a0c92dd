"""Check what was removed: the exact similarity of removed documents and those kept for them.

    choose_pairs    table of duplicates                 pairs.parquet
    verify_part     pairs, document table               ids.parquet, {char5,token5}.{bin,npy}
    verify_pairs    pairs, these of all parts           verify.json

The sets of 5-grams of characters and of tokens are made anew from the texts; neither signatures nor
sketches are looked at. Grams are compared by 32-bit hashes, of which two of a document of 100 000
are equal about once: similarities are exact to about 1e-5.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from yanmo.documents import PartWriter, iterate, write_part
from yanmo.files import write_json
from yanmo.stats import wilson

from .resemble import SketchParts, grams
from .sketch import shingles
from .utf8 import kernel

VERIFY_NAME: Final = "verify.json"
MEASURES: Final = ("char5", "token5")
PROMISED: Final = 0.7
"""Removed documents below this similarity are counted. Source: docs/duplicates.md."""
BINS: Final = 20
WORST: Final = 20  # pairs listed

_PIECE: Final = 1 << 24  # hashes in memory at a time on either side: 64 MiB
_ROUND: Final = 6  # decimals written

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


def choose_pairs(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Which removed documents are compared: ``pairs.parquet``, sorted by id.

    Args:
        inputs: the table of duplicates.
        parameters: ``documents``: how many, those whose id has the smallest XXH3 hash; ``None``
            takes all.
        out: folder to write.

    Returns:
        ``{"removed", "compared"}``.
    """
    table = pq.read_table(inputs[0], columns=["id", "kept_id", "how", "jaccard"])
    gone = table.filter(pc.not_equal(table["how"], "kept"))
    wanted = parameters["documents"]
    chosen = gone
    if wanted is not None and wanted < gone.num_rows:
        hashes = [xxhash.xxh3_64_intdigest(i.as_py().encode()) for i in gone["id"]]
        order = np.lexsort((np.arange(len(hashes)), np.array(hashes, np.uint64)))
        chosen = gone.take(pa.array(order[:wanted]))
    write_part(out / "pairs.parquet", chosen.sort_by("id"))
    return {"removed": gone.num_rows, "compared": chosen.num_rows}


def verify_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """The sets of grams of the documents of one part that are compared.

    Args:
        inputs: ``pairs.parquet``, the part (document table).
        parameters: ``shingle_tokens``.
        out: folder to write.

    Returns:
        ``{"documents"}``.
    """
    pairs = pq.read_table(inputs[0], columns=["id", "kept_id"])
    wanted = pa.chunked_array([*pairs["id"].chunks, *pairs["kept_id"].chunks], pa.string())
    wanted = wanted.combine_chunks().unique()
    bounds = {name: [np.zeros(1, np.int64)] for name in MEASURES}
    schema = pa.schema([pa.field("id", pa.string(), nullable=False)])
    streams = {name: (out / f"{name}.bin").open("wb") for name in MEASURES}
    with PartWriter(out / "ids.parquet", schema) as writer:
        for batch in iterate(inputs[1:], columns=["id", "text"], batch_rows=1024):
            some = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
            writer.write(some.select(["id"]))
            text = some.column("text")
            tokens = shingles(text, k=parameters["shingle_tokens"])[:2]
            for name, found in zip(MEASURES, (grams(text), tokens), strict=True):
                values, sizes = distinct_hashes(*found)
                values.tofile(streams[name])
                bounds[name].append(sizes)
    for name, stream in streams.items():
        stream.close()
        np.save(out / f"{name}.npy", np.cumsum(np.concatenate(bounds[name]), dtype=np.int64))
    return {"documents": len(np.load(out / "char5.npy")) - 1}


def verify_pairs(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Compare the pairs: ``verify.json``.

    Args:
        inputs: ``pairs.parquet``, then for each part ``ids.parquet``, ``char5.bin``, ``char5.npy``,
            ``token5.bin``, ``token5.npy``.
        parameters: ``removed`` (documents that were), ``min_jaccard``.
        out: folder to write.

    Returns:
        What ``verify.json`` holds (:func:`account`).
    """
    pairs = pq.read_table(inputs[0])
    files = [inputs[1 + n :: 5] for n in range(5)]
    ids = pa.chunked_array([c for path in files[0] for c in pq.read_table(path)["id"].chunks],
                           pa.string()).combine_chunks()  # fmt: skip
    first, second = (pc.index_in(pairs[name].combine_chunks(), value_set=ids).to_numpy()
                     for name in ("id", "kept_id"))  # fmt: skip
    found: dict[str, F64] = {}
    for n, name in enumerate(MEASURES):
        sets = SketchParts(files[1 + 2 * n], files[2 + 2 * n])
        found[name] = _compare(sets, first.astype(np.int64), second.astype(np.int64))
    result = account(pairs, found, **{k: parameters[k] for k in ("removed", "min_jaccard")})
    write_json(out / VERIFY_NAME, result)
    return result


def account(
    pairs: pa.Table, found: dict[str, F64], *, removed: int, min_jaccard: float | None
) -> dict[str, Any]:
    """What the similarities of the pairs say.

    Args:
        pairs: ``id``, ``kept_id``, ``how``, ``jaccard`` (as the run saw it).
        found: for each of MEASURES the exact similarity of each pair.
        removed: documents that were removed, compared or not.
        min_jaccard: threshold of the run.

    Returns:
        ``{"removed", "compared", "sampled", "min_jaccard", "char5", "token5", "worst"}``; of each
        measure the mean, the histogram (lower bound and pairs of 20 bins), and how many pairs lie
        below 0.7 and below ``min_jaccard``, with their share and its 95 % interval.
    """
    n = pairs.num_rows
    result: dict[str, Any] = {
        "removed": removed, "compared": n, "sampled": n < removed, "min_jaccard": min_jaccard
    }  # fmt: skip
    for name in MEASURES:
        values = found[name]
        # Rounded first: 0.7 is not below 0.7, and 0.15 lies in the bin that starts there.
        at = np.minimum(np.floor(np.round(values * BINS, 9)), BINS - 1).astype(np.int64)
        counts = np.bincount(at, minlength=BINS).tolist()
        result[name] = {
            "mean": round(float(values.mean()), _ROUND) if n else None,
            "histogram": [[round(i / BINS, 2), count] for i, count in enumerate(counts)],
            "below_0.7": _below(values, PROMISED),
            "below_min_jaccard": None if min_jaccard is None else _below(values, min_jaccard),
        }
    order = np.lexsort((np.arange(n), found["char5"]))[:WORST]
    result["worst"] = [
        {name: pairs[name][i].as_py() for name in ("id", "kept_id", "how")}
        | {name: round(float(found[name][i]), _ROUND) for name in MEASURES}
        | {"jaccard_of_the_run": round(pairs["jaccard"][i].as_py(), _ROUND)}
        for i in order.tolist()
    ]
    return result


def _below(values: F64, limit: float) -> dict[str, Any]:
    count, n = int((values < limit - 1e-9).sum()), len(values)
    interval = [round(bound, _ROUND) for bound in wilson(count, n)]
    return {"count": count, "share": round(count / max(n, 1), _ROUND), "interval": interval}


def said(result: dict[str, Any]) -> str:
    """The findings in one line."""
    low = result["char5"]["below_0.7"]
    which = "a sample by id" if result["sampled"] else "all"
    return (
        f"Verified {result['compared']:,} of {result['removed']:,} removed duplicates ({which}): "
        f"{low['count']:,} ({low['share']:.2%}) have a Jaccard similarity of character 5-grams "
        f"below {PROMISED} with the document kept."
    )


def _compare(sets: SketchParts, first: I64, second: I64) -> F64:
    sizes = np.concatenate([np.diff(bounds) for bounds in sets.bounds] or [np.empty(0, np.int64)])
    out = np.empty(len(first), np.float64)
    for rows in _pieces(sizes[first] + sizes[second]):
        one, other = sets.take(first[rows]), sets.take(second[rows])
        out[rows] = _jaccard(*one, *other)
    return out


def _pieces(weights: I64) -> Iterator[slice]:
    ends = np.cumsum(weights)
    start = 0
    while start < len(weights):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + _PIECE, side="right")), start + 1)
        yield slice(start, stop)
        start = stop


@kernel
def distinct_hashes(hashes: U32, bounds: I64) -> tuple[U32, I64]:
    """Sort each document's hashes and leave out the repeated; how many each has."""
    out = np.empty(len(hashes), np.uint32)
    sizes = np.zeros(len(bounds) - 1, np.int64)
    n = 0
    for document in range(len(sizes)):
        some = np.sort(hashes[bounds[document] : bounds[document + 1]])
        start = n
        for i in range(len(some)):
            if i == 0 or some[i] != some[i - 1]:
                out[n] = some[i]
                n += 1
        sizes[document] = n - start
    return out[:n], sizes


@kernel
def _jaccard(first: U32, first_bounds: I64, second: U32, second_bounds: I64) -> F64:
    out = np.empty(len(first_bounds) - 1, np.float64)
    for pair in range(len(out)):
        i, a = first_bounds[pair], first_bounds[pair + 1]
        j, b = second_bounds[pair], second_bounds[pair + 1]
        both = a - i + b - j
        common = 0
        while i < a and j < b:
            x, y = first[i], second[j]
            i += x <= y
            j += y <= x
            common += x == y
        # Two documents without grams have nothing that differs.
        out[pair] = common / (both - common) if both else 1.0
    return out
