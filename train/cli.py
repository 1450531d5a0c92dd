"""`yanmo train`: token shards in, checkpoints out."""

import json
import sys
from pathlib import Path
from typing import Any

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

from .plan_command import plan
from .preference_command import dpo, reward, score
from .rankings_command import emit_rankings, rankings_options
from .rlhf_command import grpo, ppo
from .sft_command import sft


@click.group()
def group() -> None:
    """Token shards in; checkpoints out."""


group.add_command(plan)
group.add_command(ppo)
group.add_command(grpo)
group.add_command(reward)
group.add_command(dpo)
group.add_command(score)
group.add_command(sft)


@group.command()
@click.argument("shards", type=click.Path(path_type=Path))
@out_option(help="Run folder; a run that is there goes on.")
@recipe_option
@set_option
@click.option("--mixture", type=click.Path(path_type=Path), default=None,
              help="Plan of `yanmo curate mix` to follow.")  # fmt: skip
@seed_option
@json_option
@dry_run_option
@verbosity_options
def pretrain(
    shards: Path, out: Path, recipe: Path | None, as_json: bool, dry_run: bool, **flags: Any
) -> None:
    """Train on the token shards in SHARDS.

    SHARDS/heldout is what loss and bits per byte are measured on. The same command goes on with a
    run that was interrupted. Under torchrun, every process takes a share of each batch.
    """
    from yanmo import recipe as recipes

    from . import pretrain as runs
    from .distributed import speaks
    from .recipe import Pretrain
    from .run_report import plan_table, summary_table

    settings = recipes.load(Pretrain, recipe, _overrides(flags))
    if dry_run:
        plan = runs.dry_run(settings, shards, out)
        emit(plan, as_json=as_json, text=plan_table(plan).text())
        return
    summary = runs.pretrain(settings, shards, out, quiet=quiet())
    if speaks():
        done = "nothing was left to do; " if summary["already_done"] else ""
        text = f"{summary_table(summary).text()}\n\n{done}see {out / 'report.html'}"
        emit(summary, as_json=as_json, text=text)


def _overrides(flags: dict[str, Any]) -> tuple[str, ...]:
    """``--set`` with ``--seed`` and ``--mixture`` after it."""
    seed = () if flags["seed"] is None else (f"seed={flags['seed']}",)
    plan = flags.get("mixture")
    mixture = () if plan is None else (f"data.mixture={json.dumps(str(plan))}",)
    return (*flags["overrides"], *seed, *mixture)


@group.command()
@click.argument("shards", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), required=True,
              help="Model folder whose vocabulary has grown.")  # fmt: skip
@out_option(help="Folder of both stages; what is there goes on.")
@recipe_option
@set_option
@seed_option
@json_option
@verbosity_options
def grow(
    shards: Path, model: Path, out: Path, recipe: Path | None, as_json: bool, **flags: Any
) -> None:
    """Teach a model its grown vocabulary on SHARDS: new rows first, then everything.

    Bits per byte of every source in SHARDS/heldout are shown before and after.
    """
    from yanmo import recipe as recipes

    from . import grow as stages
    from .distributed import speaks

    settings = recipes.load(stages.Grow, recipe, _overrides(flags))
    summary = stages.grow(settings, model, shards, out, quiet=quiet())
    if speaks():
        table = stages.watch_table(out, summary).text()
        emit(summary, as_json=as_json, text=f"{table}\n\nsee {out / 'report.html'}")


@group.command()
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("adapter", type=click.Path(path_type=Path))
@out_option(help="Model folder to write.")
@json_option
@verbosity_options
def merge(base: Path, adapter: Path, out: Path, as_json: bool) -> None:
    """Add the LoRA ADAPTER (ours or peft's) to the model BASE."""
    from .merge import merge_adapter

    found = merge_adapter(base, adapter, out)
    emit(found, as_json=as_json, text=f"{found['adapted']} layers merged; see {out}")


@group.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("prompts", nargs=-1, metavar="PROMPT...")
@click.option("--max-tokens", type=click.IntRange(1), default=100, show_default=True,
              help="New tokens at most.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(0), default=0.8, show_default=True,
              help="0 takes the likeliest token.")  # fmt: skip
@click.option("--top-k", type=click.IntRange(1), default=None,
              help="Sample among so many likeliest tokens.")  # fmt: skip
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=0.95,
              show_default=True,
              help="Sample among the likeliest tokens of this probability.")  # fmt: skip
@rankings_options
@seed_option
@json_option
@verbosity_options
def generate(
    checkpoint: Path, prompts: tuple[str, ...], as_json: bool, seed: int | None, **choice: Any
) -> None:
    """Continue each PROMPT with the model in CHECKPOINT (a model folder, or a run).

    Without a prompt the model starts from nothing; `-` reads prompts from stdin, one a line. With
    --prompts a chat model writes answers to rank.
    """
    from .generate import Sampling
    from .samples import continue_texts

    how = {name: choice.pop(name) for name in ("prompt_file", "answers", "out")}
    if how["prompt_file"] is not None or how["out"] is not None:
        sampling = Sampling(seed=seed or 0, **choice)
        emit_rankings(checkpoint, prompts, how, sampling, as_json=as_json)
        return
    if prompts == ("-",):
        prompts = tuple(sys.stdin.read().splitlines())
    found = continue_texts(checkpoint, prompts or ("",), Sampling(seed=seed or 0, **choice))
    text = "\n\n".join(entry["prompt"] + entry["text"] for entry in found)
    emit({"samples": found}, as_json=as_json, text=text)
