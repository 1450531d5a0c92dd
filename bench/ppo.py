"""PPO beside TRL's: the gold rule on held-out prompts, at equal samples.

    python -m bench.ppo FOLDER [--seeds 0 1 2]

Policy, reward model (with the same shift and scale), prompts, samples, epochs, mini-batches, rates,
clipping and the coefficient of the KL are those of ``bench.alignment``, whose folder is gone on
with. Both policies then answer the held-out prompts through one sampler with the same numbers
drawn, and the rule judges; the difference is by prompt, with a paired bootstrap.

TRL draws its own prompts and samples, so that runs are compared, not steps.
"""

import argparse
import json
import shutil
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

BETA: Final = 0.1
ANSWERS: Final = 4  # to each held-out prompt
HEAD: Final = (
    "| seed | gold before | yanmo | TRL | yanmo − TRL, 95 % | p | KL of yanmo | "
    "processor s, yanmo | TRL |\n" + "|---" * 9 + "|"
)


def ours(folder: Path, seed: int) -> dict[str, Any]:
    """Our run of a seed; as TRL has no early stop, ours is off."""
    place = folder / f"seed-{seed}"
    return alignment.yanmo(
        "train", "ppo", str(folder / "prompts.jsonl"), "--model", str(place / "sft"), "--reward",
        str(place / "reward"), "--gold", alignment.GOLD, "--heldout", str(folder / "heldout.jsonl"),
        "--out", str(place / "beside-trl"), "--seed", str(seed),
        settings=(*alignment.PPO, f"kl.coefficient={BETA:g}", "update.stop_kl=off"),
    )  # fmt: skip


def settings(out: Path) -> dict[str, float]:
    """Shift and scale of the reward in our run, from its checkpoint."""
    newest = max((out / "checkpoints").iterdir())
    progress = read_json(newest / "yanmo" / "state.json")["progress"]
    return {"shift": progress["shift"], "scale": progress["scale"]}


def theirs(folder: Path, seed: int, peer: Peer) -> dict[str, Any]:
    """TRL's run of a seed; the policy lies in ``trl`` beside ours."""
    place = folder / f"seed-{seed}"
    out, cost = place / "trl", place / "trl.cost.json"
    if cost.is_file():
        return dict(read_json(cost))
    model, reward = place / "sft" / "model", place / "reward" / "model"
    text = ChatText(model)
    lines = (folder / "prompts.jsonl").read_text("utf-8").splitlines()
    asked = [[{"role": "user", "content": json.loads(line)["prompt"]}] for line in lines]
    took = peer.ask(
        "train", model=str(model), reward=str(reward), **settings(place / "beside-trl"),
        prompts=[list(ids) for ids in text.prompts(asked)], end=text.end, out=str(out), seed=seed,
        iterations=12, batch=64, minis=4, epochs=4, tokens=48, lr=3e-4, beta=BETA, clip=0.2, vf=0.1,
        threads=1,
    )  # fmt: skip
    for path in model.iterdir():
        if path.is_file() and not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)
    cost.write_text(json.dumps(took), encoding="utf-8")
    return took


def gold(folder: Path, model: Path, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(prompts,) mean of the rule over the answers to each held-out prompt."""
    out = model.parent / f"gold-{name}.jsonl"
    alignment.yanmo(
        "train", "generate", str(model), "--prompts", str(folder / "heldout.jsonl"), "--n",
        str(ANSWERS), "--max-tokens", "48", "--temperature", "1", "--top-p", "1", "--seed", "7",
        "--out", str(out),
    )  # fmt: skip
    rule, rows = RuleReward(alignment.GOLD), map(json.loads, out.read_text("utf-8").splitlines())
    return np.array([
        np.mean([rule(answer, {}, where=row["id"]) for answer in row["responses"]]) for row in rows
    ])  # fmt: skip


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    interpreter("trl_ppo")
    click.echo(HEAD)
    for seed in given.seeds:
        alignment.prepare(given.folder, seed)
        own = ours(given.folder, seed)
        with Peer("trl_ppo", "trl_ppo") as peer:
            cost = theirs(given.folder, seed, peer)
        place = given.folder / f"seed-{seed}"
        before, mine, other = (
            gold(given.folder, model, name)
            for model, name in ((place / "sft", "sft"), (place / "beside-trl", "yanmo"),
                                (place / "trl", "trl"))
        )  # fmt: skip
        found = paired_bootstrap([mine], [other], seed=0)
        click.echo(
            f"| {seed} | {before.mean():.3f} | {mine.mean():.3f} | {other.mean():.3f} | "
            f"{found.low:+.3f} … {found.high:+.3f} | {found.p:.2g} | {own['kl']:.2f} | "
            f"{own['cost']['processor']:.0f} | {cost['processor']:.0f} |"
        )


if __name__ == "__main__":
    main()
