"""A movable window over a stream of byte pieces, with breaks where the stream is damaged."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Break:
    """The bytes before and after do not belong together: something between them is lost.

    Attributes:
        suspect_from: content offset from which the bytes before the break may be wrong (their
            checksum failed); None where they are only incomplete.
    """

    suspect_from: int | None = None


Piece = bytes | Break


class Window:
    """The bytes at hand, how far they reach, and where in the stream they begin.

    Attributes:
        data: bytes not yet dropped.
        offset: stream offset of ``data[0]``.
        ended: no byte follows ``data`` in this segment (end of stream, or a break).
        cut: the segment ended in a break; None at the end of the stream.
    """

    def __init__(self, pieces: Iterable[Piece], *, offset: int = 0) -> None:
        self.data = bytearray()
        self.offset = offset
        self.ended = False
        self.cut: Break | None = None
        self._pieces: Iterator[Piece] = iter(pieces)

    def fill(self, size: int) -> int:
        """Take pieces until ``size`` bytes are at hand or the segment ends; return how many are."""
        while len(self.data) < size and not self.ended:
            piece = next(self._pieces, None)
            if isinstance(piece, bytes):
                self.data += piece
            else:
                self.ended, self.cut = True, piece
        return len(self.data)

    def peek(self, start: int, end: int) -> bytes:
        """A copy of bytes at hand, as a slice."""
        with memoryview(self.data) as view:
            return bytes(view[start:end])

    def drop(self, size: int) -> None:
        """Forget ``size`` bytes at the front (cheap: a bytearray moves its start)."""
        del self.data[:size]
        self.offset += size

    def next_segment(self) -> bool:
        """Step over a break; False at the end of the stream."""
        if self.cut is None:
            return False
        self.ended, self.cut = False, None
        return True
