"""Small checkpoints and grown vocabularies for the tests of embedding."""

from pathlib import Path
from typing import Any

import torch

from yanmo.vocab.merge import MergeOptions, merge_tokenizers

WORDS = "北京\n长城\n人的\n的人\n数据\n质量\n决定\n模型\n的是\n是的\n"


def grow_tokenizer(base: Path, out: Path, words: str = WORDS) -> Path:
    """A tokenizer folder with some Chinese words behind the base's entries."""
    listed = out.parent / f"{out.name}.txt"
    listed.write_text(words, encoding="utf-8")
    merge_tokenizers(base, listed, out, MergeOptions())
    return out


def write_model(folder: Path, rows: int, *, dtype: str = "float32", tied: bool = False,
                shard: str = "5GB", seed: int = 0, **more: Any) -> Path:  # fmt: skip
    """A Llama of two narrow layers, written by transformers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=rows, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2, **more,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(folder, max_shard_size=shard)
    return folder
