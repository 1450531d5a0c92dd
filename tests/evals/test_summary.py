"""Averages, baselines and calibration against numbers worked by hand."""

from pathlib import Path
from typing import Any

import pytest

from yanmo.evals import pages
from yanmo.evals.exam import Exam, Question, load_exam, load_task
from yanmo.evals.planning import Settings
from yanmo.evals.summary import averages, baselines, calibration, confidence_of, summarize
from yanmo.stats import wilson


def sample(subject: str, number: int, answer: str, prediction: str, **more: Any) -> dict[str, Any]:
    logprobs = [-5.0, -5.0, -5.0, -5.0]
    logprobs["ABCD".index(prediction)] = -0.5
    return {"subject": subject, "id": str(number), "shift": 0, "answer": answer,
            "prediction": prediction, "logprobs": logprobs, "mass": 0.627, "shots": 5,
            "cut": False, "single": True, **more}  # fmt: skip


def question(subject: str, number: int, answer: str, *options: str) -> Question:
    return Question(subject, str(number), "q", options or ("1", "22", "3", "4"), answer)


def test_macro_weighs_subjects_micro_weighs_questions() -> None:
    found = averages({"a": [1.0] * 9 + [0.0], "b": [0.0, 1.0]})
    assert found["macro"] == pytest.approx((0.9 + 0.5) / 2)
    assert found["micro"] == pytest.approx(10 / 12)
    assert (found["n"], found["subjects"]) == (12, 2)
    assert tuple(found["intervals"]["micro"].values()) == wilson(10, 12)


def test_baselines() -> None:
    rows = [question("a", 0, "B"), question("a", 1, "A"), question("a", 2, "B", "9", "9"),
            question("a", 3, "D", "1", "2", "3", "444")]  # fmt: skip
    found = baselines({"a": rows})
    assert found["chance"] == pytest.approx((0.25 * 3 + 0.5) / 4)
    assert found["constant"] == {"A": 0.25, "B": 0.5, "C": 0.0, "D": 0.25}
    # Longest: B right, B wrong, A (first of equals) wrong, D right.
    assert found["longest_option"] == 0.5


def test_calibration() -> None:
    assert confidence_of([0.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert confidence_of([-1.0, -1000.0]) == pytest.approx(1.0)
    sure = [{"logprobs": [0.0, -50.0, -50.0, -50.0], "prediction": "A", "answer": x} for x in "AB"]
    unsure = [{"logprobs": [0.0, 0.0, -50.0, -50.0], "prediction": "A", "answer": "A"}] * 2
    found = calibration([*sure, *unsure])
    # Half the samples are sure and half right (gap 0.5); half say 0.5 and are all right (gap 0.5).
    assert found["ece"] == pytest.approx(0.5)
    assert [(b["n"], b["accuracy"]) for b in found["bins"]] == [(2, 1.0), (2, 0.5)]


@pytest.fixture
def exam(demo: Path) -> Exam:
    return load_exam(load_task("ceval"), demo, splits=("val",))


def summary_of(exam: Exam, samples: list[dict[str, Any]]) -> dict[str, Any]:
    questions: dict[str, list[Question]] = {}
    for row in samples:
        questions.setdefault(row["subject"], []).append(
            question(row["subject"], int(row["id"]), row["answer"])
        )
    found = summarize(samples, questions, exam, Settings())
    found["data"] |= {"note": "", "edition": None}
    return found | {"model": {"name": "tiny"}}


def mixed(exam: Exam) -> dict[str, Any]:
    rows = [sample("college_physics", i, "A", "A" if i < 3 else "B") for i in range(4)]
    rows += [sample("law", i, "C", "C" if i == 0 else "A") for i in range(2)]
    rows += [sample("marxism", 0, "D", "D", shots=3, cut=True, single=False, mass=0.1)]
    return summary_of(exam, rows)


def test_summary_by_hand(exam: Exam) -> None:
    found = mixed(exam)
    assert found["n"] == 7
    assert found["accuracy"] == {"macro": pytest.approx((0.75 + 0.5 + 1.0) / 3), "micro": 5 / 7}
    assert {name: (e["macro"], e["n"]) for name, e in found["by_category"].items()} == {
        "STEM": (0.75, 4), "Humanities": (0.5, 2), "Social Science": (1.0, 1),
    }  # fmt: skip
    assert found["groups"]["Hard"]["n"] == 4  # college physics alone
    law = found["by_subject"]["law"]
    assert (law["accuracy"], law["correct"], law["n"], law["name"]) == (0.5, 1, 2, "法学")
    assert found["letters"]["predicted"] == {"A": 4, "B": 1, "C": 1, "D": 1}
    assert found["letters"]["answers"] == {"A": 4, "B": 0, "C": 2, "D": 1}
    assert found["shots"] == {"5": 6, "3": 1}
    assert (found["cut_questions"], found["multi_token_questions"]) == (1, 1)
    assert found["mass"]["share_below_half"] == pytest.approx(1 / 7)
    assert len(found["data"]["missing_subjects"]) == 49


def test_the_verdict_is_about_chance(exam: Exam) -> None:
    letters = "ABCD"
    chance = [sample("law", i, letters[i % 4], letters[i // 4 % 4]) for i in range(64)]
    assert "Not distinguishable from chance" in pages.verdict(summary_of(exam, chance))
    right = [sample("law", i, letters[i % 4], letters[i % 4]) for i in range(64)]
    assert "Better than chance" in pages.verdict(summary_of(exam, right))
    wrong = [sample("law", i, letters[i % 4], letters[(i + 1) % 4]) for i in range(64)]
    assert "Below chance" in pages.verdict(summary_of(exam, wrong))
    lazy = [sample("law", i, "A" if i % 2 else "B", "A") for i in range(64)]
    assert "a rule without a model reaches" in pages.verdict(summary_of(exam, lazy))


def test_the_pages_say_the_same_and_escape(exam: Exam) -> None:
    found = mixed(exam)
    html = pages.page(found, prompt="<script>alert(1)</script>").html()
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    for shown in (pages.text(found), pages.markdown(found), html):
        assert "75.0 %" in shown  # macro of the three subjects
        assert "49 subjects are not in this run" in shown
        assert "6 with 5, 1 with 3" in shown
    assert "http" not in html.replace("http://www.w3.org", "")
