"""What a page says of its own encoding, and what the web means by the label."""

import re
from collections.abc import Iterator
from typing import Final

from resiliparse.parse.encoding import map_encoding_to_html5

PRESCAN_BYTES: Final = 1024
"""How far a ``<meta>`` or XML declaration is looked for. Source: WHATWG HTML, "prescan a byte
stream to determine its encoding"."""

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
WIDE: Final = frozenset({"utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"})
"""Encodings that no declaration readable as ASCII can name in earnest."""

_COMMENT = re.compile(rb"<!--.*?(?:-->|$)", re.DOTALL)
_META = re.compile(rb"<meta\b([^>]*)", re.IGNORECASE)
_CONTENT = re.compile(rb"content\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml\b[^>]*?\bencoding\s*=\s*[\"']\s*([\w.:-]+)", re.IGNORECASE)


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


def declared(content: bytes, http: str | None, media: str) -> Iterator[tuple[str, str]]:
    """Declared encodings in order of trust.

    Args:
        content: the page, without a byte order mark.
        http: codec of the HTTP header, if any.
        media: ``"html"``, where the page is looked into, or ``"text"``.

    Yields:
        (codec, source): ``http``, ``meta`` or ``xml``.
    """
    weak_http = http == "cp1252"
    if http and not weak_http and http not in WIDE:
        yield http, "http"
    if media == "html":
        head = content[:PRESCAN_BYTES]
        for source, label in (("meta", _meta_label(head)), ("xml", _xml_label(head))):
            encoding = canonical_label(label) if label else None
            if encoding:
                # An ASCII-readable declaration of a wide encoding is a lie; the standard says
                # to read UTF-8.
                yield ("utf-8" if encoding in WIDE else encoding), source
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
