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
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.recipe import did_you_mean, from_table, setting
from yanmo.vocab.chat import Encode
from yanmo.vocab.load import Tokenizer

from .exam import LETTERS, Question, Subject

# Where the ids of an answer are taken from; see the head of ``tasks/dialects.toml``.
SLOTS: Final = ("prompt", "first", "last", "piece")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Dialect:
    """How an evaluation words its questions; ``tasks/dialects.toml`` explains the fields."""

    title: str
    source: str
    header: str
    option: str
    item: str
    answer: str
    shot_end: str
    licence: str = ""
    why: str = ""
    language: str = setting("zh", choices=("zh", "en"))
    subject: str = setting("chinese", choices=("chinese", "english", "key", "spaced"))
    strip_question: bool = False
    slot: str = setting("prompt", choices=SLOTS)
    reasoning: str = ""
    reasoning_start: str = ""
    chat: bool = False
    average: str = setting("macro", choices=("macro", "micro"))

    def __post_init__(self) -> None:
        _known("header", self.header, {"subject"})
        _known("option", self.option, {"letter", "text"})
        _known("item", self.item, {"question", "options", "header"})
        _known("answer", self.answer, {"letter"})
        _known("reasoning", self.reasoning, {"explanation", "letter"})
        _known("reasoning_start", self.reasoning_start, set())

    def heading(self, key: str, subject: Subject) -> str:
        """The header of a subject."""
        names = {"chinese": subject.chinese or subject.english, "english": subject.english,
                 "key": key, "spaced": key.replace("_", " ")}  # fmt: skip
        return _fill(self.header, {"subject": names[self.subject]})

    def ask(self, question: Question, heading: str = "") -> str:
        """A question up to the slot of its answer."""
        text = question.question.strip() if self.strip_question else question.question
        options = "".join(
            _fill(self.option, {"letter": letter, "text": option})
            for letter, option in zip(LETTERS, question.options, strict=False)
        )
        return _fill(self.item, {"question": text, "options": options, "header": heading})

    def reply(self, letter: str) -> str:
        """What follows the question when this letter is the answer."""
        return _fill(self.answer, {"letter": letter})

    def worked(self, shot: Question, *, reason: bool = False) -> str:
        """The answer of a shot, reasoned or plain."""
        if shot.answer is None:
            raise DataError("a shot has no answer", where=f"{shot.subject} {shot.id}")
        if not reason:
            return self.reply(shot.answer)
        if shot.explanation is None:
            raise DataError("a shot has no explanation to reason with",
                            where=f"{shot.subject} {shot.id}")  # fmt: skip
        return _fill(self.reasoning, {"explanation": shot.explanation, "letter": shot.answer})

    def prompt(
        self, heading: str, shots: Sequence[Question], question: Question, *, reason: bool = False
    ) -> str:
        """The whole prompt as one text, up to the slot (or to where reasoning goes on)."""
        opening = "" if "{header}" in self.item else heading
        worked = "".join(
            self.ask(shot, heading) + self.worked(shot, reason=reason) + self.shot_end
            for shot in shots
        )
        start = self.reasoning_start if reason else ""
        return opening + worked + self.ask(question, heading) + start

    def turns(
        self, heading: str, shots: Sequence[Question], question: Question, *, reason: bool = False
    ) -> list[dict[str, str]]:
        """The prompt as chat messages: each shot a turn of the user and one of the assistant."""
        messages: list[dict[str, str]] = []
        for shot in shots:
            reply = self.worked(shot, reason=reason)
            messages += [
                {"role": "user", "content": self.ask(shot)},
                {"role": "assistant", "content": reply},
            ]
        messages.append({"role": "user", "content": self.ask(question)})
        messages[0]["content"] = heading + messages[0]["content"]
        return messages


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
    encode: Encode, prompts: Sequence[str], answers: Sequence[Sequence[str]]
) -> list[Slot]:
    """Token ids of prompts, and of each possible answer after its prompt.

    All answers are encoded behind the first prompt; behind each other prompt one of them, in turn.
    If that one gives the same tail at the same distance, the rest follows; if not, all are encoded.

    Args:
        encode: turns texts into ids.
        prompts: texts up to the slot.
        answers: the continuations of each prompt, such as ("A", "B", "C", "D").

    Raises:
        DataError: two answers have the same ids, or an answer adds none.
    """
    plain = encode(list(prompts))
    probed = encode([
        prompt + choices[index % len(choices)]
        for index, (prompt, choices) in enumerate(zip(prompts, answers, strict=True))
    ])  # fmt: skip
    known: dict[tuple[str, ...], Slot] = {}
    slots = []
    for index, (ids, choices) in enumerate(zip(plain, answers, strict=True)):
        pattern = known.get(tuple(choices))
        expected = pattern.tails[index % len(choices)] if pattern else None
        if pattern and ids + (expected or ()) == probed[index]:
            slots.append(Slot(ids, pattern.tails))
            continue
        slot = _find_slot(encode, prompts[index], ids, choices)
        if slot.context == ids:
            known.setdefault(tuple(choices), slot)
        slots.append(slot)
    return slots


def _find_slot(encode: Encode, prompt: str, ids: tuple[int, ...], choices: Sequence[str]) -> Slot:
    full = encode([prompt + choice for choice in choices])
    # An answer may change the last tokens of the prompt; then the slot starts before them.
    start = min(common_prefix([ids, other]) for other in full)
    tails = tuple(other[start:] for other in full)
    _require_distinct(choices, tails, where=f"…{prompt[-12:]!r}")
    return Slot(ids[:start], tails)


def looked_up_slots(
    tokenizer: Tokenizer, contexts: Sequence[tuple[int, ...]], letters: Sequence[str], how: str
) -> list[Slot]:
    """Slots whose ids do not come from the prompt: what some published scripts do.

    Args:
        tokenizer: for the vocabulary.
        contexts: ids of the prompts.
        letters: bare letters, as many as the questions have options.
        how: ``first`` or ``last`` id of a letter encoded alone, or the ``piece`` of that name.

    Raises:
        DataError: a letter has no such id, or two have the same.
    """
    tails: list[tuple[int, ...]] = []
    for letter in letters:
        if how == "piece":
            piece = tokenizer.piece_to_id(letter)
            tails.append(() if piece is None else (piece,))
        else:
            alone = tokenizer.encode(letter).tolist()
            tails.append(tuple(alone[:1] if how == "first" else alone[-1:]))
    _require_distinct(letters, tails, where=f"slot '{how}'")
    return [Slot(ids, tuple(tails)) for ids in contexts]


def _require_distinct(
    choices: Sequence[str], tails: Sequence[tuple[int, ...]], *, where: str
) -> None:
    if not all(tails) or len(set(tails)) != len(tails):
        raise DataError(
            "the tokenizer does not tell the answers apart",
            where=where,
            value=dict(zip(choices, tails, strict=True)),
            fix="Its vocabulary must hold the letters; try --answer-form space.",
        )


def common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    """How many leading ids all sequences share."""
    first, last = min(sequences), max(sequences)
    for index, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b:
            return index
    return min(len(first), len(last))


def plain_encoder(tokenizer: Tokenizer) -> Encode:
    """Text to ids without special tokens; what looks like one is text."""

    def encode(texts: list[str]) -> list[tuple[int, ...]]:
        return [tuple(ids.tolist()) for ids in tokenizer.encode_batch(texts)]

    return encode
