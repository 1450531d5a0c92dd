"""What rows cost and what tokens save: by hand, against published sizes, torch's own count."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import DataError, UsageError
from yanmo.vocab.growth_worth import Plan, Swap, cheapest, weigh
from yanmo.vocab.model_cost import ModelShape, padded, read_shape

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


def test_a_swap_by_hand() -> None:
    """200 ids are padded to 256 rows: 6720 operations forward instead of 4224; half the tokens."""
    plan = Plan(adapt_tokens=1000, context=9)
    found = weigh(TINY, Swap(before=0.8, after=0.4, size=200, new_rows=100), plan)
    assert found["after"]["rows"] == 256
    assert found["added_parameters"] == 156 * 8
    assert found["before"]["training_flops_per_token"] == 12672
    assert found["after"]["training_flops_per_token"] == 20160
    assert found["after"]["training_flops_per_char"] == pytest.approx(8064)
    assert found["tokens_saved"] == pytest.approx(0.5)
    assert found["tokens_that_must_be_saved"] == pytest.approx(1 - 12672 / 20160)
    saved = 12672 - 0.5 * 20160  # 2592 a token of the old tokenizer
    assert found["operations_saved"] == pytest.approx(saved / 12672)
    assert found["break_even_train_tokens"] == pytest.approx(1000 * 20160 / saved)
    assert found["break_even_serve_tokens"] == pytest.approx(3000 * 20160 / saved)
    assert found["after"]["vocabulary_bytes"] == 256 * 8 * 2
    assert found["after"]["vocabulary_training_bytes"] == 256 * 8 * 16
    assert found["after"]["logits_bytes"] == 4 * 9 * 256
    assert found["before"]["cache_bytes_per_1000_chars"] == pytest.approx(800 * 32)
    assert found["after"]["cache_bytes_per_1000_chars"] == pytest.approx(400 * 32)
    assert found["cache_saved"] == pytest.approx(0.5)
    assert found["verdict"] == "depends"
    assert "Quality gain not established" in found["quality"]


@pytest.mark.parametrize(
    ("train", "serve", "verdict"),
    [(7778, None, "go"), (7777, None, "no-go"), (None, 23334, "go"), (None, 23333, "no-go"),
     (4000, 11334, "go"), (4000, 11332, "no-go"), (0, None, "no-go")],
)  # fmt: skip
def test_the_verdict_turns_at_break_even(
    train: float | None, serve: float | None, verdict: str
) -> None:
    """1000 * 20160 / 2592 = 7777.8 tokens trained, three times as many served, or a mix."""
    plan = Plan(train_tokens=train, serve_tokens=serve, adapt_tokens=1000, context=9)
    found = weigh(TINY, Swap(0.8, 0.4, 200, 100), plan)
    assert found["verdict"] == verdict
    assert (found["net_flops"] >= 0) is (verdict == "go")


def test_what_never_pays() -> None:
    """62.9 % of the tokens is what 256 rows cost here; with fewer saved no budget helps."""
    even = 12672 / 20160
    for ratio, verdict in ((even - 1e-6, "go"), (even + 1e-6, "no-go")):
        plan = Plan(train_tokens=1e15, adapt_tokens=1, context=9)
        found = weigh(TINY, Swap(1.0, ratio, 256, 1), plan)
        assert found["verdict"] == verdict
    assert found["break_even_train_tokens"] is None
    assert re.search(r"37\.1% of the\s+tokens are saved, 37\.1% would have to be", found["reason"])


def test_rows_in_reserve_cost_nothing() -> None:
    found = weigh(replace(TINY, vocab_size=256), Swap(0.8, 0.4, 250, 50), Plan(context=9))
    assert found["added_parameters"] == 0
    assert found["operations_saved"] == pytest.approx(0.5)
    assert found["adapt_tokens"] == 50 * 200_000
    assert found["adapt_assumed"]


def test_another_tokenizer_may_need_fewer_rows() -> None:
    found = weigh(TINY, Swap(0.8, 0.8, 40, 40, extends=False), Plan(context=9))
    assert found["after"]["rows"] == 64
    assert found["added_parameters"] == -36 * 8
    kept = weigh(TINY, Swap(0.8, 0.8, 40, 40), Plan(context=9))
    assert kept["after"]["rows"] == 100  # never fewer than the model has


def test_a_tokenizer_that_loses_text_is_no_go() -> None:
    plan = Plan(train_tokens=1e9, adapt_tokens=0, context=9)
    found = weigh(TINY, Swap(0.8, 0.4, 100, 0, exact_share=0.75), plan)
    assert found["verdict"] == "no-go"
    assert "25.0% of the documents do not come back" in found["reason"]


def test_the_cheapest_size_by_hand() -> None:
    """2 * (1152 + rows * 8) + 320 operations forward: 4224 for 100 rows, 4672 and 6720."""
    sizes = {100: 1.0, 128: 0.8, 256: 0.7}
    best, saved = cheapest(TINY, sizes, 9, 64)
    costs = {100: 4224.0, 128: 0.8 * 4672, 256: 0.7 * 6720}
    assert best == min(costs, key=lambda size: costs[size]) == 128
    assert saved == pytest.approx(1 - costs[128] / costs[100])


def test_configurations_that_cannot_be_priced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such model. --model takes a folder"):
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
    with pytest.raises(UsageError, match="a budget cannot be negative, got -1"):
        weigh(TINY, Swap(1, 1, 100, 0), Plan(train_tokens=-1))


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
