"""From samples to a summary: averages and intervals, baselines, letters, calibration."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from yanmo.stats import stratified_bootstrap, wilson

from .exam import LETTERS, Exam, Question
from .planning import Settings

BINS: Final = 10
Sample = Mapping[str, Any]


def summarize(
    samples: Sequence[Sample],
    questions: Mapping[str, Sequence[Question]],
    exam: Exam,
    settings: Settings,
) -> dict[str, Any]:
    """Everything that a report shows, as plain values.

    Args:
        samples: one row a question, in the order of the questions.
        questions: what was asked, by subject.
        exam: for the table of subjects.
        settings: of the run.

    Returns:
        ``accuracy`` (macro and micro), ``by_category``, ``by_subject``, ``groups`` and ``n``, with
        ``intervals``, ``baselines``, ``letters``, ``calibration``, ``mass`` and what was counted
        as fallback. Shares are fractions of one. Macro averages weigh subjects alike, micro
        averages questions; intervals are 95 % (Wilson for shares, stratified bootstrap for macro).
    """
    task = exam.task
    right: dict[str, list[float]] = {key: [] for key in questions}
    for sample in samples:
        right[sample["subject"]].append(float(sample["prediction"] == sample["answer"]))
    overall = averages(right)
    categories = dict.fromkeys(task.subject(key).category for key in right)
    by_category = {
        name: averages({k: v for k, v in right.items() if task.subject(k).category == name})
        for name in categories
    }
    groups = {
        name: averages({key: right[key] for key in keys if key in right})
        for name, keys in task.groups.items()
        if any(key in right for key in keys)
    }
    return {
        "task": task.name,
        "split": settings.split,
        "dialect": settings.dialect,
        "n": len(samples),
        "accuracy": {"macro": overall["macro"], "micro": overall["micro"]},
        "intervals": overall["intervals"],
        "by_category": by_category,
        "by_subject": {key: _subject(task.subject(key), right[key]) for key in right},
        "groups": groups,
        "baselines": baselines(questions),
        "letters": {
            "predicted": _count(sample["prediction"] for sample in samples),
            "answers": _count(sample["answer"] for sample in samples),
        },
        "calibration": calibration(samples),
        **_counted(samples),
        "data": {
            "missing_subjects": [key for key in task.subjects if key not in right],
            "notice": task.notice,
        },
    }


def averages(right: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Macro and micro average of right (1) and wrong (0) answers by subject, with intervals."""
    macro = stratified_bootstrap(list(right.values()))
    k, n = int(sum(map(sum, right.values()))), sum(map(len, right.values()))
    low, high = wilson(k, n)
    return {
        "macro": macro.value,
        "micro": k / n,
        "n": n,
        "subjects": len(right),
        "intervals": {
            "macro": {"low": macro.low, "high": macro.high},
            "micro": {"low": low, "high": high},
        },
    }


def _subject(subject: Any, right: Sequence[float]) -> dict[str, Any]:
    k, n = int(sum(right)), len(right)
    low, high = wilson(k, n)
    return {
        "accuracy": k / n, "correct": k, "n": n, "low": low, "high": high,
        "category": subject.category, "name": subject.chinese, "english": subject.english,
    }  # fmt: skip


def _count(values: Any) -> dict[str, int]:
    counts = Counter(values)
    return {letter: counts[letter] for letter in LETTERS if counts[letter] or letter in "ABCD"}


def baselines(questions: Mapping[str, Sequence[Question]]) -> dict[str, Any]:
    """Micro accuracy of answering without a model: chance, one letter, the longest option."""
    rows = [q for questions_of in questions.values() for q in questions_of]
    letters = LETTERS[: max(len(q.options) for q in rows)]
    longest = sum(LETTERS[max(range(len(q.options)), key=lambda i: len(q.options[i]))] == q.answer
                  for q in rows)  # fmt: skip
    return {
        "chance": float(np.mean([1 / len(q.options) for q in rows])),
        "constant": {x: sum(q.answer == x for q in rows) / len(rows) for x in letters},
        "longest_option": longest / len(rows),
    }


def calibration(samples: Sequence[Sample]) -> dict[str, Any]:
    """Expected calibration error of the softmax over the letters, and its ten bins.

    Source: Guo et al., On calibration of modern neural networks (2017), section 2.
    """
    confidence = np.array([confidence_of(sample["logprobs"]) for sample in samples])
    right = np.array([sample["prediction"] == sample["answer"] for sample in samples], dtype=float)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for index in range(BINS):
        inside = place == index
        n = int(inside.sum())
        if n:
            mean, share = float(confidence[inside].mean()), float(right[inside].mean())
            error += n / len(samples) * abs(mean - share)
            bins.append({"low": index / BINS, "high": (index + 1) / BINS, "n": n,
                         "confidence": mean, "accuracy": share})  # fmt: skip
    return {"ece": error, "bins": bins}


def confidence_of(logprobs: Sequence[float]) -> float:
    """Softmax over the letters: the share of the likeliest."""
    values = np.array(logprobs, dtype=np.float64)
    return float(1.0 / np.exp(values - values.max()).sum())


def _counted(samples: Sequence[Sample]) -> dict[str, Any]:
    """How much of the probability lay on the letters, and how often a fallback was needed."""
    mass = np.array([sample["mass"] for sample in samples])
    shots = Counter(sample["shots"] for sample in samples)
    return {
        "mass": {"mean": float(mass.mean()), "share_below_half": float((mass < 0.5).mean())},
        "shots": {str(k): shots[k] for k in sorted(shots, reverse=True)},
        "cut_questions": sum(sample["cut"] for sample in samples),
        "multi_token_questions": sum(not sample["single"] for sample in samples),
    }
