"""Pages from files: the door to all readers.

    InputFile -> pieces of bytes -> decompressed pieces -> records -> pages -> Arrow batches

Every byte and every record on the way is booked in a :class:`~yanmo.curate.ledger.ByteLedger`.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO

import pyarrow as pa

from yanmo.errors import DataError
from yanmo.files import open_raw

from .csvs import read_csv
from .discover import AUTO, IGNORED, STDIN, InputFile, InputGroup, InputSpec, discover
from .ledger import Books, ByteLedger, Quarantine, Rejected
from .options import ReadOptions
from .pages import PAGE_SCHEMA, Page, batches
from .parquet import read_parquet
from .records import BOM, read_jsonl, read_text_lines, read_whole
from .streams import Meter, decompress, raw_pieces
from .warc import read_warc
from .window import Piece, Window

__all__ = [
    "PAGE_SCHEMA",
    "ByteLedger",
    "InputFile",
    "InputGroup",
    "InputSpec",
    "Quarantine",
    "ReadOptions",
    "Rejected",
    "discover",
    "read_group",
    "read_pages",
]

Reader = Callable[[Iterator[Piece], Books, ReadOptions], Iterator[Page]]


def read_pages(
    source: InputFile, *, options: ReadOptions, ledger: ByteLedger
) -> Iterator[pa.RecordBatch]:
    """Read one file.

    Args:
        source: the file.
        options: the ``[read]`` table of the recipe.
        ledger: takes the fate of every byte and record; its quarantine takes what cannot be used.

    Yields:
        Batches of ``PAGE_SCHEMA``, at most ``batch_rows`` pages and ``batch_bytes`` bytes each (a
        larger page comes alone). Where they are cut depends on the file alone.

    Raises:
        DataError: the file cannot be opened or read on.
        LedgerError: the books of the file do not balance.
    """
    yield from read_group((source,), options=options, ledger=ledger)


def read_group(
    files: Iterable[InputFile], *, options: ReadOptions, ledger: ByteLedger
) -> Iterator[pa.RecordBatch]:
    """Read files one after another into common batches; see :func:`read_pages`."""
    pages = chain.from_iterable(_pages(file, options, ledger) for file in files)
    rows, size = options.batch_rows, options.batch_bytes
    yield from batches(pages, rows=rows, size=size, ledger=ledger)
    ledger.check()


def _pages(source: InputFile, options: ReadOptions, ledger: ByteLedger) -> Iterator[Page]:
    books = ledger.open(source.name, source=source.source)
    if source.format == IGNORED:
        size = source.size or 0
        books.skip(0, size, "unknown suffix", record=False)
        books.use_stored(0, size)
        ledger.close(books, content=size, stored=size)
        return
    with _opened(source) as stream:
        if is_parquet(source, stream):
            size = stream.seek(0, 2)
            yield from read_parquet(stream, size, books, options)
            books.use_stored(0, size)
            ledger.close(books, content=size, stored=size, on_disk=source.size)
            return
        stored, content = Meter(), Meter()
        raw = Window(stored.count(raw_pieces(stream, source.path)))
        pieces = content.count(decompress(raw, books))
        form, pieces = form_of(source, pieces, options)
        yield from reader_of(form)(pieces, books, options)
        ledger.close(books, content=content.bytes, stored=stored.bytes, on_disk=source.size)


def is_parquet(source: InputFile, stream: BinaryIO) -> bool:
    """Is it Parquet, by its format or its first bytes? The stream is left at its begin."""
    if source.path == STDIN:
        if source.format == "parquet":
            raise _no_stream(source)
        return False
    if source.format != AUTO:
        return source.format == "parquet"
    head = stream.read(4)
    stream.seek(0)
    return head == b"PAR1"


@contextlib.contextmanager
def _opened(source: InputFile) -> Iterator[BinaryIO]:
    if source.path == STDIN:
        yield sys.stdin.buffer
    else:
        with open_raw(source.path) as stream:
            yield stream


def form_of(
    source: InputFile, pieces: Iterator[Piece], options: ReadOptions
) -> tuple[str, Iterator[Piece]]:
    """The name of the reader that a file wants (for :func:`reader_of`), and its content."""
    form = source.format
    if form == AUTO:
        first = next(pieces, b"")
        form = _sniff(first if isinstance(first, bytes) else b"", source)
        pieces = chain([first], pieces)
    return (f"txt-{options.txt}" if form == "txt" else form), pieces


def reader_of(form: str) -> Reader:
    """The reader of a form."""
    readers: dict[str, Reader] = {
        "warc": read_warc,
        "jsonl": read_jsonl,
        "csv": partial(read_csv, delimiter=","),
        "tsv": partial(read_csv, delimiter="\t"),
        "html": partial(read_whole, media="html"),
        "txt-file": partial(read_whole, media="text"),
        "txt-line": read_text_lines,
    }
    return readers[form]


def _no_stream(source: InputFile) -> DataError:
    fix = "Give the path of the file."
    return DataError("Parquet cannot be read from a stream", where=source.name, fix=fix)


def _sniff(head: bytes, source: InputFile) -> str:
    """The format of a stream without a name, by its first bytes."""
    if head.startswith(b"PAR1"):
        raise _no_stream(source)
    head = head.removeprefix(BOM).lstrip()
    if head.startswith(b"WARC/"):
        return "warc"
    if head.startswith(b"{"):
        return "jsonl"
    return "html" if head[:14].lower().startswith((b"<!doctype html", b"<html")) else "txt"
