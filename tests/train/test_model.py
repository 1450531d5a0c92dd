"""The model against transformers, and against what a causal language model must be."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from yanmo.errors import DataError
from yanmo.train.config import ModelConfig, Rope, from_hf
from yanmo.train.folder import load_model, save_model
from yanmo.train.model import build, parameter_count

Tiny = Callable[..., ModelConfig]

SHAPES = {
    "llama": {},
    "llama, all heads": {"num_key_value_heads": 4},
    "llama, one key head": {"num_key_value_heads": 1},
    "llama, tied": {"tie_word_embeddings": True},
    "llama, biases": {"attention_bias": True, "output_bias": True},
    "llama, wide heads": {"head_dim": 16},
    "linear": {"rope": Rope(theta=5000.0, kind="linear", factor=4.0)},
    "llama3": {
        "rope": Rope(theta=500_000.0, kind="llama3", factor=8.0, original_positions=64),
        "max_position_embeddings": 512,
        "head_dim": 16,
    },
    "yarn": {
        "rope": Rope(kind="yarn", factor=4.0, original_positions=64, beta_fast=8.0),
        "max_position_embeddings": 256,
        "head_dim": 16,
    },
    "qwen2": {"model_type": "qwen2", "attention_bias": True, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "qk_norm": True, "head_dim": 16},
}


@pytest.fixture
def tokens() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 61, (2, 40), generator=generator)


def _shaken(config: ModelConfig) -> torch.nn.Module:
    """A model whose norms and biases are not at their initial ones and zeros."""
    model = build(config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn(value.shape, generator=generator), alpha=0.1)
    return model


@pytest.mark.parametrize("name", SHAPES)
def test_saved_model_opens_in_transformers_with_equal_logits(
    name: str, tiny: Tiny, tokens: torch.Tensor, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    config = tiny(**SHAPES[name])
    model = _shaken(config)
    save_model(config, dict(model.named_parameters()), tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(
            model.logits(tokens), theirs(tokens).logits, atol=1e-5, rtol=1e-5
        )
    assert {n for n, _ in model.named_parameters()} == {n for n, _ in theirs.named_parameters()}


@pytest.mark.parametrize("name", SHAPES)
def test_model_saved_by_transformers_opens_here_with_equal_logits(
    name: str, tiny: Tiny, tokens: torch.Tensor, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = tiny(**SHAPES[name])
    table = config.to_hf()
    torch.manual_seed(4)
    theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(**table))
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(ours.logits(tokens), theirs(tokens).logits, atol=1e-5, rtol=1e-5)
    assert ours.config.rope == config.rope


def test_config_survives_the_round_trip(tiny: Tiny) -> None:
    for changes in SHAPES.values():
        config = tiny(bos_token_id=1, eos_token_id=2, **changes)
        assert from_hf(config.to_hf()) == config


def test_config_of_transformers_4_is_read(tiny: Tiny) -> None:
    rope = Rope(theta=500_000.0, kind="llama3", factor=8.0, original_positions=64)
    table = tiny(rope=rope).to_hf()
    table.pop("rope_parameters")
    table["rope_scaling"].pop("rope_theta")
    assert from_hf(table).rope == rope


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "gpt2", "architecture"),
        ("hidden_act", "gelu", "hidden_act"),
        ("use_sliding_window", True, "use_sliding_window"),
        ("rope_parameters", {"rope_type": "longrope"}, "scaling"),
    ],
)
def test_what_we_do_not_compute_is_refused(
    key: str, value: object, message: str, tiny: Tiny
) -> None:
    with pytest.raises(DataError, match=message):
        from_hf(tiny().to_hf() | {key: value})


def test_a_missing_key_is_named(tiny: Tiny) -> None:
    table = tiny().to_hf()
    del table["intermediate_size"]
    with pytest.raises(DataError, match="intermediate_size"):
        from_hf(table)


def test_the_future_changes_nothing(tiny: Tiny, tokens: torch.Tensor) -> None:
    model = build(tiny(), seed=0)
    changed = tokens.clone()
    changed[:, 25:] = (changed[:, 25:] + 7) % 61
    with torch.no_grad():
        before, after = model.logits(tokens), model.logits(changed)
    assert torch.equal(before[:, :25], after[:, :25])
    assert not torch.equal(before[:, 25:], after[:, 25:])


def test_a_fresh_model_knows_nothing(tiny: Tiny, tokens: torch.Tensor) -> None:
    """At the start the loss is that of guessing among all ids."""
    model = build(tiny(vocab_size=512), seed=0)
    loss = model(tokens[:, :-1], tokens[:, 1:])
    assert loss.total.item() / loss.targets == pytest.approx(math.log(512), abs=0.1)


def test_weights_depend_on_the_seed_alone(tiny: Tiny) -> None:
    first, second, other = (build(tiny(), seed=seed) for seed in (5, 5, 6))
    for (name, a), b, c in zip(
        first.named_parameters(), second.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert name.endswith("norm.weight") or not torch.equal(a, c)


def test_recomputing_activations_changes_no_gradient(tiny: Tiny, tokens: torch.Tensor) -> None:
    plain, thrifty = build(tiny(), seed=0), build(tiny(), seed=0)
    thrifty.recompute = True
    for model in (plain, thrifty):
        model(tokens[:, :-1], tokens[:, 1:]).total.backward()
    for a, b in zip(plain.parameters(), thrifty.parameters(), strict=True):
        assert a.grad is not None
        assert torch.equal(a.grad, b.grad)


def test_parameter_count_is_the_models(tiny: Tiny) -> None:
    for changes in SHAPES.values():
        config = tiny(**changes)
        counts = parameter_count(config)
        assert counts["total"] == sum(p.numel() for p in build(config, seed=0).parameters())
        assert counts["total"] == counts["embedding"] + counts["head"] + counts["layers"]


def test_weights_that_do_not_fit_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    model = build(tiny(), seed=0)
    weights = dict(model.named_parameters())
    for name, change, message in [
        ("short", {"model.norm.weight": torch.ones(5)}, "should have shape"),
        ("strange", {"model.extra": torch.ones(5)}, "no place"),
    ]:
        save_model(model.config, weights | change, tmp_path / name)
        with pytest.raises(DataError, match=message):
            load_model(tmp_path / name)
    del weights["model.norm.weight"]
    save_model(model.config, weights, tmp_path / "missing")
    with pytest.raises(DataError, match=r"missing.*norm"):
        load_model(tmp_path / "missing")


def test_a_cut_file_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    model = build(tiny(), seed=0)
    save_model(model.config, dict(model.named_parameters()), tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot read the weights"):
        load_model(tmp_path)


def test_weights_in_parts_are_read(tiny: Tiny, tokens: torch.Tensor, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = build(tiny(), seed=0)
    save_model(model.config, dict(model.named_parameters()), tmp_path / "one")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    theirs.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert (tmp_path / "parts/model.safetensors.index.json").is_file()
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "parts").logits(tokens), model.logits(tokens))


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["stories15m", "minimind2-small"])
def test_real_checkpoints_give_the_logits_of_transformers(
    name: str, realdata: Path, tmp_path: Path
) -> None:
    """Both ways: theirs read here, and written here read there."""
    from transformers import AutoModelForCausalLM

    folder = realdata / "models" / name
    ours = load_model(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.randint(3, ours.config.vocab_size, (2, 48), generator=torch.Generator())
    with torch.no_grad():
        expected = theirs(tokens).logits
        torch.testing.assert_close(ours.logits(tokens), expected, atol=2e-5, rtol=1e-5)
        save_model(ours.config, dict(ours.named_parameters()), tmp_path, tokenizer=folder)
        again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        torch.testing.assert_close(again(tokens).logits, expected, atol=2e-5, rtol=1e-5)
    assert any((tmp_path / file).is_file() for file in ("tokenizer.json", "tokenizer.model"))
