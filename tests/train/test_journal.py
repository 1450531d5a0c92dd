"""The log: lines that can be trusted after a crash."""

from pathlib import Path

import pytest

from yanmo.train.journal import Journal, read_journal


def _written(folder: Path, steps: range) -> None:
    journal = Journal(folder, step=0, tensorboard=False)
    for step in steps:
        journal.write("train", step, loss=float(step))
    journal.close()


def test_lines_come_back(tmp_path: Path) -> None:
    _written(tmp_path, range(1, 4))
    assert read_journal(tmp_path) == [
        {"kind": "train", "step": step, "loss": float(step)} for step in (1, 2, 3)
    ]
    assert read_journal(tmp_path / "nowhere") == []


def test_resuming_drops_what_will_be_done_again(tmp_path: Path) -> None:
    _written(tmp_path, range(1, 9))
    journal = Journal(tmp_path, step=5, tensorboard=False)
    journal.write("train", 6, loss=0.5)
    journal.close()
    assert [e["loss"] for e in read_journal(tmp_path)] == [1, 2, 3, 4, 5, 0.5]


def test_a_line_cut_by_a_crash_is_left_out(tmp_path: Path) -> None:
    _written(tmp_path, range(1, 4))
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[:-5])
    assert [e["step"] for e in read_journal(tmp_path)] == [1, 2]
    Journal(tmp_path, step=9, tensorboard=False).close()
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_null_in_json(value: float, tmp_path: Path) -> None:
    journal = Journal(tmp_path, step=0, tensorboard=False)
    journal.write("event", 1, loss=value, documents=[{"id": "文", "loss": value}])
    journal.close()
    (entry,) = read_journal(tmp_path)
    assert entry["loss"] is None
    assert entry["documents"] == [{"id": "文", "loss": None}]
    assert "文" in (tmp_path / "metrics.jsonl").read_text()
