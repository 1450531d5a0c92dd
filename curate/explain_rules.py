"""Every rule in force beside the value that one document has: which it fails, which it passes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from yanmo.report import Table

_FACTS: Final = (("n_chars", "characters"), ("n_words", "words"), ("n_lines", "lines"))


def route_of(signals: Mapping[str, Any]) -> str:
    """Which set of thresholds judges a document with these signals."""
    import pyarrow as pa

    from .decide import ROUTES, routes

    kinds = {"lang": pa.string(), "script": pa.string(), "latin_fraction": pa.float64(),
             "hanzi_fraction": pa.float64()}  # fmt: skip
    row = {name: pa.array([signals.get(name)], kind) for name, kind in kinds.items()}
    return ROUTES[int(routes(pa.table(row))[0])]


def judged(signals: Mapping[str, Any], cuts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare a document with every rule that is in force for texts of its kind.

    Args:
        signals: its row of the signal table.
        cuts: ``counts.thresholds`` of the manifest: ``{rule: {"signal", "routes": {route:
            threshold}, "sources": {route: where it is from}}}``.

    Returns:
        ``{"rule", "signal", "value", "at_least", "threshold", "source", "fails"}`` of each, in the
        order in which rules are tried. A document without the value passes, but a rule that
        asks for its presence alone (``at_least`` null).
    """
    if not signals:
        return []
    from .decide import ALL_RULES

    place = {rule.name: i for i, rule in enumerate(ALL_RULES)}
    route = route_of(signals)
    rows = []
    for name in sorted(cuts, key=lambda name: (place.get(name, len(place)), name)):
        cut = cuts[name]
        if route not in cut["routes"]:
            continue
        value, limit = signals.get(cut["signal"]), cut["routes"][route]
        kind = None if name == f"missing_{cut['signal']}" else name.startswith("min_")
        if kind is None or value is None:
            fails = kind is None and value is None
        else:
            fails = value < limit if kind else value > limit
        rows.append({"rule": name, "signal": cut["signal"], "value": value, "at_least": kind,
                     "threshold": None if kind is None else limit,
                     "source": cut["sources"].get(route), "fails": bool(fails)})  # fmt: skip
    return rows


def _bound(row: Mapping[str, Any]) -> str:
    """``at least 50``."""
    if row["at_least"] is None:
        return "any value"
    return f"{'at least' if row['at_least'] else 'at most'} {row['threshold']:.6g}"


def fact_lines(signals: Mapping[str, Any]) -> list[str]:
    """What kind of text it is and how much of it, in one line."""
    if not signals:
        return []
    score = signals.get("lang_score")
    sure = "" if score is None else f" (score {score:.2f})"
    facts = [f"language {signals.get('lang') or 'unknown'}{sure}, script {signals.get('script')}"]
    facts += [f"{signals[name]:,} {what}".replace(",", " ")
              for name, what in _FACTS if signals.get(name) is not None]  # fmt: skip
    return ["; ".join(facts)]


def rule_lines(rows: Sequence[Mapping[str, Any]], route: str | None) -> list[str]:
    """For a person: the rules that the document fails, then the signals that rules look at."""
    if not rows:
        return []
    failed = [row for row in rows if row["fails"]]
    said = f"the rules for {route} texts: {len(rows)} in force, {len(failed)} failed"
    lines = ["", said]
    for row in failed:
        value = "no value" if row["value"] is None else f"{row['value']:.6g}"
        lines.append(f"- {row['rule']}: {value}, must be {_bound(row)}; {row['source']}")
    table = [[row["signal"], row["value"], _bound(row), "FAILS" if row["fails"] else "passes"]
             for row in [*failed, *(row for row in rows if not row["fails"])]]  # fmt: skip
    return [*lines, "", Table("", ["signal", "value", "must be", "verdict"], table).text(), "",
            "Only signals that a rule looks at; --json has all."]  # fmt: skip
