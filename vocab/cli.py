"""`yanmo vocab`: text in; tokenizer folders and grown checkpoints out."""

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

FILE = click.Path(path_type=Path)
INPUTS = click.argument("inputs", nargs=-1, required=True, type=FILE, metavar="INPUT...")


@click.group("vocab")
def group() -> None:
    """Text in; tokenizers and grown vocabularies out."""


@group.command("train")
@INPUTS
@out_option(help="Tokenizer folder to write.")
@click.option("--size", type=int, help="Entries in all, special tokens included.")
@click.option(
    "--kind",
    type=click.Choice(["spm-bpe", "spm-unigram", "byte-bpe", "wordpiece"]),
    help="Algorithm; default: spm-bpe.",
)
@click.option("--shrink", is_flag=True, help="Take fewer entries if the text supports no more.")
@seed_option
@recipe_option
@set_option
@json_option
@verbosity_options
def train_command(
    inputs: tuple[Path, ...], out: Path, recipe: Path | None, as_json: bool, **flags: Any
) -> None:
    """Train a vocabulary on run folders, Parquet, JSONL or text files."""
    from yanmo.progress import track
    from yanmo.recipe import load
    from yanmo.report import Table

    from .train import TrainOptions, train_tokenizer

    options = load(TrainOptions, recipe, overrides(flags))
    with track(None, f"training {options.kind}", "steps", quiet=quiet()):
        report = train_tokenizer(inputs, out, options)
    rows = [[name, count] for name, count in report["pieces"].items()]
    text = Table(f"{report['size']} entries in {out}", ["class", "entries"], rows).text()
    emit({**report, "out": str(out)}, as_json=as_json, text=text)


def overrides(flags: dict[str, Any]) -> list[str]:
    """``--set`` strings, and before them the flags that were given (so ``--set`` wins)."""
    given = [
        f"{name}={_toml(value)}"
        for name, value in flags.items()
        if name != "overrides" and value not in (None, False, ())
    ]
    return [*given, *flags["overrides"]]


def _toml(value: Any) -> str:
    if value is True:
        return "true"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
