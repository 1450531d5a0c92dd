"""Files of instruction data: many read as one, and written as JSON lines or an array, whole."""

import contextlib
import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, cast

from yanmo.errors import DataError, UsageError
from yanmo.files import atomic_write

SUFFIXES: Final = (".json", ".jsonl")
PACKED: Final = ("", ".gz", ".zst")
_ZSTD_LEVEL: Final = 6


def data_files(inputs: Sequence[str]) -> list[Path]:
    """The files that the inputs name; of a folder all .json and .jsonl in it, by name.

    Raises:
        UsageError: an input does not exist, or a folder holds none.
    """
    found = []
    for name in inputs:
        path = Path("/dev/stdin") if name == "-" else Path(name)
        if path.is_dir():
            inside = [f for f in sorted(path.rglob("*")) if f.is_file() and is_data(f)]
            if not inside:
                raise UsageError("the folder holds no .json or .jsonl", where=path)
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError("no such file", value=name)
    return found


def is_data(path: Path) -> bool:
    """Whether a name is one of JSON or JSON lines, plain or packed."""
    name = path.name.lower()
    return any(name.endswith(kind + packed) for kind in SUFFIXES for packed in PACKED)


def encoded(record: Mapping[str, Any], *, where: str) -> bytes:
    """A record as JSON in UTF-8.

    Raises:
        DataError: a text holds half of a character pair, which has no UTF-8.
    """
    try:
        return json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError("a text holds half of a character pair (\\ud800 to \\udfff)", where=where,
                        value=error.object[error.start :][:20]) from None  # fmt: skip


@contextlib.contextmanager
def json_writer(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Write objects to a file that appears when the block ends without an error.

    Args:
        path: .jsonl or .json (an array), with .gz or .zst if wanted; ``-`` is stdout.

    Yields:
        What takes an :func:`encoded` object.

    Raises:
        UsageError: the name ends otherwise.
    """
    if str(path) != "-" and not is_data(path):
        raise UsageError("the suffix says nothing about the form", value=path.name,
                         fix="Name it .jsonl or .json, with .gz or .zst behind it if packed.",
                         )  # fmt: skip
    array = ".json" in [suffix.lower() for suffix in path.suffixes[-2:]]
    with _packed(path) as stream:
        count = 0

        def put(text: bytes) -> None:
            nonlocal count
            before = b"" if not array else b",\n" if count else b"[\n"
            stream.write(before + text + (b"" if array else b"\n"))
            count += 1

        yield put
        if array:
            stream.write(b"\n]\n" if count else b"[]\n")


@contextlib.contextmanager
def _packed(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        import sys

        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with atomic_write(path) as raw:
        if path.suffix.lower() == ".gz":  # without name and time: same content, same bytes
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                yield cast(IO[bytes], packed)
        elif path.suffix.lower() == ".zst":
            import zstandard

            packer = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
            with packer.stream_writer(raw, closefd=False) as stream:
                yield cast(IO[bytes], stream)
        else:
            yield raw
