"""``yanmo curate shards peek`` and ``packing``: what shards hold, and how it fits sequences."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import emit, json_option, verbosity_options


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--first", type=click.IntRange(0), default=0, show_default=True,
              help="First document, from 0.")  # fmt: skip
@click.option("--documents", type=click.IntRange(1), default=3, show_default=True,
              help="How many documents.")  # fmt: skip
@click.option("--source", default=None, help="Only documents of this source.")
@click.option("--max-tokens", type=click.IntRange(1), default=200, show_default=True,
              help="Tokens shown of each.")  # fmt: skip
@click.option("--boundaries", is_flag=True, help="Show where one token ends.")
@click.option("--ids", is_flag=True, help="A line for each token: text, id, vocabulary entry.")
@json_option
@verbosity_options
def peek(folder: Path, boundaries: bool, ids: bool, as_json: bool, **choice: Any) -> None:
    """Show documents of shards as text."""
    from . import pieces as cut
    from .look import peek as look

    rows = look(folder, boundaries=boundaries or ids, **choice)
    shown = []
    for row in rows:
        text = row["text"]
        if ids or boundaries:
            text = cut.with_ids(row["pieces"]) if ids else cut.with_boundaries(row["pieces"])
            row["pieces"] = cut.as_json(row["pieces"])
        shown.append(f"{row['id']}  {row['url'] or row['origin']}  ({row['source']})\n{text}"
                     f"{' …' if row['cut'] else ' ⏎'}")  # fmt: skip
    emit(rows, as_json=as_json, text="\n\n".join(shown))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sequence-tokens", type=click.IntRange(2), required=True,
              help="Targets in a training sequence.")  # fmt: skip
@click.option("--mixture", type=click.Path(path_type=Path), default=None,
              help="Plan of `yanmo curate mix`; without: every document once.")  # fmt: skip
@json_option
@verbosity_options
def packing(folder: Path, sequence_tokens: int, mixture: Path | None, as_json: bool) -> None:
    """Say how shards fit training sequences: room used, documents cut.

    The trainer packs by best fit: documents longer than a sequence are split, no other is, and no
    token is left out. Beside it stands what concatenating everything would give.
    """
    from yanmo.mixture import read_plan
    from yanmo.shards import open_shards

    from .packing_report import describe, pack_plan

    plan = None if mixture is None else read_plan(mixture)
    found = pack_plan(open_shards(folder), plan, sequence_tokens)
    emit(found, as_json=as_json, text=describe(found).strip())
