"""``yanmo curate decontaminate``: over raw input, over a run, and with mistakes in the command."""

import json
from pathlib import Path

import polars as pl
import pytest

from .command import command
from .curate.peer_corpus import PROSE, essay, write_json_lines

CHINESE = ("明朝初年率领船队多次远航西洋，最远到达非洲东岸的航海家是____",
           ["郑成功", "郑和", "戚继光", "林则徐"])  # fmt: skip
ABSENT = ("以下各种乐器当中，不用弓拉弦而是用手指拨动琴弦来发出声音的是哪一种？",
          ["二胡", "小提琴", "古筝", "大提琴"])  # fmt: skip
TEXTS = [essay(1) + "\n".join([CHINESE[0], *CHINESE[1]]) + essay(2), essay(3)]


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    """Two questions as JSON lines; one of them stands nowhere."""
    path = tmp_path / "quiz_val.jsonl"
    rows = [{"question": q, "choices": o} for q, o in (CHINESE, ABSENT)]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def test_the_command_over_raw_input_and_over_a_run(exam: Path, tmp_path: Path) -> None:
    write_json_lines(tmp_path / "in.jsonl", TEXTS)
    out, again = tmp_path / "one", tmp_path / "two"
    base = ("curate", "decontaminate", "--against", f"mine={exam}", "--workers", 1, "-q")
    first = command(*base, tmp_path / "in.jsonl", "--out", out, "--json")
    assert first.code == 0, first.err
    assert first.json()["kept"] == 2
    assert "1 of 2 exam questions" in first.json()["notes"][0]
    row = pl.read_parquet(out / "leaks" / "part-00000.parquet").row(0, named=True)
    assert row["question"].startswith("mine/val/quiz/")
    why = command("curate", "why", out, row["id"])
    assert "holds mine/val/quiz/0: question 100%, options 100% (both)" in why.out
    second = command(*base, out, "--out", again, "--action", "drop")
    assert second.code == 0, second.err
    assert "contaminated" in second.out
    assert pl.read_parquet(again / "documents" / "*.parquet")["source"].to_list() == ["one"]
    text = command(
        "curate", "why", again, pl.read_parquet(again / "dropped" / "*.parquet")["id"][0]
    )
    assert "dropped at step decontaminate by contaminated" in text.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--against", "nothing.zip"), 2, "no such file or folder of questions"),
        (("--against", "{exam}", "--question", "stem"), 1, "no question in a field 'stem'"),
        (("--against", "{exam}", "--set", "decontaminate.min_shar=1"), 2, "min_share"),
        (("--against", "{exam}", "--against", "{exam}"), 2, "two questions have one name"),
        (("--against", "{exam}", "--action", "mark"), 2, "mask"),
        ((), 2, "--against"),
    ],
)
def test_mistakes_are_told(
    arguments: tuple[str, ...], code: int, message: str, exam: Path, tmp_path: Path
) -> None:
    write_json_lines(tmp_path / "in.jsonl", [PROSE])
    given = [text.format(exam=exam) for text in arguments]
    ended = command("curate", "decontaminate", tmp_path / "in.jsonl", "--out", tmp_path / "run",
                    "--workers", 1, "-q", *given)  # fmt: skip
    assert (ended.code, message in ended.err) == (code, True), ended.err
