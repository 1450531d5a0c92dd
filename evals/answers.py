"""Answers of several systems to the same questions, lined up by question.

One JSON object an answer: ``id``; ``question`` (text) or ``messages`` (a dialogue that ends with
the user); ``answer`` or ``response``; optional ``reference`` (a good answer), ``class`` (kind of
question) and ``score`` (known quality, for calibration).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import atomic_write, sha256_json
from yanmo.messages import Message, parse_messages, read_objects

ITEMS = "items.jsonl"
_SHOWN = 5


@dataclass(frozen=True)
class Question:
    """What was asked.

    Attributes:
        id: the same in all files.
        messages: the dialogue up to the answer; a lone question is one message of the user.
        reference: a good answer; empty if there is none.
        category: kind of question; empty if not said.
    """

    id: str
    messages: tuple[Message, ...]
    reference: str = ""
    category: str = ""

    def text(self) -> str:
        """The question as one text; the turns of a dialogue are named."""
        turns = [m for m in self.messages if m.role != "system"]
        if len(turns) == 1:
            return turns[0].content
        return "\n\n".join(f"[{m.role}]\n{m.content}" for m in turns)


@dataclass(frozen=True)
class Answer:
    """What a system answered, and how good that is known to be (for calibration)."""

    text: str
    score: float | None = None


@dataclass(frozen=True)
class Item:
    """A question with the answers of all systems, by name."""

    question: Question
    answers: Mapping[str, Answer]

    def table(self) -> dict[str, Any]:
        """The JSON object of this item."""
        question = self.question
        return {
            "id": question.id, "messages": [m.table() for m in question.messages],
            "reference": question.reference, "class": question.category,
            "answers": {
                name: {"text": answer.text, "score": answer.score}
                for name, answer in self.answers.items()
            },
        }  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """All systems over their common questions.

    Attributes:
        systems: their names, in the order given.
        items: questions in the order of the first file.
        left_out: for each system, how many of its questions another lacks.
    """

    systems: tuple[str, ...]
    items: tuple[Item, ...]
    left_out: Mapping[str, int]

    def sha256(self) -> str:
        """Identity of questions, answers and names."""
        return sha256_json([list(self.systems), [item.table() for item in self.items]])

    def questions_sha256(self) -> str:
        """Identity of the questions and of what was answered, whatever the systems are called."""
        return sha256_json([
            [i.question.id, [m.table() for m in i.question.messages],
             [answer.text for answer in i.answers.values()]]
            for i in self.items
        ])  # fmt: skip


def read_answers(
    files: Sequence[Path],
    *,
    names: Sequence[str] = (),
    intersect: bool = False,
    limit: int | None = None,
) -> Answers:
    """Read one file a system and line them up.

    Args:
        files: JSON or JSON lines.
        names: what the systems are called; by default after their files.
        intersect: take the questions that all have; without it every file must have the same.
        limit: this many questions at most, from the front.

    Raises:
        UsageError: names do not fit the files.
        DataError: a record is no answer, an id is there twice, or the files differ in their
            questions.
    """
    systems = _names(files, names)
    tables = {s: _read(file) for s, file in zip(systems, files, strict=True)}
    common = [i for i in tables[systems[0]] if all(i in table for table in tables.values())]
    left_out = {s: len(table) - len(common) for s, table in tables.items()}
    if any(left_out.values()) and not intersect:
        _complain(tables, set(common), dict(zip(systems, files, strict=True)))
    if not common:
        raise DataError("the files have no question in common", where=", ".join(map(str, files)),
                        fix="Questions are matched by their id.")  # fmt: skip
    items = tuple(_line_up(tables, i) for i in common[:limit])
    return Answers(systems, items, left_out)


def _names(files: Sequence[Path], names: Sequence[str]) -> tuple[str, ...]:
    if names and len(names) != len(files):
        raise UsageError(f"{len(files)} files, {len(names)} names", value=list(names),
                         fix="Give --name once a file, in their order.")  # fmt: skip
    found = [name.strip() for name in names] or [file.name.split(".")[0] for file in files]
    if not names and len(set(found)) < len(found):
        found = [f"{file.resolve().parent.name}/{file.name.split('.')[0]}" for file in files]
    if len(set(found)) < len(found) or not all(found):
        raise UsageError("two systems have one name", value=found, fix="Give --name for each.")
    return tuple(found)


def _read(file: Path) -> dict[str, tuple[Question, Answer]]:
    table: dict[str, tuple[Question, Answer]] = {}
    for where, record in read_objects(file):
        question, answer = _parse(record, f"{file} ({where})")
        if question.id in table:
            raise DataError("an id is there twice", where=f"{file} ({where})", value=question.id,
                            fix="One answer to a question and file.")  # fmt: skip
        table[question.id] = question, answer
    if not table:
        raise DataError("the file holds no answers", where=file)
    return table


def require_utf8(record: Mapping[str, Any], where: str) -> None:
    """Refuse halves of characters, which JSON can hold and no file or page can.

    Raises:
        DataError: a text holds a lone surrogate.
    """
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError("a text holds half a character (a lone surrogate)", where=where,
                        value=text[max(error.start - 20, 0) : error.end],
                        fix="Replace it with U+FFFD.") from None  # fmt: skip


def _parse(record: Mapping[str, Any], where: str) -> tuple[Question, Answer]:
    require_utf8(record, where)
    name = record.get("id")
    if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
        raise DataError("an answer has no id", where=where, value=name,
                        fix='Systems are matched by the field "id".')  # fmt: skip
    if "messages" in record:
        messages = parse_messages(record["messages"], where=where)
        if messages[-1].role != "user":
            raise DataError("messages do not end with the user", where=where,
                            value=messages[-1].role,
                            fix='The answer goes into "answer".')  # fmt: skip
    else:
        messages = (Message("user", _text(record, ("question",), where)),)
    reference = record.get("reference", record.get("std_answer")) or ""
    score = record.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise DataError("a score is no number", where=where, value=score)
    question = Question(str(name), messages, str(reference), str(record.get("class") or ""))
    return question, Answer(_text(record, ("answer", "response"), where), score)


def _text(record: Mapping[str, Any], fields: Sequence[str], where: str) -> str:
    value = next((record[field] for field in fields if field in record), None)
    if not isinstance(value, str):
        raise DataError(f"no text in {' or '.join(fields)}", where=where,
                        value=value if value is not None else sorted(record),
                        fix="A record is {id, question, answer}.")  # fmt: skip
    return value


def _complain(
    tables: Mapping[str, Mapping[str, object]], common: set[str], files: Mapping[str, Path]
) -> None:
    system = max(tables, key=lambda s: len(tables[s]))
    lone = [i for i in tables[system] if i not in common]
    lacking = [str(files[s]) for s in tables if lone[0] not in tables[s]]
    more = f" and {len(lone) - _SHOWN} more" if len(lone) > _SHOWN else ""
    raise DataError(
        f"{len(lone)} questions of {files[system]} are not in every file",
        where=", ".join(lacking),
        value=f"missing: {', '.join(lone[:_SHOWN])}{more}",
        fix="Answer them too, or give --intersect to leave them out.",
    )


def _line_up(tables: Mapping[str, Mapping[str, tuple[Question, Answer]]], name: str) -> Item:
    question: Question | None = None
    answers: dict[str, Answer] = {}
    for system, table in tables.items():
        asked, answers[system] = table[name]
        if question is not None and asked.messages != question.messages:
            raise DataError("the systems were asked different questions under one id",
                            where=f"{system}, id {name}", value=asked.text()[:80])  # fmt: skip
        # A reference that only one of the files carries holds for all.
        question = asked if question is None else Question(
            name, asked.messages, question.reference or asked.reference,
            question.category or asked.category,
        )  # fmt: skip
    assert question is not None
    return Item(question, answers)


def write_items(folder: Path, answers: Answers) -> None:
    """Keep what is judged in the run, so that the run can be read without the files."""
    with atomic_write(folder / ITEMS, text=True) as stream:
        for item in answers.items:
            stream.write(json.dumps(item.table(), ensure_ascii=False) + "\n")


def read_items(folder: Path) -> Answers:
    """What a run judged.

    Raises:
        DataError: the folder holds no items.
    """
    path = folder / ITEMS
    if not path.is_file():
        raise DataError("no items.jsonl here", where=folder, fix="Give the folder of a judge run.")
    items = tuple(_items(path))
    return Answers(tuple(items[0].answers), items, {})


def _items(path: Path) -> Iterator[Item]:
    for where, row in read_objects(path):
        messages = parse_messages(row["messages"], where=where)
        answers = {n: Answer(a["text"], a["score"]) for n, a in row["answers"].items()}
        yield Item(Question(row["id"], messages, row["reference"], row["class"]), answers)
