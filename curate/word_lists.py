"""Lists of words as files: read, checked, and made into one table that tasks take.

    广告.txt            a word a line; the category is the name of the file
    words.tsv           category<TAB>word<TAB>weight, or category<TAB>word, or word<TAB>weight
    folder/             files of both kinds

Lines that begin with ``#`` are comments. Everything that cannot be meant is an error that names the
line: a word that is silently not looked for looks like clean data.
"""

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from yanmo.documents import write_part
from yanmo.errors import DataError, RecipeError
from yanmo.files import open_input, reading
from yanmo.recipe import setting

from .word_trie import BOUNDARIES, fold_table, folded

WORDS_FILE: Final = "words.parquet"
SUFFIXES: Final = (".txt", ".tsv")
PACKED: Final = (".gz", ".zst")
MAX_WORD: Final = 256
MAX_CATEGORIES: Final = 64
_COMMAS: Final = ",，、;；"
_SCHEMA: Final = pa.schema(
    [
        pa.field("folded", pa.string(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)
"""Sorted by ``folded``, then ``category``; allowed words have no category and the weight 0."""


@dataclass(frozen=True)
class WordOptions:
    """The ``[words]`` table of a recipe."""

    lists: tuple[str, ...] = setting(
        (), help="Files or folders of words to count; thresholds stand in [rules]. docs/lists.md"
    )
    allow: tuple[str, ...] = setting(
        (), help="Words within which no match counts: 特色情怀 holds 色情."
    )
    boundaries: str = setting(
        "words", choices=BOUNDARIES,
        help="A listed word touches no letter or digit with a letter or digit of its own (words); "
        "letters may touch digits, as in QQ123 (letters); anything goes (off)",
    )  # fmt: skip
    fold_case: bool = setting(True, help="Small and capital letters are one; widths always are.")
    fold_variants: bool = setting(False, help="Traditional and simplified hanzi are one.")
    max_places: int = setting(
        50, low=0, high=100_000, help="Matches of a document listed in words/, for `why`; all count"
    )

    def __post_init__(self) -> None:
        """Refuse allowed words where no word is counted.

        Raises:
            RecipeError: there are some, and no lists.
        """
        if self.allow and not self.lists:
            raise RecipeError("'words.allow' allows what nothing counts", value=list(self.allow),
                              fix="Set words.lists.")  # fmt: skip

    @property
    def is_on(self) -> bool:
        """Is there anything to count?"""
        return bool(self.lists)


@dataclass(frozen=True)
class Entry:
    """One line of a list."""

    word: str
    category: str
    weight: float
    where: str


def list_files(paths: Sequence[str], *, where: str) -> list[Path]:
    """The files that paths of a recipe stand for, in order.

    Args:
        paths: files and folders.
        where: the key of the recipe, for the error.

    Raises:
        DataError: one is not there, or a folder without lists.
    """
    found: list[Path] = []
    for name in paths:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = [p for p in sorted(path.iterdir()) if is_list(p.name)]
            if not inside:
                raise DataError("the folder holds no list", where=where, value=name,
                                fix=f"Lists end in {', '.join(SUFFIXES)} (.gz, .zst).")  # fmt: skip
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise DataError("no such list", where=where, value=name,
                            fix="Paths are relative to the folder of the command.")  # fmt: skip
    return found


def is_list(name: str) -> bool:
    """Does a file of a folder look like a list?"""
    return not name.startswith(".") and plain_name(name).lower().endswith(SUFFIXES)


def plain_name(name: str) -> str:
    """A file name without the suffix of its compression."""
    return next((name[: -len(end)] for end in PACKED if name.lower().endswith(end)), name)


def read_bytes(path: Path, name: str) -> bytes:
    """All of a list.

    Raises:
        DataError: it cannot be read.
    """
    with reading(name, failed="cannot read the list"), open_input(path) as stream:
        return stream.read()


def read_lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """The lines of a list that say something, stripped of their line end, counted from 1.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    for number, raw in enumerate(
        read_bytes(path, name).removeprefix(b"\xef\xbb\xbf").splitlines(), 1
    ):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise DataError("the list is not UTF-8", where=f"{name}, line {number}",
                            value=raw[:40],
                            fix="For GBK: iconv -f gb18030 -t utf-8.") from None  # fmt: skip
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def read_list(path: Path, name: str) -> list[Entry]:
    """Read one list.

    Args:
        path: where it lies.
        name: its name; without suffixes it is the category of words that have none.

    Raises:
        DataError: it cannot be read, holds no words, or a line is none.
    """
    lines = [(number, [field.strip() for field in line.split("\t")])
             for number, line in read_lines(path, name)]  # fmt: skip
    if not lines:
        raise DataError("the list holds no words", where=name)
    width = len(lines[0][1])
    for number, fields in lines:
        if len(fields) != width or width > 3:
            raise DataError("the lines of a list must have one number of columns, at most 3",
                            where=f"{name}, line {number}", value="\t".join(fields),
                            fix="category<TAB>word<TAB>weight, or fewer.")  # fmt: skip
    weights_second = width == 2 and all(_number(fields[1]) is not None for _, fields in lines)
    stem = unicodedata.normalize("NFC", Path(plain_name(name)).stem)
    _refuse_commas(lines, width, name)
    entries = []
    for number, fields in lines:
        where = f"{name}, line {number}"
        category, word, weight = stem, fields[0], "1"
        if width == 3:
            category, word, weight = fields
        elif weights_second:
            weight = fields[1]
        elif width == 2:
            category, word = fields
        entries.append(_entry(category, word, weight, where))
    return entries


def _refuse_commas(lines: Sequence[tuple[int, list[str]]], width: int, name: str) -> None:
    if width == 1 and all(fields[0][-1:] in _COMMAS for _, fields in lines):
        raise DataError("every word ends in a comma", where=name, value=lines[0][1][0],
                        fix="Take the commas away: no text would hold such words.")  # fmt: skip


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def _entry(category: str, word: str, weight: str, where: str) -> Entry:
    value = _number(weight)
    if value is None or value <= 0:
        raise DataError("a weight must be a number above 0", where=where, value=weight)
    word = unicodedata.normalize("NFC", word)
    if not word or len(word) > MAX_WORD:
        raise DataError(f"a word must have 1 to {MAX_WORD} characters", where=where, value=word)
    if not category:
        raise DataError("the category is empty", where=where, value=word)
    return Entry(word, category, value, where)


def compile_lists(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: all lists as one table.

    Args:
        inputs: the lists, then the allowed words.
        parameters: ``names`` of the lists, ``allow`` (names of the files of allowed words),
            ``fold_case``, ``fold_variants``.
        out: gets ``words.parquet``.

    Returns:
        ``{"words", "allowed", "categories", "repeated", "never": listed words that are allowed}``.

    Raises:
        DataError: a list cannot be read, or says two things of one word.
    """
    fold = fold_table(case=parameters["fold_case"], variants=parameters["fold_variants"])
    names = [*parameters["names"], *parameters["allow"]]
    read = [read_list(path, name) for path, name in zip(inputs, names, strict=True)]
    listed = [e for entries in read[: len(parameters["names"])] for e in entries]
    allowed = [replace(e, category="", weight=0.0)
               for entries in read[len(parameters["names"]) :] for e in entries]  # fmt: skip
    rows: dict[tuple[str, str], Entry] = {}
    for entry in (*listed, *allowed):
        key = folded(entry.word, fold), entry.category
        known = rows.setdefault(key, entry)
        if known.weight != entry.weight:
            raise DataError("a word has two weights in one category",
                            where=f"{known.where}; {entry.where}", value=entry.word,
                            fix="Leave one of them.")  # fmt: skip
    categories = sorted({entry.category for entry in listed})
    if len(categories) > MAX_CATEGORIES:
        raise DataError(f"the lists have more than {MAX_CATEGORIES} categories", where="words",
                        value=len(categories), fix="Each is two columns of signals/.")  # fmt: skip
    shields = {word for word, category in rows if not category}
    never = sorted({e.word for (word, c), e in rows.items() if c and word in shields})
    kept = sorted(key for key in rows if not key[1] or key[0] not in shields)
    columns = [[k[0] for k in kept], [rows[k].word for k in kept], [k[1] for k in kept],
               [rows[k].weight for k in kept]]  # fmt: skip
    write_part(out / WORDS_FILE, pa.table(columns, schema=_SCHEMA))
    return {"words": len({word for word, category in kept if category}), "allowed": len(shields),
            "categories": categories, "repeated": len(listed) + len(allowed) - len(rows),
            "never": never}  # fmt: skip
