"""Label documents around a threshold, and from the labels suggest where it should lie.

Documents near the threshold tell most, so these are drawn: on each side the nearest ``WINDOW``, in
strata of the signal, each stratum by hash, so that the same documents come every time. A labelled
document stands for its stratum.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import xxhash

from yanmo.documents import part_paths
from yanmo.errors import DataError, UsageError
from yanmo.recipe import did_you_mean

from .decide import ROUTES, routes
from .runfolder import open_run

WINDOW: Final = 400  # documents on each side of the threshold that can be drawn
STRATA: Final = 4  # on each side
MIN_LABELS: Final = 10
ROUNDS: Final = 1000  # of the bootstrap
LABELS: Final = ("keep", "drop")


@dataclass(frozen=True)
class Candidate:
    """A document to label.

    Attributes:
        id: of the document.
        value: of the signal.
        kept: what the run did.
        weight: documents that it stands for.
    """

    id: str
    value: float
    kept: bool
    weight: float


@dataclass(frozen=True)
class Question:
    """A rule on one kind of text, and the documents drawn for it."""

    rule: str
    route: str
    signal: str
    threshold: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Label:
    """What a reader said of a document; one line of the file of labels."""

    rule: str
    route: str
    id: str
    label: str
    value: float
    weight: float


@dataclass(frozen=True)
class Suggestion:
    """Where the threshold should lie.

    Attributes:
        threshold: the one with the fewest wrong verdicts; of equal ones the nearest to the old.
        interval: 90 % of the bootstrap's thresholds.
        wrong_before: share of wrong verdicts among the documents near the threshold.
        wrong_after: the same with the new one.
        labels: how many documents were labelled.
    """

    threshold: float
    interval: tuple[float, float]
    wrong_before: float
    wrong_after: float
    labels: int


def ask(run: Path, rule: str, *, route: str | None = None, samples: int = 40) -> Question:
    """Draw documents around the threshold of a rule.

    Args:
        run: a finished run.
        rule: its key in the recipe, such as ``max_digit_fraction``.
        route: ``zh``, ``en``, …; the one with most documents that the rule dropped if not given.
        samples: how many.

    Raises:
        UsageError: no such rule in force, or not on that route.
        DataError: no run, or nothing lies near the threshold.
    """
    cuts: Mapping[str, Any] = open_run(run)[0]["counts"].get("thresholds", {})
    if rule not in cuts:
        raise UsageError("no such rule is in force in this run", value=rule,
                         fix=did_you_mean(rule, cuts))  # fmt: skip
    cut = cuts[rule]
    table = _population(run, rule, cut["signal"])
    if route is None:
        route = _busiest(table, list(cut["routes"]))
    if route not in cut["routes"]:
        raise UsageError(f"the rule is off for '{route}'", value=rule,
                         fix=f"It is on for {', '.join(cut['routes'])}.")  # fmt: skip
    rows = table.filter(pl.col("route") == route).sort("value", "id")
    drawn = _draw(rows, float(cut["routes"][route]), samples)
    if not drawn:
        raise DataError("no document lies near the threshold", where=run, value=f"{rule}, {route}",
                        fix="Try another route.")  # fmt: skip
    return Question(rule, route, cut["signal"], float(cut["routes"][route]), drawn)


def _population(run: Path, rule: str, signal: str) -> pl.DataFrame:
    """Documents that are kept or that this rule dropped: ``id``, ``kept``, ``route``, ``value``."""
    kept = pl.scan_parquet(part_paths(run / "documents")).select("id", pl.lit(True).alias("kept"))
    gone = pl.scan_parquet(part_paths(run / "dropped")).filter(pl.col("rule") == rule)
    both = pl.concat([kept, gone.select("id", pl.lit(False).alias("kept"))])
    by = ("lang", "script", "latin_fraction", "hanzi_fraction")
    columns = list(dict.fromkeys(["id", *by, signal]))
    signals = pl.scan_parquet(part_paths(run / "signals")).select(columns)
    table = both.join(signals, on="id").collect()
    numbers = routes(pa.table({name: table[name].to_arrow() for name in by}))
    named = pl.Series("route", [ROUTES[k] for k in numbers.tolist()], pl.String)
    return table.select("id", "kept", named, pl.col(signal).cast(pl.Float64).alias("value")).filter(
        pl.col("value").is_finite()
    )


def _busiest(table: pl.DataFrame, known: Sequence[str]) -> str:
    counts = {name: table.filter((pl.col("route") == name) & ~pl.col("kept")).height
              for name in known}  # fmt: skip
    return max(known, key=lambda name: counts[name])


def _draw(rows: pl.DataFrame, threshold: float, samples: int) -> tuple[Candidate, ...]:
    drawn: list[Candidate] = []
    for kept in (False, True):
        side = rows.filter(pl.col("kept") == kept)
        near = side.sort((pl.col("value") - threshold).abs(), "id").head(WINDOW).sort("value", "id")
        cuts = np.linspace(0, near.height, STRATA + 1).astype(int)
        for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            some = near.slice(low, high - low)
            share = max(samples // (2 * STRATA), 1)
            picked = sorted(some.rows(), key=lambda row: _hash(row[0]))[:share]
            drawn += [Candidate(row[0], row[3], row[1], some.height / len(picked))
                      for row in picked]  # fmt: skip
    # Mixed, so that a reader cannot tell what the run did.
    return tuple(sorted(drawn, key=lambda item: _hash(item.id)))


def _hash(identity: str) -> int:
    return xxhash.xxh3_64_intdigest(identity.encode())


def texts(run: Path, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Where documents are from, and their texts; empty where the run did not keep it."""
    found: dict[str, tuple[str, str]] = {}
    for folder in ("documents", "dropped"):
        rows = (
            pl.scan_parquet(part_paths(run / folder))
            .filter(pl.col("id").is_in(list(ids)))
            .select("id", pl.coalesce("url", "origin"), pl.col("text").fill_null(""))
            .collect()
        )
        found |= {identity: (place, text) for identity, place, text in rows.rows()}
    return found


def read_labels(path: Path) -> list[Label]:
    """Labels given before; none where there is no file.

    Raises:
        DataError: a line is no label.
    """
    if not path.exists():
        return []
    labels = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            label = Label(**json.loads(line))
            known = label.label in LABELS
        except (ValueError, TypeError):
            known = False
        if not known:
            raise DataError("not a label", where=f"{path}, line {number}", value=line[:80],
                            fix="Delete the line.")  # fmt: skip
        labels.append(label)
    return labels


def append_label(path: Path, label: Label) -> None:
    """Write a label at once: a reader who stops loses nothing."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(label), ensure_ascii=False) + "\n")


def suggest(question: Question, labels: Sequence[Label], *, seed: int = 0) -> Suggestion | None:
    """The threshold with the fewest wrong verdicts.

    Args:
        question: the rule.
        labels: all labels of the file; those of other rules and routes are left out, and of two of
            a document the later one counts.
        seed: of the bootstrap.

    Returns:
        None with fewer than ten labels, or with labels of one kind only.
    """
    asked = (question.rule, question.route)
    mine = list(
        {label.id: label for label in labels if (label.rule, label.route) == asked}.values()
    )
    if len(mine) < MIN_LABELS or len({label.label for label in mine}) < 2:
        return None
    values = np.array([label.value for label in mine])
    good = np.array([label.label == "keep" for label in mine])
    weights = np.array([label.weight for label in mine])
    at_least = question.rule.startswith("min_")
    cuts = _cuts(values, question.threshold)
    wrong = _wrong(values, good, cuts, at_least=at_least)
    best = _best(wrong @ weights, cuts, question.threshold)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(mine), (ROUNDS, len(mine)))
    costs = np.stack([wrong[:, row] @ weights[row] for row in drawn])
    chosen = [cuts[_best(cost, cuts, question.threshold)] for cost in costs]
    low, high = np.quantile(chosen, [0.05, 0.95])
    total = float(weights.sum())
    now = float(wrong[cuts.tolist().index(question.threshold)] @ weights) / total
    return Suggestion(float(cuts[best]), (float(low), float(high)), now,
                      float(wrong[best] @ weights) / total, len(mine))  # fmt: skip


Numbers = npt.NDArray[np.float64]


def _cuts(values: Numbers, threshold: float) -> Numbers:
    """Places where a threshold makes a difference: between neighbours, and beyond both ends."""
    known = np.unique(values)
    between = (known[1:] + known[:-1]) / 2
    step = (known[-1] - known[0]) / max(len(known) - 1, 1) or 1.0
    return np.unique([known[0] - step, *between, known[-1] + step, threshold])


def _wrong(
    values: Numbers, good: npt.NDArray[np.bool_], cuts: Numbers, *, at_least: bool
) -> Numbers:
    """Is the verdict wrong: 0 or 1, ``[cuts, labels]``."""
    passes = values[None] >= cuts[:, None] if at_least else values[None] <= cuts[:, None]
    wrong: Numbers = (passes != good[None]).astype(np.float64)
    return wrong


def _best(cost: Numbers, cuts: Numbers, threshold: float) -> int:
    order = np.lexsort((np.abs(cuts - threshold), np.round(cost, 9)))
    return int(order[0])
