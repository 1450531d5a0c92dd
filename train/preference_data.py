"""Judged answers: rankings of K answers to a prompt, and pairs, which are rankings of two.

A row of rankings.jsonl is ``{"id": …, "prompt": [messages], "responses": [texts], "rank": [ints]}``
with 1 for the best; equal ranks are ties, ``null`` (the whole list or one entry) is unranked.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError
from yanmo.files import sha256_file, sha256_json
from yanmo.messages import Message, parse_messages, read_objects
from yanmo.preference_layouts import read_pair
from yanmo.recipe import did_you_mean

from .chat_text import ChatText
from .preference_pairs import Pair, ranked_pairs

RANKING_KEYS: Final = ("id", "prompt", "responses", "rank")


@dataclass(frozen=True)
class Judged:
    """A prompt, answers to it, and the rank of each (1 is best; ``None``: not judged)."""

    id: str
    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    ranks: tuple[int | None, ...]


@dataclass(frozen=True)
class Ranked:
    """The same as ids, ready to be scored.

    Attributes:
        id: of the record.
        prompt: ids up to where the answer begins.
        answers: ids of each answer, closed.
        ranks: of each.
    """

    id: str
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    ranks: tuple[int, ...]

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """(better, worse) numbers of answers; ties give none."""
        return ranked_pairs(self.ranks)

    @property
    def tokens(self) -> int:
        """Of all answers, each with its prompt."""
        return sum(len(self.prompt) + len(answer) for answer in self.answers)

    @property
    def prompt_key(self) -> str:
        """Equal for equal prompts, which must not lie on both sides of a split."""
        return hashlib.sha256(repr(self.prompt).encode()).hexdigest()


@dataclass
class Answers:
    """The data of a run.

    Attributes:
        rankings: what can be learned from, in the order of the files.
        counts: records read and why some were left out.
        identity: hash of the files' contents and of how they were encoded.
    """

    rankings: list[Ranked]
    counts: dict[str, int] = field(default_factory=dict)
    identity: str = ""


def read_judged(path: Path) -> Iterator[Judged]:
    """Rankings and pairs of a file.

    Raises:
        DataError: a record is neither; names it.
    """
    for where, record in read_objects(path):
        yield read_judgement(record, where)


def read_judgement(record: Mapping[str, Any], where: str) -> Judged:
    """A ranking or a pair.

    Raises:
        DataError: the record is neither.
    """
    if "responses" in record or "rank" in record:
        return _ranking(record, where)
    return _pair(record, where)


def _ranking(record: Mapping[str, Any], where: str) -> Judged:
    for key in ("prompt", "responses", "rank"):
        if key not in record:
            near = [k for k in record if k not in RANKING_KEYS]
            hint = did_you_mean(key, near) if near else f"It has {', '.join(record)}."
            raise DataError(f"a ranking has no '{key}'", where=where, fix=hint)
    answers = record["responses"]
    if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
        raise DataError("responses is no list of texts", where=where, value=answers)
    ranks = record["rank"]
    ranks = [None] * len(answers) if ranks is None else ranks
    if not isinstance(ranks, list) or len(ranks) != len(answers):
        raise DataError(f"rank is no list of {len(answers)} numbers, one a response", where=where,
                        value=ranks, fix="Or null, where nobody has ranked them.")  # fmt: skip
    for rank in ranks:
        if rank is not None and (type(rank) is not int or rank < 1):
            raise DataError("a rank is no whole number from 1 (the best) on", where=where,
                            value=rank)  # fmt: skip
    return Judged(str(record.get("id", where)), _prompt(record["prompt"], where), tuple(answers),
                  tuple(ranks))  # fmt: skip


def _prompt(value: object, where: str) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message("user", value),)
    messages = parse_messages(value, where=where)
    if messages[-1].role == "assistant":
        raise DataError("a prompt ends with an answer", where=where, value=messages[-1].content,
                        fix="The last turn is what is answered.")  # fmt: skip
    return messages


def _pair(record: Mapping[str, Any], where: str) -> Judged:
    if missing := [key for key in ("chosen", "rejected") if key not in record]:
        raise DataError(
            f"a record is neither a ranking nor a pair: it has no '{missing[0]}'", where=where,
            value=sorted(record), fix=f"Rankings have {', '.join(RANKING_KEYS)}; pairs have "
            "chosen, rejected and conversations, messages or prompt.",
        )  # fmt: skip
    (found,) = read_pair(record, where)
    return Judged(found.name(where), found.messages, found.pair or ("", ""), (1, 2))


def load_answers(paths: Sequence[Path], chat: ChatText, *, max_tokens: int) -> Answers:
    """Read files and encode what can be learned from.

    Args:
        paths: rankings and pairs, JSON or JSON lines, plain or compressed.
        chat: of the model.
        max_tokens: an answer that is longer with its prompt is left out, not cut: a cut answer
            would be judged by what it does not show.

    Raises:
        DataError: a file holds something else, or nothing to learn from.
    """
    counts: Counter[str] = Counter(dict.fromkeys(_REASONS, 0))
    rankings = []
    for path in paths:
        for judged in read_judged(path):
            counts["read"] += 1
            ranked = _encode(judged, chat, max_tokens, counts)
            if ranked is not None:
                rankings.append(ranked)
                counts["answers"] += len(ranked.answers)
                counts["pairs"] += len(ranked.pairs)
    counts["used"] = len(rankings)
    if not rankings:
        told = ", ".join(f"{counts[r]} {r.replace('_', ' ')}" for r in _DROPPED if counts[r])
        raise DataError("no ranking to learn from", where=", ".join(map(str, paths)),
                        value=f"{counts['read']} records: {told or 'nothing else'}",
                        fix="Rank the answers first (rank: 1 is the best)."
                        if counts["unranked"] else None)  # fmt: skip
    identity = sha256_json(
        [[sha256_file(path) for path in paths], chat.tokenizer.sha256, chat.template.source,
         chat.end, max_tokens]
    )  # fmt: skip
    return Answers(rankings, dict(counts), identity)


_DROPPED: Final = ("unranked", "tied", "identical", "markers", "too_long")
_REASONS: Final = ("read", "used", *_DROPPED, "too_long_answers", "answers", "pairs")


def _encode(judged: Judged, chat: ChatText, most: int, counts: Counter[str]) -> Ranked | None:
    """The ids of a record, or nothing, counted with the reason."""
    kept = {a: r for a, r in zip(judged.answers, judged.ranks, strict=True) if r is not None}
    given = sum(rank is not None for rank in judged.ranks)
    if given < 2:
        counts["unranked"] += 1
        return None
    if len(kept) < given:  # one text, two ranks: nothing says which is meant
        counts["identical"] += 1
        return None
    if len(set(kept.values())) < 2:
        counts["tied"] += 1
        return None
    prompt = [message.table() for message in judged.prompt]
    try:
        chat.check(prompt, list(kept), where=judged.id)
    except DataError:
        counts["markers"] += 1
        return None
    ids = chat.prompts([prompt])[0]
    room = most - len(ids)
    found = [(a, r) for a, r in zip(chat.answers(list(kept)), kept.values(), strict=True)
             if len(a) <= room]  # fmt: skip
    counts["too_long_answers"] += len(kept) - len(found)
    if len({rank for _, rank in found}) < 2:
        counts["too_long"] += 1
        return None
    return Ranked(judged.id, ids, tuple(a for a, _ in found), tuple(r for _, r in found))


def split(rankings: Sequence[Ranked], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the rankings to train on, and of those held out.

    By a hash of the prompt: equal prompts stay together, and new data moves no old one across.
    """
    train: list[int] = []
    held: list[int] = []
    for number, ranked in enumerate(rankings):
        digest = hashlib.sha256(f"{seed} {ranked.prompt_key}".encode()).digest()
        out = int.from_bytes(digest[:8], "little") < share * 2**64
        (held if out else train).append(number)
    return train, held


def fold_of(rankings: Sequence[Ranked], folds: int, seed: int) -> list[int]:
    """The fold of each ranking, of nearly equal sizes; equal prompts share one."""
    keys = {
        r.prompt_key: hashlib.sha256(f"{seed} {r.prompt_key}".encode()).digest() for r in rankings
    }
    places = {key: place % folds for place, key in enumerate(sorted(keys, key=keys.__getitem__))}
    return [places[r.prompt_key] for r in rankings]
