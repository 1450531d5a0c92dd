"""``yanmo vocab prune``: take added entries out again, leaves first."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import emit, json_option, out_option, seed_option, verbosity_options

FILE = click.Path(path_type=Path)


@click.command("prune")
@click.argument("model", type=FILE)
@click.option("--base", type=FILE, help="What MODEL grew from; default: from its own notes.")
@out_option(help="Tokenizer folder to write.")
@click.option("--size", type=click.IntRange(1), help="Entries to keep, in all.")
@click.option("--keep", type=click.IntRange(0), help="Added entries to keep; 0: the base again.")
@click.option("--min-count", type=click.IntRange(1), help="Keep what occurs so often in --text.")
@click.option("--dead", is_flag=True, help="Take out what can never be produced.")
@click.option("--text", "text_paths", multiple=True, type=FILE,
              help="Documents to count on: the rarest goes first. May be repeated.")  # fmt: skip
@click.option("--lines", type=click.IntRange(0), default=0, help="Most lines of --text; 0: all.")
@seed_option
@json_option
@verbosity_options
def prune_command(model: Path, base: Path | None, out: Path, as_json: bool, **flags: Any) -> None:
    """Take added entries out of MODEL, none of which another one is made of.

    The base is never touched. remap.tsv says which id became which, rows.tsv which row of the old
    checkpoint each row of the new one is. Without --text what was added last goes first.
    """
    from .lines import Lines
    from .prune import PruneOptions, prune_tokenizer

    options = PruneOptions(
        size=flags["size"],
        keep=flags["keep"],
        min_count=flags["min_count"],
        dead=flags["dead"],
        seed=flags["seed"] or 0,
    )
    lines = Lines(flags["text_paths"], flags["lines"])
    report = prune_tokenizer(model, out, options, base=base, lines=lines)
    text = (
        f"{report['removed']} entries taken out; {report['base_size']} + {report['added']} = "
        f"{report['size']} in {out}"
    )
    failed = [c["name"] for c in report["verification"]["checks"] if not c["passed"]]
    if failed:
        text += "\nas before pruning, not in order: " + ", ".join(failed) + " (vocab doctor)"
    emit({**report, "out": str(out)}, as_json=as_json, text=text)
