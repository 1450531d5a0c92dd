"""The commands, as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from yanmo.train.cli import group
from yanmo.train.journal import read_journal

Make = Callable[..., Any]
RECIPE = """
tokens = 960
[model]
preset = "nano"
width = 32
ffn_width = 48
[data]
sequence_tokens = 24
batch_tokens = 192
[run]
tensorboard = false
log_steps = 1
"""


@pytest.fixture(scope="module")
def shards(
    tmp_path_factory: pytest.TempPathFactory, write_shards: Make, documents: Make,
    tiny_tokenizer: Path,
) -> Path:  # fmt: skip
    folder: Path = tmp_path_factory.mktemp("shards") / "s"
    write_shards(
        folder, [documents(60, seed=1, vocab=300)], vocab_size=300, tokenizer=tiny_tokenizer
    )
    (folder.parent / "recipe.toml").write_text(RECIPE)
    return folder


def _invoke(*arguments: object) -> str:
    result = CliRunner().invoke(group, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def run(shards: Path) -> Path:
    recipe, out = shards.parent / "recipe.toml", shards.parent / "run"
    text = _invoke("pretrain", shards, "--out", out, "--recipe", recipe, "-q")
    assert "held-out" in text
    assert "report.html" in text
    return out


def test_a_second_call_says_that_nothing_was_left_to_do(shards: Path, run: Path) -> None:
    recipe = shards.parent / "recipe.toml"
    found = json.loads(
        _invoke("pretrain", shards, "--out", run, "--recipe", recipe, "--json", "-q")
    )
    assert found["already_done"]
    assert found["steps"] == 5
    assert "nothing was left" in _invoke("pretrain", shards, "--out", run, "--recipe", recipe)


def test_settings_and_seed_override_the_recipe(shards: Path, tmp_path: Path) -> None:
    recipe = shards.parent / "recipe.toml"
    _invoke(
        "pretrain", shards, "--out", tmp_path / "run", "--recipe", recipe, "-q",
        "--set", "tokens=192", "--set", "optimizer.lr=0.5", "--seed", 7,
    )  # fmt: skip
    text = (tmp_path / "run/recipe.toml").read_text()
    assert "seed = 7" in text
    assert "lr = 0.5" in text


def test_a_dry_run_shows_the_plan(shards: Path, tmp_path: Path) -> None:
    recipe, out = shards.parent / "recipe.toml", tmp_path / "run"
    plan = json.loads(
        _invoke("pretrain", shards, "--out", out, "--recipe", recipe, "--dry-run", "--json")
    )
    assert plan["steps"] == 5
    assert plan["parameters"]["total"] > 0
    assert "epoch tokens" in _invoke(
        "pretrain", shards, "--out", out, "--recipe", recipe, "--dry-run"
    )
    assert not out.exists()


def test_generate_continues_prompts(run: Path) -> None:
    found = json.loads(
        _invoke("generate", run, "研墨", "the ink", "--max-tokens", 5, "--seed", 1, "--json")
    )["samples"]
    assert [s["prompt"] for s in found] == ["研墨", "the ink"]
    assert all(0 < s["tokens"] <= 5 for s in found)
    greedy = ("generate", run / "model", "研墨", "--temperature", 0, "--max-tokens", 4)
    assert _invoke(*greedy) == _invoke(*greedy)
    assert _invoke(*greedy).startswith("研墨")


def test_generate_reads_prompts_from_stdin_and_starts_from_nothing(run: Path) -> None:
    result = CliRunner().invoke(
        group, ["generate", str(run), "-", "--json", "--max-tokens", "2"], input="a\nb\n"
    )
    assert [s["prompt"] for s in json.loads(result.stdout)["samples"]] == ["a", "b"]
    free = json.loads(_invoke("generate", run, "--json", "--max-tokens", "2"))
    assert free["samples"][0]["prompt"] == ""


def _command(shards: Path, out: Path) -> list[str]:
    recipe = shards.parent / "recipe.toml"
    return [
        sys.executable, "-m", "yanmo", "train", "pretrain", str(shards), "--out", str(out),
        "--recipe", str(recipe), "--set", "tokens=300000",
    ]  # fmt: skip


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        _command(shards, out), stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        deadline = time.monotonic() + 60
        while not any(e["kind"] == "train" for e in read_journal(out)):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        message = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "the same command goes on" in message
    assert "Traceback" not in message
    (saved,) = (out / "checkpoints").iterdir()
    step = int(saved.name.removeprefix("step-"))
    again = _invoke(
        "pretrain", shards, "--out", out, "--recipe", shards.parent / "recipe.toml", "-q",
        "--json", "--set", f"tokens={(step + 1) * 192}",
    )  # fmt: skip
    assert json.loads(again)["steps"] == step + 1
    starts = [e["resumed_from"] for e in read_journal(out) if e["kind"] == "start"]
    assert starts == [None, saved.name]
