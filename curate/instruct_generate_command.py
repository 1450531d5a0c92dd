"""``yanmo curate instruct generate``."""

import json
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


@click.command()
@click.argument("seeds", type=click.Path(path_type=Path))
@click.option("--base-url", required=True, metavar="URL",
              help="OpenAI-compatible server, up to and with /v1.")  # fmt: skip
@click.option("--model", required=True, help="Its name there.")
@click.option("--key-env", default=None, metavar="NAME",
              help="Environment variable that holds the key; it is written nowhere.")  # fmt: skip
@out_option(help="Folder to write; the same one goes on where a run was cut off.")
@click.option("--tasks", type=click.IntRange(1), default=None, help="Accepted tasks to stop at.")
@click.option("--requests", type=click.IntRange(1), default=None, help="Requests to stop at.")
@click.option("--tokens", type=click.IntRange(1), default=None,
              help="Tokens, of requests and answers, to stop at.")  # fmt: skip
@click.option("--language", default=None, help="zh or en. [default: zh]")
@click.option("--concurrency", type=click.IntRange(1), default=4, show_default=True,
              help="Requests under way at once; never changes results.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(0.1), default=120.0, show_default=True,
              help="Seconds of one attempt.")  # fmt: skip
@click.option("--attempts", type=click.IntRange(1), default=6, show_default=True,
              help="Attempts at a request before the run stops.")  # fmt: skip
@recipe_option
@set_option
@seed_option
@dry_run_option
@json_option
@verbosity_options
def generate(seeds: Path, out: Path, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Write new tasks like SEEDS by asking a model, filtered against seeds and each other.

    --dry-run prints the first request.
    """
    from yanmo.endpoint import Client, Endpoint
    from yanmo.recipe import load

    from .instruct_filters import GenerateRecipe
    from .instruct_generate import Generator, read_seeds
    from .instruct_generated import generate as run

    keys = {"tasks": "max_tasks", "requests": "max_requests", "tokens": "max_total_tokens",
            "language": "language", "seed": "seed"}  # fmt: skip
    given = {key: options[name] for name, key in keys.items() if options[name] is not None}
    flags = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    recipe = load(GenerateRecipe, options["recipe"], [*options["overrides"], *flags])
    endpoint = Endpoint(
        options["base_url"], options["model"], options["key_env"], options["timeout"],
        options["attempts"], options["concurrency"],
    )  # fmt: skip
    if dry_run:
        click.echo(Generator(read_seeds(seeds), Client(endpoint), recipe).first_prompt())
        return
    report = run(seeds, endpoint, recipe, out, quiet=quiet())
    emit({**report, "out": str(out)}, as_json=as_json, text=_told(report, out))


def _told(report: dict[str, Any], out: Path) -> str:
    reasons = ", ".join(f"{name} {count}" for name, count in report["reasons"].items())
    return (
        f"{report['tasks']} tasks from {report['requests']} requests ({report['from_cache']} kept "
        f"from before), {report['tokens']} tokens; stopped by: {report['stopped']}\n{reasons}\n"
        f"{out / 'tasks.jsonl'}\n{out / 'report.html'}"
    )
