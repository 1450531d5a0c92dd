"""Batches from token shards. Nothing is drawn at run time: a position in training is one number.

Which tokens lie in sequence ``g`` of a run is a pure function (``yanmo.order``). So resuming is
instant, a batch may straddle two epochs, and the batches are the same for any number of ranks,
micro-batches and accumulation steps.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yanmo.errors import DataError
from yanmo.order import Order, Reading, document_column, shards_identity, source_codes
from yanmo.packing import Ints
from yanmo.shards import TOKENIZER_FOLDER, Place, Shards

from .attention import Documents, documents_from_lengths
from .loss import IGNORED


def opening_id(shards: Shards) -> int:
    """What stands before the first token of every document: BOS, or EOS where there is none.

    The shards hold neither in front; with EOS it is what GPT-2 and lm-evaluation-harness do.
    """
    bos = shards.vocabulary.bos_id
    return shards.vocabulary.eos_id if bos is None else bos


@dataclass(frozen=True, eq=False)
class Batch:
    """Sequences stacked for one forward pass.

    Attributes:
        tokens: (B, T) int64 inputs.
        labels: (B, T) int64: the token after each input, or ``loss.IGNORED`` on padding.
        documents: boundaries of the pieces.
        targets: labels that count.
        positions: (B * T,) int64 on the host: where in the shards each label stands; -1 on padding.
        weights: (B, T) float64 factors of the losses; ``None``: one.
    """

    tokens: Tensor
    labels: Tensor
    documents: Documents
    targets: int
    positions: Ints
    weights: Tensor | None = None

    @property
    def read(self) -> int:
        """Inputs that are no padding."""
        return int((self.positions >= 0).sum())

    @property
    def weight(self) -> float:
        """Sum of the factors of all labels that count: what the summed loss is divided by."""
        return float(self.targets if self.weights is None else self.weights.sum())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        if device.type == "cpu":
            return self
        tokens, labels = (
            x.pin_memory().to(device, non_blocking=True) for x in (self.tokens, self.labels)
        )
        return dataclasses.replace(
            self, tokens=tokens, labels=labels, documents=self.documents.to(device),
            weights=None if self.weights is None else self.weights.to(device),
        )  # fmt: skip


class Feed(Protocol):
    """All that the trainer knows of its data: batches by number, and where each target is from.

    The batch of some numbers is a pure function of what is read and of a seed.

    Attributes:
        sequences: S, sequences of an epoch.
        targets: targets of an epoch.
        documents: numbers of the documents of an epoch.
    """

    sequences: int
    targets: int
    documents: Ints

    @property
    def padding(self) -> float:
        """Share of the room of an epoch that holds nothing."""
        ...

    @property
    def eos_id(self) -> int:
        """The target that is no text: it closes a document or an answer."""
        ...

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer."""
        ...

    @property
    def sources(self) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Names of the sources, and each document's."""
        ...

    @property
    def text_bytes(self) -> Ints:
        """UTF-8 bytes of the text behind the targets of each document."""
        ...

    @property
    def document_targets(self) -> Ints:
        """Targets of each document."""
        ...

    def batch(self, indices: Sequence[int]) -> Batch:
        """The batch of some sequences, numbered from the start of the run."""
        ...

    def document_of(self, positions: Ints) -> Ints:
        """Numbers of the documents that hold the positions of a batch; -1 stays -1."""
        ...

    def place(self, position: int) -> Place:
        """The document behind a position."""
        ...


class Loader:
    """The order of all sequences of a run over token shards, and the batches made from them.

    Attributes:
        shards: where the tokens are.
        sequence_tokens: T.
        sequences: S, sequences of an epoch.
        documents: numbers of the documents of an epoch; without a mixture alone.
        targets: targets of an epoch: all tokens of what it reads.
        order: which tokens lie in which sequence.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        sequence_tokens: int,
        seed: int | None,
        documents: Ints | None = None,
        mixture: Reading | None = None,
    ) -> None:
        """Plan the first epoch.

        Args:
            shards: opened shards.
            sequence_tokens: T, targets in a sequence.
            seed: of the order; ``None``: the order of the shards (evaluation).
            documents: numbers of the documents of an epoch; ``None``: all, once.
            mixture: what an epoch reads instead of whole documents.

        Raises:
            DataError: there is no token to train on.
        """
        self.shards, self.sequence_tokens = shards, sequence_tokens
        self.opening = opening_id(shards)
        self._ends = shards.document_ends
        self._begins = np.concatenate([np.zeros(1, np.int64), self._ends[:-1]])
        self._first_tokens = np.array([part.first_token for part in shards.parts])
        self.documents = np.arange(len(self._ends)) if documents is None else documents
        self._mixture = mixture
        ranges = self._begins[self.documents], self._ends[self.documents]
        if mixture is not None:
            ranges = mixture.begins, mixture.ends
        if not len(ranges[0]):
            raise DataError("there is no token to train on", where=shards.folder)
        self.order = Order(
            shards_identity(shards), ranges, sequence_tokens=sequence_tokens, seed=seed,
            multiple=1 if mixture is None else mixture.multiple,
        )  # fmt: skip
        self.sequences, self.targets = self.order.sequences, self.order.targets

    def batch(self, indices: Sequence[int]) -> Batch:
        """Make a batch.

        Args:
            indices: numbers of sequences counted from the start of the run.

        Raises:
            DataError: a token is not in the vocabulary (the file was damaged after the check).
        """
        rows, room = len(indices), self.sequence_tokens
        tokens = np.full((rows, room), self.opening, np.int64)
        labels = np.full((rows, room), IGNORED, np.int64)
        positions = np.full((rows, room), -1, np.int64)
        lengths: list[list[int]] = []
        for row, index in enumerate(indices):
            starts, counts = self.order.pieces(index)
            at = 0
            for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
                cut = slice(at, at + count)
                self._copy(start, tokens[row, cut], labels[row, cut])
                positions[row, cut] = np.arange(start, start + count)
                at += count
            pad = [room - at] if at < room else []
            lengths.append([*counts.tolist(), *pad])
        self._check(labels, positions)
        return Batch(
            torch.from_numpy(tokens), torch.from_numpy(labels), documents_from_lengths(lengths),
            int((labels != IGNORED).sum()), positions.ravel(),
        )  # fmt: skip

    def _copy(self, start: int, tokens: Ints, labels: Ints) -> None:
        """Fill one piece: the labels are its range, the inputs the same one token earlier."""
        number = int(np.searchsorted(self._first_tokens, start, side="right")) - 1
        ids, local = self.shards.ids(number), start - int(self._first_tokens[number])
        labels[:] = ids[local : local + len(labels)]
        tokens[1:] = labels[:-1]
        opens = self._begins[self.document_of(np.array([start]))[0]] == start
        tokens[0] = self.opening if opens else ids[local - 1]

    def document_of(self, positions: Ints) -> Ints:
        """Numbers of the documents that hold token positions; -1 stays -1."""
        return np.where(positions < 0, -1, np.searchsorted(self._ends, positions, side="right"))

    def _check(self, labels: Ints, positions: Ints) -> None:
        size = self.shards.vocabulary.vocab_size
        if int(labels.max()) >= size:
            at = int(positions.ravel()[int(labels.argmax())])
            place = self.shards.where(at)
            raise DataError(
                "an id is not in the vocabulary", where=f"{place.part}, document {place.id}",
                value=int(labels.max()), fix=f"Ids end at {size - 1}; verify the shards.",
            )  # fmt: skip

    def place(self, position: int) -> Place:
        """The document that holds a token."""
        return self.shards.where(position)

    @property
    def padding(self) -> float:
        """Share of the room of an epoch that holds no target."""
        return self.order.padding

    @property
    def eos_id(self) -> int:
        """What closes a document."""
        return self.shards.vocabulary.eos_id

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer that made the shards."""
        return self.shards.folder / TOKENIZER_FOLDER

    @property
    def document_targets(self) -> Ints:
        """Tokens of each document, its EOS included."""
        sizes: Ints = self._ends - self._begins
        return sizes

    def places(self, batch: Batch, flat: Sequence[int]) -> list[Place]:
        """The documents behind rows of a flattened batch, in order, each once."""
        first: dict[int, int] = {}
        for position in batch.positions[list(flat)].tolist():
            if position >= 0:
                number = int(self.document_of(np.array([position]))[0])
                first.setdefault(number, position)
        return [self.shards.where(position) for position in first.values()]

    @functools.cached_property
    def sources(self) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Names of the sources (of the mixture's rows, if there is one), and each document's."""
        if self._mixture is not None:
            return self._mixture.names, self._mixture.strata
        return source_codes(self.shards)

    @functools.cached_property
    def text_bytes(self) -> Ints:
        """UTF-8 bytes of each document's text."""
        sizes: Ints = document_column(self.shards, "n_bytes").to_numpy().astype(np.int64)
        return sizes
