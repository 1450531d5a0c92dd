"""The sampler and the training forward say the same about every token."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from yanmo.train.generate import Sampling, generate
from yanmo.train.model import Llama, build
from yanmo.train.rollout import (
    Policy,
    Responses,
    before_tokens,
    chosen,
    draw_numbers,
    joined,
    log_probabilities,
    respond,
    rows_of,
)
from yanmo.train.scorer import Scorer

Make = Callable[..., Any]
PROMPTS = [[1, 5, 9], [1, 7], [1, 4, 8, 15, 16, 23, 42], [1]]
END = 2
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tiny: Make) -> Llama:
    return build(tiny(initializer_range=0.3), seed=1)


def drawn(
    model: Llama, prompts: list[list[int]] = PROMPTS, *, temperature: float = 0.7, at_once: int = 8,
    rows: range | None = None,
) -> Responses:  # fmt: skip
    how = Sampling(max_tokens=12, temperature=temperature, top_p=1.0)
    draws = draw_numbers(("test",), rows or range(len(prompts)), 12)
    return respond(model, prompts, how, stop=(END,), draws=draws, at_once=at_once)


def test_log_probabilities_of_the_sampler_are_those_of_the_training_forward(model: Llama) -> None:
    """At the sampling temperature; and none other."""
    found = drawn(model)
    rows = rows_of(found, CPU)
    with torch.no_grad():
        logs, _ = Policy(model, 0.7)(rows.tokens, rows.places, rows.labels, rows.mask)
        untempered, _ = Policy(model, 1.0)(rows.tokens, rows.places, rows.labels, rows.mask)
    assert (logs - found.sampled)[found.mask].abs().max() < 1e-5
    assert (untempered - found.sampled)[found.mask].abs().max() > 0.1
    assert (logs[~found.mask] == 0).all()


def test_a_response_is_the_same_in_any_company(model: Llama) -> None:
    """Padded on the left by any amount, in any batch, on any process."""
    together = drawn(model)
    assert len(set(map(int, together.lengths))) > 1
    for row, prompt in enumerate(PROMPTS):
        alone = drawn(model, [prompt], rows=range(row, row + 1))
        assert alone.ids(0) == together.ids(row)
    pieces = drawn(model, at_once=1)
    assert torch.equal(pieces.tokens, together.tokens)


def test_greedy_equals_the_full_forward(model: Llama) -> None:
    found = generate(model, PROMPTS, Sampling(max_tokens=8, temperature=0.0), stop=(END,))
    for prompt, sample in zip(PROMPTS, found, strict=True):
        ids = list(prompt)
        for token in sample.tokens:
            with torch.no_grad():
                assert int(model.logits(torch.tensor([ids]))[0, -1].argmax()) == token
            ids.append(token)


def test_draws_follow_the_distribution(model: Llama) -> None:
    count = 4000
    how = Sampling(max_tokens=1, temperature=0.8, top_p=1.0)
    draws = draw_numbers(("many",), range(count), 1)
    found = respond(model, [[1, 5]] * count, how, stop=(), draws=draws, at_once=count)
    with torch.no_grad():
        wanted = (model.logits(torch.tensor([[1, 5]]))[0, -1] / 0.8).softmax(0)
    share = torch.bincount(found.tokens[:, 0], minlength=61) / count
    assert (share - wanted).abs().max() < 4 * (0.25 / count) ** 0.5


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-53])
def test_the_ends_of_the_interval_give_real_tokens(model: Llama, draw: float) -> None:
    """A number next to 1 must not fall behind the vocabulary, nor onto a token without chance."""
    how = Sampling(max_tokens=3, temperature=0.1, top_k=2, top_p=1.0)
    draws = torch.full((1, 3), draw, dtype=torch.float64)
    found = generate(model, [[1, 5]], how, draws=draws)[0]
    for place in range(3):
        with torch.no_grad():
            logits = model.logits(torch.tensor([[1, 5, *found.tokens[:place]]]))[0, -1]
        assert found.tokens[place] in logits.topk(2).indices


def test_responses_end_at_the_first_end(model: Llama) -> None:
    found = drawn(model)
    assert 0 < int(found.stopped.sum()) < len(PROMPTS)
    for row in range(len(PROMPTS)):
        ids = found.ids(row)
        assert (END in ids) == bool(found.stopped[row])
        assert END not in ids[:-1]
        assert found.ids(row, end=False) == [i for i in ids if i != END]


def test_what_stands_behind_the_end_changes_nothing(model: Llama) -> None:
    found = drawn(model)
    rows = rows_of(found, CPU)
    filled = rows.tokens.clone()
    for row, end in enumerate(rows.ends):
        filled[row, int(end) + 1 :] = 33
    assert not torch.equal(filled, rows.tokens)
    policy, scorer = Policy(model, 1.0), Scorer(model, seed=3)
    with torch.no_grad():
        for one, other in zip(policy(rows.tokens, rows.places, rows.labels, rows.mask),
                              policy(filled, rows.places, rows.labels, rows.mask),
                              strict=True):  # fmt: skip
            assert torch.equal(one, other)
        values = [before_tokens(scorer(t), rows) for t in (rows.tokens, filled)]
        ends = [scorer.rewards(t, rows.ends) for t in (rows.tokens, filled)]
    assert torch.equal(*values)
    assert torch.equal(*ends)


def test_a_value_is_that_of_the_state_before_its_token(model: Llama) -> None:
    """Another third token leaves the first three values, and moves the fourth."""
    found = chosen(drawn(model), [2])
    assert found.tokens.shape[1] > 3
    scorer, rows = Scorer(model, seed=3), rows_of(found, CPU)
    other = found.tokens.clone()
    other[0, 2] = (other[0, 2] + 1) % 61
    changed = rows_of(
        Responses(found.prompts, other, found.mask, found.stopped, found.sampled), CPU
    )
    with torch.no_grad():
        one, two = (before_tokens(scorer(r.tokens), r) for r in (rows, changed))
        first = scorer(torch.tensor([PROMPTS[2]]))[0, -1]
    assert torch.equal(one[0, :3], two[0, :3])
    assert one[0, 3] != two[0, 3]
    assert one[0, 0] == pytest.approx(float(first), abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_chunks_equal_the_dense_form(chunk: int) -> None:
    generator = torch.Generator().manual_seed(1)
    states, weight = (
        torch.randn(n, 8, generator=generator, dtype=torch.float64, requires_grad=True)
        for n in (17, 31)
    )
    labels = torch.randint(31, (17,), generator=generator)
    dense = (states @ weight.T / 0.7).log_softmax(1)
    wanted = dense.gather(1, labels[:, None]).squeeze(1), -(dense.exp() * dense).sum(1)
    found = log_probabilities(states, weight, labels, temperature=0.7, chunk=chunk)
    slopes = [
        torch.autograd.grad((a.sin() * b).sum(), (states, weight)) for a, b in (wanted, found)
    ]
    for one, other in zip((*wanted, *slopes[0]), (*found, *slopes[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_logits_of_a_batch_are_never_whole(
    model: Llama, monkeypatch: pytest.MonkeyPatch
) -> None:
    from yanmo.train import loss, rollout

    seen = []
    project = rollout._project

    def watched(states: Any, weight: Any, labels: Any, temperature: float) -> Any:
        seen.append(len(labels))
        return project(states, weight, labels, temperature)

    monkeypatch.setattr(rollout, "_project", watched)
    monkeypatch.setitem(loss.CHUNK_BYTES, "cpu", 5 * 61 * 4)
    rows = rows_of(drawn(model), CPU)
    logs, _ = Policy(model, 1.0)(rows.tokens, rows.places, rows.labels, rows.mask)
    logs.sum().backward()
    assert max(seen) == 5
    assert sum(seen) == 2 * int(rows.mask.sum())  # once more in backward
    model.zero_grad()


def test_numbers_are_a_function_of_key_and_row() -> None:
    some = draw_numbers(("rollout", 1, 2), [3, 4], 5)
    assert torch.equal(draw_numbers(("rollout", 1, 2), [4], 5)[0], some[1])
    assert not torch.equal(draw_numbers(("rollout", 1, 3), [4], 5)[0], some[1])


def test_parts_join_in_order(model: Llama) -> None:
    whole = drawn(model)
    parts = [chosen(whole, [0, 1]), chosen(whole, [2, 3])]
    again = joined(parts)
    width = again.tokens.shape[1]
    assert torch.equal(again.tokens, whole.tokens[:, :width])
    assert torch.equal(again.mask, whole.mask[:, :width])
    assert again.prompts == whole.prompts
