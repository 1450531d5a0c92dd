"""The layouts in which instruction data is published: one reader and one writer each.

A reader takes a JSON object and gives the records in it; a writer gives the JSON object of a record
that is known to fit (``message_formats`` asks first).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from yanmo.errors import DataError
from yanmo.message_records import (
    CALLS,
    INPUT_AT,
    INSTANCE,
    THOUGHTS,
    Record,
    checked,
    exchanges,
    implied_calls,
    rest,
    text_of,
)
from yanmo.messages import Message, parse_messages
from yanmo.recipe import did_you_mean

Object = Mapping[str, Any]

FROM_ROLES: Final = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "system": "system", "function_call": "assistant", "observation": "tool",
}  # fmt: skip
"""ShareGPT's names, with LLaMA-Factory's for tools and BELLE's ``assistant``."""


def _unread(turns: Sequence[Any], *known: str) -> tuple[str, ...]:
    """Fields of turns that a message has no place for."""
    return tuple(
        f"field {name!r} of turn {number}"
        for number, turn in enumerate(turns)
        for name in turn
        if name not in known
    )


def read_openai(record: Object, where: str) -> list[Record]:
    messages = parse_messages(record.get("messages"), where=where)
    unread = _unread(record["messages"], "role", "content")
    return [Record(messages, rest(record, "messages"), unread=unread)]


def write_openai(record: Record) -> dict[str, Any]:
    return {"messages": [m.table() for m in record.messages], **record.fields}


def _exchange(instruction: str, given: str, where: str) -> tuple[str, dict[str, int]]:
    """The user's text of instruction and input, and where the second begins."""
    if not given:
        return instruction, {}
    return (f"{instruction}\n{given}", {INPUT_AT: len(instruction)}) if instruction else (
        given, {INPUT_AT: 0}
    )  # fmt: skip


def alpaca_prompt(record: Object, where: str) -> tuple[list[Message], dict[str, int]]:
    """System, history and question of an Alpaca record, without its answer."""
    messages = []
    if record.get("system"):
        messages.append(Message("system", text_of(record, "system", where)))
    history = record.get("history") or []
    for pair in history if isinstance(history, list) else [history]:
        if not (isinstance(pair, list) and [type(text) for text in pair] == [str, str]):
            raise DataError("history is no list of [question, answer]", where=where, value=pair)
        messages += [Message("user", pair[0]), Message("assistant", pair[1])]
    given = "" if record.get("input") is None else text_of(record, "input", where)
    text, mark = _exchange(text_of(record, "instruction", where), given, where)
    return [*messages, Message("user", text)], mark


def read_alpaca(record: Object, where: str) -> list[Record]:
    messages, mark = alpaca_prompt(record, where)
    messages.append(Message("assistant", text_of(record, "output", where)))
    fields = rest(record, "instruction", "input", "output", "system", "history")
    return [Record(checked(messages, where), {**fields, **mark})]


def write_alpaca(record: Record) -> dict[str, Any]:
    system, pairs, _ = exchanges(record.messages)
    fields = dict(record.fields)
    text, at = pairs[-1][0], fields.pop(INPUT_AT, None)
    instruction, given = text, ""
    if at == 0:
        instruction, given = "", text
    elif isinstance(at, int) and text[at : at + 1] == "\n":
        instruction, given = text[:at], text[at + 1 :]
    made: dict[str, Any] = {"instruction": instruction, "input": given, "output": pairs[-1][1]}
    if system:
        made["system"] = system
    if len(pairs) > 1:
        made["history"] = [list(pair) for pair in pairs[:-1]]
    return made | fields


def read_seed(record: Object, where: str) -> list[Record]:
    found, instances = [], record.get("instances")
    if not isinstance(instances, list) or not all(isinstance(i, dict) for i in instances):
        raise DataError("instances is no list of {input, output}", where=where, value=instances)
    unread = _unread(instances, "input", "output")
    for number, instance in enumerate(instances):
        fields = {"instruction": record.get("instruction"), **instance}
        text, mark = _exchange(text_of(fields, "instruction", where),
                               text_of(fields, "input", where), where)  # fmt: skip
        messages = [Message("user", text), Message("assistant", text_of(fields, "output", where))]
        several = {INSTANCE: number} if len(instances) > 1 else {}
        others = rest(record, "instruction", "instances")
        found.append(Record(tuple(messages), {**others, **several, **mark}, unread=unread))
    return found


def write_seed(record: Record) -> dict[str, Any]:
    alpaca = write_alpaca(record)
    instruction = alpaca.pop("instruction")
    instance = {name: alpaca.pop(name) for name in ("input", "output")}
    names = [name for name in ("id", "name") if name in alpaca]
    return {name: alpaca.pop(name) for name in names} | {
        "instruction": instruction, "instances": [instance], **alpaca,
    }  # fmt: skip


def read_target(record: Object, where: str) -> list[Record]:
    messages = (Message("user", text_of(record, "input", where)),
                Message("assistant", text_of(record, "target", where)))  # fmt: skip
    return [Record(messages, rest(record, "input", "target"))]


def write_target(record: Record) -> dict[str, Any]:
    kind = {"kind": record.fields["kind"]} if "kind" in record.fields else {}
    question, answer = (m.content for m in record.messages)
    return {**kind, "input": question, "target": answer, **rest(record.fields, "kind")}


_TURN = re.compile(r"(?:^|\n)(Human|Assistant):")


def is_transcript(text: object) -> bool:
    """Whether an instruction is a dialogue in BELLE's writing that waits for its answer."""
    return isinstance(text, str) and bool(
        re.match(r"\s*Human:", text) and re.search(r"\nAssistant:\s*$", text)
    )


def read_transcript(record: Object, where: str) -> list[Record]:
    text = text_of(record, "instruction", where).strip()
    _, *pieces = _TURN.split(text)
    roles = ["user" if name == "Human" else "assistant" for name in pieces[::2]]
    texts = [piece.strip() for piece in pieces[1::2]]
    texts[-1:] = [text_of(record, "output", where).strip()]
    messages = [Message(*turn) for turn in zip(roles, texts, strict=True)]
    return [Record(checked(messages, where), rest(record, "instruction", "input", "output"))]


def write_transcript(record: Record) -> dict[str, Any]:
    names = {"user": "Human", "assistant": "Assistant"}
    lines = [f"{names[m.role]}:{m.content}" for m in record.messages[:-1]]
    instruction = "\n".join([*lines, "Assistant:"])
    output = record.messages[-1].content
    return {"instruction": instruction, "input": "", "output": output, **record.fields}


def from_turns(turns: object, where: str) -> tuple[list[Message], list[int]]:
    """Messages of ShareGPT turns, and the numbers of those that call a function."""
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise DataError("conversations is no list of {from, value}", where=where, value=turns)
    messages, calls = [], []
    for number, turn in enumerate(turns):
        name = turn.get("from")
        if name not in FROM_ROLES:
            raise DataError("unknown speaker of a turn", where=where, value=name,
                            fix=did_you_mean(str(name), FROM_ROLES)
                            or f"Known are {', '.join(FROM_ROLES)}.")  # fmt: skip
        if name == "function_call":
            calls.append(number)
        messages.append(Message(FROM_ROLES[name], text_of(turn, "value", where)))
    return messages, calls


def read_sharegpt(record: Object, where: str) -> list[Record]:
    messages, calls = from_turns(record["conversations"], where)
    names = ["conversations"]
    if isinstance(record.get("system"), str):
        names.append("system")
        if record["system"]:
            messages.insert(0, Message("system", record["system"]))
            calls = [number + 1 for number in calls]
    fields = rest(record, *names)
    if calls != implied_calls(messages):
        fields[CALLS] = calls
    unread = _unread(record["conversations"], "from", "value")
    return [Record(checked(messages, where), fields, unread=unread)]


def to_turns(record: Record, assistant: str = "gpt") -> list[dict[str, str]]:
    """ShareGPT turns of messages."""
    calls = record.fields.get(CALLS, implied_calls(record.messages))
    names = {"user": "human", "assistant": assistant, "system": "system", "tool": "observation"}
    return [
        {"from": "function_call" if number in calls else names[m.role], "value": m.content}
        for number, m in enumerate(record.messages)
    ]


def write_sharegpt(record: Record) -> dict[str, Any]:
    return _with_id(record, "conversations", to_turns(record))


def write_belle(record: Record) -> dict[str, Any]:
    return _with_id(record, "conversations", to_turns(record, "assistant"))


def _with_id(record: Record, name: str, turns: list[dict[str, str]]) -> dict[str, Any]:
    ids = {key: record.fields[key] for key in ("id",) if key in record.fields}
    return {**ids, name: turns, **rest(record.fields, "id", CALLS)}


MOSS_PARTS: Final = (
    ("Human", "<|Human|>: ", "<eoh>\n"),
    ("Inner Thoughts", "<|Inner Thoughts|>: ", "<eot>\n"),
    ("Commands", "<|Commands|>: ", "<eoc>\n"),
    ("Tool Responses", "<|Results|>:\n", "\n<eor>\n"),
    ("MOSS", "<|MOSS|>: ", "<eom>\n"),
)
"""Parts of a MOSS-003 turn in their order, with their opening and closing marks."""


def read_moss(record: Object, where: str) -> list[Record]:
    chat, messages, thoughts = record["chat"], [], []
    if record.get("meta_instruction"):
        messages.append(Message("system", text_of(record, "meta_instruction", where)))
    for number in range(1, len(chat) + 1):
        turn = chat.get(f"turn_{number}")
        if not isinstance(turn, dict):
            raise DataError(f"chat has no turn_{number}", where=where, value=list(chat))
        part = {
            name: text_of(turn, name, where).strip().removeprefix(opening.strip())
            .removesuffix(closing.strip()).strip()
            for name, opening, closing in MOSS_PARTS if name in turn or name in ("Human", "MOSS")
        }  # fmt: skip
        messages.append(Message("user", part["Human"]))
        if part.get("Commands", "None") != "None":
            messages += [Message("assistant", part["Commands"]),
                         Message("tool", part.get("Tool Responses", "None"))]  # fmt: skip
        messages.append(Message("assistant", part["MOSS"]))
        thoughts.append(part.get("Inner Thoughts", "None"))
    fields = rest(record, "meta_instruction", "num_turns", "chat")
    if any(thought != "None" for thought in thoughts):
        fields[THOUGHTS] = thoughts
    unread = _unread(list(chat.values()), *(name for name, _, _ in MOSS_PARTS))
    return [Record(checked(messages, where), fields, unread=unread)]


def write_moss(record: Record) -> dict[str, Any]:
    fields = dict(record.fields)
    ids = {key: fields.pop(key) for key in ("conversation_id",) if key in fields}
    thoughts, chat = fields.pop(THOUGHTS, []), {}
    system, turns = "", list(record.messages)
    if turns[0].role == "system":
        system = turns.pop(0).content
    starts = [number for number, turn in enumerate(turns) if turn.role == "user"]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(turns)], strict=True)):
        human, *between, moss = (turn.content for turn in turns[start:end])
        command, result = between if len(between) == 2 else ("None", "None")
        thought = thoughts[number] if number < len(thoughts) else "None"
        texts = (human, thought, command, result, moss)
        chat[f"turn_{number + 1}"] = {
            name: f"{opening}{text}{closing}"
            for (name, opening, closing), text in zip(MOSS_PARTS, texts, strict=True)
        }
    fields.pop(CALLS, None)
    return {**ids, "meta_instruction": system, "num_turns": len(chat), "chat": chat, **fields}


def read_firefly(record: Object, where: str) -> list[Record]:
    turns, messages = record["conversation"], []
    for turn in turns:
        if not isinstance(turn, dict):
            raise DataError("conversation is no list of {human, assistant}", where=where,
                            value=turn)  # fmt: skip
        messages += [Message("user", text_of(turn, "human", where)),
                     Message("assistant", text_of(turn, "assistant", where))]  # fmt: skip
    unread = _unread(turns, "human", "assistant")
    return [Record(checked(messages, where), rest(record, "conversation"), unread=unread)]


def write_firefly(record: Record) -> dict[str, Any]:
    _, pairs, _ = exchanges(record.messages)
    names = ("conversation_id", "category")
    first: dict[str, Any] = {k: record.fields[k] for k in names if k in record.fields}
    talk = [{"human": human, "assistant": assistant} for human, assistant in pairs]
    return {**first, "conversation": talk, **rest(record.fields, *names)}
