"""`yanmo train sft`: dialogues and a model in; a model that answers, a summary and a report out."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Final

from yanmo.files import atomic_write
from yanmo.report import Page

from . import checkpoint
from .distributed import join, pick_device
from .folder import load_config
from .journal import read_journal
from .loop import Trainer
from .model import parameter_count
from .pretrain import carry_out, finished, how_described, sizes, summarize
from .run_report import add_curves, add_end
from .setup import Run
from .sft_data import Corpus
from .sft_lint import lint_table
from .sft_preview import STYLE, samples
from .sft_recipe import Sft, training
from .sft_report import dialogues_table, plan_table, summary_table
from .sft_setup import Files, Prepared, look_through, set_up
from .speed import flops_per_token

QUARANTINE: Final = "quarantine.jsonl"
PREVIEWED: Final = 3


def sft(
    recipe: Sft,
    files: Files,
    *,
    quiet: bool = False,
    announce: Callable[[Prepared], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune, or go on with it, and write the results.

    Args:
        recipe: the resolved recipe.
        files: what is read, and the run folder. If it holds a run of this recipe on these
            dialogues, that goes on from its last whole checkpoint; if it is done, nothing is done.
        quiet: no live line.
        announce: shown what was found before the first step; errors of the linter included.

    Returns:
        What ``summary.json`` holds: ``tokens`` (read, padding left out), ``targets`` (trained),
        ``steps``, ``loss``, ``tokens_per_second``, ``mfu``, ``heldout_before``, ``heldout`` and
        more; ``already_done`` says whether nothing was left to do.

    Raises:
        DataError: the linter found an error; the data are damaged or others than the run's.
    """
    with join(recipe.run.device) as world:
        prepared = look_through(recipe, files)
        if announce is not None and world.main:
            announce(prepared)
        run = set_up(prepared, world)
        if world.main and not finished(run):
            write_quarantine(prepared)
        return carry_out(
            run,
            lambda run: {**how_described(run), **described(prepared)},
            lambda trainer: _summary(trainer, prepared),
            lambda run, summary: _page(run, summary, prepared),
            quiet=quiet,
        )


def write_quarantine(prepared: Prepared) -> None:
    """One line a dialogue that was refused, with the reason; no file where none was."""
    held = () if prepared.heldout is None else prepared.heldout.quarantine
    lines = [*prepared.corpus.quarantine, *held]
    path = prepared.files.out / QUARANTINE
    if not lines:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, text=True) as stream:
        stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def described(prepared: Prepared) -> dict[str, Any]:
    """What the dialogues are, for plan, log and summary."""
    corpus, recipe = prepared.corpus, prepared.recipe
    read, trained = len(corpus.tokens), int(corpus.trained.sum())
    longest = int((corpus.ends - corpus.begins).max()) + 1 if len(corpus) else 0
    return {
        "dialogues": dataclasses.asdict(corpus.account),
        "heldout_dialogues": _account(prepared.heldout),
        "epoch_tokens": read,
        "epoch_targets": trained,
        "longest_tokens": longest,
        "trained_share": trained / max(read, 1),
        "packing": recipe.data.packing,
        "neftune_alpha": recipe.neftune_alpha,
        "lr": recipe.lr,
    }


def _account(corpus: Corpus | None) -> dict[str, Any] | None:
    return None if corpus is None else dataclasses.asdict(corpus.account)


def plan(prepared: Prepared) -> dict[str, Any]:
    """What the run would do: rows, steps, operations; what is masked, padded and left out."""
    recipe, files, feed = prepared.recipe, prepared.files, prepared.feed
    translated, config = training(recipe, files.model), load_config(files.model)
    found = checkpoint.checkpoints(files.out)
    known: dict[str, Any] = {
        "parameters": parameter_count(config)["total"],
        "lora": recipe.lora.rank,
    }
    if feed is not None:
        steps, tokens = translated.steps(feed.sequences), len(prepared.corpus.tokens)
        sized = sizes(feed, translated)
        known |= {
            "steps": steps,
            "steps_done": found[-1][0] if found else 0,
            "rows": feed.sequences,
            "epochs": sized["epochs"],
            "padding": feed.padding,
            "flops": tokens * sized["epochs"] * flops_per_token(config, recipe.data.max_tokens),
        }
    return {**known, **described(prepared), "device": str(pick_device(recipe.run.device))}


def dry_run(recipe: Sft, files: Files) -> Prepared:
    """Read and lint everything, and write nothing."""
    return look_through(recipe, files)


def _summary(trainer: Trainer, prepared: Prepared) -> dict[str, Any]:
    run = trainer.run
    evals = [entry for entry in read_journal(run.out) if entry["kind"] == "eval"]
    before = next((e for e in evals if e["step"] == 0), None)
    kept = ("loss", "bits_per_byte", "targets", "bytes")
    targets, seconds = run.progress.targets, run.progress.seconds
    return {
        **summarize(trainer),
        "targets": targets,
        "targets_per_second": targets / seconds if seconds else None,
        "heldout_before": before and {name: before[name] for name in kept},
        "lint": [finding.table() for finding in prepared.findings],
        **described(prepared),
    }


def _page(run: Run, summary: dict[str, Any], prepared: Prepared) -> str:
    """One self-contained HTML page."""
    entries = read_journal(run.out)
    held, before = summary["heldout"], summary["heldout_before"]
    page = Page(f"Fine-tuning run {run.out.name}", style=STYLE, lead=(
        f"{summary['dialogues']['kept']:,} dialogues, {summary['tokens']:,} tokens read, "
        f"{summary['targets']:,} of them trained, in {summary['steps']:,} steps."
    ))  # fmt: skip
    page.add_table(summary_table(summary))
    page.add_heading("Dialogues")
    page.add_table(dialogues_table(summary))
    page.add_table(lint_table(prepared.findings))
    page.add_heading("What is trained")
    page.add_text("The marked tokens are targets of the loss; the others are context.")
    for sample in samples(prepared.corpus, prepared.tokenizer, PREVIEWED):
        page.add_svg(sample.html())
    page.add_heading("Loss")
    add_curves(page, entries)
    if held and before:
        page.add_text(f"Held-out loss on answers: {before['loss']:.4f} before, "
                      f"{held['loss']:.4f} after, nats per token.")  # fmt: skip
    add_end(page, entries, run.told)
    return page.html()


__all__ = ["Files", "dry_run", "plan", "plan_table", "sft"]
