"""`yanmo train reward`, `yanmo train dpo` and `yanmo train score`."""

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

_data = click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
_model = click.option("--model", type=click.Path(path_type=Path), default=None,
                      help="Model folder or run to start from.")  # fmt: skip


@click.command()
@_data
@_model
@out_option(help="Run folder; a run that is there goes on.")
@click.option("--folds", type=click.IntRange(2), default=None,
              help="Cross-validate: so many runs, each tested on what it did not see.")  # fmt: skip
@recipe_option
@set_option
@seed_option
@json_option
@verbosity_options
def reward(
    data: tuple[Path, ...], out: Path, recipe: Path | None, folds: int | None, as_json: bool,
    **flags: Any,
) -> None:  # fmt: skip
    """Train a reward model on the rankings or preference pairs in DATA.

    A share of the prompts is held out; accuracy on it stands beside that of taking the longer
    answer. The same command goes on with a run that was interrupted.
    """
    from yanmo import recipe as recipes

    from .distributed import speaks
    from .preference_recipe import Reward
    from .preference_report import summary_table
    from .preference_run import Task

    settings = recipes.load(Reward, recipe, _overrides(flags))
    task = Task(data, out)
    if folds is None:
        from .reward import train_reward

        summary = train_reward(settings, task, quiet=quiet())
    else:
        from .reward_folds import cross_validate

        summary = cross_validate(settings, task, folds, quiet=quiet())
    if speaks():
        emit(summary, as_json=as_json, text=_text(summary, summary_table(summary).text(), out))


@click.command()
@_data
@_model
@out_option(help="Run folder; a run that is there goes on.")
@recipe_option
@set_option
@seed_option
@json_option
@verbosity_options
def dpo(
    data: tuple[Path, ...], out: Path, recipe: Path | None, as_json: bool, **flags: Any
) -> None:
    """Train a model directly on the rankings or preference pairs in DATA.

    The reference is the model that the run starts from. The same command goes on with a run that
    was interrupted.
    """
    from yanmo import recipe as recipes

    from .distributed import speaks
    from .preference import train_dpo
    from .preference_recipe import Dpo
    from .preference_report import summary_table
    from .preference_run import Task

    settings = recipes.load(Dpo, recipe, _overrides(flags))
    summary = train_dpo(settings, Task(data, out), quiet=quiet())
    if speaks():
        emit(summary, as_json=as_json, text=_text(summary, summary_table(summary).text(), out))


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@_data
@click.option("--out", type=click.Path(path_type=Path), default=None,
              help="JSON lines to write: id and reward of each record.")  # fmt: skip
@json_option
@verbosity_options
def score(model: Path, data: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Give the answers in DATA (dialogues, rankings, pairs) the rewards of the reward MODEL."""
    from yanmo.report import Table

    from .reward import score_files

    found = score_files(model, data, out)
    rows = [("answers", found["n"]), ("mean reward", found["mean"]), ("spread", found["std"])]
    rows += [(f"{name} ({found[name]['id']})", found[name]["reward"])
             for name in ("lowest", "highest")]  # fmt: skip
    emit(found, as_json=as_json, text=Table("", ("what", "value"), rows).text())


def _overrides(flags: dict[str, Any]) -> tuple[str, ...]:
    """``--set`` with ``--seed`` and ``--model`` after it."""
    seed = () if flags["seed"] is None else (f"seed={flags['seed']}",)
    model = () if flags["model"] is None else (f"model={json.dumps(str(flags['model']))}",)
    return (*flags["overrides"], *seed, *model)


def _text(summary: dict[str, Any], table: str, out: Path) -> str:
    done = "nothing was left to do; " if summary["already_done"] else ""
    return f"{table}\n\n{done}see {out / 'report.html'}"
