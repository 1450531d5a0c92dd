"""What is wrong with token shards: hashes, documents and totals, named down to the document."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo import manifest as manifests
from yanmo.checks import document_checks
from yanmo.errors import DataError
from yanmo.files import sha256_file
from yanmo.shards import Ids, Part, Shards

TOTALS = {"tokens": None, "documents": None, "bytes": "n_bytes", "chars": "n_chars"}
"""Totals of a source, and the column that they are sums of."""

AGAIN = "Pack again."


def check_length(part: Part, dtype: np.dtype[Any]) -> None:
    """Say which documents a cut token file has lost.

    Raises:
        DataError: the file is shorter than its documents.
    """
    if not (part.path.is_file() and part.docs.is_file()):
        return
    have = part.path.stat().st_size // dtype.itemsize
    if have >= part.tokens:
        return
    try:
        table = pq.read_table(part.docs, columns=["id", "end"])
    except (pa.ArrowInvalid, OSError):
        return
    ends = _ends(table)
    first = int(np.searchsorted(ends, have, side="right"))
    raise DataError(
        f"the file is cut: document {first} ({table.column('id')[first]}) and all after it are "
        f"not whole, {len(ends) - first} of {len(ends)}", where=part.path,
        value=part.path.stat().st_size, fix=f"Expected {part.tokens * dtype.itemsize} bytes; "
        f"{AGAIN.lower()}",
    )  # fmt: skip


def check_hashes(shards: Shards) -> None:
    """Recompute the hash of every file that the manifest lists.

    Raises:
        DataError: the first that differs, with the document in which it does where that can be
            known.
    """
    listed = {entry["path"]: entry for entry in shards.manifest["parts"]}
    for name, entry in listed.items():
        path = shards.folder / name
        if not path.is_file():
            raise DataError("a part is missing", where=path, fix="Write the folder again.")
        found = sha256_file(path)
        if found != entry["sha256"] or path.stat().st_size != entry["bytes"]:
            what = "the part is not the one that the manifest lists"
            raise DataError(f"{what}: {_why(shards, path, found, listed)}", where=path, fix=AGAIN)


def _why(shards: Shards, path: Path, found: str, listed: Mapping[str, Any]) -> str:
    """What can be said about a file whose hash is wrong."""
    for name, entry in listed.items():
        if entry["sha256"] == found:
            return f"it holds what should be in {name}"
    for number, part in enumerate(shards.parts):
        if path in (part.path, part.docs):
            try:
                wrong = wrong_documents(part, shards.ids(number))
            except (pa.ArrowException, OSError, KeyError, DataError) as error:
                return f"it cannot be read ({str(error).splitlines()[0]})"
            return wrong or "its documents are as their checksums say, so it was written anew"
    return "it was changed"


def wrong_documents(part: Part, ids: Ids) -> str | None:
    """The documents of a part whose ids and checksums differ, for a message; ``None``: none."""
    table = pq.read_table(part.docs)
    if "check" not in table.column_names:
        return "shards of before do not say which document"
    ends = _ends(table)
    if len(ends) == 0 or (np.diff(ends, prepend=0) < 1).any() or ends[-1] != len(ids):
        return "the document ends do not rise to the length of the part"
    wrong = np.flatnonzero(document_checks(ids, ends) != table.column("check").to_numpy())
    if len(wrong) == 0:
        return None
    row = int(wrong[0])
    begin = int(ends[row - 1]) if row else 0
    size = ids.dtype.itemsize
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return (
        f"document {row} ({table.column('id')[row]}, bytes {begin * size} to "
        f"{int(ends[row]) * size}) is not as it was written{more}"
    )


def check_documents(part: Part, ids: Ids, eos_id: int) -> None:
    """Checksums of all documents, and no EOS inside one.

    Raises:
        DataError: names the document.
    """
    if "check" in pq.read_schema(part.docs).names:
        wrong = wrong_documents(part, ids)
        if wrong is not None:
            raise DataError(wrong, where=part.path, fix=AGAIN)
    ends = _ends(pq.read_table(part.docs, columns=["end"]))
    closing: npt.NDArray[np.int64] = np.flatnonzero(ids == eos_id)
    if len(closing) != len(ends):
        inside = int(np.setdiff1d(closing, ends - 1)[0])
        row = int(np.searchsorted(ends, inside, side="right"))
        raise DataError("EOS stands inside a document", where=f"{part.path}, document {row}",
                        value=f"token {inside}", fix=AGAIN)  # fmt: skip


def count_sources(part: Part, into: dict[str, dict[str, int]]) -> None:
    """Add what a part holds of each source."""
    table = pq.read_table(part.docs, columns=["source", "end", "n_bytes", "n_chars"])
    tokens = pa.array(np.diff(_ends(table), prepend=0))
    table = table.append_column("tokens", tokens).append_column(
        "documents", pa.array(np.ones(table.num_rows, np.int64))
    )
    columns = {name: column or name for name, column in TOTALS.items()}
    sums = table.group_by("source").aggregate([(c, "sum") for c in columns.values()])
    for row in sums.to_pylist():
        totals = into.setdefault(row["source"], dict.fromkeys(columns, 0))
        for name, column in columns.items():
            totals[name] += row[f"{column}_sum"]


def check_totals(shards: Shards, found: Mapping[str, Mapping[str, int]]) -> None:
    """Compare the manifest's totals with what was counted.

    Raises:
        DataError: says of what and of which source.
    """
    where = shards.folder / manifests.NAME
    for name, count in (("tokens", shards.tokens), ("documents", shards.documents)):
        listed = shards.manifest["counts"].get(name)
        by_source = sum(totals[name] for totals in shards.manifest["sources"].values())
        if listed != count or by_source != count:
            raise DataError(f"the totals of {name} do not add up", where=where,
                            value=(count, listed, by_source), fix=AGAIN)  # fmt: skip
    for source in sorted({*found, *shards.manifest["sources"]}):
        told, counted = shards.manifest["sources"].get(source, {}), found.get(source, {})
        for name in TOTALS:
            if name in told and told[name] != counted.get(name, 0):
                raise DataError(f"the {name} of source '{source}' are not as the manifest says",
                                where=where, value=told[name],
                                fix=f"There are {counted.get(name, 0)}.")  # fmt: skip


def _ends(table: pa.Table) -> npt.NDArray[np.int64]:
    ends: npt.NDArray[np.int64] = pc.cast(table.column("end"), pa.int64()).to_numpy()
    return ends
