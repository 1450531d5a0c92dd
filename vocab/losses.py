"""What a tokenizer loses: texts that do not come back, characters behind unknown tokens.

One unknown token can stand for a whole word: what counts is the characters behind it, and those are
read from the offsets that the library itself gives.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .load import FastEngine, Ids, SentencePieceEngine, Tokenizer
from .token_tables import count_han, points_of


@dataclass
class Losses:
    """Sums over documents.

    Attributes:
        exact: documents that decode to themselves.
        lost, added: characters that a document has more, or fewer, of than its decoded text.
        unknown: characters behind unknown tokens, with their occurrences.
        unknown_han: how many of these are Han.
    """

    exact: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    unknown_han: int = 0

    def add(self, other: "Losses") -> None:
        """Add another's sums to these."""
        self.exact += other.exact
        self.lost += other.lost
        self.added += other.added
        self.unknown += other.unknown
        self.unknown_han += other.unknown_han


def measure_losses(tokenizer: Tokenizer, documents: Sequence[str], ids: Sequence[Ids]) -> Losses:
    """Decode documents and see what came back.

    Args:
        tokenizer: what encoded them.
        documents: the texts.
        ids: the ids of each.
    """
    losses = Losses()
    unknown = []
    for text, found in zip(documents, ids, strict=True):
        back = tokenizer.engine.decode(found.tolist(), skip_special=True)
        if back == text:
            losses.exact += 1
        else:
            _count_difference(losses, text, back)
        if tokenizer.unk_id is not None and (found == tokenizer.unk_id).any():
            unknown.append(text)
    for span in unknown_spans(tokenizer, unknown):
        losses.unknown.update(span)
        losses.unknown_han += count_han(span)
    return losses


def _count_difference(losses: Losses, text: str, back: str) -> None:
    """Characters by which two texts differ as multisets."""
    points, counts = np.unique(np.concatenate([points_of(text), points_of(back)]),
                               return_inverse=True)  # fmt: skip
    size, cut = len(points), len(text)
    before = np.bincount(counts[:cut], minlength=size)
    after = np.bincount(counts[cut:], minlength=size)
    for index in np.flatnonzero(before != after).tolist():
        gap = int(before[index] - after[index])
        side = losses.lost if gap > 0 else losses.added
        side[chr(int(points[index]))] += abs(gap)


def unknown_spans(tokenizer: Tokenizer, documents: list[str]) -> list[str]:
    """The text behind every unknown token.

    Args:
        tokenizer: one that has an unknown token.
        documents: texts in which it occurs.
    """
    if not documents:
        return []
    engine = tokenizer.engine
    if isinstance(engine, FastEngine):
        return _fast_spans(engine.fast, documents, tokenizer.unk_id)
    if isinstance(engine, SentencePieceEngine):
        return [
            text[start:end]
            for text in documents
            for index, (start, end) in _offsets(engine.processor, text)
            if index == tokenizer.unk_id
        ]
    return []


def _offsets(processor: Any, text: str) -> Iterator[tuple[int, tuple[int, int]]]:
    found = processor.encode(text, return_type="offset_mapping")
    return zip(found["ids"], found["offsets"], strict=True)


def _fast_spans(fast: Any, documents: list[str], unknown: int | None) -> list[str]:
    spans = []
    for text, encoding in zip(documents, fast.encode_batch(documents, add_special_tokens=False),
                              strict=True):  # fmt: skip
        at = np.flatnonzero(np.asarray(encoding.ids) == unknown)
        for index in at.tolist():
            place = encoding.token_to_chars(index)
            if place is not None:
                spans.append(text[place[0] : place[1]])
    return spans
