"""Reward models: what they learn, what they store, and that a stop changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.browser import Browser
from yanmo.errors import DataError, RecipeError, YanmoError
from yanmo.train import checkpoint
from yanmo.train.journal import read_journal
from yanmo.train.preference_run import Task
from yanmo.train.reward import score_files, score_texts, train_reward
from yanmo.train.reward_folds import cross_validate

from .preference_runs import (
    chat_model,
    read_rows,
    reward_recipe,
    same_run,
    star_pairs,
    star_rankings,
    stop_after,
    swapped,
    write_rows,
)

LEARN = ("optimizer.lr=0.01", "epochs=3", "data.batch_rankings=16", "schedule.warmup_share=0.05")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A run on 300 pairs in which more stars are better."""
    folder = tmp_path_factory.mktemp("learned")
    data = write_rows(folder / "pairs.jsonl", star_pairs(400))
    recipe = reward_recipe(model, *LEARN, "data.heldout_share=0.25")
    train_reward(recipe, Task([data], folder / "run"), quiet=True)
    return folder / "run"


def summary_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def test_a_preference_for_stars_is_learned(learned: Path) -> None:
    held = summary_of(learned)["heldout"]
    assert held["pairs"] > 60
    assert held["accuracy"] >= 0.95
    assert held["low"] < held["accuracy"] <= held["high"]
    assert held["length"]["longer_is_better"]["accuracy"] == 0.5  # all have eight letters
    assert held["length"]["matched"]["pairs"] == held["pairs"]
    assert sum(b["pairs"] for b in held["calibration"]) == held["pairs"]


def test_the_mean_reward_of_the_references_is_0(learned: Path) -> None:
    facts = json.loads((learned / "model" / "yanmo" / "reward.json").read_text())
    rows = read_rows(learned.parent / "pairs.jsonl")
    held = {row["id"] for row in read_rows(learned / "heldout.jsonl")}
    talks = [[*row["prompt"], {"role": "assistant", "content": row["chosen"]}]
             for row in rows if row["id"] not in held]  # fmt: skip
    found = torch.tensor(score_texts(learned / "model", talks, device="cpu"))
    assert facts["references"] == len(talks)
    assert found.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert found.std(correction=0).item() == pytest.approx(facts["std"], rel=1e-4)


def test_transformers_gives_our_rewards(learned: Path) -> None:
    transformers = pytest.importorskip("transformers")
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a*b*"}]
    (ours,) = score_texts(learned, [talk], device="cpu")
    text = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na*b*<|im_end|>"
    tokenizer = transformers.AutoTokenizer.from_pretrained(learned / "model")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(learned / "model")
    with torch.no_grad():
        raw = theirs(**tokenizer(text, return_tensors="pt")).logits.item()
    facts = json.loads((learned / "model" / "yanmo" / "reward.json").read_text())
    assert ours == pytest.approx(raw + facts["bias"], abs=1e-4)


def test_swapped_judgements_turn_accuracy_round(tmp_path: Path, model: Path) -> None:
    """The same scores, judged the other way: what was right is wrong."""
    found = []
    for name, rows in (("as", star_pairs(40)), ("swapped", swapped(star_pairs(40)))):
        data = write_rows(tmp_path / f"{name}.jsonl", rows)
        recipe = reward_recipe(model, "optimizer.lr=0.0", "data.heldout_share=0.5")
        out = tmp_path / name
        train_reward(recipe, Task([data], out), quiet=True)
        found.append(summary_of(out)["heldout"])
    assert found[0]["accuracy"] == pytest.approx(1 - found[1]["accuracy"])
    assert found[0]["margin"] == pytest.approx(-found[1]["margin"])


def test_the_second_start_does_nothing(learned: Path, model: Path) -> None:
    recipe = reward_recipe(model, *LEARN, "data.heldout_share=0.25")
    before = (learned / "summary.json").read_bytes()
    again = train_reward(recipe, Task([learned.parent / "pairs.jsonl"], learned), quiet=True)
    assert again["already_done"]
    assert (learned / "summary.json").read_bytes() == before


def test_another_run_is_not_continued(learned: Path, model: Path, tmp_path: Path) -> None:
    task = Task([learned.parent / "pairs.jsonl"], learned)
    other = reward_recipe(model, *LEARN, "data.heldout_share=0.25", "loss.margin=1")
    with pytest.raises(RecipeError, match=r"other settings.*loss\.margin"):
        train_reward(other, task, quiet=True)
    data = write_rows(tmp_path / "fewer.jsonl", star_pairs(30))
    same = reward_recipe(model, *LEARN, "data.heldout_share=0.25")
    with pytest.raises(DataError, match="not the rankings that the run was started with"):
        train_reward(same, Task([data], learned), quiet=True)


@pytest.mark.parametrize("extra", [(), ("lora.rank=2", "lora.dropout=0.2")])
def test_a_stop_changes_no_bit(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    data = write_rows(tmp_path / "r.jsonl", star_rankings(40))
    recipe = reward_recipe(model, "data.batch_rankings=6", "optimizer.lr=0.01", *extra)
    train_reward(recipe, Task([data], tmp_path / "straight"), quiet=True)
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train_reward(recipe, Task([data], tmp_path / "stopped"), quiet=True)
    monkeypatch.undo()
    assert len(checkpoint.checkpoints(tmp_path / "stopped")) == 1
    train_reward(recipe, Task([data], tmp_path / "stopped"), quiet=True)
    same_run(tmp_path / "straight", tmp_path / "stopped")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, model: Path) -> None:
    data = write_rows(tmp_path / "r.jsonl", star_rankings(30))
    wild = ("optimizer.lr=1e30", "optimizer.clip=off", "schedule.warmup_share=0.0")
    recipe = reward_recipe(model, "data.batch_rankings=5", *wild)
    with pytest.raises(YanmoError, match=r"not finite in the batch of r\d+.*Lower optimizer\.lr"):
        train_reward(recipe, Task([data], tmp_path / "run"), quiet=True)
    steps = [step for step, _ in checkpoint.checkpoints(tmp_path / "run")]
    assert steps == [len([e for e in read_journal(tmp_path / "run") if e["kind"] == "train"])]


def test_adapters_are_merged_and_kept(tmp_path: Path, model: Path) -> None:
    data = write_rows(tmp_path / "r.jsonl", star_rankings(30))
    recipe = reward_recipe(model, "lora.rank=2", "optimizer.lr=0.01", "data.batch_rankings=5")
    train_reward(recipe, Task([data], tmp_path / "run"), quiet=True)
    assert (tmp_path / "run" / "adapter" / "adapter_config.json").is_file()
    stored = load_file(tmp_path / "run" / "model" / "model.safetensors")
    base = load_file(model / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(stored[name], base[name])
    assert torch.equal(stored["model.embed_tokens.weight"], base["model.embed_tokens.weight"])
    assert not any("lora" in key for key in stored)


def test_cross_validation_judges_every_pair_once(tmp_path: Path, model: Path) -> None:
    rows = star_pairs(30) + star_pairs(10, seed=9)  # ten prompts stand twice
    data = write_rows(tmp_path / "p.jsonl", rows)
    recipe = reward_recipe(model, "data.batch_rankings=8")
    task = Task([data], tmp_path / "cv")
    found = cross_validate(recipe, task, 3, quiet=True)
    assert found["heldout"]["pairs"] == 40
    assert sum(fold["pairs"] for fold in found["folds"]) == 40
    seen = [{row["id"] for row in read_rows(tmp_path / f"cv/fold-{n}/heldout.jsonl")}
            for n in (1, 2, 3)]  # fmt: skip
    assert not (seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2])
    assert cross_validate(recipe, task, 3, quiet=True)["already_done"]


def test_dialogues_of_a_file_are_scored(learned: Path, tmp_path: Path) -> None:
    talks = [{"id": word, "messages": [{"role": "user", "content": "q1"},
                                       {"role": "assistant", "content": word}]}
             for word in ("abcdefgh", "a**d*f*h")]  # fmt: skip
    data = write_rows(tmp_path / "t.jsonl", talks)
    found = score_files(learned, [data], tmp_path / "out.jsonl")
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == ["abcdefgh", "a**d*f*h"]
    assert rows[1]["reward"] > rows[0]["reward"]
    assert found["highest"]["id"] == "a**d*f*h"
    ranking = {"id": "r", "prompt": [{"role": "user", "content": "q1"}], "rank": None,
               "responses": ["a**d*f*h", "abcdefgh"]}  # fmt: skip
    score_files(learned, [write_rows(tmp_path / "r.jsonl", [ranking])], tmp_path / "out.jsonl")
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert row["rewards"] == pytest.approx([rows[1]["reward"], rows[0]["reward"]], abs=1e-4)
    with pytest.raises(DataError, match="does not end with an answer"):
        score_texts(learned, [[{"role": "user", "content": "q"}]])


@pytest.mark.browser
def test_the_report_opens_without_a_complaint(learned: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.open(learned / "report.html")
        assert browser.texts("h1") == ["Reward model run"]
        text = browser.run("document.body.innerText")
        for words in ("taking the longer answer", "Calibration", "left out: too long"):
            assert words in text
        assert len(browser.texts("svg")) >= 6
        assert (browser.complaints, browser.requests) == ([], [])
