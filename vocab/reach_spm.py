"""Which pieces of a SentencePiece model can never be produced, and what stands in the way.

sentencepiece itself decides: a piece that does not come out of its own text comes out of no text.
For byte-pair encoding: as long as no merge crosses the ends of the piece's text, the merges inside
are those of the text alone, in the same order; and a merge that crosses them ends the matter. For
unigram: wherever the piece fits, the better path of its own text fits too. The question is asked
on a copy that puts no space before the text and takes none away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .agreement import spm_engine
from .patient import spelled_space
from .spm import Model, PieceType, dump_model, normalizer_of, type_of
from .spm_json import SPACE
from .spm_specs import bare

MERGEABLE = (PieceType.NORMAL, PieceType.USER_DEFINED, PieceType.UNUSED)
# Neighbours in which a text may stand, for normalisers that strip the ends.
CONTEXTS = (("", ""), ("a", "a"), ("", "a"), ("a", ""), ("中", "中"))


@dataclass(frozen=True)
class Dead:
    """An entry that no text brings out.

    Attributes:
        id: its id.
        piece: its spelling (byte-level: its text).
        reason: ``no derivation``, ``shadowed``, ``a better path``, ``user-defined inside``,
            ``normaliser``, ``pre-tokenizer``.
        detail: the proof for a reader: what comes out instead, and the entry in the way.
        blocker: id of the entry in the way, if there is one.
    """

    id: int
    piece: str
    reason: str
    detail: str
    blocker: int | None = None


def alive(model: Model, ids: Sequence[int]) -> dict[int, list[int]]:
    """The given ids that do not come out of their own text, with what comes out instead.

    Args:
        model: the model.
        ids: which pieces to ask for.

    Returns:
        Id to the ids of its text, for the dead alone.
    """
    encode = spm_engine(dump_model(bare(model)))[0]
    texts = [spelled_space(model.pieces[index].text) for index in ids]
    found = zip(ids, encode(texts), strict=True)
    return {index: out for index, out in found if out != [index]}


def dead_pieces(model: Model, ids: Sequence[int]) -> list[Dead]:
    """The pieces among ``ids`` that can never be produced, in order, with the reason."""
    wrong = alive(model, ids)
    forbidden = _forbidden(model, ids)
    judge = _Judge(model, set(wrong))
    found = []
    for index in sorted({*wrong, *forbidden}):
        if index in forbidden:
            text = model.pieces[index].text
            found.append(Dead(index, text, "normaliser", f"becomes {forbidden[index]!r}"))
        else:
            found.append(judge.reason(index, wrong[index]))
    return found


def _forbidden(model: Model, ids: Sequence[int]) -> dict[int, str]:
    """Pieces whose text the normaliser never leaves as it is, with what it makes of it."""
    import sentencepiece

    settings = normalizer_of(model)
    if not settings.has_charsmap and not settings.remove_extra_whitespaces:
        return {}
    processor: Any = sentencepiece.SentencePieceProcessor(model_proto=dump_model(model))
    found = {}
    for index in ids:
        piece = model.pieces[index].text
        text = spelled_space(piece)
        made = [processor.normalize(left + text + right) for left, right in CONTEXTS]
        if not any(piece in normal for normal in made):
            found[index] = made[1][1:-1] if made[1] else made[0]
    return found


class _Judge:
    """Finds the reason for one piece after another."""

    def __init__(self, model: Model, dead: set[int]) -> None:
        self.model = model
        self.kind = type_of(model)
        self.ids = {p.text: i for i, p in enumerate(model.pieces) if p.type in MERGEABLE}
        self.dead = {model.pieces[index].text for index in dead}
        self.user = [p.text for p in model.pieces if p.type is PieceType.USER_DEFINED]

    def reason(self, index: int, out: list[int]) -> Dead:
        text = self.model.pieces[index].text
        parts = " ".join(self.model.pieces[i].text for i in out)
        detail = f"comes out as {parts}"
        inside = next((u for u in self.user if u in text and u != text), None)
        if inside is not None:
            return Dead(index, text, "user-defined inside", f"{detail}: {inside} is cut out first")
        if " " in text:
            return Dead(index, text, "normaliser", f"{detail}: it holds a raw space, not {SPACE}")
        if self.kind != "bpe":
            return Dead(index, text, "a better path", detail)
        splits = splits_of(text, self.ids)
        whole = [c for c in splits if text[:c] not in self.dead and text[c:] not in self.dead]
        if not splits:
            return Dead(index, text, "no derivation", f"{detail}: no two entries make it")
        if not whole:
            why = f"{detail}: a half of every split ({_shown(text, splits)}) is dead itself"
            return Dead(index, text, "no derivation", why)
        blocker = self._blocker(text, whole[0])
        way = self.model.pieces[blocker].text if blocker is not None else "?"
        why = f"{detail}: {_shown(text, whole[:1])} is forestalled by {way}"
        return Dead(index, text, "shadowed", why, blocker)

    def _blocker(self, text: str, at: int) -> int | None:
        """The first merge that spans the cut ``at`` without being the whole text."""
        scores = {p: self.model.pieces[i].score for p, i in self.ids.items() if p in text}
        for start, end in merges_in(text, scores):
            if start < at < end and end - start < len(text):
                return self.ids[text[start:end]]
        return None


def _shown(text: str, cuts: Sequence[int]) -> str:
    return ", ".join(f"{text[:c]}|{text[c:]}" for c in cuts[:3])


def made_by_sentencepiece_alone(model: Model) -> list[int]:
    """Pieces that hold a character that is no piece.

    sentencepiece merges any two neighbours whose concatenation is a piece, also a character that
    has no entry of its own; `tokenizers` merges entries alone and spells that character in bytes.
    """
    if type_of(model) != "bpe":
        return []
    known = {piece.text for piece in model.pieces if piece.type in MERGEABLE}
    return [
        index
        for index, piece in enumerate(model.pieces)
        if piece.type is PieceType.NORMAL and any(c not in known for c in piece.text)
    ]


def splits_of(text: str, known: Mapping[str, int]) -> list[int]:
    """Where a text can be cut into two entries."""
    return [c for c in range(1, len(text)) if text[:c] in known and text[c:] in known]


def merges_in(text: str, scores: Mapping[str, float]) -> list[tuple[int, int]]:
    """The merges that sentencepiece makes in a text, as spans, in order.

    The best score first, the leftmost on ties.

    Source: google/sentencepiece, src/bpe_model.cc, Model::SampleEncode.
    """
    ends = list(range(len(text) + 1))
    made: list[tuple[int, int]] = []
    while True:
        best: tuple[float, int] | None = None
        for k in range(len(ends) - 2):
            score = scores.get(text[ends[k] : ends[k + 2]])
            if score is not None and (best is None or score > best[0]):
                best = (score, k)
        if best is None:
            return made
        k = best[1]
        made.append((ends[k], ends[k + 2]))
        del ends[k + 1]
