"""The whole recipe without HTML extraction, JSON lines in, run folder out; datatrove for scale.

Ours reads, cleans, labels languages, measures every signal, decides, removes exact and near
duplicates and writes what stays and what goes; datatrove reads, labels languages, filters and
writes. Both are commands on two workers, start-up included. The rate is by processor seconds of all
processes: what one core does in a second, whatever the number of workers.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from . import meter, texts
from .environments import interpreter
from .rounds import SCRIPTS, Claim, Options, Result, spread

MEGABYTES: Final = {"zh": 100.0, "en": 25.0}
PEER_MEGABYTES: Final = 10.0
ROUNDS: Final = 2
WORKERS: Final = 2
FILES: Final = 4
ALL, EQUAL, PEER = "yanmo, all", "yanmo, the peer's input", "datatrove"
COLUMNS: Final = (
    "text", "side", "MB", "wall s", "spread %", "processor s", "MB/s a core",
    "peak MB, tree", "peak MB, largest process",
)  # fmt: skip


def run(options: Options) -> Result:
    """Measure both sides on Chinese and on English, and our steps one by one."""
    result = Result("The whole recipe without HTML extraction, two workers", COLUMNS)
    result.notes += [
        "MB: UTF-8 bytes of text. MB/s a core: by processor seconds of all processes, start-up "
        "included.",
        meter.METHOD,
        "Rows of steps: wall seconds within the workers, of the last round; only what they add up "
        "to compares with the rows above.",
    ]
    for language in options.languages:
        with tempfile.TemporaryDirectory() as folder:
            _language(language, Path(folder), options, result)
    return result


def ours(source: Path, out: Path) -> list[str]:
    """The command of our side."""
    yanmo = [sys.executable, "-m", "yanmo"]
    return [
        *yanmo,
        "curate",
        "run",
        str(source),
        "--out",
        str(out),
        "--workers",
        str(WORKERS),
        "-q",
    ]


def theirs(source: Path, out: Path, language: str) -> list[str]:
    """The command of datatrove's side; languages are labelled if the model is here."""
    from yanmo.errors import ModelMissing
    from yanmo.models import path

    script = SCRIPTS / "datatrove_pipeline.py"
    try:
        model = [str(path("lid.176"))]
    except ModelMissing:
        model = []
    return [str(interpreter("datatrove")), str(script), str(source), str(out), language,
            str(WORKERS), *model]  # fmt: skip


def _language(language: str, folder: Path, options: Options, result: Result) -> None:
    whole = texts.load(language, megabytes=options.megabytes or MEGABYTES[language])
    part = texts.load(language, megabytes=min(whole.megabytes, PEER_MEGABYTES))
    for name, workload in (("all", whole), ("part", part)):
        texts.write_jsonl(workload.texts, folder / name, files=FILES)
    texts.write_jsonl(whole.texts[:20], folder / "few", files=FILES)
    meter.run(ours(folder / "few", folder / "warm"))  # compiles the kernels
    commands: dict[str, Callable[[Path], list[str]]] = {
        ALL: lambda out: ours(folder / "all", out),
        EQUAL: lambda out: ours(folder / "part", out),
        PEER: lambda out: theirs(folder / "part", out, language),
    }
    costs: dict[str, list[meter.Cost]] = {name: [] for name in commands}
    steps: dict[str, float] = {}
    for number in range(options.rounds or ROUNDS):
        for name, command in commands.items():
            out = folder / f"out-{number}-{len(name)}"
            costs[name].append(meter.run(command(out), env={"HF_HUB_OFFLINE": "1"}))
            sys.stderr.write(f"  {language} {name}: {costs[name][-1].wall:.1f} s\n")
            if name == ALL:
                steps = _steps(out)
    _report(whole, part, costs, steps, result)


def _steps(out: Path) -> dict[str, float]:
    """Seconds by step, from the manifest of a run."""
    made = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    return {name: step["seconds"] for name, step in made["counts"]["seconds"].items()}


def _report(
    whole: texts.Workload,
    part: texts.Workload,
    costs: dict[str, list[meter.Cost]],
    steps: dict[str, float],
    result: Result,
) -> None:
    language = whole.language
    rate, peak = {}, {}
    for name, some in costs.items():
        megabytes = (whole if name == ALL else part).megabytes
        wall = statistics.median(cost.wall for cost in some)
        processor = statistics.median(cost.processor for cost in some)
        trees = [cost.tree_bytes / 1e6 for cost in some if cost.tree_bytes is not None]
        rate[name], peak[name] = megabytes / processor, max(trees, default=float("nan"))
        largest = max(cost.process_bytes for cost in some) / 1e6
        result.rows.append([language, name, megabytes, wall, spread([cost.wall for cost in some]),
                            processor, rate[name], peak[name], largest])  # fmt: skip
    blank: list[Any] = [None, None, None, None]
    result.rows += [[language, f"  step {name}", whole.megabytes, seconds, *blank, None]
                    for name, seconds in steps.items()]  # fmt: skip
    result.claims += [
        Claim(f"{language}: whole recipe, MB/s a core", rate[ALL], 10),
        Claim(f"{language}: peak memory of the tree by datatrove's, equal input",
              peak[EQUAL] / peak[PEER], 1, at_most=True),
    ]  # fmt: skip
    result.data[language] = {
        "megabytes": {ALL: whole.megabytes, EQUAL: part.megabytes, PEER: part.megabytes},
        "steps": steps,
        "costs": {name: [asdict(cost) for cost in some] for name, some in costs.items()},
    }
    result.notes.append(
        f"{language}: {len(whole.texts)} documents, {whole.megabytes:.1f} MB; with the peer "
        f"{len(part.texts)} documents, {part.megabytes:.1f} MB; {FILES} files, {whole.source}; "
        f"{len(costs[ALL])} rounds."
    )
