"""``yanmo curate quality``: train a quality model, score documents, price them by perplexity."""

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
    workers_option,
)

text_field_option = click.option(
    "--text-field", default=None, help="Field or column that holds the text. [default: text]"
)
txt_option = click.option(
    "--txt", type=click.Choice(["line", "file"]), default=None,
    help="A document in .txt is a line, or the whole file. [default: line]",
)  # fmt: skip


@click.group()
def quality() -> None:
    """Train quality models on your own good and bad text, and score documents."""


def _read_overrides(text_field: str | None, txt: str | None) -> list[str]:
    named = {"read.text_field": text_field, "read.txt": txt}
    return [
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in named.items()
        if value is not None
    ]


@quality.command()
@click.option("--positive", multiple=True, required=True, metavar="INPUT",
              help="Good documents: a file, folder, pattern or run; may be repeated.")  # fmt: skip
@click.option("--negative", multiple=True, required=True, metavar="INPUT",
              help="Bad documents, likewise.")  # fmt: skip
@click.option("--reference", multiple=True, metavar="INPUT",
              help="Documents that percentiles are of; else those not trained on.")  # fmt: skip
@out_option(help="Model folder to write.")
@text_field_option
@txt_option
@click.option("--quantize", is_flag=True, help="Write model.ftz, a seventh of the size.")
@recipe_option
@set_option
@seed_option
@workers_option
@json_option
@verbosity_options
def train(positive: tuple[str, ...], negative: tuple[str, ...], reference: tuple[str, ...],
          out: Path, as_json: bool, **options: Any) -> None:  # fmt: skip
    """Train a fastText classifier of good against bad documents, and judge it on held-out ones.

    Sites are balanced, lengths matched, near-duplicates kept off the held-out side; the card says
    how far it beats length alone.
    """
    from yanmo.recipe import load

    from .quality_card import headline
    from .quality_train import Inputs, TrainOptions, train_model

    overrides = _read_overrides(options["text_field"], options["txt"])
    overrides += ["quantize=true"] if options["quantize"] else []
    overrides += options["overrides"]
    overrides += [] if options["seed"] is None else [f"seed={options['seed']}"]
    settings = load(TrainOptions, options["recipe"], overrides)
    card = train_model(Inputs(positive, negative, reference), out, settings,
                       workers=options["workers"], quiet=quiet())  # fmt: skip
    emit(card, as_json=as_json, text=f"{headline(card)}\nThe whole card: {out / 'card.md'}")


@quality.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@out_option(help="Folder for scores/part-*.parquet.")
@text_field_option
@txt_option
@workers_option
@json_option
@verbosity_options
def score(model: Path, inputs: tuple[str, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Score documents: id, score, probability and percentile, as Parquet beside each other.

    INPUT is a run folder, or files of any kind that the reader takes.
    """
    from yanmo.recipe import load

    from .options import ReadOptions
    from .quality_score import score_inputs, told

    overrides = _read_overrides(options["text_field"], options["txt"] or "line")
    read = load(ReadOptions, None, [text.removeprefix("read.") for text in overrides])
    found = score_inputs(model, inputs, out, read, workers=options["workers"], quiet=quiet())
    emit(found, as_json=as_json, text=told(found))
