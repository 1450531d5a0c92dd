"""CSV by the rules of the ``csv`` module, and with the bytes of every row accounted for."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from .ledger import Books, Why
from .options import ReadOptions
from .pages import Page, meta_json, take_string
from .records import BOM, HEAD_BYTES, Block, LongLine, line_blocks, undecodable
from .window import Piece


class _Stop(NamedTuple):
    """Where no row can go on: damage (with the piece of a line before it) or a line too long."""

    cut: bytes = b""
    long: LongLine | None = None


class _RowBroken(Exception):
    """The lines of a row end before the row does."""


class _Lines:
    """Physical lines for ``csv.reader``; remembers the bytes that the row in hand has taken."""

    def __init__(self, pieces: Iterator[Piece], options: ReadOptions) -> None:
        self.options = options
        self.taken: list[bytes] = []
        self.size = 0
        self.dry = False
        self.first = True
        self.stop: _Stop | None = None
        self.undecodable: Why | None = None
        self._again: deque[bytes] = deque()
        self._source = self._physical(pieces)

    def _physical(self, pieces: Iterator[Piece]) -> Iterator[bytes | _Stop]:
        for block in line_blocks(pieces, self.options.max_record_bytes):
            if isinstance(block, LongLine):
                yield _Stop(long=block)
                continue
            yield from self._of_block(block)

    def _of_block(self, block: Block) -> Iterator[bytes | _Stop]:
        raws = block.data.split(b"\n")
        last = raws.pop()
        limit, offset = self.options.max_record_bytes, block.offset
        for raw in raws:
            if len(raw) > limit:
                yield _Stop(long=LongLine(offset, len(raw) + 1, raw[:HEAD_BYTES]))
            else:
                yield raw + b"\n"
            offset += len(raw) + 1
        if block.cut:
            yield _Stop(cut=last)
        elif len(last) > limit:
            yield _Stop(long=LongLine(offset, len(last), last[:HEAD_BYTES]))
        elif last:
            yield last

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.stop is not None:
            raise _RowBroken
        raw = self._again.popleft() if self._again else next(self._source, None)
        if raw is None:
            self.dry = True
            raise StopIteration
        if isinstance(raw, _Stop):
            self.stop = raw
            raise _RowBroken
        self.taken.append(raw)
        self.size += len(raw)
        if self.size > self.options.max_record_bytes:
            raise _RowBroken
        if self.first:
            self.first, raw = False, raw.removeprefix(BOM)
        try:
            return raw.decode(self.options.encoding)
        except UnicodeDecodeError:
            self.undecodable = undecodable(raw, self.options.encoding)
            return raw.decode(self.options.encoding, "replace")

    def next_row(self) -> None:
        """Begin a row."""
        self.taken, self.size, self.dry, self.undecodable = [], 0, False, None

    def again(self, raws: list[bytes]) -> None:
        """Give lines back, to be read as rows of their own."""
        self._again.extendleft(reversed(raws))


class _Row(NamedTuple):
    """Fields of one row, or why there are none; ``size`` bytes of the file."""

    size: int
    raw: bytes
    fields: list[str]
    why: Why | None = None


# A stray quote swallows lines to the end of the file. Only its first line is given up and the rest
# is read again, which could go on for ever with a quote in every line: so many bytes at most are
# read twice, as a multiple of the record limit.
_AGAIN_RECORDS = 8


def _rows(lines: _Lines, delimiter: str) -> Iterator[_Row]:
    limit = lines.options.max_record_bytes
    again = _AGAIN_RECORDS * limit
    # A field may be as long as a record. The module's limit is global, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), limit))
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.next_row()
        fields: list[str] = []
        why: Why | None = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = ("malformed-csv", str(error))
        except _RowBroken:
            why = ("cut", "the row is broken off by damage or by a line that is too long")
        if lines.dry or (why is not None and why[0] == "cut" and lines.stop is None):
            why = ("open-quote", "a quote is never closed, or the row is longer than the limit")
            if again >= lines.size:
                again -= lines.size
                lines.again(lines.taken[1:])
                del lines.taken[1:]
        if lines.taken:
            raw = b"".join(lines.taken)
            yield _Row(len(raw), raw, fields, why or lines.undecodable)
        if lines.stop is not None:
            yield from _stopped(lines)


def _stopped(lines: _Lines) -> Iterator[_Row]:
    stop, lines.stop = lines.stop, None
    if stop is not None and stop.cut:
        why = ("cut", "the stream is damaged inside this line")
        yield _Row(len(stop.cut), stop.cut, [], why)
    if stop is not None and stop.long is not None:
        error = f"the line has {stop.long.length} bytes"
        error += f"; read.max_record_bytes is {lines.options.max_record_bytes}"
        yield _Row(stop.long.length, stop.long.head, [], ("too-long", error))


def read_csv(
    pieces: Iterator[Piece], books: Books, options: ReadOptions, *, delimiter: str
) -> Iterator[Page]:
    """A row a page; the first row names the columns.

    In a file that has no text column every row goes to the quarantine.
    """
    header: list[str] | None = None
    no_text: Why | None = None
    offset = 0
    for row in _rows(_Lines(pieces, options), delimiter):
        start, offset = offset, offset + row.size
        if row.why is None and not row.raw.strip():
            books.skip(start, row.size, "blank line", record=False)
        elif header is None and row.why is None:
            header = _header(row.fields)
            no_text = _no_text(header, options)
            books.skip(start, row.size, "csv header", record=False)
        else:
            books.found()
            why = row.why or no_text or _bad_row(row, header or [])
            if why is not None:
                books.quarantine(start, row.size, row.raw, why)
                continue
            books.page(start, row.size)
            yield _csv_page(row, header or [], f"{books.file}#{start}", options)


def _header(fields: list[str]) -> list[str]:
    """Column names; a name that comes again gets a number."""
    return [
        name if name not in fields[:index] else f"{name}.{fields[:index].count(name)}"
        for index, name in enumerate(fields)
    ]


def _no_text(header: list[str], options: ReadOptions) -> Why | None:
    if options.text_field in header:
        return None
    columns = ", ".join(header)[:200]
    return "no-text", (
        f'no column "{options.text_field}" (columns: {columns}); '
        "set read.text_field to the right one"
    )


def _bad_row(row: _Row, header: list[str]) -> Why | None:
    if len(row.fields) != len(header):
        return "ragged-row", f"{len(row.fields)} fields where the header has {len(header)}"
    if b"\0" in row.raw:
        return "nul", "a NUL byte; if this is UTF-16, convert it to UTF-8"
    return None


def _csv_page(row: _Row, header: list[str], origin: str, options: ReadOptions) -> Page:
    record: dict[str, Any] = dict(zip(header, row.fields, strict=True))
    text = record.pop(options.text_field)
    url = take_string(record, options.url_field) or None
    timestamp = take_string(record, options.timestamp_field) or None
    meta = meta_json(record)
    return Page(origin, "text", text=text.encode(), url=url, timestamp=timestamp, meta=meta)
