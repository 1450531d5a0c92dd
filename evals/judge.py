"""``yanmo evals judge``: every question in both orders, streamed to a folder, then counted.

With three systems or more every two are compared. Equal answers are a tie that nobody is asked
about. A run that was killed goes on; what an endpoint has answered is never asked again.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from yanmo.errors import UsageError
from yanmo.files import write_json
from yanmo.progress import track

from .answers import Answers, Item, write_items
from .judge_compare import PAIR, SINGLE
from .judge_pages import write_reports
from .judge_setup import Chosen
from .judge_summary import summarize_pairs
from .judges import NEITHER, Game, Judge, Verdict
from .runs import SUMMARY, Samples, open_run
from .single import single_rows, summarize_single

KEY: Final = ("id", "a", "b", "order")
SINGLE_KEY: Final = ("id", "system")
_FLUSH_SECONDS = 0.5
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What a run gives back.

    Attributes:
        summary: what ``summary.json`` holds.
        samples: one row a game (a question, two systems, an order), or a grade.
        computed: rows made now; the others were there already.
    """

    summary: dict[str, Any]
    samples: list[dict[str, Any]]
    computed: int


def judge_pairs(
    answers: Answers, chosen: Chosen, *, out: Path | None = None, seed: int = 0, quiet: bool = True
) -> Outcome:
    """Compare every two systems on every question, in both orders.

    Args:
        answers: two systems or more.
        chosen: the judge.
        out: folder for samples and reports; with one, a run that was cut short goes on.
        seed: of the bootstraps.
        quiet: show no progress.

    Raises:
        UsageError: only one system, or ``out`` holds another run.
        DataError: the judge lacks what it needs.
        YanmoError: the endpoint fails; what it answered before is kept.
    """
    if len(answers.systems) < 2:
        raise UsageError("a comparison needs two systems", value=list(answers.systems),
                         fix="Give two files of answers, or --single.")  # fmt: skip
    rows, computed = _run(answers, chosen, out, list(_games(answers)), quiet=quiet)
    summary = summarize_pairs(rows, answers, seed=seed) | _head(answers, chosen, PAIR, seed)
    return _finish(Outcome(summary, rows, computed), out, answers)


def judge_single(
    answers: Answers, chosen: Chosen, *, out: Path | None = None, seed: int = 0, quiet: bool = True
) -> Outcome:
    """Grade every answer by itself; arguments and errors as :func:`judge_pairs`."""
    rows, computed = _run(answers, chosen, out, None, quiet=quiet)
    summary = summarize_single(rows, answers, seed=seed) | _head(answers, chosen, SINGLE, seed)
    return _finish(Outcome(summary, rows, computed), out, answers)


def _head(answers: Answers, chosen: Chosen, kind: str, seed: int) -> dict[str, Any]:
    identity = chosen.judge.identity()
    if "template" in identity:  # the whole wording stands in run.json
        identity["template"] = identity["template"]["title"]
    return {
        "kind": kind, "judge": {"name": chosen.judge.name, **identity}, "note": chosen.note,
        "position_free": chosen.judge.position_free, "systems": list(answers.systems),
        "left_out": dict(answers.left_out), "seed": seed,
    }  # fmt: skip


def _finish(outcome: Outcome, out: Path | None, answers: Answers) -> Outcome:
    if out is not None:
        write_json(out / SUMMARY, outcome.summary)
        write_reports(out, outcome.summary, outcome.samples, answers)
    return outcome


def _run(
    answers: Answers, chosen: Chosen, out: Path | None, games: "list[_Planned] | None", *,
    quiet: bool,
) -> tuple[list[dict[str, Any]], int]:  # fmt: skip
    kind = SINGLE if games is None else PAIR
    identity = {
        "kind": kind, "judge": chosen.judge.identity(), "answers_sha256": answers.sha256(),
        "questions_sha256": answers.questions_sha256(),
    }  # fmt: skip
    if out is not None:
        again = open_run(out, identity, {
            "kind": kind, "model": {"name": chosen.judge.name}, "systems": list(answers.systems),
            "note": chosen.note,
        })  # fmt: skip
        if not again:
            write_items(out, answers)
    samples = Samples(out, SINGLE_KEY if games is None else KEY)
    before = len(samples.rows)
    total = len(answers.systems) * len(answers.items) if games is None else len(games)
    try:
        with track(total, chosen.judge.name, "judgements", quiet=quiet) as progress:
            progress.advance(before)
            made = (
                single_rows(chosen.judge, answers, samples)
                if games is None else _pair_rows(chosen.judge, games, samples)
            )  # fmt: skip
            for part in _now_and_then(made):
                samples.add(part)
                progress.advance(len(part))
    finally:
        samples.close()
    return list(samples.rows.values()), len(samples.rows) - before


def _now_and_then(rows: Iterable[T]) -> Iterator[list[T]]:
    """Rows in portions, each for some time: a flush to disk costs more than a quick judge."""
    part: list[T] = []
    last = time.monotonic()
    try:
        for row in rows:
            part.append(row)
            if time.monotonic() - last >= _FLUSH_SECONDS:
                yield part
                part, last = [], time.monotonic()
    except GeneratorExit:
        raise
    except BaseException:  # what was judged before an error, or before Ctrl-C, is kept
        if part:
            yield part
        raise
    if part:
        yield part


@dataclass(frozen=True)
class _Planned:
    """A game and the fields that name it."""

    game: Game
    a: str
    b: str
    order: int

    def row(self, verdict: Verdict) -> dict[str, Any]:
        """The sample: the letter as shown, and whom it means."""
        better = {"A": (self.a, self.b)[self.order], "B": (self.b, self.a)[self.order],
                  NEITHER: "tie", None: None}[verdict.letter]  # fmt: skip
        return {"id": self.game.question.id, "a": self.a, "b": self.b, "order": self.order,
                "letter": verdict.letter, "winner": better, **verdict.detail}  # fmt: skip


def _games(answers: Answers) -> Iterator[_Planned]:
    """Both orders of every pair, question by question; order 0 shows ``a`` first."""
    for item in answers.items:
        for a, b in itertools.combinations(answers.systems, 2):
            for order in (0, 1):
                yield _Planned(_game(item, a, b, order), a, b, order)


def _game(item: Item, a: str, b: str, order: int) -> Game:
    first, second = (item.answers[name] for name in ((a, b), (b, a))[order])
    return Game(item.question, first, second, f"{item.question.id}|{a}|{b}|{order}")


def _pair_rows(
    judge: Judge, games: Sequence[_Planned], samples: Samples
) -> Iterator[dict[str, Any]]:
    # A question that was cut off in the middle is judged whole again: a model that runs what its
    # games share only once rounds a little differently if one of them is left out.
    missing = {
        g.game.question.id for g in games
        if (g.game.question.id, g.a, g.b, g.order) not in samples
    }  # fmt: skip
    open_games = [g for g in games if g.game.question.id in missing]
    asked = [g for g in open_games if g.game.first.text != g.game.second.text]
    verdicts = judge.decide(g.game for g in asked)
    for planned in open_games:
        if planned.game.first.text == planned.game.second.text:
            yield planned.row(Verdict(NEITHER, {"identical": True}))
        else:
            yield planned.row(next(verdicts))
