"""The commands: one JSON object, a table for people, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from yanmo.errors import UsageError
from yanmo.evals.cli import group


def call(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(a) for a in arguments], catch_exceptions=True)


def as_json(*arguments: object) -> dict[str, Any]:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_ceval_json_has_the_keys_others_rely_on(spm_model: Path, demo: Path) -> None:
    found = as_json("ceval", spm_model, demo, "-q", "--per-subject", 2)
    assert set(found["accuracy"]) == {"macro", "micro"}
    assert found["n"] == 12
    assert set(found["by_category"]) == {"STEM", "Social Science", "Humanities", "Other"}
    assert len(found["by_subject"]) == 6
    assert all(0 <= e["accuracy"] <= 1 for e in found["by_subject"].values())
    assert found["model"]["engine"] == "packed"


def test_ceval_with_a_folder_and_a_table(spm_model: Path, demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = call("ceval", spm_model, demo, "-q", "--limit", 5, "--shots", 0, "--out", out)
    assert result.exit_code == 0, result.exception
    assert "chance" in result.stdout
    assert str(out / "report.html") in result.stdout
    names = {"run.json", "samples.jsonl", "summary.json", "report.md", "report.html"}
    assert {path.name for path in out.iterdir()} == names
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert (summary["n"], summary["shots"]) == (5, {"0": 5})
    run = json.loads((out / "run.json").read_text("utf-8"))
    assert run["identity"]["settings"]["shots"] == 0
    assert len(run["data"]["files"]) == 6  # no shots, so the dev split is not read
    assert run["dialect"]["source"]
    assert "torch" in run["versions"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dialect", "oficial"], "Did you mean 'official'"),
        (["--split", "vall"], "Did you mean 'val'"),
        (["--subject", "lawyer"], "no such subject"),
        (["--engine", "fast"], "no such engine"),
        (["--answer-form", "wide"], "no such answer form"),
        (["--too-long", "middle"], "no such way"),
        (["--bos", "maybe"], "no such"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, spm_model: Path, demo: Path) -> None:
    result = call("ceval", spm_model, demo, "-q", *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_bpb_json(spm_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("声音在钢铁中传播得最快。", encoding="utf-8")
    found = as_json("bpb", spm_model, path, "-q")
    assert {"bits_per_byte", "bits_per_character", "perplexity", "tokens"} <= set(found)
    assert (found["bytes"], found["characters"]) == (36, 12)
    assert found["bits_per_character"] == pytest.approx(3 * found["bits_per_byte"])
    shown = call("bpb", spm_model, path, "-q").stdout
    assert "bits per byte" in shown
    assert "one vocabulary only" in shown
