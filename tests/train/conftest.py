"""Small models, and token shards made of nothing but numbers."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from yanmo.shard_writer import ShardWriter, write_manifest
from yanmo.shards import TOKENIZER_FOLDER, Vocabulary
from yanmo.train.config import ModelConfig
from yanmo.train.pretrain import pretrain

from .whole_runs import TWENTY, Make, recipe_of

Documents = Sequence[Sequence[int]]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Bit-for-bit comparisons need a fixed number of threads, and tiny models want one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., ModelConfig]:
    """Makes model shapes of two narrow layers; keyword arguments change them."""

    def make(**changes: Any) -> ModelConfig:
        shape: dict[str, Any] = {
            "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        }  # fmt: skip
        return ModelConfig(**(shape | changes))

    return make


@pytest.fixture(scope="session")
def documents() -> Callable[..., list[list[int]]]:
    """Makes documents of many lengths, with a rule that a small model can learn.

    The next id is the last one times two plus one (modulo), but for a tenth of the time.
    """

    def make(count: int, *, seed: int, longest: int = 40, vocab: int = 61) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        made = []
        for _ in range(count):
            ids = [int(rng.integers(3, vocab))]
            for _ in range(int(rng.integers(0, longest))):
                follow = 3 + (2 * ids[-1] + 1) % (vocab - 3)
                ids.append(follow if rng.random() < 0.9 else int(rng.integers(3, vocab)))
            made.append(ids)
        return made

    return make


@pytest.fixture(scope="session")
def write_shards() -> Callable[..., Path]:
    """Writes parts of documents (lists of ids; EOS is 2) as a shard folder.

    Sources take turns; a text is taken to have three bytes a token.
    """

    def write(
        folder: Path,
        parts: Sequence[Documents],
        *,
        sources: Sequence[str] = ("web", "books"),
        split: str = "train",
        tokenizer: Path | None = None,
        **vocabulary: Any,
    ) -> Path:
        fields: dict[str, Any] = {"tokenizer_sha256": "0" * 64, "vocab_size": 61, "eos_id": 2}
        meaning = Vocabulary(**(fields | {"bos_id": 1} | vocabulary))
        target = folder / TOKENIZER_FOLDER
        if tokenizer is not None:
            shutil.copytree(tokenizer, target)
        else:
            target.mkdir(parents=True)
            (target / "tokenizer_config.json").write_text("{}\n")
        totals = {
            name: dict.fromkeys(("documents", "tokens", "bytes", "chars"), 0) for name in sources
        }
        for number, part in enumerate(parts):
            names = [sources[i % len(sources)] for i in range(len(part))]
            with ShardWriter(folder, f"part-{number:05d}", meaning) as writer:
                writer.add([np.array(ids, np.uint32) for ids in part], _rows(number, part, names))
            for name, ids in zip(names, part, strict=True):
                totals[name]["documents"] += 1
                totals[name]["tokens"] += len(ids) + 1
                totals[name]["bytes"] += 3 * len(ids)
                totals[name]["chars"] += len(ids)
        write_manifest(folder, meaning, split=split, sources=totals, about={})
        return folder

    return write


def _rows(number: int, part: Documents, sources: list[str]) -> pa.Table:
    none = pa.array([None] * len(part), pa.string())
    return pa.table(
        {
            "id": [f"d{number}-{i}" for i in range(len(part))],
            "source": sources,
            "origin": [f"file#{i}" for i in range(len(part))],
            "url": none,
            "n_bytes": [3 * len(ids) for ids in part],
            "n_chars": [len(ids) for ids in part],
            "cluster": none,
        }
    )


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer folder of a few hundred entries; <s> opens and </s> closes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(["研墨先于落笔 grind the ink before you write"] * 3, trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, write_shards: Make, documents: Make) -> Path:
    """Two parts of sixty documents each, and a held-out split."""
    folder: Path = tmp_path_factory.mktemp("shards") / "s"
    write_shards(folder, [documents(60, seed=i) for i in range(2)])
    write_shards(folder / "heldout", [documents(30, seed=9)], split="heldout")
    return folder


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """Twenty steps without a stop."""
    out = tmp_path_factory.mktemp("straight") / "run"
    pretrain(recipe_of(*TWENTY), shards, out, quiet=True)
    return out
