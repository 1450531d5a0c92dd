"""``yanmo curate plan``: what a run would take and drop, from a sample."""

from pathlib import Path

import click

from yanmo.options import (
    emit,
    json_option,
    recipe_option,
    set_option,
    verbosity_options,
    workers_option,
)


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@recipe_option
@set_option
@click.option("--pages", type=click.IntRange(1), default=300, show_default=True,
              help="Pages of each sampled file that are run.")  # fmt: skip
@workers_option
@json_option
@verbosity_options
def plan(inputs: tuple[str, ...], recipe: Path | None, overrides: tuple[str, ...],
         pages: int, workers: int, as_json: bool) -> None:  # fmt: skip
    """Predict time, memory, disk and drop rates of a run from a sample of its pages."""
    from dataclasses import replace

    from yanmo.recipe import load

    from .discover import InputSpec
    from .forecast import as_json as report
    from .forecast import forecast, render
    from .run_recipe import CurateRecipe

    settings = load(CurateRecipe, recipe, list(overrides))
    if inputs:
        settings = replace(settings, input=tuple(InputSpec(path) for path in inputs))
    found = forecast(settings, workers=workers, pages=pages)
    emit(report(found), as_json=as_json, text=render(found))
