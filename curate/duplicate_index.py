"""An index of documents that earlier runs kept: a folder of segments, one a run, added atomically.

    INDEX/index.json              how it was made, and its segments in the order they came
    INDEX/00001-NAME-KEY/         a segment: ids.parquet (sorted), hashes.npy, hash-rows.npy,
                                  band-00.npy, band-rows-00.npy … , sketches.bin, bounds.npy

A run looks at the segments that were there before its own, so that doing it again gives the same.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo import recipe
from yanmo.errors import DataError, UsageError
from yanmo.files import atomic_folder, exclusive, read_json, sha256_json, write_json
from yanmo.tasks import Done, Input

from .run_recipe import CurateRecipe

NAME: Final = "index.json"
FORMAT: Final = 1


@dataclass(frozen=True)
class Segment:
    """What one run added.

    Attributes:
        run: its name in the index.
        place: the run folder.
        folder: where the files lie.
        files: SHA-256 of each.
        documents: how many documents.
    """

    run: str
    place: str
    folder: Path
    files: Mapping[str, str]
    documents: int

    def input(self, name: str) -> Input:
        """One of its files as the input of a task.

        Raises:
            DataError: it is gone.
        """
        path = self.folder / name
        if not path.is_file():
            raise DataError("a file of the index is missing", where=path,
                            fix="Restore it, or make the index anew from the runs.")  # fmt: skip
        return Input(path, self.files[name])


def made_with(settings: CurateRecipe) -> dict[str, Any]:
    """The settings that the documents of an index must share to be comparable."""
    from .minhash import SCHEME
    from .resemble import SKETCH

    options = settings.duplicates
    near = {"scheme": SCHEME, "sketch": SKETCH, "shingle": options.shingle,
            "shingle_tokens": options.shingle_tokens, "seed": options.seed,
            "bands": options.bands, "rows": options.rows}  # fmt: skip
    return {
        "format": FORMAT,
        "duplicates": {"exact": options.exact, "near": options.near,
                       **(near if options.near else {})},
        "normalize": recipe.to_table(settings.normalize),
    }  # fmt: skip


def read_index(path: Path, settings: CurateRecipe) -> list[Segment]:
    """The segments of an index.

    Raises:
        UsageError: there is no index there, or it was made with other settings.
        DataError: its list cannot be read.
    """
    if not (path / NAME).is_file():
        raise UsageError("no index of documents here", where=path,
                         fix="Make one: yanmo curate run … --save-index DIR.")  # fmt: skip
    index = read_json(path / NAME)
    try:
        _check(path, index["made"], made_with(settings))
        return [Segment(s["run"], s["place"], path / s["folder"], s["files"], s["documents"])
                for s in index["segments"]]  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not an index of documents: {error}", where=path / NAME) from None


def before(segments: list[Segment], place: Path) -> list[Segment]:
    """The segments that were there before the one of a run folder; all, if it has none."""
    own = [n for n, segment in enumerate(segments) if segment.place == str(place.resolve())]
    return segments[: own[0]] if own else segments


def _check(path: Path, made: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    there, here = _flat(made), _flat(wanted)
    for key in sorted({*there, *here}):
        if there.get(key) != here.get(key):
            raise UsageError("the index was made with other settings", where=path,
                             value=f"{key}: there {there.get(key)}, here {here.get(key)}",
                             fix="Set it as the index has it, or name another index.")  # fmt: skip


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        full = f"{path}.{key}" if path else key
        found |= _flat(value, full) if isinstance(value, dict) else {full: value}
    return found


def add_segment(path: Path, done: Done, place: Path, settings: CurateRecipe) -> Segment:
    """Add what a run kept to an index; a segment of the same run folder is replaced.

    Whoever reads the index meanwhile sees it as it was, or with the whole segment.

    Args:
        path: the index, made if there is none.
        done: the task that wrote the segment.
        place: the run folder.
        settings: its recipe.

    Raises:
        UsageError: the index was made with other settings.
        YanmoError: somebody else is adding to it.
    """
    with exclusive(path / ".lock"):
        segments = read_index(path, settings) if (path / NAME).is_file() else []
        own = [n for n, segment in enumerate(segments) if segment.place == str(place.resolve())]
        number = own[0] if own else len(segments)
        name = f"{number + 1:05d}-{place.resolve().name}"
        folder = path / f"{name}-{sha256_json(done.files)[:8]}"
        new = Segment(name, str(place.resolve()), folder, done.files, done.result["documents"])
        old = segments[number] if own else None
        if not folder.is_dir():
            with atomic_folder(folder) as temporary:
                for file in done.files:
                    shutil.copyfile(done.folder / file, temporary / file)
        listed = [*segments[:number], new, *segments[number + 1 :]]
        write_json(path / NAME, {"made": made_with(settings),
                                 "segments": [_entry(segment) for segment in listed]})  # fmt: skip
        if old and old.folder != folder:
            shutil.rmtree(old.folder, ignore_errors=True)
    return new


def _entry(segment: Segment) -> dict[str, Any]:
    return {"run": segment.run, "place": segment.place, "folder": segment.folder.name,
            "files": dict(segment.files), "documents": segment.documents}  # fmt: skip
