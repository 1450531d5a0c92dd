"""Tables of all characters as package data, made by :mod:`yanmo.curate.make_character_tables`.

Each of them is made from the Unicode data of Python, one character after the other: together a
third of a second at every start. The file holds what the modules make, for the Unicode of one
Python and one version of ftfy; a test makes all of them again. For any other they are made anew.
"""

import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Blocks = npt.NDArray[np.uint8]

FILE: Final = Path(__file__).parent / "data" / "character_tables.npz"


@cache
def _stored() -> dict[str, Any]:
    with np.load(FILE) as file:
        return dict(file)


def _fits(name: str) -> bool:
    return str(_stored()[f"{name} for"]) == unicodedata.unidata_version


def two_stages(name: str, make: Callable[[], Blocks]) -> tuple[Blocks, Blocks]:
    """A table of small numbers, folded.

    Args:
        name: ``classes``, ``scripts`` or ``edits``.
        make: makes it, uint8 ``[1 114 112]``, where the file does not fit.

    Returns:
        As :func:`two_stage`.
    """
    if _fits(name):
        return _stored()[f"{name} index"], _stored()[f"{name} blocks"]
    return two_stage(make())


def runs(
    name: str, make: Callable[[], npt.NDArray[np.uint16]], *, version: str | None = None
) -> npt.NDArray[np.uint16]:
    """A table in which neighbours are alike, uint16.

    Args:
        name: ``lines``, ``mojibake own`` or ``mojibake behind``.
        make: makes it where the file does not fit.
        version: of what it is made from; Unicode's by default.
    """
    if str(_stored()[f"{name} for"]) == (version or unicodedata.unidata_version):
        table: npt.NDArray[np.uint16] = np.repeat(
            _stored()[f"{name} values"], _stored()[f"{name} lengths"]
        )
        return table
    return make()


def two_stage(flat: Blocks) -> tuple[Blocks, Blocks]:
    """Fold a table of all code points: equal runs of 256 are kept once.

    Args:
        flat: uint8 ``[1 114 112]``.

    Returns:
        ``index`` (uint8 ``[4352]``) and ``blocks`` (uint8 ``[B, 256]``): ``flat[c]`` is
        ``blocks[index[c >> 8], c & 255]``. (``numpy.unique`` does the same in 0.3 s.)
    """
    numbers: dict[bytes, int] = {}
    rows = [flat[start : start + 256].tobytes() for start in range(0, len(flat), 256)]
    index = [numbers.setdefault(row, len(numbers)) for row in rows]
    blocks = np.frombuffer(b"".join(numbers), np.uint8).reshape(-1, 256)
    return np.array(index, np.uint8), blocks.copy()
