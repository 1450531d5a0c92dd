"""What a decoder costs by its configuration: by hand, against published sizes and transformers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import DataError, UsageError
from yanmo.model_cost import ModelShape, padded, read_shape

# A layer: 2*8*8 + 2*8*4 + 3*8*16 = 576 weights, two of them 1152; 100 rows of 8, tied.
TINY = ModelShape("tiny", vocab_size=100, hidden_size=8, layers=2, heads=2, kv_heads=1, head_dim=4,
                  intermediate_size=16, gated=True, tied=True, max_positions=9)  # fmt: skip
LLAMA_7B = {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
            "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
            "max_position_embeddings": 4096, "tie_word_embeddings": False}  # fmt: skip


def config(folder: Path, **changes: Any) -> Path:
    values = {k: v for k, v in {**LLAMA_7B, **changes}.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_llama_7b_has_its_published_parameters(tmp_path: Path) -> None:
    shape = read_shape(config(tmp_path))
    norms = (2 * 32 + 1) * 4096
    assert shape.weights + norms == 6_738_415_616  # meta-llama/Llama-2-7b
    # 2 operations a weight, the embedding looked up: near the 6 N of Kaplan et al. in training.
    assert shape.training_flops(1) == pytest.approx(
        6 * (6_738_149_376 - 32000 * 4096) + 12 * 32 * 4096
    )
    assert shape.cache_bytes == 524_288  # half a megabyte a token in 16 bits


def test_qwen2_and_gpt2_have_theirs(tmp_path: Path) -> None:
    """Grouped queries and tying: Qwen2.5-0.5B; a plain block: GPT-2 (biases and norms aside)."""
    qwen = read_shape(config(
        tmp_path, model_type="qwen2", hidden_size=896, intermediate_size=4864,
        num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, vocab_size=151936,
        tie_word_embeddings=True,
    ))  # fmt: skip
    biases = 24 * (896 + 2 * 128)
    assert qwen.weights + biases + 49 * 896 == 494_032_768
    (tmp_path / "config.json").write_text(json.dumps(
        {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257,
         "n_positions": 1024}), encoding="utf-8")  # fmt: skip
    gpt2 = read_shape(tmp_path / "config.json")
    biases = 12 * (3 * 768 + 768 + 3072 + 768) + 25 * 2 * 768
    assert gpt2.weights + biases + 1024 * 768 == 124_439_808
    assert gpt2.tied


def test_costs_by_hand() -> None:
    assert TINY.layer_weights == 1152
    assert (TINY.vocabulary_weights, TINY.weights) == (800, 1952)
    assert replace(TINY, tied=False).weights == 2752
    # Attention: 4 * 2 layers * 8 for each of (9 + 1) / 2 tokens = 320.
    assert TINY.forward_flops(9) == 2 * 1952 + 320 == 4224
    assert TINY.training_flops(9) == 12672
    # The head is multiplied whether it is tied or not.
    assert replace(TINY, tied=False).forward_flops(9) == 4224
    assert TINY.cache_bytes == 2 * 2 * 1 * 4 * 2
    assert (padded(100, 64), padded(128, 64)) == (128, 128)


def test_operations_are_those_that_torch_counts() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    settings = transformers.LlamaConfig(
        vocab_size=100, hidden_size=8, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=4, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(settings)
    length = 9
    with FlopCounterMode(display=False) as counter:
        model(torch.ones(1, length, dtype=torch.long), use_cache=False).logits.sum().backward()
    # torch multiplies all pairs of tokens, we count those that the mask leaves: (T + 1) / 2 of T.
    full = 4 * 2 * 8 * (length - (length + 1) / 2) * length
    rotary = counter.get_total_flops() - 3 * length * TINY.forward_flops(length) - 3 * full
    assert abs(rotary) / counter.get_total_flops() < 0.01


def test_configurations_that_cannot_be_priced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such model. Give a config.json, or the folder"):
        read_shape(tmp_path / "none")
    with pytest.raises(UsageError, match="a mixture of experts"):
        read_shape(config(tmp_path, model_type="mixtral", num_local_experts=8))
    with pytest.raises(UsageError, match="model_type is not known here, got 'mamba'"):
        read_shape(config(tmp_path, model_type="mamba"))
    for wrong in (None, 0, -3, "4096", True, 1.5):
        with pytest.raises(DataError, match="no whole number above zero in 'hidden_size'"):
            read_shape(config(tmp_path, hidden_size=wrong))
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(DataError, match="not a model's config"):
        read_shape(tmp_path)


@pytest.mark.realdata
def test_real_models_have_the_weights_that_are_counted(realdata: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    for name in ("stories15m", "minimind2-small"):
        folder = realdata / "models" / name
        shape = read_shape(folder)
        with safetensors.safe_open(folder / "model.safetensors", "np") as tensors:
            sizes = {key: tensors.get_slice(key).get_shape() for key in tensors.keys()}  # noqa: SIM118
        matrices = sum(s[0] * s[1] for s in sizes.values() if len(s) == 2)
        assert shape.weights == matrices, name


# What each family calls its sizes; the others say what Llama says.
SIZES = {
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 32, "vocab_size": 96},
    "opt": {"hidden_size": 64, "ffn_dim": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
            "word_embed_proj_dim": 64, "max_position_embeddings": 32, "vocab_size": 96},
}  # fmt: skip
LIKE_LLAMA = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3,
              "num_attention_heads": 4, "vocab_size": 96, "max_position_embeddings": 32,
              "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}  # fmt: skip
GROUPED = {"num_key_value_heads": 2, "head_dim": 16}
ONE_EACH = ("gpt2", "opt", "gpt_neox", "phi")  # as many key heads as query heads, here


@pytest.mark.parametrize(
    "family",
    ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "glm",
     "olmo2", "gpt2", "gpt_neox", "opt", "phi"],
)  # fmt: skip
def test_weights_are_those_that_transformers_makes(family: str, tmp_path: Path) -> None:
    """Every family by its own class, with the file as it writes it: what is tied is not there."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    sizes = SIZES.get(family, LIKE_LLAMA) | ({} if family in ONE_EACH else GROUPED)
    settings = transformers.AutoConfig.for_model(family, **sizes)
    settings.save_pretrained(tmp_path)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(settings)
    counted = sum(
        p.numel() for name, p in model.named_parameters()
        if p.dim() == 2 and "wpe" not in name and "embed_positions" not in name
    )  # fmt: skip
    shape = read_shape(tmp_path)
    assert shape.weights == counted
    table = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    table.pop("tie_word_embeddings", None)
    (tmp_path / "config.json").write_text(json.dumps(table), encoding="utf-8")
    assert read_shape(tmp_path).tied is shape.tied


def test_a_dense_minimind_has_no_experts(tmp_path: Path) -> None:
    named = {"model_type": "minimind", "n_routed_experts": 4}
    assert read_shape(config(tmp_path, **named, use_moe=False)).gated
    with pytest.raises(UsageError, match="a mixture of experts"):
        read_shape(config(tmp_path, **named, use_moe=True))
