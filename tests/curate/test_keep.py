"""``highest:<field>`` through a whole run: columns, signals, meta, and fields nobody has."""

import json
from pathlib import Path

import polars as pl
import pytest

from yanmo.curate.discover import InputSpec
from yanmo.curate.pipeline import run_recipe
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.errors import RecipeError, UsageError
from yanmo.recipe import load

STORY = "从前有座山，山里有座庙，庙里有个老和尚在给小和尚讲故事，讲的什么故事呢？" * 3
ROWS = [
    {"text": STORY, "stars": 3, "rank": "12", "name": "a"},
    {"text": STORY + "转载。", "stars": 8.5, "rank": "9", "name": "b"},
    {"text": STORY + "转载请注明出处。", "stars": None, "name": "c"},
    {"text": STORY, "stars": "nan", "name": "d"},
]


def kept(folder: Path, keep: str) -> list[str]:
    """Names of the documents that stay."""
    source = folder / "pages.jsonl"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
    overrides = ["decide=false", f"duplicates.keep={keep}"]
    recipe = load(CurateRecipe, None, overrides)
    from dataclasses import replace

    recipe = replace(recipe, input=(InputSpec(str(source)),))
    out = folder / "run"
    run_recipe(recipe, out, quiet=True)
    metas = pl.read_parquet(out / "documents" / "*.parquet")["meta"].to_list()
    return [json.loads(meta)["name"] for meta in metas]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [("highest:stars", "b"), ("highest:rank", "a"), ("highest:n_words", "c"),
     ("highest:n_bytes", "c"), ("longest", "c")],
)  # fmt: skip
def test_the_highest_stays(tmp_path: Path, keep: str, expected: str) -> None:
    assert kept(tmp_path, keep) == [expected]


def test_a_field_that_nobody_has_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no document has the field") as caught:
        kept(tmp_path, "highest:n_wrods")
    assert caught.value.fix == "Did you mean 'n_words'?"
    with pytest.raises(UsageError) as caught:
        kept(tmp_path, "highest:star")
    assert caught.value.fix == "Did you mean 'stars'?"
    with pytest.raises(UsageError, match="is no number") as caught:
        kept(tmp_path, "highest:url")
    assert "n_chars" in str(caught.value.fix)


def test_a_policy_that_there_is_not_stops_the_recipe() -> None:
    for wrong in ("newest", "highest", "highest:", "Longest"):
        with pytest.raises(RecipeError, match="none of the choices"):
            load(CurateRecipe, None, [f"duplicates.keep={wrong}"])
