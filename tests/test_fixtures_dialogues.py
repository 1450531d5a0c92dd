"""The dialogues of the demo: made as their program says, and with the faults that they are for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from yanmo.messages import read_dialogues
from yanmo.train.rlhf_rules import tidy

FOLDER = Path(__file__).resolve().parent.parent / "fixtures"
DEMO = FOLDER / "demo" / "dialogues"


def rows(name: str) -> list[dict[str, Any]]:
    lines = (DEMO / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_they_are_made_again_byte_for_byte(tmp_path: Path) -> None:
    make = FOLDER / "dialogues" / "make.py"
    arguments = ["--dialogues", "1200", "--heldout", "120"]
    subprocess.run([sys.executable, str(make), str(tmp_path), *arguments], check=True)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in DEMO.iterdir())
    for name in made:
        assert (tmp_path / name).read_bytes() == (DEMO / name).read_bytes()


def test_held_out_questions_stand_nowhere_else() -> None:
    held = {row["prompt"] for row in rows("heldout")}
    asked = {row["prompt"] for row in rows("prompts")}
    asked |= {turn["content"] for row in rows("instructions") for turn in row["messages"]}
    asked |= {row["prompt"][0]["content"] for row in rows("preferences")}
    assert len(held) == 120
    assert held & asked == set()


def test_some_answers_are_whole_and_some_are_not() -> None:
    dialogues = list(read_dialogues(DEMO / "instructions.jsonl"))
    good = [tidy(d.messages[-1].content, {}, None) for d in dialogues]
    assert len(good) == 1200
    assert 0.25 < sum(value == 0 for value in good) / len(good) < 0.35
    assert 0.4 < sum(value == 1 for value in good) / len(good) < 0.6


def test_preferences_are_for_the_whole_answer_but_for_a_few() -> None:
    pairs = rows("preferences")
    right = [tidy(p["chosen"], {}, None) > tidy(p["rejected"], {}, None) for p in pairs]
    assert 0.9 < sum(right) / len(right) < 0.99
