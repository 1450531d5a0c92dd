"""``yanmo train plan``: memory, operations and hours of a run, before it is started."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import emit, json_option, recipe_option, set_option, verbosity_options


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@recipe_option
@set_option
@click.option("--memory", "limit_gb", type=click.FloatRange(0, min_open=True), default=None,
              help="GiB of a device; default: this machine's.")  # fmt: skip
@click.option("--micro", type=click.IntRange(1), default=None,
              help="Sequences of a forward pass; default: as the trainer takes them.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True,
              help="Devices that share the run.")  # fmt: skip
@click.option("--bits", type=click.Choice(["16", "8", "4"]), default="16", show_default=True,
              help="Frozen matrices under LoRA, as other programs quantise them.")  # fmt: skip
@click.option("--mfu", type=click.FloatRange(0, 1, min_open=True), default=0.4, show_default=True,
              help="Share of the peak that is expected.")  # fmt: skip
@click.option("--peak", type=click.FloatRange(0, min_open=True), default=None,
              help="Peak of a device in TFLOP/s; default: its data sheet, or none.")  # fmt: skip
@json_option
@verbosity_options
def plan(config: Path, recipe: Path | None, overrides: tuple[str, ...], as_json: bool,
         bits: str, **asked: Any) -> None:  # fmt: skip
    """Say what training CONFIG would need: memory by what holds it, operations, hours.

    CONFIG is a config.json of Hugging Face, the folder of one, or a preset such as 124m. The recipe
    is that of `train pretrain`: precision, sequences, LoRA, optimiser, recomputation.
    """
    from yanmo import recipe as recipes

    from .plan_report import Asked, make_plan
    from .recipe import Pretrain

    settings = recipes.load(Pretrain, recipe, list(overrides))
    found = make_plan(config, settings, Asked(bits=int(bits), **asked))
    emit(found.table(), as_json=as_json, text=found.text())
