"""Read a file and audit the books from outside: sizes from the disk, sums from the rows."""

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from yanmo.curate.read import (
    PAGE_SCHEMA,
    ByteLedger,
    InputSpec,
    Quarantine,
    ReadOptions,
    discover,
    read_group,
)


@dataclass
class Outcome:
    pages: list[dict[str, Any]]
    total: dict[str, Any]
    rows: list[dict[str, Any]]
    batches: list[int]
    quarantine: bytes

    @property
    def texts(self) -> list[str]:
        return [page["text"] for page in self.pages]

    @property
    def kinds(self) -> list[str]:
        return [row["kind"] for row in self.rows]

    @property
    def skipped(self) -> dict[str, int]:
        skipped: dict[str, int] = self.total["records"]["skipped"]
        return skipped


def rows_of(data: bytes) -> list[dict[str, Any]]:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
        return [json.loads(line) for line in reader.read().decode().splitlines()]


def read(spec: InputSpec | Path, *, options: ReadOptions | None = None) -> Outcome:
    """Read all that an input names, one group after another, and audit the books."""
    spec = spec if isinstance(spec, InputSpec) else InputSpec(str(spec))
    options = options or ReadOptions()
    pages: list[dict[str, Any]] = []
    sizes: list[int] = []
    groups = discover([spec], options=options)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "quarantine.jsonl.zst")
        with Quarantine(target) as quarantine:
            ledger = ByteLedger(quarantine)
            for group in groups:
                for batch in read_group(group.files, options=options, ledger=ledger):
                    assert batch.schema.equals(PAGE_SCHEMA)
                    batch.validate(full=True)
                    sizes.append(batch.num_rows)
                    pages += batch.to_pylist()
        data = target.read_bytes()
    outcome = Outcome(pages, ledger.as_dict(), rows_of(data), sizes, data)
    on_disk = [file.size for group in groups for file in group.files]
    if None not in on_disk:
        audit(outcome, sum(size for size in on_disk if size is not None))
    return outcome


def audit(outcome: Outcome, on_disk: int) -> None:
    """Every byte and record has one fate; what is written agrees with what is counted."""
    total, rows = outcome.total, outcome.rows
    assert total["stored"]["bytes"] == on_disk
    for side, used in (("stored", "used"), ("content", "records")):
        books = total[side]
        fates = books[used] + sum(books["skipped"].values()) + books["quarantined"]
        assert books["bytes"] == fates, side
        written = sum(row["length"] for row in rows if row["space"] == side)
        assert books["quarantined"] == written, side
    records = total["records"]
    fates = records["pages"] + sum(records["skipped"].values()) + records["quarantined"]
    assert records["read"] == fates
    assert records["pages"] == len(outcome.pages)
    assert records["quarantined"] == sum(row["records"] for row in rows)
    origins = [page["origin"] for page in outcome.pages]
    assert len(set(origins)) == len(origins)
    for row in rows:
        assert row["error"]
        assert row["file"]
        assert row["offset"] >= 0
