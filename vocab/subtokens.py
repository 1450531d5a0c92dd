"""Which entries of the base a grown vocabulary keeps, and what its new ones were made of before."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError, UsageError

from .agreement import plain_engine, spm_engine
from .base import Base
from .derive import Deriver
from .remap import read_remap
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
        remap: table of old and new ids, where base ids have moved (see :mod:`.remap`).

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
        encode = plain_engine(base.document)[0]
    unknown = _unknown(base)
    for index, ids in zip(texts, encode(list(texts.values())), strict=True):
        found[index] = [part for part in ids if part not in unknown]
    return [found[index] for index in new]


def _unknown(base: Base) -> set[int]:
    if base.model is None:
        return set()
    return {i for i, p in enumerate(base.model.pieces) if p.type is PieceType.UNKNOWN}
