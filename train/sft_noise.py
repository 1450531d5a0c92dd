"""NEFTune: uniform noise on the embeddings, in training alone.

The noise of a token is ``U(-1, 1) * alpha / sqrt(L D)``, ``L`` the length of its dialogue and ``D``
the width. Each row draws from a generator of its own, seeded by the run and the row's number, so
that the noise is the same for any number of processes and micro-batches, and after a resumption.

Source: NEFTune (Jain et al. 2023). Peers take for ``L`` the padded length of the batch.
"""

from typing import Any

import torch
from torch import Tensor

from yanmo.packing import order_key

from .model import Llama
from .sft_feed import Rows


class Neftune:
    """Adds the noise to a model's embeddings by two hooks; :meth:`attach` it once.

    Args:
        alpha: size of the noise.
        seed: of the run.
        room: tokens of the longest row.
    """

    def __init__(self, alpha: float, *, seed: int, room: int) -> None:
        self.alpha, self.seed, self.room = alpha, seed, room
        self._rows: Rows | None = None

    def attach(self, model: Llama) -> None:
        """From now on the model is trained with noise; evaluation and generation have none."""
        model.register_forward_pre_hook(self._remember, with_kwargs=True)
        model.model.embed_tokens.register_forward_hook(self._add)

    def _remember(self, model: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        rows = next((a for a in (*arguments, *named.values()) if isinstance(a, Rows)), None)
        self._rows = rows if model.training else None

    def _add(self, module: Any, arguments: tuple[Any, ...], embedded: Tensor) -> Tensor | None:
        rows, self._rows = self._rows, None
        if rows is None:
            return None
        width = embedded.shape[-1]
        tokens = embedded.shape[1]
        noise = torch.stack([self._row(n, width, embedded.device)[:tokens] for n in rows.numbers])
        lengths = [[n for n in row for _ in range(n)] for row in rows.lengths]
        scale = self.alpha / (torch.tensor(lengths, device=embedded.device) * width).sqrt()
        return embedded + (noise * scale[..., None]).to(embedded.dtype)

    def _row(self, number: int, width: int, device: torch.device) -> Tensor:
        # Always the whole room: the first numbers of a longer draw need not be those of a shorter.
        generator = torch.Generator(device).manual_seed(order_key("neftune", self.seed, number))
        return torch.empty(self.room, width, device=device).uniform_(-1, 1, generator=generator)
