"""What is wrong inside a SentencePiece model: scores, types, names, settings, lost base pieces."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .base import SENTINEL, score_floor
from .charsets import script_of
from .findings import Finding, some
from .patient import Patient
from .reach_spm import Dead, alive, made_by_sentencepiece_alone
from .spm import Model, Piece, PieceType
from .spm_specs import claimed_size

_REPAIR: Final = "`yanmo vocab doctor MODEL --out FOLDER` repairs it."
# Names that no text means as text.
SPECIAL_NAME: Final = re.compile(
    r"<(pad|unk|mask|s|/s|bos|eos|sep|cls|eop|eod|sop|user|assistant|system|extra_id_\d+"
    r"|(un)?used_?\d+|reserved_\d+)>\Z|<\|[^|]+\|>\Z|\[(PAD|UNK|CLS|SEP|MASK|gMASK|sMASK|BOS|EOS)\]\Z",
    re.IGNORECASE,
)


def spm_findings(patient: Patient, model: Model, dead: Sequence[Dead]) -> list[Finding]:
    """Everything that the model file alone shows.

    Args:
        patient: the tokenizer.
        model: its SentencePiece model.
        dead: its pieces that can never be produced.
    """
    found = [*_duplicates(patient), *_foreign_types(patient, model), *_special_names(model)]
    found += _claimed(model)
    if patient.kind == "spm-bpe":
        found += [*_ties(model), *_alone(model), *_outranking(patient, model)]
        found += _lost(patient, model, dead)
    found += _scripts(patient, model)
    return found


def _duplicates(patient: Patient) -> Iterator[Finding]:
    if patient.renamed:
        yield Finding(
            "pieces that sentencepiece refuses",
            "ill",
            len(patient.renamed),
            patient.size,
            "A piece stands twice, is empty or holds NUL: sentencepiece cannot load the file.",
            some({"id": index, "piece": text} for index, text in patient.renamed),
            f"{_REPAIR} The id stays, under another name, as UNUSED.",
        )


def _foreign_types(patient: Patient, model: Model) -> Iterator[Finding]:
    start = patient.base_size
    if start is None:
        return
    kinds: dict[PieceType, list[int]] = defaultdict(list)
    for index, piece in enumerate(model.pieces[start:], start):
        if piece.type is not PieceType.NORMAL:
            kinds[piece.type].append(index)
    for kind, ids in kinds.items():
        bad = kind in (PieceType.BYTE, PieceType.UNKNOWN)
        yield Finding(
            f"added pieces of type {kind.name}",
            "ill" if bad else "note",
            len(ids),
            patient.size - start,
            "They were taken over from another model with their type."
            if bad
            else "They are not merged like other pieces.",
            _named(model, ids),
            _REPAIR if bad else "",
        )


def _special_names(model: Model) -> Iterator[Finding]:
    wrong = misnamed(model)
    if wrong:
        yield Finding(
            "special tokens of type NORMAL",
            "ill",
            len(wrong),
            None,
            "They are named like special tokens and are text to sentencepiece: never skipped in "
            "decoding, and an id like any other.",
            _named(model, wrong),
            f"{_REPAIR} They become CONTROL.",
        )


def _named(model: Model, ids: Sequence[int]) -> tuple[Any, ...]:
    return some({"id": index, "piece": model.pieces[index].text} for index in ids)


def misnamed(model: Model) -> list[int]:
    """Ids of NORMAL pieces that are named like special tokens."""
    return [
        index
        for index, piece in enumerate(model.pieces)
        if piece.type is PieceType.NORMAL and SPECIAL_NAME.match(piece.text)
    ]


def _claimed(model: Model) -> Iterator[Finding]:
    claimed, size = claimed_size(model), len(model.pieces)
    if claimed is not None and claimed != size:
        yield Finding(
            "trainer_spec.vocab_size",
            "warning",
            1,
            None,
            f"The file says {claimed} pieces and holds {size}: programs that believe it cut the "
            "vocabulary off.",
            ({"says": claimed, "holds": size},),
            _REPAIR,
        )


def _is_run(piece: Piece) -> bool:
    return len(set(piece.text)) == 1


def ties(model: Model) -> dict[float, list[int]]:
    """Score to ids, for scores that several pieces of two or more characters share.

    Runs of one character at a sentinel's score (LLaMA's spaces at -1e9) are left out: the longest
    left part first gives what "leftmost first" gives.
    """
    found: dict[float, list[int]] = defaultdict(list)
    for index, piece in enumerate(model.pieces):
        if piece.type is PieceType.NORMAL and len(piece.text) > 1:
            found[piece.score].append(index)
    return {
        score: ids
        for score, ids in found.items()
        if len(ids) > 1
        and not (abs(score) >= SENTINEL and all(_is_run(model.pieces[i]) for i in ids))
    }


def _ties(model: Model) -> Iterator[Finding]:
    tied = ties(model)
    count = sum(map(len, tied.values()))
    if count:
        largest = max(tied, key=lambda score: len(tied[score]))
        names = [model.pieces[i].text for i in tied[largest]]
        yield Finding(
            "equal scores",
            "ill",
            count,
            len(model.pieces),
            "sentencepiece merges the leftmost of equals, tokenizers the one with the longest left "
            "part, transformers 5 the one with the lowest id: predicted to differ.",
            ({"score": largest, "pieces": len(names), "such as": names[:8]},),
            _REPAIR,
        )


def _alone(model: Model) -> Iterator[Finding]:
    ids = made_by_sentencepiece_alone(model)
    if ids:
        yield Finding(
            "pieces with a character that is no piece",
            "ill",
            len(ids),
            len(model.pieces),
            "sentencepiece merges the character all the same, tokenizers cannot: they will differ.",
            _named(model, ids),
            f"{_REPAIR} They become UNUSED.",
        )


def _outranking(patient: Patient, model: Model) -> Iterator[Finding]:
    start = patient.base_size
    if start is None or patient.base is None or patient.base.model is None:
        return
    floor = score_floor(patient.base.model)
    merges = [
        piece
        for piece in patient.base.model.pieces
        if piece.type is PieceType.NORMAL and len(piece.text) > 1 and abs(piece.score) < SENTINEL
    ]
    above = [
        (index, piece)
        for index, piece in enumerate(model.pieces[start:], start)
        if piece.type is PieceType.NORMAL and len(piece.text) > 1 and piece.score >= floor
    ]
    if not above:
        return
    best = max(piece.score for _, piece in above)
    outranked = sum(piece.score < best for piece in merges)
    yield Finding(
        "added pieces that outrank the base",
        "ill",
        len(above),
        patient.size - start,
        f"They merge before {outranked} of the base's {len(merges)} merges: old text is cut anew.",
        some({"id": index, "piece": p.text, "score": p.score} for index, p in above),
        _REPAIR,
    )


def lost_pieces(patient: Patient, dead: Sequence[Dead]) -> list[Dead]:
    """Base pieces that the base alone brings out and the whole model does not."""
    base, start = patient.base, patient.base_size
    if base is None or base.model is None or start is None:
        return []
    mine = [entry for entry in dead if entry.id < start]
    before = alive(base.model, [entry.id for entry in mine])
    return [entry for entry in mine if entry.id not in before]


def _lost(patient: Patient, model: Model, dead: Sequence[Dead]) -> Iterator[Finding]:
    lost = lost_pieces(patient, dead)
    if not lost:
        return
    by_blocker: dict[str, list[str]] = defaultdict(list)
    for entry in lost:
        name = model.pieces[entry.blocker].text if entry.blocker is not None else "(dead half)"
        by_blocker[name].append(entry.piece)
    worst = sorted(by_blocker.items(), key=lambda item: (-len(item[1]), item[0]))
    yield Finding(
        "base pieces lost",
        "ill",
        len(lost),
        patient.base_size,
        "They came out of the base and can no longer be produced.",
        some({"in the way": name, "lost": words[:8]} for name, words in worst),
        _REPAIR,
    )


def _scripts(patient: Patient, model: Model) -> Iterator[Finding]:
    start = patient.base_size
    if start is None:
        return
    kinds: dict[str, list[str]] = defaultdict(list)
    for piece in model.pieces[start:]:
        if piece.type is PieceType.NORMAL and not SPECIAL_NAME.match(piece.text):
            kinds[script_of(piece.text)].append(piece.text)
    other = {name: words for name, words in kinds.items() if name != "han"}
    count = sum(map(len, other.values()))
    if count:
        yield Finding(
            "added pieces that are not Han alone",
            "warning",
            count,
            patient.size - start,
            "They can cut old text anew: " + ", ".join(_counted(other)) + ".",
            some({"class": name, "such as": words[:8]} for name, words in sorted(other.items())),
            "`yanmo vocab merge` takes Han words alone.",
        )


def _counted(groups: dict[str, list[str]]) -> list[str]:
    counts = Counter({name: len(words) for name, words in groups.items()})
    return [f"{name} {count}" for name, count in counts.most_common()]
