"""Responses to prompts, and what models say about their tokens.

Shapes: ``N`` responses, ``n`` of them in a micro-batch, ``R`` tokens of the longest response,
``T`` tokens of the longest prompt with its response, ``D`` width, ``V`` vocabulary.

Drawing goes through the key-value cache, with prompts padded on the left. All log-probabilities
that losses are made of come from the training forward, which pads on the right: a causal model
never sees what stands behind a token. Both temper the logits alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from yanmo.packing import order_key

from .generate import Sampling, generate
from .loss import rows_at_once
from .model import Llama

Prompts = Sequence[Sequence[int]]
MICRO_TOKENS: Final = 8192
"""Tokens of one forward pass where the recipe names no number of responses."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Prompts with what was drawn for them, on the host.

    Attributes:
        prompts: ids of the N prompts.
        tokens: (N, R) int64 ids of the responses, the closing id included; 0 behind the end.
        mask: (N, R) bool: the real tokens.
        stopped: (N,) bool: whether the response ended by itself.
        sampled: (N, R) float: log-probabilities as the sampler saw them, at its temperature.
    """

    prompts: tuple[tuple[int, ...], ...]
    tokens: Tensor
    mask: Tensor
    stopped: Tensor
    sampled: Tensor

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> Tensor:
        """(N,) int64: real tokens of each response."""
        return self.mask.sum(1)

    def ids(self, row: int, *, end: bool = True) -> list[int]:
        """The ids of a response, with or without the id that closed it."""
        count = int(self.lengths[row]) - (0 if end or not self.stopped[row] else 1)
        return [int(i) for i in self.tokens[row, :count]]


@dataclass(frozen=True, eq=False)
class Rows:
    """Some responses behind their prompts, for one training forward.

    Attributes:
        tokens: (n, T) int64, padded on the right.
        places: (n, R) int64: where the state lies that predicts each response token, which is the
            position before it; 0 outside the mask.
        labels: (n, R) int64: the response tokens.
        mask: (n, R) bool.
        ends: (n,) int64: position of the last real token.
    """

    tokens: Tensor
    places: Tensor
    labels: Tensor
    mask: Tensor
    ends: Tensor


def draw_numbers(key: Sequence[object], rows: Sequence[int], count: int) -> Tensor:
    """(len(rows), count) float64 uniform numbers, a pure function of key and row.

    A response therefore depends neither on the process that draws it nor on what was drawn before:
    the position of a run is all the random state it has.
    """
    drawn = [np.random.default_rng(order_key(*key, row)).random(count) for row in rows]
    return torch.from_numpy(np.stack(drawn))


def respond(
    model: Llama,
    prompts: Prompts,
    sampling: Sampling,
    *,
    stop: Sequence[int],
    draws: Tensor,
    at_once: int,
) -> Responses:
    """Draw a response to each prompt.

    Args:
        model: the policy, on its device.
        prompts: ids; a prompt that is to have several responses stands there several times.
        sampling: temperature and length; the whole distribution is drawn from.
        stop: ids that close a response.
        draws: (N, max_tokens), see :func:`draw_numbers`.
        at_once: prompts in one batch of the sampler.
    """
    samples = []
    for at in range(0, len(prompts), at_once):
        cut = slice(at, at + at_once)
        samples += generate(model, prompts[cut], sampling, stop=stop, draws=draws[cut])
    longest = max(len(sample.tokens) for sample in samples)
    tokens = torch.zeros(len(samples), longest, dtype=torch.int64)
    logs = torch.zeros(len(samples), longest, dtype=torch.float64)
    for row, sample in enumerate(samples):
        tokens[row, : len(sample.tokens)] = torch.tensor(sample.tokens)
        logs[row, : len(sample.tokens)] = torch.tensor(sample.log_probabilities).double()
    lengths = torch.tensor([len(sample.tokens) for sample in samples])
    mask = torch.arange(longest)[None] < lengths[:, None]
    stopped = torch.tensor([sample.stopped for sample in samples])
    return Responses(tuple(tuple(p) for p in prompts), tokens, mask, stopped, logs)


def joined(parts: Sequence[Responses]) -> Responses:
    """The responses of several processes, in their order."""
    width = max(part.tokens.shape[1] for part in parts)

    def wide(values: Tensor) -> Tensor:
        return nn.functional.pad(values, (0, width - values.shape[1]))

    return Responses(
        tuple(prompt for part in parts for prompt in part.prompts),
        torch.cat([wide(part.tokens) for part in parts]),
        torch.cat([wide(part.mask) for part in parts]),
        torch.cat([part.stopped for part in parts]),
        torch.cat([wide(part.sampled) for part in parts]),
    )


def chosen(responses: Responses, rows: Sequence[int]) -> Responses:
    """Some of the responses, cut to the longest of them."""
    index = torch.tensor(list(rows), dtype=torch.int64)
    width = int(responses.lengths[index].max())
    return Responses(
        tuple(responses.prompts[row] for row in rows),
        responses.tokens[index, :width],
        responses.mask[index, :width],
        responses.stopped[index],
        responses.sampled[index, :width],
    )


def rows_of(responses: Responses, device: torch.device) -> Rows:
    """Lay prompts and responses end to end for a training forward."""
    starts = torch.tensor([len(prompt) for prompt in responses.prompts])
    lengths = responses.lengths
    tokens = torch.zeros(len(responses), int((starts + lengths).max()), dtype=torch.int64)
    for row, prompt in enumerate(responses.prompts):
        count = int(lengths[row])
        tokens[row, : len(prompt)] = torch.tensor(prompt)
        tokens[row, len(prompt) : len(prompt) + count] = responses.tokens[row, :count]
    places = torch.arange(responses.tokens.shape[1])[None] + starts[:, None] - 1
    fields = (
        tokens, places.masked_fill(~responses.mask, 0), responses.tokens, responses.mask,
        starts + lengths - 1,
    )  # fmt: skip
    return Rows(*(field.to(device) for field in fields))


class Policy(nn.Module):
    """A causal model as a policy: its forward gives the log-probabilities of given responses.

    Data-parallel wrappers see this module, so that gradients are exchanged.

    Attributes:
        model: the model.
        temperature: what logits are divided by, in sampling and here alike.
    """

    def __init__(self, model: Llama, temperature: float) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(
        self, tokens: Tensor, places: Tensor, labels: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy at each response token; see :class:`Rows` for the arguments.

        Returns:
            (n, R) each, float32 at least, 0 outside the mask.
        """
        states = self.model.hidden(tokens)
        index = torch.arange(len(tokens), device=tokens.device)[:, None]
        kept = states[index, places][mask]
        logs, entropy = log_probabilities(
            kept, self.model.head_weight, labels[mask], temperature=self.temperature
        )
        empty = logs.new_zeros(mask.shape)
        return empty.masked_scatter(mask, logs), empty.masked_scatter(mask, entropy)


def log_probabilities(
    states: Tensor, weight: Tensor, labels: Tensor, *, temperature: float, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies without ever keeping N x R x V logits.

    Args:
        states: (M, D) of the tokens that count.
        weight: (V, D) output projection.
        labels: (M,) ids.
        temperature: logits are divided by it.
        chunk: tokens projected at once; ``None``: as many as fit ``loss.CHUNK_BYTES``. If there is
            more than one chunk, its logits are computed again in backward.

    Returns:
        (M,) each, nats.
    """
    chunk = chunk or rows_at_once(weight, 4)
    if len(labels) <= chunk:
        return _project(states, weight, labels, temperature)
    parts = [
        checkpoint(_project, states[at : at + chunk], weight, labels[at : at + chunk], temperature,
                   use_reentrant=False, preserve_rng_state=False)
        for at in range(0, len(labels), chunk)
    ]  # fmt: skip
    logs, entropies = zip(*parts, strict=True)
    return torch.cat(logs), torch.cat(entropies)


def _project(
    states: Tensor, weight: Tensor, labels: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    logits = states @ weight.T
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    with torch.autocast(states.device.type, enabled=False):
        logs = wide.log_softmax(dim=1)
        entropy = -(logs.exp() * logs).sum(1)
        return logs.gather(1, labels[:, None]).squeeze(1), entropy


def before_tokens(scores: Tensor, rows: Rows) -> Tensor:
    """(n, R): values *before* each response token was drawn, 0 outside the mask.

    Args:
        scores: (n, T) of a scorer, after each token.
        rows: the rows it read.
    """
    return scores.gather(1, rows.places).masked_fill(~rows.mask, 0.0)
