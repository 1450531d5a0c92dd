"""Exam questions in documents, found by a plain Python reading of the definition."""

from collections.abc import Sequence
from typing import NamedTuple

from .test_sketch import tokens_of

NEAR, LABEL, SEED = 32, 8, 5


class Item(NamedTuple):
    """Tokens of a question, tokens of its options, tokens of an n-gram."""

    question: list[str]
    options: list[list[str]]
    n: int

    @property
    def sections(self) -> list[list[str]]:
        return [self.question, *self.options]


class Place(NamedTuple):
    """Question, first token, token after the last, own tokens covered: question and options."""

    item: int
    start: int
    stop: int
    question: int
    options: int


def item_of(question: str, options: Sequence[str], n: int) -> Item:
    """Tokens of a question."""
    return Item(tokens_of(question), [tokens_of(option) for option in options], n)


def _grams(item: Item) -> list[tuple[int, int, tuple[str, ...]]]:
    """Section, place in it and tokens of what is looked up."""
    found = []
    for number, section in enumerate(item.sections):
        if len(section) >= item.n:
            for at in range(len(section) - item.n + 1):
                found.append((number, at, tuple(section[at : at + item.n])))
        elif number == 0 and len(section) >= SEED:
            found.append((number, 0, tuple(section)))
    return found


def looked_up(
    items: Sequence[Item], max_questions: int
) -> list[list[tuple[int, int, tuple[str, ...]]]]:
    """The same without what stands in too many questions."""
    holders: dict[tuple[str, ...], set[int]] = {}
    for number, item in enumerate(items):
        for _, _, gram in _grams(item):
            holders.setdefault(gram, set()).add(number)
    return [[g for g in _grams(item) if len(holders[g[2]]) <= max_questions] for item in items]


def own_tokens(item: Item, grams: list[tuple[int, int, tuple[str, ...]]]) -> list[set[int]]:
    """Places that count, section by section."""
    own: list[set[int]] = [set() for _ in item.sections]
    for number, at, gram in grams:
        own[number].update(range(at, at + len(gram)))
    for number, option in enumerate(item.options, 1):
        if len(option) < item.n:
            own[number] = set(range(len(option)))
    return own


def _stands(tokens: Sequence[str], low: int, high: int, piece: Sequence[str]) -> int:
    for at in range(max(low, 0), min(high, len(tokens)) - len(piece) + 1):
        if piece and list(tokens[at : at + len(piece)]) == list(piece):
            return at
    return -1


def find(
    text: str, items: Sequence[Item], *, max_questions: int, min_share: float
) -> tuple[list[Place], set[tuple[str, ...]]]:
    """Places in one document, and the n-grams that stand in it without question and options."""
    tokens = tokens_of(text)
    wanted = looked_up(items, max_questions)
    places: list[Place] = []
    seen: set[tuple[str, ...]] = set()
    explained: set[tuple[str, ...]] = set()
    for number, item in enumerate(items):
        hits = [
            (at, section, place, gram)
            for at in range(len(tokens))
            for section, place, gram in wanted[number]
            if tuple(tokens[at : at + len(gram)]) == gram
        ]
        seen.update(gram for *_, gram in hits)
        size = sum(map(len, item.sections))
        group: list[tuple[int, int, int, tuple[str, ...]]] = []
        end = 0
        for hit in [*hits, None]:
            if group and (hit is None or hit[0] > end + max(NEAR, size)):
                own = own_tokens(item, wanted[number])
                place, whole = _judge(tokens, (number, item), group, own, min_share)
                if place is not None:
                    places.append(place)
                    if whole:
                        explained.update(gram for *_, gram in group)
                group = []
            if hit is not None:
                end = max(end, hit[0] + len(hit[3])) if group else hit[0] + len(hit[3])
                group.append(hit)
    return places, seen - explained


def _judge(
    tokens: list[str], which: tuple[int, Item], group: list[tuple[int, int, int, tuple[str, ...]]],
    own: list[set[int]], min_share: float,
) -> tuple[Place | None, bool]:  # fmt: skip
    number, item = which
    covered: list[set[int]] = [set() for _ in item.sections]
    for _, section, place, gram in group:
        covered[section].update(range(place, place + len(gram)))
    start = group[0][0]
    stop = max(at + len(gram) for at, _, _, gram in group)
    question_end = max((at + len(gram) for at, s, _, gram in group if s == 0), default=-1)
    total = sum(map(len, item.options))
    reach = total + LABEL * (len(item.options) + 1)
    if question_end < 0 and item.question:
        at = _stands(tokens, start - reach - len(item.question), stop, item.question)
        if at >= 0:
            covered[0].update(range(len(item.question)))
            start, question_end = min(start, at), at + len(item.question)
    behind = question_end if question_end >= 0 else start - reach
    until = max(stop, behind) + reach
    first_stop = stop
    for k, option in enumerate(item.options, 1):
        at = _stands(tokens, behind, until, option)
        if at >= 0:
            covered[k].update(range(len(option)))
            if question_end < 0:
                start = min(start, at)
            first_stop = max(first_stop, at + len(option))
    stop = max(first_stop, question_end)
    has = [
        len(covered[0] & own[0]),
        sum(len(c & o) for c, o in zip(covered[1:], own[1:], strict=True)),
    ]
    have = [len(own[0]), sum(map(len, own[1:]))]
    alone = have[0] >= item.n and has[0] >= min_share * have[0]
    together = sum(have) >= item.n and sum(has) >= min_share * sum(have)
    whole = has[0] >= min_share * have[0] and has[1] >= min_share * have[1]
    if alone or together:
        return Place(number, start, stop, *has), whole
    return None, False
