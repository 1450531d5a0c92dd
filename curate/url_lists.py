"""Lists of domains and addresses as files: found, read, and made into one index.

    ut1/adult/domains, urls, expressions    a folder of categories, or the same as .tar.gz
    casino.txt                              a domain or an address a line; a hosts file too

An entry with a path is an address, one without a domain, which holds all hosts below it. What
cannot be an entry (a name without a dot, a line of another format) is counted and told, and stops
nothing: lists of millions of lines hold some.
"""

import gzip
import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError, UsageError
from yanmo.files import reading, write_json
from yanmo.recipe import did_you_mean

from .url_keys import (
    BAD_HOST,
    DOTTED,
    NO_HOST,
    Listed,
    address_keys,
    domain_keys,
    normalize_addresses,
)
from .url_options import UrlOptions
from .utf8 import Bounds, Bytes, kernel
from .word_lists import list_files, plain_name, read_bytes, read_list

KINDS: Final = ("domains", "urls", "expressions")
"""The files of a UT1 category."""
ARCHIVES: Final = (".tar.gz", ".tgz", ".tar.zst", ".tar")
PATTERNS_FILE: Final = "patterns.json"
TABLES: Final = ("domains", "urls", "allow-domains", "allow-urls")
SHOWN: Final = 5  # unusable entries told of each list
_USAGE: Final = "usage"
_GZIP: Final = b"\x1f\x8b"
_LONGEST: Final = 4096
_TOLD: Final = 80  # characters of an unusable entry

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class ListFile:
    """A file to read.

    Attributes:
        path: where it lies.
        kind: one of ``KINDS``; ``archive``, ``plain``, ``allow``; or the key of a list of words.
        name: of the list: the category, or the file name without suffixes.
    """

    path: Path
    kind: str
    name: str


def find_lists(options: UrlOptions) -> list[ListFile]:
    """The files that a recipe asks for, in order.

    Raises:
        DataError: one is not there, or a folder without lists, or with white ones alone.
        UsageError: no list has a category that is asked for.
    """
    found: list[ListFile] = []
    for name in options.lists:
        path = Path(name).expanduser()
        if path.is_dir():
            found += _of_folder(path, name, only_black=not options.categories)
        elif path.name.lower().endswith(ARCHIVES) and path.is_file():
            found.append(ListFile(path, "archive", path.name))
        else:
            found += [_plain(p, "plain") for p in list_files([name], where="urls.lists")]
    if options.categories:
        found = _chosen(found, options.categories)
    for kind in ("allow", "hard_words", "soft_words", "subwords"):
        paths = list_files(getattr(options, kind), where=f"urls.{kind}")
        found += [_plain(path, kind) for path in paths]
    return found


def _plain(path: Path, kind: str) -> ListFile:
    return ListFile(path, kind, Path(plain_name(path.name)).stem)


def _of_folder(folder: Path, name: str, *, only_black: bool) -> list[ListFile]:
    """The categories of a folder, or the one that it is; links to others are left out."""
    inside = [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.is_symlink()]
    files = [ListFile(file, plain_name(file.name), place.name)
             for place in (folder, *inside) for file in sorted(place.iterdir())
             if plain_name(file.name) in KINDS and file.is_file()]  # fmt: skip
    if not files:
        return [_plain(path, "plain") for path in list_files([name], where="urls.lists")]
    black = [file for file in files if not only_black or _is_black(file.path.parent)]
    if not black:
        raise _all_white(name)
    return black


def _all_white(name: str) -> DataError:
    return DataError("none of its categories is a black list (so say the files 'usage')",
                     where="urls.lists", value=name,
                     fix="Name in urls.categories those that are meant.")  # fmt: skip


def _is_black(folder: Path) -> bool:
    usage = folder / _USAGE
    return not usage.is_file() or _says_black(usage.read_bytes())


def _says_black(usage: bytes) -> bool:
    words = usage.decode("utf-8", "replace").lower().split()
    return not words or "black" in words


def _chosen(found: list[ListFile], categories: Sequence[str]) -> list[ListFile]:
    known = {file.name for file in found if file.kind in KINDS}
    for name in categories:
        if name not in known and not any(file.kind == "archive" for file in found):
            raise UsageError("no list has this category", where="urls.categories", value=name,
                             fix=did_you_mean(name, known) if known else
                             "None of urls.lists is a folder of categories.")  # fmt: skip
    return [file for file in found if file.kind not in KINDS or file.name in categories]


def compile_lists(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: all lists as sorted hashes, expressions and words.

    Args:
        inputs: the files of :func:`find_lists`.
        parameters: ``files`` (``[kind, name, file name]`` of each), ``categories``.
        out: gets ``<table>.keys.npy`` and ``<table>.lists.npy`` of each of ``TABLES`` (uint64 and
            uint16 ``[N]``) and ``patterns.json``.

    Returns:
        ``{"entries": {table: n}, "words": {kind: n}, "expressions", "unusable", "lists": {name:
        {"entries", "unusable", "such_as"}}}``.

    Raises:
        DataError: a list cannot be read or holds no entry; an expression is none.
        UsageError: no list has a category that is asked for.
    """
    builder = _Builder()
    categories = parameters["categories"]
    known = {name for kind, name, _ in parameters["files"] if kind in KINDS}
    for path, (kind, name, file) in zip(inputs, parameters["files"], strict=True):
        if kind == "archive":
            for category, part, data in _members(path, file, categories, known):
                builder.add(part, category, data, f"{file}: {category}/{part}")
        elif kind in ("plain", "allow", *KINDS):
            builder.add(kind, name, read_bytes(path, file), file)
        else:
            words = [entry.word for entry in read_list(path, file)]
            builder.words.setdefault(kind, []).extend([name, word] for word in words)
    _check_categories(categories, known)
    return builder.write(out)


def _members(
    path: Path, name: str, categories: Sequence[str], known: set[str]
) -> Iterator[tuple[str, str, bytes]]:
    """Category, kind and content of the lists in an archive, in the order of their names.

    Args:
        path: the archive.
        name: its name.
        categories: the only ones that are wanted, if any.
        known: gets all that it holds.
    """
    data = read_bytes(path, name)
    with reading(name, failed="cannot read the archive"):
        data = gzip.decompress(data) if data[:2] == _GZIP else data  # .tgz
    used = False
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            members = {member.name.rstrip("/"): member for member in archive if member.isfile()}
            lists = [place for place in sorted(members)
                     if "/" in place and place.rpartition("/")[2] in KINDS]  # fmt: skip
            if not lists:
                raise DataError("the archive holds no list", where=name,
                                fix=f"Lists are called {', '.join(KINDS)}, each category in a "
                                "folder.")  # fmt: skip
            known.update(place.split("/")[-2] for place in lists)
            for place in lists:
                *folders, file = place.split("/")
                usage = members.get("/".join([*folders, _USAGE]))
                if categories and folders[-1] not in categories:
                    continue
                if not categories and usage and not _says_black(_content(archive, usage)):
                    continue
                used = True
                yield folders[-1], file, _content(archive, members[place])
    except tarfile.TarError as error:
        raise DataError(f"cannot read the archive ({error})", where=name) from None
    if not (used or categories):
        raise _all_white(name)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


def _check_categories(asked: Sequence[str], known: set[str]) -> None:
    missing = [name for name in asked if name not in known]
    if missing:
        raise UsageError("no list has this category", where="urls.categories", value=missing[0],
                         fix=did_you_mean(missing[0], known))  # fmt: skip


class _Builder:
    """Collects entries; the first list that has an entry is the one that is told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.found: dict[str, list[tuple[U64, npt.NDArray[np.uint16]]]] = {t: [] for t in TABLES}
        self.words: dict[str, list[list[str]]] = {}
        self.expressions: list[list[str]] = []
        self.told: dict[str, dict[str, Any]] = {}

    def add(self, kind: str, name: str, data: bytes, where: str) -> None:
        """Add the content of one file."""
        told: dict[str, Any] = {"entries": 0, "unusable": 0, "such_as": []}
        if kind == "expressions":
            self._add_expressions(name, data, told)
        else:
            self._add_addresses(kind, name, data, told)
        if told["unusable"] and not told["entries"]:
            raise DataError("no line of the list is an entry", where=where,
                            value=told["such_as"][0],
                            fix="A domain or an address a line; # begins a comment.")  # fmt: skip
        before = self.told.setdefault(name, {"entries": 0, "unusable": 0, "such_as": []})
        for key, value in told.items():
            before[key] += value
        del before["such_as"][SHOWN:]

    def _add_addresses(self, kind: str, name: str, data: bytes, told: dict[str, Any]) -> None:
        buffer = np.frombuffer(data.removeprefix(b"\xef\xbb\xbf"), np.uint8)
        starts, stops = entry_lines(buffer, hosts=kind != "urls")
        found = normalize_addresses(buffer, starts, stops)
        sizes = np.diff(found.bounds)
        whole = (sizes > found.hosts) | (kind == "urls")
        dots = _has_dot(found.buffer, found.bounds, found.hosts)
        odd = (found.flags & (NO_HOST | BAD_HOST)) != 0
        odd |= ~whole & ~dots & ((found.flags & DOTTED) == 0)
        if name not in self.names:
            self.names.append(name)
        number = np.uint16(self.names.index(name))
        kinds = ("allow-domains", "allow-urls") if kind == "allow" else ("domains", "urls")
        for table, keys, rows in ((kinds[0], domain_keys(found), ~whole & ~odd),
                                  (kinds[1], address_keys(found), whole & ~odd)):  # fmt: skip
            self.found[table].append((keys[rows], np.full(int(rows.sum()), number)))
        told["entries"], told["unusable"] = int((~odd).sum()), int(odd.sum())
        told["such_as"] = [
            buffer[starts[row] : stops[row]].tobytes().decode("utf-8", "replace")[:_TOLD]
            for row in np.flatnonzero(odd)[:SHOWN].tolist()
        ]

    def _add_expressions(self, name: str, data: bytes, told: dict[str, Any]) -> None:
        for line in data.removeprefix(b"\xef\xbb\xbf").splitlines():
            text = line.decode("utf-8", "replace").strip()
            if not text or text.startswith("#"):
                continue
            if len(text) <= _LONGEST and _is_expression(text):
                told["entries"] += 1
                self.expressions.append([name, text])
            else:
                told["unusable"] += 1
                told["such_as"].append(text[:_TOLD])

    def write(self, out: Path) -> dict[str, Any]:
        """Write the tables."""
        entries = {}
        for table, parts in self.found.items():
            keys = np.concatenate([keys for keys, _ in parts] or [np.zeros(0, np.uint64)])
            lists = np.concatenate([lists for _, lists in parts] or [np.zeros(0, np.uint16)])
            order = np.argsort(keys, kind="stable")  # equal keys keep the order of the lists
            keys, lists = keys[order], lists[order]
            # numpy.unique, which hashes, takes ten times as long for five million.
            first = np.concatenate([np.ones(min(1, len(keys)), np.bool_), keys[1:] != keys[:-1]])
            np.save(out / f"{table}.keys.npy", keys[first])
            np.save(out / f"{table}.lists.npy", lists[first].astype(np.uint16))
            entries[table] = int(first.sum())
        words = {kind: sorted(map(list, {tuple(w) for w in found}))
                 for kind, found in self.words.items()}  # fmt: skip
        write_json(out / PATTERNS_FILE, {"names": self.names, "expressions": self.expressions,
                                         "words": words})  # fmt: skip
        unusable = sum(told["unusable"] for told in self.told.values())
        return {"entries": entries, "words": {k: len(v) for k, v in words.items()},
                "expressions": len(self.expressions), "unusable": unusable,
                "lists": self.told}  # fmt: skip


def _is_expression(text: str) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        matches_nothing = pc.match_substring_regex(pa.array([""]), text)[0].as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    # What matches nothing at all, and what is of signs alone, matches every address.
    return not matches_nothing and re.search(r"\w", text) is not None


def load_tables(files: dict[str, Path]) -> dict[str, Listed]:
    """The tables that :func:`compile_lists` wrote, mapped into memory."""
    tables = {}
    for table in TABLES:
        keys = np.load(files[f"{table}.keys.npy"], mmap_mode="r")
        lists = np.load(files[f"{table}.lists.npy"], mmap_mode="r")
        tables[table] = Listed.of(np.asarray(keys), np.asarray(lists))
    return tables


def entry_lines(buffer: Bytes, *, hosts: bool) -> tuple[Bounds, Bounds]:
    """Where the entries of a list begin and end: not blank, no comment.

    Args:
        buffer: the list, uint8.
        hosts: a line may begin with the address of a computer, as in a hosts file.
    """
    lines = int((buffer == 0x0A).sum()) + 1
    starts, stops = np.empty(lines, np.int64), np.empty(lines, np.int64)
    count = _entry_lines(buffer, hosts, starts, stops)
    return starts[:count], stops[:count]


@kernel
def _has_dot(buffer: Bytes, bounds: Bounds, hosts: Bounds) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(hosts), np.bool_)
    for row in range(len(hosts)):
        for i in range(bounds[row], bounds[row] + hosts[row]):
            if buffer[i] == 0x2E or buffer[i] == 0x3A:
                found[row] = True
                break
    return found


@kernel
def _entry_lines(buffer: Bytes, hosts: bool, starts: Bounds, stops: Bounds) -> int:  # noqa: C901
    count, at, size = 0, 0, len(buffer)
    while at < size:
        start = at
        while at < size and buffer[at] != 0x0A:
            at += 1
        stop = at
        at += 1
        while start < stop and buffer[start] <= 0x20:
            start += 1
        space = -1
        for i in range(start, stop):
            if buffer[i] == 0x23 and (i == start or buffer[i - 1] <= 0x20):
                stop = i
                break
        while start < stop and buffer[stop - 1] <= 0x20:
            stop -= 1
        if start == stop:
            continue
        if hosts:
            colons_or_dots = 0
            for i in range(start, stop):
                byte = buffer[i]
                if byte <= 0x20:
                    space = i
                    break
                small = byte | 0x20
                colons_or_dots += byte == 0x2E or byte == 0x3A
                if not (0x30 <= byte <= 0x3A or byte == 0x2E or 0x61 <= small <= 0x66):
                    break
            if space >= 0 and colons_or_dots > 0:
                start = space
                while buffer[start] <= 0x20:
                    start += 1
        starts[count], stops[count] = start, stop
        count += 1
    return count
