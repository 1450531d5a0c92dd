"""Adapters: nothing at first, merged equals unmerged, and peft's own format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from yanmo.errors import DataError, RecipeError
from yanmo.train.config import ModelConfig
from yanmo.train.lora import (
    adapter_weights,
    add_adapters,
    factor,
    freeze,
    load_adapter,
    merged,
    read_adapter,
    save_adapter,
)
from yanmo.train.model import Llama, build
from yanmo.train.recipe import LINEAR, LoraSettings

Tiny = Callable[..., ModelConfig]
ALL = LoraSettings(rank=3, alpha=7.0, targets=(*LINEAR, "embed_tokens", "lm_head"))
TOKENS = torch.arange(40).reshape(2, 20)


def _weights(model: Llama) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters())


def _adapted(tiny: Tiny, settings: LoraSettings = ALL, **changes: Any) -> Llama:
    """A model whose adapters are not at their start any more."""
    torch.manual_seed(0)
    model = build(tiny(**changes), seed=0, dtype=torch.float64)
    add_adapters(model, settings)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_" in name:
                value.normal_(0, 0.2)
    return model


def test_a_fresh_adapter_changes_nothing(tiny: Tiny) -> None:
    base = build(tiny(), seed=0)
    adapted = build(tiny(), seed=0)
    names = add_adapters(adapted, ALL)
    assert len(names) == 2 * len(LINEAR) + 2
    with torch.no_grad():
        assert torch.equal(base.logits(TOKENS), adapted.logits(TOKENS))
    trained = {n for n, p in adapted.named_parameters() if p.requires_grad}
    assert trained == {n for n in _weights(adapted) if "lora_" in n}


@pytest.mark.parametrize("stabilised", [False, True])
def test_merged_equals_unmerged(stabilised: bool, tiny: Tiny) -> None:
    settings = LoraSettings(rank=3, alpha=7.0, rank_stabilised=stabilised, targets=ALL.targets)
    model = _adapted(tiny, settings)
    plain = build(tiny(), seed=1, dtype=torch.float64)
    plain.load_state_dict(merged(model, _weights(model)))
    with torch.no_grad():
        torch.testing.assert_close(plain.logits(TOKENS), model.logits(TOKENS), atol=1e-12, rtol=0)
    base = build(tiny(), seed=0, dtype=torch.float64)
    with torch.no_grad():
        assert (base.logits(TOKENS) - model.logits(TOKENS)).abs().max() > 0.01
    assert factor(settings) == pytest.approx(7 / 3**0.5 if stabilised else 7 / 3)


def test_the_addition_is_the_papers(tiny: Tiny) -> None:
    """One layer by numpy: W x + (alpha / r) B A x."""
    model = _adapted(tiny)
    layer: Any = model.model.layers[1].mlp.down_proj
    x = torch.randn(5, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    w, a, b = (v.detach().numpy() for v in (layer.weight, layer.lora_A.weight, layer.lora_B.weight))
    expected = x.numpy() @ w.T + 7 / 3 * (x.numpy() @ a.T) @ b.T
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)


def test_gradients_flow_into_every_adapter_and_nothing_else(tiny: Tiny) -> None:
    model = _adapted(tiny)
    model(TOKENS[:, :-1], TOKENS[:, 1:]).total.backward()
    for name, value in model.named_parameters():
        if "lora_" in name:
            assert value.grad is not None
            assert value.grad.abs().max() > 0, name
        else:
            assert value.grad is None


def test_gradients_are_those_of_the_merged_weights(tiny: Tiny) -> None:
    """Chain rule through W + f B A, from the gradient of a plain model; the head included."""
    model = _adapted(tiny)
    plain = build(tiny(), seed=1, dtype=torch.float64)
    plain.load_state_dict(merged(model, _weights(model)))
    for each in (model, plain):
        each(TOKENS[:, :-1], TOKENS[:, 1:]).total.backward()
    for name in ("lm_head", "model.layers.0.self_attn.k_proj"):
        layer: Any = model.get_submodule(name)
        slope = plain.get_parameter(f"{name}.weight").grad
        assert slope is not None
        wanted = 7 / 3 * layer.lora_B.weight.T @ slope
        torch.testing.assert_close(layer.lora_A.weight.grad, wanted, atol=1e-12, rtol=1e-9)


def test_an_adapter_survives_its_folder(tiny: Tiny, tmp_path: Path) -> None:
    model = _adapted(tiny)
    save_adapter(adapter_weights(_weights(model), ALL), ALL, tmp_path, base="here")
    again = build(tiny(), seed=0, dtype=torch.float64)
    adapter = read_adapter(tmp_path)
    assert adapter.settings == ALL
    assert adapter.base == "here"
    load_adapter(again, adapter)
    with torch.no_grad():
        assert torch.equal(again.logits(TOKENS), model.logits(TOKENS))


def test_the_folder_is_pefts(tiny: Tiny, tmp_path: Path) -> None:
    """Names and shapes as peft documents them: what its loader matches on."""
    settings = LoraSettings(
        rank=3, alpha=7.0, targets=("q_proj", "embed_tokens"), train_whole=("lm_head",)
    )
    model = _adapted(tiny, settings)
    save_adapter(adapter_weights(_weights(model), settings), settings, tmp_path, base="base")
    shapes = {
        n: tuple(v.shape) for n, v in load_file(tmp_path / "adapter_model.safetensors").items()
    }
    layer = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    assert shapes == {
        **{layer.format(i, "A"): (3, 32) for i in (0, 1)},
        **{layer.format(i, "B"): (32, 3) for i in (0, 1)},
        "base_model.model.model.embed_tokens.lora_embedding_A": (3, 61),
        "base_model.model.model.embed_tokens.lora_embedding_B": (32, 3),
        "base_model.model.lm_head.weight": (61, 32),
    }
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    assert (config["r"], config["lora_alpha"]) == (3, 7.0)
    assert config["modules_to_save"] == ["lm_head"]


def test_an_adapter_written_by_peft_is_read(tiny: Tiny, tmp_path: Path) -> None:
    """A folder put together by hand, with the keys peft writes and its defaults."""
    generator = torch.Generator().manual_seed(5)
    name = "base_model.model.model.layers.{}.self_attn.v_proj.lora_{}.weight"
    stored = {
        name.format(i, part): torch.randn(shape, generator=generator)
        for i in (0, 1)
        for part, shape in (("A", (2, 32)), ("B", (16, 2)))
    }
    save_file(stored, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(
        json.dumps(
            {
                "alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": "../",
                "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
                "init_lora_weights": True, "layer_replication": None, "layers_pattern": None,
                "lora_alpha": 8, "lora_bias": False, "lora_dropout": 0, "modules_to_save": None,
                "peft_type": "LORA", "r": 2, "rank_pattern": {}, "revision": None,
                "target_modules": ".*(v_proj)", "use_dora": False, "use_rslora": False,
            }
        )
    )  # fmt: skip
    model, base = build(tiny(), seed=0), build(tiny(), seed=0)
    load_adapter(model, read_adapter(tmp_path))
    found = merged(model, _weights(model))["model.layers.1.self_attn.v_proj.weight"]
    low, high = stored[name.format(1, "A")], stored[name.format(1, "B")]
    expected = base.get_parameter("model.layers.1.self_attn.v_proj.weight") + 4 * high @ low
    torch.testing.assert_close(found, expected.detach())


def test_what_we_do_not_compute_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    model = _adapted(tiny)
    save_adapter(adapter_weights(_weights(model), ALL), ALL, tmp_path, base="")
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text())
    for change in ({"use_dora": True}, {"peft_type": "IA3"}, {"rank_pattern": {"q_proj": 4}}):
        path.write_text(json.dumps(config | change))
        with pytest.raises(DataError, match=next(iter(change))):
            read_adapter(tmp_path)


def test_an_adapter_of_another_model_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    model = _adapted(tiny)
    save_adapter(adapter_weights(_weights(model), ALL), ALL, tmp_path, base="")
    with pytest.raises(DataError, match="should have shape"):
        load_adapter(build(tiny(vocab_size=99), seed=0), read_adapter(tmp_path))
    with pytest.raises(DataError, match="does not fit"):
        load_adapter(build(tiny(num_hidden_layers=1), seed=0), read_adapter(tmp_path))


def test_targets_must_exist_and_a_tied_embedding_cannot_be_one(tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match=r"no such layer.*c_attn"):
        add_adapters(build(tiny(), seed=0), LoraSettings(rank=2, targets=("c_attn",)))
    tied = build(tiny(tie_word_embeddings=True), seed=0)
    with pytest.raises(RecipeError, match="tied"):
        add_adapters(tied, LoraSettings(rank=2, targets=("q_proj", "embed_tokens")))


def test_dropout_is_for_training_alone(tiny: Tiny) -> None:
    settings = LoraSettings(rank=3, dropout=0.5, targets=("q_proj",))
    model = _adapted(tiny, settings)
    model.eval()
    with torch.no_grad():
        first = model.logits(TOKENS)
        assert torch.equal(model.logits(TOKENS), first)
        model.train()
        assert not torch.equal(model.logits(TOKENS), first)


def test_patterns_freeze(tiny: Tiny) -> None:
    model = build(tiny(), seed=0)
    frozen = freeze(model, ("model.layers.0.*", "*norm.weight"))
    assert all(
        (name in frozen) == (name.startswith("model.layers.0.") or name.endswith("norm.weight"))
        for name in _weights(model)
    )
    assert all(p.requires_grad == (n not in frozen) for n, p in model.named_parameters())
    with pytest.raises(RecipeError, match=r"matches no parameter.*layers\.9"):
        freeze(model, ("model.layers.9.*",))
