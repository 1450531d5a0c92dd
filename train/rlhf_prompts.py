"""Prompts of reinforcement learning: JSON lines in, token ids and the data of each record out.

A record holds ``prompt`` (a text, or a list of messages) or ``messages``, and whatever a rule needs
to judge the response, such as ``answer``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_json
from yanmo.messages import parse_messages, read_objects
from yanmo.packing import order_key
from yanmo.vocab.chat import ChatTemplate

from .config import ModelConfig
from .samples import opening_and_end

if TYPE_CHECKING:
    from yanmo.vocab.load import Tokenizer

KEYS: Final = ("prompt", "messages")
CHATML_MARKERS: Final = ("<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Prompt:
    """One record.

    Attributes:
        id: its ``id``, or ``file#row``.
        text: what a reader sees; for dialogues the last turn.
        ids: what the model reads.
        meta: all other fields.
    """

    id: str
    text: str
    ids: tuple[int, ...]
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class PromptSet:
    """The prompts of a file.

    Attributes:
        prompts: in the file's order.
        counts: read, repeated, too_long.
        sha256: of the ids and the data of all prompts.
    """

    prompts: tuple[Prompt, ...]
    counts: Mapping[str, int]

    @property
    def sha256(self) -> str:
        """Identity of the content."""
        return sha256_json([[p.id, list(p.ids), dict(p.meta)] for p in self.prompts])


class PromptText:
    """Turns records into ids, and ids of responses into text.

    Args:
        folder: the model.
        config: its shape, which may name the opening and closing id.
        template: ``chat``, ``raw``, or ``auto``: chat where the model has a template.

    Attributes:
        chat: whether prompts are rendered by a chat template.
        stop: ids that close a response.
        tokenizer: the model's.

    Raises:
        UsageError: ``chat`` was asked for, and there is no template.
        DataError: nothing says what closes a text.
    """

    def __init__(self, folder: Path, config: ModelConfig, *, template: str = "auto") -> None:
        from yanmo.vocab.load import load_tokenizer

        self.tokenizer: Tokenizer = load_tokenizer(folder)
        self.chat = template == "chat" or (template == "auto" and self._is_chat_model(folder))
        self.stop: tuple[int, ...] = ()
        if self.chat:
            from .chat_text import ChatText

            self._chat = ChatText(folder)
            self.stop = (self._chat.end,)
        else:
            self.opening, end = opening_and_end(config, self.tokenizer)
            self.stop = () if end is None else (end,)
        if not self.stop:
            raise DataError("nothing says what closes a response", where=folder,
                            fix="The tokenizer needs an end-of-sequence token.")  # fmt: skip

    def _is_chat_model(self, folder: Path) -> bool:
        try:
            ChatTemplate(folder)
        except UsageError:
            return all(self.tokenizer.piece_to_id(mark) is not None for mark in CHATML_MARKERS)
        return True

    def encode(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Prompt]:
        """Prompts of records.

        Args:
            records: ``file#row`` and object.

        Raises:
            DataError: a record has no prompt, or one that cannot be asked; names it.
        """
        if not self.chat:
            texts = [_text(record, where) for where, record in records]
            ids = [
                (self.opening, *(int(i) for i in found))
                for found in self.tokenizer.encode_batch(texts)
            ]
        else:
            turns = [_turns(record, where) for where, record in records]
            for (where, _), asked in zip(records, turns, strict=True):
                self._chat.check(asked, (), where=where)
            ids, texts = self._chat.prompts(turns), [str(t[-1]["content"]) for t in turns]
        return [
            Prompt(str(record.get("id", where)), text, found, _meta(record))
            for (where, record), text, found in zip(records, texts, ids, strict=True)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a response."""
        return self.tokenizer.decode(ids)


def _meta(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in (*KEYS, "id")}


def _asked(record: Mapping[str, Any], where: str) -> object:
    found = [key for key in KEYS if record.get(key)]
    if len(found) != 1:
        raise DataError(
            "a record needs one of prompt and messages", where=where,
            value=found or sorted(record), fix="A record is {prompt: text or messages, …}.",
        )  # fmt: skip
    return record[found[0]]


def _text(record: Mapping[str, Any], where: str) -> str:
    asked = _asked(record, where)
    if not isinstance(asked, str):
        raise DataError("the prompt is a dialogue, but the model has no chat template",
                        where=where, value=asked,
                        fix="Give texts, or a model with a template.")  # fmt: skip
    return asked


def _turns(record: Mapping[str, Any], where: str) -> list[dict[str, str]]:
    asked = _asked(record, where)
    if isinstance(asked, str):
        return [{"role": "user", "content": asked}]
    messages = parse_messages(asked, where=where)
    if messages[-1].role == "assistant":
        raise DataError("the prompt ends with an answer", where=where,
                        value=messages[-1].content, fix="Leave the last answer out.")  # fmt: skip
    return [message.table() for message in messages]


def read_prompts(path: Path, text: PromptText, *, max_tokens: int) -> PromptSet:
    """The prompts of a file, repeated and over-long ones left out and counted.

    Raises:
        DataError: a record is no prompt, or none is left.
    """
    records = list(read_objects(path))
    kept: dict[tuple[int, ...], Prompt] = {}
    counts = {"read": len(records), "repeated": 0, "too_long": 0}
    for prompt in text.encode(records):
        if len(prompt.ids) > max_tokens:
            counts["too_long"] += 1
        elif prompt.ids in kept:
            counts["repeated"] += 1
        else:
            kept[prompt.ids] = prompt
    if not kept:
        raise DataError("no prompt is left", where=path, value=counts,
                        fix="Raise rollout.max_prompt_tokens." if records else None)  # fmt: skip
    return PromptSet(tuple(kept.values()), counts)


def set_apart(prompts: PromptSet, count: int) -> tuple[PromptSet, PromptSet]:
    """Hold out some prompts, by a hash of their content: the same ones wherever they stand.

    Raises:
        UsageError: there would be none left to train on.
    """
    if count == 0:
        return prompts, PromptSet((), {})
    if count >= len(prompts.prompts):
        raise UsageError(
            "too few prompts to set some apart", value=(len(prompts.prompts), count),
            fix="Give a file of them (--heldout), or set heldout.prompts.",
        )  # fmt: skip
    ordered = sorted(prompts.prompts, key=lambda p: order_key("heldout", *p.ids))
    out = {p.ids for p in ordered[:count]}
    train = tuple(p for p in prompts.prompts if p.ids not in out)
    return PromptSet(train, prompts.counts), PromptSet(tuple(ordered[:count]), {})
