"""Dialogues: what is accepted, and what is refused by name."""

import json
from pathlib import Path

import pytest

from yanmo.errors import DataError
from yanmo.messages import Dialogue, Message, parse_messages, read_dialogues, read_objects


def turns(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": role[0]} for role in roles]


GOOD = [
    ("user", "assistant"), ("system", "user", "assistant", "user"), ("user",),
    ("user", "assistant", "tool", "tool", "assistant"),
]  # fmt: skip
BAD = [
    ("assistant",), ("user", "user"), ("user", "system"), ("system", "assistant"),
    ("user", "tool"), ("tool",), ("user", "assistant", "tool", "user"),
    ("user", "assistant", "assistant"),
]  # fmt: skip


@pytest.mark.parametrize("roles", GOOD)
def test_orders_that_templates_render(roles: tuple[str, ...]) -> None:
    found = parse_messages(turns(*roles), where="f#0")
    assert tuple(m.role for m in found) == roles


@pytest.mark.parametrize("roles", BAD)
def test_orders_that_no_template_renders(roles: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"f#0: the turns do not alternate"):
        parse_messages(turns(*roles), where="f#0")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "no list of turns"), ([], "no list of turns"), ([{"role": "user"}], "no text"),
        ([{"role": "user", "content": 3}], "no text"), (["hello"], "no text"),
        ([{"role": "human", "content": "x"}], "unknown role"),
    ],
)  # fmt: skip
def test_what_is_no_dialogue(value: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        parse_messages(value, where="f#0")


@pytest.mark.parametrize("array", [True, False])
def test_array_or_lines_by_content(tmp_path: Path, array: bool) -> None:
    records = [
        {"id": "a", "messages": turns("user", "assistant"), "score": 1},
        {"messages": [{"role": "user", "content": "行\u2028分"}]},
    ]
    path = tmp_path / "data.json"  # the suffix says nothing (BELLE's .json are lines)
    lines = "\n\n".join(json.dumps(r, ensure_ascii=False) for r in records)
    path.write_text("\ufeff" + (json.dumps(records) if array else lines), encoding="utf-8")
    one, two = read_dialogues(path)
    assert one == Dialogue((Message("user", "u"), Message("assistant", "a")), "a", {"score": 1})
    assert (two.id, two.messages[0].content) == ("data.json#1", "行\u2028分")
    assert one.table() == {"id": "a", "messages": records[0]["messages"], "score": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1}\n{"a"\n', "line 2"), (b"[1]", "data.json#0"), (b"[{]", "no JSON array"),
        (b'{"a": "\xff"}', "byte 7"), (b"3\n", "no JSON object"),
    ],
)  # fmt: skip
def test_rubbish_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "data.json").write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(read_objects(tmp_path / "data.json"))


def test_records_that_are_no_objects_can_be_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'\n\xef\xbb\xbf{"a": 1}\n{"a"\n[3]\n\n{"b": 2}'.lstrip(b"\n"))
    aside: list[tuple[str, str]] = []
    found = list(read_objects(path, bad=lambda error, text: aside.append((str(error), text))))
    assert found == [("data.jsonl#0", {"a": 1}), ("data.jsonl#3", {"b": 2})]
    assert [text for _, text in aside] == ['{"a"\n', "[3]"]
    assert "line 2" in aside[0][0]
    assert "data.jsonl#2" in aside[1][0]


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    for content in (b"", b"\n \n", b"[]", b"\xef\xbb\xbf"):
        (tmp_path / "data.json").write_bytes(content)
        assert list(read_objects(tmp_path / "data.json")) == []
