"""PPO beside TRL's: the gold rule on held-out prompts, at equal samples.

    python -m bench.ppo FOLDER [--seeds 0 1 2] [--runs 4] [--iterations 4 12]

Policy, reward model (with the same shift and scale), prompts, samples, epochs, mini-batches, rates,
clipping and the coefficient of the KL are those of ``bench.alignment``, whose folder is gone on
with. What TRL has not is off in ours (early stop, clipped gradients), and a response without an end
loses 1, as it does there. Both policies then answer the held-out prompts through one sampler with
the same numbers drawn, and the rule judges; the difference is by prompt, with a paired bootstrap,
and then by run. What PPO maximises, the score less beta times the KL, is computed on the same
answers (transformers, both sides alike).

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
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import logging

from yanmo.files import read_json
from yanmo.stats import paired_bootstrap
from yanmo.train.chat_text import ChatText
from yanmo.train.rlhf_rules import RuleReward

from . import alignment
from .environments import interpreter
from .rounds import Peer

logging.disable_progress_bar()

Floats = np.ndarray[Any, np.dtype[np.float64]]

BETA: Final = 0.1
ANSWERS: Final = 4  # to each held-out prompt
PROMPTS: Final = 64  # of an iteration
EQUAL: Final = (
    f"kl.coefficient={BETA:g}", "update.stop_kl=off", "optimizer.clip=off",
    "reward.missing_end_score=off", "reward.missing_end_penalty=1",
)  # fmt: skip
HEAD: Final = (
    "| samples | seed | run | gold before | yanmo | TRL | yanmo − TRL, 95 % | p | score, yanmo | "
    "TRL | KL, yanmo | TRL | processor s, yanmo | TRL |\n" + "|---" * 14 + "|"
)
COLUMNS: Final = ("gold", "score", "KL", f"score − {BETA:g} KL")


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
        return self.models / "beside" / f"{side}-{self.iterations}-{self.number}"


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


def answers(model: Path) -> Path:
    """Where a policy's answers to the held-out prompts lie."""
    return model.with_name(f"{model.name}.answers.jsonl")


def gold(folder: Path, model: Path) -> Floats:
    """(prompts,) mean of the rule over the answers to each held-out prompt."""
    out = answers(model)
    alignment.yanmo(
        "train", "generate", str(model), "--prompts", str(folder / "heldout.jsonl"), "--n",
        str(ANSWERS), "--max-tokens", "48", "--temperature", "1", "--top-p", "1", "--seed", "7",
        "--out", str(out),
    )  # fmt: skip
    rule, rows = RuleReward(alignment.GOLD), map(json.loads, out.read_text("utf-8").splitlines())
    return np.array([
        np.mean([rule(answer, {}, where=row["id"]) for answer in row["responses"]]) for row in rows
    ])  # fmt: skip


@torch.no_grad()
def score_and_kl(run: Run, side: str) -> tuple[float, float]:
    """Means over the answers of a side: the reward that was learned from, and nats a response."""
    place, text = run.place(side), ChatText(run.models / "sft" / "model")
    folder = place / "model" if (place / "model").is_dir() else place
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        for path in (folder, run.models / "sft" / "model")
    )
    reward = AutoModelForSequenceClassification.from_pretrained(
        run.models / "reward" / "model", num_labels=1, dtype=torch.float32
    ).eval()
    made, found = settings(run.place("yanmo")), []
    for row in map(json.loads, answers(place).read_text("utf-8").splitlines()):
        asked = list(text.prompts([row["prompt"]])[0])
        for answer in row["responses"]:
            own = text.tokenizer.encode_batch([answer])[0].tolist()
            ids = torch.tensor([[*asked, *own, text.end]])
            mine, theirs = (model(ids).logits[0, len(asked) - 1 : -1].log_softmax(-1)
                            for model in (policy, reference))  # fmt: skip
            value = (float(reward(ids).logits[0, 0]) - made["shift"]) / made["scale"]
            found.append((value, float((mine.exp() * (mine - theirs)).sum())))
    value, kl = np.mean(found, axis=0)
    return float(value), float(kl)


def beside(run: Run) -> Floats:
    """Both sides of a run, as a line; of each side what ``COLUMNS`` says, (2, 4)."""
    own = ours(run)
    with Peer("trl_ppo", "trl_ppo") as peer:
        cost = theirs(run, peer)
    before, mine, other = (
        gold(run.folder, model)
        for model in (run.models / "sft", run.place("yanmo"), run.place("trl"))
    )
    found = paired_bootstrap([mine], [other], seed=0)
    sides = [(rule.mean(), *score_and_kl(run, side)) for rule, side in
             ((mine, "yanmo"), (other, "trl"))]  # fmt: skip
    (_, score, kl), (_, their_score, their_kl) = sides
    click.echo(
        f"| {run.iterations * PROMPTS} | {run.seed} | {run.number} | {before.mean():.3f} | "
        f"{mine.mean():.3f} | {other.mean():.3f} | {found.low:+.3f} … {found.high:+.3f} | "
        f"{found.p:.2g} | {score:.2f} | {their_score:.2f} | {kl:.2f} | {their_kl:.2f} | "
        f"{own['cost']['processor']:.0f} | {cost['processor']:.0f} |"
    )
    return np.array([(*side, side[1] - BETA * side[2]) for side in sides])


def told(samples: int, runs: Floats) -> list[str]:
    """The means over all runs, (runs, 2, 4), and their differences by run."""
    lines = []
    for number, name in enumerate(COLUMNS):
        mine, other = runs[:, :, number].T
        found = paired_bootstrap([mine], [other], seed=0)
        lines.append(
            f"| {samples} | {len(runs)} | {name} | {mine.mean():.4f} | {other.mean():.4f} | "
            f"{found.low:+.4f} … {found.high:+.4f} | {found.p:.2g} |"
        )
    return lines


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=int, default=4, help="runs of a seed")
    parser.add_argument("--iterations", type=int, nargs="+", default=[4, 12])
    given = parser.parse_args()
    interpreter("trl_ppo")
    torch.set_num_threads(1)
    lines = ["| samples | runs | | yanmo | TRL | yanmo − TRL, 95 % by run | p |", "|---" * 7 + "|"]
    for seed in given.seeds:
        alignment.prepare(given.folder, seed)
    click.echo(HEAD)
    for iterations in given.iterations:
        runs = [Run(given.folder, seed, number, iterations)
                for seed in given.seeds for number in range(given.runs)]  # fmt: skip
        lines += told(iterations * PROMPTS, np.array([beside(run) for run in runs]))
    click.echo("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
