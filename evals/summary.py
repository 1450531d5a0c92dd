"""From samples to a summary: averages and intervals, baselines, letters, calibration."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from yanmo.stats import stratified_bootstrap, wilson

from .exam import LETTERS, Exam, Question, Subject
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
    plain = [sample for sample in samples if sample["shift"] == 0]
    right: dict[str, list[float]] = {key: [] for key in questions}
    for sample in plain:
        right[sample["subject"]].append(float(sample["prediction"] == sample["answer"]))
    overall = averages(right)
    categories = dict.fromkeys(task.subject(key).category for key in right)
    by_category = {
        name: averages({k: v for k, v in right.items() if task.subject(k).category == name})
        for name in categories
    }
    groups = {
        name: averages({key: right[key] for key in keys if key in right})
        | {"keys": [key for key in keys if key in right]}
        for name, keys in task.groups.items()
        if any(key in right for key in keys)
    }
    return {
        "task": task.name,
        "split": settings.split,
        "dialect": settings.dialect,
        "n": len(plain),
        "accuracy": {"macro": overall["macro"], "micro": overall["micro"]},
        "intervals": overall["intervals"],
        "by_category": by_category,
        "by_subject": {key: _subject(task.subject(key), right[key]) for key in right},
        "groups": groups,
        "baselines": baselines(questions),
        "letters": {
            # The letter shown, before rotated options are put back in their places.
            "predicted": _count(s.get("letter", s["prediction"]) for s in samples),
            "answers": _count(sample["answer"] for sample in plain),
        },
        "calibration": calibration(plain) if not settings.reason else None,
        "rotated": averages(averaged_rotations(samples)) if settings.rotate else None,
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


def _subject(subject: Subject, right: Sequence[float]) -> dict[str, Any]:
    k, n = int(sum(right)), len(right)
    low, high = wilson(k, n)
    return {
        "accuracy": k / n, "correct": k, "n": n, "low": low, "high": high,
        "category": subject.category, "name": subject.chinese or subject.english,
        "english": subject.english,
    }  # fmt: skip


def _count(values: Iterable[str | None]) -> dict[str, int]:
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


def averaged_rotations(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Right (1) or wrong (0) by the probabilities averaged over all rotations of the options.

    Every option stands once behind every letter, so what the model feels for a letter cancels out.

    Source: Zheng et al., Large language models are not robust multiple choice selectors (2024).
    """
    shares: dict[tuple[str, str], list[np.ndarray[Any, np.dtype[np.float64]]]] = {}
    answers: dict[tuple[str, str], str] = {}
    for sample in samples:
        name = (sample["subject"], sample["id"])
        values = np.exp(np.array(sample["logprobs"]) - max(sample["logprobs"]))
        shares.setdefault(name, []).append(values / values.sum())
        answers[name] = sample["answer"]
    right: dict[str, list[float]] = {}
    for name, found in shares.items():
        best = LETTERS[int(np.argmax(np.mean(found, axis=0)))]
        right.setdefault(name[0], []).append(float(best == answers[name]))
    return right


def confidence_of(logprobs: Sequence[float]) -> float:
    """Softmax over the letters: the share of the likeliest."""
    values = np.array(logprobs, dtype=np.float64)
    return float(1.0 / np.exp(values - values.max()).sum())


def _counted(samples: Sequence[Sample]) -> dict[str, Any]:
    """How much of the probability lay on the letters, and how often a fallback was needed."""
    mass = np.array([sample["mass"] for sample in samples if "mass" in sample])
    shots = Counter(sample["shots"] for sample in samples if sample["shift"] == 0)
    return {
        "mass": {"mean": float(mass.mean()), "share_below_half": float((mass < 0.5).mean())}
        if mass.size
        else None,
        "invalid": sum(sample["prediction"] is None for sample in samples),
        "shots": {str(k): shots[k] for k in sorted(shots, reverse=True)},
        "cut_questions": sum(sample["cut"] for sample in samples if sample["shift"] == 0),
        "multi_token_questions": sum(not sample.get("single", True) for sample in samples),
    }
