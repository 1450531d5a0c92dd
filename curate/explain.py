"""Why is this document here, or not: everything a run knows of one document."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.documents import part_paths
from yanmo.errors import DataError
from yanmo.report import Table

from .edit_diff import diff_lines, edits_of
from .leaks_report import leak_lines, leaks_of
from .reasons import encoding_reason
from .runfolder import open_run

SHOWN_SPANS: Final = 20
SHOWN_CHARS: Final = 80


def explain(run: Path, wanted: str) -> dict[str, Any]:
    """Find a document by id (or the start of one), URL or origin.

    Returns:
        ``{"id", "outcome", "source", "origin", "url", "step", "rule", "value", "threshold",
        "threshold_source", "duplicate", "earlier", "spans", "leaks", "signals", "edits", "text"}``;
        ``earlier`` is its row of what earlier runs hold, ``spans`` those found in it, of lines,
        sentences …, ``leaks`` the exam questions, ``edits`` what the line rules cut out.

    Raises:
        DataError: no document, or more than one, goes by that name.
    """
    manifest, _ = open_run(run)
    found = _find(run, wanted)
    row: dict[str, Any] = {"outcome": found.pop("outcome"), **found}
    row["duplicate"] = _duplicate(run, row["id"])
    earlier = _rows(run, "index-*.parquet", row["id"])
    row["earlier"] = earlier[0] if earlier else None
    row["spans"] = _rows(run, "lines-*.parquet", row["id"])
    row["leaks"] = leaks_of(run, row["id"])
    row["signals"] = _signals(run, row["id"])
    row["edits"] = edits_of(run, row["id"])
    cut = manifest["counts"].get("thresholds", {}).get(row.get("rule"))
    row["threshold_source"] = cut["sources"].get(_route(row["signals"])) if cut else None
    return row


def _route(signals: Mapping[str, Any]) -> str:
    """Which set of thresholds judged a document."""
    import pyarrow as pa

    from .decide import ROUTES, routes

    kinds = {"lang": pa.string(), "script": pa.string(), "latin_fraction": pa.float64(),
             "hanzi_fraction": pa.float64()}  # fmt: skip
    row = {name: pa.array([signals.get(name)], kind) for name, kind in kinds.items()}
    return ROUTES[int(routes(pa.table(row))[0])]


def _find(run: Path, wanted: str) -> dict[str, Any]:
    named = (
        pl.col("id").str.starts_with(wanted) | (pl.col("url") == wanted)
        | (pl.col("origin") == wanted)
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for folder, outcome in (("documents", "kept"), ("dropped", "dropped")):
        found = pl.scan_parquet(part_paths(run / folder)).filter(named).head(5).collect()
        rows += [{"outcome": outcome, **row} for row in found.iter_rows(named=True)]
    if not rows:
        raise DataError("no document with this id, URL or origin", where=run, value=wanted,
                        fix="Skipped records and the quarantine are not listed here.")  # fmt: skip
    if len(rows) > 1:
        ids = ", ".join(f"{row['id']} ({row['outcome']})" for row in rows)
        raise DataError("several documents match", where=run, value=wanted,
                        fix=f"Name one by its id: {ids}.")  # fmt: skip
    return rows[0]


def _duplicate(run: Path, identity: str) -> dict[str, Any] | None:
    path = run / "duplicates" / "documents.parquet"
    if not path.exists():
        return None
    table = pl.scan_parquet(path)
    mine = table.filter(pl.col("id") == identity).collect()
    if mine.height == 0:
        return None
    row = mine.row(0, named=True)
    size = table.filter(pl.col("cluster") == row["cluster"]).select(pl.len()).collect().item()
    return {**row, "cluster_size": size}


def _rows(run: Path, pattern: str, identity: str) -> list[dict[str, Any]]:
    """The rows of a document in a table under ``duplicates/``; none where there is no such."""
    paths = sorted((run / "duplicates").glob(pattern))
    if not paths:
        return []
    return pl.scan_parquet(paths).filter(pl.col("id") == identity).collect().to_dicts()


def _span_lines(spans: list[dict[str, Any]]) -> list[str]:
    """The spans of a document, one a line."""
    lines = []
    for span in spans[:SHOWN_SPANS]:
        text = " ".join((span["text"] or "(text not kept)").split())
        text = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
        did = "removed" if span["action"] == "remove" else "reported"
        place = f"{span['kind']} {span['start']}–{span['end']}"
        holders = f", in {span['documents']} documents" if span["documents"] else ""
        lines.append(f"{did} {place}{holders}, first {span['first_id']}: {text}")
    if len(spans) > SHOWN_SPANS:
        lines.append(f"… and {len(spans) - SHOWN_SPANS} more spans (--json lists all)")
    return lines


def _signals(run: Path, identity: str) -> dict[str, Any]:
    table = pl.scan_parquet(part_paths(run / "signals")).filter(pl.col("id") == identity).collect()
    return table.row(0, named=True) if table.height else {}


def _encoding_lines(found: Mapping[str, Any]) -> list[str]:
    """How the bytes were read, where that was a choice."""
    kept = found["outcome"] == "kept"
    text = encoding_reason(found.get("meta")) if kept else found.get("encoding_reason")
    if not text:
        return []
    reason = json.loads(text)
    line = f"read as {found['encoding']} ({reason['source']})"
    if "score" in reason:
        line += f", score {reason['score']:.2f}"
    if "runner_up" in reason:
        line += f"; next best {reason['runner_up']}, {reason['runner_up_score']:.2f}"
    if "replaced" in reason:
        line += f"; {reason['replaced']} undecodable"
    return [line]


def render(found: dict[str, Any]) -> str:
    """The findings for a person."""
    lines = [f"{found['id']}  {found['outcome']}", f"from {found['origin']}"]
    if found.get("url"):
        lines.append(found["url"])
    lines += _encoding_lines(found)
    if found["outcome"] == "dropped":
        lines.append(f"dropped at step {found['step']} by {found['rule']}")
        if found["value"] is not None and found["threshold"] is not None:
            lines.append(f"value {found['value']:.6g}, threshold {found['threshold']:.6g}")
        if found["threshold_source"]:
            lines.append(f"source of the threshold: {found['threshold_source']}")
    twin = found["duplicate"]
    if twin:
        lines.append(f"cluster {twin['cluster']} of {twin['cluster_size']} documents; "
                     f"kept {twin['kept_id']} (Jaccard about {twin['jaccard']:.2f})")  # fmt: skip
    earlier = found.get("earlier")
    if earlier:
        lines.append(f"run {earlier['run']} of the index kept {earlier['kept_id']} "
                     f"(Jaccard about {earlier['jaccard']:.2f})")  # fmt: skip
    lines += _span_lines(found.get("spans", []))
    lines += leak_lines(found.get("leaks", []))
    lines += ["", (found.get("text") or "(text not kept)")[:600]]
    lines += diff_lines(found)
    if found["signals"]:
        rows = [[name, value] for name, value in found["signals"].items() if name != "id"]
        lines += ["", Table("", ["signal", "value"], rows).text()]
    return "\n".join(lines)
