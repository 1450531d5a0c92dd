"""``yanmo vocab embed``: a checkpoint with rows for a grown vocabulary."""

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

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("checkpoint", type=_FILE)
@click.argument("base", type=_FILE)
@click.argument("grown", type=_FILE)
@out_option(help="Model folder to write.")
@click.option("--init", type=click.Choice(["mean", "weighted", "random"]),
              help="Initial values of new rows; default: weighted.")  # fmt: skip
@click.option("--norm", type=click.Choice(["median", "clip", "none"]),
              help="Their length: the base's median, within its extremes, or any.")  # fmt: skip
@click.option("--heavier", type=click.Choice(["auto", "first", "last"]),
              help="Heaviest part of a word with --init weighted.")  # fmt: skip
@click.option("--covariance", type=click.Choice(["full", "diagonal"]),
              help="Covariance of rows with --init random.")  # fmt: skip
@click.option("--multiple", type=click.IntRange(1),
              help="Pad rows to a multiple; default: 64.")  # fmt: skip
@click.option("--max-padding", "max_padding", type=click.IntRange(0),
              help="Most rows beyond the base's entries; default: 1024.")  # fmt: skip
@click.option("--also", multiple=True, metavar="TENSOR",
              help="Another tensor with a row a token; may be repeated.")  # fmt: skip
@click.option("--leave", multiple=True, metavar="TENSOR",
              help="A tensor that has as many rows by chance; may be repeated.")  # fmt: skip
@click.option("--remap", type=_FILE, help="Table of old and new ids, where base ids moved.")
@seed_option
@recipe_option
@set_option
@json_option
@verbosity_options
def embed(checkpoint: Path, base: Path, grown: Path, out: Path, recipe: Path | None,
          as_json: bool, **flags: Any) -> None:  # fmt: skip
    """Grow the model in CHECKPOINT from the tokenizer BASE to GROWN, without loading it.

    Only embedding and output projection change; base rows and all else keep their bits.
    """
    from yanmo.progress import track
    from yanmo.recipe import load

    from .cli import overrides
    from .embed import EmbedOptions, embed_checkpoint

    options = load(EmbedOptions, recipe, overrides(flags))
    with track(None, "growing the checkpoint", "bytes", quiet=quiet()) as progress:
        report = embed_checkpoint(checkpoint, base, grown, out, options, advance=progress.advance)
    emit({**report, "out": str(out)}, as_json=as_json, text=embed_text(report, out))


def embed_text(report: dict[str, Any], out: Path) -> str:
    """The report for a terminal."""
    from yanmo.report import Table

    head = (
        f"{report['base_size']} + {report['added']} = {report['size']} entries, "
        f"{report['rows']} rows ({report['padding_rows']} of padding), "
        f"{'tied' if report['tied'] else 'untied'}, in {out}"
    )
    checks = [["ok" if passed else "no", name] for name, passed in report["checks"].items()]
    notes = [f"note: {note}" for note in report["notes"]]
    return "\n".join(
        [head, "", norm_table(report).text(), "", Table("", ["", "check"], checks).text(), *notes]
    )


def norm_table(report: dict[str, Any]) -> Any:
    """Lengths of base rows and of new ones, by matrix."""
    from yanmo.report import Table

    marks = ("p1", "p50", "p99")
    rows = []
    for name, matrix in report["matrices"].items():
        for kind in ("base", "new"):
            norms = matrix[f"{kind}_norms"]
            equal = matrix["equal_rows_with_noise"] if kind == "new" else None
            rows.append([name, kind, matrix["dtype"], *(norms.get(m) for m in marks), equal])
    columns = ["tensor", "rows", "dtype", *marks, "equal, given noise"]
    return Table("Lengths of rows", columns, rows)
