"""Growing a vocabulary: new rows first, then everything."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from yanmo import recipe as recipes
from yanmo.errors import DataError, RecipeError
from yanmo.train.cli import group
from yanmo.train.config import ModelConfig
from yanmo.train.folder import load_model, save_model
from yanmo.train.grow import Grow, base_vocabulary, grow, plan_stages
from yanmo.train.model import build

Make = Callable[..., Any]
OLD = 40
SMALL = (
    "data.sequence_tokens=24", "data.batch_tokens=192", "run.log_steps=1", "run.eval_steps=2",
    "run.tensorboard=false", "new_rows.tokens=1920", "new_rows.lr=0.03", "all.tokens=1920",
    "all.lr=0.01", f"base_vocab={OLD}",
)  # fmt: skip


def _recipe(*overrides: str) -> Grow:
    return recipes.load(Grow, overrides=(*SMALL, *overrides))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., ModelConfig]) -> Path:
    folder = tmp_path_factory.mktemp("model")
    made = build(tiny(bos_token_id=1, eos_token_id=2), seed=0)
    save_model(made.config, dict(made.named_parameters()), folder)
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, write_shards: Make, documents: Make) -> Path:
    folder: Path = tmp_path_factory.mktemp("shards") / "s"
    write_shards(folder, [documents(80, seed=1)])
    write_shards(folder / "heldout", [documents(30, seed=2)], split="heldout")
    return folder


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, model: Path, shards: Path) -> Path:
    out = tmp_path_factory.mktemp("grown") / "out"
    grow(_recipe("new_rows.plateau_evaluations=off"), model, shards, out, quiet=True)
    return out


def test_stage_one_moves_new_rows_alone_and_stage_two_the_rest(grown: Path, model: Path) -> None:
    before, between, after = (
        load_file(path / "model.safetensors")
        for path in (model, grown / "stage-1/model", grown / "stage-2/model")
    )
    for name, value in before.items():
        if "embed_tokens" in name or "lm_head" in name:
            assert torch.equal(between[name][:OLD], value[:OLD])
            assert not torch.equal(between[name][OLD:], value[OLD:])
        else:
            assert torch.equal(between[name], value)
        assert not torch.equal(after[name], between[name])


def test_what_is_learned_and_forgotten_is_shown(grown: Path) -> None:
    summary = json.loads((grown / "summary.json").read_text())
    before, after = summary["before"], summary["after"]
    assert before["step"] == 0
    assert after["new_token_loss"] < before["new_token_loss"]
    assert after["bits_per_byte"] < before["bits_per_byte"]
    assert after["bits_per_byte_by_source"].keys() == {"web", "books"}
    assert summary["base_vocab"] == OLD
    assert (grown / summary["model"] / "config.json").is_file()
    assert "before" in (grown / "report.html").read_text()
    assert summary.keys() >= {"tokens", "steps", "loss", "tokens_per_second", "mfu"}


def test_it_goes_on_and_says_when_nothing_is_left(grown: Path, model: Path, shards: Path) -> None:
    summary = (grown / "summary.json").read_bytes()
    again = grow(_recipe("new_rows.plateau_evaluations=off"), model, shards, grown, quiet=True)
    assert all(stage["already_done"] for stage in again["stages"].values())
    assert (grown / "summary.json").read_bytes() == summary


def test_stage_one_ends_at_a_plateau(model: Path, shards: Path, tmp_path: Path) -> None:
    recipe = _recipe(
        "new_rows.plateau_gain=0.9", "new_rows.plateau_evaluations=2", "all.tokens=off"
    )
    found = grow(recipe, model, shards, tmp_path / "out", quiet=True)
    stage = found["stages"]["stage-1"]
    assert stage["stopped_early"]
    assert stage["steps"] == 4  # evaluated before step 1, and after steps 2 and 4
    assert list(found["stages"]) == ["stage-1"]
    again = grow(recipe, model, shards, tmp_path / "out", quiet=True)
    assert again["stages"]["stage-1"]["already_done"]


def test_stage_two_can_be_adapters(model: Path, shards: Path, tmp_path: Path) -> None:
    recipe = _recipe("new_rows.tokens=off", "all.lora_rank=2")
    grow(recipe, model, shards, tmp_path / "out", quiet=True)
    run = tmp_path / "out/stage-2"
    config = json.loads((run / "adapter/adapter_config.json").read_text())
    assert config["modules_to_save"] == ["embed_tokens", "lm_head"]
    before, after = (load_file(p / "model.safetensors") for p in (model, run / "model"))
    norms = [n for n in before if n.endswith("norm.weight")]
    assert all(torch.equal(before[n], after[n]) for n in norms)
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])


def test_the_base_size_comes_from_the_tokenizer(model: Path, tmp_path: Path) -> None:
    note = tmp_path / "yanmo.json"
    (tmp_path / "config.json").write_bytes((model / "config.json").read_bytes())
    unknown = _recipe("base_vocab=off")
    with pytest.raises(DataError, match="how large"):
        base_vocabulary(unknown, tmp_path)
    note.write_text(json.dumps({"base": {"size": 33}}))
    assert base_vocabulary(unknown, tmp_path) == 33
    note.write_text(json.dumps({"base": {"size": 61}}))
    with pytest.raises(DataError, match="61 rows"):
        base_vocabulary(unknown, tmp_path)


def test_stages_are_pretraining_recipes() -> None:
    stages = plan_stages(_recipe("all.freeze=['*norm*']"), OLD)
    assert stages["stage-1"].trainable.only_new_rows
    assert stages["stage-1"].plateau.watch == "new_token_loss"
    assert stages["stage-2"].trainable.freeze == ("*norm*",)
    assert stages["stage-2"].optimizer.lr == 0.01
    assert stages["stage-2"].lora.rank is None
    with pytest.raises(RecipeError, match="both stages"):
        _recipe("new_rows.tokens=off", "all.tokens=off")


def test_the_command(model: Path, shards: Path, tmp_path: Path) -> None:
    arguments = ["grow", str(shards), "--model", str(model), "--out", str(tmp_path / "out"), "-q"]
    for override in (*SMALL, "new_rows.tokens=192", "all.tokens=192"):
        arguments += ["--set", override]
    result = CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "loss of new tokens" in result.stdout


def test_merge_writes_a_model_that_computes_the_same(
    model: Path, shards: Path, tmp_path: Path
) -> None:
    recipe = _recipe("new_rows.tokens=off", "all.lora_rank=2", "all.tokens=384")
    grow(recipe, model, shards, tmp_path / "out", quiet=True)
    run = tmp_path / "out/stage-2"
    arguments = ["merge", str(model), str(run / "adapter"), "--out", str(tmp_path / "merged")]
    result = CliRunner().invoke(group, [*arguments, "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["adapted"] == 14
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        merged, exported = (
            load_model(p).logits(tokens) for p in (tmp_path / "merged", run / "model")
        )
    assert torch.equal(merged, exported)
