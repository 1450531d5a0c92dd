"""Whole runs of PPO and GRPO: stopped and gone on with, on two processes, typed wrong, read."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from tests.browser import Browser, find_browser
from yanmo.cli import root
from yanmo.errors import DataError, RecipeError, YanmoError
from yanmo.train import checkpoint, rlhf_loop
from yanmo.train.folder import load_model
from yanmo.train.journal import read_journal
from yanmo.train.rlhf_rules import RULES
from yanmo.train.rlhf_setup import Sources

from . import toys

CLOCK = ("seconds",)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    toys.write_model(folder / "model")
    toys.write_scorer(folder / "reward")
    toys.write_prompts(folder / "prompts.jsonl")
    return folder


def sources(world: Path, reward: str = "model") -> Sources:
    name = str(world / "reward") if reward == "model" else reward
    return Sources(world / "prompts.jsonl", world / "model", name, gold="share:7")


def log_of(run: Path) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in entry.items() if k not in CLOCK}
        for entry in read_journal(run) if entry["kind"] != "start"
    ]  # fmt: skip


def state_of(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / "yanmo" / "state.json").read_text())
    state["progress"].pop("seconds")
    return state


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_a_run_that_is_stopped_twice_is_the_run_bit_for_bit(
    world: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toys.run_ppo if kind == "ppo" else toys.run_grpo
    how = ("iterations=6", "run.keep_last=off", "kl.target=0.5", "optimizer.schedule=linear")
    straight = run(sources(world), tmp_path / "straight", *how)
    after = rlhf_loop.Learner._iterate

    def interrupted(self: rlhf_loop.Learner, live: Any) -> None:
        after(self, live)
        if self.run.progress.iteration in (2, 3):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(rlhf_loop.Learner, "_iterate", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(sources(world), tmp_path / "stopped", *how)
    stopped = run(sources(world), tmp_path / "stopped", *how)
    (_, one), (_, other) = (checkpoint.checkpoints(tmp_path / n)[-1] for n in
                            ("straight", "stopped"))  # fmt: skip
    names = [p.relative_to(one) for p in one.rglob("*.safetensors")]
    assert len(names) == (4 if kind == "ppo" else 3)
    for name in names:
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert state_of(one) == state_of(other)
    assert log_of(tmp_path / "straight") == log_of(tmp_path / "stopped")
    clock = {"seconds": None}
    assert straight | clock == stopped | clock
    again = run(sources(world), tmp_path / "stopped", *how)
    assert again["already_done"]


def test_a_longer_run_goes_on_and_another_one_is_refused(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    toys.run_ppo(sources(world), out, "iterations=1")
    assert toys.run_ppo(sources(world), out, "iterations=2")["iterations"] == 2
    with pytest.raises(RecipeError, match=r"update\.clip"):
        toys.run_ppo(sources(world), out, "iterations=3", "update.clip=0.1")
    with pytest.raises(RecipeError, match="another kind"):
        toys.run_grpo(sources(world), out)
    with pytest.raises(DataError, match="another reward"):
        toys.run_ppo(sources(world, "share:7"), out, "iterations=3")
    toys.write_prompts(tmp_path / "other.jsonl", 41)
    changed = Sources(tmp_path / "other.jsonl", world / "model", str(world / "reward"), "share:7")
    with pytest.raises(DataError, match="another prompts"):
        toys.run_ppo(changed, out, "iterations=3")


@pytest.mark.slow
def test_two_processes_do_what_one_does(world: Path, tmp_path: Path) -> None:
    """Sampling, scores, whitening, counts, gradients: all that the log holds, and the weights."""
    more = ("iterations=2", "precision=float64", "run.micro_samples=5", "kl.coefficient=0.1")
    jobs = []
    for kind, base, run in (("ppo", toys.PPO, toys.run_ppo), ("grpo", toys.GROUPS, toys.run_grpo)):
        given = sources(world)
        alone = Sources(given.prompts, given.model, given.reward)
        run(alone, tmp_path / kind / "one", *more)
        jobs.append({
            "kind": kind, "sources": [str(given.prompts), str(given.model), given.reward],
            "out": str(tmp_path / kind / "two"), "overrides": [*base, *more],
        })  # fmt: skip
    script = Path(__file__).with_name("run_rlhf_jobs.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
               str(script), json.dumps(jobs)]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for kind in ("ppo", "grpo"):
        one, two = (tmp_path / kind / name for name in ("one", "two"))
        for a, b in zip(log_of(one), log_of(two), strict=True):
            assert a.keys() == b.keys()
            for key, value in a.items():
                assert b[key] == (pytest.approx(value, abs=1e-9)
                                  if isinstance(value, float) else value), key  # fmt: skip
        first, second = (load_file(f / "model" / "model.safetensors") for f in (one, two))
        for name, value in first.items():
            torch.testing.assert_close(second[name], value, rtol=0, atol=1e-9)


def test_the_model_of_a_run_opens_anywhere(world: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    toys.run_ppo(sources(world), tmp_path / "r", "iterations=1")
    folder = tmp_path / "r" / "model"
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.tensor([AutoTokenizer.from_pretrained(folder)("123a")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(
            load_model(folder).logits(ids), theirs(ids).logits, rtol=1e-4, atol=1e-5
        )


def test_a_reward_that_throws_stops_the_run_and_names_the_prompt(
    world: Path, tmp_path: Path
) -> None:
    with pytest.raises(YanmoError, match=r"prompts\.jsonl#\d+.*no answer"):
        toys.run_grpo(Sources(world / "prompts.jsonl", world / "model", "exact"), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_rule_that_throws_on_a_response_stops_too(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moody(response: str, meta: Any, argument: str | None) -> float:
        return 1 / (len(response) - 3) if response else 0.0

    monkeypatch.setitem(RULES, "moody", moody)
    given = Sources(world / "prompts.jsonl", world / "model", "moody")
    with pytest.raises(DataError, match=r"prompts\.jsonl#\d+.*division by zero"):
        toys.run_grpo(given, tmp_path / "r")


def command(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(root, ["train", *words])
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--reward", "numerics"), "Did you mean 'numeric'"),
        (("--reward", "rule:exat"), "Did you mean 'exact'"),
        (("--reward", "MODEL"), "no head for scores"),
        (("--reward", "share:7", "--model", "REWARD"), "a reward model writes nothing"),
        (("--reward", "share:7", "--gold", "tydy"), "Did you mean 'tidy'"),
        (("--reward", "share:7", "--set", "rollout.temprature=1"), "Did you mean 'temperature'"),
        (("--reward", "share:7", "--set", "rollout.max_tokens=500"), "longer than the model's"),
        (("--reward", "share:7", "--set", "rollout.prompts=7"), "cannot be shared"),
        (("--reward", "share:7", "--set", "heldout.prompts=40"), "too few prompts"),
        (("--reward", "share:7", "--set", "rollout.template=chat"), "template"),
        (("--reward", "share:7", "--heldout", "PROMPTS"), "also trained on"),
        (("--reward", "share:7", "--set", "run.device=cuda:99"), ""),
        ((), "--reward"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    world: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    names = {
        "MODEL": str(world / "model"),
        "REWARD": str(world / "reward"),
        "PROMPTS": str(world / "prompts.jsonl"),
    }
    words = tuple(names.get(word, word) for word in words)
    code, text = command(
        "ppo", names["PROMPTS"], "--model", names["MODEL"], "--out", str(tmp_path / "r"),
        "--set", "run.device=cpu", "--set", "heldout.prompts=8", *words,
    )  # fmt: skip
    assert code != 0
    assert told in text
    assert not (tmp_path / "r").exists()


def test_missing_files_are_named(world: Path, tmp_path: Path) -> None:
    for prompts, model in (("no.jsonl", str(world / "model")),
                           (str(world / "prompts.jsonl"), "no-model")):  # fmt: skip
        code, text = command("grpo", prompts, "--model", model, "--reward", "share:7",
                             "--out", str(tmp_path / "r"))  # fmt: skip
        assert code != 0
        assert "no" in text
        assert not (tmp_path / "r").exists()


def test_the_command_plans_and_runs(world: Path, tmp_path: Path) -> None:
    words = ["grpo", str(world / "prompts.jsonl"), "--model", str(world / "model"), "--reward",
             "share:7", "--n", "4", "--out", str(tmp_path / "r"), "--json", "-q"]  # fmt: skip
    for override in (*toys.GROUPS[:1], *toys.GROUPS[2:], "iterations=2"):
        words += ["--set", override]
    code, text = command(*words, "--dry-run")
    assert code == 0
    plan = json.loads(text)
    assert (plan["responses"], plan["prompts"], plan["heldout"]) == (64, 32, 8)
    assert not (tmp_path / "r").exists()
    code, text = command(*words)
    assert code == 0
    summary = json.loads(text.splitlines()[-1])
    keys = {"reward_before", "reward_after", "first_ratio", "first_kl", "kl"}
    assert keys <= summary.keys()
    assert json.loads((tmp_path / "r" / "summary.json").read_text()).items() <= summary.items()


@pytest.mark.browser
def test_the_report_in_a_browser(world: Path, tmp_path: Path) -> None:
    find_browser()
    toys.run_ppo(sources(world), tmp_path / "r", "iterations=3")
    with Browser(tmp_path / "profile") as browser:
        browser.open(tmp_path / "r" / "report.html")
        shown = browser.run("document.body.textContent")
        for title in ("Score of the responses", "KL to the reference, nats a response",
                      "Entropy, nats a token", "Tokens of a response",
                      "Share of tokens whose ratio is clipped",
                      "Explained variance of the returns"):  # fmt: skip
            assert title in shown
        assert browser.texts("details summary")
        assert "held-out prompts" in browser.run("document.body.innerText")
        assert browser.complaints == []
        assert browser.requests == []
