"""The text behind vocabulary entries: what bytes an id stands for."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

from .charsets import script_of
from .convert import from_alphabet
from .load import Tokenizer

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>\Z")
SPACE = "\u2581"


def piece_bytes(piece: str, kind: str) -> bytes:
    """The bytes that a piece adds to a text.

    Args:
        piece: the vocabulary's own spelling.
        kind: a tokenizer's kind: ``spm-bpe``, ``spm-unigram``, ``byte-bpe``, ``wordpiece`` …

    Returns:
        For SentencePiece ``▁`` is a space and ``<0xE4>`` a byte; byte-level spellings are undone
        (an added token that is none is taken as it is); WordPiece loses its ``##``.
    """
    if kind.startswith("spm"):
        byte = _BYTE_PIECE.match(piece)
        return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode()
    if kind == "byte-bpe":
        found = from_alphabet(piece)
        return piece.encode() if found is None else found
    return (piece[2:] if kind == "wordpiece" and piece.startswith("##") else piece).encode()


def pieces_of(tokenizer: Tokenizer) -> list[str]:
    """Every vocabulary entry by id; holes in the ids are empty strings."""
    return [tokenizer.id_to_piece(index) or "" for index in range(tokenizer.vocab_size)]


def surfaces_of(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of every id; see :func:`piece_bytes`."""
    return surfaces(pieces_of(tokenizer), tokenizer.kind)


def surfaces(pieces: Sequence[str], kind: str) -> list[bytes]:
    """The bytes of every piece; see :func:`piece_bytes`."""
    return [piece_bytes(piece, kind) for piece in pieces]


def census(pieces: Sequence[str], kind: str, *, special: Collection[str] = ()) -> dict[str, int]:
    """Count vocabulary entries by class.

    Args:
        pieces: entries in the vocabulary's own spelling.
        kind: the tokenizer's kind.
        special: special tokens, a class of their own.

    Returns:
        Class to count: ``special``, ``bytes`` (single bytes and cut characters), and the classes
        of :func:`~yanmo.vocab.charsets.script_of`.
    """
    counts = Counter(_class(piece, kind, special) for piece in pieces)
    return dict(sorted(counts.items()))


def _class(piece: str, kind: str, special: Collection[str]) -> str:
    if piece in special:
        return "special"
    surface = piece_bytes(piece, kind)
    if len(surface) == 1 and (kind == "byte-bpe" or _BYTE_PIECE.match(piece)):
        return "bytes"
    try:
        return script_of(surface.decode("utf-8"))
    except UnicodeDecodeError:
        return "bytes"
