"""Votes counted: who is better, and how far the people who say so can be relied upon.

A vote on a pair is a ranking of two. Every ranking is read as its pairs of answers, so that raters
of pairs and of rankings are compared in one way.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.stats import bootstrap_mean, mcnemar_exact, wilson

from .agreement import cohen_kappa, krippendorff_alpha
from .judge_summary import SCORES, by_question, outcome
from .review_items import PAIR, pair_key
from .review_votes import Cast, pages_of

CATEGORIES: Final = ("win", "loss", "tie")
_JUDGED: Final = {"tie_by_disagreement": "tie"}

Units = dict[tuple[str, int, int], str]
"""(item, answer, answer) to what is said of the first of them."""


def units(votes: Iterable[Cast]) -> Units:
    """What votes say about every two answers."""
    found: Units = {}
    for vote in votes:
        if vote.ranks is not None:
            for i, j in itertools.combinations(range(len(vote.ranks)), 2):
                found[vote.item, i, j] = _said(vote.ranks[i], vote.ranks[j])
    return found


def _said(first: int, second: int) -> str:
    return "tie" if first == second else "win" if first < second else "loss"


def summarize_review(
    votes: Sequence[Cast],
    key: Mapping[str, Any],
    *,
    judge: Sequence[Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All about a review.

    Args:
        votes: of all reviewers.
        key: of the review.
        judge: samples of a judge's run over the same answers.
        seed: of the bootstraps.
    """
    names = [page["reviewer"] for page in pages_of(key)]
    by_reviewer = {name: [v for v in votes if v.reviewer == name] for name in names}
    summary: dict[str, Any] = {
        "kind": key["kind"],
        "reviewers": [_reviewer(name, by_reviewer[name], key, seed) for name in names],
        "agreement": _agreement(by_reviewer, seed),
        "votes": sum(v.role == "item" for v in votes),
        "items_judged": len({v.item for v in votes if v.role == "item" and v.ranks is not None}),
        "items": sum(entry["expected"] is None for entry in key["items"].values()),
    }
    if key["kind"] == PAIR:
        summary["pairs"] = _pairs(votes, key, judge, seed)
    elif judge is not None:
        raise UsageError("a judge's run is compared with reviews of pairs, not with rankings",
                         fix="Leave out --judge.")  # fmt: skip
    return summary


def _share(hits: int, n: int) -> dict[str, float | int | None]:
    low, high = wilson(hits, n)
    return {"value": hits / n if n else None, "low": low, "high": high, "n": n}


def _reviewer(
    name: str, votes: Sequence[Cast], key: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """One person: how much, how steady, how attentive."""
    page = next(p for p in key["pages"].values() if p["reviewer"] == name)
    first = units(v for v in votes if v.role == "item")
    again = units(v for v in votes if v.role == "repeat")
    both = [unit for unit in again if unit in first]
    checks = [v for v in votes if v.role == "check"]
    failed = [v.item for v in checks if not _passed(v, key["items"][v.item]["expected"])]
    said = [v for v in votes if v.role != "check" and v.ranks is not None]
    lefts = [(v.ranks[v.left], min(v.ranks), v.ranks.count(1)) for v in said if v.ranks is not None]
    sole = [left == best for left, best, ties in lefts if ties == 1]
    return {
        "reviewer": name,
        "places": len(page["slots"]),
        "voted": len(votes),
        "skipped": sum(v.ranks is None for v in votes),
        "self_consistency": _share(sum(first[u] == again[u] for u in both), len(both)),
        "checks": {"passed": len(checks) - len(failed), "n": len(checks), "failed": failed},
        "ties": _share(sum(u == "tie" for u in first.values()), len(first)),
        "first_shown_best": _share(sum(sole), len(sole)),
    }


def _passed(vote: Cast, expected: Sequence[int]) -> bool:
    """Whether all that is known to be better was put before what is worse."""
    if vote.ranks is None:
        return False
    pairs = itertools.combinations(range(len(expected)), 2)
    return all(
        _said(vote.ranks[i], vote.ranks[j]) == _said(expected[i], expected[j])
        for i, j in pairs if expected[i] != expected[j]
    )  # fmt: skip


def _agreement(by_reviewer: Mapping[str, Sequence[Cast]], seed: int) -> dict[str, Any]:
    """Between people: kappa of every two, alpha of all, over what several of them judged."""
    said = {n: units(v for v in vs if v.role == "item") for n, vs in by_reviewer.items()}
    pairs = []
    for a, b in itertools.combinations(said, 2):
        both = [u for u in said[a] if u in said[b]]
        if both:
            found = cohen_kappa([said[a][u] for u in both], [said[b][u] for u in both], CATEGORIES,
                                seed=seed)  # fmt: skip
            pairs.append({"a": a, "b": b, **found.as_dict()})
    every = dict.fromkeys(u for units_of in said.values() for u in units_of)
    table = [[said[n].get(u) for n in said] for u in every]
    shared = sum(sum(v is not None for v in row) > 1 for row in table)
    return {"pairs": pairs, "alpha": krippendorff_alpha(table), "shared": shared}


def consensus(said: Sequence[str]) -> tuple[str, bool]:
    """What most reviewers say of an item, and whether they are split (which counts as a tie)."""
    counts = Counter(said).most_common()
    split = len(counts) > 1 and counts[0][1] == counts[1][1]
    return ("tie" if split else counts[0][0]), split


def by_item(votes: Sequence[Cast]) -> dict[str, dict[str, str]]:
    """For each pair what each reviewer says of its first system; repeats and checks left out."""
    found: dict[str, dict[str, str]] = {}
    for vote in votes:
        if vote.role == "item" and vote.ranks is not None:
            found.setdefault(vote.item, {})[vote.reviewer] = _said(vote.ranks[0], vote.ranks[1])
    return found


def _pairs(
    votes: Sequence[Cast], key: Mapping[str, Any], judge: Sequence[Mapping[str, Any]] | None,
    seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    said = by_item(votes)
    systems = {tuple(e["systems"]): None for e in key["items"].values() if e["systems"]}
    entries = []
    for a, b in systems:
        mine = {i: v for i, v in said.items() if tuple(key["items"][i]["systems"]) == (a, b)}
        entry = _pair(a, b, mine, key, seed)
        if judge is not None:
            entry["judge"] = _with_judge(a, b, mine, judge, seed)
        entries.append(entry)
    return entries


def _pair(
    a: str, b: str, said: Mapping[str, Mapping[str, str]], key: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    settled = {i: consensus(list(v.values())) for i, v in said.items()}
    counts = Counter(what for what, _ in settled.values())
    scores = {i: sum(SCORES[x] for x in v.values()) / len(v) for i, v in said.items()}
    blind = [score for i, score in scores.items() if not key["items"][i]["identity"]]
    decided = counts["win"] + counts["loss"]
    return {
        "a": a, "b": b,
        "outcomes": {name: counts[name] for name in CATEGORIES},
        "split": sum(split for _, split in settled.values()),
        "win_rate": _mean(list(scores.values()), seed),
        "win_rate_without_ties": _share(counts["win"], decided),
        "sign_test_p": mcnemar_exact(counts["win"], counts["loss"]),
        "unblinded": len(scores) - len(blind),
        "win_rate_blind": _mean(blind, seed) if len(blind) < len(scores) else None,
    }  # fmt: skip


def _mean(values: Sequence[float], seed: int) -> dict[str, float | int] | None:
    return bootstrap_mean(values, seed=seed).as_dict() if values else None


def judged(a: str, b: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A judge's outcomes by the key of the pair, from the side of ``a``; invalid ones left out."""
    found = {}
    for first, second in ((a, b), (b, a)):
        for question, games in by_question(rows, first, second).items():
            what = outcome(games, a)
            if what != "invalid":
                found[pair_key(question, a, b)] = _JUDGED.get(what, what)
    return found


def _with_judge(
    a: str, b: str, said: Mapping[str, Mapping[str, str]], rows: Sequence[Mapping[str, Any]],
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """People (rows) against the judge (columns), with ties and without."""
    theirs = judged(a, b, rows)
    both = [i for i in said if i in theirs]
    if not both:
        raise DataError("the judge's run has none of the items that were reviewed",
                        value=(a, b), fix="Give the run over the same answers.")  # fmt: skip
    people = [consensus(list(said[i].values()))[0] for i in both]
    machine = [theirs[i] for i in both]
    clear = [(p, m) for p, m in zip(people, machine, strict=True) if "tie" not in (p, m)]
    without = None
    if clear:
        without = cohen_kappa([p for p, _ in clear], [m for _, m in clear], CATEGORIES[:2],
                              seed=seed).as_dict()  # fmt: skip
    return {
        "with_ties": cohen_kappa(people, machine, CATEGORIES, seed=seed).as_dict(),
        "without_ties": without,
    }
