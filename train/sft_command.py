"""``yanmo train sft``: a model is taught to answer."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yanmo.options import (
    dry_run_option,
    emit,
    json_option,
    out_option,
    quiet,
    recipe_option,
    seed_option,
    set_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from .sft_setup import Prepared


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), required=True,
              help="Model folder with its tokenizer, a checkpoint, or a run.")  # fmt: skip
@out_option(help="Run folder; a run that is there goes on.")
@click.option("--heldout", type=click.Path(path_type=Path), default=None,
              help="Dialogues: the loss on their answers is told, before and after.")  # fmt: skip
@recipe_option
@set_option
@click.option("--preview", type=click.IntRange(0), default=3, show_default=True,
              help="Dialogues to show with what is trained of them.")  # fmt: skip
@seed_option
@json_option
@dry_run_option
@verbosity_options
def sft(
    data: tuple[Path, ...], recipe: Path | None, as_json: bool, dry_run: bool, preview: int,
    **flags: Any,
) -> None:  # fmt: skip
    """Fine-tune a model on the dialogues in DATA; the loss is on what the assistant says.

    The model's own chat template makes the text (ChatML where it has none). A linter looks at what
    would be trained and stops the run where the result could not be right. The same command goes on
    with a run that was interrupted. Under torchrun, every process takes a share of each batch.
    """
    from yanmo import recipe as recipes

    from . import sft as runs
    from .checkpoint import resolve
    from .distributed import speaks
    from .sft_recipe import Sft
    from .sft_report import summary_table

    seed = () if flags["seed"] is None else (f"seed={flags['seed']}",)
    settings = recipes.load(Sft, recipe, (*flags["overrides"], *seed))
    model = resolve(flags["model"]) if flags["model"].is_dir() else flags["model"]
    files = runs.Files(data, model, flags["out"], flags["heldout"])
    if dry_run:
        _show_plan(runs.dry_run(settings, files), preview, as_json=as_json)
        return

    def announce(prepared: "Prepared") -> None:
        if not quiet():
            click.echo(_before(prepared, preview, err=True), err=True)

    summary = runs.sft(settings, files, quiet=quiet(), announce=announce)
    if speaks():
        done = "nothing was left to do; " if summary["already_done"] else ""
        text = f"{summary_table(summary).text()}\n\n{done}see {files.out / 'report.html'}"
        emit(summary, as_json=as_json, text=text)


def _show_plan(prepared: "Prepared", preview: int, *, as_json: bool) -> None:
    """Print lint, plan and preview; fail as the run would."""
    from .sft import plan
    from .sft_lint import refuse
    from .sft_preview import samples

    shown = samples(prepared.corpus, prepared.tokenizer, preview)
    table = {
        **plan(prepared),
        "lint": [finding.table() for finding in prepared.findings],
        "preview": [sample.table() for sample in shown],
    }
    emit(table, as_json=as_json, text=_before(prepared, preview, err=False))
    refuse(prepared.findings)


def _before(prepared: "Prepared", preview: int, *, err: bool) -> str:
    """What stands before the first step: preview, lint and plan."""
    from .sft import plan
    from .sft_lint import lint_table
    from .sft_preview import preview_text, samples
    from .sft_report import plan_table

    colour = (sys.stderr if err else sys.stdout).isatty()
    shown = samples(prepared.corpus, prepared.tokenizer, preview)
    parts = [preview_text(shown, colour=colour)] if shown else []
    parts += [lint_table(prepared.findings).text(), plan_table(plan(prepared)).text()]
    return "\n\n".join(parts)
