"""Answers laid out for a forward pass, and which of them go together.

Shapes: ``B`` rows, ``T`` tokens; ``n`` answers, ``N`` answer tokens and ``P`` pairs of a batch.

Every answer stands once, behind its prompt, however many pairs it is in. On a CPU all answers of a
batch lie in one row as documents that do not see each other, so nothing is padded; on a GPU each
has a row of its own, padded on the right, where the fast causal kernels need no mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from yanmo.packing import order, order_key

from .attention import Documents, documents_from_lengths
from .preference_data import Ranked
from .preference_pairs import pair_weight

LAYOUTS: Final = ("packed", "padded")


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Whole rankings, ready for a model.

    Attributes:
        tokens: (B, T) int64 ids, prompt and answer.
        documents: boundaries; ``None`` where each row is one answer.
        ends: (n,) flat position of the last token of each answer, counted, never looked up by id.
        predictors: (N,) flat position of the token before each answer token.
        labels: (N,) ids of the answer tokens.
        owners: (N,) number of the answer that a token belongs to.
        answer_tokens: (n,) tokens of each answer without its prompt.
        offsets: (n,) float64, subtracted from an answer's log-probability (DPO's reference).
        better, worse: (P,) numbers of answers.
        weights: (P,) float64.
        answers: (n,) (ranking, answer) of each, on the host.
    """

    tokens: Tensor
    documents: Documents | None
    ends: Tensor
    predictors: Tensor
    labels: Tensor
    owners: Tensor
    answer_tokens: Tensor
    offsets: Tensor
    better: Tensor
    worse: Tensor
    weights: Tensor
    answers: tuple[tuple[int, int], ...]

    def to(self, device: torch.device) -> "PairBatch":
        """The same on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in moved.items():
            if isinstance(value, Tensor | Documents):
                moved[name] = value.to(device)
        return PairBatch(**moved)


def layout_on(device: torch.device) -> str:
    """How answers are laid out on a device."""
    return "packed" if device.type == "cpu" else "padded"


Offsets = Sequence[Sequence[float]]


def lay_out(
    rankings: Sequence[Ranked],
    chosen: Sequence[int],
    *,
    layout: str = "packed",
    offsets: Offsets | None = None,
    counts: bool = True,
) -> PairBatch:
    """Make a batch of whole rankings.

    Args:
        rankings: all of them.
        chosen: numbers of those in the batch.
        layout: a name in ``LAYOUTS``.
        offsets: per ranking and answer; ``None``: zeros.
        counts: whether the pairs count in the loss; a process without a share computes one that
            does not, because every process takes part in every step.
    """
    answers = tuple((number, k) for number in chosen for k in range(len(rankings[number].answers)))
    texts = [[*rankings[i].prompt, *rankings[i].answers[k]] for i, k in answers]
    sizes = [len(rankings[i].answers[k]) for i, k in answers]
    tokens, documents, ends = _stack(texts, layout)
    flat = torch.cat([torch.arange(end - size, end)
                      for end, size in zip(ends, sizes, strict=True)])  # fmt: skip
    pairs = _pairs(rankings, chosen)
    return PairBatch(
        tokens=tokens, documents=documents,
        ends=torch.tensor(ends),
        predictors=flat, labels=tokens.flatten()[flat + 1],
        owners=torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)),
        answer_tokens=torch.tensor(sizes),
        offsets=torch.tensor([0.0 if offsets is None else offsets[i][k] for i, k in answers],
                             dtype=torch.float64),
        better=torch.tensor([p[0] for p in pairs], dtype=torch.int64),
        worse=torch.tensor([p[1] for p in pairs], dtype=torch.int64),
        weights=torch.tensor([p[2] if counts else 0.0 for p in pairs], dtype=torch.float64),
        answers=answers,
    )  # fmt: skip


def _stack(texts: Sequence[list[int]], layout: str) -> tuple[Tensor, Documents | None, list[int]]:
    """(B, T) ids, boundaries, and the flat position of the last token of each text."""
    lengths = [len(text) for text in texts]
    if layout == "packed":
        tokens = torch.tensor([[token for text in texts for token in text]])
        return tokens, documents_from_lengths([lengths]), [n - 1 for n in accumulate(lengths)]
    longest = max(lengths)
    tokens = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    return tokens, None, [place * longest + n - 1 for place, n in enumerate(lengths)]


def _pairs(rankings: Sequence[Ranked], chosen: Sequence[int]) -> list[tuple[int, int, float]]:
    """(better, worse, weight) with the batch's own numbers of answers."""
    found, first = [], 0
    for number in chosen:
        ranked = rankings[number]
        weight = pair_weight(len(ranked.answers))
        found += [(first + i, first + j, weight) for i, j in ranked.pairs]
        first += len(ranked.answers)
    return found


def micro_batches(
    rankings: Sequence[Ranked], chosen: Sequence[int], tokens: int
) -> list[list[int]]:
    """Cut a batch into parts of at most so many tokens (or one ranking), of like lengths.

    Args:
        rankings: all of them.
        chosen: the batch.
        tokens: of a part, prompts and answers.
    """
    parts: list[list[int]] = []
    room = 0
    for number in sorted(chosen, key=lambda i: (rankings[i].tokens, i)):
        size = rankings[number].tokens
        if not parts or size > room:
            parts.append([])
            room = tokens
        parts[-1].append(number)
        room -= size
    return parts


@dataclass(frozen=True)
class Order:
    """Which rankings a step reads: every epoch in an order of its own, the last step cut short.

    Attributes:
        numbers: rankings to learn from.
        batch: rankings in a step.
        total: rankings read in all, over the epochs.
        seed: of the orders.
    """

    numbers: tuple[int, ...]
    batch: int
    total: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return -(-self.total // self.batch)

    def step(self, step: int) -> list[int]:
        """Numbers of the rankings of a step."""
        found = []
        for place in range(step * self.batch, min((step + 1) * self.batch, self.total)):
            epoch, at = divmod(place, len(self.numbers))
            found.append(self.numbers[self._epoch(epoch)[at]])
        return found

    def _epoch(self, epoch: int) -> list[int]:
        found: list[int] = order(
            len(self.numbers), order_key("preferences", self.seed, epoch)
        ).tolist()
        return found
