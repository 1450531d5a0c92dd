"""Judges whose verdicts are known: what the run makes of them; killed runs; wrong input."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import command, said, usage_error
from tests.evals.judging import systems, two, write_answers
from yanmo.errors import DataError, UsageError
from yanmo.evals.answers import Answer, Question, read_answers
from yanmo.evals.judge import judge_pairs, judge_single
from yanmo.evals.judge_setup import Chosen
from yanmo.evals.judge_summary import outcome
from yanmo.evals.judges import Game, Grade, Stub, Verdict


class Scripted:
    """Says what a table says: question and order to letter."""

    name, position_free = "scripted", False

    def __init__(self, letters: dict[str, tuple[str | None, str | None]], stop: int = -1) -> None:
        self.letters, self.stop, self.asked = letters, stop, 0

    def identity(self) -> dict[str, Any]:
        return {"kind": "scripted"}

    def decide(self, games: Iterable[Game]) -> Iterator[Verdict]:
        for game in games:
            if self.asked == self.stop:
                raise KeyboardInterrupt
            self.asked += 1
            yield Verdict(self.letters[game.question.id][int(game.name[-1])], {"text": "因为"})

    def grade(self, answers: Iterable[tuple[Question, Answer]]) -> Iterator[Grade]:
        for _, answer in answers:
            yield Grade(float(len(answer.text)))


def run(folder: Path, kind: str, count: int = 20, **more: Any) -> dict[str, Any]:
    pair: dict[str, Any] = judge_pairs(two(folder, count), Chosen(Stub(kind, **more))).summary[
        "pairs"
    ][0]
    return pair


def test_the_five_outcomes(tmp_path: Path) -> None:
    letters: dict[str, tuple[str | None, str | None]] = {
        "q000": ("A", "B"), "q001": ("B", "A"), "q002": ("C", "C"), "q003": ("A", "A"),
        "q004": ("C", "A"), "q005": (None, "A"), "q006": ("B", "B"),
    }  # fmt: skip
    summary = judge_pairs(two(tmp_path, 7), Chosen(Scripted(letters))).summary
    (pair,) = summary["pairs"]
    assert pair["outcomes"] == {
        "win": 1, "loss": 1, "tie": 1, "tie_by_disagreement": 3, "invalid": 1,
    }  # fmt: skip
    assert pair["win_rate"]["value"] == pytest.approx((1 + 0.5 * 4) / 6)
    assert pair["win_rate_without_ties"]["value"] == 0.5
    assert pair["position"]["consistent"]["value"] == pytest.approx(3 / 6)
    # Of the letters of valid questions A stands 1+1+0+2+1+0 times, B 1+1+0+0+0+2.
    assert pair["position"]["first"]["value"] == pytest.approx(5 / 9)
    assert (pair["position"]["both_first"], pair["position"]["both_second"]) == (1, 1)


def test_a_judge_of_places_wins_nothing(tmp_path: Path) -> None:
    pair = run(tmp_path, "first")
    assert pair["outcomes"]["tie_by_disagreement"] == 20
    assert pair["position"]["consistent"]["value"] == 0.0
    assert pair["position"]["first"]["value"] == 1.0
    assert pair["win_rate"]["value"] == 0.5
    assert pair["win_rate_without_ties"] is None
    assert pair["sign_test_p"] == 1.0


def test_an_oracle_says_what_is_known(tmp_path: Path) -> None:
    """System a has the higher score in odd questions, b in even ones."""
    found = judge_pairs(two(tmp_path, 21), Chosen(Stub("oracle")))
    (pair,) = found.summary["pairs"]
    assert (pair["outcomes"]["win"], pair["outcomes"]["loss"]) == (10, 11)
    assert pair["position"]["consistent"]["value"] == 1.0
    assert pair["position"]["first"]["value"] == 0.5
    better = {row["id"]: row["winner"] for row in found.samples}
    assert all(winner == ("a" if int(i[1:]) % 2 else "b") for i, winner in better.items())


def test_a_judge_of_length_is_seen_as_one(tmp_path: Path) -> None:
    pair = run(tmp_path, "longer")
    assert pair["outcomes"]["loss"] == 20  # b is longer everywhere
    assert pair["length"]["longer_wins"] == pytest.approx(
        {"value": 1.0, "low": 0.8389, "high": 1.0, "n": 20}, abs=1e-4
    )
    assert pair["length"]["win_rate"]["shorter"] == {"value": 0.0, "n": 20}
    assert pair["length"]["win_rate"]["longer"] == {"value": None, "n": 0}


def test_noise_gives_the_outcomes_of_its_probability(tmp_path: Path) -> None:
    """Right with p in each order: right twice p², wrong twice (1-p)², apart 2p(1-p)."""
    p, n = 0.8, 1000
    answers = two(tmp_path, n)
    found = judge_pairs(answers, Chosen(Stub("noisy", p, seed=3)))
    truth = {i.question.id: "a" if i.answers["a"].score else "b" for i in answers.items}
    counts = {"right": 0, "wrong": 0}
    for row in found.samples:
        counts["right" if row["winner"] == truth[row["id"]] else "wrong"] += 1
    assert counts["right"] / (2 * n) == pytest.approx(p, abs=0.03)
    outcomes = found.summary["pairs"][0]["outcomes"]
    assert outcomes["tie_by_disagreement"] / n == pytest.approx(2 * p * (1 - p), abs=0.04)
    assert (outcomes["win"] + outcomes["loss"]) / n == pytest.approx(p**2 + (1 - p) ** 2, abs=0.04)
    consistent = found.summary["pairs"][0]["position"]["consistent"]
    assert consistent["low"] < p**2 + (1 - p) ** 2 < consistent["high"]
    again = judge_pairs(answers, Chosen(Stub("noisy", p, seed=3)))
    assert again.samples == found.samples


def test_equal_answers_are_ties_that_nobody_is_asked_about(tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{n}.jsonl", {"x": "同", "y": n}) for n in "ab"]
    judge = Scripted({"y": ("A", "A")})
    summary = judge_pairs(read_answers(files), Chosen(judge)).summary
    assert judge.asked == 2
    assert summary["pairs"][0]["outcomes"]["tie"] == 1
    assert summary["pairs"][0]["identical"] == 1
    assert summary["pairs"][0]["position"]["consistent"]["n"] == 1


def test_three_systems_are_rated(tmp_path: Path) -> None:
    summary = judge_pairs(read_answers(systems(tmp_path, 9, names="abc")),
                          Chosen(Stub("longer"))).summary  # fmt: skip
    assert [(p["a"], p["b"]) for p in summary["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    ratings = summary["ratings"]
    assert [entry["name"] for entry in ratings["systems"]] == ["c", "b", "a"]
    assert ratings["separated"] is True
    assert sum(entry["rating"] for entry in ratings["systems"]) == pytest.approx(3000)


def test_a_killed_run_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    answers = two(tmp_path, 6)
    table: dict[str, tuple[str | None, str | None]] = {
        f"q{i:03d}": ("AB"[i % 2], "BCA"[i % 3]) for i in range(6)
    }
    judge_pairs(answers, Chosen(Scripted(table)), out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        judge_pairs(answers, Chosen(Scripted(table, stop=5)), out=tmp_path / "cut")
    kept = (tmp_path / "cut" / "samples.jsonl").read_bytes()
    assert kept.count(b"\n") == 5
    (tmp_path / "cut" / "samples.jsonl").write_bytes(kept + b'{"id": "q0')  # a torn line
    rest = Scripted(table)
    outcome = judge_pairs(answers, Chosen(rest), out=tmp_path / "cut")
    # The game of the third question that was kept is judged again, and kept as it was.
    assert (rest.asked, outcome.computed) == (8, 7)
    for name in ("samples.jsonl", "summary.json", "report.md", "report.html", "items.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    done = Scripted(table)
    assert judge_pairs(answers, Chosen(done), out=tmp_path / "cut").computed == done.asked == 0


def test_another_judge_is_another_run(tmp_path: Path) -> None:
    judge_pairs(two(tmp_path), Chosen(Stub("first")), out=tmp_path / "run")
    with pytest.raises(UsageError, match="holds another run"):
        judge_pairs(two(tmp_path), Chosen(Stub("longer")), out=tmp_path / "run")


def test_outcome_of_games_from_one_side() -> None:
    games = [{"winner": "x"}, {"winner": "x"}]
    assert (outcome(games, "x"), outcome(games, "y")) == ("win", "loss")


def test_grades(tmp_path: Path) -> None:
    summary = judge_single(two(tmp_path, 8), Chosen(Scripted({})), out=tmp_path / "run").summary
    a, b = summary["grades"]
    assert b["mean"]["value"] - a["mean"]["value"] == pytest.approx(1.0)
    assert summary["differences"][0]["difference"] == pytest.approx(-1.0)
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_command(tmp_path: Path) -> None:
    files = systems(tmp_path, 5)
    ended = command(
        "evals", "judge", *files, "--judge", "oracle", "--out", tmp_path / "r", "--json"
    )
    found = ended.json()
    assert found["pairs"][0]["outcomes"] == {
        "win": 2, "loss": 3, "tie": 0, "tie_by_disagreement": 0, "invalid": 0,
    }  # fmt: skip
    assert json.loads((tmp_path / "r" / "summary.json").read_text("utf-8")) == found
    shown = command("evals", "judge", *files, "--judge", "oracle", "--name", "旧", "--name", "新")
    assert "Outcomes, from the side of 旧" in shown.out


def test_files_that_differ(tmp_path: Path) -> None:
    a = write_answers(tmp_path / "a.jsonl", {"x": "1", "y": "2", "only": "3"})
    b = write_answers(tmp_path / "b.jsonl", {"y": "22", "x": "11", "other": "3"})
    ended = command("evals", "judge", a, b, "--judge", "longer")
    assert ended.code == 1
    said(ended, "only", "b.jsonl", "--intersect")
    found = command("evals", "judge", a, b, "--judge", "longer", "--intersect", "--json").json()
    assert found["questions"] == 2
    assert found["left_out"] == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"question": "q", "answer": "a"}', ["no id", "#1"]),
        ('{"id": "x", "question": "q", "answer": "a"}', ["there twice", "'x'"]),
        ('{"id": "z", "question": "q"}', ["answer or response", "#1"]),
        ('{"id": "z", "answer": "q"}', ["no text in question"]),
        ('{"id": "z", "question": "q", "answer": "a", "score": "high"}', ["score", "high"]),
        ('{"id": "z", "messages": [{"role": "user", "content": "q"}, '
         '{"role": "assistant", "content": "a"}], "answer": "a"}', ["end with the user"]),
        ('{"id": "z", "question": "q", "answer": "a\\ud800b"}', ["half a character", "#1"]),
        ("{", ["line 2"]),
    ],
)  # fmt: skip
def test_wrong_records(tmp_path: Path, line: str, words: list[str]) -> None:
    path = write_answers(tmp_path / "a.jsonl", {"x": "1"})
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    ended = command("evals", "judge", path, path, "--judge", "first", "--name", "a", "--name", "b")
    assert ended.code == 1
    said(ended, "a.jsonl", *words)


def test_one_id_two_questions(tmp_path: Path) -> None:
    a = write_answers(tmp_path / "a.jsonl", {"x": "1"})
    b = write_answers(tmp_path / "b.jsonl", {"x": "1"}, question="another")
    with pytest.raises(DataError, match="different questions under one id"):
        read_answers([a, b])


def test_mistyped(tmp_path: Path) -> None:
    files = systems(tmp_path, 2)
    usage_error(command("evals", "judge", *files, "--judge", "orcale"), "orcale", "oracle")
    usage_error(command("evals", "judge", *files, "--judge", "model"), "--model")
    usage_error(command("evals", "judge", *files, "--judge", "first", "--template", "zh"),
                "takes no --template")  # fmt: skip
    usage_error(command("evals", "judge", *files, "--judge", "oracle", "--tie-margin", "1"),
                "takes no --tie-margin")  # fmt: skip
    usage_error(command("evals", "judge", *files, "--judge", "endpoint", "--model", "x"), "--url")
    usage_error(command("evals", "judge", *files, "--judge", "noisy", "--p", "2"), "2.0")
    usage_error(command("evals", "judge", files[0], "--judge", "first"), "--single")
    usage_error(command("evals", "judge", *files, "--judge", "first", "--single"), "no grades")
    usage_error(command("evals", "judge", *files, "--judge", "first", "--name", "x"), "--name")
    usage_error(command("evals", "judge", files[0], files[0], "--judge", "first"), "--name")
    two_bare = [write_answers(tmp_path / f"{n}.jsonl", {"q": n}) for n in "ef"]
    said(
        command("evals", "judge", *two_bare, "--judge", "oracle"), "known quality", "id q", "score"
    )


def test_two_judges_are_compared_and_listed(tmp_path: Path) -> None:
    """The oracle sides with b in half of the questions, the judge of length always."""
    files = systems(tmp_path, 20)
    for kind in ("oracle", "longer"):
        command("evals", "judge", *files, "--judge", kind, "--out", tmp_path / kind)
    found = command("evals", "compare", tmp_path / "oracle", tmp_path / "longer", "--json").json()
    (pair,) = found["pairs"]
    assert pair["win_rate"]["difference"] == pytest.approx(0.5)
    assert pair["agreement"]["raw"] == 0.5
    assert pair["agreement"]["confusion"] == [[0, 10, 0], [0, 10, 0], [0, 0, 0]]
    assert found["verdict"] == "The judges agree in 50.0 %."
    listed = command("evals", "report", tmp_path / "oracle", tmp_path / "longer", "--html",
                     tmp_path / "all.html")  # fmt: skip
    assert "a and b, 20 questions" in listed.out
    lines = [" ".join(line.split()) for line in listed.out.splitlines()]
    assert any(line.startswith("longer a b 0.0 % 0.0 to 0.0 0 20 0 0 0 100.0 %") for line in lines)
    assert any(line.startswith("oracle a b 50.0 %") for line in lines)
    assert "oracle" in (tmp_path / "all.html").read_text("utf-8")
    other = systems(tmp_path, 5)
    command("evals", "judge", *other, "--judge", "oracle", "--out", tmp_path / "five")
    ended = command("evals", "compare", tmp_path / "oracle", tmp_path / "five")
    assert ended.code == 1
    said(ended, "different answers")


def test_grades_are_listed(tmp_path: Path) -> None:
    files = systems(tmp_path, 5)
    command("evals", "judge", *files, "--single", "--judge", "longer", "--out", tmp_path / "run")
    listed = command("evals", "report", tmp_path / "run")
    assert "mean" in listed.out
    assert listed.out.index("longer  b") < listed.out.index("longer  a")  # best first
