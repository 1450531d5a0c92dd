"""Click options that mean the same in every command, and the one way to print a result."""

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def out_option(*, required: bool = True, help: str = "Folder to write.") -> Decorator[Any]:
    """``--out DIR``, as a ``Path``."""
    return click.option("--out", type=click.Path(path_type=Path), required=required, help=help)


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


workers_option: Decorator[Any] = click.option(
    "--workers", type=click.IntRange(1), default=cores, show_default="all cores",
    help="Processes to use; never changes results.",
)  # fmt: skip
seed_option: Decorator[Any] = click.option(
    "--seed", type=int, default=None, help="Seed of all that is random; default: the recipe's."
)
limit_option: Decorator[Any] = click.option(
    "--limit", type=click.IntRange(1), default=None, help="Stop after this many items."
)
json_option: Decorator[Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout."
)
dry_run_option: Decorator[Any] = click.option(
    "--dry-run", is_flag=True, help="Show what would be done and stop."
)
set_option: Decorator[Any] = click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE",
    help="Override one key of the recipe; may be repeated.",
)  # fmt: skip
recipe_option: Decorator[Any] = click.option(
    "--recipe", type=click.Path(path_type=Path), default=None, help="Recipe (TOML)."
)


def _set_verbosity(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if value:  # the option of a group holds for its commands
        root = context.find_root()
        root.obj = {**(root.obj or {}), str(parameter.name): value}
    return value


def verbosity_options(command: F) -> F:
    """``-q`` and ``-v``; kept on the root context for :func:`quiet` and the error handler."""
    command = click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_set_verbosity,
        help="Show tracebacks and more detail.",
    )(command)  # fmt: skip
    return click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=_set_verbosity,
        help="No progress.",
    )(command)  # fmt: skip


def quiet() -> bool:
    """Whether the user asked for no progress."""
    context = click.get_current_context(silent=True)
    return bool(context and (context.find_root().obj or {}).get("quiet"))


def emit(result: Any, *, as_json: bool, text: str) -> None:
    """Print a result: one JSON object, or text for a person."""
    click.echo(_json(result) if as_json else text)


def _json(result: Any) -> str:
    """JSON for other programs: NaN, which it does not have, is null."""
    plain = "utf" not in (sys.stdout.encoding or "").lower()
    try:
        return json.dumps(result, ensure_ascii=plain, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(result), ensure_ascii=plain)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
