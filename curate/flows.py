"""Which verdicts differ between two judgements of the same documents, and between which rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from yanmo.report import Table

KEPT: Final = "kept"
ABSENT: Final = "absent"
"""What a document is called in the judgement that does not know it."""


@dataclass(frozen=True)
class Flow:
    """Documents that one judgement treats in one way and another judgement in another.

    Attributes:
        before: ``kept``, ``absent``, or the rule that drops them.
        after: the same, in the other judgement.
        documents: how many.
        chars: their code points, as far as they are known.
        samples: ids, those with the smallest hash.
    """

    before: str
    after: str
    documents: int
    chars: int
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Two judgements side by side.

    Attributes:
        before: documents by outcome.
        after: documents by outcome.
        flows: what changed, the largest first.
        chars_before: code points of the kept documents.
        chars_after: the same.
    """

    before: dict[str, int]
    after: dict[str, int]
    flows: list[Flow]
    chars_before: int
    chars_after: int

    @property
    def changed(self) -> int:
        """Documents whose verdict changed."""
        return sum(flow.documents for flow in self.flows)


def compare_verdicts(before: pl.LazyFrame, after: pl.LazyFrame, *, samples: int) -> Comparison:
    """Join two judgements by document.

    Args:
        before: one row a document: ``id``, ``outcome`` (``kept`` or a rule), ``n_chars`` (may be
            null).
        after: the same.
        samples: ids given of each flow.
    """
    both = (
        before.join(after, on="id", how="full", coalesce=True, suffix="_after")
        .with_columns(
            pl.col("outcome").fill_null(ABSENT), pl.col("outcome_after").fill_null(ABSENT),
            pl.coalesce("n_chars_after", "n_chars").fill_null(0).alias("chars"),
            pl.col("n_chars").fill_null(0), pl.col("n_chars_after").fill_null(0),
        )
    )  # fmt: skip
    groups = both.group_by("outcome", "outcome_after").agg(
        pl.len(),
        pl.sum("chars", "n_chars", "n_chars_after"),  # two runs may have edited a text otherwise
        pl.col("id").sort_by(pl.col("id").hash(seed=0), "id").head(samples).alias("samples"),
    )
    table = groups.sort(
        "len", "outcome", "outcome_after", descending=[True, False, False]
    ).collect()
    totals: tuple[dict[str, int], dict[str, int]] = ({}, {})
    chars, flows = [0, 0], []
    for old, new, count, size, *sizes, some in table.rows():
        for place, outcome in enumerate((old, new)):
            totals[place][outcome] = totals[place].get(outcome, 0) + count
            chars[place] += sizes[place] if outcome == KEPT else 0
        if old != new:
            flows.append(Flow(old, new, count, size, tuple(some)))
    return Comparison(_ordered(totals[0]), _ordered(totals[1]), flows, chars[0], chars[1])


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (item[0] != KEPT, -item[1], item[0])))


def outcome_table(found: Comparison, *, names: tuple[str, str]) -> Table:
    """Documents by outcome, and the difference; outcomes equal on both sides included."""
    keys = list(dict.fromkeys([*found.before, *found.after]))
    rows = []
    for key in keys:
        old, new = found.before.get(key, 0), found.after.get(key, 0)
        rows.append([key, old, new, f"{new - old:+d}" if new != old else ""])
    rows.append(["kept characters", found.chars_before, found.chars_after,
                 f"{found.chars_after - found.chars_before:+d}"])  # fmt: skip
    return Table("", ["outcome", *names, "change"], rows)


def flow_table(found: Comparison) -> Table:
    """Every flow with its first sample."""
    rows = [[flow.before, flow.after, flow.documents, flow.chars, flow.samples[0]]
            for flow in found.flows]  # fmt: skip
    return Table("Changed verdicts", ["from", "to", "documents", "characters", "such as"], rows)


def as_json(found: Comparison) -> dict[str, Any]:
    """For programs."""
    return {
        "before": found.before,
        "after": found.after,
        "chars_before": found.chars_before,
        "chars_after": found.chars_after,
        "changed": found.changed,
        "flows": [vars(flow) | {"samples": list(flow.samples)} for flow in found.flows],
    }
