"""What people are to judge: pairs of answers, or several answers to be ranked."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.messages import Message, parse_messages, read_objects

from .answers import ITEMS, Answers, read_answers, read_items, require_utf8

PAIR, RANK = "pair", "rank"
MOST_ANSWERS: Final = 9
"""Answers that one can rank with the digits of a keyboard."""


@dataclass(frozen=True)
class ReviewItem:
    """Answers to one question, to be compared.

    Attributes:
        key: stable name, unique in a review.
        messages: what was asked.
        texts: the answers, in the order of the data (never that of a page).
        systems: whose they are; empty where nobody says.
        reference: a good answer; empty if there is none.
        expected: of an attention check, the rank of each answer (1 is best).
        record: the record that ranks are written back to.
    """

    key: str
    messages: tuple[Message, ...]
    texts: tuple[str, ...]
    systems: tuple[str, ...] = ()
    reference: str = ""
    expected: tuple[int, ...] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """For the key."""
        return {
            "messages": [m.table() for m in self.messages], "texts": list(self.texts),
            "systems": list(self.systems), "reference": self.reference,
            "expected": list(self.expected) if self.expected else None,
            "record": dict(self.record), "identity": identity_strings(self),
        }  # fmt: skip


def read_pairs(
    inputs: Sequence[Path], *, names: Sequence[str], intersect: bool, limit: int | None
) -> tuple[Answers, list[ReviewItem]]:
    """Pairs of answers from a judge run, or from one file a system.

    Raises:
        UsageError: a run together with other inputs, or only one system.
        DataError: see :func:`~yanmo.evals.answers.read_answers`.
    """
    if any(path.is_dir() for path in inputs):
        if len(inputs) > 1:
            raise UsageError("a judge run is reviewed by itself", value=[str(p) for p in inputs],
                             fix="Give one run, or files of answers.")  # fmt: skip
        if not (inputs[0] / ITEMS).is_file():
            raise UsageError("no judge run here (no items.jsonl)", where=inputs[0],
                             fix="Give the --out folder of `yanmo evals judge`.")  # fmt: skip
        answers = read_items(inputs[0])
    else:
        answers = read_answers(inputs, names=names, intersect=intersect)
    if len(answers.systems) < 2:
        raise UsageError(
            "a review of pairs needs two systems",
            value=list(answers.systems),
            fix="Give two files of answers, or --rank and a file of rankings.",
        )
    items = [
        ReviewItem(
            pair_key(item.question.id, a, b), item.question.messages,
            (item.answers[a].text, item.answers[b].text), (a, b), item.question.reference,
        )
        for item in answers.items[:limit]
        for a, b in itertools.combinations(answers.systems, 2)
        # People agree as little about equal answers as judges do.
        if item.answers[a].text != item.answers[b].text
    ]  # fmt: skip
    if not items:
        raise DataError("all answers are equal: there is nothing to compare",
                        where=", ".join(map(str, inputs)))  # fmt: skip
    return answers, items


def pair_key(question: str, a: str, b: str) -> str:
    """The key of a question between two systems."""
    return f"{question} · {a} · {b}"


def read_rankings(inputs: Sequence[Path], *, limit: int | None) -> list[ReviewItem]:
    """Answers to be ranked: rows {id, prompt, responses, rank}.

    Raises:
        DataError: a row does not fit, or an id is there twice.
    """
    items: dict[str, ReviewItem] = {}
    for path in inputs:
        for where, record in read_objects(path):
            item = _ranking(record, f"{path} ({where})", where)
            if item.key in items:
                raise DataError("an id is there twice", where=f"{path} ({where})", value=item.key)
            items[item.key] = item
    if not items:
        raise DataError("no answers to rank", where=", ".join(map(str, inputs)))
    return list(items.values())[:limit]


def _ranking(record: Mapping[str, Any], where: str, row: str) -> ReviewItem:
    require_utf8(record, where)
    texts = record.get("responses")
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise DataError("responses is no list of texts", where=where,
                        value=texts if texts is not None else sorted(record),
                        fix="A row is {id, prompt, responses, rank}.")  # fmt: skip
    if not 2 <= len(texts) <= MOST_ANSWERS:
        raise DataError(f"2 to {MOST_ANSWERS} answers can be ranked", where=where,
                        value=len(texts))  # fmt: skip
    key = str(record.get("id", row))
    return ReviewItem(key, _prompt(record.get("prompt"), where), tuple(texts),
                      record=dict(record))  # fmt: skip


def _prompt(value: object, where: str) -> tuple[Message, ...]:
    return (
        (Message("user", value),) if isinstance(value, str) else parse_messages(value, where=where)
    )


def read_checks(path: Path, kind: str) -> list[ReviewItem]:
    """Attention checks: rows {question, good, bad}; for ranking {prompt, responses, rank}.

    Raises:
        DataError: a row does not fit.
    """
    checks: list[ReviewItem] = []
    for where, record in read_objects(path):
        place = f"{path} ({where})"
        name = f"check · {record.get('id', len(checks) + 1)}"
        read = _rank_check if kind == RANK else _pair_check
        checks.append(read(record, name, place))
    if len({c.key for c in checks}) < len(checks):
        raise DataError("two checks have one id", where=path)
    return checks


def _rank_check(record: Mapping[str, Any], name: str, where: str) -> ReviewItem:
    item = _ranking(record, where, where)
    ranks = record.get("rank")
    if not isinstance(ranks, list) or [type(r) for r in ranks] != [int] * len(item.texts):
        raise DataError("a check needs the rank of every response", where=where, value=ranks)
    return ReviewItem(name, item.messages, item.texts, expected=tuple(ranks))


def _pair_check(record: Mapping[str, Any], name: str, where: str) -> ReviewItem:
    require_utf8(record, where)
    good, bad = record.get("good"), record.get("bad")
    if not isinstance(good, str) or not isinstance(bad, str) or good == bad:
        raise DataError("a check is {question, good, bad}, two different texts", where=where,
                        value=sorted(record))  # fmt: skip
    question = record.get("question", record.get("messages"))
    return ReviewItem(name, _prompt(question, where), (good, bad), expected=(1, 2))


_MODELS: Final = (
    r"ChatGPT|GPT-?\d\w*|文心一言|文心|通义千问|千问|Qwen\w*|豆包|Kimi|智谱|ChatGLM\w*|GLM-?\d*|讯飞星火|星火"
    r"|Claude|Gemini|Bard|Llama-?\d*|DeepSeek\w*|百川|Baichuan\w*|MiniMind\w*|书生|InternLM\w*|混元"
)
_MAKERS: Final = (
    r"OpenAI|Anthropic|Google|Meta|DeepSeek"
    r"|百度|阿里巴巴|阿里云|阿里|腾讯|字节跳动|智谱|深度求索|科大讯飞"
)
_IDENTITY: Final = re.compile(
    rf"(?:我是|我叫|本人是)[^。，！？\n]{{0,12}}?(?:{_MODELS})"
    r"|作为(?:一个|一名|一款)?(?:大型|AI|人工智能)?(?:的)?(?:语言模型|AI语言模型|人工智能助手|AI助手|AI模型)"
    rf"|由\s?(?:{_MAKERS})\S{{0,6}}?(?:开发|训练|研发|创造|打造)"
    rf"|\bI(?:'m| am) (?:{_MODELS})\b|\bAs an? (?:AI|artificial intelligence|large language)\b"
    r"(?: language)?(?: model| assistant)?"
    rf"|\b(?:developed|trained|created|made) by (?:{_MAKERS})\b",
    re.IGNORECASE,
)
_SHORTEST_NAME: Final = 4
"""Names of systems below this length occur in texts by chance."""


def identity_pattern(systems: Sequence[str]) -> re.Pattern[str]:
    """What gives a system away: a model that introduces itself, or the name of a system."""
    names = [re.escape(name) for name in systems if len(name) >= _SHORTEST_NAME]
    return re.compile("|".join([_IDENTITY.pattern, *names]), re.IGNORECASE)


def identity_strings(item: ReviewItem) -> list[str]:
    """What in the answers gives their systems away, in order."""
    pattern = identity_pattern(item.systems)
    return [match[0] for text in item.texts for match in pattern.finditer(text)]
