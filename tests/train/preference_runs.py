"""A tiny chat model and made-up preferences, for tests of rankings, reward models and DPO."""

import json
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from yanmo import recipe as recipes
from yanmo.train import checkpoint, preference_loop
from yanmo.train.config import ModelConfig
from yanmo.train.folder import save_model
from yanmo.train.journal import read_journal
from yanmo.train.model import build
from yanmo.train.preference_recipe import Dpo, Reward

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QUICK = ("data.max_tokens=64", "run.tensorboard=false", "run.eval_steps=off", "run.save_steps=off")


def chat_model(folder: Path, *, tied: bool = True, width: int = 32, context: int = 128) -> Path:
    """A model of two narrow layers that reads bytes, with ChatML's markers."""
    folder.mkdir(parents=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "pad_token": SPECIAL[0]}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    shape = ModelConfig(
        vocab_size=len(vocabulary), hidden_size=width, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=width // 4,
        max_position_embeddings=context, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    save_model(shape, dict(build(shape, seed=5).named_parameters()), folder)
    return folder


def answer(rng: random.Random, times: int) -> str:
    """A word of eight letters with so many stars."""
    letters = [rng.choice("abcdefgh") for _ in range(8 - times)] + ["*"] * times
    rng.shuffle(letters)
    return "".join(letters)


def star_pairs(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Pairs in which the answer with more stars was chosen."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        few, many = sorted(rng.sample(range(6), 2))
        prompt = [{"role": "user", "content": f"q{number}"}]
        rows.append({"id": f"p{number}", "prompt": prompt, "chosen": answer(rng, many),
                     "rejected": answer(rng, few)})  # fmt: skip
    return rows


def star_rankings(count: int, seed: int = 2) -> list[dict[str, Any]]:
    """Rankings of two to five answers of unlike lengths, with ties."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        stars = [rng.randrange(4) for _ in range(rng.randrange(2, 6))]
        if len(set(stars)) == 1:
            stars[0] += 1
        said = [answer(rng, n) + "x" * rng.randrange(6) + str(k) for k, n in enumerate(stars)]
        prompt = [{"role": "user", "content": "ask " * rng.randrange(3) + str(number)}]
        rows.append({"id": f"r{number}", "prompt": prompt, "responses": said,
                     "rank": [1 + max(stars) - n for n in stars]})  # fmt: skip
    return rows


def swapped(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def read_rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def reward_recipe(model: Path, *overrides: str) -> Reward:
    named = f"model={json.dumps(str(model))}"
    return recipes.load(Reward, overrides=(*QUICK, *overrides, named))


def dpo_recipe(model: Path, *overrides: str) -> Dpo:
    named = f"model={json.dumps(str(model))}"
    return recipes.load(Dpo, overrides=(*QUICK, *overrides, named))


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Ctrl-C while a step is taken."""
    batches = preference_loop.PairTrainer.batches

    def hooked(self: Any, number: int) -> Any:
        if number == step:
            signal.raise_signal(signal.SIGINT)
        return batches(self, number)

    monkeypatch.setattr(preference_loop.PairTrainer, "batches", hooked)


def same_run(a: Path, b: Path) -> None:
    one, two = (checkpoint.checkpoints(run)[-1][1] for run in (a, b))
    for name in ("model.safetensors", "yanmo/optimizer.safetensors", "yanmo/rng.safetensors"):
        first, second = load_file(one / name), load_file(two / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    logs = [[{k: v for k, v in e.items() if k != "seconds"} for e in read_journal(run)
             if e["kind"] != "start"] for run in (a, b)]  # fmt: skip
    assert logs[0] == logs[1]
    assert (a / "heldout.jsonl").read_bytes() == (b / "heldout.jsonl").read_bytes()
    facts = [(run / "model" / "yanmo" / "lineage.json").read_bytes() for run in (a, b)]
    assert facts[0] == facts[1]
