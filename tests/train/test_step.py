"""The same batch must give the same gradients however it is cut up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from yanmo.errors import DataError
from yanmo.shards import open_shards
from yanmo.train.config import ModelConfig
from yanmo.train.data import Batch, Loader
from yanmo.train.distributed import World
from yanmo.train.loss import IGNORED
from yanmo.train.model import Llama, build
from yanmo.train.optim import Optimizers
from yanmo.train.recipe import OptimizerSettings
from yanmo.train.step import accumulate

Tiny = Callable[..., ModelConfig]
ALONE = World(torch.device("cpu"))
SPLITS = [(8,), (4, 4), (2, 2, 2, 2), (1,) * 8, (1, 5, 2)]


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory, write_shards: Any, documents: Any) -> Loader:
    folder: Path = tmp_path_factory.mktemp("s") / "s"
    shards = open_shards(write_shards(folder, [documents(60, seed=1)]))
    return Loader(shards, sequence_tokens=24, seed=0)


def _masked(loader: Loader, row: int) -> Batch:
    """One sequence with ``row`` thirds of its labels masked, and one (7) with none left."""
    batch = loader.batch([row])
    batch.labels[0, : row * 3] = IGNORED
    if row == 7:
        batch.labels[:] = IGNORED
    targets = int((batch.labels != IGNORED).sum())
    return Batch(batch.tokens, batch.labels, batch.documents, targets, batch.positions)


def _join(parts: list[Batch]) -> Batch:
    from yanmo.train.attention import documents_from_lengths

    return Batch(
        torch.cat([p.tokens for p in parts]),
        torch.cat([p.labels for p in parts]),
        documents_from_lengths([row for p in parts for row in p.documents.lengths]),
        sum(p.targets for p in parts),
        parts[0].positions,
    )


def _cut(loader: Loader, split: tuple[int, ...]) -> list[Batch]:
    rows = [_masked(loader, i) for i in range(8)]
    micro, at = [], 0
    for size in split:
        micro.append(_join(rows[at : at + size]))
        at += size
    return micro


def _gradients(model: Llama) -> list[torch.Tensor]:
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["64", "32"]
)
def test_gradients_do_not_depend_on_the_split(
    split: tuple[int, ...], dtype: torch.dtype, tolerance: float, tiny: Tiny, loader: Loader
) -> None:
    """Unequal mask counts, one micro-batch without any target."""
    whole, parts = (build(tiny(), seed=0, dtype=dtype) for _ in range(2))
    a = accumulate(whole, _cut(loader, (8,)), ALONE)
    b = accumulate(parts, _cut(loader, split), ALONE)
    assert a.targets == b.targets
    assert b.nll == pytest.approx(a.nll, rel=tolerance)
    for x, y in zip(_gradients(whole), _gradients(parts), strict=True):
        assert ((x - y).norm() / x.norm()).item() <= tolerance


@pytest.mark.parametrize("split", [(4, 4), (1, 5, 2)], ids=str)
def test_twenty_steps_end_at_the_same_weights(
    split: tuple[int, ...], tiny: Tiny, loader: Loader
) -> None:
    models = [build(tiny(), seed=0, dtype=torch.float64) for _ in range(2)]
    for model, cut in zip(models, ((8,), split), strict=True):
        optimizers = Optimizers(model.named_parameters(), OptimizerSettings())
        for _ in range(20):
            accumulate(model, _cut(loader, cut), ALONE, z_loss=1e-4)
            optimizers.clip(optimizers.norm())
            optimizers.step(1e-2)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert (a - b).abs().max().item() <= 1e-7


def test_the_loss_is_the_mean_over_targets_not_over_batches(tiny: Tiny, loader: Loader) -> None:
    """A mean of means, as a check that the two differ here at all."""
    model = build(tiny(), seed=0, dtype=torch.float64)
    micro = _cut(loader, (1,) * 8)[:7]
    done = accumulate(model, micro, ALONE)
    sums = [(model(b.tokens, b.labels, b.documents).total.item(), b.targets) for b in micro]
    assert done.loss == pytest.approx(sum(s for s, _ in sums) / sum(n for _, n in sums))
    assert done.loss != pytest.approx(sum(s / n for s, n in sums) / len(sums), rel=1e-6)


def test_a_batch_without_targets_is_an_error(tiny: Tiny, loader: Loader) -> None:
    with pytest.raises(DataError, match="no target"):
        accumulate(build(tiny(), seed=0), [_masked(loader, 7)], ALONE)


def test_bfloat16_computes_near_float32_and_keeps_float32_weights(
    tiny: Tiny, loader: Loader
) -> None:
    exact, narrow = (build(tiny(), seed=0) for _ in range(2))
    a = accumulate(exact, _cut(loader, (8,)), ALONE)
    b = accumulate(narrow, _cut(loader, (8,)), ALONE, precision="bfloat16")
    assert b.loss == pytest.approx(a.loss, rel=0.01)
    assert b.loss != a.loss
    for value in narrow.parameters():
        assert value.dtype == torch.float32
        assert value.grad is not None
        assert value.grad.dtype == torch.float32


def test_one_batch_can_be_learned_by_heart(tiny: Tiny, loader: Loader) -> None:
    model = build(tiny(), seed=0)
    optimizers = Optimizers(model.named_parameters(), OptimizerSettings(weight_decay=0.0))
    batch = [loader.batch([0])]
    for _ in range(120):
        loss = accumulate(model, batch, ALONE).loss
        optimizers.clip(optimizers.norm())
        optimizers.step(0.01)
    assert loss < 0.01


def test_the_request_to_stop_is_passed_on(tiny: Tiny, loader: Loader) -> None:
    model = build(tiny(), seed=0)
    assert accumulate(model, [loader.batch([0])], ALONE, stop=True).stop
    assert not accumulate(model, [loader.batch([0])], ALONE).stop
