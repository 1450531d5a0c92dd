"""One update: epochs of shuffled mini-batches over one iteration's responses.

A loss is divided by the counts of the global mini-batch; micro-batches and processes only add.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from yanmo.errors import YanmoError

from .algorithms import GlobalCounts, aggregate, kl_estimate, policy_loss, value_loss
from .distributed import loss_factor, quiet
from .rlhf_experience import Experience, micro_batches, mini_batches
from .rlhf_recipe import Ppo, loss_kl
from .rlhf_setup import Run
from .rollout import Rows, before_tokens, chosen, rows_of
from .step import computing

STOP_FACTOR = 1.5
"""An update ends above this many times ``stop_kl``. Source: Spinning Up (2018)."""
SUMS = ("policy_loss", "value_loss", "clip_share", "approx_kl", "update_entropy")


@dataclass
class MiniBatch:
    """What one mini-batch gave, over all processes.

    Attributes:
        means: by name in ``SUMS``; losses as they are minimised, the rest a mean over tokens.
        low, high: smallest and largest ratio.
        policy_norm, value_norm: norms of the gradients before clipping.
    """

    means: dict[str, float]
    low: float
    high: float
    policy_norm: float = 0.0
    value_norm: float = 0.0


@dataclass
class Update:
    """What an iteration's update gave.

    Attributes:
        taken: the mini-batches whose step was taken.
        stopped: whether the rest was left out because of the KL.
    """

    taken: list[MiniBatch] = field(default_factory=list)
    stopped: bool = False

    def facts(self) -> dict[str, float]:
        """Means over the mini-batches, and the extremes of the ratios."""
        count = max(len(self.taken), 1)
        found = {name: sum(b.means[name] for b in self.taken) / count for name in SUMS}
        return {
            **found,
            "ratio_min": min((b.low for b in self.taken), default=1.0),
            "ratio_max": max((b.high for b in self.taken), default=1.0),
            "grad_norm": sum(b.policy_norm for b in self.taken) / count,
            "value_grad_norm": sum(b.value_norm for b in self.taken) / count,
            "optimizer_steps": len(self.taken),
            "stopped_by_kl": float(self.stopped),
        }


def update(run: Run, data: Experience) -> Update:
    """Learn from an iteration.

    Raises:
        YanmoError: a loss or a gradient is not finite.
    """
    done = Update()
    limit = run.recipe.update.stop_kl
    for epoch in range(run.recipe.update.epochs):
        for rows in mini_batches(run.recipe, run.progress.iteration, epoch):
            batch = gradients(run, data, rows)
            if run.progress.first_ratio is None:
                run.progress.first_ratio = max(batch.low, batch.high, key=lambda r: abs(r - 1))
            if limit is not None and batch.means["approx_kl"] > STOP_FACTOR * limit:
                _forget(run)
                done.stopped = True
                return done
            _step(run, batch)
            done.taken.append(batch)
    return done


def gradients(run: Run, data: Experience, rows: Sequence[int]) -> MiniBatch:
    """Add the gradients of a mini-batch to the parameters of policy and value model.

    Args:
        run: the run.
        data: the iteration.
        rows: the responses of the mini-batch, over all processes.
    """
    mask = data.responses.mask[torch.tensor(rows)]
    counts = GlobalCounts(int(mask.sum()), len(rows), run.recipe.rollout.max_tokens)
    sums = torch.zeros(len(SUMS), dtype=torch.float64)
    low, high = math.inf, -math.inf
    cuts = micro_batches(run, rows)
    for number, cut in enumerate(cuts):
        batch = rows_of(chosen(data.responses, cut), run.world.device)
        silent = number + 1 < len(cuts)
        found, ratio = _policy(run, data, cut, batch, counts, silent=silent)
        found[1] = _value(run, data, cut, batch, counts, silent=silent)
        sums += torch.tensor(found, dtype=torch.float64)
        low, high = min(low, float(ratio.min())), max(high, float(ratio.max()))
    total = run.world.sum(sums).cpu()
    total[2:] /= counts.tokens
    extremes = run.world.gather((low, high))
    return MiniBatch(
        dict(zip(SUMS, total.tolist(), strict=True)),
        min(one[0] for one in extremes), max(one[1] for one in extremes),
    )  # fmt: skip


def _cut(values: Tensor, rows: Sequence[int], batch: Rows) -> Tensor:
    return values[torch.tensor(rows), : batch.mask.shape[1]].to(batch.mask.device)


def _policy(
    run: Run, data: Experience, cut: Sequence[int], batch: Rows, counts: GlobalCounts, *,
    silent: bool,
) -> tuple[list[float], Tensor]:  # fmt: skip
    """Backward of a micro-batch's policy loss; its sums, and the ratios of its tokens."""
    how, mask = run.recipe.update, batch.mask
    old, advantages = (_cut(x, cut, batch) for x in (data.old, data.advantages))
    with quiet(run.policy_call, silent=silent):
        with computing(run.policy_call, run.recipe.precision, run.world.device):
            new, entropy = run.policy_call(batch.tokens, batch.places, batch.labels, mask)
        terms = policy_loss(new, old, advantages, mask, clip=how.clip, dual_clip=how.dual_clip)
        losses = terms.loss - how.entropy * entropy
        if loss_kl(run.recipe):
            reference = _cut(data.reference, cut, batch)
            kl = kl_estimate(new, reference, mask, kind="k3")
            losses = losses + run.progress.coefficient * kl
        loss = aggregate(losses, mask, how=how.aggregation, weight=counts)
        torch.autograd.backward(loss * loss_factor(run.policy_call, run.world))
    approx = kl_estimate(old, new.detach(), mask, kind="k3").sum()
    sums = [loss, torch.zeros(()), terms.clipped.sum(), approx, entropy.sum()]
    return [float(value.detach()) for value in sums], terms.ratio[mask]


def _value(
    run: Run, data: Experience, cut: Sequence[int], batch: Rows, counts: GlobalCounts, *,
    silent: bool,
) -> float:  # fmt: skip
    """Backward of a micro-batch's value loss."""
    if run.value_call is None or not isinstance(run.recipe, Ppo):
        return 0.0
    old, returns = (_cut(x, cut, batch) for x in (data.values, data.returns))
    with quiet(run.value_call, silent=silent):
        with computing(run.value_call, run.recipe.precision, run.world.device):
            values = before_tokens(run.value_call(batch.tokens), batch)
        losses = value_loss(values, old, returns, batch.mask, clip=run.recipe.value.clip)
        loss = run.recipe.value.coefficient * losses.sum() / counts.tokens
        torch.autograd.backward(loss * loss_factor(run.value_call, run.world))
    return float(loss.detach())


def _step(run: Run, batch: MiniBatch) -> None:
    """Clip and move, at the rate of this iteration.

    Raises:
        YanmoError: a loss or a gradient is not finite.
    """
    norm = run.policy_optimizer.norm()
    batch.policy_norm = norm.item()
    value_norm = None if run.value_optimizer is None else run.value_optimizer.norm()
    batch.value_norm = 0.0 if value_norm is None else value_norm.item()
    if not all(map(math.isfinite, (*batch.means.values(), batch.policy_norm, batch.value_norm))):
        _forget(run)
        raise YanmoError(
            "a loss or a gradient is not finite", where=f"iteration {run.progress.iteration + 1}",
            value={**batch.means, "grad_norm": batch.policy_norm},
            fix="Lower optimizer.lr in a new run; the last checkpoint is whole.",
        )  # fmt: skip
    share = rate_share(run)
    run.policy_optimizer.clip(norm)
    run.policy_optimizer.step(run.recipe.optimizer.lr * share)
    if run.value_optimizer is not None and value_norm is not None:
        run.value_optimizer.clip(value_norm)
        run.value_optimizer.step(run.value_optimizer.settings.lr * share)


def rate_share(run: Run) -> float:
    """Share of the peak learning rate in this iteration."""
    if run.recipe.optimizer.schedule == "constant":
        return 1.0
    return 1 - run.progress.iteration / run.recipe.iterations


def _forget(run: Run) -> None:
    run.policy_optimizer.forget()
    if run.value_optimizer is not None:
        run.value_optimizer.forget()
