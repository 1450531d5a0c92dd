"""Encode slices with several tokenizers side by side and keep the sums.

A document that any of the tokenizers cannot encode is left out for all of them and named, so that
every number of a slice is about the same documents.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError

from .load import Ids, Tokenizer
from .losses import Losses, measure_losses
from .slices import Document, Slices
from .token_tables import I64, count_han, count_ids

I32 = npt.NDArray[np.int32]


@dataclass
class Counts:
    """One tokenizer on one slice.

    Attributes:
        ids: occurrences of each id, int64 ``[vocabulary]``.
        tokens: tokens of each document, int32, batch by batch.
        losses: what did not come back.
        same: documents with the very ids of the first tokenizer.
    """

    ids: I64
    tokens: list[I32] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)
    same: int = 0

    def per_document(self) -> npt.NDArray[np.int64]:
        """Tokens of each document, int64 ``[documents]``."""
        return np.concatenate(self.tokens or [np.zeros(0, np.int32)]).astype(np.int64)


@dataclass
class Failure:
    """A document that a tokenizer could not encode."""

    where: str
    tokenizer: str
    error: str


@dataclass
class SliceTally:
    """All that was counted on one slice; ``counts`` follow the order of the tokenizers."""

    counts: list[Counts]
    chars: list[I64] = field(default_factory=list)
    bytes: int = 0
    han: int = 0
    failures: list[Failure] = field(default_factory=list)

    def per_document(self) -> I64:
        """Characters of each document, int64 ``[documents]``."""
        return np.concatenate(self.chars or [np.zeros(0, np.int64)])


def tally_slices(
    tokenizers: Sequence[Tokenizer],
    labels: Sequence[str],
    slices: Slices,
    *,
    advance: Callable[[float], None] = lambda amount: None,
) -> dict[str, SliceTally]:
    """Encode everything once.

    Args:
        tokenizers: what to compare; ``labels`` are their names in messages.
        slices: the documents.
        advance: told the megabytes done, times tokenizers.

    Returns:
        Slice to sums, in the order in which slices were first met; of a slice of which no document
        could be encoded, the failures alone.

    Raises:
        DataError: no document at all could be encoded by all of them, or no input can be read.
    """
    tallies: dict[str, SliceTally] = {}
    for label, documents in slices.batches():
        tally = tallies.get(label)
        if tally is None:
            tally = SliceTally([Counts(np.zeros(t.vocab_size, np.int64)) for t in tokenizers])
            tallies[label] = tally
        _add(tally, tokenizers, labels, documents, slices)
        advance(len(tokenizers) * sum(len(d.text) for d in documents) / 1e6)
    if not any(tally.chars for tally in tallies.values()):
        first = next(iter(tallies.values())).failures[0]
        raise DataError(f"{first.tokenizer} cannot encode any document ({first.error})",
                        where=first.where)  # fmt: skip
    return tallies


def _add(
    tally: SliceTally,
    tokenizers: Sequence[Tokenizer],
    labels: Sequence[str],
    documents: list[Document],
    slices: Slices,
) -> None:
    texts = [document.text for document in documents]
    encoded: list[list[Ids | None]] = []
    for tokenizer, name in zip(tokenizers, labels, strict=True):
        ids, errors = encode_what_can_be(tokenizer, texts)
        encoded.append(ids)
        tally.failures += [Failure(slices.where(documents[k]), name, e) for k, e in errors.items()]
    good = [k for k in range(len(texts)) if all(ids[k] is not None for ids in encoded)]
    if not good:
        return
    kept = [texts[k] for k in good]
    tally.chars.append(np.array([len(text) for text in kept], np.int64))
    joined = "".join(kept)
    tally.bytes += len(joined.encode("utf-8"))
    tally.han += count_han(joined)
    reference: list[Ids] = []
    for tokenizer, counts, ids in zip(tokenizers, tally.counts, encoded, strict=True):
        found = [array for k in good if (array := ids[k]) is not None]
        reference = reference or found
        counts.same += sum(map(np.array_equal, found, reference))
        counts.ids += count_ids(found, tokenizer.vocab_size)
        counts.tokens.append(np.array([len(array) for array in found], np.int32))
        counts.losses.add(measure_losses(tokenizer, kept, found))


def encode_what_can_be(
    tokenizer: Tokenizer, texts: list[str]
) -> tuple[list[Ids | None], dict[int, str]]:
    """Encode a batch; where that fails, text by text.

    Returns:
        Ids, ``None`` for what failed, and the error of each that failed.
    """
    ids, error = _try(tokenizer, texts)
    if ids is not None:
        return list(ids), {}
    if len(texts) == 1:
        return [None], {0: error}
    found: list[Ids | None] = []
    errors: dict[int, str] = {}
    for index, text in enumerate(texts):
        one, error = _try(tokenizer, [text])
        found.append(one[0] if one is not None else None)
        if one is None:
            errors[index] = error
    return found, errors


def _try(tokenizer: Tokenizer, texts: list[str]) -> tuple[list[Ids] | None, str]:
    try:
        return tokenizer.encode_batch(texts), ""
    except Exception as error:  # bare ones are what the libraries raise
        return None, " ".join(str(error).split())[:200]
    except BaseException as error:
        # A panic of the Rust side is no Exception; an interrupt must get through.
        if type(error).__name__ != "PanicException":
            raise
        return None, " ".join(str(error).split())[:200]
