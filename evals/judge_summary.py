"""Games counted: five outcomes, win rates, what position and length have to do with it.

A question that was judged in both orders gives one outcome; its two games are never counted as two
pieces of evidence. A system wins only if it wins in both orders.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from yanmo.stats import bootstrap_mean, bootstrap_ratio, mcnemar_exact, wilson

from .answers import Answers
from .ratings import rate

Row = Mapping[str, Any]
OUTCOMES: Final = ("win", "loss", "tie", "tie_by_disagreement", "invalid")
SCORES: Final = {"win": 1.0, "loss": 0.0, "tie": 0.5, "tie_by_disagreement": 0.5}


def outcome(games: Sequence[Row], a: str) -> str:
    """One of ``OUTCOMES`` for system ``a``, from the two orders of a question."""
    winners = [game["winner"] for game in games]
    if None in winners:
        return "invalid"
    if winners[0] != winners[1]:
        return "tie_by_disagreement"
    return "tie" if winners[0] == "tie" else "win" if winners[0] == a else "loss"


def by_question(rows: Sequence[Row], a: str, b: str) -> dict[str, list[Row]]:
    """The two games of every question between two systems, order 0 first."""
    games: dict[str, list[Row]] = {}
    for row in rows:
        if (row["a"], row["b"]) == (a, b):
            games.setdefault(row["id"], []).append(row)
    return {i: sorted(pair, key=lambda row: int(row["order"])) for i, pair in games.items()}


def summarize_pairs(rows: Sequence[Row], answers: Answers, *, seed: int = 0) -> dict[str, Any]:
    """Everything about a run of pairs.

    Args:
        rows: samples of all games.
        answers: what was judged.
        seed: of the bootstraps.
    """
    pairs = [
        summarize_pair(by_question(rows, a, b), answers, a, b, seed=seed)
        for a, b in itertools.combinations(answers.systems, 2)
    ]
    reasons = Counter(row["invalid"] for row in rows if row.get("invalid"))
    return {
        "questions": len(answers.items),
        "games": len(rows),
        "pairs": pairs,
        "ratings": _ratings(rows, answers, seed) if len(answers.systems) > 2 else None,
        "mass": _mass(rows),
        "invalid_games": {why: reasons[why] for why in sorted(reasons)},
    }


def _mass(rows: Sequence[Row]) -> float | None:
    """Mean probability on the letters, for judges that give letters."""
    found = [row["mass"] for row in rows if "mass" in row]
    return float(np.mean(found)) if found else None


def summarize_pair(
    games: Mapping[str, Sequence[Row]], answers: Answers, a: str, b: str, *, seed: int
) -> dict[str, Any]:
    """One pair of systems; win and loss are those of ``a``."""
    outcomes = {i: outcome(pair, a) for i, pair in games.items()}
    counts = Counter(outcomes.values())
    valid = {i: SCORES[o] for i, o in outcomes.items() if o != "invalid"}
    decided = [(float(o == "win"), 1.0) for o in outcomes.values() if o in ("win", "loss")]
    return {
        "a": a, "b": b,
        "outcomes": {name: counts[name] for name in OUTCOMES},
        "win_rate": bootstrap_mean(list(valid.values()), seed=seed).as_dict() if valid else None,
        "win_rate_without_ties": bootstrap_ratio(*zip(*decided, strict=True), seed=seed).as_dict()
        if decided else None,
        "sign_test_p": mcnemar_exact(counts["win"], counts["loss"]),
        "position": _position(games, outcomes, seed),
        "length": _length(valid, answers, a, b),
        "preference": _preference(games, seed),
        "classes": _classes(outcomes, answers),
        "identical": sum(bool(pair[0].get("identical")) for pair in games.values()),
    }  # fmt: skip


def _position(
    games: Mapping[str, Sequence[Row]], outcomes: Mapping[str, str], seed: int
) -> dict[str, Any] | None:
    """How far the order decides; equal answers, which nobody was asked about, left out."""
    asked = [i for i, o in outcomes.items() if o != "invalid" and not games[i][0].get("identical")]
    if not asked:
        return None
    same = sum(outcomes[i] != "tie_by_disagreement" for i in asked)
    low, high = wilson(same, len(asked))
    letters = [[game["letter"] for game in games[i]] for i in asked]
    firsts = [float(pair.count("A")) for pair in letters]
    named = [float(pair.count("A") + pair.count("B")) for pair in letters]
    return {
        "consistent": {"value": same / len(asked), "low": low, "high": high, "n": len(asked)},
        "first": bootstrap_ratio(firsts, named, seed=seed).as_dict() if sum(named) else None,
        "both_first": sum(pair == ["A", "A"] for pair in letters),
        "both_second": sum(pair == ["B", "B"] for pair in letters),
    }


def _length(valid: Mapping[str, float], answers: Answers, a: str, b: str) -> dict[str, Any]:
    """Win rate where ``a`` is longer, shorter, equal; correlation of score and length ratio."""
    sizes = {
        item.question.id: (len(item.answers[a].text), len(item.answers[b].text))
        for item in answers.items
    }
    parts: dict[str, list[float]] = {"longer": [], "shorter": [], "equal": []}
    longer = decided = 0
    ratios, scores = [], []
    for name, score in valid.items():
        mine, other = sizes[name]
        side = "longer" if mine > other else "shorter" if mine < other else "equal"
        parts[side].append(score)
        if score != 0.5 and mine != other:
            decided += 1
            longer += (score == 1.0) == (mine > other)
        ratios.append(math.log((mine + 1) / (other + 1)))
        scores.append(score)
    low, high = wilson(longer, decided)
    return {
        "win_rate": {side: {"value": float(np.mean(values)) if values else None, "n": len(values)}
                     for side, values in parts.items()},
        "longer_wins": {"value": longer / decided if decided else None, "low": low, "high": high,
                        "n": decided},
        "correlation": _correlation(ratios, scores),
        "mean_characters": {name: float(np.mean([s[k] for s in sizes.values()]))
                            for k, name in enumerate((a, b))},
    }  # fmt: skip


def _correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's; ``None`` where one of them does not vary."""
    if len(x) < 3 or float(np.std(x)) < 1e-12 or float(np.std(y)) < 1e-12:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _preference(games: Mapping[str, Sequence[Row]], seed: int) -> dict[str, float | int] | None:
    """Mean probability of ``a`` against ``b`` over both orders, for judges that give letters.

    What the judge feels for a place stands once on either side and cancels out in the log-odds.
    """
    found = []
    for pair in games.values():
        odds = [_odds(game) for game in pair]
        if None not in odds:
            gap = (float(odds[0] or 0.0) - float(odds[1] or 0.0)) / 2.0
            found.append(1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, gap)))))
    return bootstrap_mean(found, seed=seed).as_dict() if found else None


def _odds(game: Row) -> float | None:
    """Log-odds of the first answer shown against the second."""
    logs = game.get("logprobs")
    if not logs or logs[0] is None or logs[1] is None:
        return None
    return float(logs[0]) - float(logs[1])


def _classes(outcomes: Mapping[str, str], answers: Answers) -> dict[str, dict[str, int]]:
    """Outcomes by class of question, where questions have one."""
    table: dict[str, Counter[str]] = {}
    for item in answers.items:
        if item.question.category:
            name = " ".join(item.question.category.split())
            table.setdefault(name, Counter())[outcomes[item.question.id]] += 1
    return {name: {o: table[name][o] for o in OUTCOMES} for name in sorted(table)}


def _ratings(rows: Sequence[Row], answers: Answers, seed: int) -> dict[str, Any]:
    """Bradley-Terry ratings; a question is resampled with all its games."""
    place = {name: k for k, name in enumerate(answers.systems)}
    index = {item.question.id: k for k, item in enumerate(answers.items)}
    wins = np.zeros((len(index), len(place), len(place)))
    for a, b in itertools.combinations(answers.systems, 2):
        for name, pair in by_question(rows, a, b).items():
            found = outcome(pair, a)
            if found != "invalid":
                wins[index[name], place[a], place[b]] = SCORES[found]
                wins[index[name], place[b], place[a]] = 1.0 - SCORES[found]
    found_ratings = rate(answers.systems, wins, seed=seed)
    return {
        "systems": [
            {"name": r.name, "rating": r.rating, "low": r.low, "high": r.high}
            for r in found_ratings.systems
        ],
        "separated": found_ratings.separated,
        "separated_rounds": found_ratings.separated_rounds,
    }
