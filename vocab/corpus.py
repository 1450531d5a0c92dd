"""Documents for vocabulary work: their text, and the site they come from as evidence."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from yanmo.documents import column_names, iterate, part_paths, texts
from yanmo.errors import DataError
from yanmo.files import open_input, reading

# Host of a URL, without user, port and a leading "www.".
_HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@?#]*@)?(?:www\.)?(?P<host>[^/:?#]+)"
BATCH_BYTES = 16 << 20


@dataclass(frozen=True)
class Batch:
    """Some documents: texts (``large_string``) and hosts (``string``, null where unknown)."""

    texts: pa.Array
    hosts: pa.Array


def batches(path: Path, *, column: str = "text") -> Iterator[Batch]:
    """Read documents with their hosts, batch by batch.

    Args:
        path: run folder, Parquet, JSONL (``.gz``, ``.zst``) or a text file.
        column: column or field of the text; the host is taken from ``url``.

    Raises:
        DataError: a record has no such text.
    """
    plain = path.name.removesuffix(".gz").removesuffix(".zst")
    if path.is_dir() or plain.endswith(".parquet"):
        for part in part_paths(path):
            yield from _parquet(part, column)
    elif plain.endswith((".jsonl", ".ndjson", ".json")):
        yield from _json_lines(path, column)
    else:
        for array in texts(path, column=column):
            yield Batch(array, pa.nulls(len(array), pa.string()))


def _parquet(part: Path, column: str) -> Iterator[Batch]:
    has_url = "url" in column_names(part)
    for batch in iterate([part], columns=[column, "url"] if has_url else [column]):
        array = batch.column(0).cast(pa.large_string())
        urls = batch.column(1).cast(pa.string()) if has_url else pa.nulls(len(array), pa.string())
        yield Batch(array.fill_null("") if array.null_count else array, hosts_of(urls))


def hosts_of(urls: pa.Array) -> pa.Array:
    """The host of each URL, lower case; null for no URL."""
    found = pc.extract_regex(urls, pattern=_HOST)
    return pc.utf8_lower(pc.struct_field(found, "host"))


def _json_lines(path: Path, column: str) -> Iterator[Batch]:
    documents: list[str] = []
    urls: list[str | None] = []
    size = 0
    with reading(path), open_input(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            record = _record(line)
            text = record.get(column)
            if not isinstance(text, str):
                raise DataError(f"no text in field '{column}'", where=f"{path}:{number}")
            url = record.get("url")
            documents.append(text)
            urls.append(url if isinstance(url, str) else None)
            size += len(line)
            if size > BATCH_BYTES:
                yield _batch(documents, urls)
                documents, urls, size = [], [], 0
    if documents:
        yield _batch(documents, urls)


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _batch(documents: list[str], urls: list[str | None]) -> Batch:
    hosts = hosts_of(pa.array(urls, pa.string()))
    return Batch(pa.array(documents, pa.large_string()), hosts)


class Hosts:
    """Numbers for hosts, in the order of their first appearance; -1 for none."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def add(self, hosts: pa.Array) -> Iterable[int]:
        """The number of each host of a batch."""
        encoded = hosts.dictionary_encode()
        known = [
            self.numbers.setdefault(h, len(self.numbers)) for h in encoded.dictionary.to_pylist()
        ]
        return [known[i] if i is not None else -1 for i in encoded.indices.to_pylist()]
