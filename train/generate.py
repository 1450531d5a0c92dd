"""Sampling from a model with a key-value cache.

Shapes: ``B`` prompts, ``T`` tokens of the longest prompt, ``V`` vocabulary.

Prompts of different lengths are padded on the left; the padding is a document of its own, so a
prompt gives the same continuation in any company (up to rounding, and for greedy decoding).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yanmo.errors import UsageError

from .attention import documents_from_lengths
from .model import Cache, Llama


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        max_tokens: new tokens at most.
        temperature: 0 takes the likeliest token; 1 samples from the model's distribution.
        top_k: sample among this many likeliest tokens; ``None``: all.
        top_p: sample among the likeliest tokens that together have this probability.
        seed: of the draws.
    """

    max_tokens: int = 100
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_tokens < 1:
            raise UsageError(
                "no such way to sample", value=(self.temperature, self.top_p, self.max_tokens),
                fix="temperature >= 0, 0 < top_p <= 1, max_tokens >= 1.",
            )  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """What was generated for one prompt.

    Attributes:
        tokens: new ids, with the stop id if one was drawn.
        log_probabilities: of each, under the distribution it was drawn from *before* top_k and
            top_p, at the temperature (at temperature 0: the model's own).
        stopped: whether a stop id was drawn, rather than the length running out.
    """

    tokens: list[int]
    log_probabilities: list[float]
    stopped: bool


@torch.no_grad()
def generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    stop: Sequence[int] = (),
    draws: Tensor | None = None,
) -> list[Sample]:
    """Continue prompts.

    Args:
        model: the model, on its device.
        prompts: token ids, each at least one (an opening id, if nothing else).
        sampling: how to choose.
        stop: ids that end a continuation.
        draws: (B, max_tokens) numbers in [0, 1), one a token: with them a prompt's continuation
            depends on its own row alone, not on its company; ``None``: the sampling's seed.

    Raises:
        UsageError: a prompt is empty.
    """
    if any(len(prompt) == 0 for prompt in prompts):
        raise UsageError("a prompt has no token", fix="Give at least the opening token.")
    device = model.head_weight.device
    states, cache = _read(model, prompts, sampling.max_tokens)
    chooser = _Chooser(sampling, device)
    columns: list[tuple[Tensor, Tensor]] = []
    open_rows = torch.ones(len(prompts), dtype=torch.bool, device=device)
    ends = torch.tensor(list(stop), dtype=torch.int64, device=device)
    for place in range(sampling.max_tokens):
        draw = None if draws is None else draws[:, place].to(device)
        chosen, scores = chooser.choose(states @ model.head_weight.T, draw)
        columns.append((chosen, scores))
        open_rows &= ~torch.isin(chosen, ends)
        if not open_rows.any() or len(columns) == sampling.max_tokens:
            break
        states = model.hidden(chosen[:, None], None, cache)[:, -1]
    return _collect(columns, set(stop))


def _read(model: Llama, prompts: Sequence[Sequence[int]], room: int) -> tuple[Tensor, Cache]:
    """The last states (B, D) of the prompts, and their keys and values with room for more."""
    device = model.head_weight.device
    longest = max(len(prompt) for prompt in prompts)
    pads = [longest - len(prompt) for prompt in prompts]
    filled = [[0] * pad + list(prompt) for pad, prompt in zip(pads, prompts, strict=True)]
    lengths = [[pad, longest - pad] if pad else [longest] for pad in pads]
    cache = Cache(torch.tensor(pads, device=device), longest + room)
    documents = documents_from_lengths(lengths).to(device)
    return model.hidden(torch.tensor(filled, device=device), documents, cache)[:, -1], cache


def _collect(columns: Sequence[tuple[Tensor, Tensor]], stop: set[int]) -> list[Sample]:
    tokens = torch.stack([c for c, _ in columns], dim=1).tolist()
    scores = torch.stack([s for _, s in columns], dim=1).tolist()
    samples = []
    for row, logs in zip(tokens, scores, strict=True):
        end = next((i + 1 for i, token in enumerate(row) if token in stop), len(row))
        samples.append(Sample(row[:end], logs[:end], row[end - 1] in stop))
    return samples


class _Chooser:
    """Draws from logits; holds the generator."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self.sampling = sampling
        self.generator = torch.Generator(device).manual_seed(sampling.seed)

    def choose(self, logits: Tensor, draw: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pick a token per row.

        Args:
            logits: (B, V).
            draw: (B,) in [0, 1): where in the cumulated probabilities the token lies.

        Returns:
            (B,) ids and their log-probabilities.
        """
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.sampling.temperature == 0:
            chosen = wide.argmax(dim=1)
            logs = wide.log_softmax(dim=1)
        else:
            logs = (wide / self.sampling.temperature).log_softmax(dim=1)
            kept = nucleus(logs, self.sampling.top_k, self.sampling.top_p)
            if draw is not None:
                chosen = _at(kept, draw)
            else:
                chosen = torch.multinomial(kept.exp(), 1, generator=self.generator).squeeze(1)
        return chosen, logs.gather(1, chosen[:, None]).squeeze(1)


def _at(logs: Tensor, draw: Tensor) -> Tensor:
    """(B,): the token at a share ``draw`` of the cumulated probabilities.

    Added up in float64: a float32 sum over 150 000 tokens is off by more than the rarest of them.
    """
    sums = logs.double().exp().cumsum(dim=1)
    places = torch.searchsorted(sums, draw.double()[:, None] * sums[:, -1:], right=True)
    last = (logs > float("-inf")).long().cumsum(dim=1).argmax(dim=1)  # rounding ends at a real one
    return torch.minimum(places.squeeze(1), last)


def nucleus(logs: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """Set the log-probabilities of unlikely tokens to minus infinity.

    Args:
        logs: (B, V) log-probabilities.
        top_k: tokens that stay at most.
        top_p: the smallest set of likeliest tokens with this probability stays.

    Source: nucleus sampling (Holtzman et al. 2020).
    """
    if top_k is None and top_p == 1:
        return logs
    ordered, places = logs.sort(dim=1, descending=True, stable=True)
    before = ordered.exp().cumsum(dim=1) - ordered.exp()
    out = before >= top_p
    if top_k is not None:
        out[:, top_k:] = True
    out[:, 0] = False
    return logs.masked_fill(out.scatter(1, places, out), float("-inf"))
