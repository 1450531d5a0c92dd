"""The result of cleaning instruction data: tables, JSON, a page, and a difference to read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yanmo.files import write_json
from yanmo.report import Page, Table

from .instruct_ledger import Tally
from .instruct_recipe import ABOUT
from .instruct_sample import shown

_TABLE_OF = {"too_short": "length", "too_long": "length", "duplicate": "twins",
             "contradiction": "twins", "near_duplicate": "twins"}  # fmt: skip


def summary(tally: Tally) -> dict[str, Any]:
    """``report.json``."""
    return {**tally.books(), "formats": dict(tally.formats.most_common()),
            "kept_scripts": dict(tally.kept_scripts), "rules": tally.rules()}  # fmt: skip


def told(tally: Tally) -> str:
    """For a terminal."""
    books = tally.books()
    records, dialogues, chars = books["records"], books["dialogues"], books["characters"]
    lines = [
        f"records: read {records['read']} = used {records['used']} + rejected "
        f"{records['rejected']}",
        f"dialogues: read {tally.dialogues} = kept {tally.kept} + dropped {tally.dropped.total()}",
        f"characters: read {chars['read']} + added {tally.added.total()} = kept {chars['kept']} "
        f"+ dropped {chars['dropped']} + removed {tally.removed.total()}",
        "", rules_table(tally).text() if dialogues["read"] else "",
    ]  # fmt: skip
    return "\n".join(lines).rstrip()


def rules_table(tally: Tally) -> Table:
    """One row a rule: what it found, and how many dialogues it decided."""
    rows = [
        [row["rule"], row["action"], row["dialogues"], row["findings"], row["decided"],
         row["dialogues"] / max(tally.dialogues, 1) * 100]
        for row in sorted(tally.rules(), key=lambda r: (r["action"], -r["dialogues"]))
    ]  # fmt: skip
    columns = ["rule", "action", "dialogues", "findings", "decided", "% of dialogues"]
    return Table("", columns, rows)


def write_report(tally: Tally, folder: Path) -> None:
    """``report.json`` and ``report.html``."""
    write_json(folder / "report.json", summary(tally))
    page = Page("Instruction data, cleaned",
                f"{tally.dialogues} dialogues: {tally.kept} kept, {tally.dropped.total()} dropped. "
                "All that was found is in findings.jsonl, what was dropped in dropped.jsonl.",
                style=" .line{white-space:pre-wrap}")  # fmt: skip
    page.add_heading("Ledgers", anchor="ledgers")
    books = tally.books()
    page.add_table(Table("", ["", "read", "kept", "dropped or rejected", "removed", "added"], [
        ["records", books["records"]["read"], tally.records, len(tally.rejects), None, None],
        ["dialogues", tally.dialogues, tally.kept, tally.dropped.total(), None, None],
        ["characters", tally.chars, tally.kept_chars, tally.dropped_chars.total(),
         tally.removed.total(), tally.added.total()],
    ]))  # fmt: skip
    page.add_heading("Rules", anchor="rules")
    page.add_text("A rule decides a dialogue if it is the first that drops it; the others that "
                  "would have dropped it count under dialogues alone.")  # fmt: skip
    page.add_table(rules_table(tally))
    page.add_heading("Examples", anchor="examples")
    for row in tally.rules():
        about = ABOUT[_TABLE_OF.get(row["rule"], row["rule"])]
        page.add_heading(f"{row['rule']}: {row['action']}")
        page.add_text(f"{about} {row['dialogues']} dialogues.")
        cells = [[e["where"], e["turn"], e["note"], shown(e["text"]), shown(e.get("becomes", ""))]
                 for e in row["examples"]]  # fmt: skip
        if row["action"] != "fix":
            cells = [cell[:4] for cell in cells]
        columns = ["where", "turn", "found", "⟦span⟧ and around it", "becomes"]
        page.add_table(Table("", columns[: len(cells[0])] if cells else columns, cells))
    if tally.rejects:
        page.add_heading("Rejected records", anchor="rejects")
        rows = [[r["where"], r["reason"][:200]] for r in tally.rejects[:20]]
        page.add_table(Table("", ["where", "reason"], rows))
    (folder / "report.html").write_text(page.html(), encoding="utf-8")


def difference(findings: Path) -> Iterator[str]:
    """Every fix before and after, and every drop with its reason and span, as lines."""
    with findings.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            if row["action"] not in ("fix", "drop", "cut"):
                continue
            place = f"{row['where']} turn {row['turn']}"
            yield f"{place} {row['rule']}: {row['action']} ({row['note']})"
            yield f"  - {shown(row['text'])}"
            if row["action"] == "fix":
                yield f"  + {shown(row['becomes'])}"
