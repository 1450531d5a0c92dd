"""Bytes of an input file, decompressed, surviving damage in the compressed stream.

``gzip`` and ``zstandard`` stop at the first wrong byte and cannot say what was left over. Here
every stored byte is booked: used, padding, or damaged. After damage the reading goes on at the next
gzip member or zstd frame that really decompresses (the magic bytes alone lie: one place in 16
million of compressed data looks like a gzip header, and payloads hold whole gzip files).
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from yanmo.errors import DataError

from .ledger import Books
from .window import PIECE_BYTES, Break, Piece, Window

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
ZSTD_MAX_WINDOW = 1 << 27
"""zstd's own limit for streams: 128 MiB (``--long=27``)."""

# Compressed bytes fed at once. zlib copies what follows a member, so that a megabyte at once would
# copy a hundred times per megabyte in a WARC with members of 10 kB. A slice inflates to at most
# 17 MB (deflate gives at most 1032 for 1).
SLICE_BYTES = 1 << 14
# A resync candidate must inflate this many bytes or end with a right checksum before.
PROBE_BYTES = 1 << 18
PROBE_CUT_BYTES = 1 << 10
# The head of a damaged span that goes into the quarantine (compressed bytes tell people little).
HEAD_BYTES = 1 << 12
MAX_GZIP_HEADER = 1 << 17


class _Damage(Exception):
    """A member cannot be decompressed beyond the place where the window stands."""

    def __init__(self, error: str, *, suspect: bool = False) -> None:
        super().__init__(error)
        self.suspect = suspect


class Meter:
    """Counts the bytes that pass, apart from what the readers book."""

    def __init__(self) -> None:
        self.bytes = 0

    def count(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Hand the pieces through."""
        for piece in pieces:
            if isinstance(piece, bytes):
                self.bytes += len(piece)
            yield piece


def raw_pieces(stream: BinaryIO, where: str) -> Iterator[Piece]:
    """A file in pieces of equal size (a pipe gives what it has; the pieces must not depend on it).

    Raises:
        DataError: the operating system cannot read on.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        try:
            part = stream.read(PIECE_BYTES - size)
        except OSError as error:
            raise DataError(f"cannot read on ({error})", where=where) from error
        parts.append(part)
        size += len(part)
        if size == PIECE_BYTES or not part:
            if size:
                yield b"".join(parts)
            if not part:
                return
            parts, size = [], 0


def decompress(raw: Window, books: Books) -> Iterator[Piece]:
    """The content of a stored stream; every stored byte is booked.

    What the stream is, its magic bytes say, else the suffix of its name. Against the suffix the
    magic must be borne out by a member that decompresses.

    Args:
        raw: window over the stored bytes.
        books: where used, skipped and damaged spans go.

    Yields:
        Pieces of bounded size, and a ``Break`` for each damage.
    """
    codec = codec_of(raw, books.file)
    return _plain(raw, books) if codec is None else members(raw, books, codec)


def codec_of(raw: Window, name: str) -> "Codec | None":
    """How the stream in a window, which stands at its begin, is compressed; None: it is not."""
    raw.fill(PROBE_BYTES)
    named = _codec_by_name(name)
    magic = _codec_by_magic(raw.peek(0, 4))
    codec: Codec | None = named if raw.data else None
    if magic is not None and (
        "." not in name
        or (named is not None and named.name == magic.name)
        or magic.works(raw.peek(0, PROBE_BYTES))
    ):
        codec = magic
    return codec


def codec_named(name: str) -> "Codec":
    """The codec of a :attr:`Codec.name`."""
    return _Gzip() if name == _Gzip.name else _Zstd()


def _codec_by_name(name: str) -> "Codec | None":
    lower = name.lower()
    return _Gzip() if lower.endswith(".gz") else _Zstd() if lower.endswith(".zst") else None


def _codec_by_magic(head: bytes) -> "Codec | None":
    if head.startswith(GZIP_MAGIC):
        return _Gzip()
    if head.startswith(ZSTD_MAGIC) or (len(head) == 4 and head[1:] == ZSTD_SKIPPABLE):
        return _Zstd()
    return None


def _plain(raw: Window, books: Books) -> Iterator[Piece]:
    while raw.fill(1):
        piece = raw.peek(0, len(raw.data))
        books.use_stored(raw.offset, len(piece))
        raw.drop(len(piece))
        yield piece


class Codec(Protocol):
    """What a container of compressed members must say about itself."""

    name: str
    magic: bytes

    def padding(self, raw: Window) -> tuple[int, str] | None:
        """Length and kind of bytes at the front that carry no content, or None."""

    def member(self, raw: Window) -> Iterator[bytes]:
        """Decompress one member, dropping what is used; ``_Damage`` where it goes wrong."""

    def works(self, head: bytes) -> bool:
        """Does a member that decompresses begin here?"""


def members(raw: Window, books: Books, codec: Codec, *, stop: int | None = None) -> Iterator[Piece]:
    """The content of members one after another, from where the window stands.

    Args:
        raw: window over the stored bytes.
        books: where used, skipped and damaged spans go.
        codec: how they are compressed.
        stop: stored offset from which on no member is begun; padding there is still passed over, so
            that the window ends at a member, at damage or at the end. Offsets of breaks count from
            the first byte that comes out here.
    """
    produced = 0
    while raw.fill(4):
        padding = codec.padding(raw)
        if padding is not None:
            _skip(raw, books, *padding)
            continue
        if stop is not None and raw.offset >= stop:
            return
        start, first = raw.offset, produced
        try:
            for piece in codec.member(raw):
                produced += len(piece)
                yield piece
            books.use_stored(start, raw.offset - start)
        except _Damage as damage:
            books.use_stored(start, raw.offset - start)
            _resync(raw, books, codec, error=str(damage), unused=raw.offset == start)
            yield Break(first if damage.suspect else None)


def _skip(raw: Window, books: Books, length: int, kind: str) -> None:
    """Drop bytes without content; the file may end before they do."""
    while length and raw.fill(1):
        part = min(length, len(raw.data))
        books.skip_stored(raw.offset, part, kind)
        raw.drop(part)
        length -= part
    if length:
        books.damage(raw.offset, 0, b"", ("cut", f"the file ends inside a {kind}"))


def _resync(raw: Window, books: Books, codec: Codec, *, error: str, unused: bool) -> None:
    """Drop stored bytes up to the next member that works, and quarantine them."""
    raw.fill(HEAD_BYTES)
    start, head = raw.offset, raw.peek(0, HEAD_BYTES)
    # The magic of the broken member itself must not be found again.
    seek_member(raw, codec, seek=1 if unused else 0)
    length = raw.offset - start
    books.damage(start, length, head[:length], (codec.name, f"{error}, at stored byte {start}"))


def seek_member(raw: Window, codec: Codec, *, seek: int = 0, stop: int | None = None) -> bool:
    """Drop stored bytes up to the next member that works.

    Args:
        raw: window over the stored bytes.
        codec: how they are compressed.
        seek: bytes at the front in which none may begin.
        stop: stored offset from which on none is looked for.

    Returns:
        Whether there is one; if not, the window stands at the end, or beyond ``stop``.
    """
    while raw.fill(PROBE_BYTES) and (stop is None or raw.offset < stop):
        found = raw.data.find(codec.magic, seek)
        if found >= 0:
            raw.drop(found)
            raw.fill(PROBE_BYTES)
            if codec.works(raw.peek(0, PROBE_BYTES)):
                return stop is None or raw.offset < stop
            seek = 1
        else:
            raw.drop(len(raw.data) if raw.ended else len(raw.data) - len(codec.magic) + 1)
            seek = 0
    return False


class _Gzip:
    """Members as RFC 1952 has them; zero bytes between them are padding."""

    name, magic = "gzip", GZIP_MAGIC

    def padding(self, raw: Window) -> tuple[int, str] | None:
        if raw.data[0] != 0:
            return None
        raw.fill(SLICE_BYTES)
        return len(raw.data) - len(raw.data.lstrip(b"\0")), "gzip padding"

    def member(self, raw: Window) -> Iterator[bytes]:
        raw.drop(self._header(raw))
        # Raw deflate: with zlib's own gzip mode a wrong checksum takes the last output with it.
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        crc = size = 0
        while not inflate.eof:
            if not raw.fill(SLICE_BYTES):
                raise _Damage("the file ends inside a gzip member")
            part = raw.peek(0, SLICE_BYTES)
            saved, error = inflate.copy(), None
            try:
                output = inflate.decompress(part)
                used = len(part) - len(inflate.unused_data)
            except zlib.error as problem:
                output, used = _before_error(saved, part)
                error = _Damage(f"cannot inflate ({problem})")
            raw.drop(used)
            crc = zlib.crc32(output, crc)
            size += len(output)
            if output:
                yield output
            if error is not None:
                raise error
        if raw.fill(8) < 8:
            raise _Damage("the file ends inside a gzip member")
        if raw.peek(0, 8) != struct.pack("<II", crc, size & 0xFFFFFFFF):
            raise _Damage("the gzip checksum does not match the content before it", suspect=True)
        raw.drop(8)

    @staticmethod
    def _header(raw: Window) -> int:
        """Length of the member's header."""
        # No byte beyond what is asked for may count: how much is at hand is chance.
        raw.fill(MAX_GZIP_HEADER + 2)
        data, size = raw.data, 10
        if not data.startswith(GZIP_MAGIC) or len(data) < size or data[3] & 0xE0:
            raise _Damage("no gzip header where a member should begin")
        flags = data[3]
        if flags & 4:  # extra field
            size += 2 + int.from_bytes(data[10:12], "little")
        for flag in (8, 16):  # file name, comment
            if flags & flag:
                size = data.find(0, size, MAX_GZIP_HEADER) + 1
                if not size:
                    raise _Damage("a gzip header without end")
        size += flags & 2  # its own checksum, two bytes
        if size > len(data):
            raise _Damage("the file ends inside a gzip header")
        return size

    def works(self, head: bytes) -> bool:
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        for start in range(0, len(head), SLICE_BYTES):
            try:
                inflate.decompress(head[start : start + SLICE_BYTES])
            except zlib.error:
                return False
            if inflate.eof:
                return True
        return len(head) >= PROBE_CUT_BYTES


def _before_error(inflate: "zlib._Decompress", part: bytes) -> tuple[bytes, int]:
    """What can be inflated before the byte that fails, and how many bytes gave it."""
    outputs, used, step = [], 0, len(part) // 2
    while step:
        trial = inflate.copy()
        try:
            outputs.append(trial.decompress(part[used : used + step]))
        except zlib.error:
            step //= 2
            continue
        inflate, used = trial, used + step
    return b"".join(outputs), used


class _Zstd:
    """Frames as RFC 8878 has them, fed block by block: a block gives at most 128 KiB."""

    name, magic = "zstd", ZSTD_MAGIC

    def padding(self, raw: Window) -> tuple[int, str] | None:
        if raw.data[1:4] != ZSTD_SKIPPABLE or raw.data[0] & 0xF0 != 0x50 or raw.fill(8) < 8:
            return None
        return 8 + int.from_bytes(raw.data[4:8], "little"), "zstd skippable frame"

    def member(self, raw: Window) -> Iterator[bytes]:
        import zstandard

        raw.fill(32)
        try:
            head = raw.peek(0, 32)
            size = zstandard.frame_header_size(head)
            checksum = zstandard.get_frame_parameters(head).has_checksum
            feed = zstandard.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW).decompressobj()
            feed.decompress(head[:size])
        except zstandard.ZstdError as error:
            raise _Damage(f"no zstd frame where one should begin ({error})") from error
        raw.drop(size)
        last = False
        while not last:
            size, last = self._block(raw)
            yield from self._feed(feed.decompress, raw, size, suspect=False)
        if checksum:
            yield from self._feed(feed.decompress, raw, 4, suspect=True)

    @staticmethod
    def _block(raw: Window) -> tuple[int, bool]:
        """Length of the next block with its header, and whether it is the last."""
        if raw.fill(3) < 3:
            raise _Damage("the file ends inside a zstd frame")
        header = int.from_bytes(raw.data[:3], "little")
        kind, size = header >> 1 & 3, header >> 3
        return 3 + (1 if kind == 1 else size), bool(header & 1)

    @staticmethod
    def _feed(
        decompress: Callable[[bytes], bytes], raw: Window, size: int, *, suspect: bool
    ) -> Iterator[bytes]:
        import zstandard

        if raw.fill(size) < size:
            raise _Damage("the file ends inside a zstd frame")
        try:
            output = decompress(raw.peek(0, size))
        except zstandard.ZstdError as error:
            raise _Damage(f"cannot decompress ({error})", suspect=suspect) from error
        raw.drop(size)
        if output:
            yield output

    def works(self, head: bytes) -> bool:
        probe = Window([head])
        try:
            return next(self.member(probe), None) is not None or not probe.data
        except _Damage:
            return False
