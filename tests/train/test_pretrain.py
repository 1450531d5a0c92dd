"""Whole runs: learning, what they leave, and what is refused."""

import json
import shutil
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
from yanmo.train.recipe import Pretrain

from .whole_runs import NEW_ROWS, TWENTY, Make, recipe_of


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
    assert recipes.load(Pretrain, straight / "recipe.toml") == recipe_of(*TWENTY)
    page = (straight / "report.html").read_text()
    assert "Loss, nats per token" in page
    assert "bits per byte" in page
    lineage = json.loads((straight / "model/yanmo/lineage.json").read_text())
    assert lineage["shards"]["tokenizer_sha256"] == "0" * 64


@pytest.mark.parametrize("micro", [1, 3])
def test_accumulation_changes_nothing_but_rounding(
    micro: int, straight: Path, shards: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(*TWENTY, f"run.micro_sequences={micro}")
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
    recipe = recipe_of("tokens=1920", "run.eval_steps=4", "run.save_steps=3", "run.keep_last=2")
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    evals = [e["step"] for e in read_journal(tmp_path / "run") if e["kind"] == "eval"]
    assert evals == [4, 8, 10]
    assert [n for n, _ in checkpoint.checkpoints(tmp_path / "run")] == [9, 10]


def test_another_seed_gives_another_run(straight: Path, shards: Path, tmp_path: Path) -> None:
    pretrain(recipe_of("tokens=192", "seed=1"), shards, tmp_path / "run", quiet=True)
    assert read_journal(tmp_path / "run")[1]["loss"] != read_journal(straight)[1]["loss"]


def test_damaged_shards_are_refused_before_the_first_step(shards: Path, tmp_path: Path) -> None:
    shutil.copytree(shards, tmp_path / "s")
    part = tmp_path / "s/part-00001.bin"
    data = bytearray(part.read_bytes())
    data[10] ^= 1
    part.write_bytes(data)
    with pytest.raises(DataError, match=r"part-00001\.bin"):
        pretrain(recipe_of(*TWENTY), tmp_path / "s", tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_start_from_a_model_goes_on_from_its_weights(
    straight: Path, shards: Path, tmp_path: Path
) -> None:
    start = straight / "model"
    pretrain(
        recipe_of("tokens=192", f"init={start}", "optimizer.lr=0.0"), shards, tmp_path / "run",
        quiet=True,
    )  # fmt: skip
    a, b = (load_file(p / "model.safetensors") for p in (start, tmp_path / "run/model"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    lines = read_journal(tmp_path / "run")
    assert lines[1]["loss"] < read_journal(straight)[1]["loss"] - 0.5


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
        pretrain(recipe_of("tokens=192", *choice), shards, tmp_path / "run", quiet=True)


def test_a_model_with_too_few_rows_is_refused(
    straight: Path, tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    big = write_shards(tmp_path / "s", [documents(20, seed=1)], vocab_size=200)
    with pytest.raises(DataError, match=r"vocabulary is smaller.*61.*200"):
        pretrain(recipe_of(f"init={straight / 'model'}"), big, tmp_path / "run", quiet=True)


def test_the_tokenizer_of_a_model_must_be_that_of_the_shards(
    straight: Path, shards: Path, tmp_path: Path, tiny_tokenizer: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(straight / "model", model)
    shutil.copy(tiny_tokenizer / "tokenizer.json", model)
    with pytest.raises(DataError, match="another tokenizer"):
        pretrain(recipe_of(f"init={model}"), shards, tmp_path / "run", quiet=True)


def test_a_loss_that_is_not_finite_stops_and_names_the_documents(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _poison(monkeypatch, step=4)
    with pytest.raises(
        YanmoError, match=r"step 5.*not finite in documents d\d-\d+ \((web|books)\)"
    ):
        pretrain(recipe_of(*TWENTY), shards, tmp_path / "run", quiet=True)
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
    recipe = recipe_of(*TWENTY, "guard.on_nonfinite=skip")
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


def test_a_dry_run_touches_nothing(shards: Path, tmp_path: Path) -> None:
    plan = dry_run(recipe_of("epochs=2.0"), shards, tmp_path / "run")
    assert plan["steps"] * 8 >= 2 * plan["epoch_sequences"]
    assert plan["documents"] == 120
    assert plan["heldout"]
    assert not (tmp_path / "run").exists()


def test_shards_without_a_held_out_split_are_trained_on(
    tmp_path: Path, write_shards: Make, documents: Make
) -> None:
    shards = write_shards(tmp_path / "s", [documents(20, seed=1)])
    summary = pretrain(recipe_of("tokens=384"), shards, tmp_path / "run", quiet=True)
    assert summary["heldout"] is None
    assert "no held-out split" in (tmp_path / "run/report.html").read_text()


def test_tensorboard_events_are_written(shards: Path, tmp_path: Path) -> None:
    recipe = recipe_of("tokens=384", "run.tensorboard=true")
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    assert list((tmp_path / "run/tensorboard").glob("events.out.tfevents.*"))


def test_samples_are_written_during_training(
    tmp_path: Path, tiny_tokenizer: Path, write_shards: Make, documents: Make
) -> None:
    made = [documents(20, seed=seed, vocab=300) for seed in (1, 2)]
    shards = write_shards(tmp_path / "s", made[:1], vocab_size=300, tokenizer=tiny_tokenizer)
    write_shards(shards / "heldout", made[1:], vocab_size=300, split="heldout")
    recipe = recipe_of("tokens=384", "run.eval_steps=1", 'run.sample_prompts=["研墨", "ink"]')
    pretrain(recipe, shards, tmp_path / "run", quiet=True)
    found = [e for e in read_journal(tmp_path / "run") if e["kind"] == "sample"]
    assert [(e["step"], e["prompt"]) for e in found] == [
        (1, "研墨"), (1, "ink"), (2, "研墨"), (2, "ink"),
    ]  # fmt: skip
    assert "What the model writes" in (tmp_path / "run/report.html").read_text()


def test_a_batch_must_be_whole_sequences() -> None:
    with pytest.raises(RecipeError, match="no multiple"):
        recipe_of("data.batch_tokens=100")
