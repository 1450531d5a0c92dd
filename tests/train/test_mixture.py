"""A run follows its mixture to the token: sources repeated and sampled by an index."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yanmo import recipe as recipes
from yanmo.errors import DataError, RecipeError
from yanmo.mixture import plan_of_epochs, read_plan, write_plan
from yanmo.shards import Shards, open_shards
from yanmo.train.data import Loader
from yanmo.train.mixture import find_plan, make_loader
from yanmo.train.pretrain import pretrain
from yanmo.train.recipe import Pretrain

from ..command import command  # noqa: TID252  # shared by all folders of tests

SMALL = ("model.preset=nano", "model.width=16", "model.layers=1", "model.ffn_width=16",
         "run.device=cpu", "run.tensorboard=false", "run.log_steps=3")  # fmt: skip


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, write_shards: Callable[..., Path], documents: Any
) -> Path:
    folder = tmp_path_factory.mktemp("s") / "s"
    return write_shards(folder, [documents(60, seed=1), documents(60, seed=2)])


@pytest.fixture(scope="module")
def shards(folder: Path) -> Shards:
    return open_shards(folder)


def _recipe(*overrides: str) -> Pretrain:
    sizes = ("data.sequence_tokens=24", "data.batch_tokens=120")
    return recipes.load(Pretrain, overrides=[*sizes, *overrides])


def _loader(shards: Shards, seed: int = 0, **epochs: float) -> Loader:
    sources = [f"data.sources.{name}={value}" for name, value in epochs.items()]
    recipe = _recipe(f"seed={seed}", *sources)
    return make_loader(recipe, shards, find_plan(recipe, shards))


def _read(loader: Loader, epoch: int = 0) -> Counter[int]:
    """How often each token position is a target in an epoch."""
    first = epoch * loader.sequences
    positions = loader.batch(range(first, first + loader.sequences)).positions
    return Counter(positions[positions >= 0].tolist())


def _sources(shards: Shards) -> tuple[np.ndarray, np.ndarray]:
    """Whether each token is of the source web, by the way the shards were written."""
    lengths = np.diff(shards.document_ends, prepend=0)
    return np.repeat(np.arange(shards.documents) % 2 == 0, lengths), lengths


def test_sources_are_read_as_often_as_asked(shards: Shards) -> None:
    web, _ = _sources(shards)
    found = _read(_loader(shards, web=2.0, books=0.0))
    assert found == Counter(dict.fromkeys(np.flatnonzero(web).tolist(), 2))
    assert _read(_loader(shards, web=1.0)) == Counter(range(shards.tokens))


@pytest.mark.parametrize("epochs", [0.01, 0.25, 1.25, 3.999])
def test_a_fraction_is_exact_in_tokens_and_made_of_whole_documents_but_one(
    shards: Shards, epochs: float
) -> None:
    web, lengths = _sources(shards)
    loader = _loader(shards, books=0.0, web=epochs)
    found = _read(loader)
    assert sum(found.values()) == loader.targets == round(epochs * int(web.sum()))
    owners = np.repeat(np.arange(shards.documents), lengths)
    often = np.array([found[p] for p in range(shards.tokens)])
    assert set(often[web].tolist()) <= {int(epochs), int(epochs) + 1}
    mixed = [n for n in range(0, shards.documents, 2) if len(set(often[owners == n].tolist())) > 1]
    assert len(mixed) <= 1  # the one in which the budget ends, read from its start
    for number in mixed:
        inside = often[owners == number].tolist()
        assert inside == sorted(inside, reverse=True)


def test_the_choice_of_a_fraction_is_fixed_by_the_seed(shards: Shards) -> None:
    found = _read(_loader(shards, books=0.0, web=0.5))
    assert _read(_loader(shards, books=0.0, web=0.5)) == found
    assert _read(_loader(shards, books=0.0, web=0.5), epoch=1) == found
    assert _read(_loader(shards, seed=1, books=0.0, web=0.5)) != found


def test_an_epoch_ends_with_a_step_and_the_next_has_another_order(shards: Shards) -> None:
    loader = _loader(shards, web=2.0, books=0.5)
    assert loader.sequences % 5 == 0
    assert _read(loader, epoch=1) == _read(loader)
    first, second = (loader.batch([e * loader.sequences]).positions.tolist() for e in (0, 1))
    assert first != second
    last = loader.batch(range(loader.sequences - 5, loader.sequences))
    assert 0 < last.targets <= 5 * 24


def test_what_is_not_there_is_refused(shards: Shards) -> None:
    with pytest.raises(RecipeError, match=r"no such source.*Did you mean 'books'"):
        _loader(shards, book=2.0)
    with pytest.raises(RecipeError, match="reads nothing"):
        _loader(shards, web=0.0, books=0.0)
    with pytest.raises(RecipeError, match="less than never"):
        _recipe("data.sources.web=-1.0")
    with pytest.raises(RecipeError, match="exclude each other"):
        _recipe("data.sources.web=1.0", "data.mixture=plan.json")


def test_a_mixture_stands_in_the_recipe() -> None:
    recipe = recipes.load(Pretrain, overrides=["data.sources.web=0.5"])
    assert recipe.data.sources == {"web": 0.5}
    assert "web = 0.5" in recipes.dumps(recipe)


def test_a_run_reads_each_source_as_its_plan_says(
    tmp_path: Path, folder: Path, shards: Shards
) -> None:
    """Stopped and resumed in between; the log, the summary and the lineage say the same."""
    plan = plan_of_epochs(shards, {"web": 1.7, "books": 0.3}, seed=4)
    write_plan(tmp_path / "plan.json", plan)
    path = f"data.mixture={tmp_path / 'plan.json'}"
    out = tmp_path / "run"
    part = pretrain(_recipe(path, "epochs=0.4", *SMALL), folder, out, quiet=True)
    assert part["tokens"] < plan.budget
    summary = pretrain(_recipe(path, *SMALL), folder, out, quiet=True)
    budgets = {e.name: e.budget for e in plan.entries}
    assert {n: s["tokens"] for n, s in summary["sources"].items()} == budgets
    assert {n: s["planned"] for n, s in summary["sources"].items()} == budgets
    assert summary["tokens"] == plan.budget
    assert summary["sources"]["web"]["epochs"] == pytest.approx(1.7, abs=1e-3)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [e for e in lines if e["kind"] == "train"][-1]["tokens_by_source"] == budgets
    lineage = json.loads((out / "model" / "yanmo" / "lineage.json").read_text())
    assert lineage["order"]["mixture"] == plan.sha256
    assert lineage["mixture"]["budget"] == plan.budget
    assert read_plan(out / "mixture.json").sha256 == plan.sha256
    # A second pass reads all of it again, in another order.
    more = pretrain(_recipe(path, "epochs=2.0", *SMALL), folder, out, quiet=True)
    assert {n: s["tokens"] for n, s in more["sources"].items()} == {
        name: 2 * budget for name, budget in budgets.items()
    }


def test_a_run_refuses_another_plan_and_a_plan_of_other_shards(
    tmp_path: Path, folder: Path, shards: Shards, write_shards: Any, documents: Any
) -> None:
    write_plan(tmp_path / "a.json", plan_of_epochs(shards, {"web": 1.5}, seed=0))
    write_plan(tmp_path / "b.json", plan_of_epochs(shards, {"web": 1.6}, seed=0))
    short = ("epochs=0.1", *SMALL)
    out = tmp_path / "run"
    pretrain(_recipe(f"data.mixture={tmp_path / 'a.json'}", *short), folder, out, quiet=True)
    with pytest.raises(DataError, match="not the mixture that the run was started with"):
        pretrain(_recipe(f"data.mixture={tmp_path / 'b.json'}", *short), folder, out, quiet=True)
    (tmp_path / "a.json").rename(tmp_path / "moved.json")
    moved = _recipe(f"data.mixture={tmp_path / 'moved.json'}", *short)
    assert pretrain(moved, folder, out, quiet=True)["already_done"]
    other = write_shards(tmp_path / "other", [documents(60, seed=3)])
    ended = command("train", "pretrain", other, "--mixture", tmp_path / "b.json", "--out",
                    tmp_path / "x", "-q")  # fmt: skip
    assert (ended.code, "made for other shards" in ended.err) == (1, True)
