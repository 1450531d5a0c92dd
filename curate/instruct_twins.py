"""Dialogues that ask the same: exact, contradictory and near duplicates, the best one kept."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.messages import Message
from yanmo.recipe import OFF

from .clusters import connect, group_bounds
from .instruct_recipe import Twins
from .resemble import grams
from .sketch import band_hashes, exact_jaccard, signatures

PERMUTATIONS: Final = 128
BANDS: Final = 16
"""Of 8 values: pairs of 0.9 meet with 0.9999, pairs of 0.8 with 0.95; each pair is then counted."""
_PAIRS_A_GROUP: Final = 200  # documents of one band value of which all pairs are compared
_BATCH: Final = 8192
_DIGITS: Final = re.compile(r"\d+")


class _Bare(dict[int, str | None]):
    """Translation that leaves letters, numbers, marks and symbols, made as characters are met."""

    def __missing__(self, code: int) -> str | None:
        kept = None if unicodedata.category(chr(code))[0] in "PZC" else chr(code)
        self[code] = kept
        return kept


_BARE: Final = _Bare()
_INSIDE: Final = re.compile(r"(?<=\d)[-.,:/](?=\d)")


def bare(text: str) -> str:
    """NFKC, case folded, without punctuation and space; between digits punctuation counts.

    >>> bare("Ｈｅｌｌｏ， 世界！"), bare("5-3"), bare("1.5 升。")
    ('hello世界', '5-3', '1.5升')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    pieces, at = [], 0
    for found in _INSIDE.finditer(folded):
        pieces += [folded[at : found.start()].translate(_BARE), found[0]]
        at = found.end()
    return "".join([*pieces, folded[at:].translate(_BARE)])


@dataclass(frozen=True)
class Asked:
    """What duplicates are told by.

    Attributes:
        key: 16 bytes of all that is asked, bare.
        answer: 16 bytes of all that is answered, bare.
        text: all that is asked.
        score: the higher the better.
    """

    key: bytes
    answer: bytes
    text: str
    score: float


@dataclass(frozen=True)
class Twin:
    """A dialogue that another one stands for: its rule, the one that stays, how alike they are."""

    rule: str
    kept: int
    share: float


def asked_of(messages: Sequence[Message], score: float) -> Asked:
    """The keys of a dialogue."""
    questions = [m.content for m in messages if m.role != "assistant"]
    answers = [m.content for m in messages if m.role == "assistant"]
    return Asked(_hash(questions), _hash(answers), "\n".join(questions), score)


def _hash(texts: Sequence[str]) -> bytes:
    joined = "\x1f".join(bare(text) for text in texts)
    return hashlib.blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def find_twins(dialogues: Sequence[Asked], recipe: Twins) -> dict[int, Twin]:
    """Which dialogues have a better one that asks the same.

    Args:
        dialogues: in order; of equal score the first is better.
        recipe: what to look for; a rule that is off finds nothing.

    Returns:
        By number. A ``contradiction`` is found of every dialogue but the best of its question.
    """
    found: dict[int, Twin] = {}
    by_key: dict[bytes, list[int]] = {}
    for number, dialogue in enumerate(dialogues):
        by_key.setdefault(dialogue.key, []).append(number)
    leaders: dict[int, list[int]] = {}
    for members in by_key.values():
        best = _best(dialogues, members)
        by_answer: dict[bytes, list[int]] = {}
        for number in members:
            by_answer.setdefault(dialogues[number].answer, []).append(number)
        for same in by_answer.values():
            first = _best(dialogues, same)
            if recipe.exact != OFF:
                found |= {n: Twin("duplicate", first, 1.0) for n in same if n != first}
            if first != best and recipe.contradiction != OFF:
                found[first] = Twin("contradiction", best, 1.0)
        leaders[best] = members
    if recipe.near != OFF:
        for number, twin in _near(dialogues, sorted(leaders), recipe).items():
            for member in leaders[number]:
                if member not in found or found[member].rule == "contradiction":
                    found[member] = twin
    return found


def _best(dialogues: Sequence[Asked], members: Sequence[int]) -> int:
    return min(members, key=lambda n: (-dialogues[n].score, n))


def _near(dialogues: Sequence[Asked], leaders: list[int], recipe: Twins) -> dict[int, Twin]:
    texts = [dialogues[n].text for n in leaders]
    made = [signatures(pa.array(texts[at : at + _BATCH], pa.large_string()), k=5,
                       count=PERMUTATIONS, seed=recipe.seed, shingle="characters")[0]
            for at in range(0, len(texts), _BATCH)]  # fmt: skip
    if not made:
        return {}
    shares: dict[tuple[int, int], float] = {}
    for first, second in _candidates(band_hashes(np.concatenate(made), bands=BANDS)):
        if _DIGITS.findall(texts[first]) == _DIGITS.findall(texts[second]):
            hashes, ends = grams(pa.array([texts[first], texts[second]], pa.large_string()))
            share = exact_jaccard(hashes[: ends[1]], hashes[ends[1] :])
            if share >= recipe.near_share:
                shares[first, second] = share
    pairs = np.array(sorted(shares), np.uint32).reshape(-1, 2)
    roots = connect([pairs], len(leaders))
    members: dict[int, list[int]] = {}
    for place, root in enumerate(roots.tolist()):
        members.setdefault(root, []).append(place)
    found = {}
    for group in members.values():
        best = min(group, key=lambda p: (-dialogues[leaders[p]].score, p))
        for place in group:
            if place != best:
                share = max(s for pair, s in shares.items() if place in pair) if len(group) > 2 \
                    else shares[tuple(group)]  # type: ignore[index]  # fmt: skip
                found[leaders[place]] = Twin("near_duplicate", leaders[best], share)
    return found


def _candidates(bands: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs that share a band, each once, the smaller number first."""
    seen: set[tuple[int, int]] = set()
    for band in bands:
        order = np.argsort(band, kind="stable")
        ends = group_bounds(band[order])
        for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            group = order[start:end].tolist()
            for place, first in enumerate(group[:-1]):
                others = group[place + 1 :] if len(group) <= _PAIRS_A_GROUP else [group[place + 1]]
                for second in others:
                    pair = (min(first, second), max(first, second))
                    if pair not in seen:
                        seen.add(pair)
                        yield pair
