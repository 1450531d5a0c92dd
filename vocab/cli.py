"""`yanmo vocab`: text in; tokenizer folders and grown checkpoints out."""

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

from .compare_command import compare_command
from .doctor_command import doctor_command
from .embed_command import embed
from .export_command import export_command
from .grow_command import grow
from .prune_command import prune_command
from .view_command import view

FILE = click.Path(path_type=Path)
INPUTS = click.argument("inputs", nargs=-1, required=True, type=FILE, metavar="INPUT...")


@click.group("vocab")
def group() -> None:
    """Text in; tokenizers and grown vocabularies out."""


group.add_command(doctor_command)
group.add_command(export_command)
group.add_command(prune_command)
group.add_command(embed)
group.add_command(grow)


@group.command("train")
@INPUTS
@out_option(help="Tokenizer folder to write.")
@click.option("--size", type=int, help="Entries in all, special tokens included.")
@click.option(
    "--kind",
    type=click.Choice(["spm-bpe", "spm-unigram", "byte-bpe", "wordpiece"]),
    help="Algorithm; default: spm-bpe.",
)
@click.option("--shrink", is_flag=True, help="Take fewer entries if the text supports no more.")
@seed_option
@recipe_option
@set_option
@json_option
@verbosity_options
def train_command(
    inputs: tuple[Path, ...], out: Path, recipe: Path | None, as_json: bool, **flags: Any
) -> None:
    """Train a vocabulary on run folders, Parquet, JSONL or text files."""
    from yanmo.progress import track
    from yanmo.recipe import load
    from yanmo.report import Table

    from .train import TrainOptions, train_tokenizer

    options = load(TrainOptions, recipe, overrides(flags))
    with track(None, f"training {options.kind}", "steps", quiet=quiet()):
        report = train_tokenizer(inputs, out, options)
    rows = [[name, count] for name, count in report["pieces"].items()]
    text = Table(f"{report['size']} entries in {out}", ["class", "entries"], rows).text()
    emit({**report, "out": str(out)}, as_json=as_json, text=text)


TEXT = click.option(
    "--text",
    "text_paths",
    multiple=True,
    type=FILE,
    help="Documents whose lines are verified too; may be repeated.",
)
LINES = click.option(
    "--lines", type=click.IntRange(1), default=20_000, show_default=True,
    help="Most lines to take from --text.",
)  # fmt: skip


@group.command("merge")
@click.argument("base", type=FILE)
@click.argument("new", type=FILE)
@out_option(help="Tokenizer folder to write.")
@click.option(
    "--scores",
    type=click.Choice(["ranked", "zero"]),
    help="ranked (default): right; zero: the published recipe, byte for byte.",
)
@click.option("--underivable", type=click.Choice(["repair", "drop"]),
              help="Words that no two parts make: add parents (default) or leave out.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="Most entries to add.")
@TEXT
@LINES
@seed_option
@recipe_option
@set_option
@json_option
@verbosity_options
def merge_command(
    base: Path, new: Path, out: Path, recipe: Path | None, as_json: bool, **flags: Any
) -> None:
    """Put the pieces of NEW (tokenizer or word list) behind BASE, and verify the result."""
    from yanmo.recipe import load

    from .lines import first_lines
    from .merge import MergeOptions, merge_tokenizers

    texts = first_lines(flags.pop("text_paths"), flags.pop("lines"))
    options = load(MergeOptions, recipe, overrides(flags))
    report = merge_tokenizers(base, new, out, options, texts=texts)
    emit({**report, "out": str(out)}, as_json=as_json, text=_growth_text(report, out))


@group.command("extend")
@click.argument("base", type=FILE)
@INPUTS
@out_option(help="Tokenizer folder to write.")
@click.option("--add", type=click.IntRange(1), help="Entries to add.")
@click.option("--max-chars", "max_chars", type=click.IntRange(1), help="Longest word; default 6.")
@click.option("--dictionary", type=FILE, help="Words that must get an entry, one a line.")
@click.option("--blocklist", type=FILE, help="Words that no entry may hold, one a line.")
@click.option("--background", type=FILE,
              help="General words with frequencies that stand beside the inputs.")  # fmt: skip
@click.option("--required-chars", "required_chars", metavar="TABLE",
              help="Characters that must get an entry: gb2312-1, tgh8105 …")  # fmt: skip
@click.option("--min-documents", "min_documents", type=click.IntRange(1),
              help="Least number of documents that a word stands in; default 2.")  # fmt: skip
@click.option("--shrink", is_flag=True, help="Add fewer if the text supports no more.")
@seed_option
@recipe_option
@set_option
@json_option
@verbosity_options
def extend_command(
    base: Path,
    inputs: tuple[Path, ...],
    out: Path,
    recipe: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Grow BASE by continued byte-pair encoding on the Han text of the inputs, and verify."""
    from yanmo.recipe import load

    from .extend import ExtendOptions, extend_tokenizer

    options = load(ExtendOptions, recipe, overrides(flags))
    report = extend_tokenizer(base, inputs, out, options)
    emit({**report, "out": str(out)}, as_json=as_json, text=_growth_text(report, out))


@group.command("verify")
@click.argument("base", type=FILE)
@click.argument("grown", type=FILE)
@TEXT
@LINES
@seed_option
@json_option
@verbosity_options
def verify_command(
    base: Path,
    grown: Path,
    text_paths: tuple[Path, ...],
    lines: int,
    seed: int | None,
    as_json: bool,
) -> None:
    """Prove that GROWN is BASE and more, or show the counter-example."""
    from .base import load_base
    from .lines import first_lines
    from .verify import require, verify

    report = verify(
        load_base(base),
        load_base(grown),
        texts=first_lines(text_paths, lines),
        folder=grown if (grown / "tokenizer_config.json").is_file() else None,
        seed=seed or 0,
    )
    emit(report, as_json=as_json, text=_checks_text(report))
    require(report, grown)


group.add_command(view)
group.add_command(compare_command)


def _growth_text(report: dict[str, Any], out: Path) -> str:
    head = f"{report['base_size']} + {report['added']} = {report['size']} entries in {out}"
    return head + "\n\n" + _checks_text(report["verification"])


def _checks_text(report: dict[str, Any]) -> str:
    from yanmo.report import Table

    rows = [
        ["ok" if check["passed"] else "FAILED", check["name"], check["checked"], check["broken"],
         check["note"]]
        for check in report["checks"]
    ]  # fmt: skip
    title = "verified" if report["passed"] else "NOT VERIFIED"
    return Table(title, ["", "check", "looked at", "broken", "note"], rows).text()


def overrides(flags: dict[str, Any]) -> list[str]:
    """``--set`` strings, and before them the flags that were given (so ``--set`` wins)."""
    given = [
        f"{name}={_toml(value)}"
        for name, value in flags.items()
        if name != "overrides" and value not in (None, False, ())
    ]
    return [*given, *flags["overrides"]]


def _toml(value: Any) -> str:
    if value is True:
        return "true"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (str, Path)):
        text = str(value)
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
