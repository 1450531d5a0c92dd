"""``yanmo vocab grow``: corpus and checkpoint in, grown checkpoint out."""

import json
from pathlib import Path
from typing import Any

import click

from yanmo.options import (
    emit,
    json_option,
    out_option,
    quiet,
    recipe_option,
    seed_option,
    set_option,
    verbosity_options,
)

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("corpus", nargs=-1, type=_FILE, metavar="[CORPUS]...")
@out_option(help="Folder to write; steps that are done there are not redone.")
@click.option("--checkpoint", type=_FILE, help="Model folder to grow.")
@click.option("--base", type=_FILE, help="Its tokenizer; default: the one in the folder.")
@click.option("--add", type=click.IntRange(1), help="Entries to add.")
@click.option("--heldout", multiple=True, type=_FILE,
              help="Text to verify and measure on; may be repeated.")  # fmt: skip
@click.option("--init", type=click.Choice(["mean", "weighted", "random"]),
              help="Initial values of new rows; default: weighted.")  # fmt: skip
@seed_option
@recipe_option
@set_option
@json_option
@verbosity_options
def grow(out: Path, recipe: Path | None, as_json: bool, **flags: Any) -> None:
    """Grow a model by a corpus: extend, verify, measure, embed; with a report.

    What is given here wins over the recipe. The same command goes on where it was interrupted.
    """
    from yanmo.recipe import load

    from .grow import GrowRecipe, grow_model
    from .grow_report import grow_text

    settings = load(GrowRecipe, recipe, grow_overrides(flags))
    summary = grow_model(settings, out, quiet=quiet())
    emit({**summary, "out": str(out)}, as_json=as_json, text=grow_text(summary, out))


def grow_overrides(flags: dict[str, Any]) -> list[str]:
    """``--set`` strings for the flags that were given, those of ``--set`` itself last."""
    keys = {"checkpoint": "checkpoint", "base": "base", "corpus": "corpus", "heldout": "heldout",
            "add": "extend.add", "init": "embed.init"}  # fmt: skip
    given = [
        f"{key}={_toml(flags[name])}" for name, key in keys.items() if flags[name] not in (None, ())
    ]
    seeds = [] if flags["seed"] is None else [f"{t}.seed={flags['seed']}" for t in
                                              ("extend", "embed")]  # fmt: skip
    return [*given, *seeds, *flags["overrides"]]


def _toml(value: Any) -> str:
    plain = [str(item) for item in value] if isinstance(value, tuple) else value
    return json.dumps(str(plain) if isinstance(plain, Path) else plain, ensure_ascii=False)
