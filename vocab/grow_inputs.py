"""What the steps of `yanmo vocab grow` read: in a task's key by name and content, not by place."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from yanmo.documents import part_paths
from yanmo.tasks import Identities, Input

from .base import name_of
from .load import find_tokenizer_file


@dataclass(frozen=True)
class Source:
    """A path that was given, and the files behind it.

    Attributes:
        path: a file, or a folder.
        files: what is read: files below the folder, or the file and some beside it.
        name: what a result may call it.
    """

    path: Path
    files: tuple[Path, ...]
    name: str

    @property
    def folder(self) -> Path:
        """The folder that all files lie below."""
        return self.path if self.path.is_dir() else self.path.parent


def documents(path: str | Path) -> Source:
    """Documents: a run folder, or a file.

    Raises:
        DataError: there are none.
    """
    place = absolute(path)
    return Source(place, tuple(part_paths(place)), place.name)


def tokenizer(path: str | Path) -> Source:
    """A tokenizer, with the files that decide its ids.

    Raises:
        UsageError: there is none.
    """
    place = absolute(path)
    file = find_tokenizer_file(place)
    names = ("tokenizer.json", "tokenizer.model", "merges.txt", "tokenizer_config.json",
             "special_tokens_map.json")  # fmt: skip
    beside = (file.with_name(name) for name in names)
    files = (file, *(path for path in beside if path.is_file() and path != file))
    return Source(place, files, name_of(file))


def single(path: str | Path) -> Source:
    """One file."""
    place = absolute(path)
    return Source(place, (place,), place.name)


def absolute(path: str | Path) -> Path:
    """The path from the root. Links stay: a name says what a file is, its target has another."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def identified(
    sources: Mapping[str, Sequence[Source]], identities: Identities
) -> tuple[tuple[Input, ...], dict[str, Any]]:
    """Sources as the inputs of a task and, for its parameters, what :func:`paths` needs.

    Args:
        sources: by what a step calls them.
        identities: memory of hashes; new and changed files are read.
    """
    inputs: list[Input] = []
    table: dict[str, Any] = {}
    for name in sorted(sources):
        table[name] = []
        for source in sources[name]:
            inputs += identities.identify(source.files)
            inside = [file.relative_to(source.folder).as_posix() for file in source.files]
            given = "" if source.path == source.folder else source.path.name
            table[name].append({"name": source.name, "given": given, "files": inside})
    return tuple(inputs), table


def paths(inputs: Sequence[Path], table: Mapping[str, Any]) -> dict[str, list[Path]]:
    """The paths that were given, from the files and the table of :func:`identified`."""
    found: dict[str, list[Path]] = {}
    at = 0
    for name in sorted(table):
        found[name] = []
        for source in table[name]:
            depth = len(PurePosixPath(source["files"][0]).parts)
            found[name].append(inputs[at].parents[depth - 1] / source["given"])
            at += len(source["files"])
    return found
