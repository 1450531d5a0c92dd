"""Examinations: multiple-choice questions in csv or jsonl files, inside a zip or a folder.

A task file (TOML, in ``tasks/`` or the user's own) says where the files of a split lie, which
columns they have and which subjects there are. Cells stay strings as they are written (a column of
numbers is still text), line ends become LF, and a file that does not fit is an error that names
the file and the record.
"""

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from yanmo import recipe
from yanmo.errors import DataError, RecipeError, UsageError
from yanmo.files import json_records, sha256_json
from yanmo.recipe import did_you_mean, setting


@dataclass(frozen=True)
class Columns:
    """Names of the columns (of the fields, for jsonl); without a header "0", "1", … count them.

    One name in ``options`` stands for a field that holds a list.
    """

    question: str = "question"
    options: tuple[str, ...] = ("A", "B", "C", "D")
    answer: str = "answer"
    id: str | None = setting(None, help="Without one the row number, from 0, is the id.")
    explanation: str | None = None


@dataclass(frozen=True)
class Subject:
    """What a subject is called."""

    english: str
    chinese: str = ""
    category: str = "all"


@dataclass(frozen=True)
class Task:
    """An examination: layout of its files, subjects, and how it is scored by default."""

    name: str
    title: str
    path: str = setting(help='Such as "{split}/{subject}_{split}.csv".')
    language: str = setting("zh", choices=("zh", "en"))
    source: str = ""
    licence: str = ""
    notice: str = ""
    splits: tuple[str, ...] = ("dev", "val", "test")
    split: str = "val"
    shot_split: str = "dev"
    shots: int = setting(5, low=0, high=20)
    dialect: str = "official"
    average: str = setting("macro", choices=("macro", "micro"))
    editions: str | None = None
    header: bool = True
    columns: Columns = field(default_factory=Columns)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "{split}" not in self.path or "{subject}" not in self.path:
            raise RecipeError("'path' needs {split} and {subject}", value=self.path)

    def subject(self, key: str) -> Subject:
        """The subject of that key; its key is its name where the task has no table."""
        spaced = key.replace("_", " ")
        return self.subjects.get(key) or Subject(spaced)


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        subject: key of the subject.
        id: as in the file, unique in its subject and split.
        question, options: the text, line ends LF.
        answer: a letter, or ``None`` where the file holds none.
        explanation: worked solution, if any.
    """

    subject: str
    id: str
    question: str
    options: tuple[str, ...]
    answer: str | None
    explanation: str | None = None


LETTERS = tuple("ABCDEFGHIJ")
Rows = dict[str, list[Question]]


@dataclass(frozen=True)
class Exam:
    """The questions of some splits, and where they are from.

    Attributes:
        task: the description.
        path: zip or folder.
        splits: split -> subject -> questions, subjects in the task's order.
        files: relative name -> sha256 of the bytes, of all files read.
    """

    task: Task
    path: Path
    splits: dict[str, Rows]
    files: dict[str, str]

    def questions(self, split: str) -> Rows:
        """The questions of a split.

        Raises:
            DataError: the split is not there.
        """
        if not self.splits.get(split):
            have = ", ".join(sorted(name for name, rows in self.splits.items() if rows))
            raise DataError(f"no files of the split '{split}'", where=self.path,
                            fix=f"It has: {have or 'none'}.")  # fmt: skip
        return self.splits[split]

    def digest(self, *splits: str) -> str:
        """Hash of the text and labels of some splits (of all): equal questions, equal digest."""
        return sha256_json(
            {split: {key: _rows_plain(rows[key]) for key in sorted(rows)}
             for split, rows in self.splits.items() if not splits or split in splits}
        )  # fmt: skip


def _rows_plain(rows: list[Question]) -> list[list[Any]]:
    return [[q.id, q.question, *q.options, q.answer] for q in rows]


def load_task(name_or_path: str) -> Task:
    """A bundled task by its name, or a TOML file.

    Raises:
        UsageError: neither exists.
        RecipeError: the file has an unknown key or a wrong type.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return recipe.load(Task, path)
    folder = resources.files("yanmo.evals") / "tasks"
    found = folder / f"{name_or_path}.toml"
    if not found.is_file():
        known = [p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml")]
        known.remove("dialects")
        fix = f"{did_you_mean(name_or_path, known)} Or give a .toml file."
        raise UsageError("no such task", value=name_or_path, fix=fix)
    with resources.as_file(found) as file:
        return recipe.load(Task, file)


def load_exam(
    task: Task, path: str | Path, *, splits: tuple[str, ...], subjects: tuple[str, ...] = ()
) -> Exam:
    """Read the files of some splits.

    Args:
        task: the description of the data.
        path: zip or folder; the files may lie below any one parent folder.
        splits: splits to read.
        subjects: keys; all that are there when empty.

    Raises:
        UsageError: nothing at the path, or an unknown subject or split.
        DataError: a subject asked for is missing, two copies lie side by side, or a file is wrong.
    """
    path = Path(path)
    for split in splits:
        if split not in task.splits:
            raise UsageError("no such split", value=split, fix=did_you_mean(split, task.splits))
    for key in subjects:
        if task.subjects and key not in task.subjects:
            raise UsageError("no such subject", value=key, fix=did_you_mean(key, task.subjects))
    found: dict[str, Rows] = {split: {} for split in splits}
    digests: dict[str, str] = {}
    names: dict[tuple[str, str], str] = {}
    for name, content in _files(path, PurePosixPath(task.path).suffix):
        split, key = _place(task, name)
        if split not in found or (subjects and key not in subjects):
            continue
        where = f"{path}:{name}"
        if task.subjects and key not in task.subjects:
            raise DataError(f"'{key}' is no subject of {task.title}", where=where,
                            fix=did_you_mean(key, task.subjects))  # fmt: skip
        if (split, key) in names:
            raise DataError(f"two files for {split}/{key}: editions are mixed", where=where,
                            value=names[split, key], fix="Give one edition only.")  # fmt: skip
        names[split, key] = name
        digests[name] = hashlib.sha256(content).hexdigest()
        found[split][key] = _parse(task, key, content, where=where)
    for key in subjects:
        for split in splits:
            if key not in found[split]:
                raise DataError(f"no file of '{key}' in the split '{split}'", where=path,
                                fix=f"Expected {_file_name(task, split, key)}.")  # fmt: skip
    order = list(subjects or task.subjects)
    ordered = {split: _ordered(rows, order) for split, rows in found.items()}
    return Exam(task, path, ordered, dict(sorted(digests.items())))


def _ordered(rows: Rows, order: list[str]) -> Rows:
    rank = {key: index for index, key in enumerate(order)}
    return {key: rows[key] for key in sorted(rows, key=lambda k: (rank.get(k, len(rank)), k))}


def _file_name(task: Task, split: str, subject: str) -> str:
    return task.path.replace("{split}", split).replace("{subject}", subject)


def _files(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file with the suffix, in the order of the names."""
    if path.is_dir():
        for file in sorted(path.rglob(f"*{suffix}")):
            if file.is_file() and not file.name.startswith("."):
                yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    if not path.is_file():
        raise UsageError("no such file or folder", where=path, fix="Give the data's zip or folder.")
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                hidden = PurePosixPath(name).name.startswith(".") or "__MACOSX" in name
                if name.endswith(suffix) and not hidden:
                    yield name, archive.read(name)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DataError(f"not a zip that can be read ({error})", where=path) from None


def _place(task: Task, name: str) -> tuple[str, str]:
    """Split and subject of a file name; empty strings where it is none of the task's."""
    for split in task.splits:
        pattern = re.escape(_file_name(task, split, "\0")).replace("\0", "(?P<subject>[^/]+)", 1)
        pattern = pattern.replace("\0", "(?P=subject)")
        found = re.fullmatch(rf"(?:.*/)?{pattern}", name)
        if found:
            return split, found["subject"]
    return "", ""


def _parse(task: Task, subject: str, content: bytes, *, where: str) -> list[Question]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}", where=where) from None
    lines = task.path.endswith(".jsonl")
    records = json_records(text, where) if lines else _csv_records(task, text, where)
    rows: list[Question] = []
    seen: set[str] = set()
    for number, record in records:
        question = _question(task, subject, record, number, where=f"{where} record {number}")
        if question.id in seen:
            raise DataError("two records have one id", where=where, value=question.id)
        seen.add(question.id)
        rows.append(question)
    if not rows:
        raise DataError("no questions in the file", where=where)
    return rows


def _csv_records(task: Task, text: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # newline="" leaves line ends inside quotes to the csv module: cells span lines.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, []) if task.header else []
        for number, row in enumerate(reader):
            if not row:
                continue
            names = header if task.header else [str(i) for i in range(len(row))]
            if len(row) != len(names):
                raise DataError(f"{len(row)} cells under {len(names)} columns",
                                where=f"{where} record {number}")  # fmt: skip
            yield number, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise DataError(f"not csv: {error}", where=f"{where} line {reader.line_num}") from None


def _question(
    task: Task, subject: str, record: Mapping[str, Any], number: int, *, where: str
) -> Question:
    columns = task.columns
    wanted = [columns.question, *columns.options, *([columns.id] if columns.id is not None else [])]
    for name in wanted:
        if name not in record:
            raise DataError(f"no column '{name}'", where=where, value=list(record))
    options = _options(columns, record, where)
    explanation = record.get(columns.explanation) if columns.explanation else None
    return Question(
        subject=subject,
        id=str(record[columns.id]) if columns.id is not None else str(number),
        question=_text(record[columns.question], where),
        options=options,
        answer=_answer(record.get(columns.answer), len(options), where),
        explanation=_text(explanation, where) if explanation else None,
    )


def _options(columns: Columns, record: Mapping[str, Any], where: str) -> tuple[str, ...]:
    cells = [record[name] for name in columns.options]
    if len(cells) == 1 and isinstance(cells[0], list):
        cells = cells[0]
    if not 2 <= len(cells) <= len(LETTERS):
        raise DataError(f"a question needs 2 to {len(LETTERS)} options", where=where, value=cells)
    return tuple(_text(cell, where) for cell in cells)


def _text(cell: Any, where: str) -> str:
    if not isinstance(cell, str | int | float):
        raise DataError("a cell is no text", where=where, value=cell)
    return str(cell).replace("\r\n", "\n").replace("\r", "\n")


def _answer(cell: Any, options: int, where: str) -> str | None:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, int) and 0 <= cell < options:
        return LETTERS[cell]
    letter = str(cell).strip().upper()
    if letter not in LETTERS[:options]:
        raise DataError("the answer is none of the letters", where=where, value=cell,
                        fix=f"Letters: {', '.join(LETTERS[:options])}.")  # fmt: skip
    return letter
