"""Parts of documents on disk, and the steps run over them one after another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.curate import clusters, exact, minhash
from yanmo.curate.measure import text_hashes
from yanmo.curate.signals import TEXT_HASH
from yanmo.curate.utf8 import text_buffer
from yanmo.documents import SCHEMA, write_part

SKETCH: dict[str, Any] = {
    "shingle": "tokens",
    "shingle_tokens": 5,
    "permutations": 112,
    "seed": 1,
    "bands": 14,
}
POLICY: dict[str, Any] = {"keep": "longest", "source_priority": []}
Row = dict[str, Any]


def document_table(texts: Sequence[str], ids: Sequence[str], **more: Sequence[Any]) -> pa.Table:
    """A document table; columns that are not given are null, or as good as that."""
    given: dict[str, Sequence[Any]] = {
        "id": ids, "text": texts, "source": ["web"] * len(ids), "origin": ids,
        "n_chars": [len(t) for t in texts], "n_bytes": [len(t.encode()) for t in texts], **more,
    }  # fmt: skip
    columns = {
        field.name: pa.array(given.get(field.name, [None] * len(ids)), field.type)
        for field in SCHEMA
    }
    return pa.table(columns, schema=SCHEMA)


def write_parts(folder: Path, tables: Sequence[pa.Table]) -> list[Path]:
    """Write document parts."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{n:05d}.parquet" for n in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        write_part(path, table)
    return paths


def step(folder: Path, function: Any, inputs: list[Path], parameters: Row) -> tuple[Path, Row]:
    """Run one task function into a fresh folder."""
    folder.mkdir(parents=True)
    return folder, function(inputs, parameters, folder)


def find_near(
    work: Path, parts: list[Path], *, alive: list[Path] | None = None,
    min_jaccard: float | None = 0.7, sketch: Row = SKETCH, policy: Row = POLICY,
) -> tuple[list[Row], list[Path]]:  # fmt: skip
    """Near duplicates of parts: the rows of the table, and the folders with the band files."""
    banded = []
    for number, part in enumerate(parts):
        made, _ = step(work / f"sketch-{number}", minhash.signature_part, [part], sketch)
        inputs = [made / "signatures.parquet", *([alive[number]] if alive else [])]
        banded.append(step(work / f"bands-{number}", minhash.band_part, inputs, sketch)[0])
    values = [folder / name for name in ("sketches.bin", "bounds.npy") for folder in banded]
    edges = []
    for band in range(sketch["bands"]):
        inputs = [*(folder / minhash.band_name(band) for folder in banded), *values]
        made, _ = step(work / f"edges-{band}", minhash.reduce_band, inputs,
                       {"min_jaccard": min_jaccard})  # fmt: skip
        edges.append(made / "edges.npy")
    inputs = [*edges, *(folder / "members.parquet" for folder in banded), *values]
    parameters = {"bands": sketch["bands"], "parts": len(parts), "min_jaccard": min_jaccard}
    made, _ = step(work / "near", clusters.cluster, inputs, parameters | policy)
    return pq.read_table(made / "documents.parquet").to_pylist(), banded


def write_sketches(folder: Path, number: int, sets: Sequence[set[int]]) -> tuple[Path, Path]:
    """The sketches of one part, given the hashes of each document (fewer than a sketch holds)."""
    values, bounds = folder / f"sketches-{number}.bin", folder / f"bounds-{number}.npy"
    np.array([h for s in sets for h in sorted(s)], "<u4").tofile(values)
    np.save(bounds, np.cumsum([0, *map(len, sets)], dtype=np.int64))
    return values, bounds


def write_signals(folder: Path, parts: list[Path]) -> list[Path]:
    """The columns of a signals file that exact duplicates need."""
    paths = []
    for part in parts:
        table = pq.read_table(part, columns=["id", "text"])
        hashes = text_hashes(*text_buffer(table.column("text").combine_chunks()))
        columns = {"id": table.column("id"), **dict(zip(TEXT_HASH, hashes, strict=True))}
        paths.append(folder / f"signals-{part.name}")
        pq.write_table(pa.table(columns), paths[-1])
    return paths


def find_exact(
    work: Path, parts: list[Path], *, alive: list[Path] | None = None, policy: Row = POLICY
) -> tuple[list[Row], Path]:
    """Exact duplicates of parts: the rows of the table, and the folder it lies in."""
    signals = write_signals(parts[0].parent, parts)
    made = []
    for number, pair in enumerate(zip(parts, signals, strict=True)):
        inputs = [*pair, *([alive[number]] if alive else [])]
        made.append(step(work / f"exact-{number}", exact.exact_part, inputs, {})[0])
    names = ("hashes.npy", "members.parquet", "alive.npy")
    inputs = [folder / name for name in names for folder in made]
    folder, _ = step(work / "groups", exact.exact_groups, inputs, policy)
    return pq.read_table(folder / "documents.parquet").to_pylist(), folder
