"""Which tokens a training run reads, and in which order: a pure function of shards, plan and seed.

Sequence ``g`` of a run is sequence ``g % S`` of pass ``g // S``, where every pass has ``S``
sequences, and the order within a pass depends on the shards' content, the seed and the number of
the pass alone. The trainer follows it, and whoever has to say which documents a checkpoint has
seen computes it again. Nothing here needs torch.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from yanmo.errors import DataError
from yanmo.files import sha256_json
from yanmo.packing import Ints, Packing, alone, order_key, pack
from yanmo.shards import Shards


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


def document_column(shards: Shards, name: str) -> Any:
    """One column of the document tables of all parts, as a ``pyarrow.ChunkedArray``."""
    import pyarrow as pa

    columns = [pq.read_table(part.docs, columns=[name]).column(name) for part in shards.parts]
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks] or [[]])


def source_codes(shards: Shards) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Names of the sources in the order of their first documents, and each document's number."""
    if not shards.parts:
        return [], np.empty(0, np.int32)
    encoded = document_column(shards, "source").dictionary_encode()
    column = encoded.unify_dictionaries().combine_chunks()
    names: list[str] = column.dictionary.to_pylist()
    return names, column.indices.to_numpy().astype(np.int32)


@dataclass(frozen=True)
class Reading:
    """What one pass reads: ranges of tokens, each within one document.

    Attributes:
        begins, ends: (ranges,) token positions, ``ends`` exclusive; a range that is read twice in a
            pass is listed twice.
        names: of the sources (or parts of sources) that the mixture tells apart.
        strata: (documents,) which of the names each document goes by.
        multiple: a pass is filled up with empty sequences to a multiple of this, the sequences of a
            batch, so that it ends with a step and nothing of the next pass slips into it.
    """

    begins: Ints
    ends: Ints
    names: list[str]
    strata: npt.NDArray[np.int32]
    multiple: int = 1


@dataclass(frozen=True)
class Seen:
    """How much of a document was read.

    Attributes:
        tokens: read, repetitions counted.
        first: number of the first sequence that holds some of it; ``None`` if none does.
    """

    tokens: int
    first: int | None


class Order:
    """The order of all sequences of a run.

    Attributes:
        begins, ends: (ranges,) token positions of what a pass reads.
        sequence_tokens: targets in a sequence.
        sequences: S, sequences of a pass, with the empty ones at its end.
        targets: tokens of a pass.
    """

    def __init__(
        self,
        identity: str,
        ranges: tuple[Ints, Ints],
        *,
        sequence_tokens: int,
        seed: int | None,
        multiple: int = 1,
        packed: bool = True,
    ) -> None:
        """Plan the first pass.

        Args:
            identity: of the shards, see :func:`shards_identity`.
            ranges: begins and ends of what a pass reads.
            sequence_tokens: targets in a sequence.
            seed: of the order; ``None``: the order of the shards (evaluation).
            multiple: see :class:`Reading`.
            packed: whether ranges share sequences; if not, each has one to itself.

        Raises:
            DataError: there is no token to read.
        """
        self.begins, self.ends = ranges
        if not (self.ends > self.begins).any():
            raise DataError("there is no token to train on")
        self.sequence_tokens, self._identity, self._seed = sequence_tokens, identity, seed
        self._lay = pack if packed else alone
        self._packings: dict[int, Packing] = {}
        self.sequences = -(-len(self.packing(0)) // multiple) * multiple
        self.targets = int(self.packing(0).lengths.sum())

    def packing(self, number: int) -> Packing:
        """The packing of a pass, in its order; two are kept, for a batch can straddle passes."""
        if number not in self._packings:
            self._packings = {n: p for n, p in self._packings.items() if abs(n - number) <= 1}
            key = None if self._seed is None else order_key(self._identity, self._seed, number)
            self._packings[number] = self._lay(
                self.begins, self.ends, sequence_tokens=self.sequence_tokens, key=key
            )
        return self._packings[number]

    def pieces(self, index: int) -> tuple[Ints, Ints]:
        """Starts and lengths of the pieces of a sequence; none where a pass is filled up."""
        number, within = divmod(index, self.sequences)
        packing = self.packing(number)
        if within >= len(packing):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return packing.pieces(within)

    @property
    def padding(self) -> float:
        """Share of the room of a pass that holds no target."""
        return 1 - self.targets / (self.sequences * self.sequence_tokens)

    def seen(self, documents: Sequence[tuple[int, int]], sequences: int) -> list[Seen]:
        """What the first ``sequences`` sequences of a run hold of some documents.

        Args:
            documents: begin and end of each.
            sequences: how many the run has read.
        """
        passes, rest = divmod(sequences, self.sequences)
        found: list[Seen] = []
        for begin, end in documents:
            whole = int(_overlap(self.begins, self.ends - self.begins, begin, end).sum())
            at, tokens = self._in_pass(0, begin, end)
            first = int(at.min()) if len(at) and at.min() < sequences else None
            if rest:
                at, tokens = self._in_pass(passes, begin, end)
                found.append(Seen(passes * whole + int(tokens[at < rest].sum()), first))
            else:
                found.append(Seen(passes * whole, first))
        return found

    def _in_pass(self, number: int, begin: int, end: int) -> tuple[Ints, Ints]:
        """Places in the pass of the pieces that hold some of a document, and how much they hold."""
        packing = self.packing(number)
        tokens = _overlap(packing.starts, packing.lengths, begin, end)
        pieces = np.flatnonzero(tokens)
        holders = np.searchsorted(packing.offsets, pieces, side="right") - 1
        place = np.empty(len(packing), np.int64)
        place[packing.order] = np.arange(len(packing))
        return place[holders], tokens[pieces]


def _overlap(starts: Ints, lengths: Ints, begin: int, end: int) -> Ints:
    low, high = np.maximum(starts, begin), np.minimum(starts + lengths, end)
    overlap: Ints = np.maximum(high - low, 0)
    return overlap
