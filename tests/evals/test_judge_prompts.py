"""What a judge is shown, and how its words are read."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import DataError, UsageError
from yanmo.evals.answers import Question
from yanmo.evals.judge_prompts import (
    class_key,
    language_of,
    load_template,
    read_class_prompts,
    read_grade,
    read_verdict,
)
from yanmo.messages import Message


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("比较……\n[[A]]", "A"),
        ("I was told to write [[A]] or [[B]] or [[C]]. B is clearer.\n[[B]]", "B"),
        ("[[A]] 更好写 [[A]]……最后：【【Ｂ】】", "B"),
        ("结论：［［C］］", "C"),
        ("Verdict: [[ a ]]", "A"),
        ("[[平局]]", "C"),
        ("[[Tie]]", "C"),
        ("A is better", None),
        ("[A]", None),
        ("[[D]]", None),
        ("", None),
    ],
)
def test_the_last_verdict_counts(text: str, letter: str | None) -> None:
    assert read_verdict(text) == letter


@pytest.mark.parametrize(
    ("text", "scale", "grade"),
    [
        ("得分: 0.8", (0, 1), 0.8),
        ("得分：1", (0, 1), 1.0),
        ("**得分**：0.35 分", (0, 1), 0.35),
        ("先给得分: 0.2，改为得分: 0.6", (0, 1), 0.6),
        ("评分为 0.5", (0, 1), 0.5),
        ("Rating: [[7]]", (1, 10), 7.0),
        ("The score is 4, no: Rating: [[6.5]]", (1, 10), 6.5),
        ("得分：【【9】】", (1, 10), 9.0),
        ("得分: 8", (0, 1), None),
        ("得分: -1", (0, 1), None),
        ("满分 1 分，最低 0 分", (0, 1), None),
        ("评分 1 到 10 之间", (1, 10), None),
        ("", (0, 1), None),
    ],
)
def test_the_last_grade_counts(text: str, scale: tuple[int, int], grade: float | None) -> None:
    assert read_grade(text, *scale) == grade


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_read(text: str) -> None:
    assert read_verdict(text) in ("A", "B", "C", None)
    grade = read_grade(text, 0, 1)
    assert grade is None or 0 <= grade <= 1
    assert read_verdict(text + "\n[[B]]") == "B"
    assert read_grade(text + "\n得分: 0.5", 0, 1) == 0.5


def ask(text: str, reference: str = "") -> Question:
    return Question("x", (Message("user", text),), reference)


def test_a_prompt_holds_both_answers_in_order_and_the_reference() -> None:
    for language in ("zh", "en"):
        template = load_template(language, "pair")
        system, user = template.pair(
            ask("{first}问", "参考{question}"), "甲{second}", "乙", letter=False
        )
        assert system["role"] == "system"
        content = user["content"]
        # Braces in the texts are texts.
        assert content.index("{first}问") < content.index("参考{question}")
        assert content.index("参考{question}") < content.index("甲{second}") < content.index("乙")
        assert content.rstrip().endswith(template.words)
        (_, letter) = template.pair(ask("问"), "甲", "乙", letter=True)
        assert "参考" not in letter["content"]
        assert letter["content"].endswith(template.letter)


def test_dialogues_name_the_turns() -> None:
    turns = (Message("user", "一"), Message("assistant", "二"), Message("user", "三"))
    assert Question("x", turns).text() == "[user]\n一\n\n[assistant]\n二\n\n[user]\n三"


def test_language_by_the_questions() -> None:
    assert language_of([ask("你好"), ask("在吗"), ask("hi")]) == "zh"
    assert language_of([ask("hello"), ask("在吗")]) == "en"


def test_no_such_template() -> None:
    with pytest.raises(UsageError, match="pair-zh"):
        load_template("pair-zhh", "pair")
    with pytest.raises(UsageError, match="for 'single'"):
        load_template("single-zh", "pair")
    with pytest.raises(UsageError, match="no such file"):
        load_template("missing.toml:x", "pair")


def test_a_template_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    fields = ('kind="pair"\ntitle="t"\nsource="s"\nlicence="l"\nsystem="S"\n'
              'body="{question}{first}{second}"\nreference=""\nwords="W"\n')  # fmt: skip
    path.write_text(f"[mine]\n{fields}", "utf-8")
    (_, user) = load_template(f"{path}:mine", "pair").pair(ask("q"), "1", "2", letter=False)
    assert user["content"] == "q12W"
    path.write_text("[mine]\n" + fields.replace("{first}", "{frist}"), "utf-8")
    with pytest.raises(UsageError, match="frist"):
        load_template(f"{path}:mine", "pair")


def test_class_names_by_any_spelling(tmp_path: Path) -> None:
    assert class_key("closed\xa0QA") == class_key("Closed  qa") == "closed qa"
    path = tmp_path / "prompts.json"
    path.write_text(
        '{"class": "open QA", "prompt": "一"}\n{"class": "open\u00a0qa", "prompt": "二"}'
    )
    with pytest.raises(DataError, match="two prompts"):
        read_class_prompts(path)


@pytest.mark.realdata
def test_every_class_of_belle_has_its_prompt(realdata: Path) -> None:
    from yanmo.messages import read_objects

    rules = read_class_prompts(realdata / "instruct" / "belle_eval_prompt.json.zst")
    questions = read_objects(realdata / "instruct" / "belle_eval_set.json.zst")
    assert {class_key(q["class"]) for _, q in questions} <= rules.keys()
