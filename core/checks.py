"""A checksum for every document of token shards, so that damage can be named to the document."""

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def document_checks(ids: npt.NDArray[np.uint32], ends: Ints) -> npt.NDArray[np.uint64]:
    """64 bits for each document.

    Args:
        ids: (tokens,) uint32, documents back to back, EOS included.
        ends: (documents,) exclusive ends.

    Source: FNV-1a (Fowler, Noll, Vo), a token a step instead of a byte, closed by the finalizer of
    SplitMix64 (Steele et al. 2014). A changed token always changes it: each step is a bijection.
    """
    found = np.empty(len(ends), np.uint64)
    at = 0
    for document in range(len(ends)):
        x = np.uint64(0xCBF29CE484222325)
        while at < ends[document]:
            x = (x ^ np.uint64(ids[at])) * np.uint64(0x00000100000001B3)
            at += 1
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found[document] = x ^ (x >> np.uint64(31))
    return found


@njit(cache=True, nogil=True)
def close_documents(
    ids: npt.NDArray[np.uint32], bounds: Ints, eos: int, size: int
) -> tuple[npt.NDArray[np.uint32], int]:
    """Put the closing id behind every document.

    Args:
        ids: (tokens,) uint32, documents back to back.
        bounds: (documents + 1,) where each starts in ``ids``.
        eos: the closing id, which must not stand inside a document.
        size: ids must be below it.

    Returns:
        The ids with a closing one for each document, and the first document that holds an id that
        cannot stand there, -1 if none does.
    """
    documents = len(bounds) - 1
    closed = np.empty(bounds[documents] - bounds[0] + documents, np.uint32)
    n, wrong = 0, -1
    for document in range(documents):
        for k in range(bounds[document], bounds[document + 1]):
            closed[n] = ids[k]
            n += 1
            if (ids[k] >= size or ids[k] == eos) and wrong < 0:
                wrong = document
        closed[n] = eos
        n += 1
    return closed, wrong
