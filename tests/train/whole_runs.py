"""Small runs of the trainer, stopped on purpose, and when two of them are the same."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from yanmo import recipe as recipes
from yanmo.train import checkpoint, loop
from yanmo.train.journal import read_journal
from yanmo.train.recipe import Pretrain

Make = Callable[..., Any]

SMALL = (
    "model.preset=nano", "model.width=32", "model.ffn_width=48", "data.sequence_tokens=24",
    "data.batch_tokens=192", "optimizer.lr=0.01", "run.eval_steps=off", "run.save_steps=off",
    "run.log_steps=1", "run.tensorboard=false",
)  # fmt: skip
TWENTY = ("tokens=3840", "data.batch_tokens=192")
LORA = ("lora.rank=4", "lora.dropout=0.1", 'lora.train_whole=["lm_head"]')
NEW_ROWS = ("trainable.new_rows_from=40", "trainable.only_new_rows=true")


def recipe_of(*overrides: str) -> Pretrain:
    return recipes.load(Pretrain, overrides=(*SMALL, *overrides))


def interrupt_at(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Send a real SIGINT to this process when these steps are done."""
    after = loop.Trainer._after_step

    def hooked(self: loop.Trainer, live: Any) -> None:
        after(self, live)
        if self.run.progress.step in steps:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "_after_step", hooked)


def same_bits(a: Path, b: Path) -> None:
    """Equal bits: weights, optimizer, generators, position; equal log but for the clock."""
    (step, one), (other, two) = checkpoint.checkpoints(a)[-1], checkpoint.checkpoints(b)[-1]
    assert step == other
    for name in ("model.safetensors", "yanmo/optimizer.safetensors", "yanmo/rng.safetensors"):
        first, second = load_file(one / name), load_file(two / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    states = [json.loads((p / "yanmo/state.json").read_text()) for p in (one, two)]
    for state in states:
        state["progress"].pop("seconds")
    assert states[0] == states[1]
    clock = ("seconds", "tokens_per_second")
    logs = [
        [{k: v for k, v in e.items() if k not in clock} for e in read_journal(p)
         if e["kind"] != "start"]
        for p in (a, b)
    ]  # fmt: skip
    assert logs[0] == logs[1]
