"""Why is this document here, or not: everything a run knows of one document."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.documents import part_paths
from yanmo.errors import DataError
from yanmo.files import open_input

from .blocked_pages import STEP as URL_STEP
from .desk import EMPTY
from .edit_diff import diff_lines, edits_of
from .explain_rules import fact_lines, judged, route_of, rule_lines
from .explain_twins import twin_lines, twins_of
from .explain_words import word_lines, words_of
from .leaks_report import leak_lines, leaks_of
from .reasons import encoding_reason
from .runfolder import open_run

SHOWN_SPANS: Final = 20
SHOWN_CHARS: Final = 80
SHOWN_TEXT: Final = 600


def explain(run: Path, wanted: str) -> dict[str, Any]:
    """Find a document by id (or the start of one), URL or origin.

    Returns:
        ``{"id", "outcome", "source", "origin", "url", "step", "rule", "value", "threshold",
        "threshold_source", "duplicate", "earlier", "spans", "leaks", "signals", "route", "rules",
        "edits", "words", "matched", "text"}``; ``duplicate`` holds its twins, ``earlier`` is its
        row of what earlier runs hold, ``spans`` those found in it, of lines, sentences …, ``leaks``
        the exam questions, ``rules`` all that judged it, ``edits`` what the line rules cut out,
        ``words`` its listed words, ``matched`` the entry of a list that dropped it. Of a record in
        the quarantine, known by its origin alone: ``{"outcome", "source", "origin", "kind",
        "error"}``.

    Raises:
        DataError: no document, or more than one, goes by that name.
    """
    manifest, _ = open_run(run)
    found = _find(run, wanted)
    if found is None:
        return _quarantined(run, wanted)
    row: dict[str, Any] = {"outcome": found.pop("outcome"), **found}
    row["duplicate"] = twins_of(run, row["id"])
    earlier = _rows(run, "index-*.parquet", row["id"])
    row["earlier"] = earlier[0] if earlier else None
    row["spans"] = _rows(run, "lines-*.parquet", row["id"])
    row["leaks"] = leaks_of(run, row["id"])
    row["signals"] = _signals(run, row["id"])
    row["edits"] = edits_of(run, row["id"])
    row["words"] = words_of(run, row["id"])
    cuts = manifest["counts"].get("thresholds", {})
    row["route"] = route_of(row["signals"]) if row["signals"] else None
    row["rules"] = judged(row["signals"], cuts)
    cut = cuts.get(row.get("rule"))
    row["threshold_source"] = cut["sources"].get(row["route"]) if cut else None
    return row


def _find(run: Path, wanted: str) -> dict[str, Any] | None:
    named = (
        pl.col("id").str.starts_with(wanted) | (pl.col("url") == wanted)
        | (pl.col("origin") == wanted)
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for folder, outcome in (("documents", "kept"), ("dropped", "dropped")):
        found = pl.scan_parquet(part_paths(run / folder)).filter(named).head(5).collect()
        rows += [{"outcome": outcome, **row} for row in found.iter_rows(named=True)]
    if len(rows) > 1:
        ids = ", ".join(f"{row['id']} ({row['outcome']}, {row['origin']})" for row in rows)
        raise DataError("several documents match", where=run, value=wanted,
                        fix=f"Name one by its id: {ids}.")  # fmt: skip
    return rows[0] if rows else None


def _quarantined(run: Path, wanted: str) -> dict[str, Any]:
    """The record of this origin in the quarantine.

    Raises:
        DataError: it is not there either.
    """
    for path in sorted((run / "quarantine").glob("part-*.jsonl.zst")):
        with open_input(path) as stream:
            for line in stream:
                row = json.loads(line)
                if f"{row['file']}#{row['offset']}" == wanted:
                    return {"id": None, "outcome": "quarantined", "source": row["source"],
                            "origin": wanted, "kind": row["kind"],
                            "error": row["error"]}  # fmt: skip
    raise DataError("no document with this id, URL or origin", where=run, value=wanted,
                    fix="Records that were skipped are counted in funnel.json, not listed; those "
                        "in the quarantine go by their origin.")  # fmt: skip


def _rows(run: Path, pattern: str, identity: str) -> list[dict[str, Any]]:
    """The rows of a document in a table under ``duplicates/``; none where there is no such."""
    paths = sorted((run / "duplicates").glob(pattern))
    if not paths:
        return []
    return pl.scan_parquet(paths).filter(pl.col("id") == identity).collect().to_dicts()


def _span_lines(spans: list[dict[str, Any]]) -> list[str]:
    """The spans of a document, equal ones on one line."""
    same: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for span in spans:
        same.setdefault((span["kind"], span["hash"]), []).append(span)
    lines = []
    for span, *others in list(same.values())[:SHOWN_SPANS]:
        text = " ".join((span["text"] or "(text not kept)").split())
        text = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
        did = "removed" if span["action"] == "remove" else "reported"
        place = f"{span['kind']} {span['start']}–{span['end']}"
        more = f" (and {len(others)} more places)" if others else ""
        holders = f", in {span['documents']} documents" if span["documents"] else ""
        lines.append(f"{did} {place}{more}{holders}, first {span['first_id']}: {text}")
    if len(same) > SHOWN_SPANS:
        lines.append(f"… and {len(same) - SHOWN_SPANS} more spans (--json lists all)")
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


def _verdict_lines(found: Mapping[str, Any]) -> list[str]:
    lines = []
    if found["outcome"] == "dropped":
        lines.append(f"dropped at step {found['step']} by {found['rule']}")
        if found.get("matched"):
            lines.append(f"found in its address: {found['matched']}")
        if found["value"] is not None and found["threshold"] is not None:
            lines.append(f"value {found['value']:.6g}, threshold {found['threshold']:.6g}")
        if found["threshold_source"]:
            lines.append(f"source of the threshold: {found['threshold_source']}")
    lines += twin_lines(found)
    earlier = found.get("earlier")
    if earlier:
        lines.append(f"run {earlier['run']} of the index kept {earlier['kept_id']} "
                     f"(Jaccard about {earlier['jaccard']:.2f})")  # fmt: skip
    return lines


def render(found: dict[str, Any]) -> str:
    """The findings for a person."""
    if found["outcome"] == "quarantined":
        return "\n".join([f"quarantined: {found['kind']}", f"from {found['origin']}",
                          found["error"]])  # fmt: skip
    lines = [f"{found['id']}  {found['outcome']}", f"from {found['origin']}"]
    if found.get("url"):
        lines.append(found["url"])
    lines += _encoding_lines(found)
    lines += fact_lines(found["signals"])
    lines += _verdict_lines(found)
    lines += _span_lines(found.get("spans") or [])
    lines += leak_lines(found.get("leaks") or [])
    lines += word_lines(found)
    missing = "(the page gave no text)" if found.get("rule") == EMPTY else "(text not kept)"
    missing = "(left out before it was extracted)" if found.get("step") == URL_STEP else missing
    lines += ["", (found.get("text") or missing)[:SHOWN_TEXT]]
    lines += diff_lines(found)
    lines += rule_lines(found.get("rules") or [], found.get("route"))
    return "\n".join(lines)
