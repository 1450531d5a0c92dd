"""Which generated tasks are kept: reasons with codes, in the order in which they are asked."""

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from yanmo.recipe import setting

from .instruct_prompt import Task
from .instruct_words import CODE, LANGUAGES, NOTHING, PROSE

_HAN: Final = re.compile(r"[\u3400-\u9fff]")
_WORD: Final = re.compile(r"[A-Za-z]+")
_PROSE: Final = 3  # small words of English, which no move of chess and no formula has
_QUOTES: Final = "\"'“‘《「『【（("

BLACK_ZH: Final = (
    "图像", "图片", "照片", "截图", "文件", "附件", "图表", "图层", "曲线图", "折线图", "柱状图",
    "柱形图", "饼状图", "链接", "网址", "视频", "音频", "录音",
)  # fmt: skip
BLACK_EN: Final = (
    "image", "images", "picture", "pictures", "photo", "photos", "graph", "graphs", "file", "files",
    "map", "maps", "draw", "plot", "go to", "video", "audio", "music", "flowchart", "diagram",
)  # fmt: skip
BLACK_BOTH: Final = ("http", "openai", "chatgpt", "gpt-3", "gpt-4", "gpt模型")
ALLOWED: Final = ("文件柜", "证明文件", "法律文件", "链接词", "mind map", "plot of", "plot twist")


@dataclass(frozen=True)
class Filters:
    """The ``[filters]`` table: which tasks are let through."""

    min_chars: int = setting(
        4, low=1, source="BELLE: more than 3", help="Of a Chinese instruction."
    )
    max_chars: int = setting(150, low=1, source="BELLE: 100 to 150", help="Likewise.")
    min_words: int = setting(3, low=1, source="Alpaca", help="Of another instruction.")
    max_words: int = setting(150, low=1, source="Alpaca", help="Likewise.")
    max_input_chars: int = setting(2000, low=1, help="Longer inputs are refused.")
    max_output_chars: int = setting(8000, low=1, help="Longer outputs are refused.")
    blacklist: tuple[str, ...] = setting(
        (*BLACK_ZH, *BLACK_EN, *BLACK_BOTH), source="the kinds of Alpaca and BELLE",
        help="Words that instruction and input must not hold; Latin ones whole, any case.",
    )  # fmt: skip
    allow: tuple[str, ...] = setting(
        ALLOWED, help="Phrases that a word of the blacklist may stand in."
    )
    starts: tuple[str, ...] = setting(
        ("Write a program", "写一个程序", "编写一个程序"), source="Self-Instruct",
        help="Beginnings of instructions that models write too often.",
    )  # fmt: skip
    max_similarity: float | None = setting(
        0.7, low=0.0, high=1.0, source="Self-Instruct",
        help="ROUGE-L F to a seed or an accepted task, above which a task is dropped.",
    )  # fmt: skip


@dataclass(frozen=True)
class GenerateRecipe:
    """How tasks are asked for, which are kept, and when it is enough."""

    language: str = setting("zh", choices=("zh", "en"), help="Of the request and the tasks.")
    human_examples: int = setting(
        2, low=1, source="Self-Instruct: 6 and 2", help="Seeds shown in a request."
    )
    machine_examples: int = setting(
        1, low=0, help="Accepted tasks shown in a request, against collapse onto the seeds."
    )
    tasks_a_request: int = setting(
        10, low=2, source="BELLE", help="Length of the list that is asked for, examples included."
    )
    temperature: float = setting(1.0, low=0.0, high=2.0, source="Alpaca", help="Of the model.")
    top_p: float = setting(1.0, low=0.01, high=1.0, source="Alpaca", help="Of the model.")
    max_tokens: int = setting(3072, low=16, source="Alpaca", help="Of an answer.")
    round_requests: int = setting(
        8, low=1,
        help="Requests made from one state of the pool, so that results do not depend on speed.",
    )  # fmt: skip
    seed: int = setting(0, low=0, help="Of the choice of examples.")
    max_tasks: int = setting(100, low=1, help="Stop with so many accepted tasks.")
    max_requests: int | None = setting(None, low=1, help="Stop after so many requests.")
    max_total_tokens: int | None = setting(
        None, low=1, help="Stop when requests and answers have used so many tokens."
    )
    min_acceptance: float = setting(
        0.05, low=0.0, high=1.0, help="Stop when fewer of the last tasks are accepted."
    )
    acceptance_window: int = setting(200, low=10, help="How many those are.")
    filters: Filters = field(default_factory=Filters)


@cache
def _words(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = [rf"(?<![a-z]){re.escape(w)}(?![a-z])" if w[:1].isascii() and w != "http" else
             re.escape(w) for w in sorted(words, key=lambda w: (-len(w), w))]  # fmt: skip
    return re.compile("|".join(parts) or r"(?!)", re.IGNORECASE)


def refused(task: Task, language: str, filters: Filters) -> str | None:
    """The code of the first reason against a task, similarity aside; None if there is none."""
    instruction = task.instruction
    if NOTHING.fullmatch(instruction):
        return "empty_instruction"
    if NOTHING.fullmatch(task.output):
        return "empty_output"
    for check in (_length, _start, _blacklist, _language):
        if reason := check(task, language, filters):
            return reason
    if task.input and task.input == task.output:
        return "output_is_input"
    return None


def _length(task: Task, language: str, filters: Filters) -> str | None:
    if language == "zh":
        size, low, high = len(task.instruction), filters.min_chars, filters.max_chars
    else:
        size, low, high = len(task.instruction.split()), filters.min_words, filters.max_words
    if size < low:
        return "too_short"
    if size > high:
        return "too_long"
    if len(task.input) > filters.max_input_chars:
        return "input_too_long"
    return "output_too_long" if len(task.output) > filters.max_output_chars else None


def _start(task: Task, language: str, filters: Filters) -> str | None:
    first = task.instruction[0]
    odd = unicodedata.category(first)[0] not in "LN" and first not in _QUOTES
    if odd or (language == "en" and not first.isascii()):
        return "starts_with_punctuation" if odd else "language"
    lower = task.instruction.lower()
    return "keyword" if any(lower.startswith(s.lower()) for s in filters.starts) else None


def _blacklist(task: Task, language: str, filters: Filters) -> str | None:
    text = _words(filters.allow).sub(" ", f"{task.instruction}\n{task.input}")
    found = _words(filters.blacklist).search(text)
    return f"blacklist:{found[0].lower()}" if found else None


def _language(task: Task, language: str, filters: Filters) -> str | None:
    asked, answered = _share(task.instruction), _share(task.output)
    if language == "en":
        return "language" if asked > 0 and not LANGUAGES.search(task.instruction) else None
    free = LANGUAGES.search(task.instruction) or CODE.search(task.instruction)
    if asked < (0.2 if free else 0.5):
        return "language"
    prose = len(PROSE.findall(task.output))
    return "language" if not free and answered == 0 and prose >= _PROSE else None


def _share(text: str) -> float:
    han, words = len(_HAN.findall(text)), len(_WORD.findall(text))
    return han / max(han + words, 1)
