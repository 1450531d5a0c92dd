"""Which document of a group stays: the keep policy, and the values that it looks at.

    longest            most characters
    earliest           smallest timestamp as text, which is the time for ISO 8601
    source-priority    the sources in the order that the recipe lists; all others come after them
    highest:<field>    largest value of a number: a column of the document table, a signal, or a
                       field of ``meta``, whichever is found first

Documents without a timestamp or value come last; ties go to the smaller id.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo.documents import SCHEMA, write_part
from yanmo.errors import DataError, UsageError
from yanmo.recipe import did_you_mean

from .signals import SIGNALS

KEEP_POLICIES: Final = ("longest", "earliest", "source-priority", "highest:<field>")
HIGHEST: Final = "highest:"

MEMBER_COLUMNS: Final = ("id", "source", "timestamp", "n_chars")
MEMBER_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("timestamp", pa.string()),
        pa.field("n_chars", pa.int64(), nullable=False),
        ("value", pa.float64()),
    ]
)
"""What the policies look at; ``value`` is that of ``highest:<field>``."""

_LACKING: Final = b"yanmo.lacking"  # metadata of members: the fields known where there is no such
_META_ROWS: Final = 1000  # documents whose meta is looked through for names when there is none

I64 = npt.NDArray[np.int64]


def check_policy(keep: str) -> None:
    """Refuse what is no keep policy.

    Raises:
        UsageError: no such policy, or ``highest:`` without a field.
    """
    field = keep.removeprefix(HIGHEST)
    if keep not in KEEP_POLICIES[:3] and (not keep.startswith(HIGHEST) or not field):
        raise UsageError("no such keep policy", value=keep, fix=did_you_mean(keep, KEEP_POLICIES))


def field_of(keep: str) -> str | None:
    """The field of ``highest:<field>``; None for the other policies."""
    return keep.removeprefix(HIGHEST) if keep.startswith(HIGHEST) else None


def write_members(
    path: Path, members: pa.Table, *, keep: str, sources: Sequence[Path] = (),
    alive: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    """Write what the keep policy needs of one part.

    Args:
        path: the file, in MEMBER_SCHEMA.
        members: ``MEMBER_COLUMNS`` of the documents that take part.
        keep: the policy.
        sources: document table and signals of the part, for ``highest:<field>``.
        alive: which of their rows take part.

    Raises:
        DataError: the files differ in their rows.
        UsageError: the field is a column of text.
    """
    field = field_of(keep)
    columns = {name: members.column(name) for name in MEMBER_COLUMNS}
    values, known = (None, None) if field is None else _values(sources, field)
    if values is not None and len(values) != len(alive):
        raise DataError("signals, documents and verdicts do not line up", where=sources[-1],
                        value=(len(values), len(alive)))  # fmt: skip
    if values is None:
        columns["value"] = pa.nulls(members.num_rows, pa.float64())
    else:
        columns["value"] = values.filter(pa.array(alive))
    schema = MEMBER_SCHEMA
    if known is not None:
        schema = schema.with_metadata({_LACKING: json.dumps(known, ensure_ascii=False)})
    write_part(path, pa.table(columns).cast(schema))


def _values(sources: Sequence[Path], field: str) -> tuple[pa.Array | None, list[str] | None]:
    """The values of a field; if the part has no such field the names of those it has."""
    import polars as pl

    documents, signals = sources
    for path, schema in ((documents, SCHEMA), (signals, pq.read_schema(signals))):
        if field in schema.names:
            kind = schema.field(field).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                told = f"Numbers: {', '.join(_numbers())}; or a number in meta."
                raise UsageError("the field to keep the highest of is no number",
                                 value=field, fix=told)  # fmt: skip
            column = pl.read_parquet(path, columns=[field])[field].cast(pl.Float64)
            return column.fill_nan(None).to_arrow(), None
    path_to = f"$[{json.dumps(field, ensure_ascii=False)}]"
    meta = pl.read_parquet(documents, columns=["meta"])["meta"]
    column = meta.str.json_path_match(path_to).cast(pl.Float64, strict=False).fill_nan(None)
    if column.null_count() < len(column):
        return column.to_arrow(), None
    rows = (json.loads(row) for row in meta.head(_META_ROWS).drop_nulls().to_list())
    return None, [*_numbers(), *sorted({key for row in rows for key in row})]


def _numbers() -> list[str]:
    table = [f.name for f in SCHEMA if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)]
    return list(dict.fromkeys([*table, *(signal.name for signal in SIGNALS)]))


def check_field(paths: Sequence[Path], keep: str) -> None:
    """Refuse a field that no document of any part has.

    Args:
        paths: one file of :func:`write_members` per part.
        keep: the policy.

    Raises:
        UsageError: nobody has it; names the nearest known one.
    """
    known: set[str] = set()
    for path in paths:
        schema = pq.read_schema(path)
        lacking = (schema.metadata or {}).get(_LACKING)
        if lacking is None:
            return
        known.update(json.loads(lacking))
    if known:
        field = str(field_of(keep))
        raise UsageError("no document has the field to keep the highest of", where=keep,
                         value=field, fix=did_you_mean(field, known))  # fmt: skip


def read_members(paths: Sequence[Path], wanted: npt.NDArray[Any]) -> pa.Table:
    """The columns that decide what is kept, of some documents.

    Args:
        paths: one Parquet file per part in MEMBER_SCHEMA.
        wanted: global indices, increasing.

    Returns:
        One row per wanted document, in that order.
    """
    tables: list[pa.Table] = []
    start = 0
    for path in paths:
        rows = pq.read_metadata(path).num_rows
        low, high = np.searchsorted(wanted, [start, start + rows])
        if high > low:
            table = pq.read_table(path).replace_schema_metadata(None)
            tables.append(table.take(pa.array(wanted[low:high] - start)))
        start += rows
    if start and len(wanted) and wanted[-1] >= start:
        raise DataError("a document index is beyond the parts", value=int(wanted[-1]))
    return pa.concat_tables(tables) if tables else MEMBER_SCHEMA.empty_table()


def keep_order(
    members: pa.Table, groups: npt.NDArray[Any], *, keep: str, source_priority: Sequence[str]
) -> I64:
    """Order documents by group and, in a group, from the one to keep to the last.

    Args:
        members: MEMBER_SCHEMA.
        groups: group of each, any integers.
        keep: the policy.
        source_priority: names of sources, best first; all others come after them.

    Returns:
        Row numbers. Ties go to the smaller id.

    Raises:
        UsageError: no such policy.
    """
    check_policy(keep)
    descending = keep == "longest" or keep.startswith(HIGHEST)
    if keep == "longest":
        key = members.column("n_chars")
    elif keep == "earliest":
        key = members.column("timestamp")
    elif keep.startswith(HIGHEST):
        key = members.column("value")
    else:
        rank = pc.index_in(members.column("source"), pa.array(source_priority, pa.string()))
        key = pc.fill_null(rank, len(source_priority))
    table = pa.table({"group": pa.array(groups), "key": key, "id": members.column("id")})
    # Nulls come last whatever the direction: pyarrow's default.
    direction = "descending" if descending else "ascending"
    by = [("group", "ascending"), ("key", direction), ("id", "ascending")]
    order: I64 = pc.sort_indices(table, sort_keys=by).to_numpy().astype(np.int64)
    return order
