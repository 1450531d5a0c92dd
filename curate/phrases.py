"""How often given phrases occur: markers of boilerplate and of broken encodings."""

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from .utf8 import Bounds, Bytes, kernel

MARKERS: Final[Mapping[str, tuple[str, ...]]] = {
    "n_lorem_ipsum": ("lorem ipsum",),
    "n_javascript": ("javascript",),
    "n_policy_phrases": (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    ),
    # Text decoded in the wrong charset. In order: U+FFFD in UTF-8 read as GBK; uninitialised
    # memory read as GBK; UTF-8 "，。“" and a BOM read as GBK; UTF-8 Chinese punctuation, quotes
    # and accents read as Windows-1252.
    "n_mojibake": (
        *("锟斤拷", "烫烫烫", "屯屯屯", "锛", "銆", "鈥", "锘"),
        *("ï¼", "ã€", "â€", "Â·", "Ã©", "Ã¨", "Ã¤", "Ã¶", "Ã¼", "ï»¿"),
    ),
}
"""Signal name to its phrases. Source: C4 for the first three (ASCII case ignored); the charset
ladder of ``yanmo.curate.encoding`` knows the same signatures."""


@cache
def _compiled() -> tuple[Bytes, Bounds, Bounds, Bytes]:
    """All phrases back to back in the order of their first two bytes, their bounds, their groups,
    and per pair of bytes (ASCII in either case) the first phrase that starts so, plus one."""
    phrases = sorted((p.encode(), g) for g, group in enumerate(MARKERS.values()) for p in group)
    joined = np.frombuffer(b"".join(p for p, _ in phrases), np.uint8)
    cuts = np.cumsum([0, *(len(p) for p, _ in phrases)], dtype=np.int64)
    starts = np.zeros(0x10000, np.uint8)
    for number, (phrase, _) in reversed(list(enumerate(phrases, 1))):
        for first, second in product(*({b, *bytes([b]).upper()} for b in phrase[:2])):
            starts[first << 8 | second] = number
    return joined, cuts, np.array([g for _, g in phrases], np.int64), starts


def count_phrases(buffer: Bytes, offsets: Bounds) -> dict[str, npt.NDArray[np.int64]]:
    """Count the markers in every document, ASCII case ignored.

    Args:
        buffer: UTF-8 bytes, uint8.
        offsets: byte offsets of the documents, int64 ``[D + 1]``.

    Returns:
        For each name in ``MARKERS`` an int64 ``[D]``.
    """
    counts = np.zeros((len(MARKERS), len(offsets) - 1), np.int64)
    _count_phrases(buffer, offsets, *_compiled(), counts)
    return dict(zip(MARKERS, counts, strict=True))


@kernel
def _is_at(buffer: Bytes, i: int, end: int, phrase: Bytes) -> bool:
    if i + len(phrase) > end:
        return False
    for j in range(len(phrase)):
        byte = buffer[i + j]
        if 0x41 <= byte <= 0x5A:
            byte += 32
        if byte != phrase[j]:
            return False
    return True


@kernel
def _count_phrases(  # noqa: PLR0913
    buffer: Bytes,
    offsets: Bounds,
    phrases: Bytes,
    cuts: Bounds,
    groups: Bounds,
    starts: Bytes,
    counts: npt.NDArray[np.int64],
) -> None:
    for document in range(len(offsets) - 1):
        end = offsets[document + 1]
        for i in range(offsets[document], end - 1):
            number = starts[np.int64(buffer[i]) << 8 | np.int64(buffer[i + 1])]
            if number == 0:
                continue
            k = number - 1
            lead, second = phrases[cuts[k]], phrases[cuts[k] + 1]
            while k < len(groups) and phrases[cuts[k]] == lead and phrases[cuts[k] + 1] == second:
                if _is_at(buffer, i, end, phrases[cuts[k] : cuts[k + 1]]):
                    counts[groups[k], document] += 1
                k += 1
