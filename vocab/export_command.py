"""``yanmo vocab export``: the same tokenizer in another format."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import emit, json_option, out_option, seed_option, verbosity_options

FILE = click.Path(path_type=Path)


@click.command("export")
@click.argument("model", type=FILE)
@click.option("--to", "form", type=click.Choice(["hf", "spm", "tiktoken"]), default="hf",
              show_default=True, help="Format to write.")  # fmt: skip
@out_option(help="Folder to write.")
@click.option("--text", "text_paths", multiple=True, type=FILE,
              help="Documents on which the ids are compared; may be repeated.")  # fmt: skip
@click.option("--lines", type=click.IntRange(0), default=20_000, show_default=True,
              help="Most lines to take from --text, an equal share of each; 0: all.")  # fmt: skip
@seed_option
@json_option
@verbosity_options
def export_command(model: Path, form: str, out: Path, as_json: bool, **flags: Any) -> None:
    """Write MODEL as a folder for transformers (hf), a SentencePiece model, or tiktoken ranks.

    What the format cannot express is refused with the reason; what it can is compared id by id on
    text before it is written.
    """
    from .export import export_tokenizer
    from .lines import Lines

    text = Lines(flags["text_paths"], flags["lines"])
    report = export_tokenizer(model, out, form, lines=text, seed=flags["seed"] or 0)
    proof = report["proof"]
    left_out = proof["with_special_token"] + proof["with_u2581"]
    emit(
        {**report, "out": str(out)},
        as_json=as_json,
        text=f"{report['size']} entries as {form} in {out}: {', '.join(report['files'])}\n"
        f"equal ids on {proof['compared']} texts by {', '.join(proof['libraries'])}; {left_out} "
        "with special tokens or U+2581 left out",
    )
