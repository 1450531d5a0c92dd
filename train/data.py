"""Batches from token shards. Nothing is drawn at run time: a position in training is one number.

Sequence ``g`` of a run is sequence ``g % S`` of epoch ``g // S``, where every epoch has ``S``
sequences, and the order of an epoch is a pure function of the shards' content, the seed and the
epoch. So resuming is instant, a batch may straddle two epochs, and the batches are the same for any
number of ranks, micro-batches and accumulation steps.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch import Tensor

from yanmo.errors import DataError
from yanmo.files import sha256_json
from yanmo.shards import Place, Shards

from .attention import Documents, documents_from_lengths
from .loss import IGNORED
from .packing import Ints, Packing, order_key, pack


def shards_identity(shards: Shards) -> str:
    """SHA-256 over the content of a shard folder: its token files and what the ids mean.

    Unlike the manifest's own hash it stays when equal shards are written again.
    """
    parts = [
        {"path": p["path"], "sha256": p["sha256"]}
        for p in shards.manifest["parts"]
        if "tokens" in p
    ]
    return sha256_json({"parts": parts, "vocabulary": dataclasses.asdict(shards.vocabulary)})


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
    """

    tokens: Tensor
    labels: Tensor
    documents: Documents
    targets: int
    positions: Ints

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        if device.type == "cpu":
            return self
        tokens, labels = (
            x.pin_memory().to(device, non_blocking=True) for x in (self.tokens, self.labels)
        )
        return dataclasses.replace(
            self, tokens=tokens, labels=labels, documents=self.documents.to(device)
        )


class Loader:
    """The order of all sequences of a run, and the batches made from them.

    Attributes:
        shards: where the tokens are.
        sequence_tokens: T.
        sequences: S, sequences of an epoch.
        documents: numbers of the documents of an epoch.
        targets: targets of an epoch: all tokens of its documents.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        sequence_tokens: int,
        seed: int | None,
        documents: Ints | None = None,
    ) -> None:
        """Plan the first epoch.

        Args:
            shards: opened shards.
            sequence_tokens: T, targets in a sequence.
            seed: of the order; ``None``: the order of the shards (evaluation).
            documents: numbers of the documents of an epoch, repeated ones repeated (a mixture);
                ``None``: all, once.

        Raises:
            DataError: there is no token to train on.
        """
        self.shards, self.sequence_tokens, self.seed = shards, sequence_tokens, seed
        self.identity = shards_identity(shards)
        self.opening = opening_id(shards)
        self._ends = shards.document_ends
        self._begins = np.concatenate([np.zeros(1, np.int64), self._ends[:-1]])
        self._first_tokens = np.array([part.first_token for part in shards.parts])
        self.documents = np.arange(len(self._ends)) if documents is None else documents
        if len(self.documents) == 0:
            raise DataError("there is no token to train on", where=shards.folder)
        self._packings: dict[int, Packing] = {}
        self.sequences = len(self.packing(0))
        self.targets = int(self.packing(0).lengths.sum())

    def packing(self, epoch: int) -> Packing:
        """The packing of an epoch, in its order; two are kept, for a batch can straddle epochs."""
        if epoch not in self._packings:
            self._packings = {e: p for e, p in self._packings.items() if abs(e - epoch) <= 1}
            self._packings[epoch] = self._pack(epoch)
        return self._packings[epoch]

    def _pack(self, epoch: int) -> Packing:
        key = None if self.seed is None else order_key(self.identity, self.seed, epoch)
        begins, ends = self._begins[self.documents], self._ends[self.documents]
        return pack(begins, ends, sequence_tokens=self.sequence_tokens, key=key)

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
            epoch, within = divmod(index, self.sequences)
            starts, counts = self.packing(epoch).pieces(within)
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
        """Names of the sources, and the number of each document's source."""
        names: dict[str, int] = {}
        codes: list[npt.NDArray[np.int32]] = []
        for part in self.shards.parts:
            column = _column(part.docs, "source").dictionary_encode().combine_chunks()
            table = [names.setdefault(n, len(names)) for n in column.dictionary.to_pylist()]
            codes.append(np.array(table, np.int32)[column.indices.to_numpy()])
        return list(names), np.concatenate(codes)

    @functools.cached_property
    def text_bytes(self) -> Ints:
        """UTF-8 bytes of each document's text."""
        columns = [_column(part.docs, "n_bytes").to_numpy() for part in self.shards.parts]
        return np.concatenate(columns).astype(np.int64)


def _column(path: Path, name: str) -> Any:
    return pq.read_table(path, columns=[name]).column(name)
