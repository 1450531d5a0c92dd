"""Pages: what every reader yields, and the Arrow batches that they leave in."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from .ledger import ByteLedger, Why

PAGE_SCHEMA: Final = pa.schema(
    [
        pa.field("origin", pa.string(), nullable=False),
        ("url", pa.string()),
        ("timestamp", pa.string()),
        pa.field("media", pa.string(), nullable=False),
        ("content", pa.large_binary()),
        ("http_charset", pa.string()),
        ("text", pa.large_string()),
        pa.field("meta", pa.string(), nullable=False),
    ]
)
"""``origin`` is the name of the input file, ``#``, then the offset in the content (Parquet: the
row). ``media`` is "html" or "text". Exactly one of ``content`` (bytes, not yet decoded) and
``text`` (decoded already) is set. ``meta`` is a JSON object."""


class Page(NamedTuple):
    """One page; ``text`` and ``meta`` are UTF-8 (encoded once, where their size is needed)."""

    origin: str
    media: str
    content: bytes | None = None
    text: bytes | None = None
    url: str | None = None
    timestamp: str | None = None
    http_charset: str | None = None
    meta: bytes = b"{}"

    def size(self) -> int:
        """Bytes that count towards a batch."""
        return len(self.content or b"") + len(self.text or b"") + len(self.meta)


class Unusable(Exception):
    """A record that should become a page and cannot.

    Args:
        kind: a short name to count by.
        error: a sentence for people.
    """

    def __init__(self, kind: str, error: object) -> None:
        super().__init__(str(error))
        self.why: Why = (kind, str(error))


def _plain(value: Any) -> Any:
    """Column values that JSON does not have."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)


def _encoder(*, ascii_only: bool) -> Callable[[Any], str]:
    return json.JSONEncoder(
        ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"), default=_plain
    ).encode


_encode_meta = _encoder(ascii_only=False)
_encode_ascii = _encoder(ascii_only=True)


def meta_json(fields: dict[str, Any]) -> bytes:
    """Fields that we do not know, as a JSON object in their own order.

    NaN and infinities, which JSON does not have, become null; a lone surrogate stays an escape;
    bytes become base64, dates and decimal numbers strings.
    """
    if not fields:
        return b"{}"
    try:
        return _encode_meta(fields).encode()
    except UnicodeEncodeError:
        return _encode_ascii(fields).encode()
    except ValueError:
        return meta_json(_without_nan(fields))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return None
    return value


def take_string(fields: dict[str, Any], name: str) -> str | None:
    """Take a known field out if it is a string or null; another type stays with the unknown ones.

    Raises:
        UnicodeEncodeError: it holds half of a surrogate pair.
    """
    value = fields.get(name)
    if value is None:
        fields.pop(name, None)
        return None
    if type(value) is not str:
        return None
    value.encode()
    return str(fields.pop(name))


def _column(values: list[bytes | None], kind: pa.DataType) -> pa.Array:
    """Bytes as a large column by one copy (``pa.array`` of bytes to a string type looks at every
    byte again: 60 MB/s against 2500)."""
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value or b"") for value in values], out=offsets[1:])
    data = pa.py_buffer(b"".join([value or b"" for value in values]))
    there = pa.array([value is not None for value in values], type=pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(kind, len(values), [there, pa.py_buffer(offsets), data])


def _batch(pages: list[Page]) -> pa.RecordBatch:
    columns = {
        "origin": pa.array([page.origin for page in pages], type=pa.string()),
        "url": pa.array([page.url for page in pages], type=pa.string()),
        "timestamp": pa.array([page.timestamp for page in pages], type=pa.string()),
        "media": pa.array([page.media for page in pages], type=pa.string()),
        "content": _column([page.content for page in pages], pa.large_binary()),
        "http_charset": pa.array([page.http_charset for page in pages], type=pa.string()),
        "text": _column([page.text for page in pages], pa.large_string()),
        "meta": _column([page.meta for page in pages], pa.large_string()).cast(pa.string()),
    }
    arrays = [columns[name] for name in PAGE_SCHEMA.names]
    return pa.RecordBatch.from_arrays(arrays, schema=PAGE_SCHEMA)


def batches(
    pages: Iterable[Page], *, rows: int, size: int, ledger: ByteLedger
) -> Iterator[pa.RecordBatch]:
    """Collect pages into batches; where they are cut depends on the pages alone.

    Args:
        pages: in order.
        rows: most rows in a batch.
        size: most bytes in a batch; a larger page makes a batch of its own.
        ledger: counts the pages that leave.
    """
    held: list[Page] = []
    held_size = 0
    for page in pages:
        page_size = page.size()
        if held and (len(held) == rows or held_size + page_size > size):
            ledger.hand_on(len(held))
            yield _batch(held)
            held, held_size = [], 0
        held.append(page)
        held_size += page_size
    if held:
        ledger.hand_on(len(held))
        yield _batch(held)
