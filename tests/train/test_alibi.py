"""ALiBi against transformers' slopes, against a bias written out, and packed against alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from yanmo.errors import DataError, RecipeError
from yanmo.train import attention as module
from yanmo.train.alibi import alibi_bias, alibi_slopes
from yanmo.train.attention import attention, documents_from_lengths
from yanmo.train.config import ModelConfig, from_hf
from yanmo.train.folder import load_model, save_model
from yanmo.train.generate import Sampling, generate
from yanmo.train.model import Llama, build
from yanmo.train.pretrain import pretrain

from .whole_runs import TWENTY, recipe_of

Tiny = Callable[..., ModelConfig]


@pytest.fixture(params=["eager", "mask", "loop", "sdpa"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param in ("mask", "loop"):
        monkeypatch.setattr(module, "loop_is_cheaper", lambda *_: request.param == "loop")
        return "sdpa"
    return str(request.param)


@pytest.fixture
def model(tiny: Tiny) -> Llama:
    """Six heads: the slopes of a number that is no power of two."""
    return build(
        tiny(position="alibi", num_attention_heads=6, num_key_value_heads=3), seed=0,
        dtype=torch.float64,
    )  # fmt: skip


@pytest.mark.parametrize("heads", range(1, 41))
def test_slopes_are_those_of_transformers(heads: int) -> None:
    """Bloom's own bias of the second key against the first is the slope."""
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32)[:, 0, 1]
    torch.testing.assert_close(alibi_slopes(heads), theirs, atol=0, rtol=1e-6)


def test_slopes_of_the_paper() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]


def test_bias_grows_with_distance_and_hides_the_future() -> None:
    inf = float("inf")
    bias = alibi_bias(torch.tensor([0.5]), 3, torch.float32)
    assert bias[0].tolist() == [[0, -inf, -inf], [-0.5, 0, -inf], [-1, -0.5, 0]]


def test_attention_adds_the_bias(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 9, 3, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    slopes = torch.tensor([0.5, 0.1, 2.0], dtype=torch.float64)
    documents = documents_from_lengths([[4, 5], [9]])
    out = attention(q, k, v, documents, backend=backend, slopes=slopes)
    for row, begin, end in ((0, 0, 4), (0, 4, 9), (1, 0, 9)):
        for head in range(3):
            for i in range(begin, end):
                past = slice(begin, i + 1)
                distance = torch.arange(i - begin, -1, -1)
                scores = q[row, i, head] @ k[row, past, head].T / 8**0.5 - slopes[head] * distance
                mixed = scores.softmax(0) @ v[row, past, head]
                torch.testing.assert_close(out[row, i, head], mixed, atol=1e-12, rtol=1e-12)


def test_packed_equals_alone(backend: str, model: Llama, tiny: Tiny) -> None:
    alone = build(model.config, seed=0, dtype=torch.float64)
    model.backend = backend
    lengths = [7, 1, 12, 4]
    generator = torch.Generator().manual_seed(1)
    tokens, labels = (torch.randint(0, 61, (1, 24), generator=generator) for _ in range(2))
    documents = documents_from_lengths([lengths])
    model(tokens, labels, documents).total.backward()
    logits = []
    for piece, answer in zip(tokens.split(lengths, 1), labels.split(lengths, 1), strict=True):
        logits.append(alone.logits(piece))
        alone(piece, answer).total.backward()
    torch.testing.assert_close(
        model.logits(tokens, documents), torch.cat(logits, 1), atol=1e-12, rtol=1e-12
    )
    for a, b in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-12, rtol=1e-12)


def test_positions_matter_and_the_rotation_is_gone(model: Llama, tiny: Tiny) -> None:
    rotated = build(tiny(num_attention_heads=6, num_key_value_heads=3), seed=0, dtype=torch.float64)
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        assert not torch.allclose(model.logits(tokens), rotated.logits(tokens))
        swapped = tokens.clone()
        swapped[0, [1, 2]] = swapped[0, [2, 1]]
        assert not torch.allclose(model.logits(tokens)[0, -1], model.logits(swapped)[0, -1])


def test_a_cache_continues_as_the_whole_text_does(model: Llama) -> None:
    prompts = [[5, 9, 7], [11, 3, 8, 20, 4, 6]]
    greedy = Sampling(max_tokens=5, temperature=0)
    found = generate(model, prompts, greedy)
    for prompt, sample in zip(prompts, found, strict=True):
        text = list(prompt)
        for token in sample.tokens:
            with torch.no_grad():
                assert int(model.logits(torch.tensor([text]))[0, -1].argmax()) == token
            text.append(token)


def test_config_survives_and_no_other_program_takes_it_for_rope(tiny: Tiny, tmp_path: Path) -> None:
    """``Auto`` does not know the name; the family's class, asked outright, not the rotation."""
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    model = build(tiny(position="alibi"), seed=0)
    save_model(model.config, dict(model.named_parameters()), tmp_path)
    assert load_model(tmp_path).config == model.config
    table = json.loads((tmp_path / "config.json").read_text())
    assert from_hf(table) == model.config
    assert table["model_type"] == "yanmo_llama_alibi"
    with pytest.raises(ValueError, match="yanmo_llama_alibi"):
        AutoModelForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(Exception, match="alibi"):
        LlamaForCausalLM.from_pretrained(tmp_path)


def test_packed_scoring_refuses_it(model: Llama, tiny_tokenizer: Path, tmp_path: Path) -> None:
    from yanmo.evals.packed import PackedScorer
    from yanmo.evals.score import LoadOptions
    from yanmo.vocab.load import load_tokenizer

    save_model(model.config, dict(model.named_parameters()), tmp_path)
    with pytest.raises(DataError, match=r"rotates.*alibi"):
        PackedScorer(tmp_path, load_tokenizer(tiny_tokenizer), LoadOptions())


def test_a_run_trains_saves_and_goes_on(shards: Path, tmp_path: Path) -> None:
    recipe = recipe_of(*TWENTY, "model.position=alibi")
    summary = pretrain(recipe, shards, tmp_path / "run", quiet=True)
    assert summary["loss"] < summary["first_loss"]
    assert load_model(tmp_path / "run" / "model").config.position == "alibi"
    with pytest.raises(RecipeError, match=r"model\.position"):
        pretrain(recipe_of(*TWENTY), shards, tmp_path / "run", quiet=True)
