"""Which WordPiece entries can never be produced, and which entries of other kinds.

WordPiece takes the longest entry at each place. An entry without ``##`` comes out if the normaliser
leaves its text alone and the pre-tokenizer takes it for one word. ``##x`` needs a word that goes on
with ``x`` after an entry that no longer entry overlaps: if one exists, some beginning in the
vocabulary shows it, and all are tried before an entry is called dead.
"""

from collections.abc import Sequence
from typing import Any, Final

from .agreement import Encode, fast_of
from .patient import Patient, spelled_space
from .reach_spm import CONTEXTS, Dead

_BATCH: Final = 4096
_NEXT: Final = "##"


def wordpiece_dead(patient: Patient) -> list[Dead]:
    """The entries of a WordPiece vocabulary that no text brings out, with the reason."""
    fast = fast_of(patient.document)
    encode = patient.encode()
    ids = patient.probe_ids()
    waiting = {i: patient.pieces[i] for i in ids}
    starts = {i: text for i, text in waiting.items() if not text.startswith(_NEXT)}
    out = encode(list(starts.values()))
    dead_ids = {i for i, found in zip(starts, out, strict=True) if found != [i]}
    dead_ids |= _dead_continuations(patient, fast, encode, sorted(set(waiting) - set(starts)))
    return [_reason(patient, fast, encode, index) for index in sorted(dead_ids)]


def _dead_continuations(
    patient: Patient, fast: Any, encode: Encode, ids: Sequence[int]
) -> set[int]:
    """``##`` entries that follow none of the vocabulary's beginnings."""
    beginnings = _beginnings(patient, fast)
    hopeful = [i for i in ids if _goes_on(fast, patient.pieces[i][2:])]
    dead = set(ids) - set(hopeful)
    for beginning in beginnings:
        if not hopeful:
            break
        texts = [beginning + patient.pieces[i][2:] for i in hopeful]
        found = encode(texts)
        hopeful = [i for i, out in zip(hopeful, found, strict=True) if out[-1:] != [i]]
    return dead | set(hopeful)


def _beginnings(patient: Patient, fast: Any) -> list[str]:
    """Words that an entry can follow: those with the fewest continuations in the vocabulary first.

    Every entry is a beginning: ``x`` as it is, ``##x`` behind a letter.
    """
    words = [patient.pieces[i] for i in patient.probe_ids()]
    whole = [word for word in words if not word.startswith(_NEXT) and _goes_on(fast, word)]
    inner = [
        "a" + word[2:] for word in words if word.startswith(_NEXT) and _goes_on(fast, word[2:])
    ]
    # Rare letters first: almost every entry follows them.
    single = sorted((word for word in whole if len(word) == 1), key=ord, reverse=True)
    return [*single[:64], *whole, *inner]


def _goes_on(fast: Any, text: str) -> bool:
    """Whether a text, as it is, may stand inside a word."""
    normal = fast.normalizer.normalize_str("a" + text) if fast.normalizer else "a" + text
    if normal != "a" + text:
        return False
    words = fast.pre_tokenizer.pre_tokenize_str(normal) if fast.pre_tokenizer else [(normal, None)]
    return [word for word, _ in words] == [normal]


def _reason(patient: Patient, fast: Any, encode: Encode, index: int) -> Dead:
    piece = patient.pieces[index]
    inner = piece.startswith(_NEXT)
    text = ("a" if inner else "") + (piece[2:] if inner else piece)
    out = " ".join(patient.pieces[i] for i in encode([text])[0])
    detail = f"{text!r} comes out as {out}"
    normal = fast.normalizer.normalize_str(text) if fast.normalizer else text
    if normal.replace(" ", "") != text:
        return Dead(index, piece, "normaliser", f"{detail}: the normaliser makes {normal!r} of it")
    words = fast.pre_tokenizer.pre_tokenize_str(normal) if fast.pre_tokenizer else []
    if len(words) > 1 or normal != text:
        return Dead(index, piece, "pre-tokenizer", f"{detail}: it is cut into words before")
    return Dead(index, piece, "shadowed", f"{detail}: longer entries come first")


def other_dead(patient: Patient) -> list[Dead]:
    """Entries of any other vocabulary that come out of their own text in no surroundings."""
    encode = patient.bare_encode()
    waiting = patient.probe_ids()
    for left, right in CONTEXTS:
        texts = [left + spelled_space(patient.pieces[i]) + right for i in waiting]
        found = encode(texts)
        waiting = [i for i, out in zip(waiting, found, strict=True) if i not in out]
    texts = [spelled_space(patient.pieces[i]) for i in waiting]
    return [
        Dead(
            i,
            patient.pieces[i],
            "shadowed",
            f"comes out as {' '.join(patient.pieces[k] for k in out)}",
        )
        for i, out in zip(waiting, encode(texts), strict=True)
    ]
