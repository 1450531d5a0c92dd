"""What a decoder costs by its configuration: parameters, operations a token, memory, cache.

    V rows  D width  L layers  H query heads  K key-value heads  d head width  F feed-forward width

    a layer      D*H*d (query) + 2*D*K*d (key, value) + H*d*D (output) + 3*D*F (gated) or 2*D*F
    embedding    V*D, and again V*D for the head unless the two are tied
    forward      2 operations a weight that is multiplied; the embedding is looked up, which is free
    attention    4*H*d operations a layer for each token seen, (context + 1) / 2 on average
    backward     twice the forward pass

Biases and norms are left out: in LLaMA 7B they are 0.004 % of the weights.

Source: Kaplan et al. 2020, "Scaling Laws for Neural Language Models", table 1; memory of mixed
precision with Adam: Rajbhandari et al. 2020, "ZeRO", section 3.1.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json

BYTES_WEIGHT = 2  # bf16
BYTES_TRAINING = 16  # bf16 weight and gradient, float32 weight, two Adam moments
# Decoders of one kind of layer, and their feed-forward: gated (three matrices) or plain (two).
_GATED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3",
          "minimind", "internlm2", "baichuan", "yi", "glm", "olmo2")  # fmt: skip
_PLAIN = ("gpt2", "gpt_neox", "opt", "phi")
# Whose head is the embedding unless the file says otherwise, as transformers has it.
_TIED = ("gpt2", "opt", "gemma", "gemma2", "gemma3_text", "minimind")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_NAMES = {
    "hidden_size": ("hidden_size", "n_embd"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "vocab_size": ("vocab_size",),
}


@dataclass(frozen=True)
class ModelShape:
    """A dense decoder."""

    name: str
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    gated: bool
    tied: bool
    max_positions: int

    @property
    def layer_weights(self) -> int:
        """Weights of all layers that are multiplied for every token."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden_size * queries + 2 * self.hidden_size * keys
        feed = (3 if self.gated else 2) * self.hidden_size * self.intermediate_size
        return self.layers * (attention + feed)

    @property
    def vocabulary_weights(self) -> int:
        """Weights of embedding and head."""
        return self.vocab_size * self.hidden_size * (1 if self.tied else 2)

    @property
    def weights(self) -> int:
        """All weights."""
        return self.layer_weights + self.vocabulary_weights

    @property
    def cache_bytes(self) -> int:
        """Bytes that one token takes in the key-value cache (bf16)."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES_WEIGHT

    def forward_flops(self, context: int) -> float:
        """Operations of the forward pass a token, at the mean place of a context.

        Args:
            context: tokens of a sequence.
        """
        attention = 4.0 * self.layers * self.heads * self.head_dim * (context + 1) / 2
        return 2.0 * (self.layer_weights + self.vocab_size * self.hidden_size) + attention

    def training_flops(self, context: int) -> float:
        """Operations of forward and backward pass a token."""
        return 3.0 * self.forward_flops(context)

    def with_rows(self, rows: int) -> "ModelShape":
        """The same model with another number of embedding rows."""
        return replace(self, vocab_size=rows)


def padded(rows: int, multiple: int) -> int:
    """Rows rounded up to a multiple."""
    return -(-rows // multiple) * multiple


def read_shape(path: Path) -> ModelShape:
    """Read a model's ``config.json`` (or the folder that holds it).

    Raises:
        UsageError: there is none, or the model is no dense decoder whose cost is known here.
        DataError: an entry is missing or no whole number above zero.
    """
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            "no such model", where=file, fix="Give a config.json, or the folder that holds it."
        )
    config = read_json(file)
    if not isinstance(config, dict):
        raise DataError("not a model's config.json", where=file)
    # A dense MiniMind names experts too, and says that it has none of them.
    if config.get("use_moe", True) and any(config.get(key) for key in _EXPERTS):
        raise UsageError("a mixture of experts, whose cost a token is not modelled", where=file,
                         fix="Give a dense model of the same width.")  # fmt: skip
    family = str(config.get("model_type", ""))
    if family not in (*_GATED, *_PLAIN):
        known = ", ".join((*_GATED, *_PLAIN))
        raise UsageError("model_type is not known here", where=file, value=family,
                         fix=f"Known: {known}. A config with the same sizes and one of these "
                         "names gives the same costs.")  # fmt: skip
    return _shape(config, family, file)


def _shape(config: dict[str, Any], family: str, file: Path) -> ModelShape:
    found = {name: _number(config, keys, file) for name, keys in _NAMES.items()}
    width, heads = found["hidden_size"], found["heads"]
    return ModelShape(
        name=file.resolve().parent.name if file.name == "config.json" else file.stem,
        **found,
        kv_heads=_number(config, ("num_key_value_heads",), file, heads),
        head_dim=_number(config, ("head_dim",), file, width // heads),
        intermediate_size=_number(config, ("intermediate_size", "n_inner", "ffn_dim"), file,
                                  4 * width if family in _PLAIN else None),
        gated=family in _GATED,
        tied=bool(config.get("tie_word_embeddings", family in _TIED)),
        max_positions=_number(config, ("max_position_embeddings", "n_positions"), file, 2048),
    )  # fmt: skip


def _number(
    config: dict[str, Any], keys: tuple[str, ...], file: Path, default: int | None = None
) -> int:
    value = next((config[key] for key in keys if config.get(key) is not None), default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"no whole number above zero in '{keys[0]}'", where=file, value=value)
    return value
