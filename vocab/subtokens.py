"""Which entries of the base a grown vocabulary keeps, and what its new ones were made of before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json

from .agreement import fast_engine, spm_engine
from .base import Base
from .derive import Deriver
from .spm import PieceType, dump_model, without_dummy_prefix

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """Where each row of a grown matrix comes from.

    Attributes:
        origin: id of the base for every id of the grown vocabulary, -1 for a new entry, -2 for an
            id that no entry has.
        new: the new ids, rising.
        parts: ids of the base that the text of each new entry was spelled with, end to end.
        ends: where the parts of each new entry end in ``parts``.
    """

    origin: Ints
    new: Ints
    parts: Ints
    ends: Ints

    def lengths(self) -> Ints:
        """How many parts each new entry has."""
        return np.diff(self.ends, prepend=0)


def make_plan(base: Base, grown: Base, remap: Path | None = None) -> Plan:
    """Compare two vocabularies.

    Args:
        base: the vocabulary of the checkpoint.
        grown: the one it shall have.
        remap: table of old and new ids, where base ids have moved (see :func:`read_remap`).

    Raises:
        DataError: an id means something else in the grown vocabulary.
        UsageError: base ids are gone, and there is no table.
    """
    origin = np.array([-1 if piece else -2 for piece in grown.pieces], np.int64)
    moved = dict(enumerate(range(base.size))) if remap is None else read_remap(remap, base, grown)
    if remap is None and grown.size < base.size:
        raise UsageError(
            f"the grown vocabulary has {grown.size} entries, the base {base.size}",
            where=grown.path, fix="Are they swapped? A pruned one needs --remap.",
        )  # fmt: skip
    for old, new in moved.items():
        if base.pieces[old] != grown.pieces[new]:
            raise DataError(
                f"id {new} is {grown.pieces[new]!r} in the grown vocabulary, "
                f"and {base.pieces[old]!r} (id {old}) in the base",
                where=grown.path, fix=f"It did not grow from {base.path}.",
            )  # fmt: skip
        if base.pieces[old]:
            origin[new] = old
    new_ids = np.flatnonzero(origin == -1)
    spelled = spell(base, grown, new_ids.tolist())
    ends = np.cumsum([len(parts) for parts in spelled], dtype=np.int64)
    flat = [index for parts in spelled for index in parts]
    return Plan(origin, new_ids, np.array(flat, np.int64), ends)


def spell(base: Base, grown: Base, new: Sequence[int]) -> list[list[int]]:
    """Ids of the base that it spells the text of new entries with.

    Neither the beginning-of-sequence token nor SentencePiece's dummy prefix takes part: both stand
    before a text and belong to no word. Unknown tokens are left out, so that a list may be empty.
    """
    surfaces = grown.surfaces()
    by_surface: dict[bytes, int] = {}
    for index, surface in enumerate(base.surfaces()):
        by_surface.setdefault(surface, index)
    texts: dict[int, str] = {}
    found: dict[int, list[int]] = {}
    deriver: Deriver | None = None
    for index in new:
        try:
            texts[index] = surfaces[index].decode("utf-8")
        except UnicodeDecodeError:  # the first bytes of a character
            deriver = deriver or Deriver(base)
            found[index] = [by_surface[part] for part in deriver.parts(surfaces[index])]
    if base.model is not None:
        encode = spm_engine(dump_model(without_dummy_prefix(base.model)))[0]
    else:
        encode = fast_engine(base.document)[0]
    unknown = _unknown(base)
    for index, ids in zip(texts, encode(list(texts.values())), strict=True):
        found[index] = [part for part in ids if part not in unknown]
    return [found[index] for index in new]


def _unknown(base: Base) -> set[int]:
    if base.model is None:
        return set()
    return {i for i, p in enumerate(base.model.pieces) if p.type is PieceType.UNKNOWN}


def read_remap(path: Path, base: Base, grown: Base) -> dict[int, int]:
    """Old id to new id, from JSON (``{"old": new}``, or such an object under ``remap``) or TSV.

    In a TSV the first two columns count; a first line that holds no numbers is a heading, and a
    negative or empty new id means that the entry is gone.

    Raises:
        DataError: not such a table, an id beyond its vocabulary, or two old ids for one new.
    """
    table: dict[int, int] = {}
    for place, (left, right) in _remap_rows(path):
        try:
            old, new = int(left), -1 if right in ("", None) else int(right)
        except (TypeError, ValueError):
            raise DataError("not a pair of ids", where=f"{path}:{place}",
                            value=[left, right]) from None  # fmt: skip
        if new < 0:
            continue
        if not 0 <= old < base.size or new >= grown.size:
            raise DataError(f"ids must lie below {base.size} (old) and {grown.size} (new)",
                            where=f"{path}:{place}", value=[old, new])  # fmt: skip
        table[old] = new
    if len(set(table.values())) != len(table):
        raise DataError("two old ids go to one new id", where=path)
    if not table:
        raise DataError("no pairs of ids in the table", where=path)
    return table


def _remap_rows(path: Path) -> list[tuple[int, tuple[Any, Any]]]:
    if path.suffix == ".json":
        found = read_json(path)
        found = found.get("remap", found) if isinstance(found, Mapping) else found
        if not isinstance(found, Mapping):
            raise DataError("not an object of old and new ids", where=path)
        return list(enumerate(found.items(), 1))
    try:
        # By line feeds alone: a column of tokens may hold a carriage return or U+2028.
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the table of ids ({error})", where=path) from None
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
    if rows and not rows[0][1][0].strip().lstrip("-").isdigit():
        rows = rows[1:]
    return [(number, (row[0].strip(), row[1].strip() if len(row) > 1 else None))
            for number, row in rows]  # fmt: skip
