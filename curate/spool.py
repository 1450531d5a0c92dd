"""Unpacked content in the cache: compressed files are decompressed once, and read by many tasks.

The content lies in pieces, packed again by zstd at its fastest level: a piece is small, opens
anywhere in the file, and unpacks several times faster than gzip. Where the stream was damaged is
kept beside it, so that reading the pieces is reading the file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zstandard

from yanmo.errors import DataError

from .window import PIECE_BYTES, Break, Piece

LEVEL = 1

Breaks = Sequence[tuple[int, int | None]]
"""Content offset and :attr:`Break.suspect_from` of each break, in order."""


class SpoolWriter:
    """Writes content into ``piece-00000.zst`` … of ``piece_bytes`` each; the last may be shorter.

    Attributes:
        pieces: ``{"name", "bytes", "line", "newline"}`` of each piece: its content bytes, where in
            it the first newline ends (None without one), and whether a newline ends it.
    """

    def __init__(self, out: Path, piece_bytes: int) -> None:
        self.out, self.piece_bytes = out, piece_bytes
        self.pieces: list[dict[str, Any]] = []
        self.bytes = 0
        self._stream: zstandard.ZstdCompressionWriter | None = None

    def write(self, content: bytes) -> None:
        """Append content."""
        at = 0
        while at < len(content):
            if self._stream is None or self.pieces[-1]["bytes"] == self.piece_bytes:
                self._next()
            piece = self.pieces[-1]
            part = content[at : at + self.piece_bytes - piece["bytes"]]
            if piece["line"] is None and (end := part.find(b"\n") + 1):
                piece["line"] = piece["bytes"] + end
            piece["newline"] = part.endswith(b"\n")
            piece["bytes"] += len(part)
            self._stream.write(part)  # type: ignore[union-attr]  # _next has set it
            at += len(part)
        self.bytes += at

    def _next(self) -> None:
        self._close()
        name = f"piece-{len(self.pieces):05d}.zst"
        self.pieces.append({"name": name, "bytes": 0, "line": None, "newline": False})
        packer = zstandard.ZstdCompressor(level=LEVEL)
        self._stream = packer.stream_writer((self.out / name).open("wb"))

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()  # type: ignore[no-untyped-call]  # and the file below it
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


def read_spool(
    paths: Sequence[Path], *, at: int, sizes: Sequence[int], start: int, stop: int | None = None
) -> Iterator[bytes]:
    """Content from ``start`` to ``stop`` out of pieces that follow one another.

    Args:
        paths: the pieces.
        at: content offset of the first of them.
        sizes: content bytes of each.
        start: content offset to begin at, in the first piece.
        stop: content offset to end at; None reads on to the end of the last piece.

    Yields:
        At most ``PIECE_BYTES`` at once.

    Raises:
        DataError: a piece does not hold what was written into it.
    """
    for path, size in zip(paths, sizes, strict=True):
        if stop is not None and at >= stop:
            return
        end = at
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as reader:
            while part := reader.read(PIECE_BYTES):
                begin, end = end, end + len(part)
                part = part[max(0, start - begin) : None if stop is None else max(0, stop - begin)]
                if part:
                    yield part
                if stop is not None and end >= stop:
                    break
        if end != at + size and (stop is None or end < stop):
            fix = "Remove the cache folder of the run; the same command makes it anew."
            raise DataError("an unpacked piece is not whole", where=path, value=end - at, fix=fix)
        at += size


def with_breaks(pieces: Iterator[bytes], breaks: Breaks, *, start: int) -> Iterator[Piece]:
    """Put breaks back to where they were; one at ``start`` belongs to what comes before.

    Args:
        pieces: the content.
        breaks: of the whole content.
        start: content offset of the first piece.
    """
    waiting = iter([item for item in breaks if item[0] > start])
    following = next(waiting, None)
    at = start
    for piece in pieces:
        rest = piece
        while following is not None and following[0] <= at + len(rest):
            head, rest = rest[: following[0] - at], rest[following[0] - at :]
            if head:
                yield head
            at += len(head)
            yield Break(following[1])
            following = next(waiting, None)
        if rest:
            yield rest
        at += len(rest)
