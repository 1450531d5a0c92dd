"""The body of a recorded HTTP response, without its transfer and content codings.

Recorders differ: many store the decoded body and leave the old headers standing, so a header that
the body does not bear out is set aside. What is coded but broken is an error, not a shorter page.
FastWARC could decode too, but its readers take a cut gzip body for a whole one, and its chunked
reader refuses chunk extensions.
"""

import io
import re
import zlib

from fastwarc.stream_io import BrotliReader

MAX_CHUNK_HEADER = 1 << 10
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}\Z")
_IDENTITY = frozenset({"", "identity", "none", "utf-8", "utf8", "text/html", "8bit", "binary"})


class BadBody(Exception):
    """The body cannot be decoded."""


def decode_body(
    body: bytes, *, transfer: str, coding: str, limit: int, cut_allowed: bool = False
) -> bytes:
    """Undo the codings of a body.

    Args:
        body: as recorded.
        transfer: Transfer-Encoding header, "" if there is none.
        coding: Content-Encoding header, "" if there is none.
        limit: most bytes of the result.
        cut_allowed: use what is there of a body that ends too early (the recorder said so).

    Raises:
        BadBody: a coding is broken or unknown, or the result is over the limit.
    """
    if "chunked" in transfer.lower():
        body = _dechunk(body, cut_allowed=cut_allowed)
    for name in reversed(coding.lower().split(",")):
        body = _decode(body, name.strip(), limit, cut_allowed=cut_allowed)
    return body


def _dechunk(body: bytes, *, cut_allowed: bool) -> bytes:
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        end = body.find(b"\n", at, at + MAX_CHUNK_HEADER)
        digits = body[at:end].split(b";")[0].strip() if end >= 0 else b""
        if not _CHUNK_SIZE.match(digits):
            if not parts:
                return body  # the recorder has joined the chunks
            raise BadBody(f"chunked encoding: no chunk size at byte {at} of the body")
        size, start = int(digits, 16), end + 1
        if not size:
            break
        parts.append(body[start : start + size])
        if len(parts[-1]) < size and not cut_allowed:
            raise BadBody(f"chunked encoding: a chunk of {size} bytes has {len(parts[-1])}")
        at = start + size
        at += 2 if body.startswith(b"\r\n", at) else 1 if body.startswith(b"\n", at) else 0
    return b"".join(parts)


def _decode(body: bytes, name: str, limit: int, *, cut_allowed: bool) -> bytes:
    if name in _IDENTITY or not body:
        return body
    if name in ("gzip", "x-gzip"):
        if not body.startswith(b"\x1f\x8b"):
            return body
        return _inflate(body, 16 + zlib.MAX_WBITS, limit, cut_allowed=cut_allowed)
    try:
        if name == "deflate":
            # The name means zlib, but servers send raw deflate under it as well.
            zlib_header = body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
            bits = zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS
            return _inflate(body, bits, limit, cut_allowed=cut_allowed)
        if name == "br":
            output = BrotliReader(io.BytesIO(body)).read(limit + 1)
            _check_size(output, limit)
            return output
        if name == "zstd":
            return _unzstd(body, limit, cut_allowed=cut_allowed)
    except (BadBody, OSError) as error:
        if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return body
        raise BadBody(f"content encoding {name}: {error}") from error
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return body
    raise BadBody(f"content encoding {name!r} is not known")


def _inflate(body: bytes, bits: int, limit: int, *, cut_allowed: bool) -> bytes:
    output = bytearray()
    while True:
        inflate = zlib.decompressobj(bits)
        try:
            output += inflate.decompress(body, limit + 1 - len(output))
        except zlib.error as error:
            raise BadBody(f"cannot inflate ({error})") from error
        _check_size(output, limit)
        if not inflate.eof:
            if cut_allowed:
                break
            raise BadBody("the compressed body ends too early")
        body = inflate.unused_data
        if not body.startswith(b"\x1f\x8b\x08"):
            break  # one member is the rule; bytes after it are ignored as browsers do
    return bytes(output)


def _unzstd(body: bytes, limit: int, *, cut_allowed: bool) -> bytes:
    import zstandard

    feed = zstandard.ZstdDecompressor().decompressobj()
    output = bytearray()
    try:
        # Slices, because a kilobyte may hold blocks of 40 MB together.
        for at in range(0, len(body), 1 << 10):
            output += feed.decompress(body[at : at + (1 << 10)])
            _check_size(output, limit)
            if feed.eof:
                return bytes(output)
    except zstandard.ZstdError as error:
        raise BadBody(str(error)) from error
    if cut_allowed:
        return bytes(output)
    raise BadBody("the compressed body ends too early")


def _check_size(output: bytes | bytearray, limit: int) -> None:
    if len(output) > limit:
        raise BadBody(f"the body decodes to more than {limit} bytes")
