"""``yanmo curate mix``: weights and epochs of the sources, as a table and as a plan."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yanmo.options import (
    emit,
    json_option,
    out_option,
    recipe_option,
    seed_option,
    set_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from yanmo.mixture import Plan
    from yanmo.report import Table

    from .mixture import MixSettings

SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


class Tokens(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no arguments here
    """A number of tokens: 250k, 1.5m, 10b, 300_000."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d[\d_]*(?:\.\d+)?)\s*([kmbt]?)", str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is no number of tokens. Write 250k, 1.5m, 10b or 300000.")
        from decimal import Decimal

        count = int(Decimal(match[1].replace("_", "")) * SUFFIXES[match[2]])
        if count < 1:
            self.fail(f"{value!r}: a budget has at least one token.")
        return count


class Pair(click.ParamType):  # type: ignore[type-arg]
    """NAME=NUMBER."""

    name = "name=number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Read it; the name may hold any sign but the last ``=``."""
        if isinstance(value, tuple):
            return value
        name, separator, number = str(value).rpartition("=")
        try:
            return name.strip(), float(number if separator and name.strip() else "none")
        except ValueError:
            self.fail(f"{value!r} is not NAME=NUMBER, such as zh-news=0.6.")


@click.command()
@click.argument("folder", metavar="SHARDS", type=click.Path(path_type=Path))
@out_option(required=False, help="Plan to write: a .json file, or a folder. Without: show only.")
@click.option("--policy", type=click.Choice(["natural", "temperature", "weights", "unimax"]),
              default=None, help="How a source's share follows from its tokens.")  # fmt: skip
@click.option("--weight", "weights", type=Pair(), multiple=True, metavar="SOURCE=SHARE",
              help="Share of a source, or of all that match (zh-*); repeat.")  # fmt: skip
@click.option("--budget", type=Tokens(), default=None,
              help="Tokens of a pass: 250k, 1.5m, 10b. Default: all tokens once.")  # fmt: skip
@click.option("--solve", is_flag=True, help="The largest budget with --max-epochs for all.")
@click.option("--max-epochs", type=float, default=None, help="unimax and --solve; default 4.")
@click.option("--alpha", type=float, default=None, help="temperature; default 0.3.")
@click.option("--rescale", is_flag=True, help="Divide the weights by their sum.")
@click.option("--scores", type=click.Path(path_type=Path), default=None,
              help="Run folder or table with ids and scores: split by quality.")  # fmt: skip
@click.option("--score", "column", default=None, help="Column of --scores; more is better.")
@click.option("--buckets", type=click.IntRange(2, 100), default=None,
              help="Parts of equal tokens: q1 (worst), q2 …")  # fmt: skip
@click.option("--upsample", type=Pair(), multiple=True, metavar="BUCKET=FACTOR",
              help="Let a bucket (q5, or web/q5) count so often; repeat.")  # fmt: skip
@click.option("--sequence-tokens", type=click.IntRange(2), default=None,
              help="Also show how the plan packs into sequences of this length.")  # fmt: skip
@recipe_option
@set_option
@seed_option
@json_option
@verbosity_options
def mix(folder: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Plan how often each source of SHARDS is read.

    Prints source, licence, documents, tokens, characters a token, weight, budget, epochs. The
    shards stay as they are; `yanmo train pretrain SHARDS --mixture PLAN` follows the plan to the
    token.
    """
    from yanmo.mixture import plan_path, write_plan
    from yanmo.shards import open_shards

    from .mixture import make_plan, warnings

    settings = _settings(options)
    shards = open_shards(folder)
    plan = make_plan(shards, settings, _buckets(shards, settings, options))
    found = {**plan.table(), "warnings": warnings(plan)}
    lines = [plan_table(plan).text(), *(f"! {line}" for line in found["warnings"])]
    if options["sequence_tokens"] is not None:
        from .packing_report import describe, pack_plan

        found["packing"] = pack_plan(shards, plan, options["sequence_tokens"])
        lines.append(describe(found["packing"]))
    if out is not None:
        write_plan(out, plan)
        lines.append(f"next: yanmo train pretrain {folder} --mixture {plan_path(out)} --out RUN")
    emit(found, as_json=as_json, text="\n".join(lines))


def _settings(options: dict[str, Any]) -> "MixSettings":
    """The recipe, with the flags after it."""
    from dataclasses import replace

    from yanmo.errors import UsageError
    from yanmo.recipe import from_table, load, to_table

    from .mixture import MixSettings

    settings = load(MixSettings, options["recipe"], options["overrides"])
    names = ("policy", "budget", "max_epochs", "alpha", "buckets", "seed")
    changes = {name: options[name] for name in names if options[name] is not None}
    changes |= {name: True for name in ("solve", "rescale") if options[name]}
    for name in ("weights", "upsample"):
        pairs = dict(options[name])
        if len(pairs) < len(options[name]):
            raise UsageError(f"a name comes twice in --{name.rstrip('s')}",
                             value=[pair[0] for pair in options[name]])  # fmt: skip
        if pairs:
            changes[name] = {**getattr(settings, name), **pairs}
    if "weights" in changes and options["policy"] is None:
        changes["policy"] = "weights"
    return from_table(MixSettings, to_table(replace(settings, **changes)), where="mix")


def _buckets(shards: Any, settings: "MixSettings", options: dict[str, Any]) -> Any:
    """The buckets that the options ask for; ``None``: sources stay whole."""
    from yanmo.errors import UsageError

    given = {"--scores": options["scores"], "--score": options["column"],
             "--buckets": settings.buckets}  # fmt: skip
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise UsageError("buckets need a table, a column and a number", value=missing,
                         fix="Give --scores TABLE --score COLUMN --buckets N.")  # fmt: skip
    from .buckets import make_buckets

    return make_buckets(shards, options["scores"], options["column"], settings.buckets or 0)


COLUMNS = ("source", "licence", "documents", "tokens", "chars/token", "weight", "budget", "epochs",
           "repeated")  # fmt: skip


def plan_table(plan: "Plan") -> "Table":
    """A plan as the table that GPT-3's paper has, and its total."""
    from yanmo.report import Table

    rows: list[list[Any]] = [
        [e.name, e.licence, e.documents, e.tokens, e.chars / max(e.tokens, 1),
         f"{e.weight:.2%}", e.budget, round(e.epochs, 3), f"{e.repeated:.1%}"]
        for e in plan.entries
    ]  # fmt: skip
    tokens, budget = sum(e.tokens for e in plan.entries), plan.budget
    again = sum(max(e.budget - e.tokens, 0) for e in plan.entries)
    rows.append(
        ["total", None, sum(e.documents for e in plan.entries), tokens,
         sum(e.chars for e in plan.entries) / max(tokens, 1), "100.00%", budget,
         round(budget / max(tokens, 1), 3), f"{again / max(budget, 1):.1%}"]
    )  # fmt: skip
    return Table("", COLUMNS, rows)
