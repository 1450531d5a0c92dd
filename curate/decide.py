"""Decide: from signals to verdicts, without reading text.

Every rule compares one signal with one threshold. The rules stand in one order; the first that a
document fails is its verdict, and all that it fails are listed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import PartWriter, iterate
from yanmo.errors import RecipeError
from yanmo.recipe import did_you_mean, from_table

from .extra_rules import category_rule
from .published_thresholds import PublishedThresholds
from .signals import EXTRA, PUBLISHED, PUBLISHED_ZH, SIGNALS
from .thresholds import Rules, Thresholds

VERDICTS_FILE: Final = "verdicts.parquet"
ROUTES: Final = ("default", "zh", "en", "ja", "mixed")
LANGUAGE_RULE: Final = "languages"
CHINESE: Final = ("zh", "yue", "wuu", "cmn", "zho", "lzh")
"""Labels that lid.176, GlotLID and ISO 639-3 give to Chinese; ``lzh`` is the classical language."""

_OFF: Final = (float("nan"), "")

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """One comparison: ``name`` is the key of its threshold in the recipe."""

    name: str
    signal: str
    at_least: bool
    """A ``min_`` rule: the value must be at least the threshold; else it must be at most that."""
    missing: bool = False
    """Fails documents without a value; there is no threshold."""


def _signal_of(name: str) -> str:
    plain = name[4:]
    known = {signal.name for signal in (*SIGNALS, *PUBLISHED, *EXTRA)} | {"lang_score"}
    return plain if plain in known else f"n_{plain}"


def _rule(name: str) -> Rule:
    return Rule(name, _signal_of(name), name.startswith("min_"))


RULES: Final = tuple(_rule(field.name) for field in fields(Thresholds))
"""In the order in which they are tried: that of the fields of ``Thresholds``."""
ALL_RULES: Final = (
    *RULES,
    *(
        _rule(field.name)
        for field in fields(PublishedThresholds)
        if field.name not in {rule.name for rule in RULES}
    ),
)
"""Those, and after them the ones that only published recipes have."""

_PUBLISHED_RULES: Final = frozenset(field.name for field in fields(PublishedThresholds))

VERDICTS: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        pa.field("failed", pa.list_(pa.string()), nullable=False),
        pa.field("route", pa.string(), nullable=False),
    ]
)
"""``rule``, ``value`` and ``threshold`` are null for a kept document; ``failed`` lists all rules it
fails, in order; ``route`` is the set of thresholds that judged it."""


def decide_part(inputs: list[Path], parameters: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Task: judge one part.

    Args:
        inputs: one or more ``signals.parquet``.
        parameters: ``{"rules": table of Rules}``, which may be left out.
        out: gets ``verdicts.parquet``, one row a document, in the order of the input.

    Returns:
        ``{"rows", "kept", "dropped": {rule: documents}, "failed": {rule: documents}}``: under
        ``dropped`` a document counts for its first rule, under ``failed`` for every rule.
    """
    rules = from_table(Rules, parameters.get("rules", {}), where="rules")
    rows = kept = 0
    totals: dict[str, dict[str, int]] = {"dropped": {}, "failed": {}}
    with PartWriter(out / VERDICTS_FILE, VERDICTS, intermediate=True) as writer:
        measured = set(pq.read_schema(inputs[0]).names) if inputs else set()
        columns = [name for name in signal_columns(rules) if name in measured]
        for batch in iterate(inputs, columns=columns):
            verdicts = decide(batch, rules)
            writer.write(verdicts)
            rows += verdicts.num_rows
            kept += pc.sum(verdicts["kept"]).as_py() or 0
            _count(totals["dropped"], verdicts["rule"].drop_null())
            _count(totals["failed"], pc.list_flatten(verdicts["failed"]))
    return {"rows": rows, "kept": kept, **{k: dict(sorted(v.items())) for k, v in totals.items()}}


def _count(totals: dict[str, int], names: pa.Array) -> None:
    for item in pc.value_counts(names).to_pylist():
        totals[item["values"]] = totals.get(item["values"], 0) + item["counts"]


def signal_columns(rules: Rules | None = None) -> list[str]:
    """The columns of the signal table that deciding needs.

    Args:
        rules: with them, those of published recipes and of added signals are named too, as far as
            they are in force.
    """
    needed = {rule.signal for rule in RULES} - {"lang_score"} | {"latin_fraction"}
    needed -= {signal.name for signal in EXTRA}
    if rules is not None:
        needed |= {rule.signal for rule in rules_in_force(rules)} - {"lang_score"}
    return ["id", "lang", "lang_score", "script", *sorted(needed)]


def asked_signals(rules: Rules) -> set[str]:
    """The signals without which these rules cannot judge, and those that tell the route."""
    asked = {rule.signal for rule in rules_in_force(rules)} - {"lang_score"}
    return asked | {"latin_fraction", "hanzi_fraction"}


def rules_in_force(rules: Rules) -> list[Rule]:
    """The rules of ``ALL_RULES`` with a threshold for some route, in order, then the extra ones."""
    named = set[str]().union(*(rules.in_force(route) for route in ROUTES))
    found = {rule.name: rule for rule in ALL_RULES if rule.name in named}
    for category, most in rules.words.items():
        if most is not None:
            name, signal = category_rule(category)
            found[name] = Rule(name, signal, False)
    for extra in rules.extra:
        for name in extra.thresholds():
            kind = name.removesuffix(f"_{extra.column}")
            found[name] = Rule(name, extra.column, kind == "min", kind == "missing")
    return list(found.values())


def check_measured(rules: Rules, measured: Collection[str]) -> None:
    """See that every rule in force has its signal.

    Raises:
        RecipeError: one has not; the message names the setting that measures it.
    """
    for rule in rules_in_force(rules):
        if rule.signal not in measured:
            if rule.name not in _PUBLISHED_RULES:
                raise RecipeError(f"the rule {rule.name} asks for a signal that is not measured",
                                  value=rule.signal,
                                  fix=did_you_mean(rule.signal, measured))  # fmt: skip
            language = "zh" if rule.signal in {s.name for s in PUBLISHED_ZH} else "en"
            setting = f"published_{language}"
            if rule.signal in {s.name for s in SIGNALS}:
                setting = "always"
            raise RecipeError(
                f"rules.published.{rule.name} asks for a signal that is not measured",
                value=rule.signal,
                fix=f"Set measure.{setting} = true in the recipe.",
            )


def routes(signals: pa.RecordBatch | pa.Table) -> npt.NDArray[np.int64]:
    """Which of ``ROUTES`` judges each document.

    Chinese text goes to ``mixed`` if its script is ``mixed`` or it has more Latin letters than
    hanzi, else to ``zh``; English goes to ``en``, Japanese to ``ja``, the rest to ``default``.
    Without a language, script ``Hans`` or ``Hant`` counts as Chinese.

    Returns:
        Indices into ``ROUTES``, int64 ``[D]``.
    """
    lang, script = _flat(signals["lang"]), _flat(signals["script"])
    chinese = _is_in(lang, CHINESE) | (_is_null(lang) & _is_in(script, ("Hans", "Hant")))
    mixed = chinese & _is_in(script, ("mixed",))
    # They are measured wherever something is judged.
    if {"latin_fraction", "hanzi_fraction"} <= set(signals.schema.names):
        latin, hanzi = (_numbers(signals[f"{name}_fraction"]) for name in ("latin", "hanzi"))
        mixed |= chinese & (latin > hanzi)
    route = np.zeros(len(lang), np.int64)
    for name, chosen in (
        ("en", _is_in(lang, ("en",))),
        ("ja", _is_in(lang, ("ja",))),
        ("zh", chinese),
        ("mixed", mixed),
    ):
        route[chosen] = ROUTES.index(name)
    return route


def _is_in(column: pa.Array, values: tuple[str, ...]) -> Flags:
    found: Flags = pc.is_in(column, pa.array(values, column.type)).to_numpy(zero_copy_only=False)
    return found


def _is_null(column: pa.Array) -> Flags:
    found: Flags = pc.is_null(column).to_numpy(zero_copy_only=False)
    return found


def decide(signals: pa.RecordBatch | pa.Table, rules: Rules) -> pa.RecordBatch:
    """Judge documents by their signals.

    Args:
        signals: at least :func:`signal_columns`.
        rules: thresholds of every route.

    Returns:
        ``VERDICTS``, one row a document, in order.

    Raises:
        RecipeError: a rule is in force whose signal was not measured.
    """
    check_measured(rules, signals.schema.names)
    route = routes(signals)
    in_force = rules_in_force(rules)
    thresholds = [rules.in_force(name) for name in ROUTES]
    names = [LANGUAGE_RULE, *(rule.name for rule in in_force)]
    values = np.empty((len(names), len(route)), np.float64)
    limits = np.full(values.shape, np.nan)
    fails = np.zeros(values.shape, np.bool_)
    values[0] = np.nan
    if rules.languages is not None:
        fails[0] = ~_is_in(_flat(signals["lang"]), rules.languages)
    for row, rule in enumerate(in_force, 1):
        values[row] = _numbers(signals[rule.signal])
        per_route = [table.get(rule.name, _OFF)[0] for table in thresholds]
        limits[row] = np.array(per_route)[route]
        # A comparison with NaN is false: a rule that is off, or a signal that is not known, passes.
        fails[row] = values[row] < limits[row] if rule.at_least else values[row] > limits[row]
        if rule.missing:
            fails[row] = np.isnan(values[row]) & ~np.isnan(limits[row])
            limits[row] = np.nan
    return _verdicts(_flat(signals["id"]), route, names, _Judged(values, limits, fails))


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _numbers(column: pa.Array | pa.ChunkedArray) -> Numbers:
    numbers: Numbers = _flat(column).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


@dataclass(frozen=True)
class _Judged:
    """By rule and document, ``[R, D]``."""

    values: Numbers
    limits: Numbers
    fails: Flags


def _verdicts(
    ids: pa.Array, route: npt.NDArray[np.int64], names: list[str], judged: _Judged
) -> pa.RecordBatch:
    labels = pa.array(names)
    dropped: Flags = np.any(judged.fails, axis=0)
    first = judged.fails.argmax(axis=0)
    each = np.arange(len(route))
    ends = np.concatenate([[0], np.cumsum(judged.fails.sum(axis=0))]).astype(np.int32)
    failed = labels.take(pa.array(np.nonzero(judged.fails.T)[1]))
    columns = [
        ids,
        pa.array(~dropped),
        labels.take(pa.array(first, mask=~dropped)),
        _known(judged.values[first, each], dropped),
        _known(judged.limits[first, each], dropped),
        pa.ListArray.from_arrays(pa.array(ends), failed),
        pa.array(ROUTES).take(pa.array(route)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=VERDICTS)


def _known(numbers: Numbers, dropped: Flags) -> pa.Array:
    """Numbers of dropped documents; null where there is none."""
    return pa.array(numbers, mask=~dropped | np.isnan(numbers))
