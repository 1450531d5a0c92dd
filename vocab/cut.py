"""A vocabulary without some of the entries that were added to it; the others move up."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from .base import Base
from .spm import Model
from .spm_json import spm_document


def restrict(whole: Base, dropped: Collection[int]) -> tuple[Base, list[int]]:
    """Take entries out.

    Args:
        whole: the vocabulary.
        dropped: ids to take out.

    Returns:
        The smaller vocabulary, and the old id of each of its ids.

    Special tokens among them are no longer special either.
    """
    gone = set(dropped)
    kept = [index for index in range(whole.size) if index not in gone]
    pieces = tuple(whole.pieces[index] for index in kept)
    if whole.model is not None:
        model = whole.model.with_pieces(tuple(whole.model.pieces[index] for index in kept))
        return replace(whole, model=model, document=_spm(whole, model), pieces=pieces), kept
    return replace(whole, document=_bytes(whole, kept, gone), pieces=pieces), kept


def cut(whole: Base, size: int) -> Base:
    """The first ``size`` entries."""
    return restrict(whole, range(size, whole.size))[0] if size < whole.size else whole


def _spm(whole: Base, model: Model) -> dict[str, Any]:
    document = spm_document(model)
    document["post_processor"] = whole.document["post_processor"]
    return document


def _bytes(whole: Base, kept: list[int], gone: set[int]) -> dict[str, Any]:
    model = whole.document["model"]
    number = {old: new for new, old in enumerate(kept)}
    vocab = {piece: number[i] for piece, i in model["vocab"].items() if i not in gone}
    merges = [
        pair
        for pair in model["merges"]
        if pair[0] in vocab and pair[1] in vocab and pair[0] + pair[1] in vocab
    ]
    added = [
        {**token, "id": number[token["id"]]}
        for token in whole.document["added_tokens"]
        if token["id"] not in gone
    ]
    return {
        **whole.document,
        "added_tokens": added,
        "model": {**model, "vocab": vocab, "merges": merges},
    }
