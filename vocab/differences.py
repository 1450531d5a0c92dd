"""Where two tokenizers cut one text differently, and whether that stays inside Han text.

The text is cut at every place where both have a border; a stretch between two such places changed
if the tokens in it are not the same bytes over the same characters.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .charsets import HAN_RUN
from .spans import Span

Cut = tuple[int, int, bytes]
"""A token: the range of its characters and its bytes."""


@dataclass(frozen=True)
class Change:
    """A stretch of the text that the two cut differently.

    Attributes:
        start: first character, half-open with ``end``.
        end: see ``start``.
        old: tokens of the base in it, by position.
        new: tokens of the other.
    """

    start: int
    end: int
    old: tuple[int, ...]
    new: tuple[int, ...]


@dataclass(frozen=True)
class Outside:
    """What became of the stretches without hanzi.

    Attributes:
        spans: how many the text has.
        identical: cut by both in the same way.
        joined: a token of either holds hanzi and what stands beside them.
        changed: the changes that lie in them alone: a promise of an extension is broken here.
    """

    spans: int
    identical: int
    joined: int
    changed: tuple[Change, ...]


def cuts(spans: Sequence[Span], surfaces: Sequence[bytes]) -> list[Cut]:
    """Tokens as what can be compared between vocabularies.

    Args:
        spans: tokens of a text.
        surfaces: the bytes of each.
    """
    return [(s.start, s.end, b) for s, b in zip(spans, surfaces, strict=True)]


def borders(tokens: Sequence[Cut], length: int) -> set[int]:
    """The places of a text that no token reaches across.

    Args:
        tokens: in order.
        length: characters of the text.
    """
    inside: set[int] = set()
    places = {0, length}
    for start, end, _ in tokens:
        inside.update(range(start + 1, end))
        places |= {start, end}
    return places - inside


def changes(old: Sequence[Cut], new: Sequence[Cut], length: int) -> list[Change]:
    """The stretches that two segmentations cut differently, in order.

    Args:
        old: tokens of the base.
        new: tokens of the other.
        length: characters of the text.
    """
    places = sorted(borders(old, length) & borders(new, length))
    found = []
    at_old = at_new = 0
    for start, end in pairwise(places):
        first_old, first_new = at_old, at_new
        at_old, at_new = _after(old, at_old, end, length), _after(new, at_new, end, length)
        if old[first_old:at_old] != new[first_new:at_new]:
            ours, theirs = range(first_old, at_old), range(first_new, at_new)
            found.append(Change(start, end, tuple(ours), tuple(theirs)))
    return found


def _after(tokens: Sequence[Cut], at: int, end: int, length: int) -> int:
    """The first token behind a stretch; one without characters stands before what it starts at."""
    while at < len(tokens) and (tokens[at][0] < end or end == length):
        at += 1
    return at


def outside_han(text: str, found: Sequence[Change]) -> Outside:
    """What became of the stretches of a text without hanzi.

    Args:
        text: the text.
        found: its changes, in order.
    """
    ends = [0, *(k for match in HAN_RUN.finditer(text) for k in match.span()), len(text)]
    stretches = [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]
    identical = joined = at = 0
    broken: list[Change] = []
    for start, end in stretches:
        while at < len(found) and found[at].end <= start:
            at += 1
        touching = []
        k = at
        while k < len(found) and found[k].start < end:
            touching.append(found[k])
            k += 1
        own = [c for c in touching if start <= c.start and c.end <= end]
        broken += own
        identical += not touching
        joined += len(touching) > len(own)
    return Outside(len(stretches), identical, joined, tuple(broken))


def commonest(
    text: str, found: Sequence[Change], old: Sequence[bytes], new: Sequence[bytes]
) -> list[tuple[str, tuple[bytes, ...], tuple[bytes, ...], int]]:
    """Equal changes together: text, its tokens in both, how often; most tokens saved first.

    Args:
        text: the text.
        found: its changes.
        old: the bytes of each token of the base.
        new: the same of the other.
    """
    counts = Counter(
        (text[c.start : c.end], tuple(old[k] for k in c.old), tuple(new[k] for k in c.new))
        for c in found
    )
    rows = [(*change, count) for change, count in counts.items()]
    return sorted(rows, key=lambda row: (-(len(row[1]) - len(row[2])) * row[3], row[0], row[1:3]))
