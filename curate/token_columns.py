"""Tokens of all documents as columns, and what a token is."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .utf8 import Bounds

Places = npt.NDArray[np.int64]
Kinds = npt.NDArray[np.uint8]

IS_WORD: Final = 1
"""Not all of it is of ``SYMBOL_ONLY``."""
HAS_LETTER: Final = 2
IS_MARK: Final = 4
"""All of it is punctuation."""
ENDS_SENTENCE: Final = 8
"""One character, which ends sentences."""


@dataclass(frozen=True)
class Tokens:
    """All tokens of all documents.

    Attributes:
        starts, ends: places in the code points, int64 ``[T]``.
        kinds: bits of what a token is, uint8 ``[T]``: ``IS_WORD`` …
        bounds: document bounds in ``starts``, int64 ``[D + 1]``.
    """

    starts: Places
    ends: Places
    kinds: Kinds
    bounds: Bounds


@dataclass(frozen=True)
class CutLines:
    """Lines that are left of documents, in order.

    Attributes:
        ends: in what is left, int64 ``[L]``.
        bounds: document bounds in ``ends``, int64 ``[D + 1]``.
        sources, source_ends: where a line stood that was left as it was, int64 ``[L]``; -1 for one
            that was edited.
    """

    ends: Places
    bounds: Bounds
    sources: Places
    source_ends: Places
