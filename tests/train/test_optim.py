"""Which parameters decay, what the rate is, and state that survives a round trip."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanmo import recipe as recipes
from yanmo.errors import DataError
from yanmo.train.config import ModelConfig
from yanmo.train.model import Llama, build
from yanmo.train.optim import Optimizers, decays, learning_rate, wants_muon
from yanmo.train.recipe import OptimizerSettings, ScheduleSettings

Tiny = Callable[..., ModelConfig]


def _schedule(**changes: Any) -> ScheduleSettings:
    defaults: dict[str, Any] = {"warmup_tokens": 100, "min_lr_ratio": 0.1}
    return ScheduleSettings(**(defaults | changes))


def _rate(done: float, schedule: ScheduleSettings, lr: float = 2.0) -> float:
    return learning_rate(OptimizerSettings(lr=lr), schedule, done=done, total=1100)


@pytest.mark.parametrize("kind", ["cosine", "wsd", "constant"])
def test_the_rate_rises_in_a_straight_line(kind: str) -> None:
    schedule = _schedule(kind=kind)
    assert [_rate(done, schedule) for done in (0, 25, 50)] == [0, 0.5, 1.0]
    assert _rate(100, schedule) == pytest.approx(2.0)


def test_cosine_ends_at_the_floor() -> None:
    schedule = _schedule(kind="cosine")
    assert _rate(600, schedule) == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))
    assert _rate(1100, schedule) == pytest.approx(0.2)
    assert _rate(5000, schedule) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("shape", "half"),
    [("linear", 0.5), ("sqrt", 1 - math.sqrt(0.5)), ("cosine", 0.5)],
)
def test_wsd_is_stable_then_decays(shape: str, half: float) -> None:
    schedule = _schedule(kind="wsd", decay_tokens=200, decay_shape=shape, min_lr_ratio=0.0)
    assert _rate(500, schedule) == _rate(900, schedule) == 2.0
    assert _rate(1000, schedule) == pytest.approx(2.0 * half)
    assert _rate(1100, schedule) == pytest.approx(0.0)


def test_a_wsd_trunk_does_not_depend_on_its_length() -> None:
    """What makes branches of different length comparable."""
    schedule = _schedule(kind="wsd", decay_tokens=100)
    short, long = (
        [learning_rate(OptimizerSettings(), schedule, done=d, total=t) for d in range(0, 900, 50)]
        for t in (1000, 5000)
    )
    assert short == long


def test_shares_are_of_the_run() -> None:
    schedule = ScheduleSettings(kind="wsd", warmup_share=0.1, decay_share=0.5, decay_shape="linear")
    rates = [
        learning_rate(OptimizerSettings(lr=1.0), schedule, done=d, total=1000)
        for d in (50, 500, 750)
    ]
    assert rates == pytest.approx([0.5, 1.0, 0.1 + 0.9 * 0.5])


def test_only_matrices_of_the_layers_and_the_head_decay(tiny: Tiny) -> None:
    model = build(tiny(model_type="qwen2", attention_bias=True), seed=0)
    named = dict(model.named_parameters())
    spared = {n for n, p in named.items() if not decays(n, p)}
    assert spared == {
        n for n in named if n.endswith(("norm.weight", ".bias")) or "embed_tokens" in n
    }
    muon = {n for n, p in named.items() if wants_muon(n, p)}
    assert muon == {n for n in named if n.endswith("_proj.weight")}


def _stepped(model: Llama, optimizers: Optimizers, steps: range) -> None:
    for seed in steps:
        tokens = torch.randint(0, 61, (2, 9), generator=torch.Generator().manual_seed(seed))
        (model(tokens[:, :-1], tokens[:, 1:]).total / 16).backward()
        optimizers.clip(optimizers.norm())
        optimizers.step(0.01)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_state_moves_to_another_optimizer_bit_for_bit(kind: str, tiny: Tiny) -> None:
    settings = OptimizerSettings(kind=kind)
    models = [build(tiny(), seed=0) for _ in range(2)]
    first, second = (Optimizers(m.named_parameters(), settings) for m in models)
    _stepped(models[0], first, range(3))
    models[1].load_state_dict(models[0].state_dict())
    second.load({name: value.clone() for name, value in first.state().items()})
    for model, optimizers in zip(models, (first, second), strict=True):
        _stepped(model, optimizers, range(3, 6))
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_adamw_is_the_textbooks(tiny: Tiny) -> None:
    """Two steps of one weight, by hand, in float64."""
    settings = OptimizerSettings(weight_decay=0.1, clip=None)
    value = torch.nn.Parameter(torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    optimizers = Optimizers([("model.layers.0.mlp.up_proj.weight", value)], settings)
    w, m, v = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for step, slope in enumerate(([0.5, -1.0], [-0.25, 3.0]), start=1):
        value.grad = torch.tensor([slope], dtype=torch.float64)
        optimizers.step(0.1)
        for i, g in enumerate(slope):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.95 * v[i] + 0.05 * g * g
            up = (m[i] / (1 - 0.9**step)) / (math.sqrt(v[i] / (1 - 0.95**step)) + 1e-8)
            w[i] = w[i] * (1 - 0.1 * 0.1) - 0.1 * up
    assert value.tolist()[0] == pytest.approx(w, rel=1e-12)


def test_the_gradient_is_clipped_to_the_norm(tiny: Tiny) -> None:
    model = build(tiny(), seed=0)
    optimizers = Optimizers(model.named_parameters(), OptimizerSettings(clip=0.5))
    for value in model.parameters():
        value.grad = torch.ones_like(value)
    count = sum(p.numel() for p in model.parameters())
    assert optimizers.norm().item() == pytest.approx(math.sqrt(count), rel=1e-5)
    optimizers.clip(optimizers.norm())
    assert optimizers.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_frozen_parameters_are_left_alone(tiny: Tiny) -> None:
    model = build(tiny(), seed=0)
    model.model.embed_tokens.weight.requires_grad_(False)
    optimizers = Optimizers(model.named_parameters(), OptimizerSettings())
    before = model.model.embed_tokens.weight.clone()
    _stepped(model, optimizers, range(2))
    assert torch.equal(model.model.embed_tokens.weight, before)
    assert not any("embed_tokens" in name for name in optimizers.state())


def test_state_of_another_model_is_refused(tiny: Tiny) -> None:
    model = build(tiny(), seed=0)
    optimizers = Optimizers(model.named_parameters(), OptimizerSettings())
    with pytest.raises(DataError, match="another model"):
        optimizers.load({"nothing/step": torch.zeros(())})
    _stepped(model, optimizers, range(1))
    state = {k: v for k, v in optimizers.state().items() if "lm_head" not in k}
    with pytest.raises(DataError, match=r"lacks.*lm_head"):
        optimizers.load(state)


def test_settings_survive_toml() -> None:
    settings = ScheduleSettings(kind="wsd", decay_tokens=5, warmup_tokens=None)
    table = recipes.to_table(settings)
    assert recipes.from_table(ScheduleSettings, table, where="test") == settings
