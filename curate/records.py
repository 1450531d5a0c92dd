"""Records in text streams: a JSON object a line, a text a line, or a whole file."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from .ledger import Books, Why
from .options import ReadOptions
from .pages import Page, Unusable, meta_json, take_string
from .window import Break, Piece, Window

BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 1 << 12
# json recurses, and how deep it can depends on who called it: without a limit of our own a record
# would be read in one process and refused in another.
MAX_NESTING = 100
_TOO_DEEP = f"nested too deeply (more than {MAX_NESTING} levels)"
# A string that never ends is taken to the end of the line, so that no quote is looked at twice.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


class Block(NamedTuple):
    """Whole lines. ``cut`` says that damage in the stream ends the last one."""

    offset: int
    data: bytes
    cut: bool = False


class LongLine(NamedTuple):
    """A line over the limit: its head and its length with the line end."""

    offset: int
    length: int
    head: bytes


class _Lines:
    """Cuts pieces into blocks of lines; no line is held beyond the limit."""

    def __init__(self, limit: int, offset: int) -> None:
        self.limit = limit
        self.offset = offset
        self.parts: list[bytes] = []
        self.size = 0
        self.head = b""
        self.long = False

    def feed(self, piece: bytes) -> Iterator[Block | LongLine]:
        end = piece.find(b"\n") + 1 if self.long else piece.rfind(b"\n") + 1
        if end:
            self._hold(piece[:end])
            yield from self.flush()
            piece = piece[end:]
            end = piece.rfind(b"\n") + 1
            if end:
                self._hold(piece[:end])
                yield from self.flush()
                piece = piece[end:]
        if piece:
            self._hold(piece)

    def _hold(self, piece: bytes) -> None:
        self.size += len(piece)
        if not self.long:
            self.parts.append(piece)
            # Only the first line can be over the limit: the others lie within one piece.
            if self.size > self.limit and b"\n" not in piece:
                self.head = b"".join(self.parts)[: min(HEAD_BYTES, self.limit)]
                self.parts, self.long = [], True

    def flush(self, *, cut: bool = False) -> Iterator[Block | LongLine]:
        if self.size:
            if self.long:
                yield LongLine(self.offset, self.size, self.head)
            else:
                yield Block(self.offset, b"".join(self.parts), cut)
        self.offset += self.size
        self.parts, self.size, self.long = [], 0, False


def line_blocks(
    pieces: Iterator[Piece], limit: int, *, offset: int = 0
) -> Iterator[Block | LongLine]:
    """Cut a stream into blocks of whole lines.

    Args:
        pieces: the content.
        limit: bytes of the longest line that is kept in memory.
        offset: of the first byte.
    """
    lines = _Lines(limit, offset)
    for piece in pieces:
        if isinstance(piece, Break):
            yield from lines.flush(cut=True)
        else:
            yield from lines.feed(piece)
    yield from lines.flush()


def lines(
    pieces: Iterator[Piece], books: Books, options: ReadOptions
) -> Iterator[tuple[int, bytes, str | None, bool]]:
    """Physical lines, from where the books stand.

    Blank lines, a byte order mark and lines over the limit are booked here. Neither how the content
    is cut into pieces nor where the reading begins changes a line.

    Yields:
        Offset, the line with its end, its text without the end (None where it cannot be decoded),
        and whether damage in the stream cut it short.
    """
    if not books.content.cursor:
        pieces = _without_mark(pieces, books)
    # The mark is booked when the first piece is asked for.
    first = next(pieces, b"")
    pieces = chain([first], pieces)
    for block in line_blocks(pieces, options.max_record_bytes, offset=books.content.cursor):
        if isinstance(block, LongLine):
            _too_long(books, block.offset, block.length, block.head, options)
            continue
        offset, data = block.offset, block.data
        raws = data.split(b"\n")
        tail = len(raws) - 1
        for index, raw in enumerate(raws):
            text = decoded(raw, options.encoding)
            if index < tail:
                raw += b"\n"
            elif not raw:
                break
            if len(raw) - (index < tail) > options.max_record_bytes:
                _too_long(books, offset, len(raw), raw[:HEAD_BYTES], options)
            elif raw.isspace():
                books.skip(offset, len(raw), "blank line", record=False)
            else:
                yield offset, raw, text, block.cut and index == tail
            offset += len(raw)


def _without_mark(pieces: Iterator[Piece], books: Books) -> Iterator[Piece]:
    """The content after a byte order mark, which is booked."""
    head = b""
    for piece in pieces:
        if isinstance(piece, Break):
            yield from (head, piece)
            break
        head += piece
        if len(head) >= len(BOM):
            if head.startswith(BOM):
                books.skip(0, len(BOM), "byte order mark", record=False)
                head = head[len(BOM) :]
            yield head
            break
    else:
        yield head
    yield from pieces


def decoded(raw: bytes, encoding: str) -> str | None:
    """A line as text, or None where it is not in the encoding."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def undecodable(raw: bytes, encoding: str) -> Why:
    """Why a line cannot be decoded."""
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        return (
            "encoding",
            f"not {encoding}: {error.reason} 0x{raw[error.start]:02x} at byte {error.start} "
            "of the record; set read.encoding if the file has another encoding",
        )
    raise ValueError("the bytes can be decoded")


def _too_long(books: Books, offset: int, length: int, head: bytes, options: ReadOptions) -> None:
    books.found()
    limit = options.max_record_bytes
    error = f"the record has {length} bytes; read.max_record_bytes is {limit}"
    # No more of it than is sure to be held, whether it came in one piece or in many.
    books.quarantine(offset, length, head[: min(HEAD_BYTES, limit)], ("too-long", error))


def read_jsonl(pieces: Iterator[Piece], books: Books, options: ReadOptions) -> Iterator[Page]:
    """A JSON object a line."""
    parse = json.JSONDecoder().decode
    for offset, raw, text, cut in lines(pieces, books, options):
        books.found()
        try:
            if text is None:
                raise Unusable(*(_CUT if cut else undecodable(raw, options.encoding)))
            if _nests_deeply(text):
                raise Unusable("malformed-json", _TOO_DEEP)
            page = object_page(parse(text), f"{books.file}#{offset}", options)
        except Unusable as problem:
            books.quarantine(offset, len(raw), raw, problem.why)
        except ValueError as problem:
            books.quarantine(offset, len(raw), raw, _CUT if cut else _malformed(problem))
        else:
            books.page(offset, len(raw))
            yield page


_CUT: Why = ("cut", "the stream is damaged inside this line")


def _nests_deeply(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return False
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_NESTING:
                return True
        elif first in "]}":
            depth -= 1
    return False


def _malformed(problem: ValueError) -> Why:
    if isinstance(problem, json.JSONDecodeError):
        return "malformed-json", f"{problem.msg} at character {problem.pos} of the line"
    # The one other error of json: int() refuses very long numbers, which take it quadratic time.
    return "malformed-json", "a number has thousands of digits"


def object_page(record: Any, origin: str, options: ReadOptions) -> Page:
    """A page from the fields of one record.

    Raises:
        Unusable: it is no object, or has no text.
    """
    if type(record) is not dict:
        raise Unusable("not-an-object", f"a JSON {_json_type(record)} where an object should be")
    text = record.pop(options.text_field, record)
    if type(text) is not str:
        raise _no_text(record, text, options)
    try:
        encoded = text.encode()
        return Page(
            origin=origin,
            media="text",
            text=encoded,
            url=take_string(record, options.url_field),
            timestamp=take_string(record, options.timestamp_field),
            meta=meta_json(record),
        )
    except UnicodeEncodeError:
        error = "the record holds half of a surrogate pair, which is no character"
        raise Unusable("surrogate", error) from None


def _no_text(record: dict[str, Any], text: Any, options: ReadOptions) -> Unusable:
    name = options.text_field
    if text is not record:
        return Unusable("wrong-type", f'field "{name}" is a {_json_type(text)}, not a string')
    fields = ", ".join(sorted(map(str, record))[:20]) or "none"
    return Unusable(
        "no-text", f'no field "{name}" (fields: {fields}); set read.text_field to the right one'
    )


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def read_text_lines(pieces: Iterator[Piece], books: Books, options: ReadOptions) -> Iterator[Page]:
    """A text a line."""
    for offset, raw, text, cut in lines(pieces, books, options):
        books.found()
        why: Why | None = None
        if cut:
            why = _CUT
        elif text is None:
            why = undecodable(raw, options.encoding)
        elif "\0" in text:
            why = ("nul", "a NUL byte; if this is UTF-16, convert it to UTF-8")
        if why is not None or text is None:
            books.quarantine(offset, len(raw), raw, why or ("encoding", "not decoded"))
            continue
        books.page(offset, len(raw))
        yield Page(f"{books.file}#{offset}", "text", text=text.rstrip("\r").encode())


def read_whole(
    pieces: Iterator[Piece], books: Books, options: ReadOptions, *, media: str
) -> Iterator[Page]:
    """One page: the whole file, its bytes not yet decoded."""
    window = Window(pieces)
    limit = options.max_record_bytes
    books.found()
    size = window.fill(limit + 1)
    if size > limit or window.cut is not None:
        _refuse_whole(window, books, options)
    elif not size:
        books.skip(0, 0, "empty file")
    else:
        books.page(0, size)
        yield Page(origin=f"{books.file}#0", media=media, content=window.peek(0, size))


def _refuse_whole(window: Window, books: Books, options: ReadOptions) -> None:
    """Read to the end of a file that is too long or damaged, and quarantine it."""
    head = window.peek(0, HEAD_BYTES)
    while True:
        window.drop(len(window.data))
        if not window.fill(1) and not window.next_segment():
            break
    size, limit = window.offset, options.max_record_bytes
    if size > limit:
        why = ("too-long", f"the file has {size} bytes; read.max_record_bytes is {limit}")
    else:
        why = ("cut", "the compressed file is damaged, and a text is used whole or not at all")
    books.quarantine(0, size, head, why)
