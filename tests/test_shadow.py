"""The command works in a folder full of the user's own files with our folders' names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("train", "evals", "vocab", "core", "curate", "yanmo_local", "tasks", "read")
TEXT = "研墨要慢，水要少，力要匀，写字的人常说，墨磨好了，心也就静下来了。"


@pytest.mark.slow
def test_user_files_shadow_nothing(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n", encoding="utf-8")
    page = f"<html><body><main><article><p>{TEXT}</p></article></main></body></html>"
    for number in range(3):
        (tmp_path / f"in{number}").mkdir()
        (tmp_path / f"in{number}" / "a.html").write_text(page * (number + 1), encoding="utf-8")
    yanmo = Path(sys.executable).with_name("yanmo")
    inputs = [f"in{number}" for number in range(3)]
    command = [str(yanmo), "curate", "extract", *inputs, "--out", "run", "--workers", "2", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["read"] == 3
    for group in ("vocab", "train", "evals"):
        shown = subprocess.run([str(yanmo), group, "--help"], cwd=tmp_path, capture_output=True,
                               text=True, check=False, env=os.environ)  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        assert "shadowed" not in shown.stdout + shown.stderr
