"""PPO beside TRL's: the gold rule on held-out prompts, at equal samples.

    python -m bench.ppo FOLDER [--seeds 0 1 2] [--runs 4] [--iterations 4 12]

Policy, reward model (with the same shift and scale), prompts, samples, epochs, mini-batches, rates,
clipping and the coefficient of the KL are those of ``bench.alignment``, whose folder is gone on
with. What TRL has not is off in ours (early stop, clipped gradients), and a response without an end
loses 1, as it does there. Both policies then answer the held-out prompts through one sampler with
the same numbers drawn, and the rule judges; the difference is by prompt, with a paired bootstrap,
and then by run.

TRL draws its own prompts and samples, so that runs are compared, not steps: hence several.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from yanmo.files import read_json
from yanmo.stats import paired_bootstrap
from yanmo.train.chat_text import ChatText
from yanmo.train.rlhf_rules import RuleReward

from . import alignment
from .environments import interpreter
from .rounds import Peer

Gold = np.ndarray[Any, np.dtype[np.float64]]

BETA: Final = 0.1
ANSWERS: Final = 4  # to each held-out prompt
PROMPTS: Final = 64  # of an iteration
EQUAL: Final = (
    f"kl.coefficient={BETA:g}", "update.stop_kl=off", "optimizer.clip=off",
    "reward.missing_end_score=off", "reward.missing_end_penalty=1",
)  # fmt: skip
HEAD: Final = (
    "| samples | seed | run | gold before | yanmo | TRL | yanmo − TRL, 95 % | p | KL of yanmo | "
    "processor s, yanmo | TRL |\n" + "|---" * 11 + "|"
)


@dataclass(frozen=True)
class Run:
    """One run of both sides: the seed of its SFT and reward model, its own, and its length."""

    folder: Path
    seed: int
    number: int
    iterations: int

    @property
    def models(self) -> Path:
        """Where the SFT and the reward model lie."""
        return self.folder / f"seed-{self.seed}"

    @property
    def dice(self) -> int:
        """The seed of what is drawn."""
        return self.seed + 100 * self.number

    def place(self, side: str) -> Path:
        """Where a side writes."""
        return self.models / "beside-trl" / f"{side}-{self.iterations}-{self.number}"


def ours(run: Run) -> dict[str, Any]:
    """Our side of a run."""
    run.place("yanmo").parent.mkdir(exist_ok=True)
    return alignment.yanmo(
        "train", "ppo", str(run.folder / "prompts.jsonl"), "--model", str(run.models / "sft"),
        "--reward", str(run.models / "reward"), "--gold", alignment.GOLD, "--heldout",
        str(run.folder / "heldout.jsonl"), "--out", str(run.place("yanmo")), "--seed",
        str(run.dice), settings=(*alignment.PPO, f"iterations={run.iterations}", *EQUAL),
    )  # fmt: skip


def settings(out: Path) -> dict[str, float]:
    """Shift and scale of the reward in our run, from its checkpoint."""
    newest = max((out / "checkpoints").iterdir())
    progress = read_json(newest / "yanmo" / "state.json")["progress"]
    return {"shift": progress["shift"], "scale": progress["scale"]}


def theirs(run: Run, peer: Peer) -> dict[str, Any]:
    """TRL's side of a run."""
    out = run.place("trl")
    cost = out.with_name(f"{out.name}.cost.json")
    if cost.is_file():
        return dict(read_json(cost))
    model, reward = run.models / "sft" / "model", run.models / "reward" / "model"
    text = ChatText(model)
    lines = (run.folder / "prompts.jsonl").read_text("utf-8").splitlines()
    asked = [[{"role": "user", "content": json.loads(line)["prompt"]}] for line in lines]
    took = peer.ask(
        "train", model=str(model), reward=str(reward), **settings(run.place("yanmo")),
        prompts=[list(ids) for ids in text.prompts(asked)], end=text.end, out=str(out),
        seed=run.dice, iterations=run.iterations, batch=PROMPTS, minis=4, epochs=4, tokens=48,
        lr=3e-4, beta=BETA, clip=0.2, vf=0.1, threads=1,
    )  # fmt: skip
    for path in model.iterdir():
        if path.is_file() and not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)
    cost.write_text(json.dumps(took), encoding="utf-8")
    return took


def gold(folder: Path, model: Path) -> Gold:
    """(prompts,) mean of the rule over the answers to each held-out prompt."""
    out = model.with_name(f"{model.name}.answers.jsonl")
    alignment.yanmo(
        "train", "generate", str(model), "--prompts", str(folder / "heldout.jsonl"), "--n",
        str(ANSWERS), "--max-tokens", "48", "--temperature", "1", "--top-p", "1", "--seed", "7",
        "--out", str(out),
    )  # fmt: skip
    rule, rows = RuleReward(alignment.GOLD), map(json.loads, out.read_text("utf-8").splitlines())
    return np.array([
        np.mean([rule(answer, {}, where=row["id"]) for answer in row["responses"]]) for row in rows
    ])  # fmt: skip


def beside(run: Run) -> tuple[float, float]:
    """Both sides of a run, as a line; the gold reward of each."""
    own = ours(run)
    with Peer("trl_ppo", "trl_ppo") as peer:
        cost = theirs(run, peer)
    before, mine, other = (
        gold(run.folder, model)
        for model in (run.models / "sft", run.place("yanmo"), run.place("trl"))
    )
    found = paired_bootstrap([mine], [other], seed=0)
    click.echo(
        f"| {run.iterations * PROMPTS} | {run.seed} | {run.number} | {before.mean():.3f} | "
        f"{mine.mean():.3f} | {other.mean():.3f} | {found.low:+.3f} … {found.high:+.3f} | "
        f"{found.p:.2g} | {own['kl']:.2f} | {own['cost']['processor']:.0f} | "
        f"{cost['processor']:.0f} |"
    )
    return float(mine.mean()), float(other.mean())


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=int, default=4, help="runs of a seed")
    parser.add_argument("--iterations", type=int, nargs="+", default=[4, 12])
    given = parser.parse_args()
    interpreter("trl_ppo")
    told = []
    click.echo(HEAD)
    for seed in given.seeds:
        alignment.prepare(given.folder, seed)
    for iterations in given.iterations:
        runs = [Run(given.folder, seed, number, iterations)
                for seed in given.seeds for number in range(given.runs)]  # fmt: skip
        mine, other = np.array([beside(run) for run in runs]).T
        found = paired_bootstrap([mine], [other], seed=0)
        told.append(
            f"{iterations * PROMPTS} samples, {len(runs)} runs: yanmo {mine.mean():.4f}, TRL "
            f"{other.mean():.4f}, difference {found.difference:+.4f} ({found.low:+.4f} … "
            f"{found.high:+.4f} by run), p {found.p:.2g}"
        )
    click.echo("\n" + "\n".join(told))


if __name__ == "__main__":
    main()
