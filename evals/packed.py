"""The ``packed`` engine: our own model on flat rows of tokens, with shared prefixes.

Sequences of any lengths are laid end to end, so linear layers see no padding; attention runs a
sequence at a time over the prefix's keys and its own. The last layer and the output projection are
computed for the scored positions only.

Shapes: ``S`` tokens of all sequences, ``P`` of the prefix, ``T`` of one sequence, ``N`` scored
positions, ``D`` width, ``H`` query heads, ``K`` key-value heads, ``G = H / K``, ``d`` head width,
``V`` vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json
from yanmo.train.folder import load_model
from yanmo.train.generate import Sampling, generate
from yanmo.train.model import Layer, Llama, SelfAttention
from yanmo.train.rope import angles, rotate
from yanmo.vocab.load import Tokenizer

from .score import Floats, Ids, LoadOptions, ModelInfo, context_limit, weights_sha256

# Rows of logits computed at once: 512 rows of a vocabulary of 150 000 are 300 MB.
_LOGIT_ROWS = 512


class Keys:
    """Keys and values of a prefix, with room behind them for one sequence at a time.

    Attributes:
        size: tokens ``P`` of the prefix.
        layers: for each layer keys and values, (K, capacity, d); from ``P`` on it is scratch.
    """

    def __init__(self, size: int, layers: list[tuple[Tensor, Tensor]]) -> None:
        self.size, self.layers = size, layers

    def reserve(self, tokens: int) -> None:
        """Have room for a sequence of that many tokens."""
        if self.layers[0][0].shape[1] < self.size + tokens:
            self.layers = [
                (F.pad(k[:, : self.size], (0, 0, 0, tokens)),
                 F.pad(v[:, : self.size], (0, 0, 0, tokens)))
                for k, v in self.layers
            ]  # fmt: skip

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put one sequence (T, K, d) behind the prefix: views (K, P + T, d) of both."""
        end = self.size + len(k)
        store_k, store_v = self.layers[layer]
        store_k[:, self.size : end] = k.transpose(0, 1)
        store_v[:, self.size : end] = v.transpose(0, 1)
        return store_k[:, :end], store_v[:, :end]


@dataclass(frozen=True, eq=False)
class Layout:
    """One batch.

    Attributes:
        tokens: (S,) ids.
        lengths: tokens of each sequence.
        rows: for each sequence, the positions in it whose next token is wanted.
    """

    tokens: Tensor
    lengths: tuple[int, ...]
    rows: tuple[Tensor, ...]

    def scored(self) -> Tensor:
        """(N,) the wanted rows, counted over the batch."""
        starts = np.cumsum([0, *self.lengths])
        return torch.cat([rows + int(at) for at, rows in zip(starts, self.rows, strict=False)])


class PackedScorer:
    """Scores Llama and Qwen checkpoints; see ``score.Scorer`` for the methods."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, options: LoadOptions) -> None:
        self.tokenizer = tokenizer
        self.device = torch.device(options.device)
        digest = weights_sha256(folder)
        self.model: Llama = load_model(folder, dtype=getattr(torch, options.dtype))
        if self.model.config.position != "rope":
            raise DataError("packed scoring rotates, and this model has other positions",
                            where=folder, value=self.model.config.position,
                            fix="Score a model with model.position=rope.")  # fmt: skip
        self.model.to(self.device).eval()
        config = read_json(folder / "config.json")
        self.info = ModelInfo(
            name=folder.resolve().name,
            path=str(folder),
            architecture=str((config.get("architectures") or ["?"])[0]),
            parameters=sum(p.numel() for p in self.model.parameters()),
            sha256=digest,
            tokenizer_sha256=tokenizer.sha256,
            dtype=options.dtype,
            device=self.device.type,
            engine="packed",
            max_tokens=context_limit(config, options.max_tokens),
        )

    @torch.inference_mode()
    def prefill(self, ids: Ids) -> object:
        """See ``score.Scorer``."""
        keys = self._no_prefix()
        self._run([ids], [range(0)], keys)
        return Keys(len(ids), keys.layers)

    @torch.inference_mode()
    def next_logprobs(self, suffixes: Sequence[Ids], prefix: object | None = None) -> Floats:
        """See ``score.Scorer``."""
        last = [range(len(suffix) - 1, len(suffix)) for suffix in suffixes]
        logits = F.linear(self._run(suffixes, last, prefix), self.model.head_weight)
        return np.asarray(logits.float().log_softmax(-1).cpu().numpy())

    @torch.inference_mode()
    def token_logprobs(
        self, sequences: Sequence[Ids], starts: Sequence[int], prefix: object | None = None
    ) -> list[Floats]:
        """See ``score.Scorer``."""
        before = [range(a - 1, len(s) - 1) for s, a in zip(sequences, starts, strict=True)]
        states = self._run(sequences, before, prefix)
        targets = [token for s, a in zip(sequences, starts, strict=True) for token in s[a:]]
        wanted = torch.tensor(targets, dtype=torch.int64, device=self.device)[:, None]
        flat = np.empty(len(targets), dtype=np.float32)
        for at in range(0, len(targets), _LOGIT_ROWS):
            part = slice(at, at + _LOGIT_ROWS)
            logits = F.linear(states[part], self.model.head_weight).float()
            flat[part] = logits.log_softmax(-1).gather(1, wanted[part])[:, 0].cpu().numpy()
        return np.split(flat, np.cumsum([len(rows) for rows in before])[:-1])

    def generate(self, prompts: Sequence[Ids], max_tokens: int, stop: Ids) -> list[list[int]]:
        """See ``score.Scorer``."""
        greedy = Sampling(max_tokens=max_tokens, temperature=0.0)
        found = generate(self.model, prompts, greedy, stop=stop)
        return [sample.tokens[:-1] if sample.stopped else sample.tokens for sample in found]

    def _no_prefix(self) -> Keys:
        config, weight = self.model.config, self.model.head_weight
        shape = (config.num_key_value_heads, 0, config.head_dim)
        pairs = [
            (weight.new_empty(shape), weight.new_empty(shape)) for _ in self.model.model.layers
        ]
        return Keys(0, pairs)

    def _run(
        self, sequences: Sequence[Ids], rows: Sequence[range], prefix: object | None
    ) -> Tensor:
        """Final hidden states (N, D) of the wanted rows of each sequence."""
        if prefix is not None and not isinstance(prefix, Keys):
            raise UsageError("the prefix is of another engine", value=type(prefix).__name__)
        keys = prefix or self._no_prefix()
        keys.reserve(max(len(sequence) for sequence in sequences))
        layout = Layout(
            torch.tensor([token for s in sequences for token in s], device=self.device),
            tuple(len(sequence) for sequence in sequences),
            tuple(torch.arange(r.start, r.stop, device=self.device) for r in rows),
        )
        return self._hidden(layout, keys)

    def _hidden(self, layout: Layout, keys: Keys) -> Tensor:
        model = self.model
        layers = [cast(Layer, layer) for layer in model.model.layers]
        x: Tensor = model.model.embed_tokens(layout.tokens)
        positions = torch.cat([torch.arange(n, device=self.device) for n in layout.lengths])
        turn = angles(model.frequencies, model.rope_factor, positions[None] + keys.size, x.dtype)
        masks = {
            n: _mask(torch.arange(n, device=self.device), keys.size, x) for n in set(layout.lengths)
        }
        for index, layer in enumerate(layers):
            q, k, v = _project(layer.self_attn, layer.input_layernorm(x), turn)
            last = index == len(layers) - 1
            parts, at = [], 0
            for length, rows in zip(layout.lengths, layout.rows, strict=True):
                own = slice(at, at + length)
                at += length
                stored = keys.extend(index, k[own], v[own])
                if not last or 2 * len(rows) > length:
                    mixed = _attend(q[own], *stored, masks[length])
                    parts.append(mixed[rows] if last else mixed)
                elif len(rows):
                    parts.append(_attend(q[own][rows], *stored, _mask(rows, keys.size, x, length)))
            if last:
                x = x[layout.scored()]
            if parts:
                x = x + layer.self_attn.o_proj(torch.cat(parts))
                x = x + layer.mlp(layer.post_attention_layernorm(x))
        result: Tensor = model.model.norm(x)
        return result


def _project(
    part: SelfAttention, h: Tensor, turn: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries (S, H, d), rotated keys and values (S, K, d)."""
    q: Tensor = part.q_proj(h).unflatten(-1, (-1, part.head_dim))
    k: Tensor = part.k_proj(h).unflatten(-1, (-1, part.head_dim))
    v: Tensor = part.v_proj(h).unflatten(-1, (-1, part.head_dim))
    if part.qk_norm:
        q, k = part.q_norm(q), part.k_norm(k)
    return rotate(q[None], *turn)[0], rotate(k[None], *turn)[0], v


def _mask(rows: Tensor, before: int, like: Tensor, length: int | None = None) -> Tensor | None:
    """What is added to the scores of some rows of a sequence: 0, or -inf where a key is later.

    Args:
        rows: (R,) positions in the sequence.
        before: tokens ``P`` of the prefix.
        like: gives dtype and device.
        length: tokens ``T`` of the sequence; without it ``rows`` are all of them.

    Returns:
        (R, P + T); ``None`` for the plain causal case, which needs no mask (and for a long text
        must not have one: 32 768 tokens squared are 4 GB).
    """
    if length is None and before == 0:
        return None
    place = torch.arange(before + (length or len(rows)), device=like.device)
    later = place[None, :] > (rows + before)[:, None]
    return torch.zeros(later.shape, dtype=like.dtype, device=like.device).masked_fill_(
        later, float("-inf")
    )


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of one sequence's queries (R, H, d) to keys (K, P + T, d): (R, H d)."""
    tokens, heads, width = q.shape
    groups = heads // len(k)
    if mask is None:
        plain = F.scaled_dot_product_attention(
            q.transpose(0, 1)[None], k[None], v[None], is_causal=True, enable_gqa=groups > 1
        )
        return plain[0].transpose(0, 1).reshape(tokens, heads * width)
    # The G query heads of one key head are stacked as rows, so that keys are not repeated.
    rows = q.view(tokens, -1, groups, width).permute(1, 2, 0, 3)
    mixed = F.scaled_dot_product_attention(
        rows.reshape(1, -1, groups * tokens, width), k[None], v[None],
        attn_mask=mask.repeat(groups, 1),
    )  # fmt: skip
    return mixed.view(-1, groups, tokens, width).permute(2, 0, 1, 3).reshape(tokens, heads * width)
