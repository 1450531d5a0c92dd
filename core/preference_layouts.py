"""Preference pairs: a prompt, the answer that was chosen and the one that was rejected."""

from collections.abc import Mapping
from typing import Any

from yanmo.errors import DataError
from yanmo.message_layouts import alpaca_prompt, from_turns, to_turns
from yanmo.message_records import Record, checked, rest
from yanmo.messages import Message, parse_messages

Object = Mapping[str, Any]


def is_pair(record: Object) -> bool:
    """Whether a record holds two answers to choose between."""
    return "chosen" in record and "rejected" in record


def _answer(value: object, name: str, where: str) -> str:
    """The text of an answer: a text, a turn, or a list of one turn."""
    turn = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(turn, str):
        return turn
    if isinstance(turn, dict):
        speaker = turn.get("role", turn.get("from"))
        text = turn.get("content", turn.get("value"))
        if speaker in ("assistant", "gpt") and isinstance(text, str):
            return text
    raise DataError(f"{name} is no answer", where=where, value=value,
                    fix="An answer is a text or one turn of the assistant.")  # fmt: skip


def _shared(record: Object, where: str) -> tuple[list[Message], dict[str, Any]]:
    """Prompt of a pair whose answers are whole dialogues: what both begin with."""
    both = [parse_messages(record[name], where=where) for name in ("chosen", "rejected")]
    if both[0][:-1] != both[1][:-1]:
        raise DataError("chosen and rejected do not share their prompt", where=where)
    answers = {name: [turns[-1].table()] for name, turns in
               zip(("chosen", "rejected"), both, strict=True)}  # fmt: skip
    return list(both[0][:-1]), answers


def read_pair(record: Object, where: str) -> list[Record]:
    """A pair of any layout: ours, LLaMA-Factory's two, or whole dialogues that share a prompt."""
    answers: Mapping[str, Any] = record
    fields = rest(record, "chosen", "rejected")
    mark: dict[str, int] = {}
    if "prompt" in record:
        prompt = record["prompt"]
        turns = [Message("user", prompt)] if isinstance(prompt, str) else list(
            parse_messages(prompt, where=where))  # fmt: skip
        fields = rest(fields, "prompt")
    elif "conversations" in record:
        turns, _ = from_turns(record["conversations"], where)
        if isinstance(record.get("system"), str) and record["system"]:
            turns.insert(0, Message("system", record["system"]))
            fields = rest(fields, "system")
        fields = rest(fields, "conversations")
    elif "messages" in record:
        turns = list(parse_messages(record["messages"], where=where))
        fields = rest(fields, "messages")
    elif "instruction" in record:
        turns, mark = alpaca_prompt(record, where)
        fields = rest(fields, "instruction", "input", "system", "history")
    else:
        turns, answers = _shared(record, where)
    chosen, rejected = (_answer(answers[name], name, where) for name in ("chosen", "rejected"))
    if not turns or turns[-1].role not in ("user", "tool"):
        raise DataError("the prompt of a preference pair does not end with a question", where=where,
                        value=[turn.role for turn in turns])  # fmt: skip
    return [Record(checked(turns, where), {**fields, **mark}, (chosen, rejected))]


def write_preference(record: Record) -> dict[str, Any]:
    """Our layout: ``prompt`` messages, ``chosen`` and ``rejected`` texts."""
    chosen, rejected = record.pair or ("", "")
    prompt = [m.table() for m in record.messages]
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **record.fields}


def write_dpo(record: Record) -> dict[str, Any]:
    """LLaMA-Factory's ranking layout over ShareGPT turns."""
    chosen, rejected = ({"from": "gpt", "value": text} for text in record.pair or ("", ""))
    turns = to_turns(record)
    return {"conversations": turns, "chosen": chosen, "rejected": rejected, **record.fields}


def write_dpo_text(record: Record) -> dict[str, Any]:
    """The same with plain answers."""
    chosen, rejected = record.pair or ("", "")
    return write_dpo(record) | {"chosen": chosen, "rejected": rejected}
