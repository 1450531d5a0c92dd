"""Generation with a cache must be what the full forward pass says."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from yanmo.errors import UsageError
from yanmo.train.config import ModelConfig
from yanmo.train.generate import Sampling, generate, nucleus
from yanmo.train.model import Llama, build

Tiny = Callable[..., ModelConfig]
PROMPTS = [[1, 5, 9], [1, 7], [1, 4, 8, 15, 16, 23, 42]]
GREEDY = Sampling(max_tokens=12, temperature=0.0)


@pytest.fixture(params=["llama", "qwen3, one key head"])
def model(request: pytest.FixtureRequest, tiny: Tiny) -> Llama:
    changes = {} if request.param == "llama" else {
        "model_type": "qwen3", "qk_norm": True, "num_key_value_heads": 1,
    }  # fmt: skip
    made = build(tiny(initializer_range=0.3, **changes), seed=1, dtype=torch.float64)
    return made


@torch.no_grad()
def _greedy(model: Llama, prompt: list[int], count: int) -> tuple[list[int], list[float]]:
    """No cache, no padding, one prompt at a time."""
    ids, logs = list(prompt), []
    for _ in range(count):
        last = model.logits(torch.tensor([ids]))[0, -1].log_softmax(0)
        ids.append(int(last.argmax()))
        logs.append(last.max().item())
    return ids[len(prompt) :], logs


def test_greedy_equals_the_full_forward_pass_in_any_company(model: Llama) -> None:
    together = generate(model, PROMPTS, GREEDY)
    for prompt, sample in zip(PROMPTS, together, strict=True):
        tokens, logs = _greedy(model, prompt, 12)
        assert sample.tokens == tokens
        assert sample.log_probabilities == pytest.approx(logs, abs=1e-9)
        assert generate(model, [prompt], GREEDY)[0].tokens == tokens
        assert not sample.stopped


def test_it_is_transformers_greedy(tiny: Tiny) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    ours = build(tiny(initializer_range=0.3, eos_token_id=60), seed=1)
    theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(**ours.config.to_hf()))
    theirs.load_state_dict(ours.state_dict())
    prompt = torch.tensor([PROMPTS[2]])
    expected = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False,
        pad_token_id=0,
    )[0, 7:].tolist()  # fmt: skip
    found = generate(ours, [PROMPTS[2]], GREEDY, stop=(60,))[0].tokens
    assert found == expected


def test_a_row_ends_at_its_stop_id(model: Llama) -> None:
    free = generate(model, PROMPTS, GREEDY)
    stop = free[1].tokens[4]
    for sample, before in zip(generate(model, PROMPTS, GREEDY, stop=(stop,)), free, strict=True):
        if stop in before.tokens:
            cut = before.tokens.index(stop) + 1
            assert sample.tokens == before.tokens[:cut]
            assert sample.stopped
        else:
            assert sample.tokens == before.tokens
            assert not sample.stopped
        assert len(sample.log_probabilities) == len(sample.tokens)


def test_draws_follow_the_distribution(model: Llama) -> None:
    """First tokens of many equal prompts against the model's own probabilities."""
    count = 4000
    drawn = generate(
        model, [PROMPTS[0]] * count, Sampling(max_tokens=1, temperature=1.0, top_p=1.0)
    )
    found = torch.bincount(torch.tensor([s.tokens[0] for s in drawn]), minlength=61) / count
    with torch.no_grad():
        wanted = model.logits(torch.tensor([PROMPTS[0]]))[0, -1].softmax(0)
    assert (found - wanted).abs().sum().item() < 4 * (61 / count) ** 0.5
    assert drawn[0].log_probabilities[0] == pytest.approx(wanted[drawn[0].tokens[0]].log().item())


def test_the_seed_decides(model: Llama) -> None:
    first, again, other = (
        [s.tokens for s in generate(model, PROMPTS, Sampling(temperature=1.0, seed=seed))]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_low_temperature_is_nearly_greedy(model: Llama) -> None:
    cold = generate(model, PROMPTS, Sampling(max_tokens=12, temperature=1e-4))
    assert [s.tokens for s in cold] == [s.tokens for s in generate(model, PROMPTS, GREEDY)]


def test_nucleus_keeps_the_likeliest_that_reach_the_mass() -> None:
    logs = torch.tensor([[0.4, 0.1, 0.3, 0.2]]).log()

    def kept(top_k: int | None, top_p: float) -> list[int]:
        found: list[int] = nucleus(logs, top_k, top_p)[0].isfinite().nonzero().flatten().tolist()
        return found

    assert kept(None, 1.0) == [0, 1, 2, 3]
    assert kept(None, 0.65) == [0, 2]
    assert kept(None, 0.75) == [0, 2, 3]
    assert kept(None, 0.01) == [0]
    assert kept(3, 1.0) == [0, 2, 3]
    assert kept(1, 0.9) == [0]


def test_nothing_to_start_from_is_refused(model: Llama) -> None:
    with pytest.raises(UsageError, match="no token"):
        generate(model, [[1], []], GREEDY)
    with pytest.raises(UsageError, match="no such way"):
        Sampling(temperature=-1.0)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "prompt"),
    [("stories15m", "Once upon a time"), ("minimind2-small", "床前明月光")],
)
def test_real_checkpoints_write_what_transformers_writes(
    name: str, prompt: str, realdata: Path
) -> None:
    from transformers import AutoModelForCausalLM

    from yanmo.train.samples import continue_texts
    from yanmo.vocab.load import load_tokenizer

    folder = realdata / "models" / name
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = load_tokenizer(folder)
    ids = torch.tensor([[1, *tokenizer.encode(prompt).tolist()]])
    expected = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, pad_token_id=0
    )[0].tolist()
    found = continue_texts(folder, [prompt], GREEDY_24)[0]
    assert found["prompt"] + found["text"] == tokenizer.decode(expected)


GREEDY_24 = Sampling(max_tokens=24, temperature=0.0)
