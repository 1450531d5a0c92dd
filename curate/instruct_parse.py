"""Tasks out of a model's answer, however it numbered and punctuated them."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .instruct_prompt import LABELS
from .instruct_words import NOTHING

_NAMES: Final = {"指令": 0, "instruction": 0, "输入": 1, "input": 1, "输出": 2, "output": 2}
"""What the request calls the parts. Not 问题 or 答案: these stand inside tasks, numbered too."""
_NUMBER: Final = r"(?:(?:任务|Task)?[ \t]*(\d{1,3})[ \t]*[.、．。)）:：]?[ \t]*)?"
_LABEL: Final = re.compile(
    rf"^[ \t]*(?:#{{1,6}}[ \t]*)?[*_]{{0,2}}{_NUMBER}[*_]{{0,2}}({'|'.join(_NAMES)})"
    r"[*_]{0,2}[ \t]*[:：][*_]{0,2}", re.IGNORECASE | re.MULTILINE)  # fmt: skip
NONE: Final = ("无", "没有", "（无）", "(无)", "<无>", "无。")
_EDGES: Final = re.compile(r"(?:^|\n)[ \t]*(?:#{2,}|-{3,}|={3,}|\*{3,})[ \t]*(?=\n|\Z)")


@dataclass(frozen=True)
class Parsed:
    """What one task of an answer came to.

    Attributes:
        parts: instruction, input, output; empty where there was none.
        fault: why it is no task: ``truncated``, ``malformed``; empty if it is one.
        raw: the text it was read from.
    """

    parts: tuple[str, str, str]
    fault: str
    raw: str


def parse_tasks(answer: str, *, language: str, first: int, cut: bool) -> list[Parsed]:
    """Read the tasks of an answer.

    Args:
        answer: what the model wrote; it may or may not repeat the label that the request ended on.
        language: ``zh`` or ``en``: the label that is taken to be missing.
        first: number of the task that the request ended on.
        cut: whether the answer was cut off at its length; its last task is not to be had then.

    Returns:
        In order. A label counts without a number only where most labels have none, so that
        ``输出：`` may stand inside an output.
    """
    head = _LABEL.match(answer.lstrip())
    if head is None or _NAMES[head[2].lower()] != 0:
        answer = f"{first}. {LABELS[language][0]}：{answer.lstrip()}"
    labels = list(_LABEL.finditer(answer))
    numbered = [label for label in labels if label[1]]
    if 2 * len(numbered) >= len(labels):
        labels = numbered
    starts = [n for n, label in enumerate(labels) if _NAMES[label[2].lower()] == 0]
    found = []
    for here, following in pairwise([*starts, len(labels)]):
        group = labels[here:following]
        end = labels[following].start() if following < len(labels) else len(answer)
        last = following == len(labels)
        found.append(_task(answer, group, end, cut=cut and last))
    return found


def _task(answer: str, labels: list[re.Match[str]], end: int, *, cut: bool) -> Parsed:
    raw = answer[labels[0].start() : end]
    bounds = [*(label.start() for label in labels[1:]), end]
    parts = ["", "", ""]
    order = [_NAMES[label[2].lower()] for label in labels]
    for kind, label, stop in zip(order, labels, bounds, strict=True):
        parts[kind] = _bare(answer[label.end() : stop])
    fault = "truncated" if cut else "" if order in ([0, 1, 2], [0, 2]) else "malformed"
    if NOTHING.fullmatch(parts[1]) or parts[1] in NONE:
        parts[1] = ""
    return Parsed((parts[0], parts[1], parts[2]), fault, raw)


def _bare(text: str) -> str:
    found = _EDGES.search(text)
    return (text[: found.start()] if found else text).strip()
