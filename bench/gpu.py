"""Training on one GPU: tokens a second, share of what the card multiplies, memory, what limits.

``python -m bench gpu`` trains models of 124 million and 1.1 billion weights for some steps in
bfloat16, layers compiled, by the command that a user has (``yanmo train pretrain``), and compares
with the card's own matrix products on random numbers. One command, under eight minutes on an H100.
Without a GPU it says what it would run.

    python -m bench gpu [124m] [1.1b] [--steps N] [--json FILE] [--plan]
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from yanmo import recipe as recipes
from yanmo.report import Table
from yanmo.train.config import ModelConfig
from yanmo.train.plan import memory
from yanmo.train.recipe import Pretrain, model_config
from yanmo.train.speed import flops_per_token, peak_flops

from .gemm import flops
from .training_work import write_shards

VOCABULARY: Final = 50_304
CUBE: Final = (8192, 8192, 8192)
COMMON: Final = ("precision=bfloat16", "run.compile=blocks", "run.device=cuda",
                 "run.eval_steps=off", "run.save_steps=off", "run.tensorboard=false",
                 "run.log_steps=1", "data.verify=fast")  # fmt: skip
WARM_UP: Final = 8


@dataclass(frozen=True)
class Case:
    """A model and how it is trained.

    Attributes:
        preset: its shape.
        tokens: of a sequence.
        micro: sequences of a forward pass.
        batch: sequences of a step.
        recompute: whether activations are computed again.
        extra: more settings; they win.
    """

    preset: str
    tokens: int
    micro: int
    batch: int
    recompute: bool = False
    extra: tuple[str, ...] = ()

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the recipe sets."""
        return (
            *COMMON, f"model.preset={self.preset}", f"data.sequence_tokens={self.tokens}",
            f"data.batch_tokens={self.batch * self.tokens}", f"run.micro_sequences={self.micro}",
            f"run.recompute={str(self.recompute).lower()}", *self.extra,
        )  # fmt: skip


CASES: Final = {
    "124m": Case("124m", 1024, 32, 64),
    "1.1b": Case("1.1b", 2048, 8, 16),
}


@dataclass(frozen=True)
class Measured:
    """What a case did.

    Attributes:
        tokens_per_second: median over the steps after the warm-up.
        first_step: seconds to the end of the first step, compilation included.
        peak: most bytes that torch held on the device.
        attention: the backend that ``auto`` took.
    """

    tokens_per_second: float
    first_step: float
    peak: int
    attention: str


def settings_of(case: Case) -> tuple[Pretrain, ModelConfig]:
    """The recipe of a case, and the shape it makes."""
    recipe = recipes.load(Pretrain, None, list(case.overrides))
    shape = model_config(recipe.model, vocab_size=VOCABULARY, max_tokens=case.tokens)
    return recipe, shape


def planned(case: Case) -> dict[str, Any]:
    """What a case is: command, operations, memory by ``yanmo train plan``."""
    recipe, shape = settings_of(case)
    sets = " ".join(f"--set {part}" for part in case.overrides)
    return {
        "command": f"yanmo train pretrain SHARDS --out RUN {sets}",
        "flops_per_token": flops_per_token(shape, case.tokens),
        "planned_gib": memory(shape, recipe, micro_sequences=case.micro)["total"] / 2**30,
    }


def shards(folder: Path, case: Case, steps: int) -> None:
    """Random documents of a web page's lengths (log-normal, 400 tokens in the middle)."""
    rng = np.random.default_rng(0)
    wanted, texts, have = steps * case.batch * case.tokens, [], 0
    while have < wanted:
        size = int(np.clip(rng.lognormal(6.0, 1.0), 16, 8 * case.tokens))
        texts.append(rng.integers(3, VOCABULARY, size).astype(np.uint32))
        have += size + 1
    write_shards(folder, texts, VOCABULARY)


class Enough(Exception):
    """All steps that are to be timed are done."""


class Clock:
    """Takes the time between steps, and ends the run; stands where the progress line does."""

    def __init__(self, steps: int) -> None:
        self.steps, self.stops = steps, [time.perf_counter()]

    def advance(self, amount: float = 1) -> None:
        """A step has ended."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.stops.append(time.perf_counter())
        if len(self.stops) > self.steps:
            raise Enough

    def note(self, text: str) -> None:
        """Nothing is shown."""


def measure(case: Case, steps: int, *, warm_up: int = WARM_UP) -> Measured:
    """Train some steps, each timed, after a warm-up."""
    import torch

    from yanmo.train import loop
    from yanmo.train.distributed import join
    from yanmo.train.journal import Journal
    from yanmo.train.setup import prepare

    all_steps = steps + warm_up
    size = case.batch * case.tokens
    recipe = recipes.load(Pretrain, None, [*case.overrides, f"tokens={2 * all_steps * size}"])
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder, join(recipe.run.device) as world:
        out = Path(folder) / "run"
        shards(Path(folder) / "shards", case, all_steps)
        run = prepare(recipe, Path(folder) / "shards", out, world)
        out.mkdir()
        journal, clock = Journal(out, step=0, tensorboard=False), Clock(all_steps)
        with contextlib.closing(journal), contextlib.suppress(Enough):
            loop.Trainer(run, journal).train(clock)  # type: ignore[arg-type]
    took = np.diff(clock.stops)
    peak = torch.cuda.max_memory_allocated() if cuda else 0
    found = Measured(size / float(np.median(took[warm_up:])), float(took[0]), peak,
                     run.model.backend)  # fmt: skip
    del run
    if cuda:
        torch.cuda.empty_cache()
    return found


def limit(share: float, memory_share: float) -> str:
    """What holds a run back, by its share of the card's products and of its memory."""
    if share >= 0.6:
        return "matrix products"
    if memory_share < 0.5:
        return "small passes: a larger micro-batch fits, try run.micro_sequences"
    return "memory traffic and starts of kernels between the products"


def row(name: str, case: Case, found: Measured, card: dict[str, Any]) -> list[Any]:
    """A line of the table."""
    work = flops_per_token(settings_of(case)[1], case.tokens) * found.tokens_per_second
    share = work / card["matmul"]
    sheet = None if card["sheet"] is None else 100 * work / card["sheet"]
    return [name, found.attention, round(found.tokens_per_second), work / 1e12, sheet,
            100 * share, found.peak / 2**30, planned(case)["planned_gib"], found.first_step,
            limit(share, found.peak / card["memory"])]  # fmt: skip


COLUMNS: Final = ("model", "attention", "tokens/s", "TFLOP/s", "MFU %, data sheet",
                  "MFU %, measured product", "peak GiB", "planned GiB", "first step s",
                  "limit")  # fmt: skip


def main() -> None:
    """Measure, or say what would be measured."""
    import torch

    asked = _arguments()

    chosen = {name: CASES[name] for name in asked.names or CASES}
    if asked.plan or not torch.cuda.is_available():
        _say_plan(chosen, gpu=torch.cuda.is_available())
        return
    device = torch.device("cuda")
    card = {
        "name": torch.cuda.get_device_name(device), "sheet": peak_flops(device, "bfloat16"),
        "matmul": flops([CUBE], dtype=torch.bfloat16, device=device, repeats=20),
        "memory": torch.cuda.get_device_properties(device).total_memory,
    }  # fmt: skip
    sys.stderr.write(f"{card['name']}: {card['matmul'] / 1e12:.0f} TFLOP/s at 8192³, random\n")
    rows, found = [], {}
    for name, case in chosen.items():
        found[name] = measure(case, asked.steps)
        rows.append(row(name, case, found[name], card))
        sys.stderr.write(f"{name}: {found[name].tokens_per_second:,.0f} tokens/s\n")
    sys.stdout.write(Table(f"training in bfloat16 on {card['name']}", COLUMNS, rows).text() + "\n")
    if asked.json:
        table = {"card": card, "cases": {n: asdict(m) for n, m in found.items()}}
        asked.json.write_text(json.dumps(table, indent=1), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench gpu", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", help=f"some of {', '.join(CASES)}")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plan", action="store_true", help="only say what would run")
    asked = parser.parse_args()
    if unknown := set(asked.names) - CASES.keys():
        parser.error(f"no such model: {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    return asked


def _say_plan(chosen: dict[str, Case], *, gpu: bool) -> None:
    said = "" if gpu else "There is no CUDA device here. "
    sys.stdout.write(f"{said}On one, this would run:\n")
    for name, case in chosen.items():
        plan = planned(case)
        sys.stdout.write(
            f"{name}: {case.batch} sequences of {case.tokens} tokens a step, {case.micro} a pass; "
            f"{plan['flops_per_token']:.3g} FLOP a token, {plan['planned_gib']:.1f} GiB planned\n"
            f"  {plan['command']}\n"
        )


if __name__ == "__main__":
    main()
