"""The tables of MinHash as package data, made by ``python -m yanmo.curate.sketch_tables``.

Folding and sorting all characters takes 0.06 s, and importing datasketch, which draws the
permutations, 0.2 s (it imports SciPy): too long for every start of a run. The file holds what
:mod:`yanmo.curate.sketch` makes, for the Unicode of one Python and for the default permutations; a
test makes both again. For any other Unicode, length or seed they are made anew.
"""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

U32 = npt.NDArray[np.uint32]

COUNT: Final = 112
SEED: Final = 1
_FILE: Final = Path(__file__).parent / "data" / "sketch_tables.npz"


@cache
def _stored() -> dict[str, Any]:
    with np.load(_FILE) as file:
        return dict(file)


def kept_characters() -> U32 | None:
    """:func:`yanmo.curate.sketch.character_table`, if it was made with this Python's Unicode."""
    stored = _stored()
    if str(stored["unicode"]) != unicodedata.unidata_version:
        return None
    table: U32 = np.cumsum(stored["steps"], dtype=np.int64).astype(np.uint32)
    return table


def kept_permutations(count: int, seed: int) -> tuple[U32, U32] | None:
    """:func:`yanmo.curate.sketch.permutations` for the default length and seed."""
    if (count, seed) != (COUNT, SEED):
        return None
    stored = _stored()
    return stored["a"], stored["b"]


def _write() -> None:
    from .sketch import draw_permutations, fold_characters

    # Steps from one entry to the next: 12 kB, where the table itself would take 100.
    steps = np.diff(fold_characters().astype(np.int64), prepend=0).astype(np.int32)
    a, b = draw_permutations(COUNT, SEED)
    np.savez_compressed(_FILE, unicode=unicodedata.unidata_version, steps=steps, a=a, b=b)


if __name__ == "__main__":
    _write()
