"""Put the pieces of another vocabulary behind a base: as the famous recipe does, or right.

``zero`` is the published recipe, byte for byte: every piece the base lacks, with score 0. Score 0
outranks all merges of the base and ties among the new, so English falls apart, hundreds of pieces
can never come out, and three libraries give three sets of ids. ``ranked`` takes Han words alone,
gives them unique scores below the base's, and puts in the parents that they need.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yanmo.errors import UsageError
from yanmo.recipe import setting, to_table

from . import folder
from .base import Base, Notes, Token, grow, load_base
from .charsets import is_han
from .derive import Deriver
from .load import find_tokenizer_file, load_tokenizer, sniff_format
from .proof import Proof, write_proven
from .spm import Piece, PieceType, parse_model
from .spm_json import spm_document
from .surfaces import surfaces_of


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """How the pieces of NEW are taken."""

    scores: str = setting("ranked", choices=("ranked", "zero"))
    underivable: str = setting(
        "repair",
        choices=("repair", "drop"),
        help="A word that no two pieces make: add the missing parents, or leave it out.",
    )
    max_chars: int | None = setting(None, low=1, help="Longest word to take.")
    limit: int | None = setting(None, low=1, help="Most entries to add, parents included.")
    seed: int = setting(0, help="Seed of the random texts of the verification.")


@dataclass(frozen=True)
class Merged:
    """A grown vocabulary, and what became of each candidate."""

    grown: Base
    tokens: list[Token]
    candidates: int
    dropped: dict[str, list[str]]


def merge_tokenizers(
    base_path: Path, new_path: Path, out: Path, options: MergeOptions, *, texts: Iterable[str] = ()
) -> dict[str, Any]:
    """Merge, verify, write.

    Args:
        base_path: SentencePiece BPE or byte-level BPE vocabulary.
        new_path: any tokenizer, or a list of words (one a line, a tab ends the word).
        out: tokenizer folder to write.
        options: how to take the pieces.
        texts: real lines for the verification.

    Returns:
        The report that also stands in ``report.json``; ``base_size``, ``added``, ``size``.

    Raises:
        DataError: ``ranked`` failed its verification; nothing is written then.
    """
    folder.refuse_foreign(out, (base_path, new_path))
    base = load_base(base_path)
    pieces = read_pieces(new_path)
    zero = options.scores == "zero"
    merged = merge_zero(base, new_path) if zero else merge_ranked(base, pieces, options)
    report: dict[str, Any] = {
        "base_size": base.size,
        "added": merged.grown.size - base.size,
        "size": merged.grown.size,
        "candidates": merged.candidates,
        "dropped": {reason: len(words) for reason, words in merged.dropped.items()},
        "dropped_examples": {reason: words[:20] for reason, words in merged.dropped.items()},
        "added_by_reason": dict(Counter(token.why for token in merged.tokens)),
    }
    provenance = {
        "made_by": "vocab merge",
        "options": to_table(options),
        "inputs": folder.input_identities([_source(new_path)]),
    }
    notes = Notes(provenance, report)
    proof = Proof(texts=list(texts), seed=options.seed, strict=not zero)
    return write_proven(out, base, merged.grown, notes, proof)


def _source(path: Path) -> Path:
    return path if path.suffix in (".txt", ".tsv") else find_tokenizer_file(path)


def read_pieces(path: Path) -> list[str]:
    """The words of a vocabulary in id order: text of every normal entry, spaces as they are.

    Args:
        path: a tokenizer, or a UTF-8 list of words (one a line; what follows a tab is ignored).

    Raises:
        UsageError: there is no such file.
    """
    if path.suffix in (".txt", ".tsv") and path.is_file() and b"[UNK]" not in path.read_bytes():
        lines = path.read_text(encoding="utf-8").splitlines()
        return [line.split("\t")[0].strip() for line in lines if line.strip()]
    file = find_tokenizer_file(path)
    if sniff_format(file) == "spm":
        kinds = (PieceType.NORMAL, PieceType.USER_DEFINED)
        model = parse_model(file.read_bytes())
        return [piece.text for piece in model.pieces if piece.type in kinds]
    loaded = load_tokenizer(file)
    special = {loaded.bos_id, loaded.eos_id, loaded.pad_id, loaded.unk_id}
    decoded = (
        surface.decode("utf-8", errors="replace")
        for index, surface in enumerate(surfaces_of(loaded))
        if index not in special
    )
    return [text for text in decoded if text and "\ufffd" not in text]


def merge_zero(base: Base, new_path: Path) -> Merged:
    """The published recipe: each piece of NEW that the base lacks, in order, with score 0.

    Source: ymcui/Chinese-LLaMA-Alpaca, scripts/merge_tokenizer/merge_tokenizers.py.

    Raises:
        UsageError: one of the two is no SentencePiece model.
    """
    file = find_tokenizer_file(new_path)
    if base.model is None or sniff_format(file) != "spm":
        raise UsageError("`--scores zero` merges two SentencePiece models", where=new_path)
    known = set(base.pieces)
    new: list[Piece] = []
    dropped: list[str] = []
    candidates = parse_model(file.read_bytes()).pieces
    for piece in candidates:
        if piece.text in known:
            dropped.append(piece.text)
            continue
        known.add(piece.text)
        new.append(Piece(piece.text, 0.0))
    model = base.model.with_pieces(base.model.pieces + tuple(new))
    document = spm_document(model)
    document["post_processor"] = base.document["post_processor"]
    pieces = base.pieces + tuple(piece.text for piece in new)
    grown = replace(base, model=model, document=document, pieces=pieces)
    tokens = [Token(piece.text.encode("utf-8"), why="score 0") for piece in new]
    return Merged(grown, tokens, len(candidates), {"already there": dropped})


def merge_ranked(base: Base, words: Sequence[str], options: MergeOptions) -> Merged:
    """Take the Han words of NEW in their order, each after the parts it merges from.

    A word whose parts come later waits for them; what then still cannot be made gets its missing
    parents or is dropped.
    """
    deriver = Deriver(base)
    dropped: dict[str, list[str]] = {}
    waiting: list[str] = []
    for word in dict.fromkeys(words):
        reason = _refusal(word, deriver, options)
        if reason:
            dropped.setdefault(reason, []).append(word)
        else:
            waiting.append(word)
    tokens, left = place(deriver, waiting, repair=options.underivable == "repair")
    if left:
        dropped["no two parts make it"] = left
    if options.limit is not None and len(tokens) > options.limit:
        tokens = tokens[: options.limit]
    return Merged(grow(base, tokens), tokens, len(set(words)), dropped)


def place(deriver: Deriver, words: Sequence[str], *, repair: bool) -> tuple[list[Token], list[str]]:
    """Order words so that each follows its parts; returns the tokens and the words left over.

    Characters first, for nothing is made without them; then the words in their order; then, as
    long as it helps, those that had to wait; then, shortest first, those that need parents.
    """
    tokens: list[Token] = []

    def go(waiting: Sequence[str], *, repair: bool = False) -> list[str]:
        left = []
        for word in waiting:
            made = deriver.derive(word, repair=repair, why="word")
            if made is None:
                left.append(word)
            else:
                tokens.extend(made)
        return left

    left = go([word for word in words if len(word) == 1])
    waiting = go([word for word in words if len(word) > 1])
    while waiting and len(again := go(waiting)) < len(waiting):
        waiting = again
    if repair:
        waiting = go(sorted(waiting, key=len), repair=True)
    return tokens, left + waiting


def _refusal(word: str, deriver: Deriver, options: MergeOptions) -> str | None:
    if not is_han(word):
        return "not Han alone"
    if options.max_chars is not None and len(word) > options.max_chars:
        return f"longer than {options.max_chars} characters"
    return "already there" if deriver.knows(word.encode("utf-8")) else None
