"""Who has seen a document: against the very batches that a run of the same recipe reads."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yanmo import recipe as recipes
from yanmo.curate.exposure import Exposure, exposures
from yanmo.curate.forget_shards import forget_in_shards
from yanmo.files import read_json
from yanmo.mixture import Plan, plan_of_epochs, write_plan
from yanmo.shards import Shards, open_shards, verify
from yanmo.train.mixture import find_plan, make_loader
from yanmo.train.pretrain import pretrain
from yanmo.train.recipe import Pretrain

from ..command import command  # noqa: TID252  # shared by all folders of tests

SIZES = ("data.sequence_tokens=24", "data.batch_tokens=120", "model.preset=nano", "model.width=16",
         "model.layers=1", "model.ffn_width=16", "run.device=cpu", "run.tensorboard=false",
         "run.save_steps=3", "run.keep_last=off")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, write_shards: Callable[..., Path], documents: Any) -> Path:
    return write_shards(tmp_path / "shards", [documents(30, seed=1), documents(30, seed=2)])


def _recipe(*more: str) -> Pretrain:
    return recipes.load(Pretrain, overrides=[*SIZES, *more])


def _read(recipe: Pretrain, shards: Shards, sequences: int) -> np.ndarray:
    """(documents,) tokens read, counted batch by batch as the trainer does."""
    loader = make_loader(recipe, shards, find_plan(recipe, shards))
    owners = loader.document_of(loader.batch(range(sequences)).positions)
    return np.bincount(owners[owners >= 0], minlength=shards.documents)


def _tokens(found: list[Exposure], name: str) -> dict[str, int]:
    """By the last part of a model's path: tokens read of a document."""
    return {
        Path(e.model).name: sum(d["tokens_read"] for d in e.documents if d["name"] == name)
        for e in found
    }


@pytest.mark.parametrize("mixture", [(), ("data.sources.web=2.3", "data.sources.books=0.4")])
def test_every_checkpoint_says_what_it_read(
    tmp_path: Path, folder: Path, mixture: tuple[str, ...]
) -> None:
    recipe = _recipe("epochs=1.4", "seed=5", *mixture)
    pretrain(recipe, folder, tmp_path / "run", quiet=True)
    shards = open_shards(folder)
    names = [f"d{part}-{row}" for part in (0, 1) for row in range(30)]
    found = exposures(folder, names, [tmp_path / "run"])
    assert len(found) > 4
    for exposure in found:
        state = Path(exposure.model) / "yanmo" / "state.json"
        place = state if state.is_file() else state.with_name("lineage.json")
        sequences = read_json(place)["loader"]["sequences"]
        truth = _read(recipe, shards, sequences)
        listed = {d["name"]: d for d in exposure.documents}
        for number, name in enumerate(names):
            assert (name in listed) == (truth[number] > 0)
            if name in listed:
                assert listed[name]["tokens_read"] == truth[number]
                step = listed[name]["first_step"]
                assert _read(recipe, shards, step * 5)[number] > 0
                assert step == 1 or _read(recipe, shards, (step - 1) * 5)[number] == 0
        assert exposure.saw is True
    assert {e.saw for e in exposures(folder, ["d9-9"], [tmp_path / "run"])} == {False}


def test_what_was_taken_down_is_still_traced(tmp_path: Path, folder: Path) -> None:
    """Two take-downs; the run was trained before both, and both documents are found in it."""
    recipe = _recipe("epochs=0.5")
    pretrain(recipe, folder, tmp_path / "run", quiet=True)
    shutil.copytree(folder, tmp_path / "before")
    before = open_shards(tmp_path / "before")
    truth = _read(recipe, before, read_json(
        tmp_path / "run" / "model" / "yanmo" / "lineage.json")["loader"]["sequences"])  # fmt: skip
    read, unread = (int(np.flatnonzero(w)[-1]) for w in (truth > 0, truth == 0))
    names = {n: f"d{n // 30}-{n % 30}" for n in (read, unread, 0)}
    forget_in_shards(folder, [names[0]])
    forget_in_shards(folder, [names[read], names[unread]])
    assert verify(folder)["documents"] == 57
    found = exposures(folder, list(names.values()), [tmp_path / "run"])
    for number, name in names.items():
        assert _tokens(found, name)["model"] == truth[number]
    # A model of the new shards has not seen it, one that starts from the old model has.
    fresh = _recipe("tokens=240")
    pretrain(fresh, folder, tmp_path / "fresh", quiet=True)
    after = _recipe("tokens=240", f"init={tmp_path / 'run' / 'model'}")
    pretrain(after, folder, tmp_path / "after", quiet=True)
    for run, saw in (("fresh", False), ("after", True)):
        found = exposures(folder, [names[read]], [tmp_path / run])
        assert {e.saw for e in found} == {saw}
    assert "started from" in str(found[0].note)


def test_a_plan_with_buckets_is_traced_by_the_copy_in_the_run(tmp_path: Path, folder: Path) -> None:
    shards = open_shards(folder)
    plan = _bucketed(plan_of_epochs(shards, {}, 0), shards)
    write_plan(tmp_path / "plan.json", plan)
    recipe = _recipe(f"data.mixture={tmp_path / 'plan.json'}", "epochs=0.6")
    pretrain(recipe, folder, tmp_path / "run", quiet=True)
    (tmp_path / "plan.json").rename(tmp_path / "other.json")
    found = exposures(folder, ["d0-0", "d0-2"], [tmp_path / "run"])
    assert {e.saw for e in found} <= {True, False}
    assert set(_tokens(found, "d0-0").values()) == {0}  # its bucket is not read
    (tmp_path / "run" / "mixture.buckets.parquet").unlink()
    lost = exposures(folder, ["d0-0"], [tmp_path / "run"])
    assert all(e.saw is None and "buckets" in str(e.note) for e in lost)


def _bucketed(plan: Plan, shards: Shards) -> Plan:
    """A plan over two buckets: the first document of every four is left out."""
    import dataclasses

    numbers = np.where(np.arange(shards.documents) % 4 == 0, 1, 2).astype(np.uint8)
    lengths = np.diff(shards.document_ends, prepend=0)
    web = np.arange(shards.documents) % 2 == 0
    entries = []
    for entry in plan.entries:
        for bucket in (1, 2):
            mine = (web == (entry.name == "web")) & (numbers == bucket)
            tokens = int(lengths[mine].sum())
            entries.append(dataclasses.replace(
                entry, name=f"{entry.name}/q{bucket}", bucket=f"q{bucket}", tokens=tokens,
                documents=int(mine.sum()), budget=0 if bucket == 1 else tokens,
            ))  # fmt: skip
    return dataclasses.replace(plan, entries=tuple(entries), buckets=numbers)


def test_the_command_lists_the_models(tmp_path: Path, folder: Path) -> None:
    pretrain(_recipe(), folder, tmp_path / "run", quiet=True)
    ended = command("curate", "forget", folder, "d0-3", "--checkpoints", tmp_path, "--dry-run")
    assert ended.code == 0
    assert "read d0-3 1.00 times, first in step" in ended.out
    assert "would be forgotten: d0-3" in ended.out
    assert verify(folder)["documents"] == 60
    ended = command("curate", "forget", folder, "d0-3", "--checkpoints", tmp_path / "shards")
    assert (ended.code, "no checkpoint of `yanmo train` here" in ended.err) == (2, True)
    assert verify(folder)["documents"] == 60
