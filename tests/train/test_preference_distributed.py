"""Two processes train reward models and DPO as one does, with unequal shares of pairs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from yanmo.train import checkpoint
from yanmo.train.journal import read_journal
from yanmo.train.preference import train_dpo
from yanmo.train.preference_run import Task
from yanmo.train.reward import train_reward

from .preference_runs import (
    QUICK,
    chat_model,
    dpo_recipe,
    reward_recipe,
    star_rankings,
    write_rows,
)

# The last step has one ranking, so one process has none; rankings hold two to five answers.
SHARED = ("precision=float64", "data.batch_rankings=5", "optimizer.lr=0.01", "run.micro_tokens=150",
          "epochs=1.3")  # fmt: skip
JOBS = (("reward", ()), ("dpo", ()), ("dpo", ("lora.rank=2",)))


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    model = chat_model(tmp_path / "m", tied=False)
    data = write_rows(tmp_path / "r.jsonl", star_rankings(28))
    jobs: list[dict[str, Any]] = []
    for number, (kind, extra) in enumerate(JOBS):
        task = Task([data], tmp_path / f"alone-{number}")
        if kind == "dpo":
            train_dpo(dpo_recipe(model, *SHARED, *extra), task, quiet=True)
        else:
            train_reward(reward_recipe(model, *SHARED, *extra), task, quiet=True)
        overrides = [*QUICK, *SHARED, *extra, f"model={json.dumps(str(model))}"]
        jobs.append({"kind": kind, "data": str(data), "out": str(tmp_path / f"two-{number}"),
                     "overrides": overrides})  # fmt: skip
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(Path(__file__).with_name("preference_jobs.py")), json.dumps(jobs),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for number in range(len(JOBS)):
        near(tmp_path / f"alone-{number}", tmp_path / f"two-{number}")


def near(a: Path, b: Path) -> None:
    assert [e["processes"] for e in read_journal(b) if e["kind"] == "start"] == [2]
    for kind in ("train", "eval"):
        one, two = ([e for e in read_journal(run) if e["kind"] == kind] for run in (a, b))
        assert len(one) == len(two) > 0
        for first, second in zip(one, two, strict=True):
            for key in ("loss", "accuracy", "margin"):
                assert first[key] == pytest.approx(second[key], abs=1e-9)
    models = [checkpoint.checkpoints(run)[-1][1] / "model.safetensors" for run in (a, b)]
    first, second = (load_file(path) for path in models)
    for key, value in first.items():
        assert (value - second[key]).abs().max().item() <= 1e-6, key
