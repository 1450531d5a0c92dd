"""Held-out figures against sums made document by document."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from yanmo.shards import Shards, open_shards
from yanmo.train.config import ModelConfig
from yanmo.train.distributed import World
from yanmo.train.heldout import evaluate, heldout_loader
from yanmo.train.model import Llama, build

Tiny = Callable[..., ModelConfig]
ALONE = World(torch.device("cpu"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, write_shards: Any, documents: Any) -> Shards:
    folder: Path = tmp_path_factory.mktemp("s") / "s"
    return open_shards(write_shards(folder, [documents(30, seed=1, longest=20)]))


def _document_nll(model: Llama, ids: list[int]) -> list[float]:
    """Losses of one document alone, opened by BOS."""
    logits = model.logits(torch.tensor([[1, *ids[:-1]]]))[0]
    losses: list[float] = F.cross_entropy(logits, torch.tensor(ids), reduction="none").tolist()
    return losses


@torch.no_grad()
def test_loss_and_bits_per_byte_are_sums_over_documents(tiny: Tiny, shards: Shards) -> None:
    """No document is longer than a sequence here, so each sees all of its context."""
    model = build(tiny(), seed=0, dtype=torch.float64)
    loader = heldout_loader(shards, sequence_tokens=32, tokens=None)
    found = evaluate(model, loader, ALONE, precision="float64", rows=3)
    nll = {"web": 0.0, "books": 0.0}
    text, size, count = dict(nll), dict(nll), 0
    for number in range(shards.documents):
        ids = shards.document(number).astype(np.int64).tolist()
        losses = _document_nll(model, ids)
        source = ("web", "books")[number % 2]
        nll[source] += sum(losses)
        text[source] += sum(losses[:-1])
        size[source] += 3 * (len(ids) - 1)
        count += len(losses)
    assert found.every.targets == count == shards.tokens
    assert found.every.loss == pytest.approx(sum(nll.values()) / count, rel=1e-12)
    bits = sum(text.values()) / math.log(2) / sum(size.values())
    assert found.every.bits_per_byte == pytest.approx(bits, rel=1e-12)
    assert found.new is None
    for source, part in found.sources.items():
        expected = text[source] / math.log(2) / size[source]
        assert part.bits_per_byte == pytest.approx(expected, rel=1e-12)
    assert model.training


def test_the_figures_do_not_depend_on_the_batch(tiny: Tiny, shards: Shards) -> None:
    model = build(tiny(), seed=0, dtype=torch.float64)
    loader = heldout_loader(shards, sequence_tokens=16, tokens=None)
    one, many = (evaluate(model, loader, ALONE, precision="float64", rows=rows) for rows in (1, 7))
    assert one.every.nll == pytest.approx(many.every.nll, rel=1e-12)
    assert one.every.targets == many.every.targets
    assert one.every.bits_per_byte == pytest.approx(many.every.bits_per_byte, rel=1e-12)


@torch.no_grad()
def test_new_tokens_are_told_apart(tiny: Tiny, shards: Shards) -> None:
    model = build(tiny(), seed=0, dtype=torch.float64)
    loader = heldout_loader(shards, sequence_tokens=32, tokens=None)
    found = evaluate(model, loader, ALONE, precision="float64", new_from=40)
    nll, count = 0.0, 0
    for number in range(shards.documents):
        ids = shards.document(number).astype(np.int64).tolist()
        for token, loss in zip(ids, _document_nll(model, ids), strict=True):
            nll, count = (nll + loss, count + 1) if token >= 40 else (nll, count)
    assert found.new is not None
    assert found.new.targets == count > 0
    assert found.new.loss == pytest.approx(nll / count, rel=1e-12)
    assert found.summary()["new_token_loss"] == found.new.loss


def test_two_processes_add_up_to_one(
    tiny: Tiny, shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes its share; the sum over both is the whole, also when one has no share."""
    model = build(tiny(), seed=0, dtype=torch.float64)
    for tokens in (None, 1):
        loader = heldout_loader(shards, sequence_tokens=16, tokens=tokens)
        whole = evaluate(model, loader, ALONE, precision="float64", rows=2)
        monkeypatch.setattr(World, "sum", lambda self, values: values)
        parts = [
            evaluate(model, loader, World(ALONE.device, r, 2), precision="float64", rows=2)
            for r in (0, 1)
        ]
        monkeypatch.undo()
        assert sum(p.every.targets for p in parts) == whole.every.targets
        assert sum(p.every.nll for p in parts) == pytest.approx(whole.every.nll, rel=1e-12)


def test_a_limit_reads_whole_documents_always_the_same(shards: Shards) -> None:
    first, second = (heldout_loader(shards, sequence_tokens=16, tokens=t) for t in (100, 100))
    assert np.array_equal(first.documents, second.documents)
    lengths = np.diff(shards.document_ends, prepend=0)[first.documents]
    assert 100 <= first.targets == lengths.sum() < shards.tokens
    larger = heldout_loader(shards, sequence_tokens=16, tokens=200)
    assert set(first.documents) < set(larger.documents)
    everything = heldout_loader(shards, sequence_tokens=16, tokens=10**9)
    assert everything.targets == shards.tokens
