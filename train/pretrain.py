"""`yanmo train pretrain`: one run from shards to a model folder, a summary and a report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yanmo import manifest as manifests
from yanmo import recipe as recipes
from yanmo.errors import DataError
from yanmo.files import atomic_write, read_json, write_json
from yanmo.mixture import write_plan
from yanmo.progress import track
from yanmo.shards import open_shards

from . import checkpoint
from .data import Feed
from .distributed import join, pick_device, sharded
from .folder import WEIGHTS, load_config, load_model
from .journal import Journal, board_installed, read_journal
from .loop import Trainer
from .mixture import find_plan, make_loader
from .model import parameter_count
from .plateau import reached
from .recipe import Pretrain
from .run_report import report
from .setup import HELDOUT, Run, fresh_config, position, prepare
from .speed import flops_per_token

SUMMARY = "summary.json"
MIXTURE = "mixture.json"


def pretrain(recipe: Pretrain, shards: Path, out: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Train, or go on training, and write the results.

    Args:
        recipe: the resolved recipe.
        shards: folder of token shards; ``heldout/`` in it is evaluated on.
        out: the run folder. If it holds a run of this recipe, that run goes on from its last whole
            checkpoint; if the run is done, nothing is done.
        quiet: no live line.

    Returns:
        What ``summary.json`` holds: ``tokens``, ``steps``, ``loss``, ``tokens_per_second``,
        ``mfu`` and more; ``already_done`` says whether nothing was left to do.
    """
    with join(recipe.run.device) as world:
        run = prepare(recipe, shards, out, world)
        return carry_out(run, how_described, summarize, _page, quiet=quiet)


def carry_out(
    run: Run,
    describe: Callable[[Run], dict[str, Any]],
    summarize: Callable[[Trainer], dict[str, Any]],
    page: Callable[[Run, dict[str, Any]], str],
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Take a run to its end and write its results.

    Args:
        run: new or resumed.
        describe: the first line of the log.
        summarize: what ``summary.json`` holds.
        page: the HTML report.
        quiet: no live line.

    Returns:
        The summary, and ``already_done``.
    """
    out, world = run.out, run.world
    if finished(run):
        return {**read_json(out / SUMMARY), "already_done": True}
    journal = _open(run, describe(run)) if world.main else None
    trainer = Trainer(run, journal)
    try:
        hidden = quiet or not world.main
        with track(run.total_steps, f"train {out.name}", "steps", quiet=hidden) as live:
            live.advance(run.progress.step)
            trainer.train(live)
    finally:
        if journal is not None:
            journal.close()
    summary = summarize(trainer)
    if world.main:
        _finish(run, summary, page)
    world.barrier()
    return {**summary, "already_done": False}


def finished(run: Run) -> bool:
    """Whether the run folder already holds the end of this run."""
    path = run.out / SUMMARY
    if not path.is_file():
        return False
    summary = read_json(path)
    end = run.progress.step == run.total_steps or reached(run.recipe.plateau, run.progress.watched)
    return bool(end and summary["steps"] == run.progress.step)


def _open(run: Run, described: dict[str, Any]) -> Journal:
    """Write down the recipe, and open the log with a line that says how the run computes."""
    run.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(run.out / "recipe.toml", text=True) as stream:
        stream.write(recipes.dumps(run.told))
    if run.plan is not None:
        write_plan(run.out / MIXTURE, run.plan)
    how = run.recipe.run
    journal = Journal(run.out, step=run.progress.step, tensorboard=how.tensorboard)
    journal.write("start", run.progress.step, **described)
    return journal


def how_described(run: Run) -> dict[str, Any]:
    """How a run computes and how much it does, for the first line of its log."""
    recipe = run.recipe
    return {
        "resumed_from": None if run.resumed_from is None else run.resumed_from.name,
        "device": str(run.world.device),
        "processes": run.world.size,
        "parallel": run.recipe.run.parallel if run.world.size > 1 else None,
        "threads": torch.get_num_threads(),
        "precision": recipe.precision,
        "attention": run.model.backend,
        "attention_passed": {} if run.attention is None else run.attention.passed,
        "compile": recipe.run.compile,
        "optimizer": recipe.optimizer.kind,
        "tensorboard": recipe.run.tensorboard and board_installed(),
        "total_steps": run.total_steps,
        "heldout": run.heldout is not None,
        **sizes(run.loader, recipe),
        "padding": run.loader.padding,
        "parameters": parameter_count(run.model.config)["total"],
    }


def sizes(loader: Feed, recipe: Pretrain) -> dict[str, Any]:
    """Tokens and epochs of a run."""
    steps = recipe.steps(loader.sequences)
    return {
        "epoch_tokens": loader.targets,
        "epoch_sequences": loader.sequences,
        "epochs": steps * recipe.batch_sequences / loader.sequences,
    }


def summarize(trainer: Trainer) -> dict[str, Any]:
    """What ``summary.json`` holds."""
    run, progress = trainer.run, trainer.run.progress
    lines = [e for e in read_journal(run.out) if e["kind"] == "train"]
    speed = progress.read / progress.seconds if progress.seconds else None
    held = None if trainer.last is None else trainer.last.summary()
    counts = parameter_count(run.model.config)
    return {
        "tokens": progress.read,
        "steps": progress.step,
        "loss": lines[-1]["loss"] if lines else None,
        "first_loss": lines[0]["loss"] if lines else None,
        "tokens_per_second": speed,
        "mfu": None if speed is None else trainer.mfu(speed),
        "seconds": progress.seconds,
        "skipped": progress.skipped,
        "stopped_early": progress.step < run.total_steps,
        "heldout": held,
        "sources": sources_read(run),
        "parameters": counts["total"],
        "flops_per_token": flops_per_token(
            run.model.config, run.recipe.data.sequence_tokens
        ),
        "padding": run.loader.padding,
        "device": str(run.world.device),
        "processes": run.world.size,
        "model": "model",
        **sizes(run.loader, run.recipe),
    }  # fmt: skip


def sources_read(run: Run) -> dict[str, dict[str, Any]]:
    """Per source (or row of the mixture): tokens read so far, how many there are, epochs; and what
    the plan says, in one pass."""
    names, codes = run.loader.sources
    held = np.bincount(codes, run.loader.document_targets, len(names)).astype(np.int64).tolist()
    planned = {} if run.plan is None else {e.name: e.budget for e in run.plan.entries}
    read = run.progress.by_source
    return {
        name: {
            "tokens": read.get(name, 0), "of": of, "epochs": read.get(name, 0) / max(of, 1),
            "planned": planned.get(name, of),
        }
        for name, of in zip(names, held, strict=True)
    }  # fmt: skip


def _page(run: Run, summary: dict[str, Any]) -> str:
    return report(run.out, summary, run.recipe)


def _finish(run: Run, summary: dict[str, Any], page: Callable[[Run, dict[str, Any]], str]) -> None:
    """Export the model, write the report, and last the summary, which marks the run as done."""
    export(run)
    write_json(run.out / "report.json", {"summary": summary, "lineage": run.lineage})
    with atomic_write(run.out / "report.html", text=True) as stream:
        stream.write(page(run, summary))
    inputs = [run.lineage[kind] for kind in ("shards", "dialogues") if kind in run.lineage]
    manifest = manifests.build(
        "training", recipe=recipes.to_table(run.told), seed=run.recipe.seed,
        inputs=inputs, counts={"tokens": run.progress.read},
        parts=[manifests.part_entry(run.out, run.out / "model" / WEIGHTS)],
    )  # fmt: skip
    manifests.write(run.out, manifest)
    write_json(run.out / SUMMARY, summary)


def export(run: Run) -> Path:
    """Link the last checkpoint's model to ``model/``, and check that it computes the same.

    Raises:
        DataError: the model on disk gives other logits than the one in memory.
    """
    told = {checkpoint.LINEAGE: {**run.lineage, **position(run)}}
    model = checkpoint.publish(run.out, told, adapter=run.recipe.lora.rank is not None)
    if sharded(run.call):
        return model  # one process alone cannot compute with a part of the weights
    probe = run.loader.batch([0]).tokens[:, :8]
    stored = load_model(model, dtype=next(run.model.parameters()).dtype)
    stored.to(run.world.device)
    with torch.no_grad():
        tokens = probe.to(run.world.device)
        run.model.eval()
        here, there = run.model.logits(tokens), stored.logits(tokens)
        # Merging an adapter rounds once more than adding it on the way does; so do compiled layers.
        exact = run.recipe.lora.rank is None and run.recipe.run.compile == "off"
        exact = exact and run.model.backend == stored.backend
        slack = 0.0 if exact else 1e-4 * here.abs().max().item()
        if (here - there).abs().max().item() > slack:
            raise DataError("the stored model computes other logits than the trained one",
                            where=model)  # fmt: skip
    return model


def dry_run(recipe: Pretrain, shards_folder: Path, out: Path) -> dict[str, Any]:
    """What :func:`pretrain` would do, without doing it.

    Returns:
        Shape, sizes and steps of the run.
    """
    shards = open_shards(shards_folder, verify="fast")
    loader = make_loader(recipe, shards, find_plan(recipe, shards))
    config = fresh_config(recipe, shards) if recipe.init is None else load_config(recipe.init)
    found = checkpoint.checkpoints(out)
    return {
        "parameters": parameter_count(config),
        "vocab_size": config.vocab_size,
        "steps": recipe.steps(loader.sequences),
        "steps_done": found[-1][0] if found else 0,
        "tokens": recipe.steps(loader.sequences) * recipe.data.batch_tokens,
        **sizes(loader, recipe),
        "padding": loader.order.padding,
        "documents": shards.documents,
        "heldout": (shards_folder / HELDOUT).is_dir(),
        "flops": recipe.steps(loader.sequences)
        * recipe.data.batch_tokens
        * flops_per_token(config, recipe.data.sequence_tokens),
        "device": str(pick_device(recipe.run.device)),
    }
