"""Bytes of a page to text: a ladder of evidence, each rung with a name that is kept.

Byte order mark, then bytes that are UTF-8 beyond doubt, then what the HTTP header, the ``<meta>``
element and the XML declaration say, then UTF-8 again, then a detector. Each rung only proposes;
a proposal counts if the bytes decode under it. ``_choose`` is the one place that compares them.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

PRESCAN_BYTES: Final = 1024
"""How far a ``<meta>`` or XML declaration is looked for. Source: WHATWG HTML, "prescan a byte
stream to determine its encoding"."""

DETECTOR_BYTES: Final = 131_072
"""The detector reads half of this from either end (resiliparse's own default)."""

MAX_DAMAGE: Final = 0.02
"""Undecodable share of the non-ASCII characters up to which a multi-byte encoding still counts as
meant: stray bytes in a real page are below 0.1 %, Big5 read as UTF-8 is above 50 %."""

PROOF_CHARS: Final = 5
"""So many two-byte UTF-8 characters outrank a Chinese, Japanese or Korean label. Of 200 000 random
runs of n hanzi written in GB18030, 14.7, 2.2, 0.32, 0.06, 0.01 % happen to be valid UTF-8 for
n = 1..5; runs with a three-byte UTF-8 character among them: under 0.003 % for any n."""

# What Python calls the superset that the web means by a label. Source: WHATWG Encoding, "names and
# labels" (gb2312 and gbk are read as gb18030's repertoire, iso-8859-1 as windows-1252, ...).
_SUPERSETS: Final = {
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "ascii": "utf-8",
    "mac-roman": "mac_roman",
}
# Labels outside the WHATWG table that pages or the detector use.
_MORE_LABELS: Final = {
    "cp936": "gb18030",
    "ms936": "gb18030",
    "gb18030-2000": "gb18030",
    "hz-gb-2312": "hz",
    "hz": "hz",
    "cp950": "big5hkscs",
    "big-5": "big5hkscs",
    "big5hkscs": "big5hkscs",
    "cp932": "cp932",
    "ms932": "cp932",
    "cp949": "cp949",
    "ms949": "cp949",
    "johab": "johab",
    "iso-2022-kr": "iso2022_kr",
    "iso2022_kr": "iso2022_kr",
    "x-mac-cyrillic": "mac_cyrillic",
    "mac-cyrillic": "mac_cyrillic",
    "cp852": "cp852",
    "cp855": "cp855",
    "utf-32": "utf-32",
    "utf-32le": "utf-32-le",
    "utf-32be": "utf-32-be",
}
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_WIDE: Final = frozenset({"utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"})
_MULTIBYTE: Final = frozenset({"gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "johab"})
_ESCAPES: Final = re.compile(rb"\x1b[$(]|\x0e|~\{")

_COMMENT = re.compile(rb"<!--.*?(?:-->|$)", re.DOTALL)
_META = re.compile(rb"<meta\b([^>]*)", re.IGNORECASE)
_CONTENT = re.compile(rb"content\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml\b[^>]*?\bencoding\s*=\s*[\"']\s*([\w.:-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A page as text.

    Attributes:
        text: without a byte order mark.
        encoding: the Python codec that was used.
        encoding_source: ``bom``, ``http``, ``meta``, ``xml``, ``utf-8`` (the bytes are valid),
            ``width`` (zero bytes show UTF-16 or UTF-32) or ``detector``.
        replaced: how many U+FFFD stand for bytes that did not decode.
    """

    text: str
    encoding: str
    encoding_source: str
    replaced: int


def decode_page(content: bytes, *, http_charset: str | None = None, media: str = "html") -> Decoded:
    """Decode a page by the best evidence there is; never fails.

    Args:
        content: the payload as received, transfer encoding undone.
        http_charset: ``charset`` parameter of the Content-Type header, if any.
        media: ``"html"``, where ``<meta>`` and the XML declaration are looked for, or ``"text"``.

    Returns:
        The text and where its encoding came from.

    Source:
        WHATWG HTML 13.2.3 (order of evidence); WHATWG Encoding (labels). Two departures: bytes that
        are UTF-8 beyond doubt outrank a label of a legacy encoding, and a page's own declaration
        outranks an ISO-8859-1 header, which old servers sent for every file.
    """
    marked = _by_mark(content)
    if marked is not None:
        return marked
    content = content.removeprefix(codecs.BOM_UTF8)
    http = canonical_label(http_charset) if http_charset else None
    labels = list(_labels(content, http, media))
    certain = _utf8_beyond_doubt(content, labels)
    if certain is not None:
        source = next((s for e, s in labels if e == "utf-8"), "utf-8")
        return Decoded(certain.text, "utf-8", source, certain.replaced)
    return _choose(content, labels)


def canonical_label(label: str) -> str | None:
    """The Python codec for a web label, widened to the superset that the web means by it.

    Returns:
        ``None`` for a label that names no known text encoding.
    """
    name = label.strip().strip("\"'").lower()
    if name in _MORE_LABELS:
        return _MORE_LABELS[name]
    mapped: str | None = map_encoding_to_html5(name, fallback_utf8=False)
    return _SUPERSETS.get(mapped, mapped) if mapped else None


def _by_mark(content: bytes) -> Decoded | None:
    """Decode by byte order mark, or by zero bytes at the places where UTF-16 and UTF-32 have them.

    Bytes that do not decode behind a mark are replaced. Only a UTF-8 mark can be wrong (editors and
    templates prepend it to any file): with more than stray bytes behind it, it does not count.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            proposal = _propose(content[len(mark) :], encoding, "bom")
            if encoding == "utf-8" and proposal.damage() > MAX_DAMAGE:
                return None
            return _decoded(proposal)
    width = _width_by_zeros(content[:PRESCAN_BYTES])
    return _decoded(_propose(content, width, "width")) if width else None


def _width_by_zeros(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: markup is ASCII, so most high bytes are zero."""
    zeros = [head[k::4].count(0) for k in range(4)]
    units = len(head) // 4
    if units < 2 or sum(zeros) < units:
        return None
    nearly_all = [10 * count >= 9 * units for count in zeros]
    if nearly_all[2] and nearly_all[3]:
        return "utf-32-le"
    if nearly_all[0] and nearly_all[1]:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    if min(even, odd) * 8 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _labels(content: bytes, http: str | None, media: str) -> Iterator[tuple[str, str]]:
    """Declared encodings in order of trust, as (codec, source)."""
    weak_http = http == "cp1252"
    if http and not weak_http and http not in _WIDE:
        yield http, "http"
    if media == "html":
        head = content[:PRESCAN_BYTES]
        for source, label in (("meta", _meta_label(head)), ("xml", _xml_label(head))):
            encoding = canonical_label(label) if label else None
            if encoding:
                # An ASCII-readable declaration of a wide encoding is a lie; the standard says
                # to read UTF-8.
                yield ("utf-8" if encoding in _WIDE else encoding), source
    if http and weak_http:
        yield http, "http"


def _meta_label(head: bytes) -> str | None:
    for match in _META.finditer(_COMMENT.sub(b"", head)):
        attributes = match[1]
        if b"http-equiv" not in attributes.lower():
            attributes = _CONTENT.sub(b"", attributes)
        found = _CHARSET.search(attributes)
        if found:
            return found[1].decode("ascii", "replace")
    return None


def _xml_label(head: bytes) -> str | None:
    found = _XML.match(head)
    return found[1].decode("ascii", "replace") if found else None


def _utf8_beyond_doubt(content: bytes, labels: list[tuple[str, str]]) -> "_Text | None":
    """The text, if the bytes are UTF-8 in a way that outweighs what the page says of itself."""
    if content.isascii():
        return None
    text = _strict(content, "utf-8")
    if text is None:
        return _utf8_with_stray_bytes(content)
    if not any(encoding in _MULTIBYTE for encoding, _ in labels):
        return text
    # Every two-byte character adds one byte to the count of characters.
    proven = max(text.text) > "\u07ff" or len(content) - len(text.text) >= PROOF_CHARS
    return text if proven else None


def _utf8_with_stray_bytes(content: bytes) -> "_Text | None":
    """UTF-8 up to the first bad byte, with characters that no other encoding spells so."""
    try:
        valid = content.decode("utf-8")
    except UnicodeDecodeError as error:
        valid = content[: error.start].decode("utf-8")
    if sum(character > "\u07ff" for character in valid[:4096]) < PROOF_CHARS:
        return None
    proposal = _propose(content, "utf-8", "utf-8")
    return _Text(proposal.text, proposal.replaced) if proposal.damage() <= MAX_DAMAGE else None


@dataclass(frozen=True, slots=True)
class _Proposal:
    text: str
    encoding: str
    source: str
    replaced: int

    def damage(self) -> float:
        """Replaced share of the non-ASCII characters."""
        foreign = len(self.text.encode("utf-8", "replace")) - len(self.text)
        # Each non-ASCII character adds at least one byte; hanzi and U+FFFD add two.
        return 2 * self.replaced / max(1, foreign)


def _choose(content: bytes, labels: list[tuple[str, str]]) -> Decoded:
    """Take the first reading without damage, else the least damaged one."""
    tried: list[tuple[str, str]] = []
    for encoding, source in [*labels, ("utf-8", "utf-8")]:
        if encoding in {e for e, _ in tried}:
            continue
        tried.append((encoding, source))
        if source == "utf-8" and _ESCAPES.search(content):
            continue  # a seven-bit encoding is valid UTF-8 too: let the detector look first
        text = _strict(content, encoding)
        if text is not None:
            return Decoded(text.text, encoding, source, text.replaced)
    proposals = [_propose(content, *rung) for rung in tried]
    for proposal in proposals:
        if proposal.encoding in _MULTIBYTE | {"utf-8"} and 0 < proposal.damage() <= MAX_DAMAGE:
            return _decoded(proposal)
    found = detect_encoding(content, DETECTOR_BYTES, html5_compatible=False)
    known = canonical_label(found) if found and found != "ascii" else None
    encoding = known or "utf-8"
    proposals.append(_propose(content, encoding, "utf-8" if encoding == "utf-8" else "detector"))
    if proposals[-1].replaced == 0:
        return _decoded(proposals[-1])
    return _decoded(min(proposals, key=lambda p: p.replaced))


def _decoded(proposal: _Proposal) -> Decoded:
    return Decoded(proposal.text, proposal.encoding, proposal.source, proposal.replaced)


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    replaced: int


def _strict(content: bytes, encoding: str) -> _Text | None:
    """Decode without errors; a character cut in two by the end of the page is no error.

    Crawlers cut long pages at a fixed byte count, mostly inside a character.
    """
    try:
        return _Text(content.decode(encoding), 0)
    except UnicodeDecodeError as error:
        cut = content[error.start :]
        if not 0 < len(cut) <= 3 or encoding not in _MULTIBYTE | {"utf-8"}:
            return None
        if not _is_incomplete(cut, encoding):
            return None
        return _Text(content[: error.start].decode(encoding) + "\ufffd", 1)


def _is_incomplete(cut: bytes, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        return decoder.decode(cut) == ""
    except UnicodeDecodeError:
        return False


def _propose(content: bytes, encoding: str, source: str) -> _Proposal:
    text = content.decode(encoding, "replace")
    genuine = content.count(b"\xef\xbf\xbd") if encoding == "utf-8" else 0
    return _Proposal(text, encoding, source, text.count("\ufffd") - genuine)
