"""``make bench``: what each step of a curate run costs on the bundled sample, or on given inputs.

Processor seconds of one worker, cold cache on disk, warm kernels; the median of several runs. Peers
are measured by scripts of their own beside this one, each peer in an environment of its own.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROUNDS = 3


def one_run(inputs: list[str]) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds by step, and the funnel, of one run into a new folder."""
    from yanmo.curate.discover import InputSpec
    from yanmo.curate.pipeline import run_recipe
    from yanmo.curate.run_recipe import CurateRecipe

    recipe = CurateRecipe(input=tuple(InputSpec(path) for path in inputs))
    with tempfile.TemporaryDirectory() as folder:
        result = run_recipe(recipe, Path(folder) / "run", quiet=True)
    return {name: step["seconds"] for name, step in result.steps.items()}, result.funnel


def main(inputs: list[str]) -> None:
    """Print the table as text on stderr and as JSON on stdout."""
    from yanmo.report import Table
    from yanmo.sample import crawl_files

    inputs = inputs or [str(path) for path in crawl_files()]
    one_run(inputs)  # compiles the kernels
    runs = [one_run(inputs) for _ in range(ROUNDS)]
    megabytes = runs[0][1]["bytes"]["content"]["bytes"] / 1e6
    seconds = {name: statistics.median(run[0][name] for run in runs) for name in runs[0][0]}
    rows = [[name, value, megabytes / max(value, 1e-9)] for name, value in seconds.items()]
    total = sum(seconds.values())
    rows.append(["all", total, megabytes / total])
    title = f"curate run, one worker, {megabytes:.1f} MB of content, median of {ROUNDS}"
    sys.stderr.write(Table(title, ["step", "seconds", "MB/s"], rows).text() + "\n")
    sys.stdout.write(json.dumps({"megabytes": megabytes, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
