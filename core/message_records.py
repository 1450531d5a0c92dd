"""A record of instruction data, whatever its layout, and how texts are cut and joined in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from yanmo.errors import DataError
from yanmo.messages import Message, check_turns

CALLS: Final = "function_call_turns"
"""Field that numbers the turns that call a function, where their place does not say so."""
INPUT_AT: Final = "input_at"
"""Field that says where the last user turn of an Alpaca record goes over into its input."""
THOUGHTS: Final = "inner_thoughts"
"""Field that holds MOSS's thoughts, one a turn."""
INSTANCE: Final = "instance"
"""Field that numbers the dialogues that came from one seed task with several instances."""


@dataclass(frozen=True)
class Record:
    """What one JSON object says.

    Attributes:
        messages: the turns; of a preference pair: its prompt.
        fields: all other fields, and those above that keep what messages have no place for.
        pair: chosen and rejected answer of a preference pair.
        unread: what the reader could not take over, in words.
    """

    messages: tuple[Message, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    pair: tuple[str, str] | None = None
    unread: tuple[str, ...] = ()

    def name(self, where: str) -> str:
        """The dialogue's id: ``id``, else ``conversation_id``, else ``file#row``."""
        found = self.fields.get("id", self.fields.get("conversation_id"))
        name = where if found is None else str(found)
        return f"{name}#{self.fields[INSTANCE]}" if INSTANCE in self.fields else name


def text_of(record: Mapping[str, Any], name: str, where: str) -> str:
    """A field that must be a text.

    Raises:
        DataError: it is none.
    """
    value = record.get(name)
    if not isinstance(value, str):
        raise DataError(f"field {name!r} is no text", where=where, value=value)
    return value


def rest(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The fields that a layout does not name."""
    return {key: value for key, value in record.items() if key not in names}


def checked(messages: Sequence[Message], where: str) -> tuple[Message, ...]:
    """The turns, once their order is known to be right.

    Raises:
        DataError: there is none, or they do not alternate.
    """
    if not messages:
        raise DataError("the record has no turn", where=where)
    check_turns(messages, where=where)
    return tuple(messages)


def implied_calls(messages: Sequence[Message]) -> list[int]:
    """Numbers of the assistant turns that a tool answers: these call a function."""
    return [
        number
        for number, (turn, after) in enumerate(pairwise(messages))
        if turn.role == "assistant" and after.role == "tool"
    ]


def without_tools(messages: Sequence[Message]) -> list[Message]:
    """The turns without calls of functions and what came of them."""
    calls = implied_calls(messages)
    return [m for number, m in enumerate(messages) if m.role != "tool" and number not in calls]


def exchanges(messages: Sequence[Message]) -> tuple[str, list[tuple[str, str]], str | None]:
    """System text ("" if none), pairs of question and answer, and a question left open."""
    system = messages[0].content if messages and messages[0].role == "system" else ""
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    texts = [turn.content for turn in turns]
    return system, list(zip(texts[::2], texts[1::2], strict=False)), (
        texts[-1] if len(texts) % 2 else None
    )  # fmt: skip
