"""Multiple choice: the log-probabilities of the letters after each question, streamed to a folder.

The prompt of a subject is mostly shots, the same for all its questions: that prefix is run through
the model once, and only what follows it once a question.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.errors import DataError
from yanmo.files import sha256_json, write_json
from yanmo.progress import track

from .editions import Edition, identify
from .exam import Exam, load_exam, load_task
from .pages import write_reports
from .planning import Batch, Planner, Settings
from .prompts import load_dialect
from .runs import SUMMARY, Samples, open_run
from .score import Scorer, first_token
from .summary import summarize

KEY = ("subject", "id")


@dataclass(frozen=True)
class Outcome:
    """What a run gives back.

    Attributes:
        summary: what ``summary.json`` holds.
        samples: one row a question, in the exam's order.
        computed: questions scored now; the others were there already.
    """

    summary: dict[str, Any]
    samples: list[dict[str, Any]]
    computed: int


def evaluate(
    scorer: Scorer,
    data: str | Path,
    *,
    task: str = "ceval",
    settings: Settings | None = None,
    out: Path | None = None,
    quiet: bool = True,
) -> Outcome:
    """Score a model on an examination.

    Args:
        scorer: the model.
        data: zip or folder with the questions.
        task: name of a bundled task, or a TOML file.
        settings: split, shots, dialect and so on; the task's own defaults without.
        out: folder for samples and summary; with one, a run that was cut short goes on.
        quiet: show no progress.

    Raises:
        UsageError: something asked for does not exist, or ``out`` holds another run.
        DataError: the data cannot be used, or the split has no answers.
    """
    description = load_task(task)
    settings = settings or Settings(
        split=description.split, shots=description.shots, dialect=description.dialect
    )
    dialect = load_dialect(settings.dialect)
    splits = tuple(dict.fromkeys([
        settings.split, *([description.shot_split] if settings.shots else []),
    ]))  # fmt: skip
    exam = load_exam(description, data, splits=splits, subjects=settings.subjects)
    bos = first_token(scorer.tokenizer, settings.bos)
    limit = scorer.info.max_tokens
    planner = Planner(exam, dialect, settings, scorer.tokenizer, bos, limit)
    _check_labels(planner)
    edition = identify(exam)
    identity = {
        "task": description.name,
        "model": scorer.info.identity(),
        "data_sha256": exam.digest(),
        "dialect_sha256": sha256_json(asdict(dialect)),
        "settings": asdict(settings),
    }
    if out is not None:
        open_run(out, identity, _describe(scorer, exam, edition, asdict(dialect)))
    samples = Samples(out, KEY)
    try:
        computed = _score_all(scorer, planner, samples, quiet=quiet)
    finally:
        samples.close()
    rows = [samples.rows[q.subject, q.id] for qs in planner.chosen().values() for q in qs]
    summary = summarize(rows, planner.chosen(), exam, settings)
    summary["data"] |= {"edition": edition.name, "note": edition.note()}
    summary["model"] = {"name": scorer.info.name, **scorer.info.identity()}
    if out is not None:
        write_json(out / SUMMARY, summary)
        write_reports(out, summary, prompt=planner.example())
    return Outcome(summary, rows, computed)


def _describe(
    scorer: Scorer, exam: Exam, edition: Edition, dialect: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "kind": "multiple_choice",
        "task": {"name": exam.task.name, "title": exam.task.title, "source": exam.task.source},
        "model": asdict(scorer.info),
        "dialect": dict(dialect),
        "data": {
            "path": str(exam.path), "files": exam.files, "edition": edition.name,
            "mixed": edition.mixed, "unknown": list(edition.unknown),
        },
    }  # fmt: skip


def _check_labels(planner: Planner) -> None:
    rows = [q for questions in planner.chosen().values() for q in questions]
    missing = [q for q in rows if q.answer is None]
    split = planner.settings.split
    if len(missing) == len(rows):
        raise DataError(
            f"the split '{split}' has no answers, so there is nothing to score",
            where=planner.exam.path,
            fix=f"Use --split {planner.exam.task.split}, or a copy of the data with answers.",
        )
    if missing:
        first = missing[0]
        raise DataError(f"{len(missing)} of {len(rows)} questions have no answer",
                        where=f"{planner.exam.path}: {first.subject} id {first.id}")  # fmt: skip


def _score_all(scorer: Scorer, planner: Planner, samples: Samples, *, quiet: bool) -> int:
    total = sum(map(len, planner.chosen().values()))
    before = len(samples.rows)
    prefix_ids: tuple[int, ...] = ()
    prefix: object | None = None
    with track(total, planner.exam.task.title, "questions", quiet=quiet) as progress:
        progress.advance(before)
        for batch in planner.batches():
            if all((item.question.subject, item.question.id) in samples for item in batch.items):
                continue
            if batch.prefix != prefix_ids:
                prefix_ids = batch.prefix
                prefix = scorer.prefill(prefix_ids) if prefix_ids else None
            count = len(samples.rows)
            samples.add(_score_batch(scorer, batch, prefix, planner.settings.split))
            progress.advance(len(samples.rows) - count)
    return len(samples.rows) - before


def _score_batch(
    scorer: Scorer, batch: Batch, prefix: object | None, split: str
) -> list[dict[str, Any]]:
    """Log-probabilities of every answer of a batch, as sample rows."""
    skip = len(batch.prefix)
    contexts = [item.slot.context[skip:] for item in batch.items]
    if batch.items[0].slot.single:
        table = scorer.next_logprobs(contexts, prefix)
        scores = [
            table[row, [tail[0] for tail in item.slot.tails]]
            for row, item in enumerate(batch.items)
        ]
    else:
        scores = [
            _tail_scores(scorer, context, item.slot.tails, prefix)
            for context, item in zip(contexts, batch.items, strict=True)
        ]
    return [
        {
            "subject": item.question.subject,
            "id": item.question.id,
            "split": split,
            "answer": item.question.answer,
            "prediction": "ABCDEFGHIJ"[int(np.argmax(score))],
            "logprobs": [round(float(value), 6) for value in score],
            "mass": round(float(np.exp(score.astype(np.float64)).sum()), 6),
            "shots": item.shots,
            "tokens": len(item.slot.context),
            "single": item.slot.single,
            "cut": item.cut,
            "prompt": item.prompt,
        }
        for item, score in zip(batch.items, scores, strict=True)
    ]


def _tail_scores(
    scorer: Scorer,
    context: tuple[int, ...],
    tails: tuple[tuple[int, ...], ...],
    prefix: object | None,
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Summed log-probabilities of answers that are several tokens."""
    sequences = [context + tail for tail in tails]
    parts = scorer.token_logprobs(sequences, [len(context)] * len(tails), prefix)
    return np.array([part.astype(np.float64).sum() for part in parts], dtype=np.float32)
