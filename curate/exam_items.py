"""Questions of examinations, read to be looked for in a corpus: zip, folder, csv or JSON lines.

Layouts that are known by themselves: C-Eval (``val/accountant_val.csv``), CMMLU
(``test/anatomy.csv``), MMLU (``test/anatomy_test.csv`` without a header), and csv or JSON lines
with a field for the question and fields, or one list, for the options. What a question is called
(split, subject, id) is what ``yanmo evals`` calls it.
"""

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.files import json_records, open_input, reading
from yanmo.recipe import setting

SPLITS: Final = ("dev", "val", "test", "train", "validation")
SUFFIXES: Final = (".csv", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv.gz", ".csv.zst")
KNOWN: Final = {"cmmlu": "cmmlu", "c-eval": "ceval", "ceval": "ceval", "mmlu": "mmlu"}
"""Part of a file name, and the name of the examination."""
LISTS: Final = ("options", "choices")
LETTERS: Final = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Against:
    """One ``[[decontaminate.against]]``: questions to look for."""

    path: str = setting(help="A zip, a folder, a csv or a jsonl file (.gz, .zst).")
    exam: str = setting("", help="Its name in reports; empty: from the path.")
    question: str = setting("question", help="Field or column of the question; case is ignored.")
    options: tuple[str, ...] = setting(
        ("A", "B", "C", "D"),
        help="Fields of the options, or one that holds a list; `options` and `choices` are tried.",
    )
    answer: str = setting(
        "answer", help="Field of the answer; a text takes the place of options where none are."
    )
    id: str = setting("id", help="Field of the number; else rows are counted from 0.")

    @property
    def name(self) -> str:
        """What the examination is called."""
        path = self.path.lower()
        known = (name for part, name in KNOWN.items() if part in path.rstrip("/").split("/")[-1])
        stem = self.path.rstrip("/").split("/")[-1].split(".")[0]
        return self.exam or next(known, stem or "exam")


@dataclass(frozen=True, slots=True)
class ExamItem:
    """One question.

    Attributes:
        exam, split, subject, id: what it is called; the split may be empty.
        question, options: the text, line ends LF.
    """

    exam: str
    split: str
    subject: str
    id: str
    question: str
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """Such as ``ceval/val/accountant/3``."""
        return "/".join(part for part in (self.exam, self.split, self.subject, self.id) if part)

    @property
    def digest(self) -> str:
        """16 hex digits of the text."""
        return text_digest(self.question, self.options)


def text_digest(question: str, options: Sequence[str]) -> str:
    """16 hex digits of SHA-256 over a question and its options, each closed by a NUL."""
    text = "".join(f"{part}\0" for part in (question, *options))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def exam_files(spec: Against) -> list[Path]:
    """The files behind a path: itself, or those of a folder by name.

    Raises:
        UsageError: nothing is there, or no file of a known kind.
    """
    path = Path(spec.path).expanduser()
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if p.is_file() and _is_table(p.as_posix())]
        if not found:
            raise UsageError("no questions in the folder", where=path,
                             fix="It needs .csv or .jsonl files.")  # fmt: skip
        return found
    if not path.is_file():
        raise UsageError("no such file or folder of questions", where=path, fix="Check the path.")
    if path.suffix.lower() != ".zip" and not _is_table(path.as_posix()):
        raise UsageError("questions cannot be read from such a file", where=path,
                         fix="Give a zip, a folder, a .csv or a .jsonl file.")  # fmt: skip
    return [path]


def _is_table(name: str) -> bool:
    hidden = PurePosixPath(name).name.startswith(".") or "__MACOSX" in name
    return name.lower().endswith(SUFFIXES) and not hidden


def read_items(spec: Against, files: Sequence[tuple[str, Path]]) -> Iterator[ExamItem]:
    """The questions of some files, in order.

    Args:
        spec: names of exam and fields.
        files: name (relative to the folder) and path of each.

    Raises:
        DataError: a file cannot be read, or a record has no question.
    """
    for name, path in files:
        for inner, content in _contents(name, path):
            split, subject = place_of(inner)
            where = str(path) if inner == name else f"{path}:{inner}"
            yield from _parse(spec, (split, subject), content, where)


def _contents(name: str, path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix.lower() != ".zip":
        with reading(path, failed="cannot read the questions"), open_input(path) as stream:
            yield name, stream.read()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [entry for entry in sorted(archive.namelist()) if _is_table(entry)]
            if not inner:
                raise DataError("no questions in the zip", where=path,
                                fix="It needs .csv or .jsonl files.")  # fmt: skip
            for entry in inner:
                yield entry, archive.read(entry)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise DataError(f"not a zip that can be read ({error})", where=path) from None


def place_of(name: str) -> tuple[str, str]:
    """Split and subject of a file name.

    >>> place_of("ceval-exam/val/accountant_val.csv")
    ('val', 'accountant')
    >>> place_of("dev/anatomy.csv"), place_of("gsm8k_test.jsonl"), place_of("quiz.jsonl")
    (('dev', 'anatomy'), ('test', 'gsm8k'), ('', 'quiz'))
    """
    path = PurePosixPath(name)
    stem = re.sub(r"\.(csv|jsonl)(\.gz|\.zst)?$", "", path.name, flags=re.IGNORECASE)
    folder = path.parent.name.lower()
    split = folder if folder in SPLITS else ""
    head, _, tail = stem.rpartition("_")
    if head and tail.lower() in SPLITS and split in ("", tail.lower()):
        return tail.lower(), head
    return split, stem


def _parse(spec: Against, place: tuple[str, str], content: bytes, where: str) -> Iterator[ExamItem]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"the questions are not UTF-8: {error}", where=where) from None
    lower = where.lower()
    lines = ".jsonl" in lower[-10:]
    records = json_records(text, where) if lines else _csv_records(spec, text, where)
    found = False
    for number, record in records:
        found = True
        yield _item(spec, place, record, (number, f"{where} record {number}"))
    if not found:
        raise DataError("no questions in the file", where=where)


def _csv_records(spec: Against, text: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"not csv: {error}", where=f"{where} line {reader.line_num}") from None
    if not rows:
        return
    header = rows[0]
    bare = _is_bare(spec, rows)
    if bare:  # MMLU: question, four options, answer
        header = [spec.question, *spec.options, spec.answer]
    for number, row in enumerate(rows if bare else rows[1:]):
        if row and len(row) != len(header):
            raise DataError(f"{len(row)} cells under {len(header)} columns",
                            where=f"{where} record {number}")  # fmt: skip
        if row:
            yield number, dict(zip(header, row, strict=True))


def _is_bare(spec: Against, rows: list[list[str]]) -> bool:
    first = [cell.strip().lower() for cell in rows[0]]
    width = len(spec.options) + 2
    letters = LETTERS[: len(spec.options)]
    return spec.question.lower() not in first and all(
        len(row) == width and row[-1].strip() in letters for row in rows if row
    )


def _item(
    spec: Against, place: tuple[str, str], record: Mapping[str, Any], row: tuple[int, str]
) -> ExamItem:
    number, where = row
    fields = {str(key).strip().lower(): value for key, value in record.items()}
    question = fields.get(spec.question.lower())
    if not isinstance(question, str):
        raise DataError(f"no question in a field '{spec.question}'", where=where,
                        value=list(record)[:10],
                        fix="Name it: --question FIELD, or question = … in "
                        "[[decontaminate.against]].")  # fmt: skip
    identity = fields.get(spec.id.lower(), fields.get(""))
    subject = place[1]
    return ExamItem(spec.name, place[0], subject, str(number if identity is None else identity),
                    _text(question), _options(spec, fields))  # fmt: skip


def _options(spec: Against, fields: Mapping[str, Any]) -> tuple[str, ...]:
    cells = [fields[name.lower()] for name in spec.options if name.lower() in fields]
    for name in LISTS:
        if not cells and isinstance(fields.get(name), list):
            cells = [fields[name]]
    if len(cells) == 1 and isinstance(cells[0], list):
        cells = cells[0]
    answer = fields.get(spec.answer.lower())
    if not cells and isinstance(answer, str):  # an open question: its answer stands beside it
        cells = [answer]
    return tuple(_text(cell) for cell in cells if isinstance(cell, str | int | float))


def _text(cell: Any) -> str:
    return str(cell).replace("\r\n", "\n").replace("\r", "\n")
