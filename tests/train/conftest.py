"""Small models, and token shards made of nothing but numbers."""

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
        **vocabulary: Any,
    ) -> Path:
        fields: dict[str, Any] = {"tokenizer_sha256": "0" * 64, "vocab_size": 61, "eos_id": 2}
        meaning = Vocabulary(**(fields | {"bos_id": 1} | vocabulary))
        (folder / TOKENIZER_FOLDER).mkdir(parents=True)
        (folder / TOKENIZER_FOLDER / "tokenizer_config.json").write_text("{}\n")
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
