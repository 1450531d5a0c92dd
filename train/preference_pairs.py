"""Losses over pairs of answers: reward models and direct preference optimisation are one formula.

Both give each answer a score, and want the better of two to have the higher one. A reward model's
score is its head's number; DPO's is ``beta * (log pi - log pi_ref)`` of the whole answer.

Sources: InstructGPT (Ouyang et al. 2022) equation 1; DPO (Rafailov et al. 2023) equation 7; IPO
(Azar et al. 2024) equation 17; conservative DPO: Mitchell 2023; margin: Llama 2 (Touvron et al.
2023) equation 2; centring: Eisenstein et al. 2023.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]


@dataclass(frozen=True)
class PairLoss:
    """What a pair costs.

    Attributes:
        kind: ``sigmoid`` or ``ipo``.
        margin: by how much the better score has to lead (sigmoid).
        centring: weight of the squared sum of the two scores, which keeps them around 0.
        label_smoothing: share of pairs that are taken to be the wrong way round (sigmoid).
        beta: what DPO's scores are multiplied by; ipo needs them without.
    """

    kind: str = "sigmoid"
    margin: float = 0.0
    centring: float = 0.0
    label_smoothing: float = 0.0
    beta: float = 1.0

    def __call__(self, better: Tensor, worse: Tensor) -> Tensor:
        """(P,) losses.

        Args:
            better, worse: (P,) scores.
        """
        lead = better - worse
        if self.kind == "ipo":
            loss = (lead / self.beta - 1 / (2 * self.beta)).square()
        else:
            smooth = self.label_smoothing
            loss = -(1 - smooth) * F.logsigmoid(lead - self.margin)
            if smooth:
                loss = loss - smooth * F.logsigmoid(-lead - self.margin)
        if self.centring:
            loss = loss + self.centring * (better + worse).square()
        return loss


def ranked_pairs(ranks: Sequence[int]) -> tuple[Pair, ...]:
    """(better, worse) positions of all pairs that the ranks decide; 1 is the best rank."""
    return tuple(
        (i, j) for i, one in enumerate(ranks) for j, other in enumerate(ranks) if one < other
    )


def pair_weight(answers: int) -> float:
    """Weight of each pair of a ranking: 1 / C(K, 2), so that a prompt counts once however many
    answers were ranked, and each answer is read once. One answer alone has no pair, and none to
    weigh."""
    return 2.0 / max(answers * (answers - 1), 1)
