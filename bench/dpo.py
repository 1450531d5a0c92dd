"""``python -m bench dpo``: DPO beside trl, the same model, pairs, order and settings.

Pairs are Chinese preference data of `$YANMO_REALDATA/instruct`. First the ids that both train on
are compared, then the loss of every step. Processor seconds include reading, the reference and all
steps on both sides; ours also writes checkpoints and a report.

Tables go to stderr, JSON to stdout.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from yanmo import recipe as recipes
from yanmo.report import Table
from yanmo.train.chat_text import ChatText
from yanmo.train.journal import read_journal
from yanmo.train.preference import train_dpo
from yanmo.train.preference_batch import Order
from yanmo.train.preference_data import Judged, Ranked, load_answers, read_judged
from yanmo.train.preference_recipe import Dpo
from yanmo.train.preference_run import Task

from .environments import ask

TOLERANCE: Final = 1e-3
MODEL: Final = "models/minimind2-small"
DATA: Final = "instruct/dpo_zh_500.jsonl.zst"


def main(arguments: Sequence[str]) -> None:
    """Run what the command line asks for."""
    asked = _parser().parse_args(arguments)
    torch.set_num_threads(asked.threads)
    root = Path(os.environ["YANMO_REALDATA"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = pick(root, folder / "pairs.jsonl", asked.pairs, asked.max_tokens)
        ours = run_ours(root / MODEL, data, folder / "run", asked)
        theirs = run_trl(root / MODEL, data, folder, asked)
    compare(ours, theirs, asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench dpo", description=__doc__)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=220)
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def pick(root: Path, path: Path, count: int, max_tokens: int) -> Path:
    """The first pairs that both tokenise alike: trl encodes prompt and answer as one text."""
    chat = ChatText(root / MODEL)
    kept = []
    for judged in read_judged(root / DATA):
        prompt = [m.table() for m in judged.prompt]
        ids = chat.prompts([prompt])[0]
        said = chat.answers(judged.answers)
        fits = all(len(ids) + len(answer) <= max_tokens for answer in said)
        if fits and all(_joint(chat, judged, k) == (*ids, *said[k]) for k in (0, 1)):
            row = {"prompt": prompt, "chosen": judged.answers[0], "rejected": judged.answers[1]}
            kept.append(json.dumps(row, ensure_ascii=False))
        if len(kept) == count:
            break
    path.write_text("\n".join(kept) + "\n", "utf-8")
    return path


def _joint(chat: ChatText, judged: Judged, k: int) -> tuple[int, ...]:
    text = chat.template.render([m.table() for m in judged.prompt])
    return chat.encode([text + judged.answers[k]])[0] + (chat.end,)


def recipe_of(model: Path, asked: argparse.Namespace) -> Dpo:
    """Our recipe for the settings that trl is given."""
    return recipes.load(Dpo, overrides=(
        f"model={json.dumps(str(model))}", f"optimizer.lr={asked.lr}", "optimizer.beta2=0.999",
        f"loss.beta={asked.beta}", "schedule.kind=constant", "schedule.warmup_share=0",
        f"data.batch_rankings={asked.batch}", f"data.max_tokens={asked.max_tokens}",
        "data.heldout_share=0", "run.tensorboard=false", "run.save_steps=off",
    ))  # fmt: skip


def run_ours(model: Path, data: Path, out: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Steps of our run, and what they cost."""
    began = time.process_time()
    train_dpo(recipe_of(model, asked), Task([data], out), quiet=True)
    spent = time.process_time() - began
    steps = [
        {"loss": e["loss"], "margin": e["margin"], "chosen": e["chosen_log_probability"],
         "rejected": e["rejected_log_probability"], "grad_norm": e["grad_norm"]}
        for e in read_journal(out) if e["kind"] == "train"
    ]  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"steps": steps, "processor_seconds": spent, "peak_bytes": peak}


def run_trl(model: Path, data: Path, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """The same by trl, with the pairs in the order in which ours reads them."""
    chat = ChatText(model)
    answers = load_answers([data], chat, max_tokens=asked.max_tokens).rankings
    judged = list(read_judged(data))
    order = Order(tuple(range(len(answers))), asked.batch, len(answers), seed=0)
    read = [i for step in range(order.steps) for i in order.step(step)]
    pairs = [
        {"prompt": chat.template.render([m.table() for m in judged[i].prompt]),
         "chosen": judged[i].answers[0], "rejected": judged[i].answers[1]}
        for i in read
    ]  # fmt: skip
    request = {"model": str(model), "threads": asked.threads, "pairs": pairs, "lr": asked.lr,
               "batch": asked.batch, "beta": asked.beta, "folder": str(folder / "trl")}  # fmt: skip
    found = ask("trl", "trl_dpo", request)
    same_ids(found.pop("ids"), [answers[i] for i in read])
    return found


def same_ids(theirs: list[list[list[int]]], ours: list[Ranked]) -> None:
    """Raise if both sides do not train on the same ids."""
    mine = [[list(r.prompt), *(list(answer) for answer in r.answers)] for r in ours]
    if theirs != mine:
        odd = next(i for i, (a, b) in enumerate(zip(theirs, mine, strict=True)) if a != b)
        raise SystemExit(f"pair {odd} has other ids: {theirs[odd]} and {mine[odd]}")


def compare(ours: dict[str, Any], theirs: dict[str, Any], asked: argparse.Namespace) -> None:
    """Tables to stderr, JSON to stdout."""
    rows = []
    for number, (a, b) in enumerate(zip(ours["steps"], theirs["steps"], strict=True), 1):
        rows.append((number, round(a["loss"], 6), round(b["loss"], 6), a["loss"] - b["loss"],
                     round(a["chosen"], 3), round(b["chosen"], 3)))  # fmt: skip
    columns = ("step", "loss", "loss of trl", "difference", "chosen log p", "of trl")
    gap = max(abs(row[3]) for row in rows)
    costs = [("yanmo", ours["processor_seconds"], ours["peak_bytes"] / 1e6),
             ("trl", theirs["processor_seconds"], theirs["peak_bytes"] / 1e6)]  # fmt: skip
    sys.stderr.write(Table("DPO, step by step", columns, rows).text() + "\n\n")
    sys.stderr.write(
        Table("Cost", ("who", "processor seconds", "peak MB"), costs).text()
        + f"\n\nlargest difference of the loss {gap:.2e} "
        f"({'within' if gap <= TOLERANCE else 'NOT within'} {TOLERANCE})\n"
    )
    result = {"settings": vars(asked), "ours": ours, "trl": theirs, "largest_difference": gap}
    sys.stdout.write(json.dumps(result) + "\n")
    if gap > TOLERANCE:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
