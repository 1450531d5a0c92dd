"""How much a decoding looks like text: the score that decides between readings of the same bytes.

Only what is not ASCII is judged. A reading of ``n`` foreign characters has the quality ::

    q = (sum of worth(c) - 1.0 x flaws) / n

``worth(c)``   of the language, among those written in the codec, that fits best: 1, 0.6, 0.2 for
               frequent, middling and rare letters (hanzi: the 300 most frequent, level 1, level 2
               at 1, 0.3, -0.2); -0.5 for letters and -0.3 for signs of no use to that language,
               -2 for C1 controls, private-use and unassigned characters, -3 for U+FFFD.
``flaws``      a capital behind a small letter, a sign between two letters, an ideograph between two
               ASCII letters; letters of two alphabets side by side and a letter right before a
               digit (half a flaw each); three for every character in a signature of mojibake
               (锟斤拷, Ã©).

The score of a candidate is ``(n q + K prior) / (n + K) + bonus``: the word of a label is worth
``K = 4`` good characters and, where two readings are equally good, ``bonus``.

Source: round numbers set before the first trial, not fitted. docs/charsets.md says what was changed
after seeing which file; halving or doubling any one changes at most one file of a set.
"""

import codecs
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .alphabets import is_latin, languages, languages_of

Worths = npt.NDArray[np.int8]
Kinds = npt.NDArray[np.uint8]

SAMPLE_BYTES: Final = 65_536
"""A page is sampled from half of this at either end."""

DENSE_BYTES: Final = 4096
"""So much of what is not ASCII is scored: 2000 hanzi, or a page of Russian."""

ENOUGH_BYTES: Final = 64
"""With less than this in both ends, the middle of the page is looked at too."""

LABEL_WEIGHT: Final = 4
"""K: how many good characters a prior of 1 is worth."""

LOWER, UPPER, LETTER, SIGN, IDEOGRAPH, DIGIT = 1, 2, 4, 8, 16, 32
_FOREIGN_LETTER, _FOREIGN_SIGN, _UNUSED, _REPLACED = -5, -3, -20, -30
_IN_WORDS: Final = frozenset("’·‐‑–—…\u00ad\u00a0\u200b\u200c\u200d•")
# Stand-ins for characters beyond the first plane (noncharacters): emoji, other, private use.
_EMOJI, _BEYOND, _PRIVATE = 0xFDD0, 0xFDD1, 0xFDD2
_CUT: Final = "\u2426"  # a sign that no language uses

# All bytes of a multi-byte character are digits or lie above these; space and markup end a run.
_BREAKS: Final = np.array([b < 0x30 or 0x39 < b < 0x40 for b in range(256)])


# UTF-8 of Latin-1 letters and signs, of dashes and quotes, and of U+FFFD.
_UTF8_LATIN: Final = re.compile(
    rb"\xc2[\xa0-\xbf]|\xc3[\x80-\xbf]|\xe2\x80[\x90-\xa6]|\xef\xbf\xbd"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reading that somebody proposes.

    Attributes:
        codec: Python codec.
        source: who proposes it.
        prior: trust in the source, 0 to 1; counts as much as ``LABEL_WEIGHT`` characters.
        bonus: added to the score whatever the length of the text.
    """

    codec: str
    source: str
    prior: float
    bonus: float = 0.0


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with its score (at most about 1; below 0 is rubbish)."""

    candidate: Candidate
    score: float


def foreign_runs(content: bytes) -> bytes:
    """The words of a page that are not ASCII, joined by spaces: a sample of bounded size.

    Args:
        content: the page.

    Returns:
        At most ``DENSE_BYTES``, from both ends of the page.
    """
    half = SAMPLE_BYTES // 2
    if len(content) <= SAMPLE_BYTES:
        return _joined(content, _foreign_bounds(content))
    head, tail = _foreign_bounds(content[:half]), _foreign_bounds(content[-half:])
    # The last run of the head and the first of the tail may be cut in a character.
    runs = np.concatenate([head[:-1], tail[1:] + len(content) - half])
    if (runs[:, 1] - runs[:, 0]).sum() < ENOUGH_BYTES:
        runs = _foreign_bounds(content)
    return _joined(content, runs)


def _foreign_bounds(content: bytes) -> npt.NDArray[np.int64]:
    """Where the runs lie that hold bytes above ASCII: int64 ``[runs, 2]``, start and end."""
    raw = np.frombuffer(content, np.uint8)
    breaks = np.flatnonzero(_BREAKS[raw])
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(raw)]])
    above = np.concatenate([[0], np.cumsum(raw >= 0x80)])
    foreign = above[ends] > above[starts]
    return np.stack([starts[foreign], ends[foreign]], axis=1)


def _joined(content: bytes, runs: npt.NDArray[np.int64]) -> bytes:
    lengths = runs[:, 1] - runs[:, 0] + 1
    if lengths.sum() > DENSE_BYTES:
        half = DENSE_BYTES // 2
        from_start, from_end = np.cumsum(lengths), np.cumsum(lengths[::-1])[::-1]
        chosen = (from_start <= half) | (from_end <= half)
        if not chosen.any():  # a few very long runs: no telling where a character begins
            return content[runs[0, 0] : runs[0, 1]][:DENSE_BYTES]
        runs = runs[chosen]
    # What ends before the page ends was not cut off.
    end = b" " if len(runs) and runs[-1, 1] < len(content) else b""
    return b" ".join([content[start:end] for start, end in runs.tolist()]) + end


def rank(sample: bytes, candidates: list[Candidate]) -> list[Scored]:
    """Score the candidates, best first; equal scores keep their order.

    Args:
        sample: of ``foreign_runs``.
        candidates: readings to compare, in order of trust.
    """
    scored = [Scored(candidate, _score(sample, candidate)) for candidate in candidates]
    return sorted(scored, key=lambda s: -s.score)


def _score(sample: bytes, candidate: Candidate) -> float:
    foreign, quality = quality_of(sample, candidate.codec)
    mean = (foreign * quality + LABEL_WEIGHT * candidate.prior) / (foreign + LABEL_WEIGHT)
    return round(mean + candidate.bonus, 4)


def quality_of(sample: bytes, codec: str) -> tuple[int, float]:
    """Decode a sample and judge it, without regard to who proposes the codec.

    Returns:
        How many characters are not ASCII, and their quality, at most 1.
    """
    text = _decoded(sample, codec)
    points = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32).astype(np.int32)
    points = _first_plane(points)
    seen, counts = np.unique(points[points >= 0x80], return_counts=True)
    foreign = int(counts.sum())
    if not foreign:
        return 0, 0.0
    worths, names, kinds = _tables()
    rows = [names[name] for name in languages_of(codec)]
    best = int((worths[rows][:, seen] @ counts).max())
    flaws = _flaws(points, kinds[points]) + 3 * _signatures(text, sample, codec)
    return foreign, max(-3.0, (best / 10 - flaws) / foreign)


def _decoded(sample: bytes, codec: str) -> str:
    """The sample as text; a character that the end of the page cuts off becomes one plain sign.

    It is no damage, but no merit either: any lone byte is the start of something in Big5.
    """
    decoder = codecs.getincrementaldecoder(codec)("replace")
    text = decoder.decode(sample)
    return text + _CUT if decoder.getstate()[0] else text


def _first_plane(points: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    if not len(points) or points.max() < 0x10000:
        return points
    points = np.where((points >= 0x1F000) & (points < 0x1FB00), _EMOJI, points)
    points = np.where(points >= 0xF0000, _PRIVATE, points)
    return np.where(points >= 0x10000, _BEYOND, points).astype(np.int32)


def _flaws(points: npt.NDArray[np.int32], kinds: Kinds) -> float:
    """What does not happen in words. ASCII among itself is not judged."""
    left, right = kinds[:-1], kinds[1:]
    foreign = (points[:-1] >= 0x80) | (points[1:] >= 0x80)
    swapped = (left & LOWER) & ((right & UPPER) >> 1) & foreign
    block = np.maximum(points >> 8, 2)  # Latin; 3 Greek, 4 Cyrillic, 5 Hebrew, 6 Arabic, 14 Thai
    mixed = ((left & right & LETTER) > 0) & (block[:-1] != block[1:])
    numbered = ((left & LETTER) > 0) & ((right & DIGIT) > 0) & (points[:-1] >= 0x80)
    before, middle, after = kinds[:-2], kinds[1:-1], kinds[2:]
    pierced = ((before & after & LETTER) > 0) & ((middle & SIGN) > 0)
    ascii_sides = (points[:-2] < 0x80) & (points[2:] < 0x80)
    lonely = ((before & after & LETTER) > 0) & ((middle & IDEOGRAPH) > 0) & ascii_sides
    halves = mixed.sum() + numbered.sum()
    return float(swapped.sum() + pierced.sum() + lonely.sum() + 0.5 * halves)


def _signatures(text: str, sample: bytes, codec: str) -> int:
    """Characters inside signatures of mojibake.

    For Latin codecs the signatures are taken as the bytes that spell them, so that Ã¼ counts just
    as much where another codec makes Ăź of it.
    """
    if is_latin(codec):
        return sum(map(len, _UTF8_LATIN.findall(sample)))
    from .phrases import MARKERS  # here, because it brings numba, which most pages never need

    return sum(text.count(sign) * len(sign) for sign in MARKERS["n_mojibake"])


@cache
def _tables() -> tuple[Worths, dict[str, int], Kinds]:
    """Worth of every character in every language (tenths, ``[languages, 65536]``), the row of each
    language, and the kinds of every character (bit set, ``[65536]``)."""
    categories = [unicodedata.category(chr(point)) for point in range(0x10000)]
    kinds = np.array([_kind(point, c) for point, c in enumerate(categories)], np.uint8)
    default = np.array([_default(c) for c in categories], np.int8)
    default[0xFFFD] = _REPLACED
    default[[_EMOJI, _BEYOND, _PRIVATE]] = 5, _FOREIGN_LETTER, _UNUSED
    names = {name: row for row, name in enumerate(languages())}
    worths = np.tile(default, (len(names), 1))
    for name, table in languages().items():
        points = [ord(character) for character in table]
        worths[names[name], points] = list(table.values())
    return worths, names, kinds


def _default(category: str) -> int:
    if category in ("Cc", "Co", "Cn", "Cs"):
        return _UNUSED
    return _FOREIGN_LETTER if category[0] == "L" else _FOREIGN_SIGN


def _kind(point: int, category: str) -> int:
    if point < 0x80:
        kind = {"Ll": LETTER | LOWER, "Lu": LETTER | UPPER, "Nd": DIGIT}.get(category, 0)
    elif chr(point) in _IN_WORDS:
        kind = 0
    elif category == "Lo" and point >= 0x1100:
        kind = IDEOGRAPH
    elif category[0] in "LM":
        kind = LETTER | {"Ll": LOWER, "Lu": UPPER}.get(category, 0)
    else:
        kind = SIGN
    return kind
