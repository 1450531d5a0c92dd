"""Judges: who says which of two answers is better, or how good one is.

A judge sees texts in the order given and nothing of systems. ``PromptJudge`` asks a language model;
a reward model scores; the stubs know the truth, look at the length or at nothing, so that the
statistics can be tested and a run be calibrated.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from yanmo.errors import DataError, UsageError

from .answers import Answer, Question
from .judge_prompts import LETTERS, Messages, Template, class_key, read_grade, read_verdict

FIRST, SECOND, NEITHER = LETTERS
STUBS: Final = ("first", "longer", "oracle", "noisy")
_SLOT_MASS: Final = 0.01
"""Probability below which the letters are noise: the judge would write something else."""


@dataclass(frozen=True)
class Game:
    """Two answers to a question, in the order shown.

    Attributes:
        name: of question, pair and order; what a random judge is seeded with.
    """

    question: Question
    first: Answer
    second: Answer
    name: str


@dataclass(frozen=True)
class Verdict:
    """What a judge says about a game.

    Attributes:
        letter: A the first shown is better, B the second, C neither; ``None``: nothing valid.
        detail: words, log-probabilities, rewards: what the sample keeps.
    """

    letter: str | None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grade:
    """What a judge says about one answer; ``value`` is ``None`` if nothing valid."""

    value: float | None
    detail: Mapping[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """What the runs need of a judge."""

    @property
    def name(self) -> str:
        """As reports call it."""
        ...

    @property
    def position_free(self) -> bool:
        """Whether the order of the answers cannot matter to it."""
        ...

    def identity(self) -> dict[str, Any]:
        """All that decides its verdicts; JSON-able."""
        ...

    def decide(self, games: Iterable[Game]) -> Iterator[Verdict]:
        """Verdicts in the order of the games; games of one question stand together."""
        ...

    def grade(self, answers: Iterable[tuple[Question, Answer]]) -> Iterator[Grade]:
        """Grades in the order of the answers."""
        ...


@dataclass(frozen=True)
class Stub:
    """A judge without a model.

    Attributes:
        kind: ``first`` prefers what is shown first; ``longer`` the longer answer; ``oracle`` the
            answer with the higher known ``score``; ``noisy`` does so with probability ``p`` and
            says the opposite otherwise.
        p: of ``noisy``.
        seed: of ``noisy``.
    """

    kind: str
    p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise UsageError("a probability lies between 0 and 1", value=self.p)

    @property
    def name(self) -> str:
        """As reports call it."""
        return f"noisy ({self.p:g})" if self.kind == "noisy" else self.kind

    @property
    def position_free(self) -> bool:
        """Whether the order of the answers cannot matter."""
        return self.kind in ("longer", "oracle")

    def identity(self) -> dict[str, Any]:
        """See ``Judge``."""
        more = {"p": self.p, "seed": self.seed} if self.kind == "noisy" else {}
        return {"kind": self.kind, **more}

    def decide(self, games: Iterable[Game]) -> Iterator[Verdict]:
        """See ``Judge``."""
        for game in games:
            yield Verdict(self._letter(game))

    def grade(self, answers: Iterable[tuple[Question, Answer]]) -> Iterator[Grade]:
        """See ``Judge``."""
        for question, answer in answers:
            if self.kind not in ("longer", "oracle"):
                raise UsageError("this judge gives no grades", value=self.kind,
                                 fix="Use longer, oracle, reward, model or endpoint.")  # fmt: skip
            known = _known(question, answer) if self.kind == "oracle" else float(len(answer.text))
            yield Grade(known)

    def _letter(self, game: Game) -> str:
        if self.kind == "first":
            return FIRST
        if self.kind == "longer":
            return _larger(len(game.first.text), len(game.second.text))
        truth = _larger(*(_known(game.question, a) for a in (game.first, game.second)))
        if self.kind == "noisy":
            rng = random.Random(f"{self.seed}|{game.name}")
            if rng.random() >= self.p:
                return {FIRST: SECOND, SECOND: FIRST}.get(truth) or rng.choice((FIRST, SECOND))
        return truth


def _larger(first: float, second: float) -> str:
    return NEITHER if first == second else FIRST if first > second else SECOND


def _known(question: Question, answer: Answer) -> float:
    if answer.score is None:
        raise DataError("the judge needs the known quality of answers", where=f"id {question.id}",
                        fix='Give every answer a number in "score".')  # fmt: skip
    return answer.score


@dataclass(frozen=True)
class Reply:
    """What a language model wrote; ``trouble`` says why there is nothing."""

    text: str
    finish_reason: str = "stop"
    trouble: str = ""


@dataclass(frozen=True)
class Weights:
    """Log-probabilities of the three letters at the place of the verdict; none: ``trouble``."""

    logprobs: tuple[float, ...]
    trouble: str = ""


class Source(Protocol):
    """A language model that can be asked."""

    name: str

    def identity(self) -> dict[str, Any]:
        """All that decides its replies."""
        ...

    def write(self, prompts: Iterable[Messages]) -> Iterator[Reply]:
        """Its words, in the order of the prompts."""
        ...

    def weigh(self, groups: Iterable[list[Messages]], slot: str) -> Iterator[Weights]:
        """Its letters. The prompts of a group begin alike; ``slot`` opens the reply."""
        ...


class PromptJudge:
    """A language model, asked with a template.

    Args:
        source: the model.
        template: the wording.
        letters: read the probabilities of the letters instead of words.
        rules: of the classes of questions, for grades.
    """

    position_free = False

    def __init__(
        self,
        source: Source,
        template: Template,
        *,
        letters: bool,
        rules: Mapping[str, str] | None = None,
    ) -> None:
        self.source, self.template, self.letters = source, template, letters
        self.rules = dict(rules or {})
        self.name = source.name

    def identity(self) -> dict[str, Any]:
        """See ``Judge``."""
        from dataclasses import asdict

        return {**self.source.identity(), "mode": "letters" if self.letters else "words",
                "template": asdict(self.template), "rules": self.rules}  # fmt: skip

    def decide(self, games: Iterable[Game]) -> Iterator[Verdict]:
        """See ``Judge``."""
        if self.letters:
            grouped = itertools.groupby(games, key=lambda game: game.question.id)
            groups = ([self._pair(game) for game in part] for _, part in grouped)
            yield from map(_weighed, self.source.weigh(groups, self.template.slot))
        else:
            yield from map(_spoken, self.source.write(map(self._pair, games)))

    def _pair(self, game: Game) -> Messages:
        first, second = game.first.text, game.second.text
        return self.template.pair(game.question, first, second, letter=self.letters)

    def grade(self, answers: Iterable[tuple[Question, Answer]]) -> Iterator[Grade]:
        """See ``Judge``."""
        for reply in self.source.write(itertools.starmap(self._single, answers)):
            value = read_grade(reply.text, self.template.low, self.template.high)
            why = _trouble(reply, "no grade on the scale") if value is None else ""
            yield Grade(value, _kept(reply, why))

    def _single(self, question: Question, answer: Answer) -> Messages:
        rule = None
        if self.rules:
            rule = self.rules.get(class_key(question.category))
            if rule is None:
                raise DataError("the class has no prompt", where=f"id {question.id}",
                                value=question.category,
                                fix=f"Known: {', '.join(sorted(self.rules))}.")  # fmt: skip
        return self.template.single(question, answer.text, rule)


def _spoken(reply: Reply) -> Verdict:
    letter = read_verdict(reply.text)
    return Verdict(letter, _kept(reply, "" if letter else _trouble(reply, "no verdict")))


def _kept(reply: Reply, why: str) -> dict[str, Any]:
    kept = {"text": reply.text, "finish_reason": reply.finish_reason}
    return kept | ({"invalid": why} if why else {})


def _trouble(reply: Reply, otherwise: str) -> str:
    if reply.trouble:
        return reply.trouble
    return "cut off before the verdict" if reply.finish_reason == "length" else otherwise


def _weighed(weights: Weights) -> Verdict:
    if weights.trouble:
        return Verdict(None, {"invalid": weights.trouble})
    values = np.array(weights.logprobs, dtype=np.float64)
    mass = float(np.exp(values).sum())
    shown = {
        # A letter outside the server's list has no number of its own.
        "logprobs": [round(float(v), 6) if np.isfinite(v) else None for v in values],
        "mass": round(mass, 6),
    }
    if mass < _SLOT_MASS:
        return Verdict(None, {**shown, "invalid": "no letter is likely there"})
    return Verdict(LETTERS[int(np.argmax(values))], shown)
