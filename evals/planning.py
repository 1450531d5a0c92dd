"""From questions to batches: shots, context limits, shared prefixes, lengths.

A plan depends on the questions, the tokenizer and the settings alone, so that a run that was cut
short finds the same batches again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_json
from yanmo.recipe import did_you_mean
from yanmo.vocab.chat import ChatTemplate, Encode, chat_encoder, refuse_markers
from yanmo.vocab.load import Tokenizer

from .exam import LETTERS, Exam, Question
from .prompts import (
    Dialect,
    Slot,
    common_prefix,
    find_slots,
    looked_up_slots,
    plain_encoder,
)

ANSWER_FORMS: Final = ("dialect", "bare", "space")
TOO_LONG: Final = ("first", "last", "longest", "left")
BOS_POLICIES: Final = ("auto", "always", "never")


@dataclass(frozen=True)
class Settings:
    """What changes the result of a run, beside model and data.

    Attributes:
        split: where the questions are from.
        shots: worked examples before each question, the first ones of the task's shot split.
        answer_form: ``dialect``, or the bare letter, or a space before it.
        subjects: keys; all when empty.
        per_subject: at most this many questions of each subject.
        limit: at most this many questions.
        too_long: which shot is left out when a prompt exceeds the context (``first``, ``last``,
            ``longest``), or ``left``: cut tokens on the left, as lm-evaluation-harness does.
        uniform_shots: all questions of a subject get as many shots as the longest can take.
        bos: ``auto``, ``always`` or ``never`` start the prompt with the BOS id.
        batch_tokens: tokens of one batch, padding included.
        rotate: ask every question once for each rotation of its options, to average out the
            model's liking for a letter.
        reason: let the model reason in words and read the answer from them.
        max_new_tokens: length of that reasoning.
    """

    split: str = "val"
    shots: int = 5
    dialect: str = "official"
    answer_form: str = "dialect"
    subjects: tuple[str, ...] = ()
    per_subject: int | None = None
    limit: int | None = None
    too_long: str = "first"
    uniform_shots: bool = False
    bos: str = "auto"
    batch_tokens: int = 1024
    rotate: bool = False
    reason: bool = False
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        for name, value, known in (
            ("answer form", self.answer_form, ANSWER_FORMS),
            ("way to shorten a prompt", self.too_long, TOO_LONG),
            ("policy for the BOS token", self.bos, BOS_POLICIES),
        ):
            if value not in known:
                raise UsageError(f"no such {name}", value=value, fix=did_you_mean(value, known))
        if self.reason and self.rotate:
            raise UsageError("--rotate scores letters, --reason reads words: give one of them")


@dataclass(frozen=True, slots=True)
class Item:
    """A question ready to be scored.

    Attributes:
        question: with its options rotated by ``shift``; its answer stays the original letter.
        slot: its token ids, the beginning-of-sequence id included.
        shots: worked examples that found room.
        cut: the question itself was too long and lost tokens on the left.
        prompt: hash of the prompt and the answers scored.
        shift: place of the option that is shown first.
    """

    question: Question
    slot: Slot
    shots: int
    cut: bool
    prompt: str
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Items of one subject that share a prefix and are scored together."""

    prefix: tuple[int, ...]
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Planner:
    """Turns an exam into batches.

    Attributes:
        exam: questions and shots.
        dialect: how they are worded.
        settings: see ``Settings``.
        tokenizer: of the model.
        bos: ids that every prompt starts with.
        max_tokens: the model's limit.
        template: the model's chat template, for dialects that use it.
    """

    exam: Exam
    dialect: Dialect
    settings: Settings
    tokenizer: Tokenizer
    bos: tuple[int, ...]
    max_tokens: int
    template: ChatTemplate | None = None
    encode: Encode = field(init=False)

    def __post_init__(self) -> None:
        make = chat_encoder if self.template else plain_encoder
        object.__setattr__(self, "encode", make(self.tokenizer))
        if self.settings.reason and not self.dialect.reasoning:
            raise UsageError(f"the dialect '{self.settings.dialect}' has no form for reasoning",
                             fix="Use --dialect official.")  # fmt: skip

    def chosen(self) -> dict[str, list[Question]]:
        """The questions to score, by subject."""
        left = self.settings.limit
        chosen: dict[str, list[Question]] = {}
        for key, rows in self.exam.questions(self.settings.split).items():
            rows = rows[: self.settings.per_subject]
            if left is not None:
                rows = rows[:left]
                left -= len(rows)
            if rows:
                chosen[key] = rows
        return chosen

    def batches(self) -> Iterator[Batch]:
        """Batches of every subject, in the task's order."""
        for key, rows in self.chosen().items():
            by_shots: dict[int, list[Item]] = {}
            for item in self.items(key, rows):
                by_shots.setdefault(item.shots, []).append(item)
            for shots in sorted(by_shots, reverse=True):
                yield from _bucket(by_shots[shots], self.settings.batch_tokens)

    def example(self) -> str:
        """The first prompt with all its shots, its context limit left aside."""
        key, rows = next(iter(self.chosen().items()))
        return self._prompts(key, rows[:1], self._shots(key))[0]

    def slot_shown(self) -> dict[str, list[str]]:
        """The tokens before and in the first question's slot, for the report."""
        key, rows = next(iter(self.chosen().items()))
        slot = self.items(key, rows[:1])[0].slot
        return {
            "before": [self._shown(index) for index in slot.context[-3:]],
            "answers": [" ".join(self._shown(i) for i in tail) for tail in slot.tails],
        }

    def _shown(self, index: int) -> str:
        """A token for human eyes; byte-level vocabularies spell theirs in a code of their own."""
        piece = self.tokenizer.id_to_piece(index) or str(index)
        if self.tokenizer.kind == "byte-bpe":
            piece = self.tokenizer.decode([index], skip_special=False)
        return piece.replace("\n", "⏎").replace(" ", "␣").replace("<0x0A>", "⏎")

    def items(self, key: str, rows: Sequence[Question]) -> list[Item]:
        """Prompts of one subject with as many shots as fit."""
        asked = [
            (rotated(question, shift), shift)
            for question in rows
            for shift in range(len(question.options) if self.settings.rotate else 1)
        ]
        shots = self._shots(key)
        items: list[Item | None] = [None] * len(asked)
        open_rows = list(range(len(asked)))
        for count in range(len(shots), -1, -1):
            kept = _keep(shots, count, self.settings.too_long)
            tried = self._encode(key, [asked[i][0] for i in open_rows], kept)
            fits = [self._fits(slot) for _, slot in tried]
            last = count == 0 or self.settings.too_long == "left"
            if self.settings.uniform_shots and not all(fits) and not last:
                continue
            for i, fit, (prompt, slot) in zip(list(open_rows), fits, tried, strict=True):
                if fit or last:
                    question, shift = asked[i]
                    items[i] = Item(question, self._cut(slot), count, not fit, prompt, shift)
                    open_rows.remove(i)
            if not open_rows:
                break
        return [item for item in items if item is not None]

    def _shots(self, key: str) -> list[Question]:
        task = self.exam.task
        if self.settings.shots == 0:
            return []
        rows = self.exam.splits[task.shot_split].get(key, [])
        if len(rows) < self.settings.shots:
            raise DataError(
                f"'{key}' has {len(rows)} shots in the split '{task.shot_split}', not "
                f"{self.settings.shots}",
                where=self.exam.path,
                fix=f"Give the whole data, or --shots {len(rows)}.",
            )
        return rows[: self.settings.shots]

    def _prompts(self, key: str, rows: Sequence[Question], shots: Sequence[Question]) -> list[str]:
        heading = self.dialect.heading(key, self.exam.task.subject(key))
        reason = self.settings.reason
        if self.template is None:
            return [self.dialect.prompt(heading, shots, q, reason=reason) for q in rows]
        prompts = []
        for question in rows:
            turns = self.dialect.turns(heading, shots, question, reason=reason)
            refuse_markers(self.tokenizer, turns, where=f"{key} {question.id}")
            prompts.append(self.template.render(turns))
        return prompts

    def _encode(
        self, key: str, rows: Sequence[Question], shots: Sequence[Question]
    ) -> list[tuple[str, Slot]]:
        """Prompt hash and slot of every question behind the given shots."""
        prompts = self._prompts(key, rows, shots)
        answers = [self._answers(question) for question in rows]
        if self.settings.reason:
            slots = [Slot(ids, ()) for ids in self.encode(prompts)]
        elif self.dialect.slot == "prompt" or self.settings.answer_form != "dialect":
            slots = find_slots(self.encode, prompts, answers)
        else:
            slots = [
                looked_up_slots(self.tokenizer, [ids], LETTERS[: len(a)], self.dialect.slot)[0]
                for ids, a in zip(self.encode(prompts), answers, strict=True)
            ]
        return [
            (sha256_json([prompt, slot.tails])[:16], Slot(self.bos + slot.context, slot.tails))
            for prompt, slot in zip(prompts, slots, strict=True)
        ]

    def _answers(self, question: Question) -> list[str]:
        letters = LETTERS[: len(question.options)]
        form = self.settings.answer_form
        if form == "dialect":
            return [self.dialect.reply(letter) for letter in letters]
        return [(" " if form == "space" else "") + letter for letter in letters]

    def _room(self, slot: Slot) -> int:
        """Most tokens that the context may have."""
        if self.settings.reason:
            return self.max_tokens - self.settings.max_new_tokens
        # The last token of an answer is predicted, never fed.
        return self.max_tokens - max(len(tail) for tail in slot.tails) + 1

    def _fits(self, slot: Slot) -> bool:
        return len(slot.context) <= self._room(slot)

    def _cut(self, slot: Slot) -> Slot:
        """Drop tokens on the left until the slot fits; a BOS stays, but for ``left``."""
        if self._fits(slot):
            return slot
        head = () if self.settings.too_long == "left" else self.bos
        rest = len(slot.context) - self._room(slot) + len(head)
        return Slot(head + slot.context[rest:], slot.tails)


def rotated(question: Question, shift: int) -> Question:
    """The question with its options moved to the left by ``shift`` places, in a circle."""
    if shift == 0:
        return question
    options = question.options[shift:] + question.options[:shift]
    return replace(question, options=options)


def _keep(shots: Sequence[Question], count: int, drop: str) -> list[Question]:
    """The shots that stay when only ``count`` of them may."""
    order = list(range(len(shots)))
    if drop == "longest":
        order.sort(key=lambda i: -sum(map(len, (shots[i].question, *shots[i].options))))
    elif drop == "last":
        order.reverse()
    dropped = set(order[: len(shots) - count])
    return [shot for i, shot in enumerate(shots) if i not in dropped]


def _bucket(items: Sequence[Item], batch_tokens: int) -> Iterator[Batch]:
    """Share the prefix of a group and cut it into batches of similar length."""
    contexts = [item.slot.context for item in items]
    shared = 0
    if len(items) > 1:
        # At least one token of every prompt stays, to be run with the batch.
        shared = min(common_prefix(contexts), min(map(len, contexts)) - 1)
    prefix = contexts[0][:shared]
    # Questions whose answers are several tokens take another path: they stay among themselves.
    order = sorted(range(len(items)), key=lambda i: (items[i].slot.single, -len(contexts[i]), i))
    batch: list[Item] = []
    for i in order:
        longest = len(batch[0].slot.context if batch else contexts[i]) - shared
        full = batch and longest * (len(batch) + 1) > batch_tokens
        if full or (batch and batch[0].slot.single != items[i].slot.single):
            yield Batch(prefix, tuple(batch))
            batch = []
        batch.append(items[i])
    yield Batch(prefix, tuple(batch))
