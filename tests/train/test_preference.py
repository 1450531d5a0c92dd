"""DPO: formula, reference, first loss, memory of a run, and what it learns."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.browser import Browser
from yanmo.train import checkpoint
from yanmo.train.folder import load_model
from yanmo.train.journal import read_journal
from yanmo.train.preference import CACHE, AnswerLogs, ImplicitRewards, train_dpo
from yanmo.train.preference_batch import lay_out
from yanmo.train.preference_data import Ranked
from yanmo.train.preference_pairs import PairLoss
from yanmo.train.preference_run import Task

from .preference_runs import (
    chat_model,
    dpo_recipe,
    read_rows,
    same_run,
    star_pairs,
    star_rankings,
    stop_after,
    write_rows,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("model") / "m", tied=False)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Sixteen pairs, read forty times."""
    folder = tmp_path_factory.mktemp("fitted")
    data = write_rows(folder / "p.jsonl", star_pairs(16))
    recipe = dpo_recipe(model, "optimizer.lr=0.003", "epochs=40", "data.heldout_share=0.0")
    train_dpo(recipe, Task([data], folder / "run"), quiet=True)
    return folder / "run"


def steps_of(run: Path) -> list[dict[str, Any]]:
    return [e for e in read_journal(run) if e["kind"] == "train"]


def test_sixteen_pairs_are_learned_by_heart(fitted: Path) -> None:
    steps = steps_of(fitted)
    assert steps[-1]["accuracy"] == 1.0
    assert steps[-1]["loss"] < 0.2
    assert steps[-1]["margin"] > 1
    assert all(step["chosen_log_probability"] < 0 for step in steps)


@pytest.mark.parametrize(
    "extra",
    [(), ("lora.rank=2", "lora.dropout=0.1"), ("run.micro_tokens=90",), ("precision=bfloat16",),
     ("loss.length_normalised=true",)],
)  # fmt: skip
def test_the_first_loss_is_ln_2(tmp_path: Path, model: Path, extra: tuple[str, ...]) -> None:
    """The policy's first numbers are the reference's to the last bit, held out ones too."""
    data = write_rows(tmp_path / "r.jsonl", star_rankings(30))
    recipe = dpo_recipe(model, "data.heldout_share=0.3", "data.batch_rankings=8", *extra)
    train_dpo(recipe, Task([data], tmp_path / "run"), quiet=True)
    first = steps_of(tmp_path / "run")[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-15)
    assert first["margin"] == 0.0
    assert first["accuracy"] == pytest.approx(0.5)
    held = next(e for e in read_journal(tmp_path / "run") if e["kind"] == "eval")
    assert (held["margin"], held["accuracy"]) == (0.0, 0.5)


def test_the_loss_is_that_of_numpy_on_ragged_answers(tiny: Any) -> None:
    from yanmo.train.model import build

    policy, old = (build(tiny(), seed=s, dtype=torch.float64) for s in (1, 2))
    rng = np.random.default_rng(3)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(int(i) for i in rng.integers(3, 61, count))

    rankings = [Ranked(str(n), ids(2 + n), (ids(1 + 3 * n), ids(7 - n)), (1, 2)) for n in range(5)]

    def logs(model: Any, ranked: Ranked, k: int) -> np.ndarray:
        text = [*ranked.prompt, *ranked.answers[k]]
        with torch.no_grad():
            scores = model.logits(torch.tensor([text]))[0].numpy()
        scores = scores - scores.max(1, keepdims=True)
        table = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        start = len(ranked.prompt)
        return table[np.arange(start - 1, len(text) - 1), text[start:]]

    offsets = [[logs(old, r, k).sum() for k in (0, 1)] for r in rankings]
    batch = lay_out(rankings, range(5), offsets=offsets)
    for normal in (False, True):
        with torch.no_grad():
            scores = ImplicitRewards(policy, 0.1, length_normalised=normal)(batch)
        found = PairLoss(beta=0.1)(scores[batch.better], scores[batch.worse]).numpy()
        ipo = PairLoss("ipo", beta=0.1)(scores[batch.better], scores[batch.worse]).numpy()
        for n, ranked in enumerate(rankings):
            gains = []
            for k in (0, 1):
                gain = (logs(policy, ranked, k) - logs(old, ranked, k)).sum()
                gains.append(gain / len(ranked.answers[k]) if normal else gain)
            lead = gains[0] - gains[1]
            assert found[n] == pytest.approx(np.log1p(np.exp(-0.1 * lead)), abs=1e-10)
            assert ipo[n] == pytest.approx((lead - 1 / 0.2) ** 2, abs=1e-8)


def test_the_kept_reference_is_what_the_model_says(fitted: Path, model: Path) -> None:
    from safetensors.torch import load_file

    from yanmo.train.chat_text import ChatText
    from yanmo.train.preference_data import load_answers

    kept = load_file(fitted / CACHE)["log_probabilities"].tolist()
    rankings = load_answers([fitted.parent / "p.jsonl"], ChatText(model), max_tokens=64).rankings
    live = AnswerLogs(load_model(model))
    with torch.no_grad():
        found = live(lay_out(rankings, range(16))).tolist()
    assert kept == pytest.approx(found, abs=1e-4)
    # What is logged is the policy's own: before the first step, the reference's.
    first = steps_of(fitted)[0]
    assert first["chosen_log_probability"] == pytest.approx(np.mean(kept[0::2]), abs=1e-4)
    assert first["rejected_log_probability"] == pytest.approx(np.mean(kept[1::2]), abs=1e-4)


def test_a_kept_reference_of_other_data_is_not_taken(tmp_path: Path, model: Path) -> None:
    run = tmp_path / "run"
    for seed in (1, 2):
        data = write_rows(tmp_path / "p.jsonl", star_pairs(12, seed=seed))
        for name in ("summary.json", "recipe.toml"):
            (run / name).unlink(missing_ok=True)
        for folder in sorted((run / "checkpoints").glob("*")):
            (folder / "yanmo" / "done.json").unlink()
        train_dpo(dpo_recipe(model, "data.heldout_share=0.0"), Task([data], run), quiet=True)
        assert steps_of(run)[0]["margin"] == 0.0


@pytest.mark.parametrize("extra", [(), ("lora.rank=2", "lora.dropout=0.2")])
def test_a_stop_changes_no_bit(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    data = write_rows(tmp_path / "r.jsonl", star_rankings(40))
    recipe = dpo_recipe(model, "data.batch_rankings=6", "optimizer.lr=0.001", *extra)
    train_dpo(recipe, Task([data], tmp_path / "straight"), quiet=True)
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train_dpo(recipe, Task([data], tmp_path / "stopped"), quiet=True)
    monkeypatch.undo()
    assert len(checkpoint.checkpoints(tmp_path / "stopped")) == 1
    train_dpo(recipe, Task([data], tmp_path / "stopped"), quiet=True)
    same_run(tmp_path / "straight", tmp_path / "stopped")


def test_the_cut_into_micro_batches_changes_nothing(tmp_path: Path, model: Path) -> None:
    data = write_rows(tmp_path / "r.jsonl", star_rankings(24))
    found = []
    for tokens in (40, 100_000):
        recipe = dpo_recipe(model, "precision=float64", "optimizer.lr=0.001", "epochs=2",
                            f"run.micro_tokens={tokens}")  # fmt: skip
        run = tmp_path / str(tokens)
        train_dpo(recipe, Task([data], run), quiet=True)
        found.append([e["loss"] for e in steps_of(run)])
        found[-1] += [row["score"] for row in read_rows(run / "heldout.jsonl")]
    assert found[0] == pytest.approx(found[1], abs=1e-9)


def test_the_stored_model_is_the_trained_one(fitted: Path) -> None:
    """Its log-probabilities of the chosen answers rose above those of the rejected."""
    summary = json.loads((fitted / "summary.json").read_text())
    assert summary["steps"] == 40
    assert summary["heldout"] is None
    stored, base = load_model(fitted / "model"), load_model(checkpoint.resolve(fitted))
    for one, two in zip(stored.parameters(), base.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.browser
def test_the_report_opens_without_a_complaint(tmp_path: Path, model: Path) -> None:
    data = write_rows(tmp_path / "r.jsonl", star_rankings(30))
    recipe = dpo_recipe(model, "data.heldout_share=0.4", "data.batch_rankings=4")
    train_dpo(recipe, Task([data], tmp_path / "run"), quiet=True)
    with Browser(tmp_path / "profile") as browser:
        browser.open(tmp_path / "run" / "report.html")
        assert browser.texts("h1") == ["Direct preference optimisation run"]
        assert "Log-probabilities, nats" in browser.run("document.body.innerText")
        assert (browser.complaints, browser.requests) == ([], [])
