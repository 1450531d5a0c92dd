"""A SentencePiece BPE model as a ``tokenizer.json`` that gives the same ids.

SentencePiece has no table of merges: two neighbours merge if their concatenation is a piece, the
highest score first, the leftmost on ties. So each piece gives one merge per split into two pieces,
in the order of falling scores. Byte, control, unknown and unused pieces never come from a merge;
if they did, text that spells ``</s>`` would become the end of the sentence.

Source: google/sentencepiece, src/bpe_model.cc, Model::SampleEncode.
"""

import base64
from typing import Any

from yanmo.errors import DataError

from .convert import added_token
from .spm import Model, Piece, PieceType, charsmap_of, normalizer_of, type_of

SPACE = "\u2581"
_NEVER_SCORE = -1e6
_MERGEABLE = (PieceType.NORMAL, PieceType.USER_DEFINED)


def spm_document(model: Model, *, bos: str | None = None) -> dict[str, Any]:
    """Build the ``tokenizer.json`` document of a SentencePiece BPE or unigram model.

    Args:
        model: the parsed ``.model``.
        bos: piece that a post-processor puts before every text, as LLaMA does; ``None``: none.

    Raises:
        DataError: the model is of another type, or has no unknown piece.
    """
    kind = type_of(model)
    if kind not in ("bpe", "unigram"):
        raise DataError("only BPE and unigram models have a tokenizer.json", value=kind)
    unknown = [k for k, piece in enumerate(model.pieces) if piece.type is PieceType.UNKNOWN]
    if not unknown:
        raise DataError("the model has no unknown piece")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added(model.pieces),
        "normalizer": _normalizer(model),
        "pre_tokenizer": None,
        "post_processor": _bos_template(model.pieces, bos) if bos else None,
        "decoder": _decoder(model),
        "model": _bpe(model, unknown[0]) if kind == "bpe" else _unigram(model, unknown[0]),
    }


def _bpe(model: Model, unknown: int) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": model.pieces[unknown].text,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": _has_bytes(model),
        "ignore_merges": False,
        "vocab": {piece.text: index for index, piece in enumerate(model.pieces)},
        "merges": [list(pair) for pair in merges_of_pieces(model.pieces)],
    }


def _unigram(model: Model, unknown: int) -> dict[str, Any]:
    # `tokenizers` also looks for byte and control pieces in the text itself, so that a written
    # "<0x0A>" would become a line end; no path through them may win.
    scores = [piece.score if piece.type in _MERGEABLE else _NEVER_SCORE for piece in model.pieces]
    return {
        "type": "Unigram",
        "unk_id": unknown,
        "vocab": [[p.text, score] for p, score in zip(model.pieces, scores, strict=True)],
        "byte_fallback": _has_bytes(model),
    }


def _has_bytes(model: Model) -> bool:
    return any(piece.type is PieceType.BYTE for piece in model.pieces)


def merges_of_pieces(pieces: tuple[Piece, ...]) -> list[tuple[str, str]]:
    """Every split of every piece into two pieces, in the order in which SentencePiece merges."""
    known = {piece.text for piece in pieces if piece.type in _MERGEABLE}
    ranked: list[tuple[float, int, int, int, str, str]] = []
    for index, piece in enumerate(pieces):
        if piece.type is not PieceType.NORMAL:
            continue
        text = piece.text
        for cut in range(len(text) - 1, 0, -1):
            left, right = text[:cut], text[cut:]
            if left in known and right in known:
                # Among equal scores (LLaMA's runs of spaces) longer left parts first: that makes
                # a run grow from its left end, as "leftmost first" does.
                ranked.append((-piece.score, -cut, cut - len(text), index, left, right))
    return [(left, right) for *_, left, right in sorted(ranked)]


def _added(pieces: tuple[Piece, ...]) -> list[dict[str, Any]]:
    special = (PieceType.CONTROL, PieceType.UNKNOWN)
    return [
        added_token(piece.text.replace(SPACE, " "), index, special=piece.type in special)
        for index, piece in enumerate(pieces)
        if piece.type in (*special, PieceType.USER_DEFINED)
    ]


def _normalizer(model: Model) -> dict[str, Any] | None:
    spec = normalizer_of(model)
    steps: list[dict[str, Any]] = []
    charsmap = charsmap_of(model)
    if charsmap:
        encoded = base64.b64encode(charsmap).decode("ascii")
        steps.append({"type": "Precompiled", "precompiled_charsmap": encoded})
    if spec.remove_extra_whitespaces:
        # Not the step named Strip: it takes U+0085 off too.
        steps.append({"type": "Replace", "pattern": {"Regex": r"\A +| +\z"}, "content": ""})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    if spec.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": SPACE})
    if spec.escape_whitespaces:
        steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return {"type": "Sequence", "normalizers": steps} if steps else None


def _decoder(model: Model) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if normalizer_of(model).add_dummy_prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _bos_template(pieces: tuple[Piece, ...], bos: str) -> dict[str, Any]:
    index = next(k for k, piece in enumerate(pieces) if piece.text == bos)
    return bos_template(bos, index)


def bos_template(bos: str, index: int) -> dict[str, Any]:
    """A post-processor that puts one token before each text."""
    start = {"SpecialToken": {"id": bos, "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    second_start = {"SpecialToken": {"id": bos, "type_id": 1}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [start, first],
        "pair": [start, first, second_start, second],
        "special_tokens": {bos: {"id": bos, "ids": [index], "tokens": [bos]}},
    }
