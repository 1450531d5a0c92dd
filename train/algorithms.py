"""The formulas of reinforcement learning from feedback: pure functions of tensors.

Shapes: ``N`` responses, ``R`` tokens of the longest one, ``P`` prompts, ``K`` responses to each.

A mask (N, R) is true on the tokens of a response, the closing one included; what lies behind it
never enters a loss, a mean or a variance. Whatever is divided by a count is divided by the count of
the *global* batch, so that micro-batches and processes change nothing but rounding.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from yanmo.errors import UsageError

LOG_RATIO_LIMIT: Final = 20.0
"""Log ratios are cut here before ``exp``: e^20 is 5e8, and float32 ends at e^88."""
AGGREGATIONS: Final = (
    "token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"
)  # fmt: skip
KL_KINDS: Final = ("k1", "k3")


def kl_estimate(log_p: Tensor, log_q: Tensor, mask: Tensor, *, kind: str) -> Tensor:
    """KL(p || q) of each token that was drawn from p, estimated from that token alone.

    With ``x = log p - log q``: k1 is ``x``, unbiased, may be negative; k3 is ``e^-x - 1 + x``,
    unbiased too and never negative.

    Args:
        log_p: (N, R) under the policy that drew the tokens.
        log_q: (N, R) under the other one.
        mask: (N, R).
        kind: a name in ``KL_KINDS``.

    Returns:
        (N, R), 0 outside the mask.

    Source: J. Schulman, Approximating KL divergence (2020).
    """
    x = (log_p - log_q).masked_fill(~mask, 0.0)
    if kind == "k1":
        return x
    x = x.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return torch.expm1(-x) + x


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, coefficient: float) -> Tensor:
    """(N, R): ``-coefficient * kl`` on every token, and the score on the last real one.

    Args:
        scores: (N,) of whole responses.
        kl: (N, R), see :func:`kl_estimate`.
        mask: (N, R); every row has a token.
        coefficient: beta.

    Source: InstructGPT (Ouyang et al. 2022), equation 2; Ziegler et al. 2019.
    """
    rewards = (-coefficient * kl).masked_fill(~mask, 0.0)
    last = mask.sum(1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores[:, None].to(rewards.dtype))


def without_end(
    scores: Tensor, stopped: Tensor, *, score: float | None, penalty: float | None
) -> Tensor:
    """(N,): scores, where responses that ran out of length are told so.

    Args:
        scores: (N,).
        stopped: (N,) bool: whether the response ended by itself.
        score: what such a response gets instead of its score; ``None``: its own.
        penalty: what is taken off such a response's score; ``None``: nothing.

    Source: fixed -1 in lm-human-preferences (2019); a penalty in TRL.
    """
    cut = ~stopped
    if score is not None:
        scores = torch.where(cut, torch.full_like(scores, score), scores)
    if penalty is not None:
        scores = scores - penalty * cut.to(scores.dtype)
    return scores


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the mask; 0 if it is empty."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def masked_variance(values: Tensor, mask: Tensor) -> Tensor:
    """Unbiased variance over the mask (divided by count - 1); 0 for fewer than two values."""
    away = (values - masked_mean(values, mask)).masked_fill(~mask, 0.0)
    return away.square().sum() / (mask.sum() - 1).clamp(min=1)


def whiten(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Scale to variance 1 over the mask, and shift to mean 0 unless told not to.

    Args:
        values: (N, R) of the *global* batch.
        mask: (N, R).
        shift_mean: whether the mean becomes 0 (advantages) or stays (rewards).

    Returns:
        (N, R), 0 outside the mask.

    Source: lm-human-preferences (2019), ``whiten``; with the unbiased variance, as TRL.
    """
    mean = masked_mean(values, mask)
    white = (values - mean) * torch.rsqrt(masked_variance(values, mask) + 1e-8)
    return (white if shift_mean else white + mean).masked_fill(~mask, 0.0)


def advantages_and_returns(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation over each response.

    ``d_t = r_t + gamma V_{t+1} - V_t``; ``A_t = d_t + gamma lam A_{t+1}``; ``V`` behind the last
    token is 0, since the episode is over. Returns are ``A + V``.

    Args:
        rewards: (N, R).
        values: (N, R): V_t is what the value model said *before* token t was drawn.
        mask: (N, R), without gaps.
        gamma: discount.
        lam: lambda.

    Returns:
        Advantages and returns, (N, R) each, 0 outside the mask, float32 at least.

    Source: Schulman et al. 2016.
    """
    wide = torch.promote_types(rewards.dtype, torch.float32)
    rewards, values = (x.to(wide).masked_fill(~mask, 0.0) for x in (rewards, values))
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    errors = rewards + gamma * following - values
    carried, columns = torch.zeros_like(errors[:, 0]), []
    for t in reversed(range(errors.shape[1])):
        carried = (errors[:, t] + gamma * lam * carried).masked_fill(~mask[:, t], 0.0)
        columns.append(carried)
    advantages = torch.stack(columns[::-1], dim=1)
    return advantages, advantages + values


class PolicyLoss(NamedTuple):
    """Per-token results of :func:`policy_loss`, (N, R) each, 0 (ratio: 1) outside the mask.

    Attributes:
        loss: what is minimised.
        ratio: new over old probability, detached.
        clipped: bool: whether the clipped branch was taken.
    """

    loss: Tensor
    ratio: Tensor
    clipped: Tensor


def policy_loss(
    new: Tensor,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float,
    dual_clip: float | None = None,
) -> PolicyLoss:
    """The clipped surrogate, ``max(-A r, -A clip(r, 1 - clip, 1 + clip))`` with ``r = new / old``.

    Args:
        new: (N, R) log-probabilities now, with gradient.
        old: (N, R) log-probabilities of the policy that drew the tokens.
        advantages: (N, R).
        mask: (N, R).
        clip: half-width of the band of ratios.
        dual_clip: where A < 0 the loss is at most ``-A dual_clip``; ``None``: no bound.

    Source: PPO (Schulman et al. 2017), equation 7; dual clip: Ye et al. 2020, equation 5.
    """
    logs = (new - old).masked_fill(~mask, 0.0).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = logs.exp()
    plain, bounded = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    loss = torch.maximum(plain, bounded)
    if dual_clip is not None:
        loss = torch.where(advantages < 0, torch.minimum(loss, -advantages * dual_clip), loss)
    clipped = (bounded > plain) & mask
    return PolicyLoss(loss.masked_fill(~mask, 0.0), ratio.detach(), clipped)


def value_loss(
    values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, *, clip: float | None
) -> Tensor:
    """(N, R): ``max((V - R)^2, (clip(V, old - clip, old + clip) - R)^2) / 2``, 0 outside the mask.

    Args:
        values: (N, R) now, with gradient.
        old: (N, R) when the responses were drawn.
        returns: (N, R).
        mask: (N, R).
        clip: how far a value may move before it gains nothing more; ``None``: any distance.

    Source: OpenAI baselines ``ppo2`` (2017).
    """
    loss = (values - returns).square()
    if clip is not None:
        near = values.clamp(old - clip, old + clip)
        loss = torch.maximum(loss, (near - returns).square())
    return (0.5 * loss).masked_fill(~mask, 0.0)


def aggregate(losses: Tensor, mask: Tensor, *, how: str, weight: "GlobalCounts") -> Tensor:
    """The share of these tokens in the loss of the global batch, a scalar.

    ``token-mean``: every token counts the same; ``seq-mean-token-mean``: every response does;
    ``seq-mean-token-sum``: summed over a response, averaged over responses;
    ``seq-mean-token-sum-norm``: the same, divided by the fixed response budget.

    Args:
        losses: (n, R) of some responses of the batch, 0 outside the mask.
        mask: (n, R).
        how: a name in ``AGGREGATIONS``.
        weight: counts over the whole batch, of which these rows are a part.

    Source: verl's ``agg_loss``; token-mean is DAPO's (2025), the last one Dr. GRPO's (2025).
    """
    if how == "token-mean":
        return losses.sum() / weight.tokens
    if how == "seq-mean-token-mean":
        return (losses.sum(1) / mask.sum(1).clamp(min=1)).sum() / weight.rows
    if how == "seq-mean-token-sum":
        return losses.sum() / weight.rows
    if how == "seq-mean-token-sum-norm":
        return losses.sum() / (weight.rows * weight.budget)
    raise UsageError("no such aggregation", value=how, fix=f"Known: {', '.join(AGGREGATIONS)}.")


class GlobalCounts(NamedTuple):
    """What a loss is divided by: counts of the global batch, not of a micro-batch or process.

    Attributes:
        tokens: response tokens.
        rows: responses.
        budget: the most tokens a response may have.
    """

    tokens: int
    rows: int
    budget: int


def adapt_coefficient(
    coefficient: float, kl: float, *, target: float, horizon: float, samples: int
) -> float:
    """The next KL coefficient, ``beta (1 + clip(KL / target - 1, -0.2, 0.2) samples / horizon)``.

    Args:
        coefficient: beta now.
        kl: mean KL of a response, nats.
        target: what it should be.
        horizon: samples over which beta moves by its own size at most a fifth of the time.
        samples: responses since the last call.

    Source: Ziegler et al. 2019, section 2.2 (target 6, horizon 10 000 samples).
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + error * samples / horizon)


def grpo_advantages(scores: Tensor, *, scale: bool) -> tuple[Tensor, int]:
    """Advantages of responses within their group.

    Args:
        scores: (P, K).
        scale: divide by the group's standard deviation (unbiased) plus 1e-4. Without it easy and
            hard prompts weigh the same (Dr. GRPO, Liu et al. 2025).

    Returns:
        (P, K) ``(r - mean) / (std + 1e-4)``, and how many groups have equal scores throughout:
        those teach nothing.

    Source: DeepSeekMath (Shao et al. 2024), section 4.1; the 1e-4 is TRL's.
    """
    away = scores - scores.mean(1, keepdim=True)
    equal = int((scores == scores[:, :1]).all(1).sum())
    away = away.masked_fill((scores == scores[:, :1]).all(1, keepdim=True), 0.0)
    if not scale or scores.shape[1] < 2:
        return away, equal
    return away / (scores.std(1, keepdim=True) + 1e-4), equal


def rloo_advantages(scores: Tensor) -> tuple[Tensor, int]:
    """Each score minus the mean of the others in its group.

    Args:
        scores: (P, K), K at least 2.

    Returns:
        (P, K), and how many groups have equal scores throughout.

    Source: RLOO (Ahmadian et al. 2024); Kool et al. 2019.
    """
    count = scores.shape[1]
    if count < 2:
        raise UsageError("leaving one out needs two responses to a prompt", value=count,
                         fix="Set rollout.samples to 2 or more.")  # fmt: skip
    others = (scores.sum(1, keepdim=True) - scores) / (count - 1)
    return scores - others, int((scores == scores[:, :1]).all(1).sum())


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """``1 - Var(returns - values) / Var(returns)`` over the mask: 1 is perfect, 0 is a constant."""
    whole = masked_variance(returns, mask)
    left = masked_variance(returns - values, mask)
    return float(1 - left / whole) if whole > 0 else 0.0
