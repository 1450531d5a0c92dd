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
from yanmo.vocab.chat import ChatTemplate

from .editions import Edition, identify
from .exam import LETTERS, Exam, Question, load_exam, load_task
from .pages import write_reports
from .planning import Batch, Item, Planner, Settings
from .prompts import load_dialect
from .reasoning import read_answer
from .runs import SUMMARY, Samples, open_run
from .score import Floats, Scorer, first_token, stop_ids
from .summary import summarize

KEY = ("subject", "id", "shift")


@dataclass(frozen=True)
class Outcome:
    """What a run gives back.

    Attributes:
        summary: what ``summary.json`` holds.
        samples: one row a question, in the exam's order.
        computed: questions scored now; the others were there already.
        questions: what was asked.
        prompt: the first prompt, as the model saw it.
    """

    summary: dict[str, Any]
    samples: list[dict[str, Any]]
    computed: int
    questions: list[Question]
    prompt: str


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
    splits = tuple(dict.fromkeys([
        settings.split, *([description.shot_split] if settings.shots else []),
    ]))  # fmt: skip
    exam = load_exam(description, data, splits=splits, subjects=settings.subjects)
    planner = make_planner(scorer, exam, settings)
    _check_labels(planner)
    edition = identify(exam)
    identity = {
        "task": description.name,
        "model": scorer.info.identity(),
        "data_sha256": exam.digest(),
        "questions_sha256": exam.digest(settings.split),
        "dialect_sha256": sha256_json(asdict(planner.dialect)),
        "settings": asdict(settings),
    }
    if out is not None:
        open_run(out, identity, _describe(scorer, exam, edition, asdict(planner.dialect)))
    samples = Samples(out, KEY)
    try:
        computed = _score_all(scorer, planner, samples, quiet=quiet)
    finally:
        samples.close()
    rows = [
        samples.rows[question.subject, question.id, shift]
        for questions in planner.chosen().values()
        for question in questions
        for shift in range(len(question.options) if settings.rotate else 1)
    ]
    summary = summarize(rows, planner.chosen(), exam, settings)
    summary["data"] |= {"edition": edition.name, "note": edition.note()}
    summary["slot"] = planner.slot_shown()
    summary["model"] = {"name": scorer.info.name, **scorer.info.identity()}
    if out is not None:
        write_json(out / SUMMARY, summary)
        write_reports(out, summary, prompt=planner.example())
    asked = [question for questions in planner.chosen().values() for question in questions]
    return Outcome(summary, rows, computed, asked, planner.example())


def make_planner(scorer: Scorer, exam: Exam, settings: Settings) -> Planner:
    """The plan of a run: dialect, tokenizer, limits, and the chat template where it is used."""
    dialect = load_dialect(settings.dialect)
    template = ChatTemplate(scorer.tokenizer.path.parent) if dialect.chat else None
    # A chat template writes the beginning-of-sequence token itself.
    policy = "never" if template and settings.bos == "auto" else settings.bos
    bos = first_token(scorer.tokenizer, policy)
    limit = scorer.info.max_tokens
    return Planner(exam, dialect, settings, scorer.tokenizer, bos, limit, template)


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
    total = sum(
        len(question.options) if planner.settings.rotate else 1
        for questions in planner.chosen().values()
        for question in questions
    )
    before = len(samples.rows)
    prefix_ids: tuple[int, ...] = ()
    prefix: object | None = None
    with track(total, planner.exam.task.title, "questions", quiet=quiet) as progress:
        progress.advance(before)
        for batch in planner.batches():
            names = [(i.question.subject, i.question.id, i.shift) for i in batch.items]
            if all(name in samples for name in names):
                continue
            if batch.prefix != prefix_ids and not planner.settings.reason:
                prefix_ids = batch.prefix
                prefix = scorer.prefill(prefix_ids) if prefix_ids else None
            count = len(samples.rows)
            samples.add(_score_batch(scorer, batch, prefix, planner))
            progress.advance(len(samples.rows) - count)
    return len(samples.rows) - before


def _score_batch(
    scorer: Scorer, batch: Batch, prefix: object | None, planner: Planner
) -> list[dict[str, Any]]:
    """Sample rows of a batch: letters scored, or words read."""
    split = planner.settings.split
    if planner.settings.reason:
        return [
            _row(item, split) | {"prediction": letter, "text": text}
            for item, letter, text in _reasoned(scorer, batch, planner)
        ]
    rows = []
    for item, score in zip(batch.items, _letter_scores(scorer, batch, prefix), strict=True):
        options, shown = len(score), int(np.argmax(score))
        # Rotated options go back to their own places, so that all rotations can be compared.
        back = [float(score[(place - item.shift) % options]) for place in range(options)]
        rows.append(_row(item, split) | {
            "prediction": LETTERS[(shown + item.shift) % options],
            "letter": LETTERS[shown],
            "logprobs": [round(value, 6) for value in back],
            "mass": round(float(np.exp(score.astype(np.float64)).sum()), 6),
            "single": item.slot.single,
        })  # fmt: skip
    return rows


def _row(item: Item, split: str) -> dict[str, Any]:
    return {
        "subject": item.question.subject,
        "id": item.question.id,
        "shift": item.shift,
        "split": split,
        "answer": item.question.answer,
        "shots": item.shots,
        "tokens": len(item.slot.context),
        "cut": item.cut,
        "prompt": item.prompt,
    }


def _letter_scores(scorer: Scorer, batch: Batch, prefix: object | None) -> list[Floats]:
    """Log-probabilities of every answer of a batch."""
    contexts = [item.slot.context[len(batch.prefix) :] for item in batch.items]
    slots = [item.slot for item in batch.items]
    if slots[0].single:
        table = scorer.next_logprobs(contexts, prefix)
        return [table[row, [tail[0] for tail in s.tails]] for row, s in enumerate(slots)]
    scores = []
    for context, slot in zip(contexts, slots, strict=True):
        sequences = [context + tail for tail in slot.tails]
        parts = scorer.token_logprobs(sequences, [len(context)] * len(sequences), prefix)
        sums = [part.astype(np.float64).sum() for part in parts]
        scores.append(np.array(sums, dtype=np.float32))
    return scores


def _reasoned(scorer: Scorer, batch: Batch, planner: Planner) -> list[tuple[Item, str | None, str]]:
    """Each item with the letter its reasoning settles on (or none) and the words."""
    prompts = [item.slot.context for item in batch.items]
    stop = stop_ids(scorer.tokenizer, Path(scorer.info.path))
    written = scorer.generate(prompts, planner.settings.max_new_tokens, stop)
    found = []
    for item, ids in zip(batch.items, written, strict=True):
        text = scorer.tokenizer.decode(ids)
        if planner.dialect.shot_end:  # a base model goes on with a question of its own
            text = text.split(planner.dialect.shot_end)[0]
        letters = "".join(LETTERS[: len(item.question.options)])
        found.append((item, read_answer(text, letters), text))
    return found
