"""Prompts in published dialects, and the token ids of the answers as the prompt itself gives them.

A dialect is frozen text with its source (``tasks/dialects.toml``). The ids of A, B, C, D are never
looked up in the vocabulary: a SentencePiece model has one "A" for the start of a word and another
for its inside, and which one follows 答案： only the real prompt tells.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.recipe import did_you_mean, from_table, setting
from yanmo.vocab.load import Tokenizer

from .exam import LETTERS, Question, Subject

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Dialect:
    """How an evaluation words its questions.

    Attributes:
        subject: which name of the subject the header shows.
        header: stands once, before the shots.
        option: one option with its line end.
        item: one question up to the answer.
        answer: the answer in a shot, and what is scored after the question.
        shot_end: what separates a shot from what follows.
        strip_question: cut white space around the question.
        average: the average that its authors print.
    """

    title: str
    source: str
    header: str
    option: str
    item: str
    answer: str
    shot_end: str
    licence: str = ""
    subject: str = setting("chinese", choices=("chinese", "english", "key", "spaced"))
    strip_question: bool = False
    average: str = setting("macro", choices=("macro", "micro"))

    def __post_init__(self) -> None:
        _known("header", self.header, {"subject"})
        _known("option", self.option, {"letter", "text"})
        _known("item", self.item, {"question", "options"})
        _known("answer", self.answer, {"letter"})

    def opening(self, key: str, subject: Subject) -> str:
        """The header of a subject."""
        names = {"chinese": subject.chinese, "english": subject.english, "key": key,
                 "spaced": key.replace("_", " ")}  # fmt: skip
        return _fill(self.header, {"subject": names[self.subject]})

    def ask(self, question: Question) -> str:
        """A question up to the slot of its answer."""
        text = question.question.strip() if self.strip_question else question.question
        options = "".join(
            _fill(self.option, {"letter": letter, "text": option})
            for letter, option in zip(LETTERS, question.options, strict=False)
        )
        return _fill(self.item, {"question": text, "options": options})

    def shot(self, question: Question) -> str:
        """A worked question with what separates it from the next."""
        if question.answer is None:
            raise DataError("a shot has no answer", where=f"{question.subject} {question.id}")
        return self.ask(question) + self.reply(question.answer) + self.shot_end

    def reply(self, letter: str) -> str:
        """What follows the question when this letter is the answer."""
        return _fill(self.answer, {"letter": letter})


def _known(name: str, template: str, allowed: set[str]) -> None:
    for word in _SLOT.findall(template):
        if word not in allowed:
            raise UsageError(f"'{{{word}}}' is no placeholder of '{name}'",
                             fix=f"Known: {', '.join(sorted(allowed))}.")  # fmt: skip


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Replace placeholders in one pass: braces inside the values (LaTeX) stay as they are."""
    return _SLOT.sub(lambda match: values[match[1]], template)


def load_dialects(path: str | Path | None = None) -> dict[str, Dialect]:
    """All dialects of a TOML file; the bundled ones without a path."""
    where = str(path) if path else "tasks/dialects.toml"
    if path:
        text = Path(path).read_text(encoding="utf-8")
    else:
        text = (resources.files("yanmo.evals") / "tasks" / "dialects.toml").read_text("utf-8")
    tables: dict[str, Any] = tomllib.loads(text)
    return {name: from_table(Dialect, table, where=where, path=name)
            for name, table in tables.items()}  # fmt: skip


def load_dialect(name: str) -> Dialect:
    """One dialect: the name of a bundled one, or ``file.toml:name``.

    Raises:
        UsageError: there is no such dialect.
    """
    file, _, last = name.rpartition(":")
    dialects = load_dialects(file or None)
    if last not in dialects:
        raise UsageError("no such dialect", value=name, fix=did_you_mean(last, dialects))
    return dialects[last]


@dataclass(frozen=True, slots=True)
class Slot:
    """A question as token ids.

    Attributes:
        context: ids up to the place of the answer.
        tails: for each option the ids that its letter adds there; one each, as a rule.
    """

    context: tuple[int, ...]
    tails: tuple[tuple[int, ...], ...]

    @property
    def single(self) -> bool:
        """Whether every answer is one token."""
        return all(len(tail) == 1 for tail in self.tails)


def find_slots(
    tokenizer: Tokenizer, prompts: Sequence[str], answers: Sequence[Sequence[str]]
) -> list[Slot]:
    """Token ids of prompts, and of each possible answer after its prompt.

    All answers are encoded behind the first prompt; behind each other prompt one of them, in turn.
    If that one gives the same tail at the same distance, the rest follows; if not, all are encoded.

    Args:
        tokenizer: the tokenizer.
        prompts: texts up to the slot.
        answers: the continuations of each prompt, such as ("A", "B", "C", "D").

    Raises:
        DataError: two answers have the same ids, or an answer adds none.
    """
    plain = [tuple(ids.tolist()) for ids in tokenizer.encode_batch(list(prompts))]
    probes = [
        prompt + choices[index % len(choices)]
        for index, (prompt, choices) in enumerate(zip(prompts, answers, strict=True))
    ]
    probed = [tuple(ids.tolist()) for ids in tokenizer.encode_batch(probes)]
    known: dict[tuple[str, ...], Slot] = {}
    slots = []
    for index, (ids, choices) in enumerate(zip(plain, answers, strict=True)):
        pattern = known.get(tuple(choices))
        expected = pattern.tails[index % len(choices)] if pattern else None
        if pattern and ids + (expected or ()) == probed[index]:
            slots.append(Slot(ids, pattern.tails))
            continue
        slot = _find_slot(tokenizer, prompts[index], ids, choices)
        if slot.context == ids:
            known.setdefault(tuple(choices), slot)
        slots.append(slot)
    return slots


def _find_slot(
    tokenizer: Tokenizer, prompt: str, ids: tuple[int, ...], choices: Sequence[str]
) -> Slot:
    full = [tuple(i.tolist()) for i in tokenizer.encode_batch([prompt + c for c in choices])]
    # An answer may change the last tokens of the prompt; then the slot starts before them.
    start = min(common_prefix([ids, other]) for other in full)
    tails = tuple(other[start:] for other in full)
    if not all(tails) or len(set(tails)) != len(tails):
        raise DataError(
            "the tokenizer does not tell the answers apart",
            where=f"…{prompt[-12:]!r}",
            value=dict(zip(choices, tails, strict=True)),
            fix="Its vocabulary must hold the letters; try --answer-form space.",
        )
    return Slot(ids[:start], tails)


def common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    """How many leading ids all sequences share."""
    first, last = min(sequences), max(sequences)
    for index, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b:
            return index
    return min(len(first), len(last))
