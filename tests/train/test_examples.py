"""The recipes of training in examples/ are read, make what they say, and fit the card they name."""

import dataclasses
from pathlib import Path

import pytest

from tests.command import command
from tests.conftest import ROOT
from yanmo import recipe as recipes
from yanmo.train.grow import Grow, plan_stages
from yanmo.train.plan import memory
from yanmo.train.plan_report import GIB, Asked, make_plan
from yanmo.train.recipe import Pretrain, model_config

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    ("name", "millions", "gib"), [("tiny-cpu", 10, 4), ("124m", 110, 24), ("1.1b", 1100, 80)]
)
def test_pretraining_recipes_fit_their_card(name: str, millions: int, gib: int) -> None:
    recipe = recipes.load(Pretrain, EXAMPLES / f"{name}.toml")
    preset = recipe.model.preset
    plan = make_plan(Path(preset), recipe, Asked(limit_gb=gib, peak=989.0))
    assert plan.fits
    assert plan.micro <= plan.most
    assert plan.trained[0] == pytest.approx(millions * 1e6, rel=0.6)
    assert recipe.data.batch_tokens % (recipe.data.sequence_tokens * plan.micro) == 0
    if recipe.tokens is not None:
        assert recipe.tokens / plan.trained[1] == pytest.approx(20, rel=0.15)
        assert plan.hours is not None


def test_the_comment_about_a_smaller_card_is_true() -> None:
    """1.1b.toml says what to set on 48 GB."""
    recipe = recipes.load(Pretrain, EXAMPLES / "1.1b.toml",
                          ["run.micro_sequences=2", "run.recompute=true"])  # fmt: skip
    assert make_plan(Path("1.1b"), recipe, Asked(limit_gb=48)).fits
    whole = recipes.load(Pretrain, EXAMPLES / "1.1b.toml")
    assert not make_plan(Path("1.1b"), whole, Asked(limit_gb=24)).fits


def test_the_plan_command_reads_them() -> None:
    ended = command("train", "plan", "124m", "--recipe", EXAMPLES / "124m.toml", "--memory", "24",
                    "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json()["fits"]


def test_the_recipe_for_a_grown_vocabulary_fits() -> None:
    """Both stages, for a model of 1.1 billion weights with 48 000 entries, on 80 GB."""
    recipe = recipes.load(Grow, EXAMPLES / "continue-grown.toml")
    assert recipe.new_rows.tokens is not None
    assert recipe.all.tokens is not None
    like = recipes.load(Pretrain, None, ["model.preset=1.1b"])
    config = model_config(like.model, vocab_size=48_000, max_tokens=2048)
    for stage in plan_stages(recipe, 32_000).values():
        run = dataclasses.replace(stage.run, device="cuda")
        micro = run.micro_sequences or 1
        need = memory(config, dataclasses.replace(stage, run=run), micro_sequences=micro)["total"]
        assert need < 0.92 * 80 * GIB
