"""Near-duplicate removal from JSON lines to what is left, on two cores: yanmo, datatrove.

Both run as commands of their own, start-up included, on the same files. Copies of one in ten
documents are planted with up to 2 % of the tokens edited; a pair counts as found when not both of
its documents are left. A pair is true by its exact Jaccard over token 5-grams, computed with sets.
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

MEGABYTES: Final = {"zh": 60.0, "en": 25.0}
LARGE: Final = {"en": 100.0}
"""More text than there is, recombined from it: there are 25 MB of English, a second of work. One
round: it takes datatrove two minutes."""
ROUNDS: Final = 2
WORKERS: Final = 2
FILES: Final = 4
TRUE: Final = 0.9
PLAIN: Final = "datatrove, plain tokenizer"
COLUMNS: Final = (
    "text", "side", "wall s", "spread %", "processor s", "yanmo is × as fast",
    "× by processor", "peak MB, tree",
    "peak MB, largest process", "documents left", "others removed",
    "true pairs found %",
)  # fmt: skip


def run(options: Options) -> Result:
    """Measure both sides on Chinese and on English."""
    result = Result(
        "Near duplicates: JSON lines in, JSON lines or Parquet out, two workers", COLUMNS
    )
    result.notes += [
        "Wall seconds of the whole command, median; processor seconds of all its processes; "
        "× by wall.",
        "Others removed: documents without a planted copy; the texts hold near duplicates of their "
        "own, so this is none only by chance, and far apart only if a side removes too much.",
        meter.METHOD,
        "yanmo: `curate dedup --workers 2`, which also normalises, labels languages, measures "
        "signals and writes what it dropped.",
        "No warm-up inside the rounds; one run of yanmo on a few documents before them compiles "
        "its kernels, as the first run after an installation does.",
    ]
    for language in options.languages:
        size = options.megabytes or MEGABYTES[language]
        loads = [(texts.load(language, megabytes=size), options.rounds or ROUNDS)]
        if language in LARGE and options.megabytes is None:
            loads.append((recombined.load(language, megabytes=LARGE[language]), 1))
        for workload, rounds in loads:
            with tempfile.TemporaryDirectory() as folder:
                _measure(workload, Path(folder), rounds, result)
    return result


def ours(source: Path, out: Path) -> list[str]:
    """The command of our side."""
    yanmo = [sys.executable, "-m", "yanmo"]
    return [
        *yanmo,
        "curate",
        "dedup",
        str(source),
        "--out",
        str(out),
        "--workers",
        str(WORKERS),
        "-q",
    ]


def theirs(source: Path, out: Path, language: str, *extra: str) -> list[str]:
    """The command of datatrove's side."""
    script = SCRIPTS / "datatrove_neardup.py"
    return [str(interpreter("datatrove")), str(script), str(source), str(out), language,
            str(WORKERS), *extra]  # fmt: skip


def our_numbers(out: Path) -> set[int]:
    """The documents that our run kept."""
    import pyarrow.parquet as pq

    meta = pq.read_table(out / "documents", columns=["meta"])["meta"].to_pylist()
    return {json.loads(text)["number"] for text in meta}


def their_numbers(out: Path) -> set[int]:
    """The documents that datatrove kept."""
    found: set[int] = set()
    for path in (out / "kept").glob("*.jsonl"):
        with path.open(encoding="utf-8") as stream:
            found |= {json.loads(line)["metadata"]["number"] for line in stream}
    return found


def _measure(workload: texts.Workload, folder: Path, rounds: int, result: Result) -> None:
    language = workload.language
    documents, pairs = texts.plant(workload.texts)
    source = folder / "in"
    texts.write_jsonl(documents, source, files=FILES)
    texts.write_jsonl(documents[:20], folder / "few", files=FILES)
    meter.run(ours(folder / "few", folder / "warm"))
    sides: dict[str, tuple[Callable[[Path], list[str]], Callable[[Path], set[int]]]] = {
        "yanmo": (lambda out: ours(source, out), our_numbers)
    }
    if available("datatrove", result):
        sides["datatrove"] = (lambda out: theirs(source, out, language), their_numbers)
        sides[PLAIN] = (lambda out: theirs(source, out, language, "plain"), their_numbers)
    costs: dict[str, list[meter.Cost]] = {name: [] for name in sides}
    left: dict[str, set[int]] = {}
    for number in range(rounds):
        for name, (command, numbers) in sides.items():
            out = folder / f"{name.replace(' ', '-')}-{number}"
            costs[name].append(meter.run(command(out), env={"HF_HUB_OFFLINE": "1"}))
            left[name] = numbers(out)
            shutil.rmtree(out)
            sys.stderr.write(f"  {language} {name}: {costs[name][-1].wall:.1f} s\n")
    made = texts.Workload(language, documents, workload.source, workload.is_real)
    _report(made, pairs, costs, left, result)


def _report(
    workload: texts.Workload,
    pairs: list[texts.Pair],
    costs: dict[str, list[meter.Cost]],
    left: dict[str, set[int]],
    result: Result,
) -> None:
    language = workload.name
    true = [pair for pair in pairs if pair.jaccard >= TRUE]
    wall = {name: statistics.median(cost.wall for cost in some) for name, some in costs.items()}
    recall = {name: _found(true, kept) for name, kept in left.items()}
    peak = {name: _peak(some) for name, some in costs.items()}
    processor = {n: statistics.median(cost.processor for cost in some) for n, some in costs.items()}
    planted = {index for pair in pairs for index in (pair.first, pair.second)}
    others = set(range(len(workload.texts))) - planted
    for name, some in costs.items():
        ratios: list[float | None] = [None, None]
        if name != "yanmo":
            ratios = [wall[name] / wall["yanmo"], processor[name] / processor["yanmo"]]
        result.rows.append([language, name, wall[name], spread([cost.wall for cost in some]),
                            processor[name], *ratios, *peak[name], len(left[name]),
                            len(others - left[name]), 100 * recall[name]])  # fmt: skip
        text = f"{language}: true pairs found by {name}"
        result.claims.append(Claim(text, recall[name], 0.95))
    result.claims += _claims(language, wall, peak)
    result.data[language] = {
        "megabytes": workload.megabytes, "documents": len(workload.texts), "pairs": len(pairs),
        "true_pairs": len(true), "recall": recall, "left": {n: len(k) for n, k in left.items()},
        "costs": {name: [asdict(cost) for cost in some] for name, some in costs.items()},
    }  # fmt: skip
    result.notes.append(
        f"{language}: {len(workload.texts)} documents, {workload.megabytes:.1f} MB, {len(true)} of "
        f"{len(pairs)} planted pairs at Jaccard ≥ {TRUE}, {FILES} files, {workload.source}; "
        f"rounds: {len(costs['yanmo'])}."
    )


def _claims(
    language: str, wall: dict[str, float], peak: dict[str, tuple[float | None, float]]
) -> list[Claim]:
    claims = []
    for name in (name for name in wall if name != "yanmo"):
        text = f"{language}: near duplicates, times {name}"
        claims.append(Claim(text, wall[name] / wall["yanmo"], 20))
        share = _share(peak["yanmo"][0], peak[name][0])
        text = f"{language}: peak memory of the tree by that of {name}"
        claims.append(Claim(text, share, 1, at_most=True))
    return claims


def _found(true: list[texts.Pair], kept: set[int]) -> float:
    return sum(not {pair.first, pair.second} <= kept for pair in true) / max(1, len(true))


def _peak(costs: list[meter.Cost]) -> tuple[float | None, float]:
    """Largest of all rounds, in megabytes: of the tree, and of one process."""
    trees = [cost.tree_bytes for cost in costs if cost.tree_bytes is not None]
    return (max(trees) / 1e6 if trees else None, max(cost.process_bytes for cost in costs) / 1e6)


def _share(first: float | None, second: float | None) -> float:
    return float("nan") if first is None or not second else first / second
