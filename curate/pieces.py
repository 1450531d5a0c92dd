"""Where one token ends and the next begins, in text."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

BOUNDARY = "│"
UNFINISHED = "\ufffd"


class Decoder(Protocol):
    """What is needed of a tokenizer."""

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of some ids."""

    def id_to_piece(self, index: int) -> str | None:
        """How the vocabulary writes a token."""


class Piece(NamedTuple):
    """A stretch of text and the tokens that make it: several where one character has several."""

    text: str
    ids: list[int]
    tokens: list[str | None]


def pieces(decoder: Decoder, ids: Sequence[int]) -> list[Piece]:
    """Cut a text between its tokens, but never inside a character.

    A token is decoded with all before it, for alone some lose their space. Quadratic: for a few
    hundred ids.
    """
    found: list[Piece] = []
    done, waiting = "", list[int]()
    for number, index in enumerate(ids, 1):
        waiting.append(int(index))
        text = decoder.decode([int(i) for i in ids[:number]], skip_special=False)
        if number < len(ids) and (text.endswith(UNFINISHED) or not text.startswith(done)):
            continue
        own = text[len(done) :] if text.startswith(done) else decoder.decode(waiting)
        found.append(Piece(own, waiting, [decoder.id_to_piece(i) for i in waiting]))
        done, waiting = text, []
    return found


def with_boundaries(found: Sequence[Piece]) -> str:
    """The text with a bar between tokens; a character of several tokens says of how many."""
    return BOUNDARY.join(
        piece.text if len(piece.ids) == 1 else f"{piece.text}⟨{len(piece.ids)}⟩" for piece in found
    )


def with_ids(found: Sequence[Piece]) -> str:
    """A line for each stretch: its text, its ids, and how the vocabulary writes them."""
    return "\n".join(
        f"{piece.text!r:<14} {' '.join(map(str, piece.ids)):<20} "
        f"{' '.join(token or '?' for token in piece.tokens)}" for piece in found
    )  # fmt: skip


def as_json(found: Sequence[Piece]) -> list[dict[str, Any]]:
    """For ``--json``."""
    return [piece._asdict() for piece in found]
