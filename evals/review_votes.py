"""Votes as they come back: votes.json of a page, or the csv that somebody filled in.

Whatever does not fit is an error with file, row, value and fix: a vote that is guessed at is worse
than one that is asked for again.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json

from .review import FORMAT
from .review_items import PAIR

SKIP: Final = "s"
_FULL_WIDTH: Final = str.maketrans("０１２３４５６７８９ｓＳ", "0123456789sS")


@dataclass(frozen=True)
class Cast:
    """One vote, unblinded.

    Attributes:
        reviewer: who.
        item: key of the item.
        role: ``item``, ``repeat`` or ``check``.
        ranks: of each answer in the order of the data, 1 is best; ``None``: skipped.
        left: number of the answer that stood first, in the order of the data.
    """

    reviewer: str
    item: str
    role: str
    ranks: tuple[int, ...] | None
    left: int


def read_key(path: Path) -> dict[str, Any]:
    """The key of a review.

    Raises:
        UsageError: the file is no key.
    """
    path = path / "key.json" if path.is_dir() else path
    if not path.is_file():
        raise UsageError(
            "no such key",
            where=path,
            fix="Give the key.json that `yanmo evals review export` wrote.",
        )
    key = read_json(path)
    if not isinstance(key, dict) or not {"pages", "items", "kind"} <= key.keys():
        raise UsageError("the file is no key of a review", where=path,
                         fix="The key comes first, then the votes.")  # fmt: skip
    if key.get("format") != FORMAT:
        raise DataError("the key has another format", where=path, value=key.get("format"))
    found: dict[str, Any] = key
    return found


def pages_of(key: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pages, reviewer-2 before reviewer-10."""
    return sorted(key["pages"].values(), key=lambda p: (len(p["reviewer"]), p["reviewer"]))


def read_votes(files: Sequence[Path], key: Mapping[str, Any]) -> list[Cast]:
    """All votes of all files, unblinded, in the order of the pages.

    Args:
        files: votes.json or csv; a reviewer's votes may come in several files.
        key: of the review.

    Raises:
        DataError: a vote is for no item of the key, or there twice, or no vote.
    """
    places = {
        opaque: (page["reviewer"], slot)
        for page in pages_of(key)
        for opaque, slot in page["slots"].items()
    }
    kind, cast = key["kind"], dict[str, Cast]()
    seen: dict[str, str] = {}
    for file in files:
        for where, opaque, vote in _rows(file, key):
            if opaque not in places:
                raise DataError(
                    "no such item in the key",
                    where=where,
                    value=opaque,
                    fix="Is this the key of the export that the page came from?",
                )
            if opaque in seen:
                raise DataError("the item is voted on twice", where=where, value=opaque,
                                fix=f"Its other vote: {seen[opaque]}. Remove one.")  # fmt: skip
            seen[opaque] = where
            reviewer, slot = places[opaque]
            ranks = _ranks(vote, kind, len(slot["order"]), where)
            cast[opaque] = Cast(reviewer, slot["item"], slot["role"],
                                _back(ranks, slot["order"]), slot["order"][0])  # fmt: skip
    if not cast:
        raise DataError("the files hold no votes", where=", ".join(map(str, files)))
    return [cast[opaque] for opaque in places if opaque in cast]


def _back(ranks: tuple[int, ...] | None, order: Sequence[int]) -> tuple[int, ...] | None:
    """From the order of the page to that of the data; 1, 2, 3 … without gaps."""
    if ranks is None:
        return None
    dense = {value: place + 1 for place, value in enumerate(sorted(set(ranks)))}
    found = [0] * len(order)
    for shown, number in enumerate(order):
        found[number] = dense[ranks[shown]]
    return tuple(found)


def _ranks(vote: object, kind: str, answers: int, where: str) -> tuple[int, ...] | None:
    """What a vote says, in the order of the page."""
    if vote == SKIP:
        return None
    if kind == PAIR:
        choice = {"1": (1, 2), "2": (2, 1), "0": (1, 1)}.get(vote if isinstance(vote, str) else "")
        if choice is None:
            raise DataError(
                "not a vote",
                where=where,
                value=vote,
                fix="1 or 2: that answer is better; 0: equally good; s: skipped.",
            )
        return choice
    whole = isinstance(vote, list) and all(type(v) is int and 1 <= v <= answers for v in vote)
    if not whole or not isinstance(vote, list) or len(vote) != answers:
        raise DataError(
            "not a ranking",
            where=where,
            value=vote,
            fix=f"{answers} ranks from 1 (best) to {answers}, ties allowed; or s.",
        )
    return tuple(vote)


def _rows(file: Path, key: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    """Where, opaque id and raw vote of every vote of a file."""
    if not file.is_file():
        raise UsageError("no such file of votes", where=file)
    data = file.read_bytes()
    if data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"["):
        yield from _json_rows(file, data, key)
    else:
        yield from _csv_rows(file, data, key["kind"])


def _json_rows(
    file: Path, data: bytes, key: Mapping[str, Any]
) -> Iterator[tuple[str, str, object]]:
    try:
        table = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"no JSON ({error})", where=file) from None
    votes = table.get("votes") if isinstance(table, dict) else None
    if not isinstance(votes, list):
        raise DataError("the file holds no votes of a page", where=file,
                        fix="Give the file that the page's download button made.")  # fmt: skip
    if table.get("kind") != key["kind"]:
        raise DataError(
            "the votes are of another kind than the key",
            where=file,
            value=table.get("kind"),
            fix=f"The key is for '{key['kind']}'.",
        )
    if table.get("page") not in key["pages"]:
        known = ", ".join(f"{name} ({p['reviewer']})" for name, p in key["pages"].items())
        raise DataError("the votes are from a page that the key does not know", where=file,
                        value=table.get("page"), fix=f"It knows: {known}.")  # fmt: skip
    slots = key["pages"][table["page"]]["slots"]
    for number, row in enumerate(votes, 1):
        where = f"{file}, vote {number}"
        if not isinstance(row, dict) or "item" not in row or "vote" not in row:
            raise DataError("a vote is {item, vote}", where=where, value=row)
        if row["item"] not in slots:
            raise DataError("no such item on this reviewer's page", where=where, value=row["item"],
                            fix="Was the file edited?")  # fmt: skip
        yield where, row["item"], row["vote"]


def _csv_rows(file: Path, data: bytes, kind: str) -> Iterator[tuple[str, str, object]]:
    text = _text(file, data)
    head = text.split("\n", 1)[0]
    mark = max((",", ";", "\t"), key=head.count)  # some spreadsheets save with semicolons or tabs
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)
    columns = reader.fieldnames or ()
    wanted = ("item", "vote") if kind == PAIR else ("item", "rank_1", "rank_2")
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise DataError(
            "the table lacks a column",
            where=file,
            value=missing[0],
            fix=f"It needs {', '.join(wanted)}; it has {', '.join(columns)}.",
        )
    ranks = [name for name in columns if name.startswith("rank_")]
    # Counted as a spreadsheet counts them: the header is row 1, whatever breaks cells hold.
    for number, row in enumerate(_checked(reader, file), 2):
        where = f"{file}, row {number}"
        cells = [_cell(row[name]) for name in (("vote",) if kind == PAIR else ranks)]
        if not any(cells):  # not judged yet
            continue
        opaque = (row["item"] or "").strip()
        if kind == PAIR or cells[0] == SKIP:
            yield where, opaque, cells[0]
        else:
            whole = [c for c in cells if c]
            yield where, opaque, [int(c) if c.isascii() and c.isdigit() else c for c in whole]


def _checked(reader: "csv.DictReader[str]", file: Path) -> Iterator[dict[str, str | None]]:
    before = csv.field_size_limit(1 << 30)  # answers may be longer than the module's 128 KiB
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"the table is damaged ({error})",
            where=f"{file}, line {reader.line_num}",
            fix="Save it again from the spreadsheet, or send votes.json.",
        ) from None
    finally:
        csv.field_size_limit(before)


def _text(file: Path, data: bytes) -> str:
    """UTF-8, or what Excel on a Chinese Windows saves when it is not asked for UTF-8."""
    for encoding in (
        "utf-8-sig",
        "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "gb18030",
    ):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError("the table is neither UTF-8 nor GB18030", where=file,
                    fix='Save it as "CSV UTF-8".')  # fmt: skip


def _cell(value: str | None) -> str:
    """A cell as typed: full-width digits and 1.0 for 1 are what spreadsheets make of votes."""
    text = (value or "").strip().translate(_FULL_WIDTH).lower()
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text
