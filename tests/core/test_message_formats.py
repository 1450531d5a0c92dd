"""Layouts of instruction data: told by content, read, written without loss, or refused with why."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.errors import DataError, UsageError
from yanmo.message_formats import FORMATS, detect, misfits, parse, write, write_lossy
from yanmo.message_records import Record
from yanmo.messages import Message, read_dialogues, read_objects

MOSS_TURN = {
    "Human": "<|Human|>: 2+3?<eoh>\n",
    "Inner Thoughts": "<|Inner Thoughts|>: 要算<eot>\n",
    "Commands": '<|Commands|>: Calculate("2+3")<eoc>\n',
    "Tool Responses": '<|Results|>:\nCalculate("2+3") => 5\n<eor>\n',
    "MOSS": "<|MOSS|>: 是5。<eom>\n",
}
TURNS = [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "你好！"}]
EXAMPLES: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "翻译", "input": "天\n地", "output": "sky", "system": "简短",
               "history": [["a", "b"]]},
    "self-instruct": {"id": "seed_1", "name": "n", "instruction": "翻译", "instances":
                      [{"input": "天", "output": "sky"}], "is_classification": False},
    "belle-0.5m": {"input": "问", "target": "答"},
    "firefly-1.1m": {"kind": "NLI", "input": "问", "target": "答"},
    "belle-multiturn": {"instruction": "Human:一\nAssistant:二\n三\nHuman:四\nAssistant:",
                        "input": "", "output": "五"},
    "belle-3.5m": {"id": "7", "conversations": [{"from": "human", "value": "你好"},
                                                {"from": "assistant", "value": "你好！"}]},
    "sharegpt": {"id": "x", "conversations": [
        {"from": "system", "value": "s"}, {"from": "human", "value": "天气"},
        {"from": "function_call", "value": "{}"}, {"from": "observation", "value": "晴"},
        {"from": "gpt", "value": "晴天"}], "tools": "[]"},
    "openai": {"id": 5, "messages": [{"role": "user", "content": "q"}], "score": 0.5},
    "moss": {"conversation_id": 3, "meta_instruction": "You are\n", "num_turns": 1,
             "chat": {"turn_1": MOSS_TURN}, "category": "Calc"},
    "firefly": {"conversation_id": 1, "category": "c", "conversation":
                [{"human": "a", "assistant": "b"}, {"human": "c", "assistant": "d"}]},
    "preference": {"prompt": [{"role": "user", "content": "q"}], "chosen": "a", "rejected": "b"},
    "dpo": {"conversations": TURNS[:1], "chosen": TURNS[1],
            "rejected": {"from": "gpt", "value": "哼"}},
    "dpo-text": {"conversations": TURNS[:1], "chosen": "好", "rejected": "哼"},
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_told_by_content_and_written_as_it_was(name: str) -> None:
    example = EXAMPLES[name]
    assert detect(example, where="f#0") == name
    (record,) = parse(example, where="f#0")
    assert write(record, name, where="f#0") == example


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_there_and_back_is_the_same_or_refused(name: str, to: str) -> None:
    (record,) = parse(EXAMPLES[name], where="f#0")
    if misfits(record, to):
        with pytest.raises(DataError, match=r"f#0: "):
            write(record, to, where="f#0")
        return
    (again,) = parse(json.loads(json.dumps(write(record, to, where="f#0"))), where="f#0")
    assert write(again, name, where="f#0") == EXAMPLES[name]


def test_what_the_readers_understand() -> None:
    (alpaca,) = parse(EXAMPLES["alpaca"], where="")
    assert [(m.role, m.content) for m in alpaca.messages] == [
        ("system", "简短"), ("user", "a"), ("assistant", "b"),
        ("user", "翻译\n天\n地"), ("assistant", "sky")]  # fmt: skip
    (moss,) = parse(EXAMPLES["moss"], where="")
    assert [(m.role, m.content) for m in moss.messages] == [
        ("system", "You are\n"), ("user", "2+3?"), ("assistant", 'Calculate("2+3")'),
        ("tool", 'Calculate("2+3") => 5'), ("assistant", "是5。")]  # fmt: skip
    assert moss.fields["inner_thoughts"] == ["要算"]
    (talk,) = parse(EXAMPLES["belle-multiturn"], where="")
    assert [m.content for m in talk.messages] == ["一", "二\n三", "四", "五"]
    (tools,) = parse(EXAMPLES["sharegpt"], where="")
    assert [m.role for m in tools.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert "function_call_turns" not in tools.fields  # their place says it


def test_calls_that_nothing_answers_stay_calls() -> None:
    record = {"conversations": [TURNS[0], {"from": "function_call", "value": "{}"}]}
    (found,) = parse(record, where="")
    assert found.fields["function_call_turns"] == [1]
    assert write(found, "sharegpt", where="") == record
    (again,) = parse(write(found, "openai", where=""), where="")
    assert write(again, "sharegpt", where="") == record


def test_instances_become_dialogues(tmp_path: Path) -> None:
    instances = [{"input": "", "output": "1"}, {"input": "x", "output": "2"}]
    seed = {"id": "s", "instruction": "i", "instances": instances}
    path = tmp_path / "seeds.jsonl"
    path.write_text(json.dumps(seed))
    first, second = read_dialogues(path)
    assert (first.id, second.id) == ("s#0", "s#1")
    assert second.messages == (Message("user", "i\nx"), Message("assistant", "2"))


def test_one_file_of_many_formats(tmp_path: Path) -> None:
    names = [name for name in EXAMPLES if not FORMATS[name].pairs]
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps([EXAMPLES[name] for name in names]))
    assert len(list(read_dialogues(path))) == len(names)
    assert next(d.id for d in read_dialogues(path) if "inner_thoughts" in d.meta) == "3"


def test_one_object_over_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(EXAMPLES["moss"], indent=2))
    assert len(list(read_dialogues(path))) == 1
    path.write_text(json.dumps(EXAMPLES["moss"], indent=2)[:-9])
    with pytest.raises(DataError, match="no JSON object"):
        list(read_dialogues(path))


PAIRS = [
    EXAMPLES["preference"], EXAMPLES["dpo"],
    {"prompt": "q", "chosen": "a", "rejected": "b"},
    {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
    {"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
     "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]},
    {"prompt": [{"role": "user", "content": "q"}],
     "chosen": [{"role": "assistant", "content": "a"}],
     "rejected": {"role": "assistant", "content": "b"}, "id": "p"},
]  # fmt: skip


def test_preferences_of_every_layout(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(pair) for pair in PAIRS))
    found = [
        (pair, where) for where, record in read_objects(path) for pair in parse(record, where=where)
    ]
    assert [len(p.messages) for p, _ in found] == [1] * 6
    assert [p.pair for p, _ in found if p.messages[0].content == "q"] == [("a", "b")] * 5
    assert [p.name(where) for p, where in found][-2:] == ["pairs.jsonl#4", "p"]
    with pytest.raises(DataError, match=r"preference pair is no dialogue.*--lossy"):
        list(read_dialogues(path))


WRONG = [
    ({"question": "q", "std_answer": "a"}, "no known format has the fields question, std_answer"),
    ({}, r"has the fields \(none\)"),
    ({"conversations": [{"from": "humn", "value": "x"}]}, r"unknown speaker.*'humn'.*human"),
    ({"conversations": "x"}, "no list of"),
    ({"conversations": []}, "no turn"),
    ({"conversations": [TURNS[1]]}, "do not alternate"),
    ({"instruction": "i", "input": 3, "output": "o"}, "'input' is no text"),
    ({"instruction": None, "output": "o"}, "'instruction' is no text"),
    ({"instruction": "i", "output": "o", "history": [["a"]]}, "history is no list"),
    ({"instruction": "i", "instances": "x"}, "instances is no list"),
    ({"chat": {"turn_2": MOSS_TURN}}, "chat has no turn_1"),
    ({"conversation": [{"human": "a"}]}, "'assistant' is no text"),
    ({"prompt": "q", "chosen": 1, "rejected": "b"}, "chosen is no answer"),
    ({"prompt": EXAMPLES["openai"]["messages"] + [{"role": "assistant", "content": "x"}],
      "chosen": "a", "rejected": "b"}, "does not end with a question"),
    ({"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
      "rejected": [{"role": "user", "content": "r"}, {"role": "assistant", "content": "a"}]},
     "do not share their prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "said"), WRONG)
def test_what_fits_no_format_is_named(record: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=f"f#3: .*{said}"):
        parse(record, where="f#3")


def test_format_by_name() -> None:
    with pytest.raises(UsageError, match="alpaca"):
        parse({}, where="f#0", as_="alpca")
    with pytest.raises(DataError, match="of moss has no field 'chat'"):
        parse({"messages": []}, where="f#0", as_="moss")


REFUSED = [
    ("alpaca", "self-instruct", "no place for a system message; .*more than one exchange"),
    ("sharegpt", "alpaca", "no place for tools"),
    ("openai", "alpaca", "needs an answer"),
    ("dpo", "openai", "no place for a rejected answer"),
    ("openai", "preference", "no chosen and rejected"),
    ("belle-0.5m", "firefly-1.1m", "needs a field 'kind'"),
    ("alpaca", "belle-1m", "no place for a system message"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "to", "said"), REFUSED)
def test_refusals_say_why(name: str, to: str, said: str) -> None:
    (record,) = parse(EXAMPLES[name], where="f#1")
    with pytest.raises(DataError, match=f"f#1: .*{said}"):
        write(record, to, where="f#1")


def test_fields_that_would_mean_something_else() -> None:
    record = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
              "input": "mine"}  # fmt: skip
    (found,) = parse(record, where="f#0")
    with pytest.raises(DataError, match="field 'input' means something else in alpaca"):
        write(found, "alpaca", where="f#0")
    assert write_lossy(found, "alpaca", where="f#0")[0]["input"] == ""


def test_fields_of_turns_are_not_dropped_unsaid() -> None:
    record = {"messages": [{"role": "user", "content": "q", "name": "Li"}]}
    (found,) = parse(record, where="f#0")
    with pytest.raises(DataError, match="field 'name' of turn 0 cannot be kept"):
        write(found, "sharegpt", where="f#0")
    made, lost = write_lossy(found, "sharegpt", where="f#0")
    assert made == {"conversations": [{"from": "human", "value": "q"}]}
    assert lost == ["field 'name' of turn 0 cannot be kept"]


def test_lossy_keeps_what_fits() -> None:
    (tools,) = parse(EXAMPLES["sharegpt"], where="")
    made, lost = write_lossy(tools, "belle-0.5m", where="")
    assert (made["input"], made["target"]) == ("天气", "晴天")
    assert len(lost) == 2
    (pair,) = parse(EXAMPLES["dpo"], where="")
    assert write_lossy(pair, "openai", where="")[0]["messages"][1]["content"] == "你好！"
    (question,) = parse(EXAMPLES["openai"], where="")
    with pytest.raises(DataError, match="needs an answer"):
        write_lossy(question, "alpaca", where="")


def test_text_that_looks_like_a_marker_is_refused() -> None:
    record = Record((Message("user", "a\nAssistant:b\nHuman:c"), Message("assistant", "d")))
    with pytest.raises(DataError, match="as belle-multiturn, turn 0 would read back as another"):
        write(record, "belle-multiturn", where="f#0")


TEXT = st.text(st.sampled_from('人a1 \n:Human<eoh>|\u2028🙂"'), max_size=12)


@st.composite
def records(draw: st.DrawFn) -> Record:
    messages = [Message("system", draw(TEXT))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message("user", draw(TEXT)))
        for _ in range(draw(st.integers(0, 2)) if draw(st.booleans()) else 0):
            messages += [Message("assistant", draw(TEXT)), Message("tool", draw(TEXT))]
        messages.append(Message("assistant", draw(TEXT)))
    if draw(st.booleans()):
        messages.pop()
    if messages[-1].role == "tool":
        messages.append(Message("assistant", draw(TEXT)))
    fields = draw(st.dictionaries(st.sampled_from(["id", "kind", "input", "chat", "x"]), TEXT))
    pair = None
    if messages[-1].role == "user" and draw(st.booleans()):
        pair = (draw(TEXT), draw(TEXT))
    return Record(tuple(messages), fields, pair)


@given(records(), st.sampled_from(list(FORMATS)), st.sampled_from(list(FORMATS)))
def test_what_is_written_reads_back(record: Record, first: str, second: str) -> None:
    """Through two formats, whatever the texts hold: equal, or refused."""
    for to in (first, second):
        try:
            made = write(record, to, where="f#0")
        except DataError:
            return
        (back,) = parse(json.loads(json.dumps(made)), where="f#0")
        assert (back.messages, back.pair) == (record.messages, record.pair)
        assert dict(back.fields) == dict(record.fields)
        record = back


@given(records())
def test_openai_and_sharegpt_hold_every_dialogue(record: Record) -> None:
    plain = Record(record.messages, {"x": 1})
    if record.messages[0] == Message("system", ""):
        return
    for to in ("openai", "sharegpt"):
        (back,) = parse(write(plain, to, where=""), where="")
        assert back.messages == plain.messages


@given(records(), st.sampled_from(list(FORMATS)))
def test_lossy_never_breaks(record: Record, to: str) -> None:
    try:
        made, lost = write_lossy(record, to, where="f#0")
    except DataError:
        return
    (back,) = parse(made, where="f#0")
    if not lost:
        assert back.messages == record.messages
    assert all(m in record.messages or m.content.strip() == m.content or m.role == "assistant"
               for m in back.messages)  # fmt: skip
