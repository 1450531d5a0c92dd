"""Documents for a quality model: any input of the reader, or a run folder, as parts and tasks.

ingest ─ samples      (a part: what the choice needs of each document, and its sample of text)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.documents import part_paths
from yanmo.errors import UsageError
from yanmo.files import open_input
from yanmo.manifest import NAME as MANIFEST
from yanmo.recipe import to_table
from yanmo.tasks import Done, Identities, Input, Task

from .budget import check_budget
from .discover import InputSpec, discover
from .options import ReadOptions
from .quality_samples import BANDS, INDEX, TEXT
from .quality_text import SampleOptions
from .run_progress import Progress
from .run_recipe import CurateRecipe, ErrorBudget
from .split import ingest


@dataclass(frozen=True)
class Gathered:
    """Parts of the document table behind some inputs.

    Attributes:
        parts: document tables, in order.
        run: whether they are those of a run, whose text is normalised.
        inputs: ``{"path", "sha256", "bytes"}`` of every file read.
        quarantined: unreadable records.
    """

    parts: list[Input]
    run: bool
    inputs: list[dict[str, Any]]
    quarantined: int


def is_run(path: str) -> bool:
    """Is this a folder that ``yanmo curate run`` wrote?"""
    folder = Path(path)
    return (folder / MANIFEST).is_file() and (folder / "documents").is_dir()


def gather(
    paths: Sequence[str], read: ReadOptions, progress: Progress, identities: Identities
) -> list[Gathered]:
    """Read inputs of any kind.

    Args:
        paths: files, folders, globs, URLs, ``-``, or run folders.
        read: how files are read.
        progress: runs the tasks.
        identities: of the files.

    Raises:
        UsageError: nothing is there.
    """
    found: list[Gathered] = []
    files = [path for path in paths if not is_run(path)]
    for path in paths:
        if is_run(path):
            parts = identities.identify(part_paths(path))
            told = [{"path": str(p.path), "sha256": p.identity, "bytes": p.path.stat().st_size}
                    for p in parts]  # fmt: skip
            found.append(Gathered(parts, True, told, 0))
    if files:
        specs = tuple(InputSpec(path) for path in files)
        settings = replace(CurateRecipe(), input=specs, read=read, errors=ErrorBudget())
        groups = discover(specs, options=read)
        _check_readable(files, len(groups))
        done = ingest(groups, settings, progress.cache, identities, run=progress.run)
        check_budget(done, settings.errors)
        found.append(Gathered(*_ingested(done)))
    identities.save()
    return found


def _check_readable(files: Sequence[str], groups: int) -> None:
    if not groups:
        raise UsageError(
            "no documents here",
            value=list(files),
            fix="Give JSONL, Parquet, CSV, text, HTML, WARC or a run folder.",
        )
    for path in files:
        if Path(path).is_file():
            open_input(path).close()


def _ingested(done: Sequence[Done]) -> tuple[list[Input], bool, list[dict[str, Any]], int]:
    from .intake import inputs_read

    readers = [d for d in done if "parts" in d.result]
    parts = [d.input(name) for d in readers for name in d.result["parts"]]
    bad = sum(sum(d.result["quarantined"].values()) for d in readers)
    return parts, False, inputs_read(done), bad


def sample_tasks(gathered: Gathered, sample: SampleOptions) -> list[Task]:
    """A task a part that draws the samples."""
    parameters = {"sample": to_table(sample), "normalize": not gathered.run}
    return [Task("samples", "yanmo.curate.quality_samples:sample_part", (part,), parameters)
            for part in gathered.parts]  # fmt: skip


def read_index(done: Sequence[Done]) -> tuple[pl.DataFrame, "np.ndarray[Any, np.dtype[Any]]"]:
    """The index of all parts, and the band hashes, uint64 ``[BANDS, D]``."""
    table = pa.concat_tables([pq.read_table(d.folder / INDEX) for d in done])
    column = table.column("bands").combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    flat = np.frombuffer(column.buffers()[1] or b"", "<u8")[column.offset * BANDS :]
    bands = flat[: len(column) * BANDS].reshape(-1, BANDS).T.astype(np.uint64)
    frame = pl.DataFrame(pl.from_arrow(table.drop_columns(["bands"])))
    return frame, bands


def read_texts(done: Sequence[Done], wanted: "np.ndarray[Any, np.dtype[Any]]") -> pa.Array:
    """Samples of documents by global row.

    Args:
        done: the tasks, in the order of :func:`read_index`.
        wanted: rows, increasing.
    """
    pieces: list[pa.Array] = []
    start = 0
    for one in done:
        rows = int(one.result["rows"])
        low, high = np.searchsorted(wanted, [start, start + rows])
        if high > low:
            texts = pq.read_table(one.folder / TEXT).column("text").combine_chunks()
            pieces.append(texts.take(pa.array(wanted[low:high] - start)))
        start += rows
    chunks = [c for p in pieces for c in (p.chunks if isinstance(p, pa.ChunkedArray) else [p])]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_string())
