"""The first step: raw files to document tables, with every byte, record and character on the books.

Pages are read, decoded and extracted in one task, so that raw HTML is never stored twice.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from yanmo.documents import DROPPED_SCHEMA, SCHEMA, PartWriter
from yanmo.recipe import from_table

from .blocked_pages import BlockedPages
from .desk import Desk
from .extract import ExtractOptions, Extractor
from .ledger import ByteLedger, Quarantine
from .stretch import pages_of


def ingest_files(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Read, decode and extract the files of one group.

    Writes ``documents-00000.parquet`` … (a new one after ``part_bytes`` of text),
    ``dropped.parquet`` and ``quarantine.jsonl.zst``.

    Args:
        inputs: as for :func:`yanmo.curate.stretch.pages_of`.
        parameters: those of ``pages_of``, ``extract`` (table), ``part_bytes``, ``limit`` (pages
            used of a group, or None), ``urls`` (there if the last input holds the pages to leave
            out by their address).
        out: folder to write.

    Returns:
        ``{"ledger", "parts", "dropped", "quarantined", "chars_in", "chars_quarantined", "edits",
        "encodings", "retried"}``.
    """
    blocked = BlockedPages(inputs[-1] if "urls" in parameters else None)
    inputs = inputs[:-1] if "urls" in parameters else inputs
    with (
        Quarantine(out / "quarantine.jsonl.zst") as quarantine,
        Extractor(from_table(ExtractOptions, parameters["extract"], where="extract")) as extractor,
        _Parts(out, parameters["part_bytes"]) as parts,
        PartWriter(out / "dropped.parquet", DROPPED_SCHEMA) as dropped,
    ):
        ledger = ByteLedger(quarantine)
        files, pages = pages_of(inputs, parameters, ledger)
        desk = Desk(files[0].source, files[0].licence or None, extractor, quarantine)
        for batch in _limited(pages, parameters, desk):
            parts.write(desk.take(desk.leave_out(batch, blocked)))
            dropped.write(desk.give_dropped())
        retried = dict(sorted(extractor.failures.items()))
    books = ledger.as_dict()
    books["records"]["pages"] -= desk.beyond_limit
    if desk.beyond_limit:
        books["records"]["skipped"]["limit"] = desk.beyond_limit
    kinds = dict(sorted(quarantine.kinds.items()))
    return {"ledger": books, "parts": parts.names, "quarantined": kinds, "retried": retried,
            **desk.result()}  # fmt: skip


def _limited(
    batches: Iterator[pa.RecordBatch], parameters: dict[str, Any], desk: "Desk"
) -> Iterator[pa.RecordBatch]:
    """Hand on the first ``limit`` pages; the rest is read, counted and left."""
    left = parameters["limit"]
    for batch in batches:
        if left is None:
            yield batch
            continue
        if left > 0:
            yield batch.slice(0, left)
        desk.beyond_limit += max(0, batch.num_rows - left)
        left = max(0, left - batch.num_rows)


class _Parts:
    """Document parts; the next one begins after ``part_bytes`` of text."""

    def __init__(self, out: Path, part_bytes: int) -> None:
        self.out, self.part_bytes = out, part_bytes
        self.names: list[str] = []
        self._writer: PartWriter | None = None
        self._bytes = 0

    def write(self, table: pa.Table) -> None:
        """Append documents."""
        sizes = table["n_bytes"].to_numpy()
        start = 0
        while start < len(sizes):
            if self._writer is None or self._bytes >= self.part_bytes:
                self._writer = self._next()
            # Up to and with the document that fills the part.
            ends = np.cumsum(sizes[start:])
            count = int(np.searchsorted(ends, self.part_bytes - self._bytes)) + 1
            count = min(count, len(ends))
            self._writer.write(table.slice(start, count))
            self._bytes += int(ends[count - 1])
            start += count

    def _next(self) -> PartWriter:
        self._finish(None, None, None)
        self.names.append(f"documents-{len(self.names):05d}.parquet")
        self._bytes = 0
        return PartWriter(self.out / self.names[-1], SCHEMA, intermediate=True).__enter__()

    def _finish(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and not self.names:  # no document is a part too: all steps and readers run
            self._writer = self._next()
        self._finish(kind, error, trace)
