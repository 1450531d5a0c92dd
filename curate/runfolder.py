"""The run folder: what a run leaves behind, and how to read it again.

    documents/part-*.parquet     kept
    dropped/part-*.parquet       step, rule, value, threshold, text
    quarantine/part-*.jsonl.zst  the raw record and the error
    signals/part-*.parquet       one column per measured signal
    duplicates/documents.parquet id, cluster, kept_id, how
    manifest.json  recipe.toml  funnel.json  report.html

Files are hard links into the cache where the disk allows it: writing a run again costs no copy.
Every folder is replaced as a whole; ``manifest.json`` comes last: without it the run is not done.
"""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from yanmo import manifest
from yanmo.errors import DataError, UsageError
from yanmo.files import atomic_folder, read_json
from yanmo.tasks import Done

FOLDERS: Final = ("documents", "dropped", "quarantine", "signals", "duplicates")
STABLE: Final = (*FOLDERS, "funnel.json")
"""What law 6 covers: equal bytes for any number of workers and after any crash."""

_HALF: Final = re.compile(r"\.[a-z]+(\.(json|toml|html))?\.\d+\.(tmp|old)")  # as yanmo.files names


def link_parts(folder: Path, parts: Sequence[tuple[Path, str]]) -> None:
    """Replace ``folder`` by links (or copies) of files.

    Args:
        folder: the folder to write.
        parts: (file, its new name) pairs.
    """
    with atomic_folder(folder) as temporary:
        for path, name in parts:
            try:
                os.link(path, temporary / name)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(path, temporary / name)


def sweep(out: Path) -> None:
    """Remove what a killed run left half written in its run folder."""
    for path in out.iterdir():
        if _HALF.fullmatch(path.name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def numbered(done: Sequence[Done], name: str, suffix: str) -> list[tuple[Path, str]]:
    """The file ``name`` of every task as ``part-00000<suffix>`` and so on."""
    return [(d.folder / name, f"part-{i:05d}{suffix}") for i, d in enumerate(done)]


def entries(out: Path, hashes: dict[str, str]) -> list[dict[str, Any]]:
    """Manifest entries of all data files of a run, with hashes already known where possible."""
    found = []
    for name in FOLDERS:
        for path in sorted((out / name).glob("*")):
            key = path.relative_to(out).as_posix()
            if key in hashes:
                found.append({"path": key, "bytes": path.stat().st_size, "sha256": hashes[key]})
            else:
                found.append(manifest.part_entry(out, path))
    return found


def open_run(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the funnel of a finished run.

    Raises:
        UsageError: there is no such folder.
        DataError: the folder is no run, or the run did not end.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError("no such folder", where=path, fix="Check the path.")
    if not (path / "funnel.json").is_file():
        raise DataError("not a run folder", where=path,
                        fix="Give the --out of `yanmo curate run`.")  # fmt: skip
    return manifest.read(path), read_json(path / "funnel.json")
