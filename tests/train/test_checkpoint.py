"""Checkpoints: whole or ignored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from yanmo.errors import DataError
from yanmo.files import read_json, write_json
from yanmo.train import checkpoint
from yanmo.train.config import ModelConfig
from yanmo.train.model import build

Tiny = Callable[..., ModelConfig]


def _save(run: Path, step: int, config: ModelConfig, **state: Any) -> Path:
    model = build(config, seed=step)
    content = checkpoint.Content(
        config, dict(model.named_parameters()), {"a/step": torch.tensor(float(step))},
        checkpoint.generator_states(0), {"step": step, **state}, "seed = 0\n", None,
    )  # fmt: skip
    return checkpoint.save(run, step, content)


def test_what_is_saved_is_read(tiny: Tiny, tmp_path: Path) -> None:
    folder = _save(tmp_path, 7, tiny(), note="研墨")
    found = checkpoint.read(folder)
    assert found.state["step"] == 7
    assert found.state["note"] == "研墨"
    assert found.optimizer["a/step"].item() == 7.0
    assert found.recipe.read_text() == "seed = 0\n"
    assert checkpoint.checkpoints(tmp_path) == [(7, folder)]


def test_generators_go_on_where_they_were(tiny: Tiny, tmp_path: Path) -> None:
    torch.manual_seed(3)
    folder = _save(tmp_path, 1, tiny())
    expected = torch.rand(4)
    checkpoint.restore_generators(checkpoint.read(folder).generators, rank=0)
    assert torch.equal(torch.rand(4), expected)
    before = torch.get_rng_state()
    checkpoint.restore_generators(checkpoint.read(folder).generators, rank=5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: (f / "yanmo/done.json").unlink(),
        lambda f: (f / "model.safetensors").write_bytes(b"short"),
        lambda f: (f / "yanmo/optimizer.safetensors").unlink(),
        lambda f: (f / "yanmo/done.json").write_text("{"),
    ],
    ids=["no marker", "cut weights", "no optimizer", "cut marker"],
)
def test_a_torn_checkpoint_is_ignored(
    damage: Callable[[Path], Any], tiny: Tiny, tmp_path: Path
) -> None:
    good, bad = (_save(tmp_path, step, tiny()) for step in (1, 2))
    damage(bad)
    assert checkpoint.checkpoints(tmp_path) == [(1, good)]
    assert checkpoint.torn(tmp_path) == [bad]


def test_only_the_newest_are_kept(tiny: Tiny, tmp_path: Path) -> None:
    folders = [_save(tmp_path, step, tiny()) for step in (1, 2, 3, 4)]
    (folders[1] / "yanmo/done.json").unlink()
    checkpoint.prune(tmp_path, None)
    assert all(folder.is_dir() for folder in folders)
    checkpoint.prune(tmp_path, 2)
    assert [f.is_dir() for f in folders] == [False, False, True, True]


def test_steps_are_ordered_as_numbers(tiny: Tiny, tmp_path: Path) -> None:
    for step in (100_000_000, 99_999_999):
        _save(tmp_path, step, tiny())
    assert [n for n, _ in checkpoint.checkpoints(tmp_path)] == [99_999_999, 100_000_000]


def test_an_unknown_version_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    folder = _save(tmp_path, 1, tiny())
    state = read_json(folder / "yanmo/state.json")
    write_json(folder / "yanmo/state.json", state | {"format_version": 99})
    with pytest.raises(DataError, match=r"unknown version.*99"):
        checkpoint.read(folder)


def test_a_path_leads_to_a_model(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model here"):
        checkpoint.resolve(tmp_path)
    folder = _save(tmp_path, 3, tiny())
    assert checkpoint.resolve(tmp_path) == folder
    assert checkpoint.resolve(folder) == folder
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    assert checkpoint.resolve(tmp_path) == tmp_path / "model"
