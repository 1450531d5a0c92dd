"""Training tokens a second: yanmo beside transformers' Trainer and litgpt, on the same work.

The same Llama (4 layers x 256, 256 tokens, 8 sequences), weights, rows, optimiser; float32 and two
threads. Before anything is timed, small runs of 50 steps show that all compute the same; a timed
run whose losses leave ours is thrown away. Trainers live in processes of their own and take turns.

``python -m bench training`` takes part in ``make bench``; ``python -m bench.training`` runs a part
of it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from yanmo.report import Table

from . import page
from .gemm import CUBE, flops, model_shapes
from .rounds import Claim, Options, Peer, Result, available, spread
from .training_work import SHAPE, Work, prepare

THREADS: Final = 2
SIDES: Final = {"yanmo": None, "HF Trainer": "hf", "litgpt": "litgpt"}
"""Trainer -> the environment it lives in."""
SCRIPTS: Final = {"yanmo": "yanmo_trainer", "HF Trainer": "hf_trainer", "litgpt": "litgpt_trainer"}
SETTINGS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "defaults": {
        "yanmo": {"overrides": []},
        "HF Trainer": {"compile": False},
        "litgpt": {"compile": True, "fused": False},
    },
    "tuned": {
        "yanmo": {"overrides": ["run.compile=blocks"]},
        "HF Trainer": {"compile": True},
        "litgpt": {"compile": True, "fused": True},
    },
}
PLAIN: Final = {"compile": False, "fused": False, "overrides": []}
VOCABULARIES: Final = {"8k": 8_192, "55k": 55_000}
# Warm-up steps and timed steps a turn; a step with 55 000 ids takes three times as long.
PACE: Final = {"8k": (5, 2), "55k": (2, 1)}
COLUMNS: Final = (
    "vocabulary", "settings", "trainer", "tokens/s", "spread %", "time, ours = 1",
    "CPU s/step", "CPU, ours = 1", "% of sgemm 2048³", "% of model's sgemm",
    "% of sgemm, CPU s", "peak MB", "first step after s", "loss apart"
)  # fmt: skip
PROOF_STEPS: Final = 50
FIRST_LOSS: Final = 1e-4
LATER_LOSS: Final = 1e-3
"""How far losses may be apart: at the first step, where nothing but rounding differs, and later,
where AdamW has divided that rounding by gradients that are almost zero."""


@dataclass
class Side:
    """What a trainer did in one setting.

    Attributes:
        start: seconds from the start of its process to the end of its first step.
        wall, processor: seconds a step, one number a turn.
        peak: bytes, high-water mark of its process.
        losses: of all its steps.
    """

    start: float
    losses: list[float]
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    peak: int = 0


@contextmanager
def training(
    name: str, order: Mapping[str, Any], settings: Mapping[str, Any], *, threads: int = THREADS
) -> Iterator[tuple[Peer, Side]]:
    """Start a trainer and let it take its first step."""
    with ExitStack() as stack:
        out = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        began = time.perf_counter()
        env = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        peer = stack.enter_context(Peer(SIDES[name], SCRIPTS[name], env=env))
        found = peer.ask("start", **order, **PLAIN | dict(settings), out=out)
        yield peer, Side(time.perf_counter() - began, found["losses"], peak=found["peak_bytes"])


def advance(peer: Peer, side: Side, steps: int, *, timed: bool) -> None:
    """Take some steps."""
    found = peer.ask("steps", count=steps)
    side.losses += found["losses"]
    side.peak = found["peak_bytes"]
    if timed:
        side.wall.append(found["wall"] / steps)
        side.processor.append(found["processor"] / steps)


def apart(ours: Side, theirs: Side) -> tuple[float, float]:
    """Largest difference of the losses: at the first step, and at any later one."""
    gaps = [abs(a - b) for a, b in zip(ours.losses, theirs.losses, strict=True)]
    return gaps[0], max(gaps[1:])


def equal(gaps: tuple[float, float]) -> bool:
    """Whether two trainers did the same work."""
    return gaps[0] <= FIRST_LOSS and gaps[1] <= LATER_LOSS


def prove(vocabulary: int, names: list[str]) -> dict[str, tuple[float, float]]:
    """Fifty steps of 128 targets without compilation; how far each peer's losses are from ours."""
    with tempfile.TemporaryDirectory() as folder:
        order = prepare(Path(folder), Work(vocabulary, 1, 128, PROOF_STEPS + 2))
        runs = {}
        for name in names:
            with training(name, order, PLAIN, threads=1) as (peer, side):
                advance(peer, side, PROOF_STEPS - 1, timed=False)
            runs[name] = side
            sys.stderr.write(f"  {name}: {side.losses[0]:.5f} … {side.losses[-1]:.5f}\n")
    return {name: apart(runs["yanmo"], run) for name, run in runs.items() if name != "yanmo"}


def race(
    where: tuple[str, str], names: list[str], rounds: int, *, threads: int = THREADS
) -> dict[str, Side]:
    """All trainers in one setting (vocabulary, row), in turns."""
    vocabulary, row = where
    warm, turn = PACE[vocabulary]
    work = Work(VOCABULARIES[vocabulary], 8, 256, 3 + warm + rounds * turn)
    with ExitStack() as stack:
        order = prepare(Path(stack.enter_context(tempfile.TemporaryDirectory())), work)
        sides = {}
        for name in names:
            peer, side = stack.enter_context(
                training(name, order, SETTINGS[row][name], threads=threads)
            )
            advance(peer, side, warm, timed=False)
            sides[name] = peer, side
        for number in range(rounds):
            for name, (peer, side) in sides.items():
                advance(peer, side, turn, timed=True)
                sys.stderr.write(f"  {vocabulary} {row}, round {number + 1}/{rounds}  {name}: "
                                 f"{side.wall[-1]:.3f} s a step\n")  # fmt: skip
    return {name: side for name, (_, side) in sides.items()}


def run(options: Options) -> Result:
    """All of it; ``--rounds`` is the number of turns."""
    return measure(list(VOCABULARIES), list(SETTINGS), options.rounds or 5)


def measure(
    vocabularies: list[str], rows: list[str], rounds: int, *, threads: int = THREADS
) -> Result:
    """Compare the trainers.

    Args:
        vocabularies: some of ``VOCABULARIES``.
        rows: some of ``SETTINGS``.
        rounds: turns of each trainer.
        threads: of every trainer.
    """
    result = Result(f"training, float32, {threads} thread(s)", COLUMNS)
    names = [n for n, place in SIDES.items() if place is None or available(place, result)]
    for vocabulary in vocabularies:
        speed = probe(VOCABULARIES[vocabulary], threads)
        proofs = prove(VOCABULARIES[vocabulary], names)
        result.data[vocabulary] = {"sgemm": speed, "proof": proofs}
        for name, gaps in proofs.items():
            result.notes.append(
                f"{vocabulary}: {PROOF_STEPS} steps of {name} and ours: losses {gaps[0]:.1e} apart "
                f"at the first step, {gaps[1]:.1e} at most after it."
            )
        good = ["yanmo", *(name for name, gaps in proofs.items() if equal(gaps))]
        result.notes += [f"{vocabulary}: {name} is void, it does other work."
                         for name in names if name not in good]  # fmt: skip
        for row in rows:
            sides = race((vocabulary, row), good, rounds, threads=threads)
            _add(result, (vocabulary, row), sides, speed)
    result.notes += NOTES
    return result


NOTES: Final = [
    "4 layers x 256, 4 heads, 2 key-value heads, 704; 8 sequences of 256 targets, none padding; "
    "AdamW without decay, constant rate, clipping at 1; losses logged every 10 steps.",
    "Medians over turns (A B C A B C …), warm-up left out; a share of sgemm counts 6N + 12LHdT "
    "operations a token. Peak: VmHWM of the trainer's process, libraries included.",
    "The share by processor seconds is what a machine that others use too can say.",
    "Tuned: yanmo run.compile=blocks; HF Trainer torch_compile; litgpt (compiled by default) "
    "with the fused AdamW. Compilation is in the time to the first step.",
]


def probe(vocabulary: int, threads: int) -> dict[str, float]:
    """FLOP/s of products of two sizes."""
    import torch

    torch.set_num_threads(threads)
    how: dict[str, Any] = {"dtype": torch.float32, "device": torch.device("cpu")}
    return {"cube": flops([CUBE], **how),
            "processor": flops([CUBE], **how, clock=time.process_time),
            "model": flops(model_shapes(SHAPE, vocabulary, 2048), **how)}  # fmt: skip


def _add(
    result: Result, where: tuple[str, str], sides: Mapping[str, Side], speed: Mapping[str, float]
) -> None:
    """The rows of one race, and what is claimed of it."""
    from yanmo.train.config import from_hf
    from yanmo.train.speed import flops_per_token

    vocabulary, row = where
    shape = {"model_type": "llama", "vocab_size": VOCABULARIES[vocabulary], **SHAPE}
    work = flops_per_token(from_hf(shape), 256) * 2048
    ours = sides["yanmo"]
    for name, side in sides.items():
        gaps = apart(ours, side)
        if not equal(gaps):
            result.notes.append(f"{vocabulary} {row}: {name} is void, losses {gaps} apart.")
            continue
        step, cost = statistics.median(side.wall), statistics.median(side.processor)
        result.rows.append([
            vocabulary, row, name, round(2048 / step), spread(side.wall),
            step / statistics.median(ours.wall), cost,
            cost / statistics.median(ours.processor), 100 * work / step / speed["cube"],
            100 * work / step / speed["model"], 100 * work / cost / speed["processor"],
            round(side.peak / 1e6), side.start, max(gaps),
        ])  # fmt: skip
        if name != "yanmo":
            _claim(result, where, name, (ours, side))
    result.data[vocabulary][row] = {name: vars(side) for name, side in sides.items()}
    share = 100 * work / statistics.median(ours.wall) / speed["cube"]
    result.claims.append(Claim(f"{vocabulary} {row}: % of sgemm", share, 50))


def _claim(result: Result, where: tuple[str, str], name: str, pair: tuple[Side, Side]) -> None:
    ours, theirs = pair
    gain = statistics.median(theirs.wall) / statistics.median(ours.wall)
    target = 1.2 if where[1] == "defaults" and name == "HF Trainer" else 1.0
    title = " ".join(where)
    result.claims.append(Claim(f"{title}: tokens/s against {name}", gain, target))
    if where[0] == "55k":
        result.claims.append(
            Claim(f"{title}: peak memory against {name}", ours.peak / theirs.peak, 1.0, True)
        )


def main() -> None:
    """Run a part of the bench and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument("--vocabulary", action="append", choices=VOCABULARIES)
    parser.add_argument("--settings", action="append", choices=SETTINGS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS)
    asked = parser.parse_args()
    result = measure(asked.vocabulary or list(VOCABULARIES), asked.settings or list(SETTINGS),
                     asked.rounds, threads=asked.threads)  # fmt: skip
    sys.stdout.write(Table(result.title, result.columns, result.rows).text() + "\n")
    sys.stdout.write(page.claims(result).text() + "\n")
    sys.stdout.write("".join(f"- {note}\n" for note in result.notes))


if __name__ == "__main__":
    main()
