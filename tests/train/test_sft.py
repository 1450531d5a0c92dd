"""Whole runs: what they write, that they go on to the bit, and what they refuse."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.train.checkpoint import checkpoints
from yanmo.train.journal import read_journal
from yanmo.train.recipe import LINEAR
from yanmo.train.sft import sft
from yanmo.train.sft_recipe import Sft, training
from yanmo.train.sft_setup import Files

from .test_sft_mask import FORGETFUL
from .tiny_chats import files, sft_recipe, some_dialogues, turns, write_dialogues, write_model
from .whole_runs import interrupt_at, same_bits

TEN = ("steps=10", "neftune_alpha=5")
LORA = ("steps=10", "lora.rank=4", "lora.dropout=0.1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("chat") / "model")


@pytest.fixture(scope="module")
def straight(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Ten steps with noise, without a stop."""
    found = files(tmp_path_factory.mktemp("straight"), model)
    sft(sft_recipe(*TEN), found, quiet=True)
    return found


def test_a_run_learns_and_writes_what_it_did(straight: Files) -> None:
    summary = json.loads((straight.out / "summary.json").read_text())
    assert summary["steps"] == 10
    assert summary["loss"] < summary["first_loss"]
    assert summary["heldout"]["loss"] < summary["heldout_before"]["loss"]
    assert summary["heldout"]["targets"] == summary["heldout_before"]["targets"] > 0
    assert 0 < summary["targets"] < summary["tokens"]
    assert summary["tokens_per_second"] > summary["targets_per_second"] > 0
    assert summary["dialogues"]["kept"] == 40
    assert "mfu" in summary
    for name in ("report.html", "recipe.toml", "metrics.jsonl", "manifest.json"):
        assert (straight.out / name).is_file()
    config = json.loads((straight.out / "model/config.json").read_text())
    assert config["eos_token_id"] == 2
    lineage = json.loads((straight.out / "model/yanmo/lineage.json").read_text())
    assert lineage["dialogues"]["files"] == ["train.jsonl"]


def test_transformers_opens_the_result_with_the_template_it_learned(straight: Files) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(straight.out / "model")
    net = transformers.AutoModelForCausalLM.from_pretrained(straight.out / "model")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "ink"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nink<|im_end|>\n<|im_start|>assistant\n"
    assert net.config.eos_token_id == 2


@pytest.mark.parametrize("choice", [TEN, LORA], ids=["full with noise", "lora with dropout"])
def test_an_interrupted_run_ends_in_the_same_bits(
    choice: tuple[str, ...], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = files(tmp_path, model)
    sft(sft_recipe(*choice), whole, quiet=True)
    stopped = dataclasses.replace(whole, out=tmp_path / "stopped")
    interrupt_at(monkeypatch, 3, 6)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sft(sft_recipe(*choice), stopped, quiet=True)
    sft(sft_recipe(*choice), stopped, quiet=True)
    same_bits(whole.out, stopped.out)
    assert sft(sft_recipe(*choice), stopped, quiet=True)["already_done"]
    if choice is LORA:
        first, last = (
            load_file(folder / "model.safetensors") for folder in (model, whole.out / "model")
        )
        moved = {n.split(".")[-2] for n in first if not torch.equal(first[n].float(), last[n])}
        assert moved == set(LINEAR)
        assert (whole.out / "adapter/adapter_model.safetensors").is_file()


def losses(run: Path) -> list[float]:
    return [e["loss"] for e in read_journal(run) if e["kind"] == "train"]


@pytest.mark.parametrize("packing", ["true", "false"])
def test_micro_batches_change_nothing(model: Path, tmp_path: Path, packing: str) -> None:
    """Noise included: 4 rows at once are 4 times 1 row."""
    found = files(tmp_path, model, heldout=False)
    common = ("precision=float64", "steps=4", "neftune_alpha=5", f"data.packing={packing}")
    runs = []
    for micro in (1, 3, 4):
        here = dataclasses.replace(found, out=tmp_path / str(micro))
        sft(sft_recipe(*common, f"run.micro_sequences={micro}"), here, quiet=True)
        runs.append(losses(here.out))
    assert runs[1] == pytest.approx(runs[0], rel=1e-10)
    assert runs[2] == pytest.approx(runs[0], rel=1e-10)


def test_frozen_weights_stay_and_others_move(model: Path, tmp_path: Path) -> None:
    found = files(tmp_path, model, heldout=False)
    sft(sft_recipe("steps=2", 'trainable.freeze=["*embed_tokens*"]'), found, quiet=True)
    first, last = (load_file(f / "model.safetensors") for f in (model, found.out / "model"))
    same = {n for n in first if torch.equal(first[n].float(), last[n])}
    assert same == {"model.embed_tokens.weight"}


def test_samples_are_answers(model: Path, tmp_path: Path) -> None:
    found = files(tmp_path, model, heldout=False)
    sft(sft_recipe("steps=2", 'run.sample_prompts=["ink", "笔"]'), found, quiet=True)
    samples = [e for e in read_journal(found.out) if e["kind"] == "sample"]
    assert [(e["step"], e["prompt"]) for e in samples] == [
        (0, "ink"), (0, "笔"), (2, "ink"), (2, "笔")
    ]  # fmt: skip
    assert all("<|im" not in e["text"] for e in samples)


def test_refused_dialogues_are_in_quarantine(model: Path, tmp_path: Path) -> None:
    data = write_dialogues(
        tmp_path / "d.jsonl", [*some_dialogues(20, seed=1), turns("a", "b<|im_end|>")]
    )
    found = Files((data,), model, tmp_path / "run")
    summary = sft(sft_recipe("steps=1"), found, quiet=True)
    (line,) = (tmp_path / "run/quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "d20"
    assert summary["dialogues"]["refused"] == {"special token in the text": 1}


def test_the_linter_stops_a_run_before_anything_is_written(model: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "model", template=FORGETFUL)
    data = write_dialogues(tmp_path / "d.jsonl", [turns("a", "b", "c", "d")])
    with pytest.raises(DataError, match="lint: broken rule: the template"):
        sft(sft_recipe("steps=1"), Files((data,), other, tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run").exists()


def test_other_dialogues_or_settings_do_not_continue_a_run(
    straight: Files, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"other settings.*neftune_alpha"):
        sft(sft_recipe("steps=10"), straight, quiet=True)
    other = write_dialogues(tmp_path / "train.jsonl", some_dialogues(30, seed=9))
    with pytest.raises(DataError, match="not the dialogues that the run was started with"):
        sft(sft_recipe(*TEN), dataclasses.replace(straight, data=(other,)), quiet=True)
    step = checkpoints(straight.out)[-1][0]
    longer = sft(sft_recipe("steps=11", "neftune_alpha=5"), straight, quiet=True)
    assert longer["steps"] == step + 1


def test_what_does_not_fit_is_refused(model: Path, tmp_path: Path) -> None:
    found = files(tmp_path, model)
    with pytest.raises(RecipeError, match=r"longer than the model's context.*512"):
        sft(sft_recipe("data.max_tokens=513"), found, quiet=True)
    with pytest.raises(UsageError, match="no such file of dialogues"):
        sft(sft_recipe(), dataclasses.replace(found, data=(tmp_path / "no.jsonl",)), quiet=True)
    with pytest.raises(UsageError, match="no such model folder"):
        sft(sft_recipe(), dataclasses.replace(found, model=tmp_path / "no"), quiet=True)
    with pytest.raises(UsageError, match="--out would replace an input"):
        sft(sft_recipe(), dataclasses.replace(found, out=model), quiet=True)
    empty = write_dialogues(tmp_path / "held.jsonl", [turns("a")])
    with pytest.raises(DataError, match="no held-out dialogue is left"):
        sft(sft_recipe(), dataclasses.replace(found, heldout=empty), quiet=True)


def test_defaults_follow_the_kind_of_training() -> None:
    assert sft_recipe("optimizer.lr=off").lr == 1e-5
    assert sft_recipe("optimizer.lr=off", "lora.rank=8").lr == 2e-4
    assert sft_recipe().run.eval_first  # though a key of [run] is set
    followed = training(Sft(steps=7), Path("m"))
    assert followed.steps(1000) == 7
    assert training(Sft(), Path("m")).steps(100) == 13  # two epochs of 100 rows in batches of 16
    with pytest.raises(RecipeError, match="no length"):
        Sft(epochs=0.0)
