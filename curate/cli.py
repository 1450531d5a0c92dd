"""``yanmo curate``: pages in; clean documents and token shards out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yanmo.options import (
    dry_run_option,
    emit,
    json_option,
    limit_option,
    out_option,
    quiet,
    recipe_option,
    seed_option,
    set_option,
    verbosity_options,
    workers_option,
)

from .forget_command import forget
from .inspect_command import inspect
from .instruct_command import instruct
from .leak_command import overrides, prepared, question_options
from .mix_command import mix
from .plan_command import plan
from .quality_command import quality as quality_group
from .shards_commands import packing, peek
from .whatif_command import report, whatif

if TYPE_CHECKING:
    from .pipeline import RunResult
    from .run_recipe import CurateRecipe


@click.group()
def group() -> None:
    """Pages in; clean documents and token shards out."""


group.add_command(quality_group)

INPUTS_HELP = "Files, folders, patterns, URLs, or - for stdin."


def run_options(command: Any) -> Any:
    """The arguments and options of every command that runs the pipeline."""
    for decorator in reversed(
        [
            click.argument("inputs", nargs=-1, metavar="INPUT..."),
            out_option(),
            recipe_option,
            set_option,
            limit_option,
            seed_option,
            workers_option,
            click.option(
                "--rehash", is_flag=True, help="Read every input again, even if unchanged."
            ),
            dry_run_option,
            json_option,
            verbosity_options,
        ]
    ):
        command = decorator(command)
    return command


def _settings(options: dict[str, Any], *forced: str) -> "CurateRecipe":
    """The recipe of a command: file, then what the command means, then --set and flags."""
    from dataclasses import replace

    from yanmo.recipe import load

    from .discover import InputSpec
    from .run_recipe import CurateRecipe

    overrides = [*forced, *options["overrides"]]
    for name in ("limit", "seed"):
        if options[name] is not None:
            overrides.append(f"{name}={options[name]}")
    settings = load(CurateRecipe, options["recipe"], overrides)
    if options["inputs"]:
        settings = replace(settings, input=tuple(InputSpec(path) for path in options["inputs"]))
    return settings


def _run(options: dict[str, Any], *forced: str, save_index: Path | None = None) -> None:
    _start(options, lambda: _settings(options, *forced), save_index)


def _start(
    options: dict[str, Any], settings: "Callable[[], CurateRecipe]", save_index: Path | None = None
) -> None:
    from yanmo.workers import server_ends_with_errors

    from .start import start

    start(workers=1 if options["dry_run"] else options["workers"])
    with server_ends_with_errors():
        _run_settings(settings(), options, save_index)


def _run_settings(
    settings: "CurateRecipe", options: dict[str, Any], save_index: Path | None
) -> None:
    if options["dry_run"]:
        from yanmo.recipe import dumps

        from .intake import plan

        found = plan(settings, options["out"])
        told = "# Would read {files} files with {bytes} bytes in {tasks} tasks; {ignored} ignored."
        emit(found, as_json=options["as_json"], text=f"{dumps(settings)}\n{told.format(**found)}")
        return
    from .pipeline import run_recipe

    result = run_recipe(settings, options["out"], workers=options["workers"],
                        rehash=options["rehash"], quiet=quiet(), save_index=save_index)  # fmt: skip
    report = {**result.funnel, "report": str(result.report), "steps": result.steps,
              "fresh_tasks": result.fresh, "notes": result.notes,
              "seconds": round(result.seconds, 2)}  # fmt: skip
    emit(report, as_json=options["as_json"], text=_summary(result, options["out"]))


def _summary(result: "RunResult", out: Path) -> str:
    from .summary import summary_text

    return summary_text(result, out)


verify_option = click.option(
    "--verify", "verify_duplicates", is_flag=True,
    help="Compare removed duplicates with the kept ones; the recipe says how many.",
)  # fmt: skip


def _verify(flag: bool) -> tuple[str, ...]:
    return ("duplicates.verify=true",) if flag else ()


def index_options(command: Any) -> Any:
    """The options of commands that compare with earlier runs."""
    command = click.option(
        "--save-index", type=click.Path(path_type=Path),
        help="Add what is kept to an index of documents, for later runs.",
    )(command)  # fmt: skip
    return click.option(
        "--against", type=click.Path(path_type=Path), metavar="INDEX",
        help="Drop what the runs in an index kept already.",
    )(command)  # fmt: skip


def _against(index: Path | None) -> tuple[str, ...]:
    import json

    return () if index is None else (f"duplicates.index={json.dumps(str(index))}",)


@group.command()
@run_options
@verify_option
@index_options
def run(verify_duplicates: bool, against: Path | None, save_index: Path | None,
        **options: Any) -> None:  # fmt: skip
    """Read, extract, clean, measure, decide and deduplicate; write a run folder."""
    _run(options, *_verify(verify_duplicates), *_against(against), save_index=save_index)


@group.command()
@run_options
def extract(**options: Any) -> None:
    """Read, extract and clean only; keep every document with text."""
    _run(options, "decide=false", "duplicates.exact=false", "duplicates.near=false")


@group.command("filter")
@run_options
def filter_(**options: Any) -> None:
    """Apply the rules, without looking for duplicates."""
    _run(options, "duplicates.exact=false", "duplicates.near=false")


@group.command()
@run_options
@verify_option
@index_options
def dedup(verify_duplicates: bool, against: Path | None, save_index: Path | None,
          **options: Any) -> None:  # fmt: skip
    """Look for exact and near duplicates, without applying the rules."""
    _run(options, "decide=false", "measure.always=false", "lines.boilerplate=[]",
         "lines.counters=false", *_verify(verify_duplicates), *_against(against),
         save_index=save_index)  # fmt: skip


@group.command()
@run_options
@question_options
def decontaminate(against: tuple[str, ...], question_field: str | None, option_fields: str | None,
                  action: str | None, **options: Any) -> None:  # fmt: skip
    """Look for exam questions in runs or raw inputs; report them, cut them out, or drop."""
    forced = overrides(against, question_field, option_fields, action)
    _start(options, lambda: prepared(_settings(options, *forced)))


group.add_command(inspect)
group.add_command(instruct)
group.add_command(plan)
group.add_command(report)
group.add_command(whatif)


@group.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("document", metavar="ID|URL")
@json_option
@verbosity_options
def why(run_folder: Path, document: str, as_json: bool) -> None:
    """Say what became of a document, by which rule, and with which values."""
    from .explain import explain, render

    found = explain(run_folder, document)
    emit(found, as_json=as_json, text=render(found))


@group.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Recipe to write.")
@recipe_option
@verbosity_options
def init(out: Path, recipe: Path | None) -> None:
    """Write a recipe with every key, its default, its bounds and its source.

    \b
    With --recipe NAME write one of these instead:
    zh-web, en-web (for pages of the web);
    gopher-quality, gopher-repetition, c4, fineweb, fineweb-en,
    fineweb2-zh, map-neo-zh, chinesewebtext.
    """
    from .init_recipe import write_recipe

    write_recipe(out, None if recipe is None else str(recipe))
    click.echo(f"{out}: edit it, then: yanmo curate run INPUT... --recipe {out} --out DIR")


@group.command()
@click.argument("documents", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--tokenizer", type=click.Path(path_type=Path), required=True, help="Its folder.")
@out_option()
@recipe_option
@set_option
@seed_option
@click.option("--plan", "sequence_tokens", type=click.IntRange(2), default=None,
              help="Also write packing.json: how sequences of this length fill.")  # fmt: skip
@workers_option
@json_option
@verbosity_options
def pack(documents: Path, tokenizer: Path, out: Path, as_json: bool, workers: int,
         sequence_tokens: int | None, **options: Any) -> None:  # fmt: skip
    """Tokenise the documents of a run into token shards with a held-out split."""
    from yanmo.recipe import load
    from yanmo.workers import server_ends_with_errors

    from .pack_options import PackSettings
    from .start import start

    seed = [] if options["seed"] is None else [f"seed={options['seed']}"]
    settings = load(PackSettings, options["recipe"], [*options["overrides"], *seed])
    start(workers=workers, pack_with=tokenizer, guards=settings.guards)
    with server_ends_with_errors():
        from .pack_command import run_pack

        totals, text = run_pack(documents, tokenizer, out, settings, workers=workers, quiet=quiet())
    if sequence_tokens is not None:
        from .packing_report import describe, write_packing

        totals["packing"] = write_packing(out, sequence_tokens)
        text = f"{text}\n{describe(totals['packing'])}"
    emit(totals, as_json=as_json, text=text)


group.add_command(mix)
group.add_command(forget)


@group.group()
def shards() -> None:
    """Look into token shards."""


@shards.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@verbosity_options
def verify(folder: Path, as_json: bool) -> None:
    """Check hashes, token ids and document ends of shards."""
    from yanmo.shards import verify as check

    totals = check(folder)
    emit(totals, as_json=as_json, text=", ".join(f"{k} {v}" for k, v in totals.items()))


shards.add_command(peek)
shards.add_command(packing)


@shards.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("position", type=click.IntRange(0))
@json_option
@verbosity_options
def where(folder: Path, position: int, as_json: bool) -> None:
    """Walk from a token position back to document, file and page."""
    from .look import where as walk

    row = walk(folder, position)
    emit(row, as_json=as_json, text="\n".join(f"{k}: {v}" for k, v in row.items()))
