"""The options of `yanmo train generate` that write answers to rank."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from yanmo.errors import UsageError
from yanmo.options import emit, quiet

if TYPE_CHECKING:
    from .generate import Sampling

F = TypeVar("F", bound=Callable[..., Any])


def rankings_options(command: F) -> F:
    """``--prompts FILE --n K --out FILE``."""
    for option in (
        click.option("--out", type=click.Path(path_type=Path), default=None,
                     help="Rankings to write, one prompt a line; what is there stays."),
        click.option("--n", "answers", type=click.IntRange(1), default=4, show_default=True,
                     help="Answers to each prompt of --prompts."),
        click.option("--prompts", "prompt_file", type=click.Path(path_type=Path), default=None,
                     help="Prompts for a chat model: JSON lines, or .txt with one a line."),
    ):  # fmt: skip
        command = option(command)
    return command


def emit_rankings(
    checkpoint: Path, prompts: Sequence[str], how: dict[str, Any], sampling: "Sampling",
    *, as_json: bool,
) -> None:  # fmt: skip
    """Write rankings, and say how many.

    Raises:
        UsageError: one of the two files is not named, or prompts are also given as arguments.
    """
    from .rankings import write_rankings

    for given, missing in (("prompt_file", "out"), ("out", "prompt_file")):
        if how[missing] is None and how[given] is not None:
            named = {"prompt_file": "--prompts", "out": "--out"}
            raise UsageError(f"{named[given]} goes with {named[missing]}",
                             fix=f"Name a file for {named[missing]}.")  # fmt: skip
    if prompts:
        raise UsageError("prompts are given twice", value=list(prompts),
                         fix="Give them as arguments, or with --prompts.")  # fmt: skip
    out: Path = how["out"]
    found = write_rankings(checkpoint, how["prompt_file"], out, how["answers"], sampling,
                           quiet=quiet())  # fmt: skip
    share = "" if found["stopped"] is None else f" ({found['stopped']:.0%} ended by themselves)"
    text = (
        f"{found['written']} prompts answered {found['answers']} times{share}, "
        f"{found['there']} were there; see {out}\n"
        "Fill in rank (1 is the best, equal ranks are ties), then `yanmo train reward`."
    )
    emit(found, as_json=as_json, text=text)
