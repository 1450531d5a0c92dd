"""Votes as they come back: tables, rankings, and what is wrong with them."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import command, said, usage_error
from tests.evals.judging import systems, write_answers
from tests.evals.reviewing import (
    better_first,
    export_review,
    imported,
    rankings,
    vote,
)
from yanmo.errors import DataError
from yanmo.evals.review_items import read_rankings
from yanmo.evals.review_votes import read_key, read_votes


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A review of 20 pairs for two people, with checks."""
    return export_review(tmp_path)


def fill_csv(path: Path, voter: Callable[[dict[str, str]], str]) -> list[list[str]]:
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    place = rows[0].index("vote")
    for row in rows[1:]:
        row[place] = voter(dict(zip(rows[0], row, strict=True)))
    return rows


@pytest.mark.parametrize(
    ("encoding", "mark", "form"),
    [("utf-8-sig", ",", "{}"), ("gb18030", ";", "{}.0"), ("utf-16", "\t", " {} ")],
)
def test_a_table_filled_in_with_a_spreadsheet(
    exported: Path, encoding: str, mark: str, form: str
) -> None:
    """However it was saved, the votes are those of the page."""
    key = read_key(exported)
    slots = {o: s for p in key["pages"].values() for o, s in p["slots"].items()}
    rows = fill_csv(exported / "reviewer-1.csv",
                    lambda row: form.format(better_first(slots[row["item"]], {})))  # fmt: skip
    stream = io.StringIO()
    csv.writer(stream, delimiter=mark).writerows(rows)
    filled = exported.parent / "filled.csv"
    filled.write_bytes(stream.getvalue().encode(encoding))
    by_page = read_votes([vote(exported, "reviewer-1", better_first)], key)
    assert read_votes([filled], key) == by_page


def test_cells_cannot_be_formulas(tmp_path: Path) -> None:
    a = write_answers(tmp_path / "a.jsonl", {"x": "=HYPERLINK(1)"})
    b = write_answers(tmp_path / "b.jsonl", {"x": "@SUM"})
    command("evals", "review", "export", a, b, "--out", tmp_path / "r")
    data = (tmp_path / "r" / "reviewer-1.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert {row["answer_1"], row["answer_2"]} == {"'=HYPERLINK(1)", "'@SUM"}


def spoil(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    table = json.loads(path.read_text("utf-8"))
    change(table)
    path.write_text(json.dumps(table), "utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["votes"][2].update(vote="3"), ["vote 3", "'3'", "1 or 2"]),
        (lambda t: t["votes"][2].update(vote=1), ["vote 3", "got 1", "1 or 2"]),
        (lambda t: t["votes"][1].update(item="nosuchitem"), ["vote 2", "'nosuchitem'"]),
        (lambda t: t["votes"].append(t["votes"][0]), ["twice", "vote 1", "Remove one"]),
        (lambda t: t.update(page="0123"), ["'0123'", "reviewer-2", "page"]),
        (lambda t: t.update(kind="rank"), ["another kind", "'pair'"]),
        (lambda t: t.update(votes=None), ["no votes", "download"]),
        (lambda t: t["votes"].__setitem__(0, 5), ["vote 1", "{item, vote}"]),
        (lambda t: t.update(votes=[]), ["no votes"]),
    ],
)  # fmt: skip
def test_spoilt_votes(
    exported: Path, change: Callable[[dict[str, Any]], None], words: list[str]
) -> None:
    path = spoil(vote(exported, "reviewer-1", better_first), change)
    ended = imported(exported, path)
    assert ended.code == 1
    said(ended, "votes-reviewer-1.json", *words)


def test_spoilt_tables(exported: Path) -> None:
    key = read_key(exported)
    path = exported.parent / "t.csv"

    def write(rows: list[list[str]]) -> Path:
        stream = io.StringIO()
        csv.writer(stream).writerows(rows)
        path.write_text(stream.getvalue(), "utf-8-sig")
        return path

    rows = fill_csv(exported / "reviewer-1.csv", lambda _: "1")
    spoilt = [list(row) for row in rows]
    spoilt[3][-1] = "A"
    with pytest.raises(DataError, match=r"t\.csv, row 4: not a vote, got 'a'"):
        read_votes([write(spoilt)], key)
    both = [vote(exported, "reviewer-1", better_first), write(rows)]
    with pytest.raises(DataError, match=r"row 2: the item is voted on twice"):
        read_votes(both, key)
    spoilt = [list(row) for row in rows]
    spoilt[0][-1] = "votes"
    with pytest.raises(DataError, match="lacks a column, got 'vote'"):
        read_votes([write(spoilt)], key)
    empty = [rows[0], *([*row[:-1], ""] for row in rows[1:])]
    with pytest.raises(DataError, match="hold no votes"):
        read_votes([write(empty)], key)


def test_mistyped(tmp_path: Path, exported: Path) -> None:
    file = vote(exported, "reviewer-1", better_first)
    out = ("--out", tmp_path / "o")
    usage_error(command("evals", "review", "import", file, exported / "key.json", *out), "no key")
    usage_error(command("evals", "review", "import", tmp_path / "x", file, *out), "no such key")
    usage_error(
        command("evals", "review", "import", exported, tmp_path / "x", *out), "no such file"
    )
    usage_error(command("evals", "review", "import", exported, file, "--out", exported), "export")
    lone = tmp_path / "ModelAlpha.jsonl"
    usage_error(command("evals", "review", "export", lone, *out), "two systems", "--rank")
    usage_error(command("evals", "review", "export", exported, *out), "no judge run", "items.jsonl")
    usage_error(command("evals", "review", "export", lone, lone, "--name", "a", "--name", "b",
                        "--overlap", "2", *out), "--overlap", "2.0")  # fmt: skip


def test_ranks_come_back_in_the_order_of_the_data(tmp_path: Path) -> None:
    """A reviewer for whom 第0好 is the best: whatever the page's order, rank is 1 2 3 4."""
    out = tmp_path / "r"
    ended = command("evals", "review", "export", rankings(tmp_path / "in.jsonl", 12), "--rank",
                    "--out", out, "--repeats", "0.5")  # fmt: skip
    assert ended.code in (0, "returned"), ended.err
    first = vote(out, "reviewer-1", lambda slot, _: (
        "s" if slot["item"] == "r3" else [k + 1 for k in slot["order"]]))  # fmt: skip
    found = imported(out, first).json()
    assert found["reviewers"][0]["self_consistency"]["value"] == 1.0
    rows = [json.loads(line) for line in
            (tmp_path / "result" / "rankings.jsonl").read_text("utf-8").splitlines()]  # fmt: skip
    assert [row["id"] for row in rows] == [f"r{k}" for k in range(12)]
    assert {tuple(row["rank"] or ()) for row in rows} == {(1, 2, 3, 4), ()}
    assert rows[3]["rank"] is None
    assert rows[0]["source"] == "x"


def test_ranks_of_several_people_are_averaged(tmp_path: Path) -> None:
    out = tmp_path / "r"
    command("evals", "review", "export", rankings(tmp_path / "in.jsonl", 3, 3), "--rank", "--out",
            out, "--reviewers", "3", "--overlap", "1", "--repeats", "0")  # fmt: skip
    said_by = {1: (1, 2, 3), 2: (1, 2, 3), 3: (1, 3, 2)}
    files = [vote(out, f"reviewer-{n}", lambda slot, _, r=r: [r[k] for k in slot["order"]])
             for n, r in said_by.items()]  # fmt: skip
    found = imported(out, *files).json()
    rows = (tmp_path / "result" / "rankings.jsonl").read_text("utf-8").splitlines()
    assert {tuple(json.loads(row)["rank"]) for row in rows} == {(1, 2, 3)}
    raw = [pair["raw"] for pair in found["agreement"]["pairs"]]
    assert raw == pytest.approx([1.0, 2 / 3, 2 / 3])


@pytest.mark.parametrize("wrong", [[1, 2], [0, 1, 2], [1, 2, 4], [1, 2, None], "1", [1, 2, "x"]])
def test_wrong_ranks(tmp_path: Path, wrong: object) -> None:
    out = tmp_path / "r"
    command("evals", "review", "export", rankings(tmp_path / "in.jsonl", 1, 3), "--rank",
            "--out", out)  # fmt: skip
    ended = imported(out, vote(out, "reviewer-1", lambda *_: wrong))
    assert ended.code == 1
    said(ended, "not a ranking", "vote 1", "3 ranks")


def test_wrong_rankings(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    for row, word in (
        ({"id": "a", "prompt": "q", "responses": ["one"]}, "2 to 9"),
        ({"id": "a", "prompt": "q", "answers": ["one"]}, "responses"),
        ({"id": "a", "responses": ["one", "two"]}, "messages"),
        ({"id": "a", "prompt": "q", "responses": ["one", "\ud800"]}, "half a character"),
    ):
        path.write_text(json.dumps(row), "utf-8")
        with pytest.raises(DataError, match=word):
            read_rankings([path], limit=None)


def test_a_judge_and_a_ranking_do_not_go_together(tmp_path: Path) -> None:
    out, run = tmp_path / "r", tmp_path / "run"
    command("evals", "review", "export", rankings(tmp_path / "in.jsonl"), "--rank", "--out", out)
    command("evals", "judge", *systems(tmp_path, 2), "--judge", "longer", "--out", run)
    votes = vote(out, "reviewer-1", lambda slot, _: [1 for _ in slot["order"]])
    usage_error(imported(out, votes, judge=run), "--judge")
