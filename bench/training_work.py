"""The same work for every trainer: one shape, one set of weights, one order of rows.

The rows are documents of exactly one sequence, so that every trainer reads them whole: yanmo from
token shards, the others from an array in the order that yanmo's loader would take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.shard_writer import ShardWriter, write_manifest
from yanmo.shards import TOKENIZER_FOLDER, Vocabulary, open_shards

SHAPE: Final[dict[str, Any]] = {
    "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
}  # fmt: skip
OPTIMIZER: Final[dict[str, Any]] = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "clip": 1.0}
"""AdamW without decay: each trainer would exempt other weights from it."""


@dataclass(frozen=True)
class Work:
    """A training run that is the same for all.

    Attributes:
        vocabulary: rows of the embedding.
        batch: sequences of a step.
        tokens: targets of a sequence.
        steps: how many steps the rows last.
    """

    vocabulary: int
    batch: int
    tokens: int
    steps: int

    @property
    def targets(self) -> int:
        """Targets of a step; none is padding."""
        return self.batch * self.tokens


def write_shards(folder: Path, texts: Sequence[npt.NDArray[np.uint32]], vocabulary: int) -> None:
    """Token shards of given documents; EOS (2) is added to each, BOS is 1.

    Args:
        folder: made.
        texts: ids of each document, without EOS.
        vocabulary: its size.
    """
    meaning = Vocabulary(tokenizer_sha256="0" * 64, vocab_size=vocabulary, eos_id=2, bos_id=1)
    (folder / TOKENIZER_FOLDER).mkdir(parents=True)
    (folder / TOKENIZER_FOLDER / "tokenizer_config.json").write_text("{}\n", "utf-8")
    none = pa.array([None] * len(texts), pa.string())
    sizes = [len(ids) for ids in texts]
    rows = pa.table({
        "id": [f"d{i}" for i in range(len(texts))], "source": ["web"] * len(texts),
        "origin": [f"file#{i}" for i in range(len(texts))], "url": none,
        "n_bytes": [3 * size for size in sizes], "n_chars": sizes, "cluster": none,
    })  # fmt: skip
    with ShardWriter(folder, "part-00000", meaning) as writer:
        writer.add(list(texts), rows)
    total = {"documents": len(texts), "tokens": sum(sizes) + len(texts),
             "bytes": 3 * sum(sizes), "chars": sum(sizes)}  # fmt: skip
    write_manifest(folder, meaning, split="train", sources={"web": total}, about={})


def draw(work: Work, *, seed: int) -> list[npt.NDArray[np.uint32]]:
    """Documents of Zipf's law, each an EOS short of a sequence, so that there is much to learn."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, work.vocabulary - 2)
    count, length = work.steps * work.batch, work.tokens - 1
    ids = rng.choice(len(shares), (count, length), p=shares / shares.sum()) + 3
    return list(ids.astype(np.uint32))


def prepare(folder: Path, work: Work) -> dict[str, Any]:
    """Write weights, shards and rows below a folder.

    Returns:
        What every trainer is told, but for its own options.
    """
    from yanmo.train.config import ModelConfig
    from yanmo.train.data import Loader
    from yanmo.train.folder import save_model
    from yanmo.train.model import build

    config = ModelConfig(vocab_size=work.vocabulary, max_position_embeddings=work.tokens,
                         bos_token_id=1, eos_token_id=2, **SHAPE)  # fmt: skip
    model = build(config, seed=0)
    save_model(config, dict(model.named_parameters()), folder / "model")
    write_shards(folder / "shards", draw(work, seed=0), work.vocabulary)
    loader = Loader(open_shards(folder / "shards"), sequence_tokens=work.tokens, seed=0)
    whole = loader.batch(range(loader.sequences))
    rows = np.concatenate([whole.tokens.numpy(), whole.labels.numpy()[:, -1:]], axis=1)
    if not (rows[:, 1:] == whole.labels.numpy()).all():
        raise RuntimeError("a row holds more than one document")
    np.save(folder / "rows.npy", rows)
    return {
        "model": str(folder / "model"), "shards": str(folder / "shards"),
        "rows": str(folder / "rows.npy"), "shape": config.to_hf(), "batch": work.batch,
        "tokens": work.tokens, "steps": work.steps, **OPTIMIZER,
    }  # fmt: skip
