"""Dialogues in; token ids, what is trained of them, and an account of every dialogue out."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError
from yanmo.files import sha256_json
from yanmo.messages import Dialogue, Message, read_dialogues
from yanmo.packing import Ints
from yanmo.vocab.chat import refuse_markers
from yanmo.vocab.load import Tokenizer

from .loss import IGNORED
from .sft_mask import Encoded, Masker, NotPrefixSafe, Span
from .sft_recipe import Dialogues

# Dialogues that are tokenised in one call.
BLOCK = 512


@dataclass(frozen=True)
class Account:
    """What became of every dialogue: read = kept + too long + refused + unsafe.

    Attributes:
        read: dialogues in the files.
        kept: dialogues that are trained on; ``cut`` of them lost their oldest turns.
        too_long: left out because of their length.
        refused: left out for other reasons, by reason.
        unsafe: dialogues that show that the template is not prefix-safe.
        answers: turns of the assistant in what is kept.
        unended, merged: see :class:`yanmo.train.sft_mask.Encoded`, answers.
        double_bos: kept dialogues that open with two BOS.
    """

    read: int = 0
    kept: int = 0
    cut: int = 0
    too_long: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unsafe: int = 0
    answers: int = 0
    unended: int = 0
    merged: int = 0
    double_bos: int = 0


@dataclass(frozen=True, eq=False)
class Corpus:
    """Dialogues, laid end to end.

    Attributes:
        tokens: (N,) int32 inputs: all tokens of each dialogue but its last.
        labels: (N,) int32: the token after each, or ``IGNORED`` where it is not trained.
        ends: (dialogues,) where each ends in these.
        ids, origins: of each dialogue: its name, and file#row.
        sources: names of the files; ``codes`` (dialogues,) which one each is from.
        text_bytes: (dialogues,) UTF-8 bytes of its answers.
        account: what became of the dialogues that were read.
        examples: by what is remarkable, the first dialogue of that kind.
        quarantine: {id, origin, reason, error} of those that were refused.
        end_ids: how often each token ends an answer.
    """

    tokens: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    ends: Ints
    ids: list[str]
    origins: list[str]
    sources: list[str]
    codes: npt.NDArray[np.int32]
    text_bytes: Ints
    account: Account
    examples: dict[str, str]
    quarantine: list[dict[str, str]]
    end_ids: Counter[int]

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def identity(self) -> str:
        """SHA-256 of what is trained on: ids, labels, and where each dialogue ends."""
        parts = (self.tokens, self.labels, self.ends.astype("<i8"))
        return sha256_json([hashlib.sha256(p.tobytes()).hexdigest() for p in parts])

    @property
    def begins(self) -> Ints:
        """(dialogues,) where each begins."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])[: len(self.ends)]

    @property
    def trained(self) -> Ints:
        """(dialogues,) trained tokens of each."""
        sums = np.concatenate([[0], np.cumsum(self.labels != IGNORED)])
        counts: Ints = sums[self.ends] - sums[self.begins]
        return counts

    @property
    def end_id(self) -> int:
        """The token that ends most answers; -1 where none does."""
        return self.end_ids.most_common(1)[0][0] if self.end_ids else -1


def read_corpus(
    paths: Sequence[Path], masker: Masker, tokenizer: Tokenizer, settings: Dialogues
) -> Corpus:
    """Read, render and tokenise dialogues.

    Args:
        paths: files of dialogues.
        masker: of the model.
        tokenizer: of the model.
        settings: ``[data]`` of the recipe.

    Raises:
        DataError: a file cannot be read, or a record is no dialogue.
    """
    builder = _Builder(masker, tokenizer, settings)
    for code, path in enumerate(paths):
        dialogues = _numbered(path)
        while block := list(islice(dialogues, BLOCK)):
            builder.add(code, block)
    return builder.corpus(_names(paths))


def _numbered(path: Path) -> Iterator[tuple[str, Dialogue]]:
    return ((f"{path.name}#{row}", d) for row, d in enumerate(read_dialogues(path)))


def _names(paths: Sequence[Path]) -> list[str]:
    """File names, with numbers where two are equal."""
    seen: Counter[str] = Counter()
    names = []
    for path in paths:
        seen[path.name] += 1
        names.append(path.name if seen[path.name] == 1 else f"{path.name} ({seen[path.name]})")
    return names


@dataclass
class _Waiting:
    """A dialogue on its way: name, place, messages up to the last answer, and its rendering."""

    id: str
    origin: str
    messages: tuple[Message, ...]
    rendered: tuple[str, list[Span]] = ("", [])


class _Builder:
    def __init__(self, masker: Masker, tokenizer: Tokenizer, settings: Dialogues) -> None:
        self.masker, self.tokenizer, self.settings = masker, tokenizer, settings
        self.kept: list[tuple[str, str, int, Encoded]] = []
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.quarantine: list[dict[str, str]] = []
        self.end_ids: Counter[int] = Counter()

    def add(self, code: int, block: Iterable[tuple[str, Dialogue]]) -> None:
        """Take in some dialogues of file number ``code``."""
        waiting = [w for w in (self._render(*item) for item in block) if w is not None]
        encoded = self.masker.encode([w.rendered for w in waiting])
        for item, found in zip(waiting, encoded, strict=True):
            fitting = self._fit(item, found)
            if fitting is None:
                continue
            if fitting.trained.any():
                self._keep(code, item, fitting)
            else:
                self._refuse("no token is trained", item, "its answers render to nothing")

    def _render(self, origin: str, dialogue: Dialogue) -> _Waiting | None:
        self.counts["read"] += 1
        messages = _to_last_answer(dialogue.messages)
        where = dialogue.id if dialogue.id == origin else f"{origin} ({dialogue.id})"
        item = _Waiting(dialogue.id, origin, messages)
        if not messages:
            self._refuse("no answer", item, "no turn is the assistant's")
            return None
        tables = [message.table() for message in messages]
        try:
            refuse_markers(self.tokenizer, tables, where=where)
        except DataError as error:
            self._refuse("special token in the text", item, str(error))
            return None
        try:
            item.rendered = self.masker.spans(messages, where=where)
        except NotPrefixSafe as error:
            self._note("unsafe", 1, str(error))
            return None
        except DataError as error:
            self._refuse("refused by the template", item, str(error))
            return None
        return item

    def _refuse(self, reason: str, item: _Waiting, error: str) -> None:
        self.refused[reason] += 1
        self.quarantine.append(
            {"id": item.id, "origin": item.origin, "reason": reason, "error": error}
        )

    def _note(self, what: str, count: int, example: str) -> None:
        self.counts[what] += count
        if count:
            self.examples.setdefault(what, example)

    def _fit(self, item: _Waiting, encoded: Encoded) -> Encoded | None:
        """The dialogue if it is short enough, without its oldest turns if it may be cut."""
        limit, messages = self.settings.max_tokens, item.messages
        first = encoded
        while len(encoded.ids) > limit and self.settings.too_long == "cut":
            messages = _without_oldest(messages)
            if not messages:
                break
            (encoded,) = self.masker.encode([self.masker.spans(messages, where=item.origin)])
        if len(encoded.ids) > limit:
            self._note("too_long", 1, item.id)
            return None
        if encoded is not first:
            self._note("cut", 1, item.id)
        return encoded

    def _keep(self, code: int, item: _Waiting, found: Encoded) -> None:
        bos = self.tokenizer.bos_id
        doubled = bos is not None and len(found.ids) > 1 and bool((found.ids[:2] == bos).all())
        self.counts["answers"] += found.answers
        for what, count in (("unended", found.unended), ("merged", found.merged),
                            ("double_bos", int(doubled))):  # fmt: skip
            self._note(what, count, item.id)
        last = found.trained & ~np.append(found.trained[1:], False)
        self.end_ids.update(found.ids[last].tolist())
        self.kept.append((item.id, item.origin, code, found))

    def corpus(self, sources: list[str]) -> Corpus:
        """Everything that was taken in."""
        kept = [found for *_, found in self.kept]
        account = Account(kept=len(kept), refused=dict(sorted(self.refused.items())), **self.counts)
        lengths = np.array([len(found.ids) - 1 for found in kept], np.int64)
        return Corpus(
            tokens=_join(found.ids[:-1] for found in kept),
            labels=_join(np.where(f.trained[1:], f.ids[1:], IGNORED) for f in kept),
            ends=np.cumsum(lengths),
            ids=[name for name, *_ in self.kept],
            origins=[origin for _, origin, *_ in self.kept],
            sources=sources,
            codes=np.array([code for _, _, code, _ in self.kept], np.int32),
            text_bytes=np.array([found.text_bytes for found in kept], np.int64),
            account=account, examples=self.examples, quarantine=self.quarantine,
            end_ids=self.end_ids,
        )  # fmt: skip


def _join(parts: Iterable[Any]) -> npt.NDArray[np.int32]:
    found = list(chain([np.empty(0, np.int32)], parts))
    return np.concatenate(found).astype(np.int32)


def _to_last_answer(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """A dialogue without what stands behind its last answer; nothing trains on that."""
    answers = [i for i, message in enumerate(messages) if message.role == "assistant"]
    return messages[: answers[-1] + 1] if answers else ()


def _without_oldest(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """A dialogue without its first question and what belongs to it; the system message stays."""
    head = messages[:1] if messages[0].role == "system" else ()
    questions = [i for i, message in enumerate(messages) if message.role == "user"]
    return (*head, *messages[questions[1] :]) if len(questions) > 1 else ()
