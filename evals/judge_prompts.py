"""How a judge is asked, and how its words are read. The wording lies in ``tasks/judge.toml``."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.messages import read_objects
from yanmo.recipe import did_you_mean, from_table, setting

from .answers import Question

Messages = tuple[dict[str, str], ...]
LETTERS: Final = ("A", "B", "C")
"""The first answer shown is better; the second; neither."""

_SLOT = re.compile(r"\{(\w+)\}")
_FIELDS: Final = {
    "system": {"rule"},
    "body": {"question", "first", "second", "answer", "reference"},
    "reference": {"reference_text"},
}


@dataclass(frozen=True)
class Template:
    """How a judge is asked; the head of ``tasks/judge.toml`` explains the fields."""

    title: str
    source: str
    licence: str
    system: str
    body: str
    reference: str
    words: str
    kind: str = setting("pair", choices=("pair", "single"))
    language: str = setting("zh", choices=("zh", "en"))
    letter: str = ""
    slot: str = ""
    low: int = 1
    high: int = 10
    rule: str = ""

    def __post_init__(self) -> None:
        for name, known in _FIELDS.items():
            for word in _SLOT.findall(getattr(self, name)):
                if word not in known:
                    raise UsageError(f"'{{{word}}}' is no placeholder of '{name}'",
                                     fix=f"Known: {', '.join(sorted(known))}.")  # fmt: skip

    def pair(self, question: Question, first: str, second: str, *, letter: bool) -> Messages:
        """What is asked about two answers.

        Args:
            question: the question; its reference is shown if it has one.
            first, second: the answers in the order shown.
            letter: ask for one letter instead of words.
        """
        body = self._body(question, {"first": first, "second": second})
        return self._messages(body + (self.letter if letter else self.words))

    def single(self, question: Question, answer: str, rule: str | None = None) -> Messages:
        """What is asked about one answer.

        Args:
            question: the question.
            answer: the answer.
            rule: of the question's class, where the template has a place for it.
        """
        return self._messages(self._body(question, {"answer": answer}) + self.words, rule)

    def _body(self, question: Question, values: Mapping[str, str]) -> str:
        reference = ""
        if question.reference:
            reference = _fill(self.reference, {"reference_text": question.reference})
        return _fill(self.body, {"question": question.text(), "reference": reference, **values})

    def _messages(self, content: str, rule: str | None = None) -> Messages:
        system = _fill(self.system, {"rule": rule or self.rule})
        return ({"role": "system", "content": system}, {"role": "user", "content": content})


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda match: values[match[1]], template)


def load_template(name: str, kind: str) -> Template:
    """One template: the name of a bundled one, or ``file.toml:name``.

    Args:
        name: such as ``pair-zh``; ``zh`` and ``en`` are short for the bundled ones of a kind.
        kind: ``pair`` or ``single``.

    Raises:
        UsageError: there is no such template, or it is of the other kind.
    """
    file, _, last = name.rpartition(":")
    if file:
        path = Path(file)
        if not path.is_file():
            raise UsageError("no such file of templates", where=path)
        text = path.read_text(encoding="utf-8")
    else:
        text = (resources.files("yanmo.evals") / "tasks" / "judge.toml").read_text("utf-8")
        last = f"{kind}-{last}" if last in ("zh", "en") else last
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"no TOML ({error})", where=file) from None
    if last not in tables:
        raise UsageError("no such template", value=name, fix=did_you_mean(last, tables))
    template = from_table(Template, tables[last], where=file or "tasks/judge.toml", path=last)
    if template.kind != kind:
        raise UsageError(f"the template is for '{template.kind}', not for '{kind}'", value=name)
    return template


def language_of(questions: list[Question]) -> str:
    """``zh`` if most questions hold hanzi, else ``en``."""
    hanzi = sum(bool(re.search(r"[\u4e00-\u9fff]", q.text())) for q in questions)
    return "zh" if 2 * hanzi > len(questions) else "en"


# Chinese judges write the brackets they have: [[A]], 【【A】】, ［［Ａ］］.
_OPEN, _CLOSE = r"[\[【［]{2}\s*", r"\s*[\]】］]{2}"
_VERDICT = re.compile(_OPEN + r"([ABCＡＢＣ]|tie|平局|平手)" + _CLOSE, re.IGNORECASE)
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_GRADE = re.compile(
    _OPEN + _NUMBER + _CLOSE
    + r"|(?:得分|评分|分数|rating|score)\**\s*(?:(?:是|为|is)\s*[:：]?|[:：])\s*\**\s*" + _NUMBER,
    re.IGNORECASE,
)  # fmt: skip


def read_verdict(text: str) -> str | None:
    """The last verdict in a judge's words: A, B or C; ``None`` if there is none.

    The last, since a judge that repeats its instructions writes [[A]] before it has decided.
    """
    found = _VERDICT.findall(text)
    if not found:
        return None
    letter = str(found[-1]).translate(str.maketrans("ＡＢＣ", "ABC")).upper()
    return letter if letter in LETTERS else "C"


def read_grade(text: str, low: float, high: float) -> float | None:
    """The last grade in a judge's words; ``None`` if there is none or it is off the scale."""
    found = _GRADE.findall(text)
    if not found:
        return None
    value = float(found[-1][0] or found[-1][1])
    return value if low <= value <= high else None


def read_class_prompts(file: Path) -> dict[str, str]:
    """Rules by class of question, as BELLE's ``eval_prompt.json`` holds them.

    Raises:
        DataError: a record has no class or prompt, or two have one class.
    """
    rules: dict[str, str] = {}
    for where, record in read_objects(file):
        name, prompt = record.get("class"), record.get("prompt")
        if not isinstance(name, str) or not isinstance(prompt, str):
            raise DataError("a class prompt is {class, prompt}", where=f"{file} ({where})",
                            value=sorted(record))  # fmt: skip
        if class_key(name) in rules:
            raise DataError("a class has two prompts", where=f"{file} ({where})", value=name)
        rules[class_key(name)] = prompt
    return rules


def class_key(name: str) -> str:
    """A class's name without what its spellings differ in: "closed\\xa0QA" is "closed qa"."""
    return " ".join(name.split()).casefold()
