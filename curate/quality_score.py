"""``yanmo curate quality score``: a column of scores for any input."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo import manifest
from yanmo.errors import UsageError
from yanmo.report import Table
from yanmo.tasks import Identities, Task
from yanmo.workers import Workers

from . import PRELOAD
from .options import ReadOptions
from .quality import SCORES_FILE, model_files, read_card
from .quality_inputs import gather
from .run_progress import Progress
from .runfolder import link_parts, numbered

FOLDER: Final = "scores"
KIND: Final = "scores"
_SHOWN: Final = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def score_inputs(
    model: Path, inputs: Sequence[str], out: Path, read: ReadOptions, *, workers: int = 1,
    quiet: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Score documents with a model.

    Args:
        model: model folder.
        inputs: run folders, or anything that the reader takes.
        out: gets ``scores/part-*.parquet`` and ``manifest.json``.
        read: how files are read.
        workers: processes; never changes results.
        quiet: show no progress.

    Returns:
        ``{"documents", "unscored", "quarantined", "bytes", "seconds", "percentiles": {percent:
        score}}``; seconds are those that scoring took, summed over workers.

    Raises:
        ModelMissing: no model there.
        UsageError: ``out`` holds other files.
    """
    file, card = model_files(model)
    read_card(card)
    _refuse_foreign(out)
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.resolve().parent) as work,
        Workers(workers, preload=[PRELOAD]) as pool,
    ):
        progress = Progress(Path(work), pool, quiet)
        identities = Identities(Path(work) / "identities.json")
        found = gather(inputs, read, progress, identities)
        models = tuple(identities.identify([file, card]))
        done = progress.run(
            [
                Task("quality", "yanmo.curate.quality:score_part", (part, *models),
                     {"normalize": not some.run})
                for some in found
                for part in some.parts
            ]
        )  # fmt: skip
        (out / manifest.NAME).unlink(missing_ok=True)
        parts = link_parts(out, FOLDER, numbered(done, SCORES_FILE, ".parquet"))
    files = [item for some in found for item in some.inputs]
    files += [{"path": i.path.name, "sha256": i.identity, "bytes": i.path.stat().st_size}
              for i in models]  # fmt: skip
    told = {
        "documents": sum(d.result["rows"] for d in done),
        "unscored": sum(d.result["unscored"] for d in done),
        "quarantined": sum(some.quarantined for some in found),
        "bytes": sum(d.result["bytes"] for d in done),
        "percentiles": _percentiles(out / FOLDER),
    }
    manifest.write(out, manifest.build(KIND, inputs=files, counts=told, parts=parts))
    seconds = {"seconds": round(sum(d.seconds for d in done), 3),
               "wall_seconds": round(time.monotonic() - start, 2)}  # fmt: skip
    return told | seconds


def _refuse_foreign(out: Path) -> None:
    if out.is_file():
        raise UsageError("--out is a file", where=out, fix="Give a folder.")
    ours = {FOLDER, manifest.NAME}
    foreign = sorted(p.name for p in out.iterdir() if p.name not in ours) if out.is_dir() else []
    if foreign:
        raise UsageError("--out holds other files", where=out, value=foreign[:5],
                         fix="Give a new folder.")  # fmt: skip


def _percentiles(folder: Path) -> dict[str, float]:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        return {}
    scores = pl.scan_parquet(files).select(pl.col("quality_score").drop_nulls())
    cuts = scores.select(
        [pl.col("quality_score").quantile(p / 100, "linear").alias(str(p)) for p in _SHOWN]
    )
    row = cuts.collect().row(0, named=True)
    return {name: round(value, 6) for name, value in row.items() if value is not None}


def told(found: dict[str, Any]) -> str:
    """The result for a terminal."""
    speed = found["bytes"] / 1e6 / max(found["seconds"], 1e-9)
    lines = [
        f"{found['documents']} documents scored, {found['unscored']} without text, "
        f"{found['quarantined']} unreadable; {speed:.1f} MB/s a core",
        Table("", ["percentile of these", "score"], [*found["percentiles"].items()]).text(),
    ]
    return "\n".join(lines)
