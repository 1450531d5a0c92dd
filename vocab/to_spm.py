"""A ``tokenizer.json`` as a SentencePiece model, where its algorithm is SentencePiece's.

SentencePiece has no list of merges: any two neighbours whose concatenation is a piece merge, the
best score first. So a list of merges can be expressed if it holds *every* split of every piece
that it makes, and if the merges that make one piece stand together (runs of one character aside,
which share a score). What else a ``tokenizer.json`` can do (cut words by a pattern, other
normalisers) has no place in a model file.
"""

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from yanmo.errors import UsageError

from .spm import Model, Piece, PieceType, bytes_field, number_field
from .spm_json import SPACE, merges_of_pieces

_PREPEND: Final = {"type": "Prepend", "prepend": SPACE}
_REPLACE: Final = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_STRIP: Final = {"type": "Replace", "pattern": {"Regex": r"\A +| +\z"}, "content": ""}
_SQUEEZE: Final = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
_BYTE: Final = tuple(f"<0x{byte:02X}>" for byte in range(256))
# TrainerSpec and NormalizerSpec field numbers.
# Source: google/sentencepiece, src/sentencepiece_model.proto.
_MODEL_TYPE, _VOCAB_SIZE, _BYTE_FALLBACK = 3, 4, 35
_IDS: Final = {"unk": 40, "bos": 41, "eos": 42, "pad": 43}
_NAMES: Final = {"unk": 45, "bos": 46, "eos": 47, "pad": 48}


def spm_model(document: Mapping[str, Any], roles: Mapping[str, str | None]) -> Model:
    """Build the model.

    Args:
        document: a ``tokenizer.json``; merges as lists of two.
        roles: which piece plays ``unk``, ``bos``, ``eos``, ``pad``.

    Raises:
        UsageError: it cannot be expressed; the reason is named.
    """
    kind = document["model"].get("type", "BPE")
    if kind not in ("BPE", "Unigram"):
        raise _refusal(f"{kind} is no algorithm of SentencePiece")
    spec = _normalizer_spec(document)
    pieces = _bpe(document) if kind == "BPE" else _unigram(document)
    fields = {_MODEL_TYPE: 2 if kind == "BPE" else 1, _VOCAB_SIZE: len(pieces)}
    if any(piece.type is PieceType.BYTE for piece in pieces):
        fields[_BYTE_FALLBACK] = 1
    texts = [piece.text for piece in pieces]
    trainer = b"".join(number_field(key, value) for key, value in fields.items())
    unknown = next(piece.text for piece in pieces if piece.type is PieceType.UNKNOWN)
    for role, number in _IDS.items():
        name = unknown if role == "unk" else roles.get(role)
        index = texts.index(name) if name in texts else -1
        trainer += number_field(number, index)
        if name is not None and index >= 0:
            trainer += bytes_field(_NAMES[role], name.encode())
    return Model(tuple(pieces), bytes_field(2, trainer) + bytes_field(3, spec))


def _refusal(why: str, value: object = None) -> UsageError:
    return UsageError(
        f"it cannot be written as a SentencePiece model: {why}",
        value=value,
        fix="`--to hf` writes a folder that transformers and tokenizers read.",
    )


def _normalizer_spec(document: Mapping[str, Any]) -> bytes:
    """NormalizerSpec of a document: a character map, stripping, a prefix, spaces as U+2581."""
    normalizer = document.get("normalizer")
    steps = list(normalizer.get("normalizers", [normalizer])) if normalizer else []
    charsmap, strip, prefix, replace = b"", 0, 0, 0
    for step in steps:
        if step["type"] == "Precompiled":
            charsmap = base64.b64decode(step["precompiled_charsmap"])
        elif step in (_STRIP, _SQUEEZE):
            strip = 1
        elif step == _PREPEND:
            prefix = 1
        elif step == _REPLACE:
            replace = 1
        else:
            raise _refusal("its normalizer is none of SentencePiece's", step["type"])
    words = document.get("pre_tokenizer")
    if words is not None:
        if words["type"] != "Metaspace" or words.get("split", True):
            raise _refusal("its pre-tokenizer cuts words by a pattern", words["type"])
        replace = 1
        prefix = int(words.get("prepend_scheme", "always") != "never")
    if not replace:
        raise _refusal("it does not write spaces as U+2581")
    name = bytes_field(1, b"user_defined" if charsmap else b"identity")
    mapped = bytes_field(2, charsmap) if charsmap else b""
    return name + mapped + number_field(3, prefix) + number_field(4, strip) + number_field(5, 1)


def _types(document: Mapping[str, Any], texts: Sequence[str], unknown: str) -> list[PieceType]:
    added = {token["content"]: token for token in document["added_tokens"]}
    found = []
    for text in texts:
        if text == unknown:
            found.append(PieceType.UNKNOWN)
        elif text in added:
            special = added[text]["special"]
            found.append(PieceType.CONTROL if special else PieceType.USER_DEFINED)
        elif text in _BYTE and document["model"].get("byte_fallback"):
            found.append(PieceType.BYTE)
        else:
            found.append(PieceType.NORMAL)
    return found


def _bpe(document: Mapping[str, Any]) -> list[Piece]:
    model = document["model"]
    if model.get("ignore_merges") or model.get("dropout") or model.get("end_of_word_suffix"):
        raise _refusal("whole words are taken without merging, or merging is random")
    unknown = model.get("unk_token")
    if unknown is None:
        raise _refusal("it has no unknown token, which SentencePiece must have")
    vocab = {**model["vocab"], **{t["content"]: t["id"] for t in document["added_tokens"]}}
    texts = sorted(vocab, key=lambda text: int(vocab[text]))
    if [vocab[text] for text in texts] != list(range(len(texts))):
        raise _refusal("its ids have holes")
    merges = [(left, right) for left, right in model["merges"]]
    rank = _blocks([left + right for left, right in merges])
    low = len(rank)
    pieces = []
    for text, kind in zip(texts, _types(document, texts, unknown), strict=True):
        score = 0.0
        if kind is PieceType.NORMAL:
            score = -float(rank.get(text, low))
            low += text not in rank
        pieces.append(Piece(text, score, kind))
    _require_same(merges, merges_of_pieces(tuple(pieces)))
    return pieces


def _require_same(wanted: list[tuple[str, str]], made: list[tuple[str, str]]) -> None:
    """The merges that SentencePiece would do are the listed ones, in an order that says the same.

    Raises:
        UsageError: they are not.
    """
    listed, done = set(wanted), set(made)
    missing = next((pair for pair in made if pair not in listed), None)
    if missing is not None:
        raise _refusal(
            "it does not merge two neighbours whose concatenation is an entry, and SentencePiece "
            "always does",
            missing,
        )
    extra = next((pair for pair in wanted if pair not in done), None)
    if extra is not None:
        raise _refusal("it merges what SentencePiece keeps apart", extra)
    runs = [pair for pair in wanted if len(set(pair[0] + pair[1])) == 1]
    again = [pair for pair in made if len(set(pair[0] + pair[1])) == 1]
    pairs = zip(runs, again, strict=True)
    moved = next((pair for pair, other in pairs if pair != other), None)
    if moved is not None:
        raise _refusal("runs of one character merge in another order", moved)


def _blocks(products: Sequence[str]) -> dict[str, int]:
    """A rank for every product of a list of merges, in its order; runs that interleave share one.

    Raises:
        UsageError: merges of other products interleave.
    """
    last = {product: position for position, product in enumerate(products)}
    rank: dict[str, int] = {}
    end, block, members = -1, -1, set[str]()
    for position, product in enumerate(products):
        if position > end:
            block, end, members = block + 1, last[product], set()
        end = max(end, last[product])
        members.add(product)
        rank[product] = block
        if len(members) > 1 and len(set("".join(members))) > 1:
            raise _refusal("the merges that make one piece do not stand together", product)
    return rank


def _unigram(document: Mapping[str, Any]) -> list[Piece]:
    vocab = document["model"]["vocab"]
    texts = [text for text, _ in vocab]
    unknown = texts[document["model"]["unk_id"]]
    added = [t for t in document["added_tokens"] if t["id"] >= len(texts)]
    if added:
        raise _refusal("tokens were added behind its pieces", added[0]["content"])
    kinds = _types(document, texts, unknown)
    scores = [_float32(score) for _, score in vocab]
    return [Piece(t, s, k) for t, s, k in zip(texts, scores, kinds, strict=True)]


def _float32(value: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return found
