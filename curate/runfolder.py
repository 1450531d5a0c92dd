"""The run folder: what a run leaves behind, and how to read it again.

    documents/part-*.parquet     kept
    dropped/part-*.parquet       step, rule, value, threshold, text
    quarantine/part-*.jsonl.zst  the raw record and the error
    signals/part-*.parquet       one column per measured signal
    duplicates/documents.parquet id, cluster, kept_id, how, jaccard
    duplicates/clusters.parquet  kept_id, size, sources, domains, weight; absent if off
    duplicates/index-*.parquet   documents that earlier runs hold: kept_id, run; absent if off
    duplicates/lines-*.parquet   id, start, end, hash, first_id of spans; absent if off
    duplicates/verify.json       with --verify: how alike removed and kept documents are
    leaks/                       exam questions that were found: leaks.jsonl, leaks.json, places
    words/part-*.parquet         id, start, end, word, category, weight: listed words; empty if off
    pii/part-*.parquet           id, type, place and keyed hash of personal data; empty if off
    edits/part-*.parquet         id, step, start, end, rule, text: what the line rules cut out
    manifest.json  recipe.toml  funnel.json  report.html

Files are hard links into the cache where the disk allows it: writing a run again costs no copy.
Every folder is replaced as a whole; ``manifest.json`` comes last: without it the run is not done.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from yanmo import manifest
from yanmo.errors import DataError, UsageError
from yanmo.files import atomic_folder, link_or_copy, read_json
from yanmo.tasks import Done

FOLDERS: Final = (
    "documents", "dropped", "quarantine", "signals", "duplicates", "leaks", "words", "pii", "edits",
)  # fmt: skip
STABLE: Final = (*FOLDERS, "funnel.json")
"""What law 6 covers: equal bytes for any number of workers and after any crash."""

_HALF: Final = re.compile(r"\.[a-z]+(\.(json|toml|html))?\.\d+\.(tmp|old)")  # as yanmo.files names


class Part(NamedTuple):
    """A file of a finished task, and its name in the run folder."""

    done: Done
    file: str
    name: str


def link_parts(out: Path, folder: str, parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Replace a folder of a run by links to (or copies of) files of the cache.

    Args:
        out: the run folder.
        folder: its name there.
        parts: the files.

    Returns:
        Their entries in the manifest.

    Raises:
        DataError: somebody wrote into a file since its task made it.
    """
    with atomic_folder(out / folder) as temporary:
        for part in parts:
            link_or_copy(part.done.folder / part.file, temporary / part.name)
    entries = [manifest.part_entry(out, out / folder / part.name) for part in parts]
    for part, entry in zip(parts, entries, strict=True):
        if entry["sha256"] != part.done.files[part.file]:
            shutil.rmtree(part.done.folder)
            raise DataError("the file was written into from outside, and so was the cache",
                            where=out / folder / part.name,
                            fix="The same command makes it anew.")  # fmt: skip
    return entries


def sweep(out: Path) -> None:
    """Remove what a killed run left half written in its run folder."""
    for path in out.iterdir():
        if _HALF.fullmatch(path.name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def numbered(done: Sequence[Done], file: str, suffix: str, *, stem: str = "part") -> list[Part]:
    """The same file of every task as ``part-00000<suffix>`` and so on."""
    return [Part(d, file, f"{stem}-{i:05d}{suffix}") for i, d in enumerate(done)]


def open_run(path: str | Path, *, parts: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the funnel of a finished run.

    Args:
        path: its folder.
        parts: look at the sizes of its parts, unless they will not be read.

    Raises:
        UsageError: there is no such folder.
        DataError: the folder is no run, the run did not end, or a part is missing or cut.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError("no such folder", where=path, fix="Check the path.")
    if not (path / "funnel.json").is_file():
        raise DataError("not a run folder", where=path,
                        fix="Give the --out of `yanmo curate run`.")  # fmt: skip
    found = manifest.read(path)
    if parts:
        manifest.verify_parts(path, found, hashes=False)
    return found, read_json(path / "funnel.json")
