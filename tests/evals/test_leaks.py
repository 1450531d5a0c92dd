"""The score on questions that a leak report leaves clean, beside the whole."""

import json
from pathlib import Path
from typing import Any

import pytest

from yanmo.curate.discover import InputSpec
from yanmo.curate.pipeline import run_recipe
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.errors import DataError, UsageError
from yanmo.evals.exam import load_exam, load_task
from yanmo.recipe import load

from .test_evals_cli import as_json, call


@pytest.fixture(scope="module")
def corpus_run(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus that holds two questions of ``val`` with their options, and its leak report."""
    folder = tmp_path_factory.mktemp("leaks")
    rows = load_exam(load_task("ceval"), demo, splits=("val",)).questions("val")
    picked = [rows["middle_school_history"][0], rows["middle_school_physics"][1]]
    with (folder / "in.jsonl").open("w", encoding="utf-8") as stream:
        for q in picked:
            text = "从前有座山。" * 9 + "\n" + "\n".join([q.question, *q.options])
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    path = json.dumps(str(demo))
    recipe = load(CurateRecipe, None, [
        "decide=false", "decontaminate.action=report",
        f'decontaminate.against=[{{path={path}, exam="ceval"}}]',
    ])  # fmt: skip
    from dataclasses import replace

    recipe = replace(recipe, input=(InputSpec(str(folder / "in.jsonl")),))
    run_recipe(recipe, folder / "run", quiet=True)
    return folder / "run"


def leaked(run: Path) -> set[tuple[str, str]]:
    lines = (run / "leaks" / "leaks.jsonl").read_text("utf-8").splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return {(row["subject"], row["id"]) for row in rows if row["found"] != "no"}


def test_clean_subset_is_the_whole_without_the_leaked(
    spm_model: Path, demo: Path, corpus_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("ceval", spm_model, demo, "-q", "--shots", 0, "--out", out)
    whole = as_json(*arguments)
    assert "clean" not in whole
    found = as_json(*arguments, "--leaks", corpus_run)  # nothing is scored again
    clean = found["clean"]
    assert {k: v for k, v in found.items() if k != "clean"} == whole
    samples = [json.loads(line) for line in (out / "samples.jsonl").read_text("utf-8").splitlines()]
    bad = leaked(corpus_run)
    assert bad == {("middle_school_history", "0"), ("middle_school_physics", "1")}
    rest = [s for s in samples if (s["subject"], s["id"]) not in bad]
    assert clean["n"] == len(rest) == found["n"] - 2
    assert clean["leaked"] == {"both": 2}
    right = [s["prediction"] == s["answer"] for s in rest]
    assert clean["accuracy"]["micro"] == pytest.approx(sum(right) / len(right))
    by_subject: dict[str, list[bool]] = {}
    for sample, hit in zip(rest, right, strict=True):
        by_subject.setdefault(sample["subject"], []).append(hit)
    macro = sum(sum(hits) / len(hits) for hits in by_subject.values()) / len(by_subject)
    assert clean["accuracy"]["macro"] == pytest.approx(macro)
    bounds = clean["intervals"]["micro"]
    assert bounds["low"] <= clean["accuracy"]["micro"] <= bounds["high"]
    assert json.loads((out / "summary.json").read_text("utf-8"))["clean"] == clean
    assert "clean of leaks" in (out / "report.md").read_text("utf-8")
    shown = call(*arguments, "--leaks", corpus_run / "leaks" / "leaks.jsonl").stdout
    assert f"2 of {found['n']} questions stand in the corpus" in shown


def test_other_questions_than_those_looked_for_are_refused(
    spm_model: Path, demo: Path, corpus_run: Path, tmp_path: Path
) -> None:
    """Another edition must not pass for the one that was looked for."""
    lines = (corpus_run / "leaks" / "leaks.jsonl").read_text("utf-8").splitlines()
    other = tmp_path / "other.jsonl"
    rows = [json.loads(line) | {"sha256": "0" * 16} for line in lines]
    other.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    result = call("ceval", spm_model, demo, "-q", "--limit", 3, "--shots", 0, "--leaks", other)
    assert isinstance(result.exception, DataError)
    assert "does not know 3 of 3 questions" in str(result.exception)


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        (None, (), "no leak report here"),
        ("{}\n", (), "no row of a leak report"),
        ("not json\n", (), "no row of a leak report"),
        ("", ("--all-dialects",), "one dialect"),
    ],
)
def test_rubbish_is_told_before_anything_is_scored(
    content: str | None, more: tuple[str, ...], message: str, demo: Path, tmp_path: Path
) -> None:
    path = tmp_path / "leaks.jsonl"
    if content is not None:
        path.write_text(content, "utf-8")
    result = call("ceval", tmp_path / "no-model", demo, "--leaks", path, *more)
    assert isinstance(result.exception, UsageError | DataError)
    assert message in str(result.exception)
