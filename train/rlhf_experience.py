"""What one iteration learns from: responses, scores, log-probabilities, values, advantages.

Shapes: ``N`` responses of the *global* batch, ``R`` tokens of the longest. Every process draws and
scores a share, then all hold all of it (ids and one number a token are small beside the models),
so that whitening, counts and mini-batches are those of the global batch by construction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from yanmo.packing import order_key

from .algorithms import (
    advantages_and_returns,
    explained_variance,
    grpo_advantages,
    kl_estimate,
    masked_variance,
    rloo_advantages,
    token_rewards,
    whiten,
    without_end,
)
from .generate import Sampling
from .rlhf_prompts import Prompt
from .rlhf_recipe import Grpo, Ppo, Rlhf, loss_kl
from .rlhf_setup import Run
from .rollout import Policy, Responses, before_tokens, chosen, draw_numbers, joined, rows_of
from .rollout import respond as draw_responses
from .step import computing

# The sampler reads one token a row, so that more rows fit than in a training forward.
SAMPLER_ROWS = 4


@dataclass(frozen=True, eq=False)
class Experience:
    """One iteration's data, on the host, the same in every process.

    Attributes:
        prompts: of each response, (N,).
        responses: what was drawn.
        scores: (N,) as the reward gave them.
        rewards: (N,) normalised, and changed for a missing end: what is learned from.
        old: (N, R) log-probabilities of the policy that drew, by the training forward.
        reference: (N, R) the same of the reference.
        entropy: (N, R).
        values: (N, R) before each token; zeros without a value model.
        advantages: (N, R).
        returns: (N, R); zeros without a value model.
        facts: numbers for the log.
    """

    prompts: tuple[Prompt, ...]
    responses: Responses
    scores: Tensor
    rewards: Tensor
    old: Tensor
    reference: Tensor
    entropy: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    facts: dict[str, float]


def prompt_at(run: Run, position: int) -> Prompt:
    """The prompt at a position of the run: every pass over the prompts is shuffled anew."""
    count = len(run.prompts.prompts)
    epoch, place = divmod(position, count)
    rng = np.random.default_rng(order_key("prompts", run.recipe.seed, epoch))
    return run.prompts.prompts[int(rng.permutation(count)[place])]


def mini_batches(recipe: Rlhf, iteration: int, epoch: int) -> list[list[int]]:
    """The rows of each mini-batch of an epoch, shuffled anew in every epoch."""
    count = recipe.rollout.prompts * recipe.rollout.samples
    rng = np.random.default_rng(order_key("mini-batches", recipe.seed, iteration, epoch))
    order = [int(row) for row in rng.permutation(count)]
    size = count // recipe.update.mini_batches
    return [order[at : at + size] for at in range(0, count, size)]


def micro_batches(run: Run, rows: Sequence[int]) -> list[Sequence[int]]:
    """This process's micro-batches of a mini-batch."""
    mine = rows[run.world.rank :: run.world.size]
    return [mine[at : at + run.micro] for at in range(0, len(mine), run.micro)]


def respond(
    run: Run, prompts: Sequence[Prompt], key: Sequence[object], *, policy: Policy
) -> Responses:
    """Responses to prompts, drawn in shares by all processes; all get all of them."""
    world, rollout = run.world, run.recipe.rollout
    mine = range(world.rank, len(prompts), world.size)
    how = Sampling(max_tokens=rollout.max_tokens, temperature=rollout.temperature, top_p=1.0)
    part = None
    if len(mine):
        with computing(policy, run.recipe.precision, world.device):
            part = draw_responses(
                policy.model, [prompts[row].ids for row in mine], how, stop=run.text.stop,
                draws=draw_numbers(key, mine, rollout.max_tokens), at_once=run.micro * SAMPLER_ROWS,
            )  # fmt: skip
    parts = world.gather(part)
    order = [row for rank in range(world.size) for row in range(rank, len(prompts), world.size)]
    places = sorted(range(len(order)), key=order.__getitem__)
    return chosen(joined([p for p in parts if p is not None]), places)


def score(run: Run, reward: object, prompts: Sequence[Prompt], responses: Responses) -> Tensor:
    """(N,) scores, computed in shares."""
    mine = range(run.world.rank, len(prompts), run.world.size)
    found = torch.zeros(len(prompts), dtype=torch.float64)
    if len(mine):
        part = chosen(responses, mine)
        with computing(run.policy, run.recipe.precision, run.world.device):
            scores = reward([prompts[row] for row in mine], part, run.text, run.micro)  # type: ignore[operator]
        found[torch.tensor(mine)] = scores
    return run.world.sum(found).cpu()


@torch.no_grad()
def say(
    run: Run, responses: Responses, cuts: Sequence[Sequence[int]], *, value: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What policy, reference and value model say about the tokens; each (N, R).

    Args:
        run: the run.
        responses: all of them.
        cuts: this process's micro-batches.
        value: whether to ask the value model.

    Returns:
        Log-probabilities of policy and reference, entropy of the policy, values.
    """
    dtype = next(run.policy.parameters()).dtype
    found = torch.zeros(4, *responses.mask.shape, dtype=dtype)
    for cut in cuts:
        rows = rows_of(chosen(responses, cut), run.world.device)
        given = (rows.tokens, rows.places, rows.labels, rows.mask)
        with computing(run.policy, run.recipe.precision, run.world.device):
            logs, entropy = run.policy(*given)
            said = [logs, run.reference(*given)[0], entropy]
            if value and run.value is not None:
                said.append(before_tokens(run.value(rows.tokens), rows))
        width = rows.mask.shape[1]
        for number, values in enumerate(said):
            found[number, torch.tensor(cut), :width] = values.to(dtype).cpu()
    policy, reference, entropy, values = run.world.sum(found).cpu()
    return policy, reference, entropy, values


def collect(run: Run) -> Experience:
    """Draw responses and find out all that the update needs."""
    recipe, iteration = run.recipe, run.progress.iteration
    samples = recipe.rollout.samples
    first = iteration * recipe.rollout.prompts
    asked = [prompt_at(run, first + number) for number in range(recipe.rollout.prompts)]
    prompts = tuple(prompt for prompt in asked for _ in range(samples))
    responses = respond(run, prompts, ("rollout", recipe.seed, iteration), policy=run.policy)
    scores = score(run, run.reward, prompts, responses)
    if iteration == 0 and run.reward.model is not None and recipe.reward.normalize:
        _normalize(run, scores)
    # In the micro-batches of the first epoch: equal shapes give equal bits, and the first ratio is
    # 1, or the two forwards differ.
    cuts = [
        cut for rows in mini_batches(recipe, iteration, 0) for cut in micro_batches(run, rows)
    ]  # fmt: skip
    old, reference, entropy, values = say(run, responses, cuts, value=True)
    scaled = ((scores - run.progress.shift) / run.progress.scale).to(old.dtype)
    rewards = without_end(
        scaled, responses.stopped, score=recipe.reward.missing_end_score,
        penalty=recipe.reward.missing_end_penalty,
    )  # fmt: skip
    advantages, returns, facts = _advantages(run, (old, reference, values), responses.mask, rewards)
    facts |= _facts(responses, scores, rewards, old, reference, run.progress.coefficient)
    facts["entropy"] = float(entropy.sum() / responses.mask.sum())
    return Experience(prompts, responses, scores, rewards, old, reference, entropy, values,
                      advantages, returns, facts)  # fmt: skip


def _normalize(run: Run, scores: Tensor) -> None:
    """Mean 0 and deviation 1 on the unchanged model's responses; the value model follows."""
    progress = run.progress
    progress.shift = float(scores.mean())
    progress.scale = max(float(scores.std()) if len(scores) > 1 else 1.0, 1e-6)
    if run.value is not None:
        with torch.no_grad():
            run.value.score.div_(progress.scale)
        run.value.bias = (run.value.bias - progress.shift) / progress.scale


def _advantages(
    run: Run, said: tuple[Tensor, Tensor, Tensor], mask: Tensor, rewards: Tensor
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Advantages and returns, (N, R) each, and numbers for the log."""
    recipe, (old, reference, values) = run.recipe, said
    beta = run.progress.coefficient
    if isinstance(recipe, Ppo):
        kl = kl_estimate(old, reference, mask, kind=recipe.kl.estimator)
        each = token_rewards(rewards, kl, mask, coefficient=beta)
        if recipe.reward.whiten:
            each = whiten(each, mask, shift_mean=False)
        how = recipe.value
        advantages, returns = advantages_and_returns(
            each, values, mask, gamma=how.gamma, lam=how.lam
        )
        facts = {
            "explained_variance": explained_variance(values, returns, mask),
            "advantage_deviation": float(masked_variance(advantages, mask).sqrt()),
        }
        return whiten(advantages, mask) if how.whiten else advantages, returns, facts
    return _group_advantages(recipe, (old, reference), mask, rewards, beta)


def _group_advantages(
    recipe: Grpo, said: tuple[Tensor, Tensor], mask: Tensor, rewards: Tensor, beta: float
) -> tuple[Tensor, Tensor, dict[str, float]]:
    if not loss_kl(recipe):
        rewards = rewards - beta * kl_estimate(*said, mask, kind="k1").sum(1)
    groups = rewards.view(-1, recipe.rollout.samples)
    if recipe.group.advantage == "rloo":
        found, equal = rloo_advantages(groups)
    else:
        found, equal = grpo_advantages(groups, scale=recipe.group.scale)
    advantages = found.reshape(-1, 1).expand(mask.shape).masked_fill(~mask, 0.0)
    facts = {
        "equal_groups": equal / len(groups),
        "advantage_deviation": float(masked_variance(advantages, mask).sqrt()),
    }
    return advantages, torch.zeros_like(advantages), facts


def _facts(
    responses: Responses, scores: Tensor, rewards: Tensor, old: Tensor, reference: Tensor,
    beta: float,
) -> dict[str, float]:  # fmt: skip
    mask = responses.mask
    kl = float(kl_estimate(old, reference, mask, kind="k1").sum(1).mean())
    away = (old.double() - responses.sampled).abs().masked_fill(~mask, 0.0)
    return {
        "score": float(scores.mean()),
        "score_deviation": float(scores.std()) if len(scores) > 1 else 0.0,
        "reward": float(rewards.mean()),
        "rlhf_reward": float(rewards.mean()) - beta * kl,
        "kl": kl,
        "kl_k3": float(kl_estimate(old, reference, mask, kind="k3").sum(1).mean()),
        "response_tokens": float(responses.lengths.double().mean()),
        "ended": float(responses.stopped.double().mean()),
        "sampler_difference": float(away.max()),
    }
