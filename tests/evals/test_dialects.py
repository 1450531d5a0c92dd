"""Every dialect against a second writing of its source's format, and the table of all."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from yanmo.evals.dialect_table import all_dialects, table
from yanmo.evals.exam import Question, Subject, load_task
from yanmo.evals.planning import Settings
from yanmo.evals.prompts import load_dialect, load_dialects
from yanmo.evals.score import Scorer

LAW = Subject("Law", "法学", "Humanities")
SHOTS = [
    Question("law", "0", "甲____", ("一", "二", "三", "四"), "A", "1. 因为甲。"),
    Question("law", "1", " 乙____ ", ("五", "六", "七", "八"), "C", "1. 因为乙。"),
]
ASKED = Question("law", "9", "\n丙____", ("1", "2", "3", "4"), "B")


def lines(q: Question, *, strip: bool = False) -> str:
    text = q.question.strip() if strip else q.question
    return text + "".join(f"\n{x}. {o}" for x, o in zip("ABCD", q.options, strict=True)) + "\n"


def official(subject: str) -> str:
    head = f"以下是中国关于{subject}考试的单项选择题，请选出其中的正确答案。\n\n"
    return (
        head + "".join(lines(q) + f"答案：{q.answer}\n\n" for q in SHOTS) + lines(ASKED) + "答案："
    )


def lm_eval(head: str, cue: str) -> str:
    done = "".join(lines(q, strip=True) + f"{cue} {q.answer}\n\n" for q in SHOTS)
    return head + done + lines(ASKED, strip=True) + cue


def opencompass() -> str:
    head = "以下是关于法学的单项选择题，请直接给出正确答案的选项。\n"
    worked = [lines(q) + f"答案: {q.answer}\n" for q in SHOTS]
    return head + "\n".join(worked) + "\n" + lines(ASKED) + "答案: "


def opencompass_hint() -> str:
    head = "以下是中国关于法学考试的单项选择题，请选出其中的正确答案。\n"
    turns = [turn for q in SHOTS for turn in (head + lines(q) + "答案: ", q.answer or "")]
    return "\n".join([*turns, head + lines(ASKED) + "答案: ", ""])


def prefixed(head: str, before: str, cue: str, gap: str = "") -> str:
    done = "".join(before + lines(q) + f"{cue}{gap}{q.answer}\n\n" for q in SHOTS)
    return head + done + before + lines(ASKED) + cue


EXPECTED = {
    "official": official("法学"),
    "official-code": official("law"),
    "lm_eval": lm_eval("以下是中国关于法学的单项选择题，请选出其中的正确答案。\n\n", "答案："),
    "opencompass": opencompass(),
    "opencompass-hint": opencompass_hint(),
    "qwen": prefixed("", "问题：", "答案："),
    "cmmlu": prefixed(
        "以下是关于法学的单项选择题，请直接给出正确答案的选项。\n\n", "题目：", "答案是："
    ),
    "cmmlu-lm_eval": lm_eval(
        "以下是关于法学的单项选择题，请直接给出正确答案的选项。\n\n", "答案："
    ),
    "mmlu": prefixed(
        "The following are multiple choice questions (with answers) about  law.\n\n",
        "", "Answer:", " ",
    ),
    "mmlu-lm_eval": lm_eval(
        "The following are multiple choice questions (with answers) about law.\n\n", "Answer:"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_word_for_word(name: str) -> None:
    dialect = load_dialect(name)
    assert dialect.prompt(dialect.heading("law", LAW), SHOTS, ASKED) == EXPECTED[name]


def test_all_others_are_chat() -> None:
    assert {n for n, d in load_dialects().items() if d.chat} == set(load_dialects()) - set(EXPECTED)


@pytest.mark.parametrize("name", ["official-chat", "llama-factory"])
def test_chat_turns(name: str) -> None:
    dialect = load_dialect(name)
    turns = dialect.turns(dialect.heading("law", LAW), SHOTS, ASKED)
    head = "以下是中国关于法学考试的单项选择题，请选出其中的正确答案。\n\n"
    assert turns == [
        {"role": "user", "content": head + lines(SHOTS[0]) + "答案："},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": lines(SHOTS[1]) + "答案："},
        {"role": "assistant", "content": "C"},
        {"role": "user", "content": lines(ASKED) + "答案："},
    ]
    assert dialect.turns(head, [], ASKED)[0]["content"].startswith(head)


def test_reasoned_prompt_word_for_word() -> None:
    dialect = load_dialect("official")
    found = dialect.prompt(dialect.heading("law", LAW), SHOTS[:1], ASKED, reason=True)
    assert found == (
        "以下是中国关于法学考试的单项选择题，请选出其中的正确答案。\n\n"
        + lines(SHOTS[0]) + "答案：让我们一步一步思考，\n1. 因为甲。\n所以答案是A。\n\n"
        + lines(ASKED) + "答案：让我们一步一步思考，\n1."
    )  # fmt: skip


def test_tasks_name_a_dialect_of_their_language() -> None:
    for name in ("ceval", "cmmlu", "mmlu"):
        task = load_task(name)
        assert load_dialect(task.dialect).language == task.language
        assert load_dialect(task.dialect).average == task.average
    sizes = {name: len(load_task(name).subjects) for name in ("ceval", "cmmlu", "mmlu")}
    assert sizes == {"ceval": 52, "cmmlu": 67, "mmlu": 57}


def test_table_of_all_dialects(packed: Scorer, demo: Path, tmp_path: Path) -> None:
    settings = replace(Settings(), per_subject=1, shots=1, batch_tokens=400)
    found = all_dialects(packed, demo, task="ceval", settings=settings, out=tmp_path)
    chinese = {name for name, d in load_dialects().items() if d.language == "zh"}
    assert set(found["dialects"]) | set(found["skipped"]) == chinese
    assert next(iter(found["dialects"])) == "official"
    assert found["dialects"]["official"]["same_answers"] == 1.0
    assert found["dialects"]["official"]["slot"]["answers"] == ["A", "B", "C", "D"]
    assert "no chat template" in found["skipped"]["official-chat"]
    # This vocabulary has one entry for a letter at the start of a word: the lookup sees no letter.
    assert "does not tell the answers apart" in found["skipped"]["official-code"]
    assert json.loads((tmp_path / "dialects.json").read_text("utf-8")) == found
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "no 考试 in the header" in page
    assert "was skipped" in page
    assert (tmp_path / "lm_eval" / "summary.json").is_file()
    assert len(table(found).rows) == len(found["dialects"])
