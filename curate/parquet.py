"""Parquet: rows are records, row groups are the spans of bytes."""

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from .ledger import Books, Why
from .options import ReadOptions
from .pages import Page, meta_json, take_string

BATCH_ROWS = 512
_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError)


class Groups(NamedTuple):
    """Row groups ``first`` up to and without ``stop``; ``row`` is the number of their first row."""

    first: int
    stop: int
    row: int


class _Span(NamedTuple):
    """Bytes of one row group, and its rows."""

    start: int
    end: int
    rows: int


def read_parquet(
    stream: BinaryIO, size: int, books: Books, options: ReadOptions, *, groups: Groups | None = None
) -> Iterator[Page]:
    """A row a page.

    Args:
        stream: the file; it must be able to seek.
        size: its length in bytes.
        books: bytes are booked by row group, records by row.
        options: names of the columns. A file without the text column goes to the quarantine.
        groups: read these alone, in a file that :func:`cut_groups` has looked at; what lies before
            each belongs to it, and what lies behind the last of the file to that one.
    """
    try:
        file = _opened(stream)
    except _ERRORS as error:
        books.found()
        stream.seek(0)
        books.quarantine(0, size, stream.read(64), ("parquet", f"not a Parquet file: {error}"))
        return
    spans = _spans(file.metadata, size)
    why = _no_text(file.schema_arrow, options)
    if spans is None or why is not None:
        rows = file.metadata.num_rows
        books.found(rows)
        books.reject_rows(0, size, rows, why or ("parquet", "the row groups overlap"))
        return
    first, stop, row = groups or (0, len(spans), 0)
    cursor = books.content.cursor
    for index in range(first, stop):
        span = spans[index]
        books.skip(cursor, span.start - cursor, _FRAME, record=False)
        yield from _read_group(file, index, span, row, books, options)
        row, cursor = row + span.rows, span.end
    if stop == len(spans):
        books.skip(cursor, size - cursor, _FRAME, record=False)


def cut_groups(
    stream: BinaryIO, size: int, options: ReadOptions, *, step: int
) -> list[tuple[int, int, Groups]]:
    """Cut a file into stretches of whole row groups, of ``step`` bytes or a little more each.

    Returns:
        Start and stop (bytes) and row groups of each stretch; none where the file cannot be read.
    """
    try:
        file = _opened(stream)
    except _ERRORS:
        return []
    spans = _spans(file.metadata, size)
    if not spans or _no_text(file.schema_arrow, options) is not None:
        return []
    cuts: list[tuple[int, int, Groups]] = []
    start = first = row = rows = 0
    for index, span in enumerate(spans, 1):
        rows += span.rows
        if span.end - start >= step or index == len(spans):
            stop = size if index == len(spans) else span.end
            cuts.append((start, stop, Groups(first, index, row)))
            start, first, row = stop, index, rows
    return cuts


def _opened(stream: BinaryIO) -> pq.ParquetFile:
    return pq.ParquetFile(stream, pre_buffer=False, page_checksum_verification=True)


_FRAME = "parquet metadata"


def _no_text(schema: pa.Schema, options: ReadOptions) -> Why | None:
    name = options.text_field
    fix = "set read.text_field to the right one"
    if schema.names.count(name) != 1:
        columns = ", ".join(schema.names)[:200]
        return "no-text", f'not one column "{name}" (columns: {columns}); {fix}'
    kind = schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(test(kind) for test in (*texts, pa.types.is_binary, pa.types.is_large_binary)):
        return "wrong-type", f'column "{name}" is {kind}, not text; {fix}'
    return None


def _spans(metadata: pq.FileMetaData, size: int) -> list[_Span] | None:
    """Byte spans of the row groups, or None where the metadata does not give them in order."""
    spans: list[_Span] = []
    cursor = 4
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        columns = [group.column(number) for number in range(group.num_columns)]
        starts = [
            min(at for at in (column.dictionary_page_offset, column.data_page_offset) if at)
            for column in columns
            if column.dictionary_page_offset or column.data_page_offset
        ]
        start = min(starts, default=cursor)
        end = start + sum(column.total_compressed_size for column in columns)
        if start < cursor or end > size:
            return None
        spans.append(_Span(start, end, group.num_rows))
        cursor = end
    return spans


def _read_group(
    file: pq.ParquetFile, index: int, span: _Span, first: int, books: Books, options: ReadOptions
) -> Iterator[Page]:
    books.found(span.rows)
    done = 0
    batches = file.iter_batches(batch_size=BATCH_ROWS, row_groups=[index])
    while True:
        try:
            batch = next(batches, None)
        except _ERRORS as error:
            books.reject_rows(
                span.start, span.end - span.start, span.rows - done, ("parquet", str(error))
            )
            return
        if batch is None:
            break
        yield from _rows(batch, first + done, books, options)
        done += batch.num_rows
    books.use(span.start, span.end - span.start)


def _rows(batch: pa.RecordBatch, first: int, books: Books, options: ReadOptions) -> Iterator[Page]:
    texts = _texts(batch.column(options.text_field))
    others = [name for name in batch.schema.names if name != options.text_field]
    records = _records(batch.select(others), batch.num_rows)
    for row, (text, record) in enumerate(zip(texts, records, strict=True), first):
        why = None
        if text is None:
            why = ("no-text", f"the text is null (row {row})")
        elif not _is_utf8(text):
            why = ("encoding", f"the text is not UTF-8 (row {row})")
        elif isinstance(record, str):
            why = ("wrong-type", f"{record} (row {row})")
        if why is not None or text is None or isinstance(record, str):
            books.reject_row(row, text or b"", why or ("no-text", "no text"))
            continue
        books.page_row()
        url = take_string(record, options.url_field)
        timestamp = take_string(record, options.timestamp_field)
        origin, meta = f"{books.file}#{row}", meta_json(record)
        yield Page(origin, "text", text=text, url=url, timestamp=timestamp, meta=meta)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _texts(column: pa.Array) -> list[bytes | None]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    return values


def _records(batch: pa.RecordBatch, rows: int) -> list[dict[str, Any] | str]:
    """The other columns by row; a row that Python cannot hold is its error instead."""
    if not batch.num_columns:
        return [{} for _ in range(rows)]
    columns = [_iso(column) for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        records: list[dict[str, Any] | str] = batch.to_pylist()
        return records
    except _ERRORS:
        return [_record(batch.slice(row, 1)) for row in range(rows)]


def _iso(column: pa.Array) -> pa.Array:
    """Dates as text (Python's own types end in the year 9999)."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        with contextlib.suppress(*_ERRORS):  # a time zone that is not installed
            return column.cast(pa.string())
    return column


def _record(one: pa.RecordBatch) -> dict[str, Any] | str:
    try:
        row: dict[str, Any] = one.to_pylist()[0]
        return row
    except _ERRORS as error:
        return f"a column of the row cannot be read: {error}"
