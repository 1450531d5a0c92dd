"""Tokens per character after the first k added entries: how large should an extension be?

Entries are added in the order of their ids, so cutting off the last ones gives the smaller
extension of the same run. Each size is a vocabulary of its own that encodes the text again.

The knee is where the curve is farthest below the straight line from its first to its last point,
both axes scaled to 0..1 (Satopää et al. 2011, "Finding a Kneedle in a Haystack"; here without
smoothing). It depends on how far the curve goes, so the marginal gain stands beside it, and with a
model the size at which a character costs fewest operations.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json

from .base import Base, load_base
from .load import Engine, FastEngine, SentencePieceEngine, Tokenizer
from .spm import dump_model
from .surfaces import pieces_of

POINTS = 12


@dataclass(frozen=True)
class Growth:
    """A grown vocabulary and where its base ends."""

    base: Base
    base_size: int

    @property
    def added(self) -> int:
        """Entries behind the base."""
        return self.base.size - self.base_size

    def cut(self, added: int) -> Engine:
        """The vocabulary with its first ``added`` entries behind the base."""
        size = self.base_size + added
        if self.base.model is not None:
            import sentencepiece

            model = self.base.model.with_pieces(self.base.model.pieces[:size])
            processor = sentencepiece.SentencePieceProcessor(model_proto=dump_model(model))
            return SentencePieceEngine(processor)
        import tokenizers

        document = _cut_json(dict(self.base.document), size)
        text = json.dumps(document, ensure_ascii=False)
        return FastEngine(tokenizers.Tokenizer.from_str(text))


def _cut_json(document: dict[str, Any], size: int) -> dict[str, Any]:
    model = document["model"]
    vocab = {piece: index for piece, index in model["vocab"].items() if index < size}
    merges = [pair for pair in model["merges"] if "".join(pair) in vocab]
    added = [token for token in document["added_tokens"] if token["id"] < size]
    return {**document, "added_tokens": added, "model": {**model, "vocab": vocab, "merges": merges}}


def find_growth(path: Path, tokenizer: Tokenizer, base: Tokenizer | None) -> Growth | None:
    """A tokenizer's base and what was added behind it, if it has a base.

    Args:
        path: the tokenizer.
        tokenizer: the same, loaded.
        base: one whose entries may be its first ones; used where ``yanmo.json`` says nothing.

    Returns:
        ``None`` if nothing was added to anything that is known here.

    Raises:
        UsageError: its kind cannot be cut.
    """
    start = _said(path)
    if start is None and base is not None and base.vocab_size < tokenizer.vocab_size:
        mine, theirs = pieces_of(tokenizer), pieces_of(base)
        start = base.vocab_size if mine[: base.vocab_size] == theirs else None
    if start is None or start >= tokenizer.vocab_size:
        return None
    return Growth(load_base(path), start)


def _said(path: Path) -> int | None:
    file = (path if path.is_dir() else path.parent) / "yanmo.json"
    if not file.is_file():
        return None
    ids = read_json(file).get("added_ids")
    return int(ids[0]) if isinstance(ids, list) and ids else None


def grid(added: int, points: int = POINTS) -> list[int]:
    """Sizes to try: 0, and from a 64th of all on with equal ratios up to all, rounded."""
    if added < 1:
        raise UsageError("nothing was added to this vocabulary", value=added)
    ratios = np.geomspace(max(1.0, added / 64), added, points - 1)
    sizes = {0, added, *(round(float(size)) for size in ratios)}
    return sorted(sizes)


def measure_growth(
    growth: Growth,
    samples: dict[str, list[str]],
    sizes: Sequence[int],
    *,
    advance: Callable[[float], None] = lambda amount: None,
) -> dict[str, list[int]]:
    """Tokens of each slice after each number of added entries.

    Args:
        growth: what to cut.
        samples: slice to documents.
        sizes: numbers of added entries.
        advance: told of every size that is done.

    Raises:
        DataError: a document cannot be encoded.
    """
    found: dict[str, list[int]] = {label: [] for label in samples}
    for size in sizes:
        engine = growth.cut(size)
        for label, documents in samples.items():
            try:
                ids = engine.encode_batch(documents)
            except Exception as error:
                raise DataError(f"cannot encode the sample ({error})", where=label,
                                value=f"{size} added entries") from None  # fmt: skip
            found[label].append(sum(len(one) for one in ids))
        advance(1)
    return found


def knee(sizes: Sequence[int], values: Sequence[float]) -> int | None:
    """The size at which a falling curve is farthest below its chord; ``None``: it does not fall.

    Args:
        sizes: rising.
        values: tokens per character at each.
    """
    x, y = np.array(sizes, np.float64), np.array(values, np.float64)
    if len(x) < 3 or y[-1] >= y[0]:
        return None
    across = (x - x[0]) / (x[-1] - x[0])
    down = (y - y[-1]) / (y[0] - y[-1])
    below = 1.0 - across - down
    best = int(below.argmax())
    return int(x[best]) if below[best] > 0 else None


def reaching(sizes: Sequence[int], values: Sequence[float], share: float) -> int:
    """The first size with at least that share of the whole saving."""
    whole = values[0] - values[-1]
    return next(size for size, value in zip(sizes, values, strict=True)
                if values[0] - value >= share * whole)  # fmt: skip


def marginal(sizes: Sequence[int], values: Sequence[float]) -> list[float | None]:
    """Tokens saved per 1000 characters and 1000 entries, from each size to the next one."""
    steps: list[float | None] = [None]
    for k in range(1, len(sizes)):
        steps.append(1e6 * (values[k - 1] - values[k]) / (sizes[k] - sizes[k - 1]))
    return steps
