"""Time and memory of a whole run against the number of documents: ``python -m bench scale``.

The corpora are those of :mod:`bench.corpus`; the run is the command that a user would type, two
workers, default recipe.
"""

import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .corpus import Made, passages, write_corpus
from .meter import Cost, run
from .texts import documents

SIZES: Final = (10_000, 100_000, 1_000_000)
WEIGHTS: Final = {"zh": 0.8, "en": 0.2}
WORKERS: Final = 2


def one_size(
    count: int, pools: Sequence[tuple[Sequence[str], float]], folder: Path
) -> dict[str, Any]:
    """Make a corpus, run the whole recipe over it, and look at what became of its clusters."""
    made = write_corpus(pools, count, folder / "corpus")
    out = folder / "run"
    command = [sys.executable, "-m", "yanmo", "curate", "run", str(folder / "corpus"), "--out",
               str(out), "--workers", str(WORKERS), "--quiet"]  # fmt: skip
    cost = run(command)
    funnel = json.loads((out / "funnel.json").read_text(encoding="utf-8"))
    steps = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["counts"]["seconds"]
    return {**row(made, cost), **removed(out), "kept": funnel["kept"],
            "seconds_by_step": {name: step["seconds"] for name, step in steps.items()}}  # fmt: skip


def row(made: Made, cost: Cost) -> dict[str, Any]:
    """The numbers of one size."""
    return {
        "documents": made.documents,
        "megabytes": made.bytes / 1e6,
        "mean_bytes": made.bytes / made.documents,
        "clusters": made.clusters,
        "largest_cluster": made.largest,
        "wall_seconds": cost.wall,
        "processor_seconds": cost.processor,
        "megabytes_per_processor_second": made.bytes / 1e6 / cost.processor,
        "tree_gb": (cost.tree_bytes or math.nan) / 1e9,
        "process_gb": cost.process_bytes / 1e9,
    }


def removed(run_folder: Path) -> dict[str, Any]:
    """How many documents duplicates cost, and how large the largest cluster found is."""
    import polars as pl

    found = pl.read_parquet(run_folder / "duplicates" / "documents.parquet")
    sizes = found.group_by("cluster").len()["len"]
    hows = dict(found["how"].value_counts().iter_rows())
    return {
        "exact": hows.get("exact", 0),
        "near": hows.get("near", 0),
        "largest_found": int(sizes.max() or 0),  # type: ignore[arg-type]
    }


def charts(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The two plots as SVG: seconds on log-log axes, memory on a log axis of documents."""
    from yanmo.charts import line_chart

    x = [math.log10(r["documents"]) for r in rows]
    names = ("wall_seconds", "processor_seconds")
    time = [(n.replace("_", " "), x, [math.log10(r[n]) for r in rows]) for n in names]
    memory = [("all processes (PSS), GB", x, [r["tree_gb"] for r in rows])]
    label = "log10 of documents"
    svg = {
        "scale-time": line_chart("log10 of seconds against documents", time, x_label=label),
        "scale-memory": line_chart("peak memory, GB, against documents", memory, x_label=label),
    }
    header = '<svg xmlns="http://www.w3.org/2000/svg" style="background:#fff;color:#222" '
    return {name: text.replace("<svg ", header, 1) for name, text in svg.items()}


def main(sizes: Sequence[int] = SIZES, *, folder: Path | None = None) -> list[dict[str, Any]]:
    """Run every size; the corpora lie in a temporary folder unless one is given."""
    pools = [(passages(documents(language)), weight) for language, weight in WEIGHTS.items()]
    rows = []
    for count in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            rows.append(one_size(count, pools, Path(temporary)))
            sys.stderr.write(json.dumps(rows[-1]) + "\n")
    return rows
