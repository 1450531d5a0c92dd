"""A tiny chat model with a tokenizer of its own, and dialogues for it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yanmo import recipe as recipes
from yanmo.messages import Message
from yanmo.train.config import ModelConfig
from yanmo.train.folder import save_model
from yanmo.train.model import build
from yanmo.train.sft_data import Corpus, read_corpus
from yanmo.train.sft_mask import Masker, chat_template
from yanmo.train.sft_recipe import Dialogues, Sft
from yanmo.train.sft_setup import Files
from yanmo.vocab.load import load_tokenizer

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LEARNED = ["研墨先于落笔 grind the ink before you write", "\n\n \n\n", "你好。好的。"]
SMALL = (
    "data.max_tokens=192", "data.batch_sequences=4", "optimizer.lr=0.01", "run.log_steps=1",
    "run.eval_steps=off", "run.save_steps=off", "run.tensorboard=false",
)  # fmt: skip


def write_tokenizer(folder: Path, *, entries: int = 340, template: str | None = None) -> Path:
    """A byte-level tokenizer; with 259 entries each byte is a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries, special_tokens=list(SPECIAL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(LEARNED * 3, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0], "bos_token": SPECIAL[1],
    }  # fmt: skip
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def write_model(folder: Path, *, seed: int = 1, **tokenizer: Any) -> Path:
    """A model folder of two narrow layers with random weights."""
    write_tokenizer(folder, **tokenizer)
    config = ModelConfig(
        vocab_size=load_tokenizer(folder).vocab_size, hidden_size=32, intermediate_size=48,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2, initializer_range=0.2,
    )  # fmt: skip
    model = build(config, seed=seed, dtype=torch.float64)
    save_model(config, dict(model.named_parameters()), folder)
    return folder


def turns(*contents: str, system: str | None = None) -> tuple[Message, ...]:
    """Questions and answers in turn."""
    roles = ("user", "assistant")
    head = () if system is None else (Message("system", system),)
    return (*head, *(Message(roles[i % 2], text) for i, text in enumerate(contents)))


def write_dialogues(path: Path, dialogues: Sequence[Sequence[Message]]) -> Path:
    """One JSON object a line; ids are d0, d1 …"""
    lines = [
        json.dumps({"id": f"d{i}", "messages": [m.table() for m in d]}, ensure_ascii=False)
        for i, d in enumerate(dialogues)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def some_dialogues(count: int, *, seed: int) -> list[tuple[Message, ...]]:
    """Dialogues of one to three answers that say the question again."""
    rng = np.random.default_rng(seed)
    words = ["研墨", "ink", "write", "你好", "ok", "笔"]
    made = []
    for _ in range(count):
        contents = []
        for _ in range(int(rng.integers(1, 4))):
            said = " ".join(rng.choice(words, int(rng.integers(1, 5))))
            contents += [said, said]
        made.append(turns(*contents))
    return made


def corpus_of(
    model: Path, dialogues: Sequence[Sequence[Message]], folder: Path, **data: Any
) -> Corpus:
    """Dialogues as they are trained on."""
    tokenizer = load_tokenizer(model)
    masker = Masker(chat_template(model, tokenizer), tokenizer)
    path = write_dialogues(folder / "dialogues.jsonl", dialogues)
    return read_corpus([path], masker, tokenizer, Dialogues(**({"max_tokens": 192} | data)))


def sft_recipe(*overrides: str) -> Sft:
    """A small run."""
    return recipes.load(Sft, overrides=(*SMALL, *overrides))


def files(folder: Path, model: Path, *, count: int = 40, heldout: bool = True) -> Files:
    """Dialogues on disk, and a run folder that is not there."""
    data = write_dialogues(folder / "train.jsonl", some_dialogues(count, seed=1))
    held = write_dialogues(folder / "held.jsonl", some_dialogues(10, seed=2))
    return Files((data,), model, folder / "run", held if heldout else None)
