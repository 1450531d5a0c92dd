"""Two processes must do what one does: DDP and FSDP2 over gloo, started by torchrun."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from yanmo import recipe as recipes
from yanmo.errors import RecipeError, UsageError
from yanmo.train import checkpoint
from yanmo.train.distributed import World, join, pick_device
from yanmo.train.journal import read_journal
from yanmo.train.pretrain import pretrain
from yanmo.train.recipe import DataSettings, OptimizerSettings, Pretrain, RunSettings
from yanmo.train.setup import check_parallel

Make = Callable[..., Any]
RECIPE = """
tokens = 1920
precision = "float64"
[model]
preset = "nano"
width = 32
ffn_width = 48
[data]
sequence_tokens = 24
batch_tokens = 192
[optimizer]
lr = 0.01
z_loss = 1e-4
[schedule]
kind = "constant"
warmup_tokens = 400
[run]
tensorboard = false
log_steps = 1
micro_sequences = 2
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, write_shards: Make, documents: Make) -> Path:
    folder: Path = tmp_path_factory.mktemp("shards") / "s"
    write_shards(folder, [documents(60, seed=1)])
    write_shards(folder / "heldout", [documents(20, seed=2)], split="heldout")
    (folder.parent / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def runs(shards: Path) -> Path:
    """``alone``: ten steps in this process. ``replicate`` and ``shard``: the same on two processes.

    ``elastic``: four steps alone, three sharded on two, three alone again.
    """
    folder = shards.parent

    def job(out: str, *overrides: str) -> dict[str, Any]:
        recipe = str(folder / "recipe.toml")
        return {"shards": str(shards), "out": str(folder / out), "recipe": recipe,
                "overrides": overrides}  # fmt: skip

    def here(out: str, *overrides: str) -> None:
        settings = recipes.load(Pretrain, folder / "recipe.toml", overrides)
        pretrain(settings, shards, folder / out, quiet=True)

    here("alone")
    here("elastic", "tokens=768")
    jobs = [
        job("replicate"), job("shard", "run.parallel=shard"),
        job("elastic", "run.parallel=shard", "tokens=1344"),
    ]  # fmt: skip
    on_two_processes(jobs)
    here("elastic")
    return folder


def on_two_processes(jobs: list[dict[str, Any]]) -> None:
    """Carry out runs under torchrun."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(Path(__file__).with_name("run_jobs.py")), json.dumps(jobs),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr


def near(a: Path, b: Path) -> None:
    """Weights after ten steps in float64, optimizer state, and the logged losses."""
    one, two = (checkpoint.checkpoints(run)[-1][1] for run in (a, b))
    for name in ("model.safetensors", "yanmo/optimizer.safetensors"):
        first, second = load_file(one / name), load_file(two / name)
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert (value - second[key]).abs().max().item() <= 1e-7, key
    losses = [[e["loss"] for e in read_journal(run) if e["kind"] == "train"] for run in (a, b)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-10)
    held = [[e["loss"] for e in read_journal(run) if e["kind"] == "eval"][-1] for run in (a, b)]
    assert held[1] == pytest.approx(held[0], rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["replicate", "shard"])
def test_two_processes_are_one(how: str, runs: Path) -> None:
    start = read_journal(runs / how)[0]
    assert start["parallel"] == how
    assert start["processes"] == 2
    near(runs / "alone", runs / how)


@pytest.mark.slow
def test_a_run_changes_its_number_of_processes(runs: Path) -> None:
    starts = [e["processes"] for e in read_journal(runs / "elastic") if e["kind"] == "start"]
    assert starts == [1, 2, 1]
    near(runs / "alone", runs / "elastic")


def test_one_process_is_its_own_world() -> None:
    with join("cpu") as world:
        assert world.main
        assert world.gather("x") == ["x"]
        assert world.sum(torch.tensor([2.0])).tolist() == [2.0]
        world.barrier()


def test_devices_that_are_not_there_are_refused() -> None:
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="no such device"):
        pick_device("abacus")
    if not torch.cuda.is_available():
        assert pick_device("auto").type == "cpu"
        with pytest.raises(UsageError, match="no CUDA device"):
            pick_device("cuda")


def test_what_several_processes_cannot_do_is_refused() -> None:
    two, three = (World(torch.device("cpu"), 0, size) for size in (2, 3))
    check_parallel(Pretrain(), two)
    with pytest.raises(RecipeError, match="cannot be shared by 3"):
        check_parallel(Pretrain(data=DataSettings(sequence_tokens=8, batch_tokens=64)), three)
    shard = RunSettings(parallel="shard")
    with pytest.raises(RecipeError, match="Muon"):
        check_parallel(Pretrain(optimizer=OptimizerSettings(kind="muon"), run=shard), two)
    prompts = RunSettings(parallel="shard", sample_prompts=("a",))
    with pytest.raises(RecipeError, match="samples"):
        check_parallel(Pretrain(run=prompts), two)
    check_parallel(Pretrain(run=prompts), World(torch.device("cpu")))
