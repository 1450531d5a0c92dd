"""Reviews of made-up systems, and people who vote by a rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.command import Ended, command
from tests.evals.judging import systems
from yanmo.evals.review_votes import read_key

Voter = Callable[[dict[str, Any], dict[str, Any]], Any]


def better_first(slot: dict[str, Any], entry: dict[str, Any]) -> str:
    """Votes for the first answer of the data, wherever it stands."""
    return "1" if slot["order"][0] == 0 else "2"


def vote(folder: Path, reviewer: str, voter: Voter) -> Path:
    """A votes.json as the page writes it."""
    key = read_key(folder)
    name, page = next((n, p) for n, p in key["pages"].items() if p["reviewer"] == reviewer)
    votes = [
        {"item": opaque, "vote": voter(slot, key["items"][slot["item"]])}
        for opaque, slot in page["slots"].items()
    ]
    path = folder.parent / f"votes-{reviewer}.json"
    table = {"format": 1, "kind": key["kind"], "page": name, "votes": votes}
    path.write_text(json.dumps(table, ensure_ascii=False), "utf-8")
    return path


def export_review(tmp_path: Path) -> Path:
    """A review of 20 pairs for two people, with checks."""
    checks = tmp_path / "checks.jsonl"
    checks.write_text('{"question": "1+1=?", "good": "2", "bad": "鱼"}\n', "utf-8")
    out = tmp_path / "review"
    files = systems(tmp_path, 20, names=["ModelAlpha", "ModelBeta"])
    ended = command("evals", "review", "export", *files, "--out", out, "--reviewers", "2",
                    "--overlap", "0.5", "--repeats", "0.2", "--checks", checks)  # fmt: skip
    assert ended.code in (0, "returned"), ended.err
    return out


def imported(folder: Path, *files: Path, **more: object) -> Ended:
    options = [x for name, value in more.items() for x in (f"--{name}", value)]
    return command("evals", "review", "import", folder / "key.json", *files,
                   "--out", folder.parent / "result", "--json", *options)  # fmt: skip


def rankings(path: Path, count: int = 6, answers: int = 4) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        for k in range(count):
            texts = [f"第{j}好" for j in range(answers)]
            row = {"id": f"r{k}", "prompt": [{"role": "user", "content": f"问{k}"}],
                   "responses": texts, "rank": None, "source": "x"}  # fmt: skip
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path
