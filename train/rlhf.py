"""`yanmo train ppo` and `yanmo train grpo`: prompts in; a model, a summary, a report out."""

from pathlib import Path
from typing import Any, Final

import torch

from yanmo import manifest as manifests
from yanmo import recipe as recipes
from yanmo.errors import DataError
from yanmo.files import atomic_write, read_json, write_json
from yanmo.progress import track

from . import checkpoint
from .distributed import join, pick_device
from .folder import WEIGHTS, load_config, load_model
from .journal import Journal, board_installed
from .model import parameter_count
from .rlhf_evaluate import compared
from .rlhf_loop import Learner
from .rlhf_prompts import PromptText
from .rlhf_recipe import Ppo, Rlhf
from .rlhf_report import report
from .rlhf_setup import Run, Sources, prepare, read_both
from .run_report import plan_table as plan_table

SUMMARY: Final = "summary.json"


def learn(recipe: Rlhf, sources: Sources, out: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Train a policy on a reward, or go on, and write the results.

    Args:
        recipe: the resolved recipe; its type says which algorithm.
        sources: prompts, model, reward.
        out: the run folder. If it holds a run of this recipe, that run goes on from its last whole
            checkpoint; if the run is done, nothing is done.
        quiet: no live line.

    Returns:
        What ``summary.json`` holds: ``reward_before``, ``reward_after``, ``first_ratio``,
        ``first_kl``, ``kl`` and more; ``already_done`` says whether nothing was left to do.

    Raises:
        YanmoError: the inputs cannot be used, the reward failed, or a loss is not finite.
    """
    with join(recipe.run.device) as world:
        run = prepare(recipe, sources, out, world)
        if finished(run):
            return {**read_json(out / SUMMARY), "already_done": True}
        journal = _open(run) if world.main else None
        learner = Learner(run, journal)
        hidden = quiet or not world.main
        label = f"{run.algorithm} {out.name}"
        try:
            with track(recipe.iterations, label, "iterations", quiet=hidden) as live:
                live.advance(run.progress.iteration)
                learner.learn(live)
        finally:
            if journal is not None:
                journal.close()
        summary = summarize(learner)
        if world.main:
            _finish(run, summary)
        world.barrier()
    return {**summary, "already_done": False}


def finished(run: Run) -> bool:
    """Whether the run folder already holds the end of this run."""
    path = run.out / SUMMARY
    if not path.is_file() or run.progress.iteration != run.recipe.iterations:
        return False
    return bool(read_json(path)["iterations"] == run.progress.iteration)


def _open(run: Run) -> Journal:
    """Write down the recipe, and open the log with a line that says how the run computes."""
    run.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(run.out / "recipe.toml", text=True) as stream:
        stream.write(recipes.dumps(run.recipe))
    board = run.recipe.run.tensorboard
    journal = Journal(run.out, step=run.progress.iteration, tensorboard=board)
    journal.write(
        "start", run.progress.iteration, algorithm=run.algorithm,
        resumed_from=None if run.resumed_from is None else run.resumed_from.name,
        device=str(run.world.device), processes=run.world.size,
        threads=torch.get_num_threads(), precision=run.recipe.precision,
        chat=run.text.chat, prompts=dict(run.prompts.counts), trained_on=len(run.prompts.prompts),
        heldout=len(run.heldout.prompts), micro_samples=run.micro, reward=run.reward.name,
        tensorboard=board and board_installed(),
        parameters=parameter_count(run.policy.model.config)["total"],
    )  # fmt: skip
    return journal


def summarize(learner: Learner) -> dict[str, Any]:
    """What ``summary.json`` holds."""
    run, progress = learner.run, learner.run.progress
    before, after = progress.before or {}, learner.after or {}
    judged = {
        what: compared(before, after, what) if before.get(what) and after.get(what) else None
        for what in ("reward", "gold")
    }
    return {
        "algorithm": run.algorithm,
        "reward_before": judged["reward"] and judged["reward"]["before"],
        "reward_after": judged["reward"] and judged["reward"]["after"],
        "first_ratio": progress.first_ratio,
        "first_kl": progress.first_kl,
        "kl": after.get("mean_kl"),
        "kl_k3": after.get("mean_kl_k3"),
        "heldout": {"prompts": len(run.heldout.prompts), **judged},
        "response_tokens": [before.get("mean_tokens"), after.get("mean_tokens")],
        "ended": [before.get("ended"), after.get("ended")],
        **{key: getattr(progress, key) for key in ("coefficient", "samples", "tokens", "seconds")},
        "score_shift": progress.shift,
        "score_scale": progress.scale,
        "iterations": progress.iteration,
        "prompts": {**run.prompts.counts, "trained_on": len(run.prompts.prompts)},
        "reward": run.reward.name,
        "gold": None if run.gold is None else run.gold.name,
        "parameters": parameter_count(run.policy.model.config)["total"],
        "device": str(run.world.device),
        "processes": run.world.size,
        "model": "model",
    }


def _finish(run: Run, summary: dict[str, Any]) -> None:
    """Export the model, write the report, and last the summary, which marks the run as done."""
    _export(run)
    write_json(run.out / "report.json", {"summary": summary, "lineage": run.lineage})
    with atomic_write(run.out / "report.html", text=True) as stream:
        stream.write(report(run.out, summary, run.recipe))
    manifest = manifests.build(
        "reinforcement", recipe=recipes.to_table(run.recipe), seed=run.recipe.seed,
        inputs=[run.lineage[key] for key in ("model", "reward", "prompts", "heldout")],
        counts={"samples": run.progress.samples, "tokens": run.progress.tokens},
        parts=[manifests.part_entry(run.out, run.out / "model" / WEIGHTS)],
    )  # fmt: skip
    manifests.write(run.out, manifest)
    write_json(run.out / SUMMARY, summary)


def _export(run: Run) -> None:
    """Link the last checkpoint's policy to ``model/``, and check that it computes the same.

    Raises:
        DataError: the model on disk gives other logits than the one in memory.
    """
    told = {checkpoint.LINEAGE: run.lineage}
    folder, model = checkpoint.publish(run.out, told), run.policy.model
    stored = load_model(folder, dtype=model.head_weight.dtype).to(run.world.device)
    probe = torch.tensor([run.prompts.prompts[0].ids], device=run.world.device)
    with torch.no_grad():
        if not torch.equal(model.logits(probe), stored.logits(probe)):
            raise DataError("the stored model computes other logits than the trained one",
                            where=folder)  # fmt: skip


def dry_run(recipe: Rlhf, sources: Sources, out: Path) -> dict[str, Any]:
    """What :func:`learn` would do, without doing it."""
    base = checkpoint.resolve(sources.model)
    config = load_config(base)
    text = PromptText(base, config, template=recipe.rollout.template)
    prompts, heldout = read_both(recipe, sources, text)
    found = checkpoint.checkpoints(out)
    count = recipe.rollout.prompts * recipe.rollout.samples
    return {
        "algorithm": "ppo" if isinstance(recipe, Ppo) else recipe.group.advantage,
        "parameters": parameter_count(config),
        "chat": text.chat,
        "prompts": len(prompts.prompts),
        "repeated": prompts.counts["repeated"],
        "too_long": prompts.counts["too_long"],
        "heldout": len(heldout.prompts),
        "iterations": recipe.iterations,
        "iterations_done": found[-1][0] if found else 0,
        "responses": recipe.iterations * count,
        "passes_over_the_prompts": recipe.iterations * recipe.rollout.prompts
        / len(prompts.prompts),
        "device": str(pick_device(recipe.run.device)),
    }  # fmt: skip
