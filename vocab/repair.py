"""A merged SentencePiece model put right, every id where it was.

The pieces behind the base get unique, strictly falling scores below the base's lowest (sentinels
set aside), each after the two it is merged from: so no base piece is lost, no two libraries can
order them differently, and as many come out as can. What cannot is listed, and made UNUSED if
asked for: a dead piece is never formed, not even on the way to another one, so this changes no
text. Pieces with a character that is no piece always become UNUSED, behind all others, for
sentencepiece alone makes them. No other living piece can be disabled like that: sentencepiece
merges through UNUSED pieces, and `tokenizers` does not know them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from yanmo.errors import DataError, UsageError

from .base import SENTINEL, Base, score_floor
from .checks_spm import misnamed
from .derive import Deriver
from .patient import Patient, as_base
from .reach_spm import Dead, dead_pieces, made_by_sentencepiece_alone
from .spm import Model, Piece, PieceType
from .spm_json import SPACE, spm_document
from .spm_specs import with_claimed_size

# Types that a merge has no business to bring in; control pieces keep theirs.
_FOREIGN = (PieceType.BYTE, PieceType.UNKNOWN)


@dataclass(frozen=True)
class Repaired:
    """The repaired vocabulary, and what was done.

    Attributes:
        vocabulary: the repaired one.
        rescored: pieces with a new score.
        retyped: id, piece, old and new type.
        disabled: pieces made UNUSED because only sentencepiece makes them.
        dead: pieces that still cannot be produced.
        unused: how many of them were made UNUSED.
    """

    vocabulary: Base
    rescored: int
    retyped: tuple[tuple[int, str, str, str], ...]
    disabled: tuple[int, ...]
    dead: tuple[Dead, ...]
    unused: int


def repair(patient: Patient, *, mark_unused: bool = False) -> Repaired:
    """Repair a SentencePiece BPE model.

    Args:
        patient: the opened model; its base must be known.
        mark_unused: give the pieces that stay dead the type UNUSED.

    Raises:
        UsageError: another kind of tokenizer, or nobody knows where the base ends.
        DataError: there is no room for unique scores.
    """
    model = patient.model
    if model is None or patient.kind != "spm-bpe":
        raise UsageError(
            "only SentencePiece BPE models can be repaired",
            where=patient.file,
            value=patient.kind,
            fix="Leave out --out to diagnose it, or see `yanmo vocab prune` and `export`.",
        )
    size = patient.base_size if patient.base_size is not None else len(model.pieces)
    pieces, retyped = _types(model, size, {index for index, _ in patient.renamed})
    if patient.base is not None and patient.base.model is not None:
        # What the base says of its own pieces holds, whatever the merge made of it.
        pieces[:size] = patient.base.model.pieces[:size]
    pieces, rescored = _rescore(patient, model.with_pieces(tuple(pieces)), size)
    was = [i for i, p in enumerate(pieces) if p.type is PieceType.UNUSED]
    disabled = tuple(i for i in was if model.pieces[i].type is PieceType.NORMAL)
    healed = with_claimed_size(model.with_pieces(tuple(pieces)), len(pieces))
    can = (PieceType.NORMAL, PieceType.USER_DEFINED)
    dead = dead_pieces(healed, [i for i, p in enumerate(healed.pieces) if p.type in can])
    unused = [d.id for d in dead if d.id >= size] if mark_unused else []
    for index in unused:
        pieces[index] = Piece(pieces[index].text, pieces[index].score, PieceType.UNUSED)
    healed = healed.with_pieces(tuple(pieces))
    return Repaired(
        _vocabulary(patient, healed),
        rescored,
        tuple(retyped),
        disabled,
        tuple(dead),
        len(unused),
    )


def _vocabulary(patient: Patient, model: Model) -> Base:
    document = spm_document(model)
    document["post_processor"] = patient.document["post_processor"]
    texts = tuple(piece.text for piece in model.pieces)
    return replace(as_base(patient), model=model, document=document, pieces=texts)


def _types(
    model: Model, size: int, disabled: set[int]
) -> tuple[list[Piece], list[tuple[int, str, str, str]]]:
    """Special names become CONTROL; bytes and unknown pieces behind the base become UNUSED."""
    control = set(misnamed(model))
    pieces: list[Piece] = []
    changed = []
    for index, piece in enumerate(model.pieces):
        kind = piece.type
        if index in control:
            kind = PieceType.CONTROL
        elif index >= size and kind in _FOREIGN:
            kind = PieceType.UNUSED
        if kind is not piece.type or index in disabled:
            changed.append((index, piece.text, piece.type.name, kind.name))
        pieces.append(piece if kind is piece.type else Piece(piece.text, piece.score, kind))
    return pieces, changed


def _rescore(patient: Patient, model: Model, size: int) -> tuple[list[Piece], int]:
    """Scores of the pieces behind the base: parents first, then ids; the dead at the end."""
    pieces = list(model.pieces)
    alone = [i for i in made_by_sentencepiece_alone(model) if i >= size]
    normal = (i for i in range(size, len(pieces)) if pieces[i].type is PieceType.NORMAL)
    others = sorted(set(normal) - set(alone))
    new = others + alone
    if not new:
        return pieces, 0
    base = model.with_pieces(model.pieces[:size])
    floor = score_floor(base)
    if abs(floor) + len(new) >= SENTINEL:
        raise DataError("no room for unique scores below the base's", value=floor)
    start = replace(as_base(patient), model=base, pieces=patient.pieces[:size])
    texts = {i: pieces[i].text.replace(SPACE, " ") for i in others}
    order = _order(Deriver(start), texts) + alone
    rescored = 0
    for rank, index in enumerate(order):
        score = floor - 1 - rank
        rescored += pieces[index].score != score
        kind = PieceType.NORMAL if rank < len(others) else PieceType.UNUSED
        pieces[index] = Piece(pieces[index].text, score, kind)
    return pieces, rescored


def _order(deriver: Deriver, texts: dict[int, str]) -> list[int]:
    """Ids in an order in which each follows its parts: single characters, then ids, then waiters.

    Other orders were tried for the words that earlier ones forestall (6 and 5 in the published
    merges): they save one.
    """

    def go(waiting: Sequence[int]) -> list[int]:
        left = []
        for index in waiting:
            if deriver.derive(texts[index], repair=False, why="kept") is None:
                left.append(index)
            else:
                order.append(index)
        return left

    order: list[int] = []
    left = go([i for i, text in texts.items() if len(text) == 1])
    waiting = go([i for i, text in texts.items() if len(text) > 1])
    while waiting and len(again := go(waiting)) < len(waiting):
        waiting = again
    return order + left + waiting
