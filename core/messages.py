"""Dialogues: what instruction data is, whatever format it came in.

One JSON object a dialogue, in the form that chat models are trained on and asked in:
``{"id": …, "messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}``.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

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


Bad = Callable[[DataError, str], None]
"""Takes the error of a record and what could be read of it, as text."""


def read_objects(path: Path, *, bad: Bad | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file: an array, JSON lines or one object, told by the content.

    JSON lines are streamed; an array is held whole.

    Args:
        path: .json or .jsonl, plain, .gz or .zst; the suffix before that says nothing.
        bad: is told of records that are no JSON object; without it they are errors.

    Yields:
        ``file#row`` and the object; rows count from 0.

    Raises:
        DataError: a record is no JSON object and ``bad`` is not given; names the line.
    """
    with reading(path), open_input(path) as stream:
        for row, (place, value) in enumerate(_values(path, stream)):
            where = f"{path.name}#{row}"
            error = value if isinstance(value, DataError) else None
            if not isinstance(value, dict | DataError):
                error = DataError("a record is no JSON object", where=where, value=value)
            if error is None:
                yield where, cast(dict[str, Any], value)
            elif bad is None:
                raise error
            else:
                bad(error, place if isinstance(value, DataError) else json.dumps(value))


def _values(path: Path, stream: BinaryIO) -> Iterator[tuple[str, object]]:
    """The values of a stream with their text; of a line that is no JSON, its error."""
    first, start, head = 1, 0, b""
    for first, head in enumerate(stream, 1):
        if first == 1 and head.startswith(BOM_UTF8):
            head, start = head.removeprefix(BOM_UTF8), len(BOM_UTF8)
        if head.strip():
            break
        start += len(head)
    if head.lstrip().startswith(b"[") or head.strip() == b"{":
        yield from _whole(_decoded(head + stream.read(), path, start), path)
        return
    for number, line in enumerate(chain([head], stream), first):
        if line.strip():
            yield _line(_decoded(line, path, start), f"{path}, line {number}")
        start += len(line)


def _whole(text: str, path: Path) -> Iterator[tuple[str, object]]:
    """The values of an array, or one object over several lines."""
    array = text.lstrip().startswith("[")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        kind = "array" if array else "object"
        raise DataError(f"the file is no JSON {kind} ({error})", where=path) from None
    yield from (("", value) for value in (found if array else [found]))


def _line(text: str, where: str) -> tuple[str, object]:
    # One line is what ends with LF: JSON strings may hold U+2028 and its like.
    try:
        return text, json.loads(text)
    except json.JSONDecodeError as error:
        return text, DataError(f"no JSON ({error})", where=where, value=text[:80])


def _decoded(data: bytes, path: Path, start: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("the file is no UTF-8", where=path, value=data[error.start :][:20],
                        fix=f"See byte {start + error.start}.") from None  # fmt: skip


def read_dialogues(path: Path) -> Iterator[Dialogue]:
    """Dialogues of a file in any known format (:mod:`yanmo.message_formats`), told by the content.

    Yields:
        One dialogue a record; one an instance of a seed task.

    Raises:
        DataError: a record is no dialogue; names it.
    """
    from yanmo.message_formats import parse

    for where, record in read_objects(path):
        for found in parse(record, where=where):
            if found.pair is not None:
                raise DataError(
                    "a preference pair is no dialogue", where=where, value=list(record),
                    fix="yanmo curate instruct convert --to openai --lossy takes the chosen one.",
                )  # fmt: skip
            meta = {name: value for name, value in found.fields.items() if name != "id"}
            yield Dialogue(found.messages, found.name(where), meta)
