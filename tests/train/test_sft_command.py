"""`yanmo train sft`, as a user types it, with the mistakes that a user makes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.command import Ended, command, said, usage_error
from yanmo.train.journal import read_journal

from .test_sft_mask import FORGETFUL
from .tiny_chats import SMALL, files, some_dialogues, turns, write_dialogues, write_model

SETS = [part for key in SMALL for part in ("--set", key)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sft")
    files(made, write_model(made / "model"))
    return made


def run_sft(folder: Path, out: str, *more: object, data: str = "train.jsonl") -> Ended:
    return command("train", "sft", folder / data, "--model", folder / "model",
                   "--out", folder / out, *SETS, *more)  # fmt: skip


@pytest.fixture(scope="module")
def done(folder: Path) -> Ended:
    return run_sft(folder, "run", "--heldout", folder / "held.jsonl", "--set", "steps=3", "--json",
                   "--set", 'run.sample_prompts=["ink"]')  # fmt: skip


def test_lint_plan_and_preview_come_before_the_first_step(done: Ended) -> None:
    summary = done.json()
    assert summary["steps"] == 3
    for name in ("tokens", "loss", "tokens_per_second", "mfu", "heldout_before", "heldout"):
        assert name in summary
    said(done, "Preview: trained tokens are in ⟦⟧", "<|im_end|>⟧", "d0: ", "Lint",
         "every answer ends", "Plan", "padding", "trained share", "dialogues kept")  # fmt: skip


def test_a_second_call_has_nothing_to_do(folder: Path, done: Ended) -> None:
    again = run_sft(folder, "run", "--heldout", folder / "held.jsonl", "--set", "steps=3",
                    "--set", 'run.sample_prompts=["ink"]', "-q")  # fmt: skip
    assert again.code == 0
    assert again.err == ""
    assert "nothing was left to do" in again.out
    assert "held-out loss on answers, after" in again.out


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    shown = run_sft(folder, "never", "--dry-run", "--preview", "1")
    assert shown.code == 0
    for words in ("⟦", "Lint", "Plan", "rows", "padding"):
        assert words in shown.out
    plan = run_sft(folder, "never", "--dry-run", "--json", "--seed", "5").json()
    assert plan["dialogues"]["kept"] == 40
    assert {finding["state"] for finding in plan["lint"]} == {"ok"}
    assert len(plan["preview"]) == 3
    assert "".join(run["text"] for run in plan["preview"][0]["runs"]).startswith("<|im_start|>")
    assert not (folder / "never").exists()


def test_a_run_is_a_model_too(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "model").symlink_to(folder / "model")
    data = next(folder.glob("*.jsonl"))
    shown = command("train", "sft", data, "--model", run, "--out", tmp_path / "out", *SETS,
                    "--dry-run")  # fmt: skip
    assert shown.code == 0, shown.err


def test_what_the_linter_finds_ends_with_one_and_says_why(folder: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", template=FORGETFUL)
    data = write_dialogues(tmp_path / "d.jsonl", [turns("a", "b"), turns("a", "b", "c", "d")])
    for more in ((), ("--dry-run",)):
        ended = command("train", "sft", data, "--model", model, "--out", tmp_path / "run", *SETS,
                        *more)  # fmt: skip
        assert ended.code == 1
        said(ended, "broken rule: the template is prefix-safe", "d.jsonl#1 (d1)",
             "chat_template.jinja")  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_nothing_to_train_on_is_said_with_the_account(folder: Path, tmp_path: Path) -> None:
    write_dialogues(folder / "none.jsonl", [turns("a"), turns("<|im_end|>", "b")])
    ended = run_sft(folder, "never", data="none.jsonl")
    assert ended.code == 1
    said(ended, "some token is trained", "of 2 dialogues 0 are left", "no answer 1")


def test_mistakes_of_the_command_line(folder: Path) -> None:
    usage_error(command("train", "sft", "--model", "m", "--out", "o"), "DATA")
    usage_error(run_sft(folder, "never", data="trian.jsonl"), "no such file of dialogues")
    usage_error(run_sft(folder, "never", "--set", "data.max_token=5"), "Did you mean 'max_tokens'")
    usage_error(run_sft(folder, "never", "--set", "data.too_long=crop"), "none of the choices")
    usage_error(run_sft(folder, "never", "--set", "epochs=0"), "no length")
    usage_error(run_sft(folder, "model"), "--out would replace an input")
    usage_error(run_sft(folder, "never", "--heldout", "no.jsonl"), "no such file of dialogues")
    usage_error(run_sft(folder, "never", "--set", "lora.rank=4", "--set",
                        'lora.targets=["q_proj", "w_proj"]'), "w_proj")  # fmt: skip


def test_records_that_are_no_dialogues_are_named(folder: Path, done: Ended) -> None:
    bad = folder / "bad.jsonl"
    bad.write_text('{"messages": [{"role": "user", "content": "a"}]}\n{"messages": 3}\n')
    ended = run_sft(folder, "never", data="bad.jsonl")
    assert ended.code == 1
    said(ended, "bad.jsonl#1")
    bad.write_text("not json\n")
    said(run_sft(folder, "never", data="bad.jsonl"), "no JSON", "line 1")
    for name in ("summary.json", "model/config.json"):  # rubbish of another kind
        assert run_sft(folder, "never", data=f"run/{name}").code == 1


@pytest.mark.browser
def test_the_report_opens_and_shows_what_is_trained(
    folder: Path, done: Ended, tmp_path: Path
) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.open(folder / "run/report.html")
        assert browser.run("document.querySelectorAll('pre.dialogue').length") == 3
        marked = browser.run("document.querySelector('pre.dialogue mark').textContent")
        assert marked.endswith("<|im_end|>")
        assert "Held-out loss on answers" in browser.run("document.body.textContent")
        assert browser.run("document.querySelectorAll('svg').length") >= 4
        assert browser.complaints == []
        assert browser.requests == []


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(folder: Path) -> None:
    write_dialogues(folder / "many.jsonl", some_dialogues(60, seed=4))
    arguments = ["train", "sft", str(folder / "many.jsonl"), "--model", str(folder / "model"),
                 "--out", str(folder / "long"), *SETS]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "yanmo", *arguments, "--set", "steps=100000"],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while not any(e["kind"] == "train" for e in read_journal(folder / "long")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        message = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "the same command goes on" in message
    assert "Traceback" not in message
    (saved,) = (folder / "long/checkpoints").iterdir()
    step = int(saved.name.removeprefix("step-"))
    again = command(*arguments, "--set", f"steps={step + 1}", "--json", "-q")
    assert again.json()["steps"] == step + 1
