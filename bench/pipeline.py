"""The whole recipe without HTML extraction, JSON lines in, run folder out; datatrove for scale.

Ours reads, cleans, labels languages, measures every signal, decides, removes exact and near
duplicates and writes what stays and what goes; datatrove reads, labels languages, filters and
writes. Both are commands on two workers, start-up included. The rate is by processor seconds of all
processes: what one core does in a second, whatever the number of workers.
"""

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from . import meter, recombined, texts
from .environments import interpreter
from .rounds import SCRIPTS, Claim, Options, Result, available, spread

MEGABYTES: Final = {"zh": 100.0, "en": 25.0}
LARGE: Final = {"en": 100.0}
"""More text than there is, recombined from it; ours alone, without the rows that do not need it."""
PEER_MEGABYTES: Final = 8.0
ROUNDS: Final = 2
WORKERS: Final = 2
FILES: Final = 4
FEW: Final = 20  # documents, to see what starting costs
START, ONE, ALL = "yanmo, start-up, one worker", "yanmo, one worker", "yanmo, two workers"
EQUAL, PEER = "yanmo, the peer's input", "datatrove"
COLUMNS: Final = (
    "text", "side", "MB", "wall s", "spread %", "processor s", "MB/s a core", "peak MB, tree",
    "peak MB, largest process",
)  # fmt: skip


def run(options: Options) -> Result:
    """Measure both sides on Chinese and on English, and our steps one by one."""
    result = Result("The whole recipe without HTML extraction", COLUMNS)
    result.notes += [
        "MB: UTF-8 bytes of text. MB/s a core: by processor seconds of all processes, start-up "
        f"included. What that costs is the row of {FEW} documents; every worker pays it again.",
        meter.METHOD,
        "Rows of steps: wall seconds of a step, and MB/s by them, in the last round of one worker.",
    ]
    for language in options.languages:
        with tempfile.TemporaryDirectory() as folder:
            _language(language, Path(folder), options, result)
        if language in LARGE and options.megabytes is None:
            with tempfile.TemporaryDirectory() as folder:
                _large(language, Path(folder), options, result)
    return result


def ours(source: Path, out: Path, *, workers: int = WORKERS) -> list[str]:
    """The command of our side."""
    run = [sys.executable, "-m", "yanmo", "curate", "run", str(source), "--out", str(out)]
    return [*run, "--workers", str(workers), "-q"]


def theirs(source: Path, out: Path, language: str) -> list[str]:
    """The command of datatrove's side; languages are labelled if the model is here."""
    from yanmo.errors import ModelMissing
    from yanmo.models import path

    script = SCRIPTS / "datatrove_pipeline.py"
    try:
        model = [str(path("lid.176"))]
    except ModelMissing:
        model = []
    command = [str(interpreter("datatrove")), str(script), str(source), str(out), language]
    return [*command, str(WORKERS), *model]


def _language(language: str, folder: Path, options: Options, result: Result) -> None:
    whole = texts.load(language, megabytes=options.megabytes or MEGABYTES[language])
    part = texts.load(language, megabytes=min(whole.megabytes, PEER_MEGABYTES))
    few = texts.Workload(language, whole.texts[:FEW], whole.source)
    loads = {START: few, ONE: whole, ALL: whole, EQUAL: part, PEER: part}
    inputs = {START: folder / "few", ONE: folder / "all", ALL: folder / "all",
              EQUAL: folder / "part", PEER: folder / "part"}  # fmt: skip
    for name in (START, ALL, EQUAL):
        texts.write_jsonl(loads[name].texts, inputs[name], files=FILES)
    meter.run(ours(inputs[START], folder / "warm"))  # compiles the kernels
    commands: dict[str, Callable[[Path], list[str]]] = {
        START: lambda out: ours(inputs[START], out, workers=1),
        ONE: lambda out: ours(inputs[ONE], out, workers=1),
        ALL: lambda out: ours(inputs[ALL], out),
        EQUAL: lambda out: ours(inputs[EQUAL], out),
    }
    if available("datatrove", result):
        commands[PEER] = lambda out: theirs(inputs[PEER], out, language)
    _rounds(commands, loads, folder, options, result)


def _large(language: str, folder: Path, options: Options, result: Result) -> None:
    """Ours on more text than there is."""
    load = recombined.load(language, megabytes=LARGE[language])
    source = folder / "all"
    texts.write_jsonl(load.texts, source, files=FILES)
    commands: dict[str, Callable[[Path], list[str]]] = {
        ONE: lambda out: ours(source, out, workers=1),
        ALL: lambda out: ours(source, out),
    }
    _rounds(commands, {ONE: load, ALL: load}, folder, options, result)


def _rounds(
    commands: dict[str, Callable[[Path], list[str]]],
    loads: dict[str, texts.Workload],
    folder: Path,
    options: Options,
    result: Result,
) -> None:
    """Run every command in turns, and report."""
    language = loads[ONE].name
    costs: dict[str, list[meter.Cost]] = {name: [] for name in commands}
    steps: dict[str, float] = {}
    for number in range(options.rounds or ROUNDS):
        for name, command in commands.items():
            out = folder / f"out-{number}-{list(commands).index(name)}"
            costs[name].append(meter.run(command(out), env={"HF_HUB_OFFLINE": "1"}))
            sys.stderr.write(f"  {language} {name}: {costs[name][-1].wall:.1f} s\n")
            steps = _steps(out) if name == ONE else steps
            shutil.rmtree(out)
    _report(loads, costs, steps, result)


def _steps(out: Path) -> dict[str, float]:
    """Seconds by step, from the manifest of a run."""
    made = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    return {name: step["seconds"] for name, step in made["counts"]["seconds"].items()}


def _report(
    loads: dict[str, texts.Workload],
    costs: dict[str, list[meter.Cost]],
    steps: dict[str, float],
    result: Result,
) -> None:
    whole = loads[ALL]
    language = whole.name
    rate, peak = {}, {}
    for name, some in costs.items():
        wall = statistics.median(cost.wall for cost in some)
        processor = statistics.median(cost.processor for cost in some)
        trees = [cost.tree_bytes / 1e6 for cost in some if cost.tree_bytes is not None]
        rate[name] = loads[name].megabytes / processor
        peak[name] = max(trees, default=float("nan"))
        largest = max(cost.process_bytes for cost in some) / 1e6
        row = [language, name, loads[name].megabytes, wall, spread([c.wall for c in some])]
        result.rows.append([*row, processor, rate[name], peak[name], largest])
    for name, seconds in steps.items():
        pace = whole.megabytes / max(seconds, 1e-3)
        result.rows.append([language, f"  step {name}", whole.megabytes, seconds, None, None, pace,
                            None, None])  # fmt: skip
    best = max(rate[ONE], rate[ALL])
    result.claims.append(Claim(f"{language}: whole recipe, MB/s a core", best, 10))
    if PEER in peak:
        text = f"{language}: peak memory of the tree by that of datatrove, equal input"
        result.claims.append(Claim(text, peak[EQUAL] / peak[PEER], 1, at_most=True))
    result.data[language] = {
        "megabytes": {name: loads[name].megabytes for name in costs}, "steps": steps,
        "costs": {name: [asdict(cost) for cost in some] for name, some in costs.items()},
    }  # fmt: skip
    part = loads.get(EQUAL)
    peer = f"with the peer {len(part.texts)} documents, {part.megabytes:.1f} MB; " if part else ""
    result.notes.append(
        f"{language}: {len(whole.texts)} documents, {whole.megabytes:.1f} MB; {peer}{FILES} files, "
        f"{whole.source}; rounds: {len(costs[ALL])}."
    )
