"""The books of the input: every byte and every record has one fate, and the sums are checked.

Two sides are kept for each file. *Stored* is the file as it lies on disk, *content* is what comes
out of the decompressor (the same bytes where nothing is compressed). On both sides spans follow
one another without gap or overlap, so a byte can neither vanish nor count twice:

    content bytes = records + skipped (by kind) + quarantined
    stored bytes  = used    + skipped (by kind) + quarantined
    records read  = pages   + skipped (by kind) + quarantined
"""

import base64
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from yanmo.errors import LedgerError

RAW_BYTES = 1 << 16
"""A quarantined span keeps at most so many of its first bytes (the length is always exact)."""

Space = Literal["content", "stored", "row"]

Why = tuple[str, str]
"""Kind (a short name to count by) and error (a sentence for people)."""


def _readable(raw: bytes) -> tuple[str, str]:
    """Bytes as JSON-able text: UTF-8 if they are that (a character cut at the end is left off)."""
    head = raw[:RAW_BYTES]
    cut = len(head) < len(raw) or len(head) == RAW_BYTES
    for trim in range(4 if cut else 1):
        try:
            return head[: len(head) - trim].decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            continue
    return base64.b64encode(head).decode("ascii"), "base64"


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """One span that cannot be used.

    Attributes:
        source: name of the source of the file.
        file: name of the input file.
        offset: where it begins, in bytes (in rows for Parquet, ``space`` "row").
        length: bytes of the whole span.
        kind: a short name to count by.
        error: a sentence for people.
        raw: the span or its head.
        space: which offsets are meant: "content" (after decompression), "stored" (the file as it
            lies on disk) or "row".
        records: how many records it stands for.
        step: the pipeline step that refused it.
    """

    source: str
    file: str
    offset: int
    length: int
    kind: str
    error: str
    raw: bytes
    space: Space = "content"
    records: int = 1
    step: str = "read"


class Quarantine:
    """Writes rejected spans to a ``.jsonl.zst`` file; equal rows give equal bytes.

    A line holds the fields of :class:`Rejected`, with ``raw`` cut at 64 KiB and given as text, and
    ``raw_encoding`` ("utf-8" or "base64") beside it.

    Args:
        path: the file to write, or None to count only.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        import zstandard

        self.rows = 0
        self.kinds: Counter[str] = Counter()
        """Records by kind; their sum is what the ledgers call quarantined."""
        self._file = Path(path).open("wb") if path is not None else None  # noqa: SIM115
        compressor = zstandard.ZstdCompressor(level=6, write_checksum=True)
        self._stream = compressor.stream_writer(self._file) if self._file is not None else None

    def add(self, rejected: Rejected) -> None:
        """Write one row."""
        row = asdict(rejected)
        row["raw"], row["raw_encoding"] = _readable(rejected.raw)
        self.rows += 1
        self.kinds[rejected.kind] += rejected.records
        if self._stream is not None:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
            self._stream.write(line.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            self._stream.close()  # type: ignore[no-untyped-call]  # and the file below it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Side:
    """Spans of one address space, which must follow one another."""

    def __init__(self, file: str, space: Space, start: int) -> None:
        self.file, self.space, self.start = file, space, start
        self.cursor = start
        self.used = 0
        self.quarantined = 0
        self.skipped: Counter[str] = Counter()

    def advance(self, start: int, length: int) -> None:
        if start != self.cursor or length < 0:
            raise LedgerError(
                f"{self.space} span begins at byte {start} with {length} bytes, "
                f"but the books stand at {self.cursor}",
                where=self.file,
            )
        self.cursor += length

    @property
    def bytes(self) -> int:
        return self.cursor - self.start

    def as_dict(self, used: str) -> dict[str, Any]:
        return {
            "bytes": self.bytes,
            used: self.used,
            "skipped": dict(sorted(self.skipped.items())),
            "quarantined": self.quarantined,
        }


@dataclass(frozen=True)
class Part:
    """A stretch of a file that has books of its own; its offsets stay those of the whole file.

    Attributes:
        content: offset of its first content byte.
        stored: offset of its first stored byte.
        first: is it the one that counts the file?
    """

    content: int = 0
    stored: int = 0
    first: bool = True


class Books:
    """The books of one file; made by :meth:`ByteLedger.open`.

    Framers call :meth:`found` for each record candidate that they see, readers then give each one
    fate: :meth:`page`, :meth:`skip` or :meth:`quarantine`.
    """

    def __init__(
        self, file: str, source: str, quarantine: Quarantine, part: Part | None = None
    ) -> None:
        part = part or Part()
        self.file, self.source, self.files = file, source, int(part.first)
        self.content = _Side(file, "content", part.content)
        self.stored = _Side(file, "stored", part.stored)
        self.read = 0
        self.pages = 0
        self.quarantined = 0
        self.skipped: Counter[str] = Counter()
        self._quarantine = quarantine

    def found(self, records: int = 1) -> None:
        """Count record candidates."""
        self.read += records

    def page(self, start: int, length: int) -> None:
        """A record that is handed on."""
        self.content.advance(start, length)
        self.content.used += length
        self.pages += 1

    def skip(self, start: int, length: int, kind: str, *, record: bool = True) -> None:
        """A record of a kind that holds no page, or bytes between records (``record=False``)."""
        self.content.advance(start, length)
        self.content.skipped[kind] += length
        if record:
            self.skipped[kind] += 1

    def quarantine(self, start: int, length: int, raw: bytes, why: Why) -> None:
        """A span that cannot be used; ``raw`` is the span or its head."""
        self.content.advance(start, length)
        self.content.quarantined += length
        self._reject(start, length, raw, why)

    def use(self, start: int, length: int) -> None:
        """A span that holds many records, whose fates are told one by one."""
        self.content.advance(start, length)
        self.content.used += length

    def page_row(self) -> None:
        """A row of such a span that is handed on."""
        self.pages += 1

    def reject_row(self, row: int, raw: bytes, why: Why) -> None:
        """A row of a columnar file, whose bytes are on the books as part of a larger span."""
        self._reject(row, len(raw), raw, why, space="row")

    def reject_rows(self, start: int, length: int, records: int, why: Why) -> None:
        """A span of a columnar file that cannot be decoded, with all its rows."""
        self.content.advance(start, length)
        self.content.quarantined += length
        self._reject(start, length, b"", why, records=records)

    def _reject(
        self,
        offset: int,
        length: int,
        raw: bytes,
        why: Why,
        *,
        space: Space = "content",
        records: int = 1,
    ) -> None:
        self.quarantined += records
        kind, error = why
        self._quarantine.add(
            Rejected(
                source=self.source,
                file=self.file,
                offset=offset,
                length=length,
                kind=kind,
                error=error,
                raw=raw,
                space=space,
                records=records,
            )
        )

    def use_stored(self, start: int, length: int) -> None:
        """Stored bytes that were read or decompressed."""
        self.stored.advance(start, length)
        self.stored.used += length

    def skip_stored(self, start: int, length: int, kind: str) -> None:
        """Stored bytes that carry no content (padding between members)."""
        self.stored.advance(start, length)
        self.stored.skipped[kind] += length

    def damage(self, start: int, length: int, raw: bytes, why: Why) -> None:
        """Stored bytes that cannot be decompressed; they count as one quarantined record."""
        self.stored.advance(start, length)
        self.stored.quarantined += length
        self.read += 1
        self._reject(start, length, raw, why, space="stored")


class ByteLedger:
    """The books of all files of one task.

    Args:
        quarantine: where rejected spans are written.
    """

    def __init__(self, quarantine: Quarantine) -> None:
        self.quarantine = quarantine
        self.handed = 0
        self._total = empty_total()

    def open(self, file: str, *, source: str = "", part: Part | None = None) -> Books:
        """Open the books of one file, or of a part of it."""
        return Books(file, source, self.quarantine, part)

    def hand_on(self, pages: int) -> None:
        """Count pages that left in a batch; at the end they must equal the pages in the books."""
        self.handed += pages

    def close(self, books: Books, *, content: int, stored: int, on_disk: int | None = None) -> None:
        """Balance one file against byte counts taken where the bytes came in.

        Args:
            books: the books of the file.
            content: bytes that came out of the decompressor.
            stored: bytes that were read from the file.
            on_disk: size of the file as the file system gives it, if it does.

        Raises:
            LedgerError: a byte or a record has no fate, or two.
        """
        where = books.file
        if on_disk is not None and on_disk != stored:
            raise LedgerError(
                f"the file has {on_disk} bytes but {stored} were read",
                where=where,
                fix="Was it changed while it was read? Run again when it is complete.",
            )
        for side, seen in ((books.content, content), (books.stored, stored)):
            if side.bytes != seen:
                raise LedgerError(
                    f"{seen} {side.space} bytes came in but {side.bytes} are on the books",
                    where=where,
                )
        add_totals(self._total, _file_total(books))
        check_total(self._total, where=where)

    def as_dict(self) -> dict[str, Any]:
        """Totals over the closed files, JSON-able: files, content, stored, records."""
        copy: dict[str, Any] = json.loads(json.dumps(self._total))
        return copy

    def check(self) -> None:
        """Check the totals, and that every page left in a batch.

        Raises:
            LedgerError: they do not balance.
        """
        check_total(self._total)
        pages = self._total["records"]["pages"]
        if pages != self.handed:
            raise LedgerError(f"{pages} pages are on the books but {self.handed} were handed on")


def _file_total(books: Books) -> dict[str, Any]:
    return {
        "files": books.files,
        "content": books.content.as_dict("records"),
        "stored": books.stored.as_dict("used"),
        "records": {
            "read": books.read,
            "pages": books.pages,
            "skipped": dict(sorted(books.skipped.items())),
            "quarantined": books.quarantined,
        },
    }


def empty_total() -> dict[str, Any]:
    """Totals of no file, to add to with :func:`add_totals`."""
    return _file_total(Books("", "", Quarantine())) | {"files": 0}


def add_totals(into: dict[str, Any], other: dict[str, Any]) -> None:
    """Add the totals of one ledger to another in place (numbers add, kinds merge, keys sorted)."""
    for key, value in other.items():
        if isinstance(value, dict):
            add_totals(into.setdefault(key, {}), value)
        else:
            into[key] = into.get(key, 0) + value
    for key in sorted(into):
        into[key] = into.pop(key)


def check_total(total: dict[str, Any], *, where: str | None = None) -> None:
    """Check the three equations of this module on totals.

    Raises:
        LedgerError: one of them does not hold.
    """
    for name, whole, used in (
        ("content", "bytes", "records"),
        ("stored", "bytes", "used"),
        ("records", "read", "pages"),
    ):
        part = total[name]
        parts = part[used] + sum(part["skipped"].values()) + part["quarantined"]
        if part[whole] != parts:
            raise LedgerError(
                f"{name} do not balance: {part[whole]} {whole} = {part[used]} {used} + "
                f"{sum(part['skipped'].values())} skipped + {part['quarantined']} quarantined",
                where=where,
            )
