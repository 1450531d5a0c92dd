"""Runs of judges side by side: what two say of the same answers, and all of them in one table."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from yanmo.report import Table
from yanmo.stats import paired_bootstrap

from .agreement import cohen_kappa
from .judge_summary import OUTCOMES, SCORES, by_question, outcome
from .pages import interval, percent

PAIR: Final = "judge_pair"
SINGLE: Final = "judge_single"
CATEGORIES: Final = ("win", "loss", "tie")
Row = Mapping[str, Any]


def compare_judges(
    systems: Sequence[str], first: Sequence[Row], second: Sequence[Row], seed: int
) -> dict[str, Any]:
    """How far two judges agree on every pair of systems.

    Args:
        systems: in the order of the first run; the second must have the same.
        first, second: samples of both runs.
        seed: of the bootstraps.
    """
    pairs = []
    for k, a in enumerate(systems):
        for b in systems[k + 1 :]:
            said = [_outcomes(rows, a, b) for rows in (first, second)]
            both = [i for i in said[0] if i in said[1]]
            pairs.append(_pair(a, b, [[s[i] for i in both] for s in said], seed))
    return {"pairs": pairs}


def _outcomes(rows: Sequence[Row], a: str, b: str) -> dict[str, str]:
    found = {i: outcome(games, a) for i, games in by_question(rows, a, b).items()}
    return {i: what for i, what in found.items() if what != "invalid"}


def _pair(a: str, b: str, said: Sequence[Sequence[str]], seed: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"a": a, "b": b, "n": len(said[0])}
    if said[0]:
        scores = [[SCORES[what] for what in side] for side in said]
        plain = [["tie" if what not in CATEGORIES else what for what in side] for side in said]
        entry["win_rate"] = {
            "first": sum(scores[0]) / len(scores[0]), "second": sum(scores[1]) / len(scores[1]),
            **paired_bootstrap([scores[0]], [scores[1]], seed=seed).as_dict(),
        }  # fmt: skip
        entry["agreement"] = cohen_kappa(plain[0], plain[1], CATEGORIES, seed=seed).as_dict()
    return entry


def tables(found: Mapping[str, Any]) -> list[Table]:
    """Win rates by both judges, and their confusion."""
    first, second = found["runs"]
    columns = ["win rate of", "against", first, second, "difference", "95 %", "p", "agree", "kappa"]
    rows, more = [], []
    for entry in found["pairs"]:
        if not entry["n"]:
            rows.append([entry["a"], entry["b"], *[None] * 7])
            continue
        rate, agreed = entry["win_rate"], entry["agreement"]
        kappa = agreed["kappa"]
        rows.append([
            entry["a"], entry["b"], percent(rate["first"]), percent(rate["second"]),
            f"{100 * rate['difference']:+.1f}",
            f"{100 * rate['low']:+.1f} to {100 * rate['high']:+.1f}", f"{rate['p']:.4f}",
            percent(agreed["raw"]), None if kappa is None else f"{kappa:.2f}",
        ])  # fmt: skip
        confusion = [[name, *row] for name, row in
                     zip(CATEGORIES, agreed["confusion"], strict=True)]  # fmt: skip
        title = f"{entry['a']} against {entry['b']}: {first} (rows), {second} (columns)"
        more.append(Table(title, ["", *CATEGORIES], confusion))
    return [Table(f"Two judges, {found['pairs'][0]['n']} questions", columns, rows), *more]


def verdict(found: Mapping[str, Any]) -> str:
    """One sentence."""
    judged = [entry for entry in found["pairs"] if entry["n"]]
    if not judged:
        return "The judges have no valid verdict in common."
    raw = sum(entry["agreement"]["raw"] * entry["n"] for entry in judged)
    return f"The judges agree in {percent(raw / sum(entry['n'] for entry in judged))}."


def entries(kind: str, name: str, folder: str, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a leaderboard: a pair by a judge, or a system by a judge."""
    if kind == SINGLE:
        return [
            {"judge": name, "folder": folder, "model": e["system"], "mean": e["mean"],
             "invalid": e["invalid"]}
            for e in summary["grades"]
        ]  # fmt: skip
    return [
        {"judge": name, "folder": folder, "a": e["a"], "b": e["b"], "win_rate": e["win_rate"],
         "outcomes": e["outcomes"], "consistent": e["position"] and e["position"]["consistent"]}
        for e in summary["pairs"]
    ]  # fmt: skip


def board_table(board: Mapping[str, Any]) -> Table:
    """One board of a leaderboard."""
    rows: list[list[Any]]
    if board["kind"] == SINGLE:
        ranked = sorted(board["runs"], key=lambda e: -(e["mean"] or {"value": 0})["value"])
        rows = [
            [e["judge"], e["model"], *([f"{e['mean']['value']:.3f}",
             f"{e['mean']['low']:.3f} to {e['mean']['high']:.3f}"] if e["mean"] else [None, None]),
             e["invalid"]]
            for e in ranked
        ]  # fmt: skip
        return Table(board["title"], ["judge", "system", "mean", "95 %", "invalid"], rows)
    rows = [
        [e["judge"], e["a"], e["b"],
         *([percent(e["win_rate"]["value"]), interval(e["win_rate"])] if e["win_rate"]
           else [None, None]),
         *(e["outcomes"][name] for name in OUTCOMES),
         percent(e["consistent"]["value"]) if e["consistent"] else None]
        for e in board["runs"]
    ]  # fmt: skip
    columns = ["judge", "system", "against", "win rate", "95 %", "win", "loss", "tie",
               "tie by disagreement", "invalid", "consistent"]  # fmt: skip
    return Table(board["title"], columns, rows)
