"""A stretch of a large file: what one of many tasks over one file reads.

Where the stretches begin and end is known before (see :mod:`yanmo.curate.split`), at places where
the reading of the whole file would begin a record too. Offsets are those of the whole file, so
pages, origins and quarantined spans are the same as if one task had read it all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from yanmo.files import open_raw
from yanmo.recipe import from_table

from .discover import InputFile
from .ledger import Books, ByteLedger, Part
from .options import ReadOptions
from .pages import Page, batches
from .parquet import Groups, read_parquet
from .read import read_group, reader_of
from .spool import Breaks, read_spool, with_breaks
from .streams import raw_pieces
from .warc import read_warc
from .window import Piece

FORMS = ("jsonl", "parquet", "txt-line", "warc")
"""Forms whose files can be read in stretches. A quoted field of CSV may hold line ends, so where a
row begins is known only from the begin of the file; HTML and whole texts are one record."""


@dataclass(frozen=True)
class Stretch:
    """Content bytes ``start`` to ``stop`` of a file.

    Attributes:
        form: a value of ``FORMS``.
        start: content offset of the first record.
        stop: content offset at which the next stretch begins.
        size: stored bytes of the file.
        groups: Parquet: fields of :class:`~yanmo.curate.parquet.Groups`.
        pieces: unpacked files: content bytes of the pieces that are the inputs of the task; None
            where the file is read as it lies.
        at: content offset of the first of these pieces.
        breaks: damage in the content.
    """

    form: str
    start: int
    stop: int
    size: int
    groups: tuple[int, int, int] | None = None
    pieces: tuple[int, ...] | None = None
    at: int = 0
    breaks: Breaks = ()


def read_stretch(
    source: InputFile,
    inputs: Sequence[Path],
    stretch: Stretch,
    *,
    options: ReadOptions,
    ledger: ByteLedger,
) -> Iterator[pa.RecordBatch]:
    """Read a stretch of a file; as :func:`yanmo.curate.read.read_pages`.

    Args:
        source: the file.
        inputs: the unpacked pieces, where ``stretch.pieces`` tells of them.
        stretch: which part of it.
        options: the ``[read]`` table of the recipe.
        ledger: takes the fate of every byte and record. The stored bytes of an unpacked file were
            booked when it was unpacked.
    """
    part = Part(content=stretch.start, stored=stretch.start, first=stretch.start == 0)
    books = ledger.open(source.name, source=source.source, part=part)
    pages = _pages(source, inputs, stretch, books, options)
    yield from batches(pages, rows=options.batch_rows, size=options.batch_bytes, ledger=ledger)
    length = stretch.stop - stretch.start
    packed = stretch.pieces is not None
    if not packed:
        books.use_stored(stretch.start, length)
    ledger.close(books, content=length, stored=0 if packed else length)
    ledger.check()


def pages_of(
    inputs: Sequence[Path], parameters: Mapping[str, Any], ledger: ByteLedger
) -> tuple[list[InputFile], Iterator[pa.RecordBatch]]:
    """The files that a task reads, and their pages.

    Args:
        inputs: the local files in order, or the pieces of an unpacked one.
        parameters: ``files`` (fields of ``InputFile``; ``path`` is set for those that are not
            local), ``read`` (table), ``stretch`` (fields of ``Stretch`` where one is read of one
            file).
        ledger: as for :func:`yanmo.curate.read.read_pages`.
    """
    options = from_table(ReadOptions, parameters["read"], where="read")
    local = iter(inputs)
    files = [
        InputFile(**{**item, "path": item["path"] or str(next(local, ""))})
        for item in parameters["files"]
    ]
    if "stretch" not in parameters:
        return files, read_group(files, options=options, ledger=ledger)
    stretch = Stretch(**parameters["stretch"])
    return files, read_stretch(files[0], inputs, stretch, options=options, ledger=ledger)


def _pages(
    source: InputFile, inputs: Sequence[Path], stretch: Stretch, books: Books, options: ReadOptions
) -> Iterator[Page]:
    if stretch.groups is not None:
        with open_raw(source.path) as stream:
            groups = Groups(*stretch.groups)
            yield from read_parquet(stream, stretch.size, books, options, groups=groups)
        return
    # What follows a WARC record says whether it is whole; a line says so itself.
    stop = None if stretch.form == "warc" else stretch.stop
    read = partial(read_warc, stop=stretch.stop) if stop is None else reader_of(stretch.form)
    if stretch.pieces is not None:
        content = read_spool(
            inputs, at=stretch.at, sizes=stretch.pieces, start=stretch.start, stop=stop
        )
        yield from read(with_breaks(content, stretch.breaks, start=stretch.start), books, options)
        return
    with open_raw(source.path) as stream:
        stream.seek(stretch.start)
        yield from read(_limited(stream, source.path, stretch.start, stop), books, options)


def _limited(stream: BinaryIO, where: str, start: int, stop: int | None) -> Iterator[Piece]:
    """The bytes of a file from where the stream stands up to ``stop``."""
    if stop is None:
        yield from raw_pieces(stream, where)
        return
    left = stop - start
    for piece in raw_pieces(stream, where):
        if isinstance(piece, bytes):
            yield piece[:left]
            left -= len(piece[:left])
        if left <= 0:
            return
