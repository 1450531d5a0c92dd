"""Dialogues: what instruction data is, whatever format it came in.

One JSON object a dialogue, in the form that chat models are trained on and asked in:
``{"id": …, "messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError
from yanmo.files import open_input, reading

ROLES: Final = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Message:
    """One turn: who (a name in ``ROLES``) and what."""

    role: str
    content: str

    def table(self) -> dict[str, str]:
        """As templates and endpoints want it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True)
class Dialogue:
    """Messages in order.

    Attributes:
        messages: at most one system message, in front; then user and assistant in turn.
        id: stable name; ``file#row`` where the data names none.
        meta: all other fields of the record, untouched.
    """

    messages: tuple[Message, ...]
    id: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """The JSON object of this dialogue."""
        return {"id": self.id, "messages": [m.table() for m in self.messages], **self.meta}


def parse_messages(value: object, *, where: str) -> tuple[Message, ...]:
    """Check a ``messages`` list.

    Args:
        value: what the JSON field holds.
        where: file and record, for errors.

    Raises:
        DataError: it is no list of objects with a known role and a text, or the turns do not
            alternate.
    """
    if not isinstance(value, list) or not value:
        raise DataError("messages is no list of turns", where=where, value=value)
    found = []
    for turn in value:
        if not isinstance(turn, dict) or not isinstance(turn.get("content"), str):
            raise DataError("a turn has no text", where=where, value=turn,
                            fix="A turn is {role, content}.")  # fmt: skip
        if turn.get("role") not in ROLES:
            raise DataError("unknown role of a turn", where=where, value=turn.get("role"),
                            fix=f"Roles are {', '.join(ROLES)}.")  # fmt: skip
        found.append(Message(turn["role"], turn["content"]))
    check_turns(found, where=where)
    return tuple(found)


def check_turns(messages: Sequence[Message], *, where: str) -> None:
    """Refuse an order of roles that no chat template renders.

    Raises:
        DataError: a system message that is not the first, a first turn that is not the user's, or
            two turns of one role in a row (tools may answer several times).
    """
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    before = ""
    for number, message in enumerate(turns):
        role = message.role
        wrong = (
            role == "system"
            or (number == 0 and role != "user")
            or (role == before and role != "tool")
            or (role == "tool" and before not in ("assistant", "tool"))
            or (role == "user" and before == "tool")
        )
        if wrong:
            raise DataError("the turns do not alternate", where=where,
                            value=[m.role for m in messages])  # fmt: skip
        before = role


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file: an array or JSON lines, told by the content, not by the suffix.

    Args:
        path: .json or .jsonl, plain, .gz or .zst.

    Yields:
        ``file#row`` and the object; rows count from 0.

    Raises:
        DataError: a record is no JSON object; names the line.
    """
    with reading(path), open_input(path) as stream:
        data = stream.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the file is no UTF-8", where=path, value=data[error.start :][:20],
                        fix=f"See byte {error.start}.") from None  # fmt: skip
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"the file is no JSON array ({error})", where=path) from None
        yield from _objects(path, values)
    else:
        yield from _objects(path, _lines(path, text))


def _lines(path: Path, text: str) -> Iterator[object]:
    # Not splitlines(): JSON strings may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"no JSON ({error})", where=f"{path}, line {number}",
                                value=line[:80]) from None  # fmt: skip


def _objects(path: Path, values: Iterable[object]) -> Iterator[tuple[str, dict[str, Any]]]:
    for row, value in enumerate(values):
        if not isinstance(value, dict):
            raise DataError("a record is no JSON object", where=f"{path.name}#{row}", value=value)
        yield f"{path.name}#{row}", value


def read_dialogues(path: Path) -> Iterator[Dialogue]:
    """Dialogues of a file.

    Raises:
        DataError: a record is no dialogue; names it.
    """
    for where, record in read_objects(path):
        messages = parse_messages(record.get("messages"), where=where)
        meta = {k: v for k, v in record.items() if k not in ("messages", "id")}
        yield Dialogue(messages, str(record.get("id", where)), meta)
