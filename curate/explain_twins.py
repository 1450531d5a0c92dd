"""The documents that are equal to one or resemble it: where they are from, and how they differ."""

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.documents import part_paths

SHOWN_TWINS: Final = 10
SHOWN_LINES: Final = 12
LINE_CHARS: Final = 160
MAX_LINES: Final = 2_000  # longer texts are not compared line by line: it takes their square


def twins_of(run: Path, identity: str) -> dict[str, Any] | None:
    """What the duplicate steps know of a document.

    Returns:
        Its row ``{"id", "cluster", "kept_id", "how", "jaccard"}`` with ``cluster_size``, ``kept``
        (id, origin, url, outcome and text of the one that stays in its place; of a document that
        stays itself null) and ``removed`` (how, jaccard, id, origin and url of those that went
        for this one); None where it resembles no other.
    """
    path = run / "duplicates" / "documents.parquet"
    if not path.exists():
        return None
    table = pl.scan_parquet(path)
    mine = table.filter(pl.col("id") == identity).collect()
    if mine.height == 0:
        return None
    row = mine.row(0, named=True)
    size = table.filter(pl.col("cluster") == row["cluster"]).select(pl.len()).collect().item()
    gone = table.filter(
        (pl.col("kept_id") == identity) & (pl.col("id") != identity)
    ).sort("jaccard", "id", descending=[True, False]).collect()  # fmt: skip
    places = _places(run, [*gone["id"].to_list(), row["kept_id"]])
    kept = None if row["kept_id"] == identity else places.get(row["kept_id"])
    removed = [
        {"how": twin["how"], "jaccard": twin["jaccard"], "id": twin["id"],
         **{key: places.get(twin["id"], {}).get(key) for key in ("origin", "url")}}
        for twin in gone.iter_rows(named=True)
    ]  # fmt: skip
    return {**row, "cluster_size": size, "kept": kept, "removed": removed}


def _places(run: Path, identities: list[str]) -> dict[str, dict[str, Any]]:
    """Where documents are from; the text of the last one alone."""
    found: dict[str, dict[str, Any]] = {}
    for folder, outcome in (("documents", "kept"), ("dropped", "dropped")):
        rows = pl.scan_parquet(part_paths(run / folder)).filter(pl.col("id").is_in(identities))
        text = pl.when(pl.col("id") == identities[-1]).then(pl.col("text")).alias("text")
        for row in rows.select("id", "origin", "url", text).collect().iter_rows(named=True):
            found[row["id"]] = {**row, "outcome": outcome}
    return found


def _named(twin: Mapping[str, Any]) -> str:
    return f"{twin['id']}  {twin.get('url') or twin.get('origin') or ''}".rstrip()


def twin_lines(found: Mapping[str, Any]) -> list[str]:
    """For a person: the twin, its address, and a diff from it."""
    row = found.get("duplicate")
    if not row:
        return []
    lines = []
    alike = "the same text" if row["how"] == "exact" else f"Jaccard about {row['jaccard']:.2f}"
    if row["kept_id"] != row["id"]:
        lines.append(f"cluster {row['cluster']} of {row['cluster_size']} documents; "
                     f"kept {row['kept_id']} ({alike})")  # fmt: skip
        kept = row.get("kept")
        if kept:
            lines.append(f"that one is {_named(kept)}")
            if kept["outcome"] == "dropped":
                lines.append("a later step dropped that one too; ask why of it")
            lines += _differences(kept["text"], found.get("text"), how=row["how"])
    removed = row.get("removed") or []
    if removed:
        lines.append(f"documents that went because this one stays: {len(removed)}")
    for twin in removed[:SHOWN_TWINS]:
        how = "the same text" if twin["how"] == "exact" else f"Jaccard about {twin['jaccard']:.2f}"
        lines.append(f"- {_named(twin)} ({how})")
    if len(removed) > SHOWN_TWINS:
        lines.append(f"… and {len(removed) - SHOWN_TWINS} more (--json lists all)")
    return lines


def _differences(theirs: str | None, mine: str | None, *, how: str) -> list[str]:
    """Lines that only one of two texts has; nothing where there is nothing to compare."""
    if how == "exact" or theirs is None or mine is None or theirs == mine:
        return []
    before, after = theirs.split("\n"), mine.split("\n")
    if max(len(before), len(after)) > MAX_LINES:
        return [f"a text of more than {MAX_LINES:,} lines is not compared line by line"]
    changed = list(_changed(before, after))
    only_theirs = sum(line.startswith("-") for line in changed)
    lines = [f"they differ in {only_theirs} lines of the kept one (-) and "
             f"{len(changed) - only_theirs} of this one (+):"]  # fmt: skip
    lines += changed[:SHOWN_LINES]
    if len(changed) > SHOWN_LINES:
        lines.append(f"  … and {len(changed) - SHOWN_LINES} more")
    return lines


def _changed(before: list[str], after: list[str]) -> Iterator[str]:
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (f"- {line[:LINE_CHARS]}" for line in before[a:b] if line.strip())
            yield from (f"+ {line[:LINE_CHARS]}" for line in after[c:d] if line.strip())
