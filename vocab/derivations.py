"""How byte-pair encoding puts an entry together: the tree of merges down to characters or bytes.

An entry's own text is encoded with the vocabulary's merges, lowest rank first, leftmost on ties,
and each merge is noted. No merge crosses the border of a token that comes out, so the tree is the
same wherever the token stands. SentencePiece has no list of merges: two neighbours merge if their
concatenation is a piece, and the piece with the highest score goes first.

Source: google/sentencepiece src/bpe_model.cc; huggingface/tokenizers models/bpe.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .load import FastEngine, Tokenizer
from .spm import Model, PieceType, parse_model, type_of


@dataclass(frozen=True)
class Derivation:
    """The last merge of an entry.

    Attributes:
        left: its first part, an entry or a character, in the vocabulary's spelling.
        right: its second part.
        rank: place of the merge in the list of merges; a SentencePiece model, which has none, has
            the negative score of the result. Lower goes first.
    """

    left: str
    right: str
    rank: float


class Merges:
    """Byte-pair encoding with its merges noted."""

    def __init__(
        self,
        pairs: dict[tuple[str, str], int] | None,
        results: dict[str, float] | None,
        suffix: str = "",
    ) -> None:
        """Take the merges.

        Args:
            pairs: ``{(left, right): rank}`` of a list of merges.
            results: ``{piece: score}`` of a SentencePiece model instead.
            suffix: marks the last character of a word (``</w>``).
        """
        self._pairs, self._results, self._suffix = pairs, results, suffix

    def rank(self, left: str, right: str) -> float | None:
        """The rank of a merge, lower first; ``None`` if there is no such merge."""
        if self._pairs is not None:
            return self._pairs.get((left, right))
        score = (self._results or {}).get(left + right)
        return None if score is None else -score

    def _atoms(self, piece: str) -> list[str]:
        body = piece.removesuffix(self._suffix) if self._suffix else piece
        atoms = list(body)
        if body != piece and atoms:
            atoms[-1] += self._suffix
        return atoms

    def derive(self, piece: str) -> Derivation | list[str]:
        """The last merge that makes a piece, or the parts at which merging stops.

        Args:
            piece: an entry in the vocabulary's spelling.
        """
        parts = self._atoms(piece)
        ranks = [self.rank(a, b) for a, b in pairwise(parts)]
        last = None
        while True:
            best = min((rank for rank in ranks if rank is not None), default=None)
            if best is None:
                break
            at = ranks.index(best)
            last = Derivation(parts[at], parts[at + 1], best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
            del ranks[at]
            if at:
                ranks[at - 1] = self.rank(parts[at - 1], parts[at])
            if at < len(ranks):
                ranks[at] = self.rank(parts[at], parts[at + 1])
        return last if last is not None and len(parts) == 1 else parts


class Lattice:
    """A unigram vocabulary: an entry is whole; what would stand in its place without it?"""

    def __init__(self, scores: dict[str, float]) -> None:
        """Take the log-probability of every piece."""
        self.scores = scores
        self._longest = max(map(len, scores), default=1)

    def without(self, piece: str) -> tuple[list[str], float] | None:
        """The best other segmentation of a piece's text and its score (Viterbi).

        Args:
            piece: an entry.

        Returns:
            Pieces and the sum of their log-probabilities; ``None`` if no others spell the text.
        """
        best: list[tuple[float, int] | None] = [(0.0, 0)] + [None] * len(piece)
        for end in range(1, len(piece) + 1):
            for start in range(max(0, end - self._longest), end):
                before = best[start]
                score = self.scores.get(piece[start:end])
                if before is None or score is None or end - start == len(piece):
                    continue
                found = best[end]
                if found is None or before[0] + score > found[0]:
                    best[end] = (before[0] + score, start)
        last = best[-1]
        if not piece or last is None:
            return None
        parts, end = [], len(piece)
        while end:
            step = best[end]
            assert step is not None
            parts.append(piece[step[1] : end])
            end = step[1]
        return parts[::-1], last[0]


def source_of(tokenizer: Tokenizer) -> Model | dict[str, Any]:
    """What defines a tokenizer: a SentencePiece model, or the ``tokenizer.json`` that is run."""
    if isinstance(tokenizer.engine, FastEngine):
        document: dict[str, Any] = json.loads(tokenizer.engine.fast.to_str())
        return document
    return parse_model(tokenizer.path.read_bytes())


def rules_of(source: Model | dict[str, Any]) -> Merges | Lattice | None:
    """The merges or scores of a vocabulary; ``None`` where nothing is put together (WordPiece).

    Args:
        source: of :func:`source_of`.
    """
    if isinstance(source, Model):
        usable = (PieceType.NORMAL, PieceType.USER_DEFINED, PieceType.UNUSED)
        scores = {p.text: p.score for p in source.pieces if p.type in usable}
        kind = type_of(source)
        if kind == "bpe":
            return Merges(None, scores)
        return Lattice(scores) if kind == "unigram" else None
    model = source["model"]
    kind = model.get("type", "BPE")
    if kind == "Unigram":
        return Lattice({piece: float(score) for piece, score in model["vocab"]})
    if kind != "BPE" or model.get("continuing_subword_prefix"):
        return None
    pairs: dict[tuple[str, str], int] = {}
    for rank, pair in enumerate(model["merges"]):
        left, right = pair.split(" ") if isinstance(pair, str) else pair
        pairs[left, right] = rank
    return Merges(pairs, None, model.get("end_of_word_suffix") or "")
