"""The guard: spikes, values that are not finite, and which documents they came from."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from yanmo.shards import open_shards
from yanmo.train.data import Loader
from yanmo.train.guard import LISTED, Guard, blame
from yanmo.train.recipe import GuardSettings

Make = Callable[..., Any]


def _settled(**changes: Any) -> Guard:
    """A guard that has seen a window of losses 2.0 ± 0.01."""
    guard = Guard(GuardSettings(**({"window_steps": 16} | changes)))
    for i in range(16):
        assert guard.judge(2.0 + 0.01 * (-1) ** i, 1.0) == "fine"
    return guard


def test_a_jump_is_a_spike_once_the_window_is_full() -> None:
    early = Guard(GuardSettings(window_steps=16))
    assert [early.judge(loss, 1.0) for loss in (2.0, 2.0, 9.0)] == ["fine"] * 3
    guard = _settled()
    assert guard.judge(2.05, 1.0) == "fine"
    assert guard.judge(3.0, 1.0) == "spike"


def test_a_spike_does_not_hide_the_next_one() -> None:
    """If the outlier itself entered the window, the spread would swallow the second."""
    guard = _settled()
    assert [guard.judge(loss, 1.0) for loss in (50.0, 50.0)] == ["spike", "spike"]
    assert max(guard.window) < 2.2


def test_a_lasting_change_of_level_stops_being_a_spike() -> None:
    guard = _settled()
    verdicts = [guard.judge(2.6, 1.0) for _ in range(60)]
    assert verdicts[0] == "spike"
    assert verdicts[-1] == "fine"


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan)])
def test_what_is_not_finite_never_enters_the_window(loss: float, norm: float) -> None:
    guard = _settled()
    before = list(guard.window)
    assert guard.judge(loss, norm) == "nonfinite"
    assert guard.window == before
    assert guard.judge(3.0, 1.0) == "spike"


def test_policies() -> None:
    assert not _settled(on_spike="log").skips("spike")
    assert _settled(on_spike="skip").skips("spike")
    assert _settled(on_spike=None).judge(99.0, 1.0) == "fine"
    assert not _settled(on_nonfinite="stop").skips("nonfinite")
    assert _settled(on_nonfinite="skip").skips("nonfinite")
    assert not _settled(on_nonfinite="skip").skips("fine")


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory, write_shards: Make, documents: Make) -> Loader:
    folder: Path = tmp_path_factory.mktemp("s") / "s"
    shards = open_shards(write_shards(folder, [documents(80, seed=1)]))
    return Loader(shards, sequence_tokens=24, seed=0)


def test_the_worst_documents_are_named(loader: Loader) -> None:
    batch = loader.batch(range(4))
    rows = np.flatnonzero(batch.positions >= 0)
    owners = loader.document_of(batch.positions[rows])
    bad, worse = np.unique(owners)[[1, 3]]
    losses = np.ones(len(rows))
    losses[owners == bad] = 5.0
    losses[np.flatnonzero(owners == worse)[0]] = math.nan
    found = blame(loader, [(batch, torch.from_numpy(rows), torch.from_numpy(losses))])
    assert [entry["id"] for entry in found[:2]] == [f"d0-{worse}", f"d0-{bad}"]
    assert [entry["loss"] for entry in found[:2]] == [None, 5.0]
    assert found[0]["source"] in ("web", "books")
    assert found[0]["origin"] == f"file#{worse}"
    assert len(found) == min(LISTED, len(np.unique(owners)))


def test_no_batch_blames_nobody(loader: Loader) -> None:
    assert blame(loader, []) == []
