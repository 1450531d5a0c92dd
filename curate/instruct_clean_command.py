"""``yanmo curate instruct clean`` and ``init``."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import (
    dry_run_option,
    emit,
    json_option,
    limit_option,
    recipe_option,
    set_option,
    verbosity_options,
)


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder to write.")
@recipe_option
@set_option
@click.option("--against", multiple=True, metavar="[NAME=]PATH",
              help="Exam questions that must not be in the data; may be repeated.")  # fmt: skip
@click.option("--scores", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="JSON lines of id and numbers, as `yanmo evals score` writes them.")  # fmt: skip
@limit_option
@dry_run_option
@json_option
@verbosity_options
def clean(inputs: tuple[str, ...], out: Path | None, dry_run: bool, as_json: bool,
          **options: Any) -> None:  # fmt: skip
    """Mend and drop dialogues by rules; write kept, dropped and all findings with their spans.

    --dry-run prints what would change: each fix before and after, each drop with its reason.
    """
    from yanmo.errors import UsageError

    from .instruct_cleaning import clean_files, settings
    from .instruct_files import data_files
    from .instruct_report import difference, summary, told

    if (out is None) != dry_run:
        what = "a folder to write is needed" if out is None else "--dry-run writes nothing"
        fix = "Give --out DIR, or --dry-run to see what would change."
        raise UsageError(what, fix=fix)
    recipe = settings(options["recipe"], options["overrides"], options["against"])
    files = data_files(inputs)
    with clean_files(files, out, recipe, scores=options["scores"],
                     limit=options["limit"]) as (tally, folder):  # fmt: skip
        if dry_run and not as_json:
            for line in difference(folder / "findings.jsonl"):
                click.echo(line)
    text = told(tally) + ("" if out is None else f"\n\n{out / 'report.html'}")
    emit({**summary(tally), "out": None if out is None else str(out)}, as_json=as_json, text=text)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("-"),
              help="Recipe to write; default: standard output.")  # fmt: skip
@verbosity_options
def init(out: Path) -> None:
    """Print the recipe of cleaning with every key, its default and its source."""
    from yanmo.errors import UsageError
    from yanmo.files import atomic_write

    from .instruct_recipe import commented

    if str(out) == "-":
        click.echo(commented(), nl=False)
        return
    if out.exists():
        raise UsageError("the file exists", where=out, fix="Name a new one.")
    with atomic_write(out, text=True) as stream:
        stream.write(commented())
    click.echo(f"{out}: edit it, then: yanmo curate instruct clean INPUT... --recipe {out} "
               "--out DIR")  # fmt: skip
