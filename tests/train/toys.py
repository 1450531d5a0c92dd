"""Small worlds for reinforcement learning: a tokenizer of digits, a model of two narrow layers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from yanmo import recipe as recipes
from yanmo.train.config import ModelConfig
from yanmo.train.folder import save_model
from yanmo.train.model import Llama, build
from yanmo.train.rlhf import learn
from yanmo.train.rlhf_recipe import Grpo, Ppo
from yanmo.train.rlhf_setup import Sources
from yanmo.train.scorer import Scorer, save_scorer

WORDS = ("<unk>", "<s>", "</s>", *"0123456789", "a", "b", "c")
END = 2
PPO = (
    "rollout.prompts=32", "rollout.max_tokens=8", "optimizer.lr=0.005", "value.lr=0.005",
    "update.mini_batches=2", "heldout.prompts=8", "run.tensorboard=false", "run.device=cpu",
    "update.stop_kl=off", "reward.missing_end_score=off", "kl.coefficient=0.01",
)  # fmt: skip
GROUPS = (
    "rollout.prompts=8", "rollout.samples=4", "rollout.max_tokens=8", "optimizer.lr=0.01",
    "heldout.prompts=8", "run.tensorboard=false", "run.device=cpu",
)  # fmt: skip


def config(**changes: Any) -> ModelConfig:
    shape: dict[str, Any] = {
        "vocab_size": len(WORDS), "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "bos_token_id": 1, "eos_token_id": END, "max_position_embeddings": 64,
    }  # fmt: skip
    return ModelConfig(**(shape | changes))


def write_tokenizer(folder: Path) -> Path:
    """A character of the vocabulary a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    table = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(table))
    return folder


def write_model(folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """A model that knows nothing: every token is about as likely."""
    model: Llama = build(config(), seed=seed, dtype=dtype)
    save_model(model.config, dict(model.named_parameters()), folder)
    write_tokenizer(folder)
    return folder


def write_scorer(folder: Path, *, seed: int = 5, spread: float = 1.0) -> Path:
    """A reward model of arbitrary taste."""
    scorer = Scorer(build(config(initializer_range=0.3), seed=seed), seed=seed, bias=0.25)
    with torch.no_grad():
        scorer.score.mul_(spread)
    save_scorer(scorer, folder)
    write_tokenizer(folder)
    return folder


def write_prompts(path: Path, count: int = 40, **meta: Any) -> Path:
    """Numbers in words of the vocabulary, all different."""
    lines = [{"prompt": f"{number:03d}a", **meta} for number in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run_ppo(
    sources: Sources, out: Path, *overrides: str, base: Sequence[str] = PPO
) -> dict[str, Any]:
    return learn(recipes.load(Ppo, overrides=(*base, *overrides)), sources, out, quiet=True)


def run_grpo(
    sources: Sources, out: Path, *overrides: str, base: Sequence[str] = GROUPS
) -> dict[str, Any]:
    return learn(recipes.load(Grpo, overrides=(*base, *overrides)), sources, out, quiet=True)
