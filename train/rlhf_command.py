"""`yanmo train ppo` and `yanmo train grpo`, the commands."""

from collections.abc import Callable
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

Command = Callable[..., None]


def _shared(command: Command) -> Command:
    """The options of both commands."""
    options = (
        click.argument("prompts", type=click.Path(path_type=Path)),
        click.option("--model", type=click.Path(path_type=Path), required=True,
                     help="SFT model: the start and the reference."),
        click.option("--reward", required=True, metavar="FOLDER|RULE",
                     help="Reward model, or a rule: exact, numeric, regex, choice, share, tidy."),
        click.option("--gold", default=None, metavar="RULE",
                     help="Rule that held-out responses are judged by, never trained on."),
        click.option("--heldout", type=click.Path(path_type=Path), default=None,
                     help="Prompts to judge on; without: some of PROMPTS are set apart."),
        out_option(help="Run folder; a run that is there goes on."),
        recipe_option, set_option, seed_option, json_option, dry_run_option, verbosity_options,
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_shared
def ppo(prompts: Path, **flags: Any) -> None:
    """Train a policy on a reward by PPO.

    PROMPTS are JSON lines {prompt: text or messages, …}; a rule finds what it needs, such as
    `answer`, in the same record. The value model starts from the reward model. The same command
    goes on with a run that was interrupted; under torchrun every process takes a share.
    """
    from .rlhf_recipe import Ppo

    _learn(Ppo, prompts, flags)


@click.command()
@_shared
@click.option("--n", "samples", type=click.IntRange(2), default=None,
              help="Responses to each prompt; default: the recipe's, 8.")  # fmt: skip
def grpo(prompts: Path, samples: int | None, **flags: Any) -> None:
    """Train a policy on a reward by GRPO (or RLOO: --set group.advantage=rloo).

    Every prompt gets several responses, and each is judged against its group. PROMPTS as for
    `yanmo train ppo`.
    """
    from .rlhf_recipe import Grpo

    more = () if samples is None else (f"rollout.samples={samples}",)
    _learn(Grpo, prompts, flags, *more)


def _learn(kind: type[Any], prompts: Path, flags: dict[str, Any], *more: str) -> None:
    from yanmo import recipe as recipes

    from . import rlhf
    from .distributed import speaks
    from .rlhf_report import summary_table
    from .rlhf_setup import Sources

    seed = () if flags["seed"] is None else (f"seed={flags['seed']}",)
    settings = recipes.load(kind, flags["recipe"], (*flags["overrides"], *more, *seed))
    sources = Sources(prompts, flags["model"], flags["reward"], flags["gold"], flags["heldout"])
    out: Path = flags["out"]
    if flags["dry_run"]:
        plan = rlhf.dry_run(settings, sources, out)
        emit(plan, as_json=flags["as_json"], text=rlhf.plan_table(plan).text())
        return
    summary = rlhf.learn(settings, sources, out, quiet=quiet())
    if speaks():
        done = "nothing was left to do; " if summary["already_done"] else ""
        text = f"{summary_table(summary).text()}\n\n{done}see {out / 'report.html'}"
        emit(summary, as_json=flags["as_json"], text=text)
