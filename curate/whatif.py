"""What if a threshold moved: judge a finished run again by other rules, without touching it.

Signals and signatures of the run are in its cache; verdicts and duplicates are computed from them
by the very tasks that a run has, so the numbers are those that a run would give. Steps that edit
the text of kept documents come later and are left out.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo import recipe
from yanmo.errors import UsageError
from yanmo.report import Table, show
from yanmo.tasks import Done, Workers

from . import PRELOAD
from .duplicate_steps import judge
from .flows import KEPT, Comparison, as_json, compare_verdicts, flow_table, outcome_table
from .index_steps import EarlierRuns
from .intake import CACHE_NAME
from .last_run import recall
from .run_progress import Progress
from .run_recipe import CurateRecipe
from .runfolder import open_run

FREE: Final = ("decide", "rules", "duplicates", "output", "errors")
"""Tables of a recipe that change no text and no signal. ``output`` and ``errors`` change nothing
that is asked here."""
HANZI_PER_TOKEN: Final = 1.65
OTHERS_PER_TOKEN: Final = 3.5
"""Rules of thumb for tokens; the middle of 1.5 to 1.8 and of 3 to 4. Source: the documentation of
Qwen."""


@dataclass(frozen=True)
class WhatIf:
    """The answer.

    Attributes:
        verdicts: documents before and after.
        tokens_before: estimated tokens of the kept documents.
        tokens_after: the same.
        fresh: tasks that had to be run.
        seconds: how long it took.
        notes: what the numbers do not tell.
    """

    verdicts: Comparison
    tokens_before: int
    tokens_after: int
    fresh: int
    seconds: float
    notes: list[str]


def whatif(
    run: Path,
    overrides: Sequence[str],
    *,
    workers: int = 1,
    samples: int = 3,
    quiet: bool = False,
) -> WhatIf:
    """Judge a run again.

    Args:
        run: the folder of a finished run.
        overrides: ``table.key=value``, of the tables in ``FREE``.
        workers: processes; never changes results.
        samples: ids given of each kind of change.
        quiet: show no progress.

    Raises:
        UsageError: no such folder, or a setting that changes texts or signals.
        RecipeError: no such setting, or a value out of bounds.
        DataError: no run, or its cache is gone.
    """
    start = time.monotonic()
    open_run(run, parts=False)  # the cache is what is read
    old = recipe.load(CurateRecipe, run / "recipe.toml")
    new = recipe.load(CurateRecipe, run / "recipe.toml", overrides)
    refuse_other_texts(old, new)
    cleaned, measured = recall(run, "clean"), recall(run, "measure")
    with Workers(workers, preload=[PRELOAD]) as pool:
        progress = Progress(run / CACHE_NAME, pool, quiet)
        earlier = EarlierRuns(progress.run, new, run)
        settled = judge(progress, cleaned, measured, new, earlier).settled
    signals = scan_signals(measured)
    before, after = (_verdicts(done, signals) for done in (recall(run, "settle"), settled))
    found = compare_verdicts(before, after, samples=samples)
    tokens = [_tokens(frame) for frame in (before, after)]
    seconds = time.monotonic() - start
    return WhatIf(found, tokens[0], tokens[1], progress.fresh, seconds, _notes(new))


def refuse_other_texts(old: CurateRecipe, new: CurateRecipe) -> None:
    """Refuse a recipe whose texts or signals are not those of the run."""
    tables = recipe.to_table(old), recipe.to_table(new)
    measure = recipe.to_table(old.active_measure()), recipe.to_table(new.active_measure())
    changed = [
        name for name in tables[0] if name not in FREE and tables[0][name] != tables[1][name]
    ]
    changed += ["measure"] if measure[0] != measure[1] and "measure" not in changed else []
    if changed:
        raise UsageError("this changes texts or signals, which the run has not", value=changed,
                         fix="Only [rules] and [duplicates] can be asked for; for the rest start "
                         "a run.")  # fmt: skip


def scan_signals(measured: Sequence[Done]) -> pl.LazyFrame:
    """The signals of a run: ``id``, ``n_chars``, and ``hanzi_fraction`` if it was measured."""
    frame = pl.scan_parquet([done.folder / "signals.parquet" for done in measured])
    if "hanzi_fraction" not in frame.collect_schema().names():
        frame = frame.with_columns(pl.lit(0.0).alias("hanzi_fraction"))
    return frame.select("id", pl.col("n_chars").cast(pl.Int64), "hanzi_fraction")


def _verdicts(settled: Sequence[Done], signals: pl.LazyFrame) -> pl.LazyFrame:
    final = pl.scan_parquet([done.folder / "final.parquet" for done in settled])
    outcome = pl.when("kept").then(pl.lit(KEPT)).otherwise("rule").alias("outcome")
    return final.select("id", outcome).join(signals, on="id", how="left")


def _tokens(verdicts: pl.LazyFrame) -> int:
    hanzi = pl.col("n_chars") * pl.col("hanzi_fraction").fill_nan(0).fill_null(0)
    tokens = hanzi / HANZI_PER_TOKEN + (pl.col("n_chars") - hanzi) / OTHERS_PER_TOKEN
    kept = verdicts.filter(pl.col("outcome") == KEPT).select(tokens.sum())
    return int(kept.collect().item() or 0)


def _notes(settings: CurateRecipe) -> list[str]:
    notes = [f"Tokens are estimated: a token for {HANZI_PER_TOKEN} hanzi or {OTHERS_PER_TOKEN} "
             "other characters."]  # fmt: skip
    if settings.spans.removes or settings.decontaminate.edits or settings.pii.is_on:
        notes.append("Steps that edit kept texts (spans, exam questions, personal data) come later "
                     "and are left out.")  # fmt: skip
    return notes


def as_report(found: WhatIf) -> dict[str, Any]:
    """For programs."""
    return {
        **as_json(found.verdicts),
        "tokens_before": found.tokens_before,
        "tokens_after": found.tokens_after,
        "fresh_tasks": found.fresh,
        "seconds": round(found.seconds, 2),
        "notes": found.notes,
    }


def render(found: WhatIf) -> str:
    """For people."""
    verdicts = found.verdicts
    table = outcome_table(verdicts, names=("run", "what if"))
    change = found.tokens_after - found.tokens_before
    rows = [*table.rows, ["kept tokens, about", found.tokens_before, found.tokens_after,
                          f"{change:+d}"]]  # fmt: skip
    lines = [Table("", table.columns, rows).text(), ""]
    if verdicts.flows:
        lines += [flow_table(verdicts).text(), ""]
    lines.append(f"{show(verdicts.changed)} verdicts change. {found.seconds:.1f} s, "
                 f"{found.fresh} tasks run; the run itself is untouched.")  # fmt: skip
    return "\n".join([*lines, *found.notes])
