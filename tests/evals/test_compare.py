"""Two runs against each other, and many side by side."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from yanmo.errors import DataError, UsageError
from yanmo.evals import compare as comparison
from yanmo.evals import leaderboard
from yanmo.evals.compare import compare
from yanmo.evals.multiple_choice import evaluate
from yanmo.evals.perplexity import score_texts
from yanmo.evals.planning import Settings
from yanmo.evals.score import Scorer, load_scorer

SETTINGS = Settings(batch_tokens=400)


@pytest.fixture(scope="module")
def runs(packed: Scorer, qwen_model: Path, demo: Path, tmp_path_factory: Any) -> tuple[Path, Path]:
    """The same questions for two models."""
    folder = tmp_path_factory.mktemp("runs")
    for name, scorer in (("llama", packed), ("qwen", load_scorer(qwen_model))):
        evaluate(scorer, demo, settings=SETTINGS, out=folder / name)
    return folder / "llama", folder / "qwen"


def samples(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    lines = (folder / "samples.jsonl").read_text("utf-8").split("\n")
    return {(r["subject"], r["id"]): r for r in (json.loads(line) for line in lines if line)}


def rewrite(folder: Path, target: Path, right: set[tuple[str, str]]) -> Path:
    """A copy of a run whose right answers are exactly those named."""
    shutil.copytree(folder, target)
    rows = list(samples(folder).values())
    for row in rows:
        wrong = "B" if row["answer"] == "A" else "A"
        row["prediction"] = row["answer"] if (row["subject"], row["id"]) in right else wrong
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (target / "samples.jsonl").write_text(text, "utf-8")
    return target


def test_counts_and_mcnemar(runs: tuple[Path, Path], tmp_path: Path) -> None:
    names = sorted(samples(runs[0]))
    a = rewrite(runs[0], tmp_path / "a", set(names[:30]))
    b = rewrite(runs[1], tmp_path / "b", set(names[10:33]))
    found = compare(a, b)
    micro = found["micro"]
    assert (micro["only_first"], micro["only_second"], micro["n"]) == (10, 3, 54)
    assert micro["difference"] == pytest.approx(7 / 54)
    assert micro["mcnemar_p"] == pytest.approx(scipy.stats.binomtest(3, 13, 0.5).pvalue)
    subjects = found["by_subject"]
    assert len(subjects) == 6
    assert sum(e["only_first"] for e in subjects.values()) == 10
    assert all(e["p_holm"] >= e["p"] for e in subjects.values())
    mean = sum(e["first"] - e["second"] for e in subjects.values()) / 6
    assert found["macro"]["difference"] == pytest.approx(mean)
    assert "could be chance" in comparison.verdict(found)
    mirror = compare(b, a)
    assert mirror["micro"]["difference"] == pytest.approx(-micro["difference"])


def test_a_real_difference_is_found(runs: tuple[Path, Path], tmp_path: Path) -> None:
    names = sorted(samples(runs[0]))
    a = rewrite(runs[0], tmp_path / "a", set(names[:40]))
    b = rewrite(runs[1], tmp_path / "b", set(names[:20]))
    found = compare(a, b)
    assert found["micro"]["mcnemar_p"] == pytest.approx(2 / 2**20)
    assert found["micro"]["low"] > 0
    assert comparison.verdict(found).startswith("tiny-spm")
    html = comparison.page(found).html()
    assert "only first right" in html
    assert "Holm" in html


def test_a_run_against_itself(runs: tuple[Path, Path]) -> None:
    found = compare(runs[0], runs[0])
    assert found["micro"]["difference"] == 0.0
    assert found["micro"]["mcnemar_p"] == 1.0
    assert found["same_answers"] == 1.0


def test_settings_that_differ_are_named(packed: Scorer, demo: Path, tmp_path: Path) -> None:
    for shots in (0, 1):
        settings = replace(SETTINGS, shots=shots, per_subject=1)
        evaluate(packed, demo, settings=settings, out=tmp_path / str(shots))
    found = compare(tmp_path / "0", tmp_path / "1")
    assert found["different_settings"] == ["shots"]
    assert "differ in more than the model: shots" in comparison.shown(found)


def test_other_questions_are_refused(
    packed: Scorer, runs: tuple[Path, Path], demo: Path, tmp_path: Path
) -> None:
    evaluate(packed, demo, settings=replace(SETTINGS, per_subject=1), out=tmp_path / "few")
    with pytest.raises(DataError, match="48 items are in one run only"):
        compare(runs[0], tmp_path / "few")
    shutil.copytree(demo, tmp_path / "data")
    file = tmp_path / "data" / "val" / "sports_science_val.csv"
    file.write_text(file.read_text("utf-8").replace("奥林匹克", "奥运"), "utf-8")
    evaluate(packed, tmp_path / "data", settings=SETTINGS, out=tmp_path / "edited")
    with pytest.raises(DataError, match="asked different questions"):
        compare(runs[0], tmp_path / "edited")


def texts(path: Path, n: int) -> Path:
    source = "地球自转的方向是自西向东，所以太阳东升西落。声音在钢铁中传播得最快。"
    rows = [{"text": source[i : i + 6 + i % 7]} for i in range(n)]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def test_texts(packed: Scorer, qwen_model: Path, tmp_path: Path) -> None:
    path = texts(tmp_path / "t.jsonl", 20)
    other = load_scorer(qwen_model)
    a = score_texts(packed, [path], out=tmp_path / "a")
    b = score_texts(other, [path], out=tmp_path / "b")
    found = compare(tmp_path / "a", tmp_path / "b")
    expected = a["bits_per_byte"] - b["bits_per_byte"]
    assert found["bits_per_byte"]["difference"] == pytest.approx(expected)
    assert found["perplexity"] == "not comparable: the vocabularies differ"
    assert "not comparable" in comparison.shown(found)
    better = "tiny-spm0" if expected < 0 else "tiny-qwen0"
    if found["bits_per_byte"]["p"] < 0.05:
        assert comparison.verdict(found).startswith(better)
    score_texts(packed, [path], out=tmp_path / "c")
    same = compare(tmp_path / "a", tmp_path / "c")
    assert same["perplexity"]["first"] == a["perplexity"]
    board = leaderboard.leaderboard([tmp_path / "a", tmp_path / "b"])["boards"]
    assert len(board) == 1
    assert [e["perplexity"] for e in board[0]["runs"]] == [None, None]
    order = [e["bits_per_byte"] for e in board[0]["runs"]]
    assert order == sorted(order)


def test_other_texts_are_refused(packed: Scorer, tmp_path: Path) -> None:
    for n in (4, 5):
        score_texts(packed, [texts(tmp_path / f"{n}.jsonl", n)], out=tmp_path / str(n))
    with pytest.raises(DataError, match="1 items are in one run only"):
        compare(tmp_path / "4", tmp_path / "5")


def test_leaderboard(runs: tuple[Path, Path], tmp_path: Path) -> None:
    found = leaderboard.leaderboard([*runs])
    (board,) = found["boards"]
    scores = [entry["macro"] for entry in board["runs"]]
    assert scores == sorted(scores, reverse=True)
    assert "C-Eval val" in leaderboard.shown(found)
    assert "STEM" in leaderboard.page(found).html()


def test_folders_that_are_no_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run here"):
        compare(tmp_path, runs[0])
    shutil.copytree(runs[0], tmp_path / "half")
    (tmp_path / "half" / "summary.json").unlink()
    with pytest.raises(DataError, match=r"not finished.*it goes on"):
        compare(tmp_path / "half", runs[0])


def test_answers_cannot_be_compared_with_texts(
    packed: Scorer, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    score_texts(packed, [texts(tmp_path / "t.jsonl", 3)], out=tmp_path / "t")
    with pytest.raises(UsageError, match="different kinds"):
        compare(tmp_path / "t", runs[0])
    assert len(leaderboard.leaderboard([tmp_path / "t", *runs])["boards"]) == 2
