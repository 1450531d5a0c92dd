"""``yanmo evals review``: pages for people out, their votes in."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import (
    emit,
    json_option,
    limit_option,
    out_option,
    seed_option,
    verbosity_options,
)

_FILE = click.Path(path_type=Path)


@click.group()
def review() -> None:
    """Blind review by people: pages that need no server, and what the votes say."""


@review.command()
@click.argument("inputs", nargs=-1, required=True, type=_FILE, metavar="RUN|ANSWERS...")
@out_option(help="Folder for the pages, the tables and the key.")
@click.option("--reviewers", type=click.IntRange(1, 100), default=1, show_default=True,
              help="People; each gets a page of their own.")  # fmt: skip
@click.option("--overlap", type=float, default=0.2, show_default=True,
              help="Share of the items that all reviewers see.")  # fmt: skip
@click.option("--repeats", type=float, default=0.05, show_default=True,
              help="Share of a page's items that come again, turned.")  # fmt: skip
@click.option("--checks", type=_FILE, default=None,
              help="Attention checks: {question, good, bad} a line.")  # fmt: skip
@click.option("--rank", is_flag=True, help="Rank the responses of {id, prompt, responses, rank}.")
@click.option("--name", "names", multiple=True,
              help="What a system is called; once a file, in their order.")  # fmt: skip
@click.option("--intersect", is_flag=True, help="Leave out questions that not every file answers.")
@click.option("--mask", is_flag=True, help="Hide what gives a system away (我是ChatGPT).")
@click.option("--references/--no-references", default=True, show_default=True,
              help="Let reviewers open the reference answer.")  # fmt: skip
@limit_option
@seed_option
@json_option
@verbosity_options
def export(inputs: tuple[Path, ...], **options: Any) -> None:
    """Make a blind page for each reviewer from a judge RUN, or from the ANSWERS of systems.

    Send out the html (or csv) files; key.json, which knows whose answers they are, stays.
    """
    from .review import Plan, exported
    from .review import export as write
    from .review_items import PAIR, RANK, read_checks, read_pairs, read_rankings

    as_json, out, limit = options.pop("as_json"), options.pop("out"), options.pop("limit")
    kind = RANK if options.pop("rank") else PAIR
    names, intersect, checks = (options.pop(n) for n in ("names", "intersect", "checks"))
    options["seed"] = options["seed"] or 0
    plan = Plan(**options)
    if kind == RANK:
        items = read_rankings(inputs, limit=limit)
    else:
        _, items = read_pairs(inputs, names=names, intersect=intersect, limit=limit)
    known = read_checks(checks, kind) if checks is not None else []
    found = write(items, known, plan, kind=kind, out=out)
    emit(found, as_json=as_json, text=exported(found, out, kind))


@review.command(name="import")
@click.argument("key", type=_FILE)
@click.argument("votes", nargs=-1, required=True, type=_FILE)
@out_option(help="Folder for the unblinded votes and the report.")
@click.option(
    "--judge",
    type=_FILE,
    default=None,
    metavar="RUN",
    help="A judge's run over the same answers, to be compared with the people.",
)
@seed_option
@json_option
@verbosity_options
def import_votes(key: Path, votes: tuple[Path, ...], **options: Any) -> None:
    """Unblind VOTES (votes.json of pages, or csv) with the KEY of the export, and count them."""
    from .review_import import import_review
    from .review_report import text

    as_json, out = options.pop("as_json"), options.pop("out")
    options["seed"] = options["seed"] or 0
    summary = import_review(key, votes, out=out, **options)
    emit(summary, as_json=as_json, text=f"{text(summary)}\n\n{out / 'report.html'}")
