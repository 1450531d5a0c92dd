"""A tiny model with a tiny tokenizer, both made here: nothing is downloaded."""

from pathlib import Path

import pytest

from yanmo.evals.score import LoadOptions, Scorer, load_scorer
from yanmo.train.config import ModelConfig
from yanmo.train.folder import save_model
from yanmo.train.model import build

DEMO = Path(__file__).resolve().parents[2] / "fixtures" / "demo" / "ceval"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny matrices lose more by waiting for a second thread than they gain."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def demo() -> Path:
    """Questions of our own in the official layout."""
    return DEMO


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text of those questions: what the tokenizers are trained on."""
    path = tmp_path_factory.mktemp("corpus") / "questions.txt"
    path.write_text("".join(p.read_text("utf-8") for p in sorted(DEMO.rglob("*.csv"))), "utf-8")
    return path


@pytest.fixture(scope="session")
def spm_folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece BPE tokenizer with byte fallback, as LLaMA's."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("spm")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "tokenizer"), vocab_size=1300,
        model_type="bpe", byte_fallback=True, character_coverage=1.0, num_threads=1,
        max_sentence_length=100_000, minloglevel=2, normalization_rule_name="identity",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def bytes_folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer, as GPT's, without BOS."""
    import tokenizers

    fast = tokenizers.ByteLevelBPETokenizer()
    fast.train([str(corpus)], vocab_size=700, special_tokens=["<|endoftext|>"])
    folder = tmp_path_factory.mktemp("bytes")
    fast.save(str(folder / "tokenizer.json"))
    return folder


def tiny_config(vocab_size: int, **changes: object) -> ModelConfig:
    """Two layers, grouped queries, a context of 1024."""
    shape: dict[str, object] = {
        "vocab_size": vocab_size, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "max_position_embeddings": 1024, "initializer_range": 0.2, "bos_token_id": 1,
        "eos_token_id": 2,
    }  # fmt: skip
    return ModelConfig(**(shape | changes))  # type: ignore[arg-type]


def save_tiny(folder: Path, tokenizer: Path, config: ModelConfig) -> Path:
    """A checkpoint with random weights; large ones, so that answers differ."""
    model = build(config, seed=7)
    save_model(config, dict(model.named_parameters()), folder, tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="session")
def spm_model(spm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with the SentencePiece tokenizer."""
    return save_tiny(tmp_path_factory.mktemp("tiny-spm"), spm_folder, tiny_config(1300))


@pytest.fixture(scope="session")
def qwen_model(bytes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3 with the byte-level tokenizer."""
    config = tiny_config(700, model_type="qwen3", qk_norm=True, tie_word_embeddings=True)
    return save_tiny(tmp_path_factory.mktemp("tiny-qwen"), bytes_folder, config)


@pytest.fixture(scope="session")
def packed(spm_model: Path) -> Scorer:
    """The tiny Llama in the packed engine."""
    return load_scorer(spm_model, LoadOptions(engine="packed"))


@pytest.fixture(scope="session")
def plain(spm_model: Path) -> Scorer:
    """The tiny Llama in transformers."""
    return load_scorer(spm_model, LoadOptions(engine="transformers"))
