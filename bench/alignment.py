"""From dialogues to a policy, on every seed: SFT, reward model, PPO at several coefficients.

    python -m bench.alignment FOLDER [--seeds 0 1 2] [--betas 0.01 0.1 1] [--json OUT]

Every step is a `yanmo` command, as a user types it; running again goes on where it was. The gold
rule (`tidy`: whole sentences, none said twice) ranks the answers that the reward model learns from,
with noise, and judges held-out prompts; PPO sees the reward model alone.
"""

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from yanmo.documents import SCHEMA, write_part
from yanmo.train.rlhf_rules import RuleReward

ROOT = Path(__file__).parent.parent
GOLD = "tidy"
NOISE = 0.15
"""Standard deviation of what the ranking person gets wrong, in units of the gold rule (0 to 1)."""
QUICK = ("run.tensorboard=false", "run.device=cpu")
PRETRAIN = (
    "model.preset=nano", "model.max_tokens=256", "data.sequence_tokens=128",
    "data.batch_tokens=2048", "epochs=1", "optimizer.lr=3e-3", "run.eval_steps=off", *QUICK,
)  # fmt: skip
SFT = (
    "epochs=3", "data.max_tokens=128", "data.batch_sequences=12", "optimizer.lr=3e-3",
    "run.eval_steps=off", "run.save_steps=off", *QUICK,
)  # fmt: skip
REWARD = ("epochs=3", "data.max_tokens=128", "optimizer.lr=3e-4", "run.eval_steps=off", *QUICK)
PPO = (
    "rollout.prompts=64", "rollout.max_tokens=48", "optimizer.lr=3e-4", "value.lr=3e-4",
    "iterations=12", "update.stop_kl=0.1", "run.save_iterations=off", *QUICK,
)  # fmt: skip
SPECIAL = 'special=["<|im_start|>","<|im_end|>"]'


def yanmo(*words: str, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Run a command; its JSON object, and what it took."""
    for setting in settings:
        words = (*words, "--set", setting)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "yanmo", *words, "--json", "-q"], stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise SystemExit(f"yanmo {' '.join(words)}: exit code {done.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cost = _remember(words, {"wall": time.perf_counter() - began, "processor": spent})
    click.echo(f"  {words[0]} {words[1]}: {cost['wall']:.0f} s, "
               f"processor {cost['processor']:.0f} s", err=True)  # fmt: skip
    return {**found, "cost": cost}


def _remember(words: Sequence[str], cost: dict[str, float]) -> dict[str, float]:
    """What a step took when it did its work: running again finds it done, in no time."""
    path = Path(words[words.index("--out") + 1])
    path = path.with_name(f"{path.name}.cost.json")
    before = json.loads(path.read_text()) if path.is_file() else None
    if before is not None and before["processor"] > cost["processor"]:
        return {str(key): float(value) for key, value in before.items()}
    path.write_text(json.dumps(cost))
    return cost


def base(folder: Path) -> Path:
    """Data, tokenizer and a model that has read the texts: the same for all seeds."""
    if not (folder / "base" / "summary.json").is_file():
        make = ROOT / "fixtures" / "dialogues" / "make.py"
        subprocess.run([sys.executable, str(make), str(folder), "--dialogues", "4000"], check=True)
        write_documents(folder / "instructions.jsonl", folder / "documents")
        texts, tokenizer = str(folder / "documents"), str(folder / "tokenizer")
        if not (folder / "tokenizer").is_dir():
            yanmo("vocab", "train", texts, "--out", tokenizer, "--size", "1200", "--shrink",
                  settings=(SPECIAL,))  # fmt: skip
        yanmo("curate", "pack", texts, "--tokenizer", tokenizer, "--out", str(folder / "shards"))
        yanmo("train", "pretrain", str(folder / "shards"), "--out", str(folder / "base"),
              settings=PRETRAIN)  # fmt: skip
    return folder / "base"


def write_documents(dialogues: Path, out: Path) -> None:
    """The dialogues as plain documents, a question with its answer each, for the base model."""
    out.mkdir(exist_ok=True)
    texts = [
        "\n".join(turn["content"] for turn in json.loads(line)["messages"])
        for line in dialogues.read_text("utf-8").splitlines()
    ]
    count = len(texts)
    known = {
        "id": [f"d{number}" for number in range(count)], "text": texts,
        "source": ["dialogues"] * count, "origin": [f"dialogues#{n}" for n in range(count)],
        "n_chars": [len(t) for t in texts], "n_bytes": [len(t.encode()) for t in texts],
    }  # fmt: skip
    columns = {f.name: known.get(f.name, [None] * count) for f in SCHEMA}
    write_part(out / "part-00000.parquet", pa.table(columns, schema=SCHEMA))


def rank(answers: Path, out: Path, seed: int) -> float:
    """Rank each prompt's answers by the gold rule as a tired reader would; the mean of the rule."""
    rule, dice, values = RuleReward(GOLD), random.Random(seed), []
    with out.open("w", encoding="utf-8") as stream:
        for line in answers.read_text("utf-8").splitlines():
            row = json.loads(line)
            gold = [rule(text, {}, where=row["id"]) for text in row["responses"]]
            values += gold
            felt = [value + dice.gauss(0, NOISE) for value in gold]
            row["rank"] = [1 + sum(other > one for other in felt) for one in felt]
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return sum(values) / len(values)


def prepare(folder: Path, seed: int) -> dict[str, Any]:
    """SFT and reward model of a seed."""
    out = folder / f"seed-{seed}"
    out.mkdir(exist_ok=True)
    where = {name: str(out / name) for name in ("sft", "answers.jsonl", "ranked.jsonl", "reward")}
    costs = {}
    common = ("--seed", str(seed))
    costs["sft"] = yanmo("train", "sft", str(folder / "instructions.jsonl"), "--model",
                         str(base(folder) / "model"), "--out", where["sft"], *common,
                         settings=SFT)["cost"]  # fmt: skip
    costs["generate"] = yanmo(
        "train", "generate", where["sft"], "--prompts", str(folder / "prompts.jsonl"), "--n", "4",
        "--max-tokens", "48", "--temperature", "1", "--top-p", "1", "--out",
        where["answers.jsonl"], *common,
    )["cost"]  # fmt: skip
    gold = rank(Path(where["answers.jsonl"]), Path(where["ranked.jsonl"]), seed)
    reward = yanmo("train", "reward", where["ranked.jsonl"], "--model", where["sft"], "--out",
                   where["reward"], *common, settings=REWARD)  # fmt: skip
    costs["reward"] = reward.pop("cost")
    return {"seed": seed, "gold": gold, "reward": reward, "costs": costs}


def ppo(folder: Path, seed: int, beta: float) -> dict[str, Any]:
    """PPO of a seed at a coefficient."""
    out = folder / f"seed-{seed}"
    return yanmo(
        "train", "ppo", str(folder / "prompts.jsonl"), "--model", str(out / "sft"), "--reward",
        str(out / "reward"), "--gold", GOLD, "--heldout", str(folder / "heldout.jsonl"),
        "--out", str(out / f"ppo-{beta:g}"), "--seed", str(seed),
        settings=(*PPO, f"kl.coefficient={beta:g}"),
    )  # fmt: skip


def row(seed: int, beta: float, found: dict[str, Any]) -> str:
    """A line of the table."""
    gold, reward = found["heldout"]["gold"], found["heldout"]["reward"]
    return (
        f"| {seed} | {beta:g} | {gold['before']:.3f} → {gold['after']:.3f} | "
        f"{gold['low']:+.3f} … {gold['high']:+.3f} | {gold['p']:.1g} | "
        f"{reward['before']:.2f} → {reward['after']:.2f} | {found['kl']:.2f} | "
        f"{abs(found['first_ratio'] - 1):g} | {found['first_kl']:g} | "
        f"{found['cost']['wall']:.0f} / {found['cost']['processor']:.0f} |"
    )


HEAD = (
    "| seed | beta | gold, held out | difference, 95 % | p | reward, held out | KL, nats | "
    "first \\|ratio − 1\\| | first KL | seconds: wall / processor |\n" + "|---" * 10 + "|"
)


def told(one: dict[str, Any], betas: Sequence[float]) -> str:
    """What a seed took, and whether the KL falls as the coefficient grows."""
    way = [*one["costs"].values(), one["ppo"][f"{betas[0]:g}"]["cost"]]
    wall, processor = (sum(cost[kind] for cost in way) for kind in ("wall", "processor"))
    kls = [one["ppo"][f"{beta:g}"]["kl"] for beta in sorted(betas)]
    falls = all(a > b for a, b in itertools.pairwise(kls))
    return (f"seed {one['seed']}: SFT, answers, reward model and one PPO {wall:.0f} s, processor "
            f"{processor:.0f} s; KL falls with beta: {falls}")  # fmt: skip


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--betas", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    given.folder.mkdir(parents=True, exist_ok=True)
    click.echo(HEAD)
    results = []
    for seed in given.seeds:
        one = prepare(given.folder, seed)
        one["ppo"] = {f"{beta:g}": ppo(given.folder, seed, beta) for beta in given.betas}
        results.append(one)
        for beta in given.betas:
            click.echo(row(seed, beta, one["ppo"][f"{beta:g}"]))
        click.echo(told(one, given.betas), err=True)
        if given.json is not None:
            given.json.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
