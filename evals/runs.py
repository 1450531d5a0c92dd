"""An evaluation's folder: ``run.json`` says what is run, ``samples.jsonl`` grows a batch at a time.

A run that was killed goes on where its last whole line ends; a folder that holds another run is
never mixed with this one.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import atomic_write, read_json, sha256_json, write_json
from yanmo.manifest import versions
from yanmo.report import Page

RUN, SAMPLES, SUMMARY = "run.json", "samples.jsonl", "summary.json"


class Samples:
    """Samples of a run, in memory and, given a folder, on disk.

    Args:
        folder: where ``samples.jsonl`` lies; ``None`` keeps them in memory.
        key: names of the fields that identify a sample.
    """

    def __init__(self, folder: Path | None, key: Sequence[str]) -> None:
        self._key = tuple(key)
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._stream = None
        if folder is not None:
            path = folder / SAMPLES
            whole = _read_lines(path, self)
            self._stream = path.open("ab")
            self._stream.truncate(whole)

    def name(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """The identity of a sample."""
        return tuple(row[field] for field in self._key)

    def __contains__(self, name: tuple[Any, ...]) -> bool:
        return name in self.rows

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep the samples that are new, and have them on disk before returning."""
        new = [row for row in rows if self.name(row) not in self.rows]
        self.rows.update({self.name(row): row for row in new})
        if self._stream is not None and new:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in new]
            self._stream.write("".join(lines).encode())
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file; the samples stay in memory."""
        if self._stream is not None:
            self._stream.close()


def _read_lines(path: Path, samples: Samples) -> int:
    """Take in the whole lines of a file; return how many bytes they are."""
    if not path.is_file():
        return 0
    content = path.read_bytes()
    # A kill leaves at most one torn line, the last.
    whole = content.rfind(b"\n") + 1
    for number, line in enumerate(content[:whole].split(b"\n")[:-1], 1):
        try:
            row = json.loads(line)
            name = samples.name(row)
        except (ValueError, KeyError, TypeError):
            raise DataError("not a sample of this run", where=f"{path}:{number}",
                            value=line[:80], fix="Give another --out.") from None  # fmt: skip
        samples.rows[name] = row
    return whole


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The samples of a finished run, in the order of the file.

    Raises:
        DataError: there are none.
    """
    path = folder / SAMPLES
    if not path.is_file():
        raise DataError("no samples.jsonl here", where=folder, fix="Give the folder of a run.")
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def write_page(path: Path, page: Page) -> None:
    """Write an HTML page, whole or not at all."""
    with atomic_write(path, text=True) as stream:
        stream.write(page.html())


def open_run(folder: Path, identity: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
    """Start a run in a folder, or find it there.

    Args:
        folder: made if missing.
        identity: all that decides the samples; JSON-able.
        more: what else goes into ``run.json``.

    Returns:
        Whether the folder already held this run.

    Raises:
        UsageError: the folder holds another run, or other files.
    """
    digest = sha256_json(identity)
    path = folder / RUN
    if path.is_file():
        found = read_json(path)
        if found.get("identity_sha256") == digest:
            return True
        changed = [k for k in identity if found.get("identity", {}).get(k) != identity[k]]
        raise UsageError("the folder holds another run", where=folder,
                         value=f"different: {', '.join(changed)}",
                         fix="Give another --out, or remove the folder.")  # fmt: skip
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("the folder is not empty and holds no run", where=folder,
                         fix="Give another --out.")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {
        "format_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "identity": dict(identity),
        "identity_sha256": digest,
        "versions": versions(),
        **more,
    })  # fmt: skip
    return False
