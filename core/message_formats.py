"""Which layout a record of instruction data has, and what another layout can hold of it.

The layout of a record is told by its content. A record is written in another layout only if it
reads back as the same turns and fields; otherwise the reasons are given, or, where losses are
allowed, what does not fit is left out and named.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.message_layouts import (
    is_transcript,
    read_alpaca,
    read_firefly,
    read_moss,
    read_openai,
    read_seed,
    read_sharegpt,
    read_target,
    read_transcript,
    write_alpaca,
    write_belle,
    write_firefly,
    write_moss,
    write_openai,
    write_seed,
    write_sharegpt,
    write_target,
    write_transcript,
)
from yanmo.message_records import CALLS, INPUT_AT, Record, exchanges, without_tools
from yanmo.messages import Message
from yanmo.preference_layouts import is_pair, read_pair, write_dpo, write_dpo_text, write_preference
from yanmo.recipe import did_you_mean

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """A layout and what it has a place for.

    Attributes:
        fits: whether a record looks like it.
        read: the records in a JSON object.
        write: the JSON object of a record that fits.
        about: its fields, for help and errors.
        names: fields that mean something of their own in it.
        system: holds a system message.
        tools: holds calls and answers of tools.
        turns: holds more than one exchange.
        open_end: may end with a question.
        pairs: is a layout of preference pairs.
        strips: loses white space around a turn.
        needs: fields that a record must bring along.
    """

    fits: Callable[[Object], bool]
    read: Callable[[Object, str], list[Record]]
    write: Callable[[Record], dict[str, Any]]
    about: str
    names: tuple[str, ...]
    system: bool = False
    tools: bool = False
    turns: bool = False
    open_end: bool = False
    pairs: bool = False
    strips: bool = False
    needs: tuple[str, ...] = ()


def _has(*names: str) -> Callable[[Object], bool]:
    return lambda record: all(name in record for name in names)


def _is_belle(record: Object) -> bool:
    turns = record.get("conversations")
    return isinstance(turns, list) and any(
        isinstance(turn, dict) and turn.get("from") == "assistant" for turn in turns
    )


_TALK = ("conversations", "system")
FORMATS: Final[dict[str, Format]] = {
    "preference": Format(
        lambda r: is_pair(r) and "conversations" not in r, read_pair, write_preference,
        "prompt messages, chosen, rejected", ("prompt", "chosen", "rejected"),
        system=True, tools=True, turns=True, open_end=True, pairs=True),
    "dpo-text": Format(
        lambda r: is_pair(r) and isinstance(r["chosen"], str), read_pair, write_dpo_text,
        "conversations, chosen, rejected as texts", (*_TALK, "chosen", "rejected", "prompt"),
        system=True, tools=True, turns=True, open_end=True, pairs=True),
    "dpo": Format(
        is_pair, read_pair, write_dpo, "conversations, chosen, rejected as turns",
        (*_TALK, "chosen", "rejected", "prompt"),
        system=True, tools=True, turns=True, open_end=True, pairs=True),
    "openai": Format(
        _has("messages"), read_openai, write_openai, "messages of {role, content}", ("messages",),
        system=True, tools=True, turns=True, open_end=True),
    "moss": Format(
        lambda r: isinstance(r.get("chat"), dict), read_moss, write_moss,
        "chat of turn_1 … {Human, MOSS, Commands, …}", ("chat", "meta_instruction", "num_turns"),
        system=True, tools=True, turns=True, strips=True),
    "firefly": Format(
        lambda r: isinstance(r.get("conversation"), list), read_firefly, write_firefly,
        "conversation of {human, assistant}", ("conversation",), turns=True),
    "belle-3.5m": Format(
        _is_belle, read_sharegpt, write_belle, "conversations of human and assistant", _TALK,
        turns=True, open_end=True),
    "sharegpt": Format(
        _has("conversations"), read_sharegpt, write_sharegpt, "conversations of {from, value}",
        _TALK, system=True, tools=True, turns=True, open_end=True),
    "self-instruct": Format(
        _has("instruction", "instances"), read_seed, write_seed,
        "instruction and instances of {input, output}", ("instruction", "instances", "input",
        "output", "system", "history")),
    "belle-multiturn": Format(
        lambda r: is_transcript(r.get("instruction")) and "output" in r and not r.get("input"),
        read_transcript, write_transcript, "a Human:/Assistant: transcript in instruction, output",
        ("instruction", "input", "output"), turns=True, strips=True),
    "alpaca": Format(
        _has("instruction", "output"), read_alpaca, write_alpaca,
        "instruction, input, output[, system, history]",
        ("instruction", "input", "output", "system", "history"),
        system=True, turns=True),
    "belle-0.5m": Format(
        lambda r: "input" in r and "target" in r and "kind" not in r, read_target, write_target,
        "input and target", ("input", "target", "kind")),
    "firefly-1.1m": Format(
        _has("kind", "input", "target"), read_target, write_target, "kind, input and target",
        ("input", "target"), needs=("kind",)),
}  # fmt: skip
"""In the order in which they are tried."""
FORMATS["belle-1m"] = replace(
    FORMATS["alpaca"], fits=lambda record: False, system=False, turns=False,
    about="instruction, input, output (written only: read as alpaca)",
)  # fmt: skip
_READ_AS: Final = {"belle-1m": ("alpaca",), "belle-3.5m": ("sharegpt",)}
"""What a record may be taken for: an unanswered question of BELLE's looks like ShareGPT's."""


def format_named(name: str) -> Format:
    """A format by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in FORMATS:
        raise UsageError("unknown format of instruction data", value=name,
                         fix=did_you_mean(name, FORMATS) or f"Known: {', '.join(FORMATS)}.",
                         )  # fmt: skip
    return FORMATS[name]


def detect(record: Object, *, where: str) -> str:
    """The name of the first format that a record fits.

    Raises:
        DataError: it fits none.
    """
    for name, found in FORMATS.items():
        if found.fits(record):
            return name
    known = "; ".join(f"{name}: {found.about}" for name, found in FORMATS.items())
    raise DataError(f"no known format has the fields {', '.join(record) or '(none)'}", where=where,
                    fix=f"Rename them or name the format. Known are {known}.")  # fmt: skip


def parse(record: Object, *, where: str, as_: str | None = None) -> list[Record]:
    """The dialogues or preference pairs of a JSON object.

    Args:
        record: as read.
        where: ``file#row``.
        as_: name of its format; told by the content if ``None``.

    Raises:
        DataError: it fits no format, or not the one that it looks like.
        UsageError: ``as_`` is no format.
    """
    name = as_ or detect(record, where=where)
    found = format_named(name)
    try:
        return found.read(record, where)
    except KeyError as error:
        raise DataError(f"a record of {name} has no field {error}", where=where,
                        value=list(record), fix=f"It has {found.about}.") from None  # fmt: skip


def misfits(record: Record, to: str) -> list[str]:
    """Why a format cannot hold a record; nothing if it can."""
    form, roles = format_named(to), [m.role for m in record.messages]
    system, pairs, left = exchanges(without_tools(record.messages))
    said = [f"{what} cannot be kept" for what in record.unread]
    if record.pair is None and form.pairs:
        said.append("it has no chosen and rejected answer")
    if record.pair is not None and not form.pairs:
        said.append(f"{to} has no place for a rejected answer")
    if system and not form.system:
        said.append(f"{to} has no place for a system message")
    if "tool" in roles and not form.tools:
        said.append(f"{to} has no place for tools")
    elif len(pairs) > 1 and not form.turns:
        said.append(f"{to} has no place for more than one exchange, here are {len(pairs)}")
    if left is not None and not form.open_end and record.pair is None:
        said.append(f"{to} needs an answer, the last turn is a question")
    if form.strips and _stripped(record.messages) != list(record.messages):
        said.append(f"{to} loses the white space around a turn")
    said += [f"{to} needs a field {name!r}" for name in form.needs if name not in record.fields]
    said += [f"field {name!r} means something else in {to}"
             for name in record.fields if name in form.names]  # fmt: skip
    return said


def _stripped(messages: Sequence[Message]) -> list[Message]:
    return [m if m.role == "system" else Message(m.role, m.content.strip()) for m in messages]


def write(record: Record, to: str, *, where: str) -> dict[str, Any]:
    """A record in another format, without loss.

    Raises:
        DataError: the format cannot hold it; says why.
    """
    said = misfits(record, to)
    if said:
        raise DataError("; ".join(said), where=where)
    return _proven(record, to, where)


def write_lossy(record: Record, to: str, *, where: str) -> tuple[dict[str, Any], list[str]]:
    """What a format can hold of a record, and what was left out.

    Raises:
        DataError: not even a part of it fits.
    """
    lost = misfits(record, to)
    form, messages, fields = format_named(to), list(record.messages), dict(record.fields)
    pair = record.pair
    if pair is not None and not form.pairs:
        messages, pair = [*messages, Message("assistant", pair[0])], None
    if not form.system:
        messages = [m for m in messages if m.role != "system"]
    if not form.tools:
        messages = without_tools(messages)
        fields.pop(CALLS, None)
    if not form.turns:
        start = int(bool(messages) and messages[0].role == "system")
        messages = messages[: start + 2]
    if not form.open_end and messages and messages[-1].role == "user":
        messages.pop()
    if form.strips:
        messages = _stripped(messages)
    fields = {name: value for name, value in fields.items() if name not in form.names}
    if not any(m.role == "user" for m in messages) or (pair is None and form.pairs):
        raise DataError("; ".join(lost) or "nothing is left of it", where=where)
    if messages != list(record.messages):
        fields.pop(INPUT_AT, None)
    return _proven(Record(tuple(messages), fields, pair), to, where), lost


def _proven(record: Record, to: str, where: str) -> dict[str, Any]:
    """The JSON object, once it is seen to read back as the record."""
    try:
        made = FORMATS[to].write(record)
        found = detect(made, where=where)
    except (ValueError, TypeError, LookupError) as error:
        raise DataError(f"{to} cannot hold its turns", where=where,
                        value=[m.role for m in record.messages]) from error  # fmt: skip
    if found not in (to, *_READ_AS.get(to, ())):
        raise DataError(f"as {to} it would be taken for {found}", where=where, value=list(made))
    try:
        (back,) = parse(made, where=where)
    except (DataError, ValueError) as error:
        raise DataError(f"as {to} it would not read back ({error})", where=where) from None
    if back.messages != record.messages:
        pairs = zip(record.messages, back.messages, strict=False)
        number = next((n for n, (a, b) in enumerate(pairs) if a != b), len(back.messages))
        raise DataError(f"as {to}, turn {number} would read back as another", where=where,
                        value=record.messages[number : number + 1])  # fmt: skip
    if back.pair != record.pair or dict(back.fields) != dict(record.fields):
        names = sorted(name for name in {*back.fields, *record.fields}
                       if back.fields.get(name) != record.fields.get(name))  # fmt: skip
        raise DataError(f"as {to}, fields would read back as others", where=where, value=names)
    return made
