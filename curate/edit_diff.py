"""What was cut out of the documents of a run: a diff of one, and a section of the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.report import Page, Table, show

from .report_words import say
from .run_samples import samples

STEPS: Final = ("lines", "site")
"""The steps that cut, in their order."""

CONTEXT: Final = 1  # lines shown before and after a change
LINE_CHARS: Final = 200
SAMPLES: Final = 12
_FOLDER: Final = "edits"


def _parts(run: Path) -> list[Path]:
    return sorted((run / _FOLDER).glob("part-*.parquet"))


def edits_of(run: Path, identity: str) -> list[dict[str, Any]]:
    """What was cut out of one document, in order: ``step, start, end, rule, text``."""
    paths = _parts(run)
    if not paths:
        return []
    found = pl.scan_parquet(paths).filter(pl.col("id") == identity).drop("id").collect()
    rows = found.to_dicts()
    return sorted(rows, key=lambda row: (STEPS.index(row["step"]), row["start"]))


def restored(text: str, edits: Sequence[Mapping[str, Any]]) -> tuple[str, list[str | None]]:
    """The text with its pieces in their places again, and the rule that took each character.

    Exact for texts that no later step changed in length; otherwise a line is put between lines.
    """
    rules: list[str | None] = [None] * len(text)
    for step in reversed(STEPS):
        pieces: list[str] = []
        marks: list[str | None] = []
        done = gone = 0
        for edit in edits:
            if edit["step"] != step:
                continue
            piece = edit["text"]
            at = _between_lines(text, max(done, min(len(text), edit["start"] - gone)), piece)
            pieces += [text[done:at], piece]
            marks += [*rules[done:at], *[edit["rule"]] * len(piece)]
            done, gone = at, gone + len(piece)
        text, rules = "".join([*pieces, text[done:]]), [*marks, *rules[done:]]
    return text, rules


def _between_lines(text: str, at: int, piece: str) -> int:
    if piece.endswith("\n"):
        return text.rfind("\n", 0, at) + 1
    if piece.startswith("\n"):
        end = text.find("\n", at)
        return len(text) if end < 0 else end
    return at


def diff(text: str, edits: Sequence[Mapping[str, Any]]) -> list[str]:
    """A document as a diff for a person: ``-`` and the rule before a line that went."""
    whole, rules = restored(text, edits)
    shown: list[tuple[bool, str]] = []
    start = 0
    for line in whole.split("\n"):
        taken = rules[start : start + len(line)]
        start += len(line) + 1
        named = sorted({rule for rule in taken if rule})
        if line and all(taken):
            shown.append((True, f"- {line[:LINE_CHARS]}  ({named[0]})"))
        elif named:
            marked = "".join(f"[-{c}-]" if rule else c for c, rule in zip(line, taken, strict=True))
            shown.append((True, f"~ {marked.replace('-][-', '')[:LINE_CHARS]}  ({named[0]})"))
        else:
            shown.append((False, f"  {line[:LINE_CHARS]}"))
    near = [
        any(changed for changed, _ in shown[max(0, i - CONTEXT) : i + CONTEXT + 1])
        for i in range(len(shown))
    ]
    lines: list[str] = []
    for (_, line), is_near in zip(shown, near, strict=True):
        if is_near:
            lines.append(line)
        elif not lines or lines[-1] != "  …":
            lines.append("  …")
    return lines


def diff_lines(found: Mapping[str, Any]) -> list[str]:
    """The diff of a document for ``why``; nothing if nothing was cut out of it."""
    edits = found.get("edits") or []
    if not edits:
        return []
    chars = sum(edit["end"] - edit["start"] for edit in edits)
    head = f"{len(edits)} pieces with {show(chars)} characters were cut out of the text:"
    if found.get("text") is None:
        return ["", head, *(f"- {edit['text'].strip()}  ({edit['rule']})" for edit in edits)]
    return ["", head, *diff(found["text"], edits)]


def edits_section(page: Page, run: Path, funnel: Mapping[str, Any]) -> None:
    """Characters that each editing rule took, and samples of the lines that went."""
    changed = {
        rule: edit for rule, edit in funnel["characters"]["edits"].items()
        if rule != "extract" and (edit["removed"] or edit["added"])
    }  # fmt: skip
    if not changed:
        return
    page.add_heading(say("What was edited"), anchor="edits")
    paths = _parts(run)
    counts: dict[str, tuple[int, int]] = {}
    if paths:
        by_rule = pl.scan_parquet(paths).group_by("rule")
        table = by_rule.agg(pl.len(), pl.n_unique("id").alias("documents")).collect()
        counts = {rule: (pieces, documents) for rule, pieces, documents in table.rows()}
    rows = [
        [rule, edit["removed"], edit["added"], *counts.get(rule, (None, None))]
        for rule, edit in sorted(changed.items(), key=lambda item: (-item[1]["removed"], item[0]))
    ]
    columns = ["rule", "characters removed", "added", "pieces", "documents"]
    page.add_table(Table("", [say(name) for name in columns], rows))
    if not paths:
        return
    page.add_text(say("Open a rule to see lines that it took; `yanmo curate why` shows where."))
    for rule, found in sorted(samples(run / _FOLDER, count=SAMPLES, by="rule").items()):
        texts = [f"[{row['id']}] {row['text'].strip()[:LINE_CHARS]}" for row in found]
        all_of_it = show(counts[rule][0])
        title = say("{rule}: {shown} of {all}", rule=rule, shown=len(texts), all=all_of_it)
        page.add_details(title, "\n".join(texts))
