"""New rows of a grown vocabulary as parameters of their own.

While only the new rows of embedding and output projection are trained, the old ones are no part of
any trainable tensor: weight decay, moments and rounding cannot touch them, and they stay the same
bits by construction.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yanmo.errors import RecipeError

from .model import Llama


class GrownRows(nn.Module):
    """An embedding or output projection in two parts.

    Attributes:
        old_rows: (n, D) frozen.
        new_rows: (V - n, D) trainable.
    """

    def __init__(self, weight: Tensor, old: int) -> None:
        super().__init__()
        self.old_rows = nn.Parameter(weight[:old].detach().clone(), requires_grad=False)
        self.new_rows = nn.Parameter(weight[old:].detach().clone())

    @property
    def frozen_rows(self) -> int:
        """How many rows of :meth:`full_weight` want no gradient."""
        return self.old_rows.shape[0]

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up rows, without joining the parts."""
        old = self.frozen_rows
        new = tokens >= old
        known = F.embedding(tokens.clamp(max=old - 1), self.old_rows)
        fresh = F.embedding((tokens - old).clamp(min=0), self.new_rows)
        return torch.where(new[..., None], fresh, known)

    def full_weight(self) -> Tensor:
        """(V, D): both parts."""
        return torch.cat((self.old_rows, self.new_rows))


def only_new_rows(model: Llama, old: int) -> None:
    """Freeze all of a model but the rows from ``old`` on of embedding and output projection.

    Raises:
        RecipeError: there is no such row.
    """
    if not 0 < old < model.config.vocab_size:
        raise RecipeError(
            f"the model has {model.config.vocab_size} rows; none is new", value=old,
            fix="trainable.new_rows_from is the size of the base vocabulary.",
        )  # fmt: skip
    for value in model.parameters():
        value.requires_grad_(False)
    embedding = model.model.embed_tokens
    model.model.embed_tokens = cast(nn.Embedding, GrownRows(embedding.weight, old))
    if not model.config.tie_word_embeddings:
        model.lm_head = cast(nn.Linear, GrownRows(model.lm_head.weight, old))


def joined(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put the two parts of grown matrices together under the usual name.

    Args:
        model: may hold :class:`GrownRows`.
        weights: its parameters by name.
    """
    kept = dict(weights)
    for name, module in model.named_modules():
        if isinstance(module, GrownRows):
            parts = [kept.pop(f"{name}.{part}") for part in ("old_rows", "new_rows")]
            kept[f"{name}.weight"] = torch.cat(parts)
    return kept
