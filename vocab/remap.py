"""Tables of ids that moved: what pruning writes beside a tokenizer, and embedding reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json

from .base import Base
from .tsv import tsv


def remap_table(pieces: Sequence[str], kept: Sequence[int], counts: Sequence[int]) -> bytes:
    """Old id, new id (empty: taken out), the entry and its count, as TSV in order of old ids.

    Args:
        pieces: entries by old id.
        kept: old id of every new one.
        counts: occurrences by old id.
    """
    new = {old: number for number, old in enumerate(kept)}
    rows = ((old, new.get(old, ""), piece, counts[old]) for old, piece in enumerate(pieces))
    return tsv(("old_id", "new_id", "token", "count"), rows)


def rows_table(kept: Sequence[int]) -> bytes:
    """For every row of the pruned checkpoint the row of the old one that it takes, as TSV."""
    return tsv(("row", "from_row"), enumerate(kept))


def read_remap(path: Path, base: Base, grown: Base) -> dict[int, int]:
    """Old id to new id, from JSON (``{"old": new}``, or such an object under ``remap``) or TSV.

    In a TSV the first two columns count; a first line that holds no numbers is a heading, and a
    negative or empty new id means that the entry is gone.

    Raises:
        DataError: not such a table, an id beyond its vocabulary, or two old ids for one new.
    """
    table: dict[int, int] = {}
    for place, (left, right) in _remap_rows(path):
        try:
            old, new = int(left), -1 if right in ("", None) else int(right)
        except (TypeError, ValueError):
            raise DataError("not a pair of ids", where=f"{path}:{place}",
                            value=[left, right]) from None  # fmt: skip
        if new < 0:
            continue
        if not 0 <= old < base.size or new >= grown.size:
            raise DataError(f"ids must lie below {base.size} (old) and {grown.size} (new)",
                            where=f"{path}:{place}", value=[old, new])  # fmt: skip
        if table.setdefault(old, new) != new:
            raise DataError("one old id goes to two new ids", where=f"{path}:{place}",
                            value=[old, table[old], new])  # fmt: skip
    if len(set(table.values())) != len(table):
        raise DataError("two old ids go to one new id", where=path)
    if not table:
        raise DataError("no pairs of ids in the table", where=path)
    return table


def _remap_rows(path: Path) -> list[tuple[int, tuple[Any, Any]]]:
    if path.suffix == ".json":
        found = read_json(path)
        found = found.get("remap", found) if isinstance(found, Mapping) else found
        if not isinstance(found, Mapping):
            raise DataError("not an object of old and new ids", where=path)
        return list(enumerate(found.items(), 1))
    try:
        # By line feeds alone: in tables of others a token may hold a carriage return or U+2028.
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the table of ids ({error})", where=path) from None
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
    if rows and not rows[0][1][0].strip().lstrip("-").isdigit():
        rows = rows[1:]
    return [(number, (row[0].strip(), row[1].strip() if len(row) > 1 else None))
            for number, row in rows]  # fmt: skip
