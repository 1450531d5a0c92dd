"""From the inputs of a recipe to an ordered list of read tasks.

The list depends on the files alone (their names and sizes), never on the number of workers.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError, MissingDependency, UsageError
from yanmo.recipe import setting

from .options import ReadOptions

FORMATS: Final = {
    ".warc": "warc",
    ".wet": "warc",
    ".wat": "warc",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
    ".parquet": "parquet",
}
COMPRESSIONS: Final = (".gz", ".zst")
AUTO, IGNORED, STDIN = "auto", "ignored", "-"
# Pages and texts are read in groups; so are other files below this size, since a task of its own
# for a few kilobytes costs more than reading them.
SMALL_BYTES: Final = 1 << 20
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class InputSpec:
    """One ``[[input]]`` of a recipe."""

    path: str = setting(help="File, glob, folder, fsspec URL, or - for stdin.")
    source: str = setting("", help="Name of the source; empty: the name of the file or folder.")
    licence: str = setting("", help="Licence of the documents.")
    format: str = setting(
        AUTO,
        choices=(AUTO, *sorted(set(FORMATS.values()))),
        help="Format of all its files; auto: by suffix, or by content for stdin "
        "and for a named file without suffix.",
    )


@dataclass(frozen=True)
class InputFile:
    """One file to read.

    Attributes:
        path: local path, URL, or "-".
        name: path relative to the root of its input; documents are traced back to it.
        source: name of the source.
        licence: of the documents.
        format: a value of ``FORMATS``, "auto" (by content), or "ignored".
        size: bytes as stored, None where unknown.
    """

    path: str
    name: str
    source: str
    licence: str
    format: str
    size: int | None


@dataclass(frozen=True)
class InputGroup:
    """Files of one input that make one read task, in order."""

    files: tuple[InputFile, ...]

    @property
    def source(self) -> str:
        """Name of their source."""
        return self.files[0].source

    @property
    def licence(self) -> str:
        """Their licence."""
        return self.files[0].licence

    @property
    def size(self) -> int:
        """Stored bytes, as far as known."""
        return sum(file.size or 0 for file in self.files)


def discover(
    inputs: Sequence[InputSpec], *, options: ReadOptions | None = None
) -> list[InputGroup]:
    """Find the files of all inputs, in the order of the recipe and then of their names.

    Args:
        inputs: the ``[[input]]`` tables.
        options: group sizes.

    Returns:
        One group for each larger file of records; pages, texts and small files in groups of
        ``group_bytes`` or ``group_files``. Files of a folder whose format is not known come along
        as "ignored", so that the byte ledger names them; hidden files do not.

    Raises:
        UsageError: there is no input, nothing matches, or a format is not known.
        DataError: a folder or a file system cannot be read.
    """
    if not inputs:
        raise UsageError("no input", fix="Give a file, folder, glob or URL, or - for stdin.")
    if sum(spec.path == STDIN for spec in inputs) > 1:
        raise UsageError("stdin is named twice", where=STDIN, fix="It can be read once.")
    groups: list[InputGroup] = []
    seen: dict[tuple[str, str], str] = {}
    for spec in inputs:
        files = _files(spec)
        for file in files:
            other = seen.setdefault((file.source, file.name), file.path)
            if other is not file.path:
                raise UsageError(
                    f"two inputs of the source {file.source!r} have a file {file.name!r}",
                    where=spec.path,
                    value=(other, file.path),
                    fix="Give each [[input]] a source of its own.",
                )
        groups += _grouped(files, options or ReadOptions())
    return groups


def _files(spec: InputSpec) -> list[InputFile]:
    if spec.path == STDIN:
        source = spec.source or "stdin"
        return [InputFile(STDIN, "stdin", source, spec.licence, spec.format, None)]
    found, single = _remote(spec.path) if "://" in spec.path else _local(spec.path)
    source = spec.source or _printable(_last_name(spec.path))
    files = [
        InputFile(path, _printable(name), source, spec.licence,
                  _format(name, spec, single=single), size)
        for name, path, size in sorted(found)
    ]  # fmt: skip
    if all(file.format == IGNORED for file in files):
        suffixes = sorted({Path(file.name).suffix or file.name for file in files})
        raise UsageError(
            "the format of the file is not known" if single else "no file of a known format",
            where=spec.path,
            value=suffixes[:10],
            fix=f"Known are {' '.join(FORMATS)} (with .gz or .zst, but for .parquet); "
            "or set format in [[input]].",
        )
    return files


def _printable(name: str) -> str:
    r"""A file name as text, for columns: bytes that are no UTF-8 become ``\xe9``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _last_name(path: str) -> str:
    """Name of an input: the last part of its path that is no pattern, without suffix."""
    parts = [part for part in path.split("/") if part and not _MAGIC.search(part)]
    name = parts[-1] if parts else ""
    return name.split(".")[0] or Path.cwd().name


def _format(name: str, spec: InputSpec, *, single: bool) -> str:
    if spec.format != AUTO or (single and "." not in name):
        return spec.format
    lower = name.lower()
    for ending in COMPRESSIONS:
        if lower.endswith(ending) and not lower.endswith(".parquet" + ending):
            lower = lower.removesuffix(ending)
            break
    return FORMATS.get(os.path.splitext(lower)[1], IGNORED)  # noqa: PTH122 (URLs are no paths)


_Found = tuple[list[tuple[str, str, int | None]], bool]
"""(name, path, size) of the files, and whether the input named one file."""


def _local(path: str) -> _Found:
    root = Path(path).expanduser()
    if root.is_file():
        return [(root.name, str(root), root.stat().st_size)], True
    if root.is_dir():
        return [_entry(file, root) for file in _walk(root)], False
    if not _MAGIC.search(path):
        raise UsageError("no such file or folder", where=path, fix="Check the path of the input.")
    parts = root.parts
    fixed = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    base = Path(*parts[:fixed])
    matches = [
        file
        for file in base.glob("/".join(parts[fixed:]))
        if file.is_file() and not _hidden(file.relative_to(base))
    ]
    if not matches:
        raise UsageError("nothing matches the pattern", where=path, fix="Check the pattern.")
    return [_entry(file, base) for file in matches], False


def _entry(file: Path, root: Path) -> tuple[str, str, int | None]:
    try:
        return file.relative_to(root).as_posix(), str(file), file.stat().st_size
    except OSError as error:
        fix = "Is it a link that leads nowhere? Mend or remove it."
        raise DataError(f"cannot open the file ({error.strerror})", where=file, fix=fix) from None


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _walk(root: Path) -> Iterator[Path]:
    """Files below a folder, without hidden ones; a folder that links lead to twice is read once."""

    def stop(error: OSError) -> None:
        raise DataError(f"cannot list the folder ({error.strerror})", where=error.filename)

    empty = True
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, onerror=stop, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            file = Path(folder, name)
            # A link that leads nowhere is data that went missing; pipes and sockets are no data.
            if not name.startswith(".") and (file.is_file() or _leads_nowhere(file)):
                empty = False
                yield file
    if empty:
        raise UsageError("the folder holds no file", where=str(root), fix="Check the path.")


def _leads_nowhere(file: Path) -> bool:
    return file.is_symlink() and not file.exists()


def _remote(url: str) -> _Found:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
        found, root, single = _listed(system, path)
    except ImportError as error:
        raise MissingDependency(
            str(error), where=url, fix="Install the package it names."
        ) from None
    except ValueError as error:
        raise UsageError(f"not an address that can be read ({error})", where=url) from None
    except OSError as error:
        raise DataError(f"cannot list the input ({error})", where=url) from error
    if not found:
        raise UsageError("nothing is there", where=url, fix="Check the address.")
    entries = []
    for file, info in found.items():
        name = file.removeprefix(root).lstrip("/")
        if not _hidden(Path(name)):
            entries.append((name, str(system.unstrip_protocol(file)), info.get("size")))
    return entries, single


def _listed(system: Any, path: str) -> tuple[dict[str, dict[str, Any]], str, bool]:
    """Files of a file system by path, the root that their names are relative to, and "single"."""
    if _MAGIC.search(path):
        found = system.glob(path, detail=True)
        found = {file: info for file, info in found.items() if info.get("type") == "file"}
        return found, re.split(r"[^/]*[*?\[]", path, maxsplit=1)[0], False
    if system.isdir(path):
        return system.find(path, detail=True), path, False
    if not system.exists(path):
        return {}, path, True
    return {path: system.info(path)}, path.rpartition("/")[0], True


def _grouped(files: list[InputFile], options: ReadOptions) -> list[InputGroup]:
    groups: list[InputGroup] = []
    held: list[InputFile] = []
    held_bytes = 0
    whole = ("html", IGNORED) if options.txt == "line" else ("html", "txt", IGNORED)
    for file in files:
        size = file.size if file.size is not None else SMALL_BYTES
        if size >= SMALL_BYTES and file.format not in whole:
            groups.append(InputGroup((file,)))
            continue
        full = held_bytes + size > options.group_bytes or len(held) == options.group_files
        if held and full:
            groups.append(InputGroup(tuple(held)))
            held, held_bytes = [], 0
        held.append(file)
        held_bytes += size
    if held:
        groups.append(InputGroup(tuple(held)))
    return groups
