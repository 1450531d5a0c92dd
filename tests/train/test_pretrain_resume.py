"""Runs that are interrupted, killed, or out of disk end in the same bits as one without a stop."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.command import command
from yanmo.errors import DataError, RecipeError
from yanmo.train import checkpoint, loop
from yanmo.train.journal import Journal, read_journal
from yanmo.train.pretrain import pretrain
from yanmo.train.recipe import LINEAR

from .whole_runs import LORA, NEW_ROWS, SMALL, TWENTY, Make, interrupt_at, recipe_of, same_bits


@pytest.mark.parametrize("stops", [(10,), (7, 13)], ids=str)
def test_interrupted_runs_end_in_the_same_bits(
    stops: tuple[int, ...], straight: Path, shards: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """20 = 10 + resume + 10, and 20 = 7 + 6 + 7: peers broke at the second resume."""
    interrupt_at(monkeypatch, *stops)
    for _ in stops:
        with pytest.raises(KeyboardInterrupt):
            pretrain(recipe_of(*TWENTY), shards, tmp_path / "run", quiet=True)
        # The step that was running when the signal came is finished and saved.
    pretrain(recipe_of(*TWENTY), shards, tmp_path / "run", quiet=True)
    same_bits(straight, tmp_path / "run")


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    straight: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chance to save: steps after the checkpoint are taken again, and their log lines go."""
    recipe = recipe_of(*TWENTY, "run.save_steps=6", "run.keep_last=5")
    step = loop.Trainer._step

    def dies(self: loop.Trainer, batches: Any, *, stop: bool) -> Any:
        if self.run.progress.step == 16:
            raise RuntimeError("power cut")
        return step(self, batches, stop=stop)

    monkeypatch.setattr(loop.Trainer, "_step", dies)
    with pytest.raises(RuntimeError, match="power cut"):
        pretrain(recipe, shards, tmp_path / "run", quiet=True)
    monkeypatch.undo()
    saved = checkpoint.checkpoints(tmp_path / "run")
    assert [n for n, _ in saved] == [6, 12]
    assert read_journal(tmp_path / "run")[-1]["step"] == 16
    # The newest is torn as well: it lost a byte.
    weights = saved[-1][1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    start = [e for e in read_journal(tmp_path / "run") if e["kind"] == "start"]
    assert [e["resumed_from"] for e in start] == [None, "step-00000006"]
    same_bits(straight, tmp_path / "run")


def test_a_finished_run_is_not_done_again(straight: Path, shards: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in straight.rglob("*")}
    again = pretrain(recipe_of(*TWENTY), shards, straight, quiet=True)
    assert again["already_done"]
    assert {p: p.stat().st_mtime_ns for p in straight.rglob("*")} == before


def test_a_finished_run_can_be_made_longer(straight: Path, shards: Path, tmp_path: Path) -> None:
    shutil.copytree(straight, tmp_path / "run")
    longer = pretrain(recipe_of("tokens=5760"), shards, tmp_path / "run", quiet=True)
    assert longer["steps"] == 30
    assert not longer["already_done"]


def test_other_settings_do_not_continue_a_run(straight: Path, shards: Path) -> None:
    with pytest.raises(RecipeError, match=r"other settings.*optimizer\.lr"):
        pretrain(recipe_of(*TWENTY, "optimizer.lr=0.02"), shards, straight, quiet=True)


def test_other_shards_do_not_continue_a_run(
    straight: Path, tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    shutil.copytree(straight, tmp_path / "run")
    other = write_shards(tmp_path / "s", [documents(120, seed=4)])
    with pytest.raises(DataError, match="not the shards"):
        pretrain(recipe_of("tokens=5760"), other, tmp_path / "run", quiet=True)


@pytest.mark.parametrize("choice", [LORA, NEW_ROWS], ids=["lora", "new rows"])
def test_partial_training_resumes_to_the_same_bits(
    choice: tuple[str, ...], shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapters with dropout (so the generators count), and new rows alone."""
    base = ("tokens=384", "model.tied=false")
    pretrain(recipe_of(*base), shards, tmp_path / "base", quiet=True)
    recipe = recipe_of("tokens=1920", f"init={tmp_path / 'base/model'}", *choice)
    pretrain(recipe, shards, tmp_path / "straight", quiet=True)
    interrupt_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        pretrain(recipe, shards, tmp_path / "run", quiet=True)
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    same_bits(tmp_path / "straight", tmp_path / "run")
    first, last = (load_file(tmp_path / n / "model/model.safetensors") for n in ("base", "run"))
    moved = {n.split(".")[-2] for n in first if not torch.equal(first[n], last[n])}
    if choice is NEW_ROWS:
        assert moved == {"embed_tokens", "lm_head"}
        assert all(torch.equal(first[n][:40], last[n][:40]) for n in first if "proj" not in n)
        lines = [e for e in read_journal(tmp_path / "run") if e["kind"] == "train"]
        assert lines[-1]["new_token_loss"] < lines[0]["new_token_loss"]
        assert (tmp_path / "run/model/config.json").is_file()
    else:
        assert moved == {*LINEAR, "lm_head"}
        assert (tmp_path / "run/adapter/adapter_model.safetensors").is_file()


def test_a_base_that_changed_does_not_continue_a_run(shards: Path, tmp_path: Path) -> None:
    pretrain(recipe_of("tokens=192"), shards, tmp_path / "base", quiet=True)
    settings = (f"init={tmp_path / 'base/model'}", "lora.rank=2")
    pretrain(recipe_of("tokens=192", *settings), shards, tmp_path / "run", quiet=True)
    shutil.rmtree(tmp_path / "base")
    pretrain(recipe_of("tokens=192", "seed=5"), shards, tmp_path / "base", quiet=True)
    with pytest.raises(DataError, match="has changed"):
        pretrain(recipe_of("tokens=384", *settings), shards, tmp_path / "run", quiet=True)


def test_a_full_disk_loses_nothing(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(*TWENTY, "run.save_steps=6", "run.keep_last=9")
    write = checkpoint.save_model

    def full(config: Any, weights: Any, folder: Path, **options: Any) -> None:
        write(config, weights, folder, **options)
        if "00000012" in folder.name:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_model", full)
    with pytest.raises(DataError, match=r"step-00000012.*No space left.*Make room"):
        pretrain(recipe, shards, tmp_path / "run", quiet=True)
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000006"]
    assert pretrain(recipe, shards, tmp_path / "run", quiet=True)["steps"] == 20


def test_a_log_that_cannot_be_written_loses_nothing(
    straight: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up between two checkpoints; one line says so, and the same command goes on."""
    sets = [part for s in (*SMALL, *TWENTY, "run.save_steps=6") for part in ("--set", s)]
    line = ("train", "pretrain", shards, "--out", tmp_path / "run", "-q", *sets)
    write = Journal.write

    def full(self: Journal, kind: str, step: int, **values: Any) -> None:
        if kind == "train" and step == 9:
            raise OSError(28, "No space left on device", str(self.path))
        write(self, kind, step, **values)

    monkeypatch.setattr(Journal, "write", full)
    ended = command(*line)
    assert ended.code == 1
    assert "No space left" in ended.err
    assert "metrics.jsonl" in ended.err
    assert "Traceback" not in ended.err
    monkeypatch.undo()
    ended = command(*line)
    assert ended.code == 0, ended.err
    same_bits(straight, tmp_path / "run")


def test_every_limit_of_file_size_leaves_whole_checkpoints(shards: Path, tmp_path: Path) -> None:
    """A real refusal by the kernel (RLIMIT_FSIZE), whatever file meets it first."""
    program = (
        "import resource, sys; from yanmo.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); main()"
    )
    sets = [part for s in (*SMALL, *TWENTY, "run.save_steps=6") for part in ("--set", s)]
    line = ["train", "pretrain", str(shards), "--out", str(tmp_path / "run"), "-q", *sets]
    ended = subprocess.run(
        [sys.executable, "-c", program, *line], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    assert "File too large" in ended.stderr
    assert "Make room" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert checkpoint.checkpoints(tmp_path / "run") == []
    assert command(*line).code == 0
    assert checkpoint.checkpoints(tmp_path / "run")[-1][0] == 20
