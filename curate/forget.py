"""Take-down: what both kinds of folder need to be rewritten without some documents.

The new folder is filled beside the old one (what does not change is linked), checked, and put in
its place by a rename. Text also lies in caches, so the folder's cache goes as a whole.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from yanmo.errors import DataError
from yanmo.files import atomic_folder, link_or_copy

CACHE: Final = ".cache"


@dataclass(frozen=True)
class Gone:
    """A document that is taken down. ``where`` is ``kept``, ``dropped``, ``train`` or ``heldout``;
    ``size`` counts tokens in shards and characters in a run."""

    id: str
    url: str | None
    source: str
    origin: str
    where: str
    cluster: str | None = None
    size: int = 0


@dataclass
class Report:
    """What a take-down did, or would do."""

    folder: str
    kind: str
    dry_run: bool
    forgotten: list[Gone] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    cache: dict[str, int] = field(default_factory=lambda: {"files": 0, "bytes": 0})
    twins: list[dict[str, Any]] = field(default_factory=list)
    still_elsewhere: list[str] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)

    def table(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def named(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """Which rows go by one of the names: their id or their address."""
    wanted = pa.array(names, pa.string())
    hit = pc.is_in(table.column("id"), wanted)
    if "url" in table.column_names:
        hit = pc.or_(hit, pc.is_in(table.column("url"), wanted))
    return hit


def settle_names(report: Report, names: Sequence[str], already: Sequence[str]) -> None:
    """Tell names that were found from those that were not.

    Raises:
        DataError: none of them is here, and none ever was.
    """
    known = {g.id for g in report.forgotten} | {g.url for g in report.forgotten}
    report.already = [name for name in names if name in already]
    report.not_found = [n for n in names if n not in known and n not in report.already]
    if not report.forgotten and not report.already:
        raise DataError("no document with this id or URL", where=report.folder,
                        value=report.not_found[0] if len(names) == 1 else report.not_found[:5],
                        fix="Give whole ids and URLs; `yanmo curate why` finds ids.")  # fmt: skip


def recover(folder: Path) -> None:
    """Put a folder back that a crash left under its hidden name, between two renames."""
    old = sorted(folder.parent.glob(f".{folder.name}.*.old"))
    if not folder.exists() and len(old) == 1:
        old[0].rename(folder)


@contextmanager
def staged(folder: Path, rewritten: Sequence[str]) -> Iterator[Path]:
    """A copy of a folder without its caches, to be changed; it takes the folder's place at the end.

    Files are linked; those that will be written anew are left out, so that no link is written into.

    Args:
        folder: the folder.
        rewritten: files to leave out, relative to it.
    """
    skip = set(rewritten)
    with atomic_folder(folder) as stage:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if CACHE in inside.parts or inside.as_posix() in skip:
                continue
            target = stage / inside
            if path.is_dir() and not path.is_symlink():
                target.mkdir(exist_ok=True)
            else:
                link_or_copy(path, target, follow_symlinks=False)
        yield stage


def cache_size(folder: Path) -> dict[str, int]:
    """Files and bytes of all caches below a folder: they go as a whole."""
    files = [p for p in folder.rglob("*") if CACHE in p.relative_to(folder).parts and p.is_file()]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}
