"""The Llama family: Llama, Qwen2 (biases on q, k, v) and Qwen3 (norms on q, k heads).

Shapes: ``B`` batch, ``T`` tokens, ``D`` width, ``H`` query heads, ``K`` key-value heads, ``d`` head
width, ``F`` feed-forward width, ``V`` vocabulary, ``L`` layers.

Modules carry Hugging Face's names (``model.layers.0.self_attn.q_proj.weight`` …), so a state dict
is a Hugging Face state dict and nothing is converted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .alibi import alibi_slopes
from .attention import Documents, attend_cache, attention, documents_from_lengths
from .config import ModelConfig
from .loss import Loss, linear_cross_entropy
from .norm import rms_norm
from .rope import angles, rotate, wavelengths


@dataclass
class Cache:
    """Keys and values of what was already read, for generation.

    Attributes:
        starts: (B,) first token of each row that is text; those before are padding.
        size: tokens read so far.
        layers: per layer, keys and values of shape (B, capacity, K, d).
    """

    starts: Tensor
    capacity: int
    size: int = 0
    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append (B, T, K, d) keys and values of a layer; return all of them so far."""
        if len(self.layers) == layer:
            shape = (k.shape[0], self.capacity, *k.shape[2:])
            self.layers.append((k.new_empty(shape), v.new_empty(shape)))
        end = self.size + k.shape[1]
        for store, new in zip(self.layers[layer], (k, v), strict=True):
            store[:, self.size : end] = new
        keys, values = self.layers[layer]
        return keys[:, :end], values[:, :end]


@dataclass(frozen=True, eq=False)
class Context:
    """What all layers share in one forward pass.

    Attributes:
        turn: cosine and sine of the rotation, (B or 1, T, 1, d/2) each; ``None`` with ALiBi.
        documents: document boundaries, or ``None`` if every row is one document.
        backend: attention backend.
        attend: :func:`yanmo.train.attention.attention`, or a wrapping of it.
        slopes: (H,) of ALiBi; ``None`` with a rotation.
        cache: keys and values of earlier tokens, when generating.
    """

    turn: tuple[Tensor, Tensor] | None
    documents: Documents | None
    backend: str
    attend: Callable[..., Tensor] = attention
    slopes: Tensor | None = None
    cache: Cache | None = None


class RMSNorm(nn.Module):
    """``x / rms(x) * weight``; the statistics are float32 at least, as in transformers."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class SelfAttention(nn.Module):
    """Grouped-query attention with rotary positions, or with ALiBi."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        width, bias = config.hidden_size, config.attention_bias
        self.index, self.head_dim = index, config.head_dim
        self.q_proj = nn.Linear(width, config.query_width, bias=bias)
        self.k_proj = nn.Linear(width, config.key_width, bias=bias)
        self.v_proj = nn.Linear(width, config.key_width, bias=bias)
        self.o_proj = nn.Linear(config.query_width, width, bias=config.output_bias)
        if config.qk_norm:
            self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps)
            self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps)
        self.qk_norm = config.qk_norm

    def forward(self, x: Tensor, context: Context) -> Tensor:
        q = self.q_proj(x).unflatten(-1, (-1, self.head_dim))  # (B, T, H, d)
        k = self.k_proj(x).unflatten(-1, (-1, self.head_dim))  # (B, T, K, d)
        v = self.v_proj(x).unflatten(-1, (-1, self.head_dim))
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        if context.turn is not None:
            q, k = rotate(q, *context.turn), rotate(k, *context.turn)
        result: Tensor = self.o_proj(self._attend(q, k, v, context).flatten(2))
        return result  # (B, T, D)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
        cache = context.cache
        if cache is not None:
            reading = cache.size == 0  # the prompt; later calls bring one token each
            keys, values = cache.extend(self.index, k, v)
            if not reading:
                return attend_cache(q, keys, values, cache.starts, context.slopes)
        return context.attend(
            q, k, v, context.documents, backend=context.backend, slopes=context.slopes
        )


class FeedForward(nn.Module):
    """SwiGLU: ``down(silu(gate(x)) * up(x))``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return result


class Layer(nn.Module):
    """Attention and feed-forward, each on a normalised residual."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config, index)
        self.mlp = FeedForward(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), context)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class Backbone(nn.Module):
    """Embedding, layers and final norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Llama(nn.Module):
    """A causal language model.

    Attributes:
        config: its shape.
        backend: attention backend, a name in ``attention.BACKENDS``.
        attend: what computes attention; see :meth:`compile_blocks`.
        recompute: forget the activations of each layer and compute them again in backward.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.backend, self.recompute = config, "sdpa", False
        self.attend: Callable[..., Tensor] = attention
        self.model = Backbone(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.rope_factor = 1.0
        self.frequencies: Tensor
        self.slopes: Tensor | None
        self.set_positions()

    def set_positions(self) -> None:
        """Fill the buffers that follow from the configuration: they are in no checkpoint."""
        frequencies, self.rope_factor = wavelengths(self.config)
        self.register_buffer("frequencies", frequencies, persistent=False)
        alibi = self.config.position == "alibi"
        slopes = alibi_slopes(self.config.num_attention_heads) if alibi else None
        self.register_buffer("slopes", slopes, persistent=False)

    def compile_blocks(self, *, backend: str = "inductor") -> None:
        """Compile each layer; embedding, attention, head and loss stay as they are.

        Args:
            backend: of ``torch.compile``; ``eager`` traces and runs what it traced.

        Attention is left out because it looks at the lengths of the documents, which differ from
        batch to batch, and a layer that did would be compiled anew for each.
        """
        self.attend = cast(Any, torch.compiler.disable)(attention)
        for layer in self.model.layers:
            layer.compile(dynamic=False, backend=backend)

    @property
    def head(self) -> nn.Module:
        """The module whose weight projects to the vocabulary: the embedding where they are tied."""
        return self.model.embed_tokens if self.config.tie_word_embeddings else self.lm_head

    @property
    def head_weight(self) -> Tensor:
        """(V, D): the output projection."""
        # Adapted and grown modules say what they compute with; plain ones have a weight.
        head: Any = self.head
        weight: Tensor = head.full_weight() if hasattr(head, "full_weight") else head.weight
        return weight

    def hidden(
        self, tokens: Tensor, documents: Documents | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Final hidden states.

        Args:
            tokens: (B, T) int64 ids.
            documents: boundaries of packed documents; ``None``: every row is one document.
            cache: filled by the first call (T tokens) and extended by one token a call after it.

        Returns:
            (B, T, D), normalised.
        """
        x: Tensor = self.model.embed_tokens(tokens)
        turn = None
        if self.slopes is None:
            positions = self._positions(tokens, documents, cache)
            turn = angles(self.frequencies, self.rope_factor, positions, x.dtype)
        elif documents is None:  # a bias is made once a batch, and documents are what keeps it
            documents = documents_from_lengths([[tokens.shape[1]]] * len(tokens)).to(x.device)
        context = Context(turn, documents, self.backend, self.attend, self.slopes, cache)
        for layer in self.model.layers:
            if cache is not None:  # lengths grow token by token: nothing to compile for
                x = layer.forward(x, context)
            elif self.recompute and torch.is_grad_enabled():
                x = checkpoint(layer, x, context, use_reentrant=False, preserve_rng_state=False)
            else:
                x = layer(x, context)
        if cache is not None:
            cache.size += tokens.shape[1]
        result: Tensor = self.model.norm(x)
        return result

    def _positions(
        self, tokens: Tensor, documents: Documents | None, cache: Cache | None
    ) -> Tensor:
        if cache is not None and cache.size:
            return (cache.size - cache.starts)[:, None]
        if documents is not None:
            return documents.positions
        return torch.arange(tokens.shape[1], device=tokens.device)[None]

    def logits(
        self, tokens: Tensor, documents: Documents | None = None, cache: Cache | None = None
    ) -> Tensor:
        """(B, T, V) logits; see :meth:`hidden` for the arguments."""
        return F.linear(self.hidden(tokens, documents, cache), self.head_weight)

    def forward(
        self,
        tokens: Tensor,
        labels: Tensor,
        documents: Documents | None = None,
        *,
        z_loss: float = 0.0,
        weights: Tensor | None = None,
    ) -> Loss:
        """Summed loss of a batch; the entry that data-parallel wrappers see.

        Args:
            tokens: (B, T) int64 ids.
            labels: (B, T) int64: what follows each token, or ``loss.IGNORED``.
            documents: boundaries of packed documents.
            z_loss: see :func:`yanmo.train.loss.linear_cross_entropy`.
            weights: (B, T) factors of the losses; ``None``: one.
        """
        states = self.hidden(tokens, documents).flatten(0, 1)
        return linear_cross_entropy(
            states, self.head_weight, labels.flatten(), z_loss=z_loss,
            frozen_rows=getattr(self.head, "frozen_rows", 0),
            weights=None if weights is None else weights.flatten(),
        )  # fmt: skip


def build(config: ModelConfig, *, seed: int, dtype: torch.dtype = torch.float32) -> Llama:
    """A model with fresh weights; they depend on the configuration and the seed alone.

    Weights are normal with ``initializer_range``; the two projections that write to the residual
    stream are divided by sqrt(2 L), so that its variance does not grow with depth.

    Source: GPT-2 (Radford et al. 2019).
    """
    model = empty(config, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    small = config.initializer_range / math.sqrt(2 * config.num_hidden_layers)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("norm.weight"):
                value.fill_(1.0)
            elif name.endswith(".bias"):
                value.zero_()
            else:
                writes = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = small if writes else config.initializer_range
                fresh = torch.empty(value.shape).normal_(0.0, std, generator=generator)
                value.copy_(fresh)
    return model


def empty(config: ModelConfig, *, dtype: torch.dtype = torch.float32) -> Llama:
    """A model whose weights are not set: to be filled by :func:`build` or from a file."""
    with torch.device("meta"):
        model = Llama(config)
    model = model.to(dtype).to_empty(device="cpu")
    model.set_positions()
    return model


def parameter_count(config: ModelConfig) -> dict[str, int]:
    """Parameters by role: ``embedding``, ``head`` (0 if tied), ``layers``, ``total``."""
    with torch.device("meta"):
        model = Llama(config)
    embedding = model.model.embed_tokens.weight.numel()
    total = sum(p.numel() for p in model.parameters())
    head = 0 if config.tie_word_embeddings else embedding
    return {
        "embedding": embedding,
        "head": head,
        "layers": total - embedding - head,
        "total": total,
    }
