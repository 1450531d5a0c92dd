"""Human review: the layout is blind, votes come back to whom they belong, mistakes are named."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.command import command, said, usage_error
from tests.evals.judging import systems, write_answers
from tests.evals.reviewing import (
    better_first,
    export_review,
    imported,
    vote,
)
from yanmo.evals.review import Plan, lay_out
from yanmo.evals.review_items import ReviewItem, identity_strings
from yanmo.evals.review_summary import consensus
from yanmo.evals.review_votes import read_key
from yanmo.messages import Message

ASKED = (Message("user", "问"),)


def items(count: int, answers: int = 2) -> list[ReviewItem]:
    return [ReviewItem(f"i{k}", ASKED, tuple(f"答{k}-{j}" for j in range(answers)))
            for k in range(count)]  # fmt: skip


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A review of 20 pairs for two people, with checks."""
    return export_review(tmp_path)


@given(st.integers(1, 40), st.integers(1, 4), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_item_is_laid_out(
    count: int, people: int, overlap: float, repeats: float, seed: int
) -> None:
    plan = Plan(people, overlap=overlap, repeats=repeats, seed=seed)
    known = items(count)
    pages = lay_out(known, [ReviewItem("check · 1", ASKED, ("a", "b"), expected=(1, 2))], plan)
    assert pages == lay_out(
        known, [ReviewItem("check · 1", ASKED, ("a", "b"), expected=(1, 2))], plan
    )
    slots = [slot for page in pages for slot in page.slots]
    assert len({slot.id for slot in slots}) == len(slots)
    seen = Counter(slot.item for slot in slots if slot.role == "item")
    assert seen.keys() == {item.key for item in known}
    shared = sum(n == people for n in seen.values())
    assert shared >= min(count, round(overlap * count)) or people == 1
    for page in pages:
        order = [(slot.role, slot.item) for slot in page.slots]
        assert order.count(("check", "check · 1")) == 1
        for slot in page.slots:
            if slot.role == "repeat":
                (first,) = [s for s in page.slots if s.item == slot.item and s.role == "item"]
                assert slot.order == first.order[::-1]
                assert page.slots.index(first) < page.slots.index(slot)


def test_sides_and_order_differ_between_people() -> None:
    one, two = lay_out(items(60), [], Plan(2, overlap=1.0, repeats=0))
    sides = [{slot.item: slot.order for slot in page.slots} for page in (one, two)]
    assert [s.item for s in one.slots] != [s.item for s in two.slots]
    assert 15 < sum(sides[0][i] != sides[1][i] for i in sides[0]) < 45
    assert 15 < sum(slot.order == (0, 1) for slot in one.slots) < 45
    assert not {s.id for s in one.slots} & {s.id for s in two.slots}


def test_pages_and_tables_are_blind(tmp_path: Path) -> None:
    a, b = (write_answers(tmp_path / f"Model{n}.jsonl", {f"q{k}": f"{t}{k}" for k in range(8)},
                          score=1) for n, t in (("Alpha", "甲"), ("Beta", "乙")))  # fmt: skip
    out = tmp_path / "out"
    command("evals", "review", "export", a, b, "--out", out, "--reviewers", "2", "--overlap", "1")
    for path in [*out.glob("*.html"), *out.glob("*.csv")]:
        content = path.read_text("utf-8-sig")
        assert "甲3" in content
        assert "乙3" in content
        for name in ("Alpha", "Beta", '"repeat"', '"check"', "score", "q3 ·", str(tmp_path)):
            assert name not in content, (path, name)
    assert "ModelAlpha" in (out / "key.json").read_text("utf-8")


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    files = systems(tmp_path, 6)
    for out in ("x", "y"):
        command("evals", "review", "export", *files, "--out", tmp_path / out, "--seed", "4")
    command("evals", "review", "export", *files, "--out", tmp_path / "z", "--seed", "5")
    for path in sorted((tmp_path / "x").iterdir()):
        assert path.read_bytes() == (tmp_path / "y" / path.name).read_bytes()
        assert path.read_bytes() != (tmp_path / "z" / path.name).read_bytes()
    again = command("evals", "review", "export", *files, "--out", tmp_path / "x")
    usage_error(again, "not empty", "old key")


def test_votes_go_to_whom_they_belong(exported: Path) -> None:
    files = [vote(exported, f"reviewer-{n}", better_first) for n in (1, 2)]
    found = imported(exported, *files).json()
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"]) == ("ModelAlpha", "ModelBeta")
    assert pair["outcomes"] == {"win": 20, "loss": 0, "tie": 0}
    assert pair["win_rate"]["value"] == 1.0
    for reviewer in found["reviewers"]:
        assert reviewer["checks"] == {"passed": 1, "n": 1, "failed": []}
        assert reviewer["self_consistency"]["value"] == 1.0
        assert reviewer["self_consistency"]["n"] >= 2
    assert found["agreement"]["shared"] == 10
    assert found["agreement"]["pairs"][0]["raw"] == 1.0
    result = exported.parent / "result"
    assert (result / "disagreements.jsonl").read_text("utf-8") == ""
    assert "ModelAlpha" in (result / "report.html").read_text("utf-8")


def test_a_person_of_places_is_seen_as_one(exported: Path) -> None:
    """Always the left answer: no agreement with itself, since repeats are turned."""
    files = [vote(exported, "reviewer-1", lambda *_: "1"),
             vote(exported, "reviewer-2", better_first)]  # fmt: skip
    found = imported(exported, *files).json()
    lazy, careful = found["reviewers"]
    assert lazy["self_consistency"]["value"] == 0.0
    assert lazy["first_shown_best"]["value"] == 1.0
    assert careful["first_shown_best"]["value"] < 0.9
    assert abs(found["agreement"]["pairs"][0]["kappa"] or 0.0) < 0.7
    rows = (exported.parent / "result" / "disagreements.jsonl").read_text("utf-8").splitlines()
    assert len(rows) == sum(json.loads(row)["between"] == "reviewers" for row in rows) > 0


def test_failed_checks_are_named(exported: Path) -> None:
    path = vote(exported, "reviewer-1", lambda slot, entry: (
        "s" if entry["expected"] else better_first(slot, entry)))  # fmt: skip
    ended = command("evals", "review", "import", exported, path, "--out", exported.parent / "r")
    assert "reviewer-1 failed 1 of 1 attention checks: check · 1." in ended.out


def test_against_a_judge(tmp_path: Path, exported: Path) -> None:
    """People side with the first system, the oracle with whom has the score: chance agreement."""
    files = [tmp_path / "ModelAlpha.jsonl", tmp_path / "ModelBeta.jsonl"]
    run = tmp_path / "oracle"
    command("evals", "judge", *files, "--judge", "oracle", "--out", run)

    def agree(slot: dict[str, Any], entry: dict[str, Any]) -> str:
        odd = "问题 q" in entry["messages"][0]["content"] and int(entry["texts"][0][-3:]) % 2
        return better_first(slot, entry) if odd or entry["expected"] else (
            "2" if slot["order"][0] == 0 else "1")  # fmt: skip

    votes = [vote(exported, f"reviewer-{n}", agree) for n in (1, 2)]
    found = imported(exported, *votes, judge=run).json()["pairs"][0]["judge"]
    assert found["with_ties"]["kappa"] == 1.0
    assert found["with_ties"]["confusion"] == [[10, 0, 0], [0, 10, 0], [0, 0, 0]]
    against = [vote(exported, f"reviewer-{n}", better_first) for n in (1, 2)]
    found = imported(exported, *against, judge=run).json()["pairs"][0]["judge"]
    assert found["with_ties"]["kappa"] == pytest.approx(0.0)
    assert found["without_ties"]["raw"] == 0.5
    ended = imported(exported, *votes, judge=exported)
    assert ended.code == 2
    said(ended, "no run here")


def test_consensus() -> None:
    assert consensus(["win", "win", "loss"]) == ("win", False)
    assert consensus(["win", "loss"]) == ("tie", True)
    assert consensus(["tie"]) == ("tie", False)


def test_a_judge_run_is_reviewed(tmp_path: Path) -> None:
    command("evals", "judge", *systems(tmp_path, 4), "--judge", "longer", "--out", tmp_path / "run")
    found = command(
        "evals", "review", "export", tmp_path / "run", "--out", tmp_path / "r", "--json"
    )
    assert found.json()["items"] == 4


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("你好，我是ChatGPT，很高兴", ["我是ChatGPT"]),
        ("我是由OpenAI开发的助手", ["由OpenAI开发"]),
        ("作为一个AI语言模型，我不能", ["作为一个AI语言模型"]),
        ("As an AI language model, I cannot", ["As an AI language model"]),
        ("I'm Claude, trained by Anthropic.", ["I'm Claude", "trained by Anthropic"]),
        ("我是学生，想了解语言模型", []),
        ("ChatGPT 是 OpenAI 的产品", []),
        ("tiny-hot 说", ["tiny-hot"]),
    ],
)
def test_what_gives_a_system_away(text: str, found: list[str]) -> None:
    item = ReviewItem("x", ASKED, (text, "好"), ("tiny-hot", "b"))
    assert identity_strings(item) == found


def test_masking(tmp_path: Path) -> None:
    a = write_answers(tmp_path / "a.jsonl", {"x": "我是ChatGPT。", "y": "好"})
    b = write_answers(tmp_path / "b.jsonl", {"x": "你好", "y": "坏"})
    shown = command("evals", "review", "export", a, b, "--out", tmp_path / "r")
    assert "1 pairs give a system away (我是ChatGPT): shown as they are; --mask hides" in shown.out
    command("evals", "review", "export", a, b, "--out", tmp_path / "m", "--mask")
    for name in ("reviewer-1.html", "reviewer-1.csv"):
        assert "我是ChatGPT" in (tmp_path / "r" / name).read_text("utf-8-sig")
        assert "我是ChatGPT" not in (tmp_path / "m" / name).read_text("utf-8-sig")
    found = imported(tmp_path / "r", vote(tmp_path / "r", "reviewer-1", better_first)).json()
    assert found["pairs"][0]["unblinded"] == 1
    assert found["pairs"][0]["win_rate_blind"]["n"] == 1


def test_random_people_agree_by_chance(tmp_path: Path) -> None:
    out = tmp_path / "r"
    command("evals", "review", "export", *systems(tmp_path, 300), "--out", out, "--reviewers", "2",
            "--overlap", "1")  # fmt: skip
    rng = random.Random(1)
    files = [vote(out, f"reviewer-{n}", lambda *_: rng.choice("120")) for n in (1, 2)]
    found = imported(out, *files).json()
    assert abs(found["agreement"]["alpha"]) < 0.12
    assert abs(found["agreement"]["pairs"][0]["kappa"]) < 0.12
    pair = found["pairs"][0]
    assert pair["win_rate"]["low"] < 0.5 < pair["win_rate"]["high"]


def test_changed_answers_are_other_items(tmp_path: Path) -> None:
    """Votes that a browser kept for a page must not fall on other texts under the same ids."""
    texts = {"x": "一", "y": "二"}
    b = write_answers(tmp_path / "b.jsonl", {"x": "三", "y": "四"})
    keys = []
    for n in (1, 2):
        a = write_answers(tmp_path / "a.jsonl", texts | {"y": "二" * n})
        command("evals", "review", "export", a, b, "--out", tmp_path / f"r{n}")
        keys.append(read_key(tmp_path / f"r{n}"))
    assert not keys[0]["pages"].keys() & keys[1]["pages"].keys()
    slots = [{s["item"]: o for p in key["pages"].values() for o, s in p["slots"].items()}
             for key in keys]  # fmt: skip
    same = [item for item in slots[0] if slots[0][item] == slots[1][item]]
    assert same == ["x · a · b"]
