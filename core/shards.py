"""Token shards: what packing writes and training reads (written by ``yanmo.shard_writer``).

    part-00000.bin            token ids, little-endian u16 (vocabulary <= 65 536) or u32, documents
                              back to back, each closed by EOS
    part-00000.docs.parquet   a row per document, see DOCS_SCHEMA; ``end`` is the document's
                              exclusive token offset within its part
    tokenizer/                the tokenizer that made the ids
    manifest.json             dtype, vocabulary, special ids, hashes of all these files, totals

Positions are token offsets over all parts in order, from 0. Nothing here needs torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo import manifest as manifests
from yanmo.errors import DataError, UsageError

KIND: Final = "shards"
FORMAT_VERSION: Final = 1
TOKENIZER_FOLDER: Final = "tokenizer"
DTYPES: Final[Mapping[str, np.dtype[Any]]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
DOCS_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        ("url", pa.string()),
        pa.field("end", pa.uint64(), nullable=False),
        pa.field("n_bytes", pa.int64(), nullable=False),
        pa.field("n_chars", pa.int64(), nullable=False),
        ("cluster", pa.string()),
        ("check", pa.uint64()),
    ]
)
"""``n_bytes`` and ``n_chars`` count the text; ``cluster`` is the duplicate cluster, if any;
``check`` is a checksum of the document's ids (``yanmo.checks``), which older shards lack."""

# Ids checked at once by `verify`: 4 Mi tokens are at most 16 MiB.
SCAN_TOKENS: Final = 1 << 22

Ids = npt.NDArray[Any]


def token_dtype(vocab_size: int) -> str:
    """``uint16`` if every id below ``vocab_size`` fits, else ``uint32``."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


@dataclass(frozen=True)
class Vocabulary:
    """What fixes the meaning of the ids.

    Attributes:
        tokenizer_sha256: identity of the tokenizer.
        vocab_size: highest id + 1.
        eos_id: closes every document.
        bos_id, pad_id: ``None`` where the tokenizer has none; neither is in the shards.
    """

    tokenizer_sha256: str
    vocab_size: int
    eos_id: int
    bos_id: int | None = None
    pad_id: int | None = None

    @property
    def dtype(self) -> str:
        """Name of the integer type on disk."""
        return token_dtype(self.vocab_size)


@dataclass(frozen=True)
class Part:
    """One part: its two files, and where it starts among all tokens and documents."""

    path: Path
    docs: Path
    tokens: int
    documents: int
    first_token: int
    first_document: int


@dataclass(frozen=True)
class Place:
    """Where a token comes from.

    ``start`` and ``end`` are the document's token positions, ``end`` exclusive and EOS included;
    ``row`` is its row in the part's table, ``document`` its number over all parts.
    """

    position: int
    part: str
    row: int
    document: int
    start: int
    end: int
    id: str
    source: str
    origin: str
    url: str | None
    cluster: str | None


class Shards:
    """A shard folder, opened for reading; token files are memory-mapped. See :func:`open_shards`.

    Attributes:
        folder: the folder.
        manifest: its manifest.
        vocabulary: meaning of the ids.
        dtype: NumPy type of the ids on disk.
        parts: the parts in order.
        tokens, documents: totals.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.vocabulary = _vocabulary(folder, manifest)
        self.dtype = DTYPES[self.vocabulary.dtype]
        self.parts = tuple(_parts(folder, manifest))
        self.tokens = sum(part.tokens for part in self.parts)
        self.documents = sum(part.documents for part in self.parts)
        self._maps: dict[int, Ids] = {}

    def __len__(self) -> int:
        return self.tokens

    def ids(self, part: int) -> Ids:
        """All ids of one part: a read-only memory map, shape ``[tokens of the part]``."""
        if part not in self._maps:
            self._maps[part] = np.memmap(self.parts[part].path, self.dtype, mode="r")
        return self._maps[part]

    def read(self, start: int, stop: int) -> Ids:
        """The ids at positions ``start`` to ``stop`` (exclusive), across parts.

        Returns:
            Shape ``[stop - start]``, type ``dtype``; a view of the file where one part holds all.

        Raises:
            UsageError: the range does not lie inside the shards.
        """
        if not 0 <= start <= stop <= self.tokens:
            raise UsageError("no such token range", where=self.folder, value=(start, stop),
                             fix=f"Positions go from 0 to {self.tokens}.")  # fmt: skip
        pieces: list[Ids] = []
        for number, part in enumerate(self.parts):
            low, high = start - part.first_token, stop - part.first_token
            if low < part.tokens and high > 0:
                pieces.append(self.ids(number)[max(low, 0) : high])
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, self.dtype)

    @cached_property
    def document_ends(self) -> npt.NDArray[np.int64]:
        """Exclusive end position of every document, increasing, shape ``[documents]``."""
        ends = [_ends(part) + part.first_token for part in self.parts]
        return np.concatenate(ends) if ends else np.empty(0, np.int64)

    def document(self, number: int) -> Ids:
        """The ids of one document, its EOS included."""
        if not 0 <= number < self.documents:
            raise UsageError("no such document", where=self.folder, value=number,
                             fix=f"There are {self.documents}, counted from 0.")  # fmt: skip
        start = int(self.document_ends[number - 1]) if number else 0
        return self.read(start, int(self.document_ends[number]))

    def where(self, position: int) -> Place:
        """Walk from a token position to its document, source and page.

        Raises:
            UsageError: there is no such position.
        """
        if not 0 <= position < self.tokens:
            raise UsageError("no such token position", where=self.folder, value=position,
                             fix=f"Positions go from 0 to {self.tokens - 1}.")  # fmt: skip
        number = int(np.searchsorted([p.first_token for p in self.parts], position, "right")) - 1
        part = self.parts[number]
        ends = _ends(part)
        row = int(np.searchsorted(ends, position - part.first_token, side="right"))
        start = int(ends[row - 1]) if row else 0
        fields = _row(part.docs, row)
        return Place(
            position=position,
            part=part.path.name,
            row=row,
            document=part.first_document + row,
            start=part.first_token + start,
            end=part.first_token + int(ends[row]),
            **{name: fields[name] for name in ("id", "source", "origin", "url", "cluster")},
        )


def open_shards(
    folder: str | Path,
    *,
    verify: Literal["fast", "full"] | None = "fast",
    tokenizer_sha256: str | None = None,
    vocab_size: int | None = None,
) -> Shards:
    """Open a shard folder.

    Args:
        folder: holds ``manifest.json``.
        verify: ``fast`` compares sizes and row counts with the manifest, ``full`` reads and hashes
            everything (:func:`verify`), ``None`` trusts the folder.
        tokenizer_sha256: refuse shards made by any other tokenizer.
        vocab_size: rows of the model's embedding; refuse shards whose ids do not fit.

    Raises:
        DataError: not a shard folder, damaged, or made for another tokenizer or vocabulary.
    """
    folder = Path(folder)
    if verify == "full":
        _verify_all(folder)
    shards = Shards(folder, _read_manifest(folder))
    made_by = shards.vocabulary.tokenizer_sha256
    if tokenizer_sha256 is not None and tokenizer_sha256 != made_by:
        raise DataError("the shards were made by another tokenizer", where=folder,
                        value=made_by, fix=f"Expected {tokenizer_sha256}; pack again.")  # fmt: skip
    if vocab_size is not None and vocab_size < shards.vocabulary.vocab_size:
        raise DataError("the model's vocabulary is smaller than that of the shards", where=folder,
                        value=vocab_size,
                        fix=f"It needs {shards.vocabulary.vocab_size} rows or more.")  # fmt: skip
    if verify == "fast":
        for part in shards.parts:
            _check_sizes(part, shards.dtype)
    return shards


def verify(folder: str | Path) -> dict[str, Any]:
    """Read everything: hashes of all files, ends, ids below the vocabulary size, EOS at each end.

    Returns:
        ``{"files", "parts", "documents", "tokens", "dtype", "vocab_size"}`` that were checked.

    Raises:
        DataError: the first thing that is wrong, with file and position.
    """
    return _verify_all(Path(folder))


def _verify_all(folder: Path) -> dict[str, Any]:
    from yanmo import shard_checks as checks  # numba, which a mere reader does without

    manifest = _read_manifest(folder)
    shards = Shards(folder, manifest)
    for part in shards.parts:
        checks.check_length(part, shards.dtype)
        _check_sizes(part, shards.dtype)
    checks.check_hashes(shards)
    found: dict[str, dict[str, int]] = {}
    for number, part in enumerate(shards.parts):
        _check_ends(part)
        _check_ids(part, shards.ids(number), shards.vocabulary)
        checks.check_documents(part, shards.ids(number), shards.vocabulary.eos_id)
        checks.count_sources(part, found)
    checks.check_totals(shards, found)
    size = shards.vocabulary.vocab_size
    return {
        "files": len(manifest["parts"]), "parts": len(shards.parts), "tokens": shards.tokens,
        "documents": shards.documents, "vocab_size": size, "dtype": shards.vocabulary.dtype,
    }  # fmt: skip


def _read_manifest(folder: Path) -> dict[str, Any]:
    manifest = manifests.read(folder)
    if manifest["kind"] != KIND:
        raise DataError("not a folder of token shards", where=folder, value=manifest["kind"],
                        fix="Run `yanmo curate pack` on it first.")  # fmt: skip
    if manifest.get("format_version") != FORMAT_VERSION:
        raise DataError("unknown version of the shard format", where=folder,
                        value=manifest.get("format_version"), fix="Pack again.")  # fmt: skip
    return manifest


def _vocabulary(folder: Path, manifest: Mapping[str, Any]) -> Vocabulary:
    path = folder / manifests.NAME
    try:
        fields = {name: manifest[name] for name in Vocabulary.__dataclass_fields__}
        dtype, _, _, _ = (manifest[name] for name in ("dtype", "parts", "counts", "sources"))
    except KeyError as error:
        raise DataError("the manifest lacks a key", where=path, value=error.args[0]) from None
    vocabulary = Vocabulary(**fields)
    if dtype not in DTYPES or dtype != vocabulary.dtype:
        raise DataError("the integer type does not fit the vocabulary", where=path,
                        value=dtype, fix=f"A vocabulary of {vocabulary.vocab_size} is stored as "
                        f"{vocabulary.dtype}; pack again.")  # fmt: skip
    if not 0 <= vocabulary.eos_id < vocabulary.vocab_size:
        raise DataError("EOS is not in the vocabulary", where=path, value=vocabulary.eos_id)
    return vocabulary


def _parts(folder: Path, manifest: Mapping[str, Any]) -> list[Part]:
    parts: list[Part] = []
    token = document = 0
    for entry in manifest["parts"]:
        if "tokens" not in entry:
            continue
        path = folder / entry["path"]
        docs = path.with_suffix(".docs.parquet")
        parts.append(Part(path, docs, entry["tokens"], entry["documents"], token, document))
        token += entry["tokens"]
        document += entry["documents"]
    return parts


def _check_sizes(part: Part, dtype: np.dtype[Any]) -> None:
    for path in (part.path, part.docs):
        if not path.is_file():
            raise DataError("a part is missing", where=path, fix="Pack again.")
    size, wanted = part.path.stat().st_size, part.tokens * dtype.itemsize
    if size != wanted:
        raise DataError("the file is not as long as the manifest says", where=part.path,
                        value=size, fix=f"Expected {wanted} bytes; pack again.")  # fmt: skip
    try:
        rows = pq.read_metadata(part.docs).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=part.docs) from None
    if rows != part.documents:
        raise DataError("the table does not have as many documents as the manifest says",
                        where=part.docs, value=rows, fix=f"Expected {part.documents}.")  # fmt: skip


def _ends(part: Part) -> npt.NDArray[np.int64]:
    column = pq.read_table(part.docs, columns=["end"]).column("end")
    ends: npt.NDArray[np.int64] = pc.cast(column, pa.int64()).to_numpy()
    return ends


def _row(path: Path, row: int) -> dict[str, Any]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                found: dict[str, Any] = file.read_row_group(group).slice(row, 1).to_pylist()[0]
                return found
            row -= rows
    raise DataError("the table has no such row", where=path, value=row)


def _check_ends(part: Part) -> None:
    ends = _ends(part)
    steps = np.diff(ends, prepend=0)
    if len(ends) == 0 or (steps < 1).any() or ends[-1] != part.tokens:
        last = int(ends[-1]) if len(ends) else 0
        raise DataError("the document ends do not rise to the length of the part", where=part.docs,
                        value=last, fix=f"Expected {part.tokens}; pack again.")  # fmt: skip


def _check_ids(part: Part, ids: Ids, vocabulary: Vocabulary) -> None:
    for start in range(0, part.tokens, SCAN_TOKENS):
        chunk = ids[start : start + SCAN_TOKENS]
        if int(chunk.max()) >= vocabulary.vocab_size:
            at = start + int(np.argmax(chunk >= vocabulary.vocab_size))
            raise DataError("an id is not in the vocabulary", where=f"{part.path}, token {at}",
                            value=int(ids[at]),
                            fix=f"Ids end at {vocabulary.vocab_size - 1}.")  # fmt: skip
    ends = _ends(part)
    closing = ids[ends - 1]
    if (closing != vocabulary.eos_id).any():
        row = int(np.argmax(closing != vocabulary.eos_id))
        raise DataError("a document is not closed by EOS", where=f"{part.path}, document {row}",
                        value=int(closing[row]), fix="Pack again.")  # fmt: skip
