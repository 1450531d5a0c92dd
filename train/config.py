"""The shape of a model, and its translation to and from a Hugging Face ``config.json``.

Field names are Hugging Face's, like the parameter names, so that nothing needs a conversion table.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from yanmo.errors import DataError

ARCHITECTURES: Final = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
ALIBI: Final = {f"yanmo_{kind}_alibi": kind for kind in ARCHITECTURES}
"""Models with ALiBi have a name of their own: under the family's, other programs would rotate."""
ROPE_KINDS: Final = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding: base and scaling.

    Attributes:
        theta: base of the geometric series of wavelengths.
        kind: one of ``ROPE_KINDS``.
        factor: how many times the context grows (all kinds but ``default``).
        original_positions: context of the unscaled model (``llama3``, ``yarn``).
        low_freq_factor, high_freq_factor: the band that ``llama3`` blends.
        beta_fast, beta_slow: the band that ``yarn`` blends, in rotations.
        attention_factor: ``yarn``'s factor on cosine and sine; ``None``: from ``factor``.
    """

    theta: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    original_positions: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None

    def to_hf(self) -> dict[str, Any]:
        """The ``rope_parameters`` object of ``config.json``."""
        table: dict[str, Any] = {"rope_type": self.kind, "rope_theta": self.theta}
        if self.kind != "default":
            table["factor"] = self.factor
        if self.kind in ("llama3", "yarn"):
            table["original_max_position_embeddings"] = self.original_positions
        if self.kind == "llama3":
            table |= {
                "low_freq_factor": self.low_freq_factor,
                "high_freq_factor": self.high_freq_factor,
            }
        if self.kind == "yarn":
            table |= {"beta_fast": self.beta_fast, "beta_slow": self.beta_slow}
            if self.attention_factor is not None:
                table["attention_factor"] = self.attention_factor
        return table


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a decoder of the Llama family.

    Attributes:
        vocab_size: rows of the embedding.
        hidden_size: width ``D`` of the residual stream.
        intermediate_size: width ``F`` of the gated feed-forward layer.
        num_hidden_layers: layers ``L``.
        num_attention_heads: query heads ``H``.
        num_key_value_heads: key and value heads ``K``; ``H`` must be a multiple of it.
        head_dim: width of one head; ``H * head_dim`` may differ from ``D`` (Qwen3).
        model_type: ``llama``, ``qwen2`` or ``qwen3``; what ``config.json`` calls it.
        attention_bias: bias on query, key and value projections (Qwen2).
        output_bias: bias on the attention's output projection.
        qk_norm: RMS norm on each query and key head before the rotation (Qwen3).
        tie_word_embeddings: the output projection is the embedding.
        initializer_range: standard deviation of fresh weights.
        max_position_embeddings: longest sequence that the model is meant for.
        position: ``rope``, or ``alibi`` (no other program knows it: see :meth:`to_hf`).
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    model_type: str = "llama"
    attention_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    tie_word_embeddings: bool = False
    rms_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    max_position_embeddings: int = 2048
    rope: Rope = Rope()
    position: str = "rope"
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise DataError(
                "the query heads are no multiple of the key-value heads",
                value=(self.num_attention_heads, self.num_key_value_heads),
            )
        if self.position == "rope" and self.head_dim % 2:
            raise DataError("rotary positions need an even head_dim", value=self.head_dim)

    @property
    def query_width(self) -> int:
        """``H * head_dim``."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_width(self) -> int:
        """``K * head_dim``."""
        return self.num_key_value_heads * self.head_dim

    def to_hf(self) -> dict[str, Any]:
        """What ``config.json`` holds.

        Both spellings of the rotary base and scaling are written: transformers 5 reads
        ``rope_parameters``, version 4 and most other programs ``rope_theta`` and ``rope_scaling``.

        With ALiBi the ``model_type`` is one that transformers does not know, so that ``Auto…``
        refuses it; and the kind of rotation is one that it does not know either, so that the
        family's own class refuses it too, where it would only have warned of the name.
        """
        skip = ("rope", "position", "attention_bias", "output_bias", "qk_norm")
        table = {k: v for k, v in dataclasses.asdict(self).items() if k not in skip}
        table |= {
            "architectures": [ARCHITECTURES[self.model_type]],
            "hidden_act": "silu",
            "attention_dropout": 0.0,
            "use_cache": True,
            "dtype": "float32",
            "rope_parameters": self.rope.to_hf(),
            "rope_theta": self.rope.theta,
        }
        if self.rope.kind != "default":
            table["rope_scaling"] = self.rope.to_hf()
        if self.model_type == "llama":
            table |= {"attention_bias": self.attention_bias, "mlp_bias": False}
        if self.model_type == "qwen2":
            table.pop("head_dim")
        if self.model_type == "qwen3":
            table["attention_bias"] = self.attention_bias
        if self.model_type != "llama":
            table["use_sliding_window"] = False
        if self.position == "alibi":
            no_rope = {"rope_type": "alibi"}
            table |= {
                "model_type": f"yanmo_{self.model_type}_alibi",
                "architectures": [f"Yanmo{ARCHITECTURES[self.model_type]}"],
                "position": "alibi", "rope_parameters": no_rope, "rope_scaling": no_rope,
            }  # fmt: skip
            table.pop("rope_theta")
        return table


def from_hf(table: Mapping[str, Any], *, where: object = "config.json") -> ModelConfig:
    """Read a Hugging Face ``config.json``.

    Args:
        table: the parsed file, in the spelling of transformers 4 or 5.
        where: named in errors.

    Raises:
        DataError: the architecture, or an option of it, is not one that this package computes.
    """
    kind = table.get("model_type")
    if not computes(kind):
        raise DataError("cannot train this architecture", where=where, value=kind,
                        fix=f"Known: {', '.join(ARCHITECTURES)}.")  # fmt: skip
    alibi = kind in ALIBI
    kind = ALIBI.get(str(kind), kind)
    _refuse_options(table, where)
    try:
        heads = int(table["num_attention_heads"])
        head_dim = table.get("head_dim") or int(table["hidden_size"]) // heads
        bias = kind == "qwen2" or bool(table.get("attention_bias", False))
        config = ModelConfig(
            vocab_size=int(table["vocab_size"]),
            hidden_size=int(table["hidden_size"]),
            intermediate_size=int(table["intermediate_size"]),
            num_hidden_layers=int(table["num_hidden_layers"]),
            num_attention_heads=heads,
            num_key_value_heads=int(table.get("num_key_value_heads") or heads),
            head_dim=int(head_dim),
            model_type=str(kind),
            attention_bias=bias,
            output_bias=bias and kind != "qwen2",
            qk_norm=kind == "qwen3",
            tie_word_embeddings=bool(table.get("tie_word_embeddings", False)),
            rms_norm_eps=float(table.get("rms_norm_eps", 1e-6)),
            initializer_range=float(table.get("initializer_range", 0.02)),
            max_position_embeddings=int(table.get("max_position_embeddings", 2048)),
            rope=Rope() if alibi else _rope_from_hf(table, where),
            position="alibi" if alibi else "rope",
            bos_token_id=_first_id(table.get("bos_token_id")),
            eos_token_id=_first_id(table.get("eos_token_id")),
            pad_token_id=_first_id(table.get("pad_token_id")),
        )
    except KeyError as error:
        raise DataError(f"the key {error} is missing", where=where) from None
    return config


def computes(model_type: object) -> bool:
    """Whether a ``model_type`` of a ``config.json`` is one that this package computes."""
    return model_type in ARCHITECTURES or model_type in ALIBI


def _first_id(value: Any) -> int | None:
    """Some configs give a list of end tokens; the first is the one documents are closed with."""
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else int(value)


def _refuse_options(table: Mapping[str, Any], where: object) -> None:
    """What would silently change the mathematics is an error, not a warning."""
    wrong = {
        "hidden_act": table.get("hidden_act", "silu") != "silu",
        "mlp_bias": bool(table.get("mlp_bias", False)),
        "use_sliding_window": bool(table.get("use_sliding_window", False)),
        "attention_dropout": bool(table.get("attention_dropout", 0.0)),
        "quantization_config": table.get("quantization_config") is not None,
        "partial_rotary_factor": table.get("partial_rotary_factor", 1.0) not in (None, 1.0),
    }
    for key, bad in wrong.items():
        if bad:
            raise DataError(f"'{key}' is not supported", where=where, value=table.get(key))


def _rope_from_hf(table: Mapping[str, Any], where: object) -> Rope:
    scaling = table.get("rope_parameters") or table.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in ROPE_KINDS:
        raise DataError("this scaling of rotary positions is not supported", where=where,
                        value=kind, fix=f"Known: {', '.join(ROPE_KINDS)}.")  # fmt: skip
    if scaling.get("mscale") or scaling.get("mscale_all_dim") or not scaling.get("truncate", True):
        raise DataError("this form of yarn is not supported", where=where, value=dict(scaling))
    theta = scaling.get("rope_theta") or table.get("rope_theta") or 10_000.0
    original: Any = 0
    if kind in ("llama3", "yarn"):
        original = scaling.get("original_max_position_embeddings")
        original = original or table.get("max_position_embeddings", 0)
    optional = {
        key: float(scaling[key])
        for key in ("low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow")
        if scaling.get(key) is not None
    }
    return Rope(
        theta=float(theta),
        kind=kind,
        factor=float(scaling.get("factor") or 1.0),
        original_positions=int(original),
        attention_factor=scaling.get("attention_factor"),
        **optional,
    )
