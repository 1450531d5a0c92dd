"""``yanmo vocab compare``: several tokenizers on the same documents."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import (
    Decorator,
    emit,
    json_option,
    out_option,
    quiet,
    seed_option,
    verbosity_options,
)

FILE = click.Path(path_type=Path)


def _amount(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """``4M``, ``1.5G``, ``2e9``: a number, zero or more."""
    if value is None:
        return None
    scale = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}.get(value[-1:].lower(), 0.0)
    try:
        number = float(value[:-1]) * scale if scale else float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise click.BadParameter(f"{value!r} is no amount. Write 4000000, 4M, 1.5G or 2e9.")
    return number


def _tokens(name: str, help: str) -> Decorator[Any]:
    return click.option(name, callback=_amount, metavar="N", help=help)


class _ManyTexts(click.Command):
    """``--text a b c`` is ``--text a --text b --text c``, as a shell's ``*.jsonl`` gives it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        inside = False
        for argument in args:
            if argument.startswith("-") and argument != "-":
                inside = argument == "--text"
                spread += [] if inside else [argument]
            else:
                spread += ["--text", argument] if inside else [argument]
        if args and args[-1] == "--text":
            spread.append("--text")
        try:
            return super().parse_args(ctx, spread)
        except click.MissingParameter as error:
            if error.param is not None and error.param.name == "tokenizers":
                raise click.UsageError("No TOKENIZER: they stand before --text.", ctx) from None
            raise


@click.command("compare", cls=_ManyTexts)
@click.argument("tokenizers", nargs=-1, required=True, metavar="TOKENIZER...")
@click.option(
    "--text",
    "text_paths",
    multiple=True,
    required=True,
    type=FILE,
    help="Documents, one or more: run folder, Parquet, JSONL (.gz, .zst), text.",
)
@click.option(
    "--slice",
    "by",
    default="file",
    show_default=True,
    metavar="FIELD",
    help="file, script, or a field of the documents such as source or lang.",
)
@click.option("--column", default="text", show_default=True, help="Field of the text.")
@click.option("--documents", type=click.IntRange(1), help="Most documents of a slice.")
@click.option(
    "--limit-bytes",
    callback=_amount,
    default="4M",
    show_default=True,
    metavar="N",
    help="Bytes of text to sample from a slice; 0: all.",
)
@seed_option
@click.option("--words", type=FILE, help="Words to look for whole, one a line.")
@click.option(
    "--curve", is_flag=True, help="Tokens against size for every extension of the first tokenizer."
)
@click.option(
    "--model", type=FILE, help="config.json of the model whose tokenizer is the first: go or no-go."
)
@click.option(
    "--mix",
    multiple=True,
    metavar="SLICE=WEIGHT",
    help="Shares of the slices for --model and --curve; default: by size.",
)
@_tokens("--train-tokens", "Training planned, in tokens of the first tokenizer.")
@_tokens("--serve-tokens", "Tokens planned to be read and written in use.")
@_tokens("--adapt-tokens", "Tokens it takes to learn the new rows; default: 200 000 a row.")
@click.option("--context", type=click.IntRange(1), help="Tokens of a training sequence.")
@click.option("--markdown", is_flag=True, help="Print Markdown instead of a terminal's tables.")
@out_option(required=False, help="Folder for report.html, report.md and report.json.")
@json_option
@verbosity_options
def compare_command(
    tokenizers: tuple[str, ...], out: Path | None, as_json: bool, markdown: bool, **flags: Any
) -> None:
    """Measure tokenizers side by side; differences are from the first. LABEL=PATH names one."""
    from .compare_report import render_markdown, render_text

    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other.")
    result = _measure(tokenizers, flags)
    text = render_markdown(result) if markdown else render_text(result)
    if out is not None:
        _write(out, result)
        text += "" if markdown else f"\n\nreport.html, report.md and report.json are in {out}"
    emit(result, as_json=as_json, text=text)


def _measure(tokenizers: tuple[str, ...], flags: dict[str, Any]) -> dict[str, Any]:
    from yanmo.progress import track

    from .char_coverage import read_words
    from .compare import compare
    from .compare_growth import add_curves, add_worth, curve_steps, growths, mixture
    from .slices import Sampling

    question = _question(flags)
    words = read_words(flags["words"]) if flags["words"] else None
    sampling = Sampling(
        by=flags["by"],
        column=flags["column"],
        documents=flags["documents"],
        limit_bytes=int(flags["limit_bytes"]) or None,
        seed=_seed(flags["seed"]),
    )
    with track(None, "encoding", "MB x tokenizers", quiet=quiet()) as bar:
        found = compare(tokenizers, flags["text_paths"], sampling, words=words, advance=bar.advance)
    mix = mixture(found, flags["mix"])
    found.result["mix"] = mix
    if flags["curve"]:
        cut = growths(found)
        with track(curve_steps(cut), "cutting", "sizes", quiet=quiet()) as bar:
            add_curves(found, cut, mix, question, advance=bar.advance)
    if question is not None:
        add_worth(found, mix, question)
    return found.result


def _seed(value: int | None) -> int:
    if value is not None and value < 0:
        raise click.UsageError(f"--seed must be zero or more, got {value}.")
    return value or 0


def _question(flags: dict[str, Any]) -> Any:
    from yanmo.model_cost import read_shape

    from .compare_growth import Question
    from .growth_worth import Plan

    plan = {name: flags[name] for name in ("train_tokens", "serve_tokens", "adapt_tokens",
                                           "context")}  # fmt: skip
    if flags["model"] is None:
        given = [name for name, value in plan.items() if value is not None]
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} needs --model.")
        return None
    return Question(read_shape(flags["model"]), Plan(**plan))


def _write(out: Path, result: dict[str, Any]) -> None:
    from yanmo.files import atomic_write, write_json

    from .compare_report import render_html, render_markdown

    write_json(out / "report.json", result)
    for name, text in (
        ("report.md", render_markdown(result)),
        ("report.html", render_html(result)),
    ):
        with atomic_write(out / name, text=True) as stream:
            stream.write(text)
