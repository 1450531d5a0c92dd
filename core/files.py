"""Files that are either whole or absent: write to a temporary name, fsync, rename.

Inputs may be local paths or fsspec URLs and are decompressed by suffix; outputs are local.
"""

import contextlib
import errno
import fcntl
import gzip
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from yanmo.errors import DataError, YanmoError

CHUNK_BYTES = 1 << 20
LOCK = "lock"
_SKIPPABLE = b"\x2a\x4d\x18"
"""What the magic bytes of a zstd frame without content end with."""


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


_later: ContextVar[bool] = ContextVar("_later", default=False)


@contextlib.contextmanager
def synced_later() -> Iterator[None]:
    """Within it :func:`atomic_write` leaves it to :func:`sync_tree` to flush files to disk.

    For a folder that is filled under a temporary name: half of all flushes were of files and
    folders that were flushed again before their folder got its name.
    """
    token = _later.set(True)
    try:
        yield
    finally:
        _later.reset(token)


@contextlib.contextmanager
def atomic_write(path: str | Path, *, text: bool = False) -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when the block ends without an error.

    Args:
        path: the final name; parent folders are made.
        text: a UTF-8 text file with LF line ends instead of a binary one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        options = {"encoding": "utf-8", "newline": "\n"} if text else {}
        with temporary.open("w" if text else "wb", **options) as stream:  # type: ignore[call-overload]
            yield stream
            stream.flush()
            if not _later.get():
                os.fsync(stream.fileno())
        temporary.replace(path)
        if not _later.get():
            _fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Fill a folder that appears under its name only when the block ends without an error.

    An existing folder of that name is replaced at the end.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        sync_tree(temporary)
        if path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        _fsync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def link_or_copy(source: Path, target: Path, *, follow_symlinks: bool = True) -> None:
    """Give a file a second name, or copy it: to another file system, or one without hard links.

    Args:
        source: the file.
        target: its other name.
        follow_symlinks: whether a symbolic link stands for its file, or stays a link.
    """
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=follow_symlinks)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder`` to disk."""
    for item in sorted(folder.rglob("*")):
        if item.is_dir():
            _fsync_folder(item)
        else:
            with item.open("rb") as stream:
                os.fsync(stream.fileno())
    _fsync_folder(folder)


def write_json(path: str | Path, value: object) -> None:
    """Write JSON with sorted keys, two spaces and UTF-8, so that equal values give equal bytes."""
    with atomic_write(path, text=True) as stream:
        stream.write(_utf8_json(value, indent=2) + "\n")


def _utf8_json(value: object, **form: Any) -> str:
    """Canonical JSON that UTF-8 can hold: the name of a file may hold bytes that are no text."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, **form)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, sort_keys=True, **form)
    return text


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise _cannot_open(path, error) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not JSON: {error}", where=path) from None


def json_records(text: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of JSON lines, each with the number of its line from 0; blank lines are none.

    Raises:
        DataError: a line is not JSON, or no object; the message names it, counted from 1.
    """
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"not JSON: {error}", where=f"{where}:{number + 1}") from None
        if not isinstance(record, dict):
            raise DataError("not a JSON object", where=f"{where}:{number + 1}")
        yield number, record


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in chunks.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _cannot_open(path, error) from None


def sha256_json(value: object) -> str:
    """Hex SHA-256 of the canonical JSON form of a value."""
    canonical = _utf8_json(value, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _cannot_open(path: object, error: OSError) -> DataError:
    """The error for a file that the system does not hand over."""
    reason = error.strerror or str(error) or type(error).__name__
    fixes = {
        errno.EACCES: "Check its permissions.",
        errno.ENOENT: "Check the path; a link may lead nowhere.",
    }
    return DataError(f"cannot open the file ({reason})", where=path,
                     fix=fixes.get(error.errno or 0))  # fmt: skip


@contextlib.contextmanager
def exclusive(folder: str | Path) -> Iterator[None]:
    """Keep a folder for this process: a second one that asks is refused.

    The lock is the operating system's, so it goes with the process, however that ends; the file
    ``lock`` says who holds it.

    Args:
        folder: made if it is missing.

    Raises:
        YanmoError: another process holds it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = f"process {stream.read(20).strip() or 'unknown'}"
            fix = f"Wait for it ({holder}) or stop it, or name another --out."
            raise YanmoError("another run is writing here", where=folder.parent, fix=fix) from None
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def open_raw(path: str | Path) -> BinaryIO:
    """Open a local path or an fsspec URL for reading, bytes as stored.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    name = str(path)
    try:
        if "://" in name:
            import fsspec

            return cast(BinaryIO, fsspec.open(name, "rb").open())
        return Path(name).open("rb")
    except OSError as error:
        raise _cannot_open(name, error) from None


def open_input(path: str | Path) -> BinaryIO:
    """Open an input for reading; ``.gz`` (all members) and ``.zst`` (all frames) are decompressed.

    Errors inside the stream (a cut or corrupt file) surface while reading, as ``EOFError``,
    ``OSError``, ``zlib.error`` or ``zstandard.ZstdError``: only the caller knows what to keep and
    quarantine. :func:`reading` makes one error that names the file of them.
    """
    raw = open_raw(path)
    suffix = Path(str(path)).suffix.lower()
    if suffix == ".gz":
        stream = gzip.GzipFile(fileobj=raw, mode="rb")
        stream.myfileobj = raw  # type: ignore[assignment]  # closed together with the stream
        return cast(BinaryIO, stream)
    if suffix == ".zst":
        return cast(BinaryIO, io.BufferedReader(_Pieces(raw, _zstd_blocks(raw)), CHUNK_BYTES))
    return raw


@contextlib.contextmanager
def reading(
    where: object, *, failed: str = "cannot read on", fix: str | None = "Is the file cut?"
) -> Iterator[None]:
    """Name the input whose stream turns out to be cut or corrupt inside.

    Args:
        where: what to call it.
        failed: what could not be done.
        fix: what to try.

    Raises:
        DataError: in the place of what :func:`open_input` says may surface while reading.
    """
    try:
        yield
    except _stream_errors() as error:
        raise DataError(f"{failed} ({error})", where=where, fix=fix) from None


def _stream_errors() -> tuple[type[Exception], ...]:
    import zlib

    import zstandard

    return EOFError, OSError, zlib.error, zstandard.ZstdError


class _Pieces(io.RawIOBase):
    """Pieces of content as a stream; closes the file that they come from."""

    def __init__(self, raw: BinaryIO, pieces: Iterator[bytes]) -> None:
        self._raw, self._pieces, self._left = raw, pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


def _zstd_blocks(raw: BinaryIO) -> Iterator[bytes]:
    """The content of zstd frames (RFC 8878), block by block: at most 128 KiB each.

    The library takes the end of the file inside a frame for the end of the frame.

    Raises:
        EOFError: it ends there.
        zstandard.ZstdError: it is not zstd, or corrupt.
    """
    import zstandard

    def take(size: int) -> bytes:
        data = raw.read(size)
        if len(data) < size:
            raise EOFError("the file ends inside a zstd frame")
        return data

    while magic := raw.read(4):
        if magic[1:] == _SKIPPABLE and magic[0] & 0xF0 == 0x50:
            take(int.from_bytes(take(4), "little"))
            continue
        head = magic + take(1)
        head += take(zstandard.frame_header_size(head) - len(head))
        feed = zstandard.ZstdDecompressor().decompressobj()
        feed.decompress(head)
        last = False
        while not last:
            block = take(3)
            header = int.from_bytes(block, "little")
            last, repeats, size = bool(header & 1), header >> 1 & 3 == 1, header >> 3
            yield feed.decompress(block + take(1 if repeats else size))
        if zstandard.get_frame_parameters(head).has_checksum:
            yield feed.decompress(take(4))
