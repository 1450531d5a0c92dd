"""Documents in named slices (a file, a source, a language …), whole or as a seeded sample.

A sample holds the documents whose seeded hash is smallest, so that it depends neither on the order
of the files nor on how documents are cut into them, and a smaller sample is part of a larger one.
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from yanmo.documents import iterate, part_paths, texts
from yanmo.errors import DataError, UsageError
from yanmo.files import open_input
from yanmo.recipe import did_you_mean

from .labels import distinct_labels

# Each slice has a count of every id of every tokenizer: 64 slices of seven tokenizers are 230 MB.
MAX_SLICES = 64
BATCH_BYTES = 1 << 20
NO_LABEL = "(none)"
# Han characters among all that are not white space.
_MOSTLY_HAN, _SOME_HAN = 0.5, 0.05


@dataclass(frozen=True)
class Sampling:
    """Which documents are looked at.

    Attributes:
        by: ``file``, ``script`` (by share of Han characters), or a column or JSON field.
        column: column or JSON field of the text.
        documents: most documents of a slice; ``None``: all.
        limit_bytes: stop a slice at so many bytes of UTF-8; ``None``: at none.
        seed: seed of the hash that chooses.
    """

    by: str = "file"
    column: str = "text"
    documents: int | None = None
    limit_bytes: int | None = None
    seed: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self.documents is None and self.limit_bytes is None


@dataclass
class Population:
    """What a slice holds before sampling; empty documents are counted and left out."""

    documents: int = 0
    empty: int = 0
    chars: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Document:
    """A text and the way back to it."""

    text: str
    file: int
    number: int


@dataclass
class Slices:
    """Reads inputs slice by slice; ``populations`` is complete when all batches were taken.

    Args:
        paths: run folders, Parquet, JSONL (``.gz``, ``.zst``), or text files (a document each).
        sampling: what to take.
    """

    paths: Sequence[Path]
    sampling: Sampling
    populations: dict[str, Population] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.paths:
            if not path.exists():
                fix = "--text takes documents: a file, a run folder, Parquet, JSONL."
                raise UsageError("no such file or folder", where=path, fix=fix)
        self._names = distinct_labels([plain_name(path) for path in self.paths], self.paths)

    def where(self, document: Document) -> str:
        """File and number of a document, for messages."""
        return f"{self.paths[document.file]}, document {document.number}"

    def batches(self) -> Iterator[tuple[str, list[Document]]]:
        """Label and documents, about ``BATCH_BYTES`` at a time, none of them empty.

        Raises:
            DataError: an input cannot be read, or there is no text in any.
            UsageError: no such field, or more than ``MAX_SLICES`` slices.
        """
        found = self._whole() if self.sampling.whole else self._sampled()
        for label, documents in found:
            yield from ((label, part) for part in _cut(documents))
        if not any(population.documents for population in self.populations.values()):
            raise DataError("no text in the inputs", where=", ".join(map(str, self.paths)),
                            value=f"{self._empty()} empty documents")  # fmt: skip

    def _empty(self) -> int:
        return sum(population.empty for population in self.populations.values())

    def _whole(self) -> Iterator[tuple[str, list[Document]]]:
        waiting: dict[str, list[Document]] = {}
        sizes: dict[str, int] = {}
        for label, document, size in self._documents():
            waiting.setdefault(label, []).append(document)
            sizes[label] = sizes.get(label, 0) + size
            if sizes[label] >= BATCH_BYTES:
                yield label, waiting.pop(label)
                sizes[label] = 0
        yield from waiting.items()

    def _sampled(self) -> Iterator[tuple[str, list[Document]]]:
        import xxhash

        pools: dict[str, _Pool] = {}
        for label, document, size in self._documents():
            pool = pools.setdefault(
                label, _Pool(self.sampling.documents, self.sampling.limit_bytes)
            )
            rank = xxhash.xxh3_64_intdigest(document.text.encode("utf-8"), self.sampling.seed)
            pool.offer(rank, document, size)
        for label, pool in pools.items():
            yield label, pool.documents()

    def _documents(self) -> Iterator[tuple[str, Document, int]]:
        by, seen = self.sampling.by, set[str]()
        for index, path in enumerate(self.paths):
            rows = labelled_texts(path, self.sampling.column, by, seen)
            for number, (label, text) in enumerate(rows, 1):
                label = self._names[index] if by == "file" else label
                population = self.populations.get(label) or self._new(label)
                if not text:
                    population.empty += 1
                    continue
                size = len(text.encode("utf-8"))
                population.documents += 1
                population.chars += len(text)
                population.bytes += size
                yield label, Document(text, index, number), size
        if by not in ("file", "script") and set(self.populations) == {NO_LABEL}:
            raise UsageError(f"no document has a field '{by}'", where="--slice",
                             fix=did_you_mean(by, ["file", "script", *sorted(seen)]))  # fmt: skip

    def _new(self, label: str) -> Population:
        if len(self.populations) == MAX_SLICES:
            raise UsageError(f"more than {MAX_SLICES} slices", where=f"--slice {self.sampling.by}",
                             value=label, fix="Choose a field with fewer values.")  # fmt: skip
        return self.populations.setdefault(label, Population())


class _Pool:
    """The documents of smallest rank within both limits."""

    def __init__(self, documents: int | None, limit_bytes: int | None) -> None:
        self._most, self._limit = documents, limit_bytes
        self._heap: list[tuple[int, int, int, Document, int]] = []
        self._bytes = 0

    def offer(self, rank: int, document: Document, size: int) -> None:
        """Take a document if it belongs to the sample; drop what no longer does."""
        if self._full() and -rank < self._heap[0][0]:
            return
        entry = (-rank, -document.file, -document.number, document, size)
        heapq.heappush(self._heap, entry)
        self._bytes += size
        while self._too_many():
            self._bytes -= heapq.heappop(self._heap)[-1]

    def _full(self) -> bool:
        many = self._most is not None and len(self._heap) >= self._most
        return many or (self._limit is not None and self._bytes >= self._limit)

    def _too_many(self) -> bool:
        if self._most is not None and len(self._heap) > self._most:
            return True
        return self._limit is not None and self._bytes - self._heap[0][-1] >= self._limit

    def documents(self) -> list[Document]:
        """The sample in reading order."""
        found = (entry[3] for entry in self._heap)
        return sorted(found, key=lambda document: (document.file, document.number))


def _cut(documents: list[Document]) -> Iterator[list[Document]]:
    part: list[Document] = []
    size = 0
    for document in documents:
        part.append(document)
        size += len(document.text.encode("utf-8"))
        if size >= BATCH_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def labelled_texts(path: Path, column: str, by: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Label and text of every document of an input.

    Args:
        path: what holds the documents.
        column: column or field of the text.
        by: see :class:`Sampling`; for ``file`` the label is empty.
        seen: filled with the names of the fields that were met.

    Raises:
        DataError: a record has no such text, or the file cannot be read.
    """
    plain = path.name.removesuffix(".gz").removesuffix(".zst")
    if by in ("file", "script") or not (
        path.is_dir() or plain.endswith((".parquet", ".jsonl", ".ndjson", ".json"))
    ):
        for array in texts(path, column=column):
            for text in array.to_pylist():
                yield _label(by, text or ""), text or ""
    elif path.is_dir() or plain.endswith(".parquet"):
        for batch in iterate(part_paths(path), columns=[column, by]):
            labels, found = batch.column(1).to_pylist(), batch.column(0).cast(pa.large_string())
            for label, text in zip(labels, found.to_pylist(), strict=True):
                yield _named(label), text or ""
    else:
        yield from _json_lines(path, column, by, seen)


def _label(by: str, text: str) -> str:
    if by == "file":
        return ""
    return script_label(text) if by == "script" else NO_LABEL


def _named(value: Any) -> str:
    return NO_LABEL if value is None or value == "" else str(value)


def script_label(text: str) -> str:
    """``han`` (half of the characters that are no space, or more), ``mixed`` (5 %), ``no han``."""
    from .token_tables import is_han_array, points_of

    points = points_of(text)
    dense = points[points > 0x20]
    share = float(is_han_array(dense).mean()) if len(dense) else 0.0
    return "han" if share >= _MOSTLY_HAN else "mixed" if share >= _SOME_HAN else "no han"


def _json_lines(path: Path, column: str, by: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    import zlib

    import zstandard

    try:
        with open_input(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield _record(line, column, by, seen, f"{path}:{number}")
    except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"cannot read on ({error})", where=path, fix="Is the file cut?") from None


def _record(line: bytes, column: str, by: str, seen: set[str], where: str) -> tuple[str, str]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not isinstance(record.get(column), str):
        raise DataError(f"no text in field '{column}'", where=where, value=line[:80],
                        fix="Name the field with --column.")  # fmt: skip
    seen.update(record)
    return _named(record.get(by)), record[column]


def plain_name(path: Path) -> str:
    """The name of a file without the suffixes of its format; the name of a folder."""
    name = path.resolve().name
    if path.is_dir():
        return name
    for suffix in (".gz", ".zst", ".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".md"):
        name = name.removesuffix(suffix)
    return name or path.name
