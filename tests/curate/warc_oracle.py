"""A second look at WARC files, sharing no code with the reader: zlib, byte search, http.client."""

import gzip
import http.client
import io
import re
import zlib
from dataclasses import dataclass, field


@dataclass
class Seen:
    """One record as found by searching for its first line."""

    offset: int
    kind: str
    uri: str
    content_type: str
    block: bytes
    whole: bool


@dataclass
class Counted:
    content: int
    separators: int
    records: list[Seen] = field(default_factory=list)

    def of(self, kind: str) -> int:
        return sum(record.kind == kind for record in self.records)


def inflate(data: bytes) -> bytes:
    """All members of a gzip file; a cut one as far as it goes."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    parts = []
    while data:
        member = zlib.decompressobj(31)
        parts.append(member.decompress(data))
        data = member.unused_data
    return b"".join(parts)


def count(data: bytes) -> Counted:
    """Find records by their first lines, not by walking along their lengths."""
    content = inflate(data)
    starts = [match.start(1) for match in re.finditer(rb"(?:\A|\n)(WARC/\d\.\d+\r?\n)", content)]
    ends = [*starts[1:], len(content)]
    found = Counted(len(content), 0)
    for start, end in zip(starts, ends, strict=True):
        head, _, rest = re.sub(rb"\r\n", b"\n", content[start:end]).partition(b"\n\n")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (
                line.partition(":") for line in head.decode("latin-1").split("\n")
            )
        }
        size = len(re.split(rb"\r?\n\r?\n", content[start:end], maxsplit=1)[0])
        begin = start + size + len(re.match(rb"\r?\n\r?\n", content[start + size :]).group())  # type: ignore[union-attr]
        length = int(fields["content-length"])
        tail = content[begin + length : end]
        whole = begin + length <= end and not tail.strip(b"\r\n")
        if whole:
            found.separators += len(tail)
        found.records.append(
            Seen(
                start,
                fields["warc-type"],
                fields.get("warc-target-uri", ""),
                fields.get("content-type", ""),
                content[begin : begin + length] if whole else rest,
                whole,
            )
        )
    return found


class _Socket:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def page_body(block: bytes) -> bytes | None:
    """Body of a 200 response with a page in it, by the standard library; None for all others."""
    response = http.client.HTTPResponse(_Socket(block))  # type: ignore[arg-type]
    response.begin()
    name = (response.getheader("content-type") or "").split(";")[0].strip().lower()
    if response.status != 200 or name not in ("text/html", "text/plain", "application/xhtml+xml"):
        return None
    response.length = None  # what the recorder stored counts, not what the server announced
    try:
        body = response.read()
    except http.client.IncompleteRead as problem:
        if problem.partial:
            raise
        body = re.split(rb"\r?\n\r?\n", block, maxsplit=1)[1]  # the recorder joined the chunks
    if response.getheader("content-encoding") == "gzip" and body.startswith(b"\x1f\x8b"):
        body = gzip.decompress(body)
    return body
