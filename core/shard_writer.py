"""Write token shards: the parts, then the manifest. The format is told in ``yanmo.shards``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo import manifest as manifests
from yanmo.checks import close_documents, document_checks
from yanmo.documents import PartWriter
from yanmo.errors import DataError
from yanmo.shards import (
    DOCS_SCHEMA,
    DTYPES,
    FORMAT_VERSION,
    KIND,
    TOKENIZER_FOLDER,
    Ids,
    Vocabulary,
)

Ends = npt.NDArray[np.int64]

TOTALS: Final = ("documents", "tokens", "bytes", "chars")
"""What is counted for each source."""


class ShardWriter:
    """Write one part: the ids of whole documents, in order, and their table.

    Args:
        folder: where to; it must exist.
        name: stem of the two files, such as ``part-00000``.
        vocabulary: decides the integer type and the closing id.
    """

    def __init__(self, folder: Path, name: str, vocabulary: Vocabulary) -> None:
        self.folder, self.name, self.vocabulary = folder, name, vocabulary
        self.tokens = self.documents = 0
        self._dtype = DTYPES[vocabulary.dtype]
        self._docs = PartWriter(folder / f"{name}.docs.parquet", DOCS_SCHEMA)

    def __enter__(self) -> "ShardWriter":
        self._bin = (self.folder / f"{self.name}.bin").open("wb")
        self._docs.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._bin.close()
        self._docs.__exit__(kind, error, trace)

    def add(self, ids: Sequence[Ids], rows: pa.Table) -> None:
        """Append documents.

        Args:
            ids: one array of token ids per document, without the closing EOS (it is added).
            rows: the columns of DOCS_SCHEMA but ``end`` and ``check``, one row per document.

        Raises:
            DataError: an id is not below the vocabulary size, or EOS lies inside a document.
        """
        if ids:
            self.add_column(*_column(ids), rows)

    def add_column(self, ids: Ids, bounds: Ends, rows: pa.Table) -> None:
        """Append documents whose ids stand back to back.

        Args:
            ids: token ids of all documents, without the closing EOS (it is added).
            bounds: int64 ``[documents + 1]``: where each document starts in ``ids``.
            rows: as for :meth:`add`.

        Raises:
            DataError: an id is not below the vocabulary size, or EOS lies inside a document.
        """
        eos, size = self.vocabulary.eos_id, self.vocabulary.vocab_size
        flat, wrong = close_documents(ids, bounds, eos, size)
        if wrong >= 0:
            own = ids[bounds[wrong] : bounds[wrong + 1]]
            raise DataError(
                "the tokenizer gave an id that cannot stand inside a document",
                where=f"document {rows.column('id')[wrong]}",
                value=int(own[(own >= size) | (own == eos)][0]),
                fix="Ids must be below the vocabulary size, and EOS only closes a document.",
            )
        ends = bounds[1:] - bounds[0] + np.arange(1, len(bounds))
        self._bin.write(flat.astype(self._dtype, copy=False).data)
        ends_column = pa.array((ends + self.tokens).astype(np.uint64))
        checks = pa.array(document_checks(flat, ends))
        table = rows.append_column("end", ends_column).append_column("check", checks)
        table = table.select(DOCS_SCHEMA.names)
        self._docs.write(table.cast(DOCS_SCHEMA))
        self.tokens += len(flat)
        self.documents += len(ends)


def _column(ids: Sequence[Ids]) -> tuple[Ids, Ends]:
    sizes = np.fromiter((len(array) for array in ids), np.int64, len(ids))
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    return np.concatenate([np.asarray(array, np.uint32) for array in ids]), bounds


class PartsWriter:
    """Write documents into as many parts as they need, and keep the totals of each source.

    Args:
        folder: where to; it must exist.
        stem: parts are called ``stem-00000`` and so on.
        vocabulary: decides the integer type and the closing id.
        max_part_tokens: a part is closed before it exceeds this; a longer document is alone in one.
    """

    def __init__(
        self, folder: Path, stem: str, vocabulary: Vocabulary, max_part_tokens: int
    ) -> None:
        self.folder, self.stem, self.vocabulary = folder, stem, vocabulary
        self.max_part_tokens = max_part_tokens
        self.parts: list[str] = []
        self.sources: dict[str, dict[str, int]] = {}
        self._writer: ShardWriter | None = None

    def add(self, ids: Sequence[Ids], rows: pa.Table) -> None:
        """Append documents; arguments as for :meth:`ShardWriter.add`."""
        if ids:
            self.add_column(*_column(ids), rows)

    def add_column(self, ids: Ids, bounds: Ends, rows: pa.Table) -> None:
        """Append documents; arguments as for :meth:`ShardWriter.add_column`."""
        ends = bounds[1:] - bounds[0] + np.arange(1, len(bounds))
        start = before = 0
        while start < len(ends):
            writer = self._writer or self._open()
            room = self.max_part_tokens - writer.tokens
            stop = int(np.searchsorted(ends, before + room, side="right"))
            if stop <= start and writer.tokens:
                self.close()
                continue
            stop = max(stop, start + 1)
            some = rows.slice(start, stop - start)
            writer.add_column(ids, bounds[start : stop + 1], some)
            start, before = stop, int(ends[stop - 1])
        self._count(rows, np.diff(ends, prepend=0))

    def _count(self, rows: pa.Table, tokens: npt.NDArray[np.int64]) -> None:
        columns = {"documents": np.ones_like(tokens), "tokens": tokens}
        columns |= {"bytes": rows["n_bytes"].to_numpy(), "chars": rows["n_chars"].to_numpy()}
        encoded = rows["source"].combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy()
        for code, source in enumerate(encoded.dictionary.to_pylist()):
            totals = self.sources.setdefault(source, dict.fromkeys(TOTALS, 0))
            for name in TOTALS:
                totals[name] += int(columns[name][codes == code].sum())

    def _open(self) -> ShardWriter:
        name = f"{self.stem}-{len(self.parts):05d}"
        self._writer = ShardWriter(self.folder, name, self.vocabulary).__enter__()
        self.parts.append(name)
        return self._writer

    def close(self) -> None:
        """Finish the open part, if there is one."""
        if self._writer is not None:
            self._writer.__exit__(None, None, None)
            self._writer = None


def write_manifest(
    folder: Path,
    vocabulary: Vocabulary,
    *,
    split: str,
    sources: Mapping[str, Mapping[str, int]],
    about: Mapping[str, Any],
    known: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """List every file of a filled shard folder with its hash and write ``manifest.json``.

    Args:
        folder: holds the parts and ``tokenizer/``.
        vocabulary: goes into the manifest.
        split: ``train`` or ``heldout``.
        sources: per source name ``{"documents", "tokens", "bytes", "chars"}``.
        about: keyword arguments of :func:`yanmo.manifest.build` (``recipe``, ``inputs``, ``seed``).
        known: SHA-256 of files by name, where it is known already.

    Returns:
        The manifest.
    """
    parts: list[dict[str, Any]] = []
    for path in sorted(folder.glob("part-*.bin")):
        docs = path.with_suffix(".docs.parquet")
        tokens = path.stat().st_size // DTYPES[vocabulary.dtype].itemsize
        rows = pq.read_metadata(docs).num_rows
        parts.append({**_entry(folder, path, known), "tokens": tokens, "documents": rows})
        parts.append(_entry(folder, docs, known))
    for path in sorted((folder / TOKENIZER_FOLDER).iterdir()):
        parts.append(_entry(folder, path, known))
    counts = {
        "tokens": sum(part.get("tokens", 0) for part in parts),
        "documents": sum(part.get("documents", 0) for part in parts),
    }
    manifest = manifests.build(KIND, parts=parts, counts=counts, **about)
    manifest |= {"format_version": FORMAT_VERSION, "dtype": vocabulary.dtype, "split": split}
    manifest |= {**asdict(vocabulary), "sources": {k: dict(v) for k, v in sources.items()}}
    manifests.write(folder, manifest)
    return manifest


def _entry(folder: Path, path: Path, known: Mapping[str, str]) -> dict[str, Any]:
    if path.name not in known:
        return manifests.part_entry(folder, path)
    name = path.relative_to(folder).as_posix()
    return {"path": name, "bytes": path.stat().st_size, "sha256": known[path.name]}
