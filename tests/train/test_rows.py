"""New rows alone: everything else keeps its bits."""

from collections.abc import Callable

import pytest
import torch

from yanmo.errors import RecipeError
from yanmo.train.config import ModelConfig
from yanmo.train.model import Llama, build
from yanmo.train.optim import Optimizers
from yanmo.train.recipe import OptimizerSettings
from yanmo.train.rows import joined, only_new_rows

Tiny = Callable[..., ModelConfig]
OLD = 50
TOKENS = torch.randint(0, 61, (3, 20), generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def pair(request: pytest.FixtureRequest, tiny: Tiny) -> tuple[Llama, Llama]:
    """The plain model, and the one that trains new rows alone."""
    config = tiny(tie_word_embeddings=request.param)
    plain, grown = (build(config, seed=0, dtype=torch.float64) for _ in range(2))
    only_new_rows(grown, OLD)
    return plain, grown


def _joined(model: Llama) -> dict[str, torch.Tensor]:
    return joined(model, {n: p.detach() for n, p in model.named_parameters()})


def test_logits_and_names_stay(pair: tuple[Llama, Llama]) -> None:
    plain, grown = pair
    with torch.no_grad():
        assert torch.equal(plain.logits(TOKENS), grown.logits(TOKENS))
    found = _joined(grown)
    assert found.keys() == dict(plain.named_parameters()).keys()
    assert all(torch.equal(value, plain.get_parameter(name)) for name, value in found.items())


def test_the_gradient_is_that_of_the_new_rows(pair: tuple[Llama, Llama]) -> None:
    plain, grown = pair
    for model in pair:
        model(TOKENS[:, :-1], TOKENS[:, 1:]).total.backward()
    trained = {n: p for n, p in grown.named_parameters() if p.requires_grad}
    assert {n.rpartition(".")[2] for n in trained} == {"new_rows"}
    for name, value in trained.items():
        slope = plain.get_parameter(name.replace("new_rows", "weight")).grad
        assert slope is not None
        assert value.grad is not None
        torch.testing.assert_close(value.grad, slope[OLD:], atol=1e-12, rtol=1e-12)


def test_training_leaves_all_other_bits(pair: tuple[Llama, Llama]) -> None:
    """With weight decay and momentum, which move masked rows elsewhere."""
    plain, grown = pair
    optimizers = Optimizers(grown.named_parameters(), OptimizerSettings(weight_decay=0.5))
    for _ in range(5):
        grown(TOKENS[:, :-1], TOKENS[:, 1:]).total.backward()
        optimizers.step(0.01)
    for name, value in _joined(grown).items():
        before = plain.get_parameter(name).detach()
        if "embed_tokens" in name or "lm_head" in name:
            assert torch.equal(value[:OLD], before[:OLD])
            seen = torch.isin(torch.arange(OLD, 61), TOKENS[:, :-1])
            assert (value[OLD:] != before[OLD:]).any(dim=1)[seen].all()
        else:
            assert torch.equal(value, before)


@pytest.mark.parametrize("old", [0, 61, 99])
def test_there_must_be_old_and_new_rows(old: int, tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match="none is new"):
        only_new_rows(build(tiny(), seed=0), old)
