"""WARC and WET: records cut by their own framing, HTTP taken apart by FastWARC.

The framing is our own because FastWARC's iterator cannot account for bytes. On the 33 real and
damaged files of the test collection it counts the same records, but it says nothing where it gives
75,207 bytes of a body of 88,275 (a gzip stream cut in the middle), where a Content-Length that is
too long swallows the head of the next record, and where bytes between records are passed over.
"""

import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from fastwarc.warc import WarcRecord

from .http_body import BadBody, decode_body
from .ledger import RAW_BYTES, Books, Why
from .options import ReadOptions
from .pages import Page, Unusable, meta_json
from .window import Piece, Window

MAX_HEADER = 1 << 16
SCAN_BYTES = 1 << 20
# The checksum of a compressed member is known at its end. A record is refused for a wrong one if so
# few bytes lie between; how many of them happen to be at hand must not decide. Members hold one
# record, as a rule.
CHECKSUM_BYTES = 1 << 16
HEADER_CHARS = 256
_SEPARATOR = "record separator"
_VERSION = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,4}\r?\n")
# Where reading can go on: a version line with a header field below it.
_NEXT = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,4}\r?\n[A-Za-z-]{1,32}[ \t]{0,4}:")
_NEXT_LONGEST = 64
_NEWLINES = re.compile(rb"[\r\n]*")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:([^\r\n]*)")


class Frame(NamedTuple):
    """One whole record. ``whole`` is false where it is too long and ``block`` only its head."""

    offset: int
    length: int
    header: bytes
    block: bytes
    whole: bool = True


def frames(
    pieces: Iterator[Piece], books: Books, limit: int, *, stop: int | None = None
) -> Iterator[Frame]:
    """Cut a stream into records; all other bytes are booked here.

    A record counts if a blank line, another record or the end of the stream follows it. Otherwise
    its Content-Length lies, and everything up to the next record is quarantined.

    Args:
        pieces: the content, from where the books stand.
        books: separators are skipped, garbage and broken records quarantined.
        limit: bytes of the longest record that is kept in memory.
        stop: offset of a record at which to end; the content must go on beyond it, since what
            follows a record says whether the record is whole.
    """
    window = Window(pieces, offset=books.content.cursor)
    while window.fill(32) or window.next_segment():
        if stop is not None and window.offset >= stop:
            return
        size = _newlines(window)
        if size:
            books.skip(window.offset, size, _SEPARATOR, record=False)
            window.drop(size)
        elif not window.data:
            continue
        elif _matches(_VERSION, window):
            yield from _record(window, books, limit)
        else:
            _to_next(window, books, ("garbage", "no WARC record begins here"), seek=0)


# A match object locks the window's bytearray, so none may outlive these functions.


def _newlines(window: Window) -> int:
    match = _NEWLINES.match(window.data)
    return match.end() if match else 0


def _matches(pattern: re.Pattern[bytes], window: Window) -> bool:
    return pattern.match(window.data) is not None


def _search(pattern: re.Pattern[bytes], window: Window, seek: int, end: int) -> int:
    """Start of the first match, or -1."""
    match = pattern.search(window.data, seek, end)
    return match.start() if match else -1


def _to_next(window: Window, books: Books, why: Why, *, seek: int = 5) -> None:
    """Quarantine everything up to the next record, which begins ``seek`` bytes on or later."""
    start = window.offset
    window.fill(RAW_BYTES)
    head = window.peek(0, RAW_BYTES)
    while True:
        size = window.fill(SCAN_BYTES)
        found = _search(_NEXT, window, seek, size)
        if found >= 0 or window.ended:
            window.drop(found if found >= 0 else size)
            break
        window.drop(size - _NEXT_LONGEST)
        seek = 0
    books.found()
    length = window.offset - start
    books.quarantine(start, length, head[:length], why)


def _record(window: Window, books: Books, limit: int) -> Iterator[Frame]:
    header = _header(window)
    if not header:
        _to_next(window, books, ("warc-header", "the header of the record has no end"))
        return
    length = _content_length(header)
    if length is None:
        _to_next(window, books, ("content-length", "Content-Length is missing or no number"))
        return
    total = len(header) + length
    if total > limit:
        yield from _long_record(window, books, header, total)
        return
    size = window.fill(total)
    if size < total:
        error = f"the record should have {total} bytes and the stream ends after {size}"
        _to_next(window, books, ("cut", error))
    elif not _followed(window, total):
        error = f"Content-Length is {length}, but neither blank line nor record follows"
        _to_next(window, books, ("content-length", error))
    else:
        ends = window.fill(total + CHECKSUM_BYTES) < total + CHECKSUM_BYTES
        cut, offset = window.cut if ends else None, window.offset
        block = window.peek(len(header), total)
        window.drop(total)
        if cut is not None and cut.suspect_from is not None and offset + total > cut.suspect_from:
            books.found()
            why = ("checksum", "the checksum of the compressed data around the record is wrong")
            books.quarantine(offset, total, header + block, why)
        else:
            yield Frame(offset, total, header, block)


def _header(window: Window) -> bytes:
    """The header with the blank line after it; empty if it does not end."""
    window.fill(MAX_HEADER)
    match = _HEADER_END.search(window.data, 0, MAX_HEADER)
    return window.peek(0, match.end()) if match else b""


def _content_length(header: bytes) -> int | None:
    values = {value.strip() for value in _LENGTH.findall(header)}
    value = values.pop() if len(values) == 1 else b""
    return int(value) if value.isdigit() and len(value) < 16 else None


def _followed(window: Window, at: int) -> bool:
    """Does what follows show that the record ends at ``at``?"""
    window.fill(at + 32)
    rest = window.peek(at, at + 32)
    following = rest.lstrip(b"\r\n")
    newlines = rest[: len(rest) - len(following)]
    if not following or _VERSION.match(following):
        return True
    return newlines.startswith((b"\r\n\r\n", b"\n\n"))


def _long_record(window: Window, books: Books, header: bytes, total: int) -> Iterator[Frame]:
    """Pass over a record without holding it.

    A record that begins inside means that the length lies (or that a WARC lies in a WARC, whose
    records are then read); once passed there is no way back to it.
    """
    start, left, seek = window.offset, total, len(header)
    window.fill(min(total, RAW_BYTES))
    head = window.peek(0, min(total, RAW_BYTES))
    why: Why | None = None
    while left and why is None:
        size = window.fill(SCAN_BYTES)
        end = min(left, size)
        found = _search(_NEXT, window, seek, end)
        if found >= 0:
            end, why = found, ("content-length", f"another record begins inside its {total} bytes")
        elif size >= left:
            why = None if _followed(window, left) else ("content-length", "no blank line follows")
        elif window.ended:
            why = ("cut", f"the record should have {total} bytes and the stream ends before")
        else:
            end, seek = size - _NEXT_LONGEST, 0
        window.drop(end)
        left -= end
    length = window.offset - start
    if why is not None:
        books.found()
        books.quarantine(start, length, head[:length], why)
    else:
        yield Frame(start, length, header, head[len(header) :], whole=False)


def read_warc(
    pieces: Iterator[Piece], books: Books, options: ReadOptions, *, stop: int | None = None
) -> Iterator[Page]:
    """A response, resource or conversion record a page; ``stop`` as :func:`frames` has it."""
    for frame in frames(pieces, books, options.max_record_bytes, stop=stop):
        books.found()
        try:
            outcome = _page(frame, f"{books.file}#{frame.offset}", options)
        except Unusable as problem:
            raw = frame.header + frame.block
            books.quarantine(frame.offset, frame.length, raw, problem.why)
            continue
        if isinstance(outcome, str):
            books.skip(frame.offset, frame.length, outcome)
        else:
            books.page(frame.offset, frame.length)
            yield outcome


def _page(frame: Frame, origin: str, options: ReadOptions) -> Page | str:
    """The page of a record, or the kind of record that it is.

    Raises:
        Unusable: it should hold a page but cannot be read.
    """
    try:
        stream = io.BytesIO(frame.header + frame.block)
        record = WarcRecord.from_reader(stream, quirks_mode=True)  # line ends may be bare LF
    except OSError as error:
        raise Unusable("warc-header", error) from error
    if frame.whole and record.content_length != len(frame.block):
        raise Unusable("content-length", f"FastWARC reads it as {record.content_length}")
    kind = str(record.record_type)
    if kind == "response":
        outcome = _response(record, frame)
    elif kind in ("resource", "conversion"):
        outcome = _resource(record, frame)
    else:
        return kind
    if isinstance(outcome, str):
        return outcome
    if not frame.whole:
        limit = f"read.max_record_bytes is {options.max_record_bytes}"
        raise Unusable("too-long", f"the record has {frame.length} bytes; {limit}")
    return _finish(record, outcome, origin, options)


class _Body(NamedTuple):
    """A body with the headers that say how to read it."""

    media: str
    charset: str | None
    transfer: str
    coding: str


def _url(record: WarcRecord) -> str | None:
    uri = record.headers.get("WARC-Target-URI") or ""
    return uri.strip().strip("<>") or None  # some wgets wrote it in angle brackets


def _response(record: WarcRecord, frame: Frame) -> _Body | str:
    if not record.is_http and not frame.block.startswith(b"HTTP/"):
        return "not-http"  # dns: lookups, for the most part
    if not _HEADER_END.search(frame.block):
        raise Unusable("http-header", "the HTTP header has no end")
    record.is_http = True
    try:
        record.parse_http(quirks_mode=True, max_header_len=MAX_HEADER)
    except OSError as error:
        raise Unusable("http-header", error) from error
    headers = record.http_headers
    status = headers.status_code
    if status is None:
        raise Unusable("http-status", f"no HTTP status in {headers.status_line!r}"[:200])
    if status != 200:
        return f"http-status-{status}"
    content_type = headers.get("Content-Type") or ""
    found = _media(content_type or record.headers.get("WARC-Identified-Payload-Type") or "", frame)
    if found in ("html", "text"):
        transfer = headers.get("Transfer-Encoding") or ""
        coding = headers.get("Content-Encoding") or ""
        return _Body(found, _charset(content_type), transfer, coding)
    return found


def _resource(record: WarcRecord, frame: Frame) -> _Body | str:
    url = _url(record) or ""
    if not re.match(r"(?i)(https?|ftp|file):", url):
        return "not-a-web-resource"  # logs of the crawler under metadata: and urn:
    content_type = record.headers.get("Content-Type") or ""
    found = _media(content_type, frame)
    return _Body(found, _charset(content_type), "", "") if found in ("html", "text") else found


# Kinds are counted by name, and a page can write any name into its header.
_MAJOR = frozenset({"application", "audio", "font", "image", "message", "model", "text", "video"})
_HTML_TAG = re.compile(rb"(?i)<(?:!doctype\s+html|html|head|body|title|meta)[\s>]")


def _media(content_type: str, frame: Frame) -> str:
    """``html``, ``text``, or the kind under which the record is skipped."""
    name = re.split(r"[;,\s]", content_type.strip()[:HEADER_CHARS].lower(), maxsplit=1)[0]
    if name in ("text/html", "application/xhtml+xml"):
        return "html"
    if name == "text/plain":
        return "text"
    if not name:
        end = _HEADER_END.search(frame.block)
        body = frame.block[end.end() :] if end else frame.block
        return "html" if _HTML_TAG.search(body[:1024]) else "content-type-missing"
    major = name.split("/")[0]
    return f"content-type-{major if major in _MAJOR else 'other'}"


def _charset(content_type: str) -> str | None:
    match = re.search(r"(?i)charset\s*=\s*[\"']?([\w.:+-]+)", content_type[:HEADER_CHARS])
    return match.group(1).lower() if match else None


def _finish(record: WarcRecord, body: _Body, origin: str, options: ReadOptions) -> Page:
    truncated = record.headers.get("WARC-Truncated")
    try:
        content = decode_body(
            record.reader.read(),
            transfer=body.transfer,
            coding=body.coding,
            limit=options.max_record_bytes,
            cut_allowed=bool(truncated),
        )
    except (BadBody, OSError) as error:
        raise Unusable("http-body", error) from error
    return Page(
        origin=origin,
        media=body.media,
        content=content,
        url=_url(record),
        timestamp=record.headers.get("WARC-Date"),
        http_charset=body.charset,
        meta=meta_json({"warc_truncated": truncated} if truncated else {}),
    )
