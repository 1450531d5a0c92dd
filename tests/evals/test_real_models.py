"""The two real models on the real examination, against transformers."""

from pathlib import Path

import numpy as np
import pytest

from yanmo.evals.multiple_choice import evaluate
from yanmo.evals.planning import Settings
from yanmo.evals.score import LoadOptions, load_scorer

pytestmark = pytest.mark.realdata


def exam(realdata: Path) -> Path:
    return realdata / "exams" / "ceval" / "ceval-exam.zip"


@pytest.mark.slow
def test_minimind_equals_transformers(realdata: Path) -> None:
    folder = realdata / "models" / "minimind2-small"
    settings = Settings(subjects=("art_studies", "college_physics"), per_subject=4)
    fast = evaluate(load_scorer(folder), exam(realdata), settings=settings)
    slow = LoadOptions(engine="transformers")
    truth = evaluate(load_scorer(folder, slow), exam(realdata), settings=settings)
    assert fast.summary["n"] == 8
    assert fast.summary["data"]["edition"] == "ceval-2023"
    for a, b in zip(fast.samples, truth.samples, strict=True):
        assert a["prompt"] == b["prompt"]
        assert np.abs(np.array(a["logprobs"]) - b["logprobs"]).max() < 1e-4
        top = sorted(b["logprobs"])[-2:]
        assert a["prediction"] == b["prediction"] or top[1] - top[0] < 1e-4
    assert fast.summary["mass"]["mean"] > 0.5  # the slot is where the model expects a letter


def test_stories_has_no_room_for_shots(realdata: Path) -> None:
    scorer = load_scorer(realdata / "models" / "stories15m")
    settings = Settings(subjects=("logic", "sports_science"), per_subject=5)
    summary = evaluate(scorer, exam(realdata), settings=settings).summary
    assert scorer.info.max_tokens == 256
    assert sum(summary["shots"].values()) == summary["n"] == 10
    assert set(summary["shots"]) <= {"0", "1"}
    assert summary["cut_questions"] > 0


def test_reference_baselines(realdata: Path) -> None:
    """Constant letters and the longest option, as measured elsewhere on the labelled edition."""
    from yanmo.evals.exam import load_exam, load_task
    from yanmo.evals.summary import baselines

    labelled = realdata / "exams" / "ceval" / "ceval-exam-with-test-answers.zip"
    splits = load_exam(load_task("ceval"), labelled, splits=("val", "test")).splits
    val, test = baselines(splits["val"]), baselines(splits["test"])
    shown = {letter: round(100 * share, 2) for letter, share in val["constant"].items()}
    assert shown == {"A": 22.96, "B": 25.11, "C": 25.56, "D": 26.37}
    assert round(100 * test["constant"]["C"], 2) == 26.54
    assert round(100 * val["longest_option"], 1) == 29.7
    assert round(100 * test["longest_option"], 1) == 28.0
