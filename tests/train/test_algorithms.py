"""Every formula against a few lines of float64 numpy, on ragged masks."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import UsageError
from yanmo.train import algorithms as al

Floats = npt.NDArray[np.float64]
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


@st.composite
def ragged(draw: Any, *, count: int = 3) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Some (N, R) float64 tensors with garbage behind the ends, and the mask."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (len(lengths), max(lengths) + draw(st.integers(0, 2)))
    mask = np.arange(shape[1])[None] < np.array(lengths)[:, None]
    return [torch.tensor(rng.normal(size=shape)) for _ in range(count)], torch.tensor(mask)


def rows(values: torch.Tensor, mask: torch.Tensor) -> list[Floats]:
    """The real part of each row."""
    return [v[m].numpy() for v, m in zip(values, mask, strict=True)]


def same(found: torch.Tensor, wanted: list[Floats], mask: torch.Tensor) -> None:
    for one, other in zip(rows(found, mask), wanted, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)
    assert (found[~mask] == 0).all()


@given(ragged())
def test_kl_estimates(case: Any) -> None:
    (p, q, _), mask = case
    x = [a - b for a, b in zip(rows(p, mask), rows(q, mask), strict=True)]
    same(al.kl_estimate(p, q, mask, kind="k1"), x, mask)
    same(al.kl_estimate(p, q, mask, kind="k3"), [np.exp(-d) - 1 + d for d in x], mask)
    assert (al.kl_estimate(p, q, mask, kind="k3") >= 0).all()


def test_kl_estimates_are_unbiased() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    x = torch.tensor(np.log(p))[:, None], torch.tensor(np.log(q))[:, None]
    mask = torch.ones(3, 1, dtype=torch.bool)
    for kind in al.KL_KINDS:
        mean = (torch.tensor(p)[:, None] * al.kl_estimate(*x, mask, kind=kind)).sum()
        assert float(mean) == pytest.approx(float((p * np.log(p / q)).sum()))


@given(ragged(), st.floats(0, 10))
def test_the_score_stands_on_the_last_real_token(case: Any, beta: float) -> None:
    (kl, other, _), mask = case
    scores = other[:, 0]
    wanted = [-beta * k for k in rows(kl, mask)]
    for row, score in zip(wanted, scores, strict=True):
        row[-1] += float(score)
    same(al.token_rewards(scores, kl, mask, coefficient=beta), wanted, mask)


def test_a_missing_end_is_told() -> None:
    scores, stopped = torch.tensor([2.0, 3.0]), torch.tensor([True, False])
    assert al.without_end(scores, stopped, score=-1.0, penalty=None).tolist() == [2.0, -1.0]
    assert al.without_end(scores, stopped, score=None, penalty=0.5).tolist() == [2.0, 2.5]
    assert al.without_end(scores, stopped, score=None, penalty=None).tolist() == [2.0, 3.0]


@given(ragged())
def test_whitening_is_over_the_mask_alone(case: Any) -> None:
    (x, _, _), mask = case
    flat = np.concatenate(rows(x, mask))
    deviation = np.sqrt((flat.var(ddof=1) if flat.size > 1 else 0.0) + 1e-8)
    white = [(r - flat.mean()) / deviation for r in rows(x, mask)]
    same(al.whiten(x, mask), white, mask)
    same(al.whiten(x, mask, shift_mean=False), [w + flat.mean() for w in white], mask)


@given(ragged(), st.floats(0, 1), st.floats(0, 1))
def test_advantages_and_returns(case: Any, gamma: float, lam: float) -> None:
    (rewards, values, _), mask = case
    advantages, returns = al.advantages_and_returns(rewards, values, mask, gamma=gamma, lam=lam)
    wanted = []
    for r, v in zip(rows(rewards, mask), rows(values, mask), strict=True):
        d = r + gamma * np.append(v[1:], 0.0) - v
        n = len(r)
        wanted.append(np.array([sum((gamma * lam) ** (j - i) * d[j] for j in range(i, n))
                                for i in range(n)]))  # fmt: skip
    same(advantages, wanted, mask)
    sums = [a + v for a, v in zip(wanted, rows(values, mask), strict=True)]
    same(returns, sums, mask)


def test_with_lambda_one_returns_are_the_discounted_sums_of_rewards() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    values = torch.tensor([[0.3, -0.7, 9.0]])
    _, returns = al.advantages_and_returns(rewards, values, mask, gamma=0.5, lam=1.0)
    assert returns.tolist() == [pytest.approx([3.0, 4.0, 4.0])]


@given(ragged(), st.floats(0.01, 0.9), st.sampled_from([None, 1.5, 3.0]))
def test_policy_loss(case: Any, clip: float, dual: float | None) -> None:
    (new, old, advantages), mask = case
    found = al.policy_loss(new, old, advantages, mask, clip=clip, dual_clip=dual)
    losses, cut = [], []
    for n, o, a in zip(*(rows(x, mask) for x in (new, old, advantages)), strict=True):
        ratio = np.exp(n - o)
        plain, bound = -a * ratio, -a * np.clip(ratio, 1 - clip, 1 + clip)
        loss = np.maximum(plain, bound)
        losses.append(loss if dual is None else np.where(a < 0, np.minimum(loss, -a * dual), loss))
        cut.append(bound > plain)
    same(found.loss, losses, mask)
    same(found.clipped.double(), [c.astype(float) for c in cut], mask)
    assert (found.ratio[~mask] == 1).all()


def test_ratios_stay_finite() -> None:
    one = torch.ones(1, 1, dtype=torch.bool)
    for new, limit in ((500.0, math.exp(20)), (-500.0, math.exp(-20))):
        found = al.policy_loss(
            torch.tensor([[new]]), torch.zeros(1, 1), torch.ones(1, 1), one, clip=0.2
        )
        assert float(found.ratio) == pytest.approx(limit)
        assert torch.isfinite(found.loss).all()


@given(ragged(count=4), st.sampled_from([None, 0.2]))
def test_value_loss(case: Any, clip: float | None) -> None:
    (values, old, returns, _), mask = case
    wanted = []
    for v, o, r in zip(*(rows(x, mask) for x in (values, old, returns)), strict=True):
        loss = (v - r) ** 2
        if clip is not None:
            loss = np.maximum(loss, (np.clip(v, o - clip, o + clip) - r) ** 2)
        wanted.append(loss / 2)
    same(al.value_loss(values, old, returns, mask, clip=clip), wanted, mask)


@given(ragged(), st.data())
@settings(max_examples=40)
def test_parts_of_a_batch_add_up_to_the_whole(case: Any, data: Any) -> None:
    (x, _, _), mask = case
    losses = x.masked_fill(~mask, 0.0)
    counts = al.GlobalCounts(int(mask.sum()), len(mask), 10)
    cut = data.draw(st.integers(0, len(mask)))
    real = rows(x, mask)
    wanted = {
        "token-mean": np.concatenate(real).mean(),
        "seq-mean-token-mean": np.mean([r.mean() for r in real]),
        "seq-mean-token-sum": np.mean([r.sum() for r in real]),
        "seq-mean-token-sum-norm": np.mean([r.sum() / 10 for r in real]),
    }
    assert wanted.keys() == set(al.AGGREGATIONS)
    for how, value in wanted.items():
        whole = al.aggregate(losses, mask, how=how, weight=counts)
        parts = [al.aggregate(losses[s], mask[s], how=how, weight=counts)
                 for s in (slice(0, cut), slice(cut, None))]  # fmt: skip
        assert float(whole) == pytest.approx(float(value), abs=1e-9)
        assert float(sum(parts)) == pytest.approx(float(value), abs=1e-9)


def test_an_unknown_aggregation_names_the_known() -> None:
    mask = torch.ones(1, 1, dtype=torch.bool)
    with pytest.raises(UsageError, match="token-mean"):
        al.aggregate(torch.ones(1, 1), mask, how="mean", weight=al.GlobalCounts(1, 1, 1))


@pytest.mark.parametrize(
    ("kl", "factor"), [(6.0, 1.0), (12.0, 1.2), (0.0, 0.8), (6.6, 1.1), (5.4, 0.9)]
)
def test_the_coefficient_follows_the_kl(kl: float, factor: float) -> None:
    """With as many samples as the horizon, beta moves by the clipped error."""
    found = al.adapt_coefficient(0.5, kl, target=6.0, horizon=100.0, samples=100)
    assert found == pytest.approx(0.5 * factor)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 5))
def test_group_advantages(seed: int, samples: int, prompts: int) -> None:
    r = np.random.default_rng(seed).normal(size=(prompts, samples))
    scores = torch.tensor(r)
    away = r - r.mean(1, keepdims=True)
    plain, equal = al.grpo_advantages(scores, scale=False)
    np.testing.assert_allclose(plain.numpy(), away, **CLOSE)
    scaled, _ = al.grpo_advantages(scores, scale=True)
    deviation = r.std(1, ddof=1, keepdims=True)
    np.testing.assert_allclose(scaled.numpy(), away / (deviation + 1e-4), **CLOSE)
    left_out, _ = al.rloo_advantages(scores)
    wanted = [[row[i] - np.delete(row, i).mean() for i in range(samples)] for row in r]
    np.testing.assert_allclose(left_out.numpy(), wanted, **CLOSE)
    assert equal == 0


def test_two_responses_in_closed_form() -> None:
    """K = 2: RLOO is the difference to the other one; GRPO without scale is half of it."""
    scores = torch.tensor([[1.0, 4.0]])
    assert al.rloo_advantages(scores)[0].tolist() == [[-3.0, 3.0]]
    assert al.grpo_advantages(scores, scale=False)[0].tolist() == [[-1.5, 1.5]]


def test_groups_of_equal_scores_teach_nothing_and_are_counted() -> None:
    scores = torch.tensor([[0.1] * 3, [0.0, 1.0, 0.1], [2.0] * 3])
    for found, equal in (al.grpo_advantages(scores, scale=True), al.rloo_advantages(scores)):
        assert equal == 2
        assert found[0].abs().max() < 1e-6
        assert found[2].abs().max() == 0
    assert (al.grpo_advantages(scores, scale=True)[0][0] == 0).all()


def test_leaving_one_out_needs_two() -> None:
    with pytest.raises(UsageError, match="two responses"):
        al.rloo_advantages(torch.ones(3, 1))


@given(ragged())
def test_explained_variance(case: Any) -> None:
    (values, returns, _), mask = case
    v, r = (np.concatenate(rows(x, mask)) for x in (values, returns))
    if r.size > 1:
        wanted = 1 - (r - v).var(ddof=1) / r.var(ddof=1)
        assert al.explained_variance(values, returns, mask) == pytest.approx(wanted)
    assert al.explained_variance(returns, torch.ones_like(returns), mask) == 0
