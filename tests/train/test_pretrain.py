"""Whole runs: learning, resuming to the same bits, and every way to fail."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from yanmo import recipe as recipes
from yanmo.errors import DataError, RecipeError, YanmoError
from yanmo.train import checkpoint, loop
from yanmo.train.journal import read_journal
from yanmo.train.pretrain import dry_run, pretrain
from yanmo.train.recipe import LINEAR, Pretrain

Make = Callable[..., Any]

SMALL = (
    "model.preset=nano", "model.width=32", "model.ffn_width=48", "data.sequence_tokens=24",
    "data.batch_tokens=192", "optimizer.lr=0.01", "run.eval_steps=off", "run.save_steps=off",
    "run.log_steps=1", "run.tensorboard=false",
)  # fmt: skip


def _recipe(*overrides: str) -> Pretrain:
    return recipes.load(Pretrain, overrides=(*SMALL, *overrides))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, write_shards: Make, documents: Make) -> Path:
    folder: Path = tmp_path_factory.mktemp("shards") / "s"
    write_shards(folder, [documents(60, seed=i) for i in range(2)])
    write_shards(folder / "heldout", [documents(30, seed=9)], split="heldout")
    return folder


TWENTY = ("tokens=3840", "data.batch_tokens=192")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """Twenty steps without a stop."""
    out = tmp_path_factory.mktemp("straight") / "run"
    pretrain(_recipe(*TWENTY), shards, out, quiet=True)
    return out


def _interrupt_at(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Send a real SIGINT to this process when these steps are done."""
    after = loop.Trainer._after_step

    def hooked(self: loop.Trainer, live: Any) -> None:
        after(self, live)
        if self.run.progress.step in steps:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "_after_step", hooked)


def _same(a: Path, b: Path) -> None:
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


def test_a_run_learns_and_leaves_what_it_promised(straight: Path, shards: Path) -> None:
    from transformers import AutoModelForCausalLM

    summary = json.loads((straight / "summary.json").read_text())
    assert summary.keys() >= {"tokens", "steps", "loss", "tokens_per_second", "mfu"}
    assert summary["steps"] == 20
    assert summary["mfu"] is None
    assert summary["tokens_per_second"] > 0
    assert summary["loss"] < summary["first_loss"] - 0.5
    assert summary["heldout"]["loss"] < np.log(61)
    assert summary["tokens"] == [e["tokens"] for e in read_journal(straight) if "lr" in e][-1]
    assert 0.95 * 3840 < summary["tokens"] <= 3840  # the rest is padding
    assert AutoModelForCausalLM.from_pretrained(straight / "model").config.bos_token_id == 1
    assert recipes.load(Pretrain, straight / "recipe.toml") == _recipe(*TWENTY)
    page = (straight / "report.html").read_text()
    assert "Loss, nats per token" in page
    assert "bits per byte" in page
    lineage = json.loads((straight / "model/yanmo/lineage.json").read_text())
    assert lineage["shards"]["tokenizer_sha256"] == "0" * 64


@pytest.mark.parametrize("stops", [(10,), (7, 13)], ids=str)
def test_interrupted_runs_end_in_the_same_bits(
    stops: tuple[int, ...], straight: Path, shards: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """20 = 10 + resume + 10, and 20 = 7 + 6 + 7: peers broke at the second resume."""
    _interrupt_at(monkeypatch, *stops)
    for _ in stops:
        with pytest.raises(KeyboardInterrupt):
            pretrain(_recipe(*TWENTY), shards, tmp_path / "run", quiet=True)
        # The step that was running when the signal came is finished and saved.
    pretrain(_recipe(*TWENTY), shards, tmp_path / "run", quiet=True)
    _same(straight, tmp_path / "run")


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    straight: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chance to save: steps after the checkpoint are taken again, and their log lines go."""
    recipe = _recipe(*TWENTY, "run.save_steps=6", "run.keep_last=5")
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
    _same(straight, tmp_path / "run")


def test_a_finished_run_is_not_done_again(straight: Path, shards: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in straight.rglob("*")}
    again = pretrain(_recipe(*TWENTY), shards, straight, quiet=True)
    assert again["already_done"]
    assert {p: p.stat().st_mtime_ns for p in straight.rglob("*")} == before


def test_a_finished_run_can_be_made_longer(straight: Path, shards: Path, tmp_path: Path) -> None:
    shutil.copytree(straight, tmp_path / "run")
    longer = pretrain(_recipe("tokens=5760"), shards, tmp_path / "run", quiet=True)
    assert longer["steps"] == 30
    assert not longer["already_done"]


@pytest.mark.parametrize("micro", [1, 3])
def test_accumulation_changes_nothing_but_rounding(
    micro: int, straight: Path, shards: Path, tmp_path: Path
) -> None:
    recipe = _recipe(*TWENTY, f"run.micro_sequences={micro}")
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    a, b = (
        [e["loss"] for e in read_journal(run) if e["kind"] == "train"]
        for run in (straight, tmp_path / "run")
    )
    assert b == pytest.approx(a, rel=1e-4)


def test_the_log_is_of_every_step_and_the_rate_follows_the_plan(straight: Path) -> None:
    lines = [e for e in read_journal(straight) if e["kind"] == "train"]
    assert [e["step"] for e in lines] == list(range(1, 21))
    rates = [e["lr"] for e in lines]
    assert rates[0] > 0.005
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.001, rel=0.1)


def test_evaluations_and_checkpoints_come_on_time(shards: Path, tmp_path: Path) -> None:
    recipe = _recipe("tokens=1920", "run.eval_steps=4", "run.save_steps=3", "run.keep_last=2")
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    evals = [e["step"] for e in read_journal(tmp_path / "run") if e["kind"] == "eval"]
    assert evals == [4, 8, 10]
    assert [n for n, _ in checkpoint.checkpoints(tmp_path / "run")] == [9, 10]


def test_another_seed_gives_another_run(straight: Path, shards: Path, tmp_path: Path) -> None:
    pretrain(_recipe("tokens=192", "seed=1"), shards, tmp_path / "run", quiet=True)
    assert read_journal(tmp_path / "run")[1]["loss"] != read_journal(straight)[1]["loss"]


def test_other_settings_do_not_continue_a_run(straight: Path, shards: Path) -> None:
    with pytest.raises(RecipeError, match=r"other settings.*optimizer\.lr"):
        pretrain(_recipe(*TWENTY, "optimizer.lr=0.02"), shards, straight, quiet=True)


def test_other_shards_do_not_continue_a_run(
    straight: Path, tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    shutil.copytree(straight, tmp_path / "run")
    other = write_shards(tmp_path / "s", [documents(120, seed=4)])
    with pytest.raises(DataError, match="not the shards"):
        pretrain(_recipe("tokens=5760"), other, tmp_path / "run", quiet=True)


def test_damaged_shards_are_refused_before_the_first_step(shards: Path, tmp_path: Path) -> None:
    shutil.copytree(shards, tmp_path / "s")
    part = tmp_path / "s/part-00001.bin"
    data = bytearray(part.read_bytes())
    data[10] ^= 1
    part.write_bytes(data)
    with pytest.raises(DataError, match=r"part-00001\.bin"):
        pretrain(_recipe(*TWENTY), tmp_path / "s", tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_start_from_a_model_goes_on_from_its_weights(
    straight: Path, shards: Path, tmp_path: Path
) -> None:
    start = straight / "model"
    pretrain(
        _recipe("tokens=192", f"init={start}", "optimizer.lr=0.0"), shards, tmp_path / "run",
        quiet=True,
    )  # fmt: skip
    a, b = (load_file(p / "model.safetensors") for p in (start, tmp_path / "run/model"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    lines = read_journal(tmp_path / "run")
    assert lines[1]["loss"] < read_journal(straight)[1]["loss"] - 0.5


LORA = ("lora.rank=4", "lora.dropout=0.1", 'lora.train_whole=["lm_head"]')
NEW_ROWS = ("trainable.new_rows_from=40", "trainable.only_new_rows=true")


@pytest.mark.parametrize("choice", [LORA, NEW_ROWS], ids=["lora", "new rows"])
def test_partial_training_resumes_to_the_same_bits(
    choice: tuple[str, ...], shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapters with dropout (so the generators count), and new rows alone."""
    base = ("tokens=384", "model.tied=false")
    pretrain(_recipe(*base), shards, tmp_path / "base", quiet=True)
    recipe = _recipe("tokens=1920", f"init={tmp_path / 'base/model'}", *choice)
    pretrain(recipe, shards, tmp_path / "straight", quiet=True)
    _interrupt_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        pretrain(recipe, shards, tmp_path / "run", quiet=True)
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    _same(tmp_path / "straight", tmp_path / "run")
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
    pretrain(_recipe("tokens=192"), shards, tmp_path / "base", quiet=True)
    settings = (f"init={tmp_path / 'base/model'}", "lora.rank=2")
    pretrain(_recipe("tokens=192", *settings), shards, tmp_path / "run", quiet=True)
    shutil.rmtree(tmp_path / "base")
    pretrain(_recipe("tokens=192", "seed=5"), shards, tmp_path / "base", quiet=True)
    with pytest.raises(DataError, match="has changed"):
        pretrain(_recipe("tokens=384", *settings), shards, tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("trainable.only_new_rows=true",), "which rows are new"),
        ((*NEW_ROWS, "lora.rank=2"), "exclude each other"),
        (('trainable.freeze=["*"]',), "all weights are frozen"),
    ],
)
def test_choices_that_make_no_sense_are_refused(
    choice: tuple[str, ...], message: str, shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        pretrain(_recipe("tokens=192", *choice), shards, tmp_path / "run", quiet=True)


def test_a_model_with_too_few_rows_is_refused(
    straight: Path, tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    big = write_shards(tmp_path / "s", [documents(20, seed=1)], vocab_size=200)
    with pytest.raises(DataError, match=r"vocabulary is smaller.*61.*200"):
        pretrain(_recipe(f"init={straight / 'model'}"), big, tmp_path / "run", quiet=True)


def test_the_tokenizer_of_a_model_must_be_that_of_the_shards(
    straight: Path, shards: Path, tmp_path: Path, tiny_tokenizer: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(straight / "model", model)
    shutil.copy(tiny_tokenizer / "tokenizer.json", model)
    with pytest.raises(DataError, match="another tokenizer"):
        pretrain(_recipe(f"init={model}"), shards, tmp_path / "run", quiet=True)


def test_a_loss_that_is_not_finite_stops_and_names_the_documents(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _poison(monkeypatch, step=4)
    with pytest.raises(
        YanmoError, match=r"step 5.*not finite in documents d\d-\d+ \((web|books)\)"
    ):
        pretrain(_recipe(*TWENTY), shards, tmp_path / "run", quiet=True)
    event = read_journal(tmp_path / "run")[-1]
    assert event["event"] == "nonfinite"
    assert event["documents"][0]["loss"] is None
    ((step, saved),) = checkpoint.checkpoints(tmp_path / "run")
    assert step == 4
    assert all(torch.isfinite(v).all() for v in load_file(saved / "model.safetensors").values())


def test_steps_that_are_not_finite_can_be_skipped(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _poison(monkeypatch, step=4)
    recipe = _recipe(*TWENTY, "guard.on_nonfinite=skip")
    summary = pretrain(recipe, shards, tmp_path / "run", quiet=True)
    assert summary["skipped"] == 1
    assert summary["steps"] == 20
    assert np.isfinite(summary["loss"])
    assert "skipped" in (tmp_path / "run/report.html").read_text()


def _poison(monkeypatch: pytest.MonkeyPatch, *, step: int) -> None:
    """Make the loss of one document of a step infinite, where it is computed."""
    accumulate = loop.accumulate
    calls = [0]

    def poisoned(model: Any, batches: Any, *args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] != step + 1:
            return accumulate(model, batches, *args, **options)
        weight = model.model.embed_tokens.weight
        row = int(batches[0].tokens[0, 0])
        before = weight[row].detach().clone()
        with torch.no_grad():
            weight[row] = float("inf")
        try:
            return accumulate(model, batches, *args, **options)
        finally:
            with torch.no_grad():
                weight[row] = before

    monkeypatch.setattr(loop, "accumulate", poisoned)


def test_a_full_disk_loses_nothing(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = _recipe(*TWENTY, "run.save_steps=6", "run.keep_last=9")
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


def test_a_dry_run_touches_nothing(shards: Path, tmp_path: Path) -> None:
    plan = dry_run(_recipe("epochs=2.0"), shards, tmp_path / "run")
    assert plan["steps"] * 8 >= 2 * plan["epoch_sequences"]
    assert plan["documents"] == 120
    assert plan["heldout"]
    assert not (tmp_path / "run").exists()


def test_shards_without_a_held_out_split_are_trained_on(
    tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    shards = write_shards(tmp_path / "s", [documents(20, seed=1)])
    summary = pretrain(_recipe("tokens=384"), shards, tmp_path / "run", quiet=True)
    assert summary["heldout"] is None
    assert "no held-out split" in (tmp_path / "run/report.html").read_text()


def test_tensorboard_events_are_written(shards: Path, tmp_path: Path) -> None:
    recipe = _recipe("tokens=384", "run.tensorboard=true")
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    assert list((tmp_path / "run/tensorboard").glob("events.out.tfevents.*"))


def test_samples_are_written_during_training(
    tmp_path: Path, tiny_tokenizer: Path, write_shards: Make, documents: Make
) -> None:
    made = [documents(20, seed=seed, vocab=300) for seed in (1, 2)]
    shards = write_shards(tmp_path / "s", made[:1], vocab_size=300, tokenizer=tiny_tokenizer)
    write_shards(shards / "heldout", made[1:], vocab_size=300, split="heldout")
    recipe = _recipe("tokens=384", "run.eval_steps=1", 'run.sample_prompts=["研墨", "ink"]')
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    found = [e for e in read_journal(tmp_path / "run") if e["kind"] == "sample"]
    assert [(e["step"], e["prompt"]) for e in found] == [
        (1, "研墨"), (1, "ink"), (2, "研墨"), (2, "ink"),
    ]  # fmt: skip
    assert "What the model writes" in (tmp_path / "run/report.html").read_text()


def test_a_batch_must_be_whole_sequences() -> None:
    with pytest.raises(RecipeError, match="no multiple"):
        _recipe("data.batch_tokens=100")
