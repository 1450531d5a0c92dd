"""Answers graded one by one: rows, means, and differences over the same questions."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from yanmo.stats import bootstrap_mean, paired_bootstrap

from .answers import Answers
from .judges import Judge
from .runs import Samples

Row = Mapping[str, Any]


def single_rows(judge: Judge, answers: Answers, samples: Samples) -> Iterator[dict[str, Any]]:
    """The samples that are still missing, question by question."""
    asked = [
        (item, name)
        for item in answers.items
        for name in answers.systems
        if (item.question.id, name) not in samples
    ]
    grades = judge.grade((item.question, item.answers[name]) for item, name in asked)
    for (item, name), grade in zip(asked, grades, strict=True):
        yield {"id": item.question.id, "system": name, "grade": grade.value, **grade.detail}


def summarize_single(rows: Sequence[Row], answers: Answers, *, seed: int = 0) -> dict[str, Any]:
    """Means with intervals, by class, and paired differences.

    Args:
        rows: samples of the run.
        answers: what was graded.
        seed: of the bootstraps.
    """
    grades: dict[str, dict[str, float | None]] = {name: {} for name in answers.systems}
    for row in rows:
        grades[row["system"]][row["id"]] = row["grade"]
    reasons = Counter(row["invalid"] for row in rows if row.get("invalid"))
    return {
        "questions": len(answers.items),
        "grades": [_system(name, grades[name], answers, seed) for name in answers.systems],
        "differences": [
            _difference(a, b, grades, seed) for a, b in itertools.combinations(answers.systems, 2)
        ],
        "invalid_reasons": {why: reasons[why] for why in sorted(reasons)},
    }


def _system(
    name: str, grades: Mapping[str, float | None], answers: Answers, seed: int
) -> dict[str, Any]:
    valid = {i: grade for i, grade in grades.items() if grade is not None}
    classes: dict[str, list[float]] = {}
    sizes = {item.question.id: len(item.answers[name].text) for item in answers.items}
    for item in answers.items:
        if item.question.category and item.question.id in valid:
            key = " ".join(item.question.category.split())
            classes.setdefault(key, []).append(valid[item.question.id])
    lengths, values = [sizes[i] for i in valid], list(valid.values())
    varied = len(valid) > 2 and float(np.std(lengths)) > 0 and float(np.std(values)) > 0
    return {
        "system": name,
        "mean": bootstrap_mean(values, seed=seed).as_dict() if valid else None,
        "invalid": len(grades) - len(valid),
        "classes": {
            key: {"mean": float(np.mean(classes[key])), "n": len(classes[key])}
            for key in sorted(classes)
        },
        "length_correlation": float(np.corrcoef(lengths, values)[0, 1]) if varied else None,
    }


def _difference(
    a: str, b: str, grades: Mapping[str, Mapping[str, float | None]], seed: int
) -> dict[str, Any]:
    """First minus second over the questions on which both have a grade."""
    both = [
        (x, y)
        for x, y in ((grades[a][i], grades[b].get(i)) for i in grades[a])
        if x is not None and y is not None
    ]
    entry: dict[str, Any] = {"a": a, "b": b, "n": len(both)}
    if both:
        first, second = [x for x, _ in both], [y for _, y in both]
        entry |= paired_bootstrap([first], [second], seed=seed).as_dict()
    return entry
