"""Batches of dialogues: the trainer's feed.

Which dialogue lies where in which row is a pure function of the corpus, the seed, the epoch and the
row's number (``yanmo.order``), so that batches are the same for any number of processes and
micro-batches, and a run goes on where it stopped.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from yanmo.order import Order
from yanmo.packing import Ints
from yanmo.shards import Place

from .attention import Documents, documents_from_lengths
from .data import Batch
from .loss import IGNORED
from .sft_data import Corpus
from .sft_recipe import Dialogues


@dataclass(frozen=True, eq=False)
class Rows(Documents):
    """Documents of rows that know their numbers, counted from the start of the run."""

    numbers: tuple[int, ...] = ()

    def to(self, device: torch.device) -> "Rows":
        """The same rows with the tensor on another device."""
        return dataclasses.replace(self, starts=super().to(device).starts)


class DialogueFeed:
    """The order of the rows of a run, and the batches made from them; see ``data.Feed``.

    Args:
        corpus: the dialogues.
        settings: ``[data]`` of the recipe.
        seed: of the order; ``None``: the order of the corpus (evaluation).
        pad_id: what fills a row; it is masked by its place, whatever it is.
        tokenizer: the tokenizer's folder.
        documents: numbers of the dialogues to read; ``None``: all.

    Raises:
        DataError: there is no dialogue.
    """

    def __init__(
        self,
        corpus: Corpus,
        settings: Dialogues,
        *,
        seed: int | None,
        pad_id: int,
        tokenizer: Path,
        documents: Ints | None = None,
    ) -> None:  # fmt: skip
        self.corpus, self.pad_id, self.tokenizer = corpus, pad_id, tokenizer
        self.documents = np.arange(len(corpus)) if documents is None else documents
        ranges = corpus.begins[self.documents], corpus.ends[self.documents]
        self.order = Order(
            corpus.identity, ranges, sequence_tokens=settings.max_tokens, seed=seed,
            packed=settings.packing,
        )  # fmt: skip
        self.sequences = self.order.sequences
        self.targets = int(corpus.trained[self.documents].sum())
        self.sources: tuple[list[str], npt.NDArray[np.int32]] = corpus.sources, corpus.codes
        self.text_bytes, self.document_targets = corpus.text_bytes, corpus.trained
        self.eos_id = corpus.end_id
        self._weights: npt.NDArray[np.float64] | None = None
        if settings.loss_weight == "example":
            self._weights = 1.0 / np.maximum(corpus.trained, 1)
        self._settings = settings

    @property
    def padding(self) -> float:
        """Share of the room of an epoch that holds nothing.

        Without packing it is that of global batches, each padded to its longest dialogue; of
        micro-batches it is less.
        """
        if self._settings.packing:
            return self.order.padding
        lengths = np.array([int(self.order.pieces(i)[1].sum()) for i in range(self.sequences)])
        together = range(0, self.sequences, self._settings.batch_sequences)
        groups = [lengths[at : at + self._settings.batch_sequences] for at in together]
        return 1 - int(lengths.sum()) / sum(int(group.max()) * len(group) for group in groups)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The batch of some rows, numbered from the start of the run.

        Packed rows are as wide as the room; a dialogue by itself is padded to the longest.
        """
        pieces = [self.order.pieces(index) for index in indices]
        # Packed rows are full but for a few tokens, and one width is compiled once.
        room = self._settings.max_tokens if self._settings.packing else 0
        room = room or max(int(counts.sum()) for _, counts in pieces)
        tokens = np.full((len(indices), room), self.pad_id, np.int64)
        labels = np.full((len(indices), room), IGNORED, np.int64)
        positions = np.full((len(indices), room), -1, np.int64)
        lengths: list[list[int]] = []
        for row, (starts, counts) in enumerate(pieces):
            at = 0
            for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
                here, there = slice(at, at + count), slice(start, start + count)
                tokens[row, here] = self.corpus.tokens[there]
                labels[row, here] = self.corpus.labels[there]
                positions[row, here] = np.arange(start, start + count)
                at += count
            lengths.append([*counts.tolist(), *([room - at] if at < room else [])])
        documents = documents_from_lengths(lengths)
        return Batch(
            torch.from_numpy(tokens), torch.from_numpy(labels),
            Rows(documents.starts, documents.lengths, numbers=tuple(indices)),
            int((labels != IGNORED).sum()), positions.ravel(), self._factors(labels, positions),
        )  # fmt: skip

    def _factors(self, labels: Ints, positions: Ints) -> torch.Tensor | None:
        """The weight of each label, so that those of a dialogue sum to one."""
        if self._weights is None:
            return None
        factors = self._weights[self.document_of(np.maximum(positions, 0))]
        return torch.from_numpy(np.where(labels == IGNORED, 0.0, factors))

    def document_of(self, positions: Ints) -> Ints:
        """Numbers of the dialogues that hold positions; -1 stays -1."""
        found = np.searchsorted(self.corpus.ends, positions, side="right")
        return np.where(positions < 0, -1, found)

    def place(self, position: int) -> Place:
        """The dialogue behind a position."""
        corpus = self.corpus
        number = int(self.document_of(np.array([position]))[0])
        source = corpus.sources[int(corpus.codes[number])]
        return Place(
            position=position, part=source, row=number, document=number,
            start=int(corpus.begins[number]), end=int(corpus.ends[number]), id=corpus.ids[number],
            source=source, origin=corpus.origins[number], url=None, cluster=None,
        )  # fmt: skip
