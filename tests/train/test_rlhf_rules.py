"""Rules that judge responses, and prompts that bring what they need."""

import json
from pathlib import Path
from typing import Any

import pytest

from yanmo.errors import DataError, UsageError
from yanmo.train.rlhf_prompts import PromptText, read_prompts, set_apart
from yanmo.train.rlhf_rules import RULES, RuleReward, is_rule

from . import toys

CASES: list[tuple[str, str, dict[str, Any], float]] = [
    ("exact", " 42 \n", {"answer": "42"}, 1),
    ("exact", "42.", {"answer": 42}, 0),
    ("numeric", "3 加 4 等于 7。", {"answer": "7"}, 1),
    ("numeric", "So it is 1,234.50", {"answer": 1234.5}, 1),
    ("numeric", "−5", {"answer": "-5"}, 1),
    ("numeric", "7 或 8", {"answer": 7}, 0),
    ("numeric", "没有数", {"answer": 7}, 0),
    ("regex:\\d+年", "1999年", {}, 1),
    ("regex:\\d+年", "在1999年", {}, 0),
    ("regex", "ab", {"pattern": "a.?"}, 1),
    ("choice", "答案是 B。", {"answer": "B"}, 1),
    ("choice", "A. 因为 B 错了", {"answer": "b"}, 0),
    ("choice", "DNA 选C", {"answer": "C"}, 1),
    ("choice", "不知道", {"answer": "C"}, 0),
    ("share:7", "7a7b", {}, 0.5),
    ("share:甲乙", "甲乙丙丁", {}, 0.5),
    ("share", "7a", {"characters": "7"}, 0.5),
    ("share:7", "", {}, 0),
    ("share::", "a:", {}, 0.5),
    ("tidy", "天晴了。我们走。", {}, 1),
    ("tidy", "天晴了。我们走。天晴了。", {}, 2 / 3),
    ("tidy", "天晴了。我们", {}, 0),
    ("tidy", "他说：“走吧！”", {}, 1),
    ("tidy", "It rains. It rains.", {}, 0.5),
    ("tidy", "。。。", {}, 0),
    ("tidy", "", {}, 0),
]


@pytest.mark.parametrize(("name", "response", "meta", "wanted"), CASES)
def test_rules(name: str, response: str, meta: dict[str, Any], wanted: float) -> None:
    for written in (name, f"rule:{name}"):
        assert is_rule(written)
        assert RuleReward(written)(response, meta, where="x") == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("name", "meta"),
    [("exact", {}), ("numeric", {"answer": "viele"}), ("regex", {}), ("choice", {}), ("share", {}),
     ("regex", {"pattern": "("})],
)  # fmt: skip
def test_a_rule_that_cannot_judge_stops_and_names_the_prompt(
    name: str, meta: dict[str, Any]
) -> None:
    """Never a silent nought."""
    with pytest.raises(DataError, match=r"p\.jsonl#3.*failed"):
        RuleReward(name)("12", meta, where="p.jsonl#3")


def test_a_number_that_is_none_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "broken", lambda response, meta, argument: float("nan"))
    with pytest.raises(DataError, match="no finite number"):
        RuleReward("broken")("", {}, where="x")


def test_unknown_rules_and_patterns() -> None:
    with pytest.raises(UsageError, match="Did you mean 'numeric'"):
        RuleReward("rule:numerics")
    with pytest.raises(UsageError, match="no regular expression"):
        RuleReward("regex:(")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> PromptText:
    return PromptText(toys.write_tokenizer(tmp_path_factory.mktemp("t")), toys.config())


def written(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_prompts_are_read_once_each_and_none_is_too_long(text: PromptText, tmp_path: Path) -> None:
    path = written(
        tmp_path / "p.jsonl", {"prompt": "12", "answer": "3"}, {"prompt": "12"},
        {"prompt": "123456789"}, {"prompt": "7", "id": "seven"},
    )  # fmt: skip
    found = read_prompts(path, text, max_tokens=8)
    assert found.counts == {"read": 4, "repeated": 1, "too_long": 1}
    assert [(p.id, p.text, p.ids) for p in found.prompts] == [
        ("p.jsonl#0", "12", (1, 4, 5)), ("seven", "7", (1, 10)),
    ]  # fmt: skip
    assert found.prompts[0].meta == {"answer": "3"}
    assert text.stop == (toys.END,)


@pytest.mark.parametrize(
    ("record", "told"),
    [({"text": "12"}, "needs one of prompt and messages"),
     ({"prompt": "1", "messages": [{"role": "user", "content": "1"}]}, "needs one of"),
     ({"prompt": ""}, "needs one of"),
     ({"messages": [{"role": "user", "content": "1"}]}, "no chat template")],
)  # fmt: skip
def test_records_that_are_no_prompt(
    text: PromptText, tmp_path: Path, record: dict[str, Any], told: str
) -> None:
    path = written(tmp_path / "p.jsonl", {"prompt": "1"}, record)
    with pytest.raises(DataError, match=rf"p\.jsonl#1.*{told}"):
        read_prompts(path, text, max_tokens=8)


def test_held_out_prompts_stay_held_out_when_the_file_grows(
    text: PromptText, tmp_path: Path
) -> None:
    path = toys.write_prompts(tmp_path / "p.jsonl", 30)
    train, held = set_apart(read_prompts(path, text, max_tokens=8), 10)
    assert (len(train.prompts), len(held.prompts)) == (20, 10)
    assert not {p.ids for p in train.prompts} & {p.ids for p in held.prompts}
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))
    assert set_apart(read_prompts(path, text, max_tokens=8), 10)[1].prompts[0].ids == (
        held.prompts[0].ids
    )
    with pytest.raises(UsageError, match="too few prompts"):
        set_apart(train, 20)


def test_a_chat_model_is_asked_by_its_template(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = toys.write_tokenizer(tmp_path / "t")
    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    fast.add_special_tokens(["[U]", "[A]", "[E]"])
    fast.save(str(folder / "tokenizer.json"))
    template = (
        "{% for m in messages %}{{ '[U]' if m.role == 'user' else '[A]' }}{{ m.content }}[E]"
        "{% endfor %}{% if add_generation_prompt %}[A]{% endif %}"
    )
    (folder / "chat_template.jinja").write_text(template)
    text = PromptText(folder, toys.config())
    user, opened, end = (fast.token_to_id(t) for t in ("[U]", "[A]", "[E]"))
    assert text.chat
    assert text.stop == (end,)
    records = [("a", {"prompt": "7"}), ("b", {"messages": [{"role": "user", "content": "7"}]})]
    for prompt in text.encode(records):
        assert prompt.ids == (user, 10, end, opened)
    with pytest.raises(DataError, match="special token"):
        text.encode([("c", {"prompt": "7[E]"})])
    answered = [{"role": "user", "content": "7"}, {"role": "assistant", "content": "8"}]
    with pytest.raises(DataError, match="ends with an answer"):
        text.encode([("d", {"messages": answered})])
    raw = PromptText(folder, toys.config(), template="raw")
    assert raw.encode(records[:1])[0].ids == (1, 10)
