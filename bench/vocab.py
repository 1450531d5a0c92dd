"""Vocabularies from text: ours, sentencepiece and `tokenizers` on the same file, at the same size.

Every side is a command of its own, start-up included; the peers run in our environment, called the
way their documentation shows, with our settings of the algorithm. `extend` has the job that
training from scratch is held against: as many new entries, and a verified folder at the end.
"""

import os
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

from . import meter, texts
from .rounds import SCRIPTS, Claim, Options, Result, spread

MEGABYTES: Final = 100.0
ROUNDS: Final = 1
SIZE: Final = 16_000
LIMIT_MB: Final = 3000
"""What `extend` may take: see ``budget_mb`` of its options."""
SPM, BYTES, EXTEND = "yanmo vocab train", "yanmo vocab train, byte-bpe", "yanmo vocab extend"
SENTENCEPIECE, TOKENIZERS = "sentencepiece", "tokenizers"
COLUMNS: Final = (
    "text", "side", "wall s", "spread %", "processor s", "by its peer", "peak MB, tree",
    "peak MB, largest process",
)  # fmt: skip


def run(options: Options) -> Result:
    """Measure on Chinese text (the other languages have nothing to extend)."""
    result = Result(f"A vocabulary of {SIZE} entries from text", COLUMNS)
    result.notes += [
        "The ratios are of processor seconds, start-up included: `vocab train` by sentencepiece, "
        "its byte-level kind by `tokenizers`, `extend` by the faster of the two.",
        "sentencepiece takes as many threads as there are cores; `tokenizers` takes them itself.",
        meter.METHOD,
    ]
    load = texts.load("zh", megabytes=options.megabytes or MEGABYTES)
    with tempfile.TemporaryDirectory() as folder:
        _measure(load, Path(folder), options.rounds or ROUNDS, result)
    return result


def commands(source: Path, out: Path) -> dict[str, list[str]]:
    """The command of every side; `extend` only where there is a base to extend."""
    from yanmo.vocab.convert import QWEN_PATTERN

    ours = [sys.executable, "-m", "yanmo", "vocab"]
    size, threads = str(SIZE), str(os.cpu_count())
    python, target = sys.executable, str(out)
    train = [*ours, "train", str(source), "--size", size, "--out", target, "-q"]
    spm, fast = (str(SCRIPTS / f"train_{name}.py") for name in (SENTENCEPIECE, TOKENIZERS))
    found = {
        SPM: train,
        SENTENCEPIECE: [python, spm, str(source), target, size, threads],
        BYTES: [*train, "--kind", "byte-bpe"],
        TOKENIZERS: [python, fast, str(source), target, size, QWEN_PATTERN],
    }
    real = texts.realdata()
    if real is not None:
        base = str(real / "tokenizers" / "llama")
        extend = [*ours, "extend", base, str(source), "--add", size, "--out", target, "-q"]
        found[EXTEND] = extend
    return found


def _measure(load: texts.Workload, folder: Path, rounds: int, result: Result) -> None:
    source = texts.write_jsonl(load.texts, folder / "text", files=1)[0]
    few = texts.write_jsonl(load.texts[:200], folder / "few", files=1)[0]
    names = list(commands(source, folder / "x"))
    if EXTEND in names:  # compiles the kernels
        meter.run([*commands(few, folder / "warm")[EXTEND], "--shrink"])
    else:
        result.notes.append("`extend` is left out: it needs $YANMO_REALDATA for its base.")
    costs: dict[str, list[meter.Cost]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            command = commands(source, folder / f"{number}-{names.index(name)}")[name]
            costs[name].append(meter.run(command))
            last = costs[name][-1]
            sys.stderr.write(f"  {name}: {last.wall:.1f} s, processor {last.processor:.1f} s\n")
    _report(load, costs, result)


def _report(load: texts.Workload, costs: dict[str, list[meter.Cost]], result: Result) -> None:
    took = {name: statistics.median(c.processor for c in some) for name, some in costs.items()}
    walls = {name: statistics.median(c.wall for c in some) for name, some in costs.items()}
    peers = {SPM: (SENTENCEPIECE,), BYTES: (TOKENIZERS,), EXTEND: (SENTENCEPIECE, TOKENIZERS)}
    ratios = {
        name: took[name] / min(took[peer] for peer in peers[name]) for name in took if name in peers
    }
    peak = {}
    for name, some in costs.items():
        trees = [cost.tree_bytes / 1e6 for cost in some if cost.tree_bytes is not None]
        peak[name] = max(trees, default=float("nan"))
        largest = max(cost.process_bytes for cost in some) / 1e6
        wall = [cost.wall for cost in some]
        result.rows.append(
            ["zh", name, walls[name], spread(wall), took[name], ratios.get(name), peak[name],
             largest]
        )  # fmt: skip
    fastest = min((SENTENCEPIECE, TOKENIZERS), key=took.__getitem__)
    ours = min((SPM, BYTES), key=took.__getitem__)
    result.claims += [
        Claim("zh: vocab train by sentencepiece, same algorithm", ratios[SPM], 1.3, at_most=True),
        Claim("zh: vocab train byte-bpe by tokenizers", ratios[BYTES], 1.3, at_most=True),
        Claim(f"zh: the faster kind of ours by the faster peer ({fastest})",
              took[ours] / took[fastest], 1.3, at_most=True),
    ]  # fmt: skip
    if EXTEND in took:
        result.claims += [
            Claim("zh: extend by training from scratch (ours)", took[EXTEND] / took[SPM], 1,
                  at_most=True),
            Claim("zh: extend by training from scratch (the faster peer)", ratios[EXTEND], 1,
                  at_most=True),
            Claim("zh: extend, peak MB of the tree", peak[EXTEND], LIMIT_MB, at_most=True),
        ]  # fmt: skip
    result.data["zh"] = {
        "megabytes": load.megabytes,
        "costs": {name: [asdict(cost) for cost in some] for name, some in costs.items()},
    }
    result.notes.append(
        f"zh: {len(load.texts)} documents, {load.megabytes:.1f} MB in one JSON lines file, "
        f"{load.source}; {len(costs[SPM])} rounds."
    )
