"""The recipes in examples/ are those that `curate init` writes, and they run."""

from pathlib import Path

import pytest

from tests.command import command
from tests.conftest import ROOT
from yanmo.curate.init_recipe import WEB_RECIPES, commented, published

SAMPLE = sorted((ROOT / "fixtures" / "demo").glob("*.warc.gz"))


@pytest.mark.parametrize("name", [*WEB_RECIPES, "c4", "fineweb"])
def test_examples_are_what_init_writes(name: str, tmp_path: Path) -> None:
    assert (ROOT / "examples" / f"{name}.toml").read_text(encoding="utf-8") == published(name)
    written = tmp_path / "recipe.toml"
    assert command("curate", "init", "--recipe", name, "--out", written).code == 0
    assert written.read_text(encoding="utf-8") == published(name)


def test_the_default_recipe_is_the_example_with_every_key() -> None:
    text = (ROOT / "examples" / "zh-en-web.toml").read_text(encoding="utf-8")
    assert text == commented()


@pytest.mark.parametrize(("name", "language"), [("zh-web", "zh"), ("en-web", "en")])
def test_web_recipes_keep_their_language(name: str, language: str, tmp_path: Path) -> None:
    recipe = ROOT / "examples" / f"{name}.toml"
    ended = command("curate", "run", *SAMPLE, "--recipe", recipe, "--out", tmp_path / "run",
                    "--json", "-q")  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json()["kept"] > 100
    import polars as pl

    kept = pl.read_parquet(tmp_path / "run" / "documents" / "*.parquet", columns=["lang"])
    assert set(kept["lang"]) == {language}


def test_a_wrong_name_is_told(tmp_path: Path) -> None:
    ended = command("curate", "init", "--recipe", "zh_web", "--out", tmp_path / "x.toml")
    assert ended.code == 2
    assert "Did you mean 'zh-web'" in ended.err
