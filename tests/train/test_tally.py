"""Training losses told apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from yanmo.shards import open_shards
from yanmo.train.data import Loader
from yanmo.train.distributed import World
from yanmo.train.loss import IGNORED
from yanmo.train.tally import Rates, Tally, all_and_new, apart, by_source

ALONE = World(torch.device("cpu"))


@pytest.fixture(scope="module")
def loader(
    tmp_path_factory: pytest.TempPathFactory, write_shards: Callable[..., Path], documents: Any
) -> Loader:
    folder = tmp_path_factory.mktemp("s") / "s"
    shards = open_shards(write_shards(folder, [documents(40, seed=1)]))
    return Loader(shards, sequence_tokens=24, seed=0)


def test_sums_by_source_and_age(loader: Loader) -> None:
    tally = Tally(loader, new_from=30)
    expected = {"web": [0.0, 0], "books": [0.0, 0], "new": [0.0, 0]}
    rng = np.random.default_rng(0)
    for index in range(loader.sequences):
        batch = loader.batch([index])
        rows = (batch.labels.flatten() != IGNORED).nonzero().squeeze(1)
        nll = torch.from_numpy(rng.random(len(rows)))
        tally.add(batch, rows, nll)
        for row, loss in zip(rows.tolist(), nll.tolist(), strict=True):
            document = int(loader.document_of(batch.positions[[row]])[0])
            for kind in (("web", "books")[document % 2], "new"):
                if kind != "new" or batch.labels.flatten()[row] >= 30:
                    expected[kind][0] += loss
                    expected[kind][1] += 1
    sums = tally.reduce(ALONE)
    rates = by_source(sums, tally.names)
    everything, new = all_and_new(sums)
    for kind, found in (("web", rates["web"]), ("books", rates["books"]), ("new", new)):
        assert found.nll == pytest.approx(expected[kind][0])
        assert found.targets == expected[kind][1]
    assert everything.targets == loader.targets
    line = apart(sums, tally.names, 30)
    old = everything.nll - new.nll, everything.targets - new.targets
    assert line["old_token_loss"] == pytest.approx(old[0] / old[1])
    assert line["new_token_share"] == pytest.approx(new.targets / everything.targets)
    tally.clear()
    assert not tally.sums.any()


def test_nothing_is_new_without_a_grown_vocabulary(loader: Loader) -> None:
    tally = Tally(loader, new_from=None)
    batch = loader.batch([0])
    rows = torch.arange(4)
    tally.add(batch, rows, torch.ones(4))
    assert "new_token_loss" not in apart(tally.sums, tally.names, None)
    assert all_and_new(tally.sums)[1].loss is None


def test_rates_without_anything_are_none_not_zero() -> None:
    assert Rates(0.0, 0).loss is None
    assert Rates(1.0, 2).bits_per_byte is None
    assert Rates(2.0, 4, text_nll=np.log(2) * 6, text_bytes=3).bits_per_byte == pytest.approx(2.0)
