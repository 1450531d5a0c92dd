"""A policy on prompts that it is never trained on: reward, gold rule, KL, length, texts."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from yanmo.stats import paired_bootstrap

from .algorithms import kl_estimate
from .rlhf_experience import micro_batches, respond, say, score
from .rlhf_prompts import Prompt
from .rlhf_setup import Run
from .rollout import Responses


def evaluate(run: Run) -> dict[str, Any] | None:
    """One response to each held-out prompt, drawn with the same numbers at every call.

    Returns:
        Per-prompt lists ``reward``, ``gold`` (or ``None``), ``kl``, ``tokens``; means of them, and
        ``samples``; ``None`` where no prompts are held out.
    """
    prompts = run.heldout.prompts
    if not prompts:
        return None
    responses = respond(run, prompts, ("heldout", run.recipe.seed), policy=run.policy)
    rewards = score(run, run.reward, prompts, responses)
    gold = None if run.gold is None else score(run, run.gold, prompts, responses)
    kl, k3 = _kl(run, responses)
    return {
        "reward": rewards.tolist(),
        "gold": None if gold is None else gold.tolist(),
        "kl": kl.double().tolist(),
        "tokens": responses.lengths.tolist(),
        "mean_reward": float(rewards.mean()),
        "mean_gold": None if gold is None else float(gold.mean()),
        "mean_kl": float(kl.double().mean()),
        "mean_kl_k3": float(k3.double().mean()),
        "mean_tokens": float(responses.lengths.double().mean()),
        "ended": float(responses.stopped.double().mean()),
        "samples": texts(run, prompts, responses, rewards),
    }


def _kl(run: Run, responses: Responses) -> tuple[Tensor, Tensor]:
    """KL to the reference of each response, nats: k1 and k3."""
    cuts = micro_batches(run, range(len(responses)))
    policy, reference, _, _ = say(run, responses, cuts, value=False)
    k1, k3 = (
        kl_estimate(policy, reference, responses.mask, kind=kind).sum(1) for kind in ("k1", "k3")
    )
    return k1, k3


def texts(
    run: Run, prompts: Sequence[Prompt], responses: Responses, scores: Tensor
) -> list[dict[str, Any]]:
    """The first responses as a reader wants them."""
    return [
        {
            "prompt": prompts[row].text,
            "text": run.text.decode(responses.ids(row)),
            "score": float(scores[row]),
            "tokens": int(responses.lengths[row]),
            "ended": bool(responses.stopped[row]),
        }
        for row in range(min(run.recipe.run.samples, len(prompts)))
    ]


def compared(before: dict[str, Any], after: dict[str, Any], what: str) -> dict[str, Any]:
    """A held-out measure after minus before, paired by prompt.

    Returns:
        ``before``, ``after``, and the paired bootstrap's difference, low, high, p, n.
    """
    found = paired_bootstrap([after[what]], [before[what]])
    return {
        "before": before[f"mean_{what}"], "after": after[f"mean_{what}"], **found.as_dict()
    }  # fmt: skip
