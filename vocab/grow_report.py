"""One page on how a model grew, and the same for a terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from yanmo.report import Page, Table

from .embed_command import norm_table
from .grow import next_commands
from .grow_steps import read_table

_SHOWN: Final = 40
_FACTS: Final = ("count", "documents", "domains", "top_share")


def page(summary: Mapping[str, Any], tokenizer: Path, out: Path) -> Page:
    """The page, with nothing in it that depends on clock or place but the next command."""
    extend, embed = summary["extend"], summary["embed"]
    made = Page(
        f"Growing {out.name}",
        lead=f"{extend['base_size']} + {extend['added']} = {extend['size']} entries, "
        f"{embed['rows']} rows, {'tied' if embed['tied'] else 'untied'}.",
    )
    made.add_heading("Tokens a character", anchor="sizes")
    made.add_table(sizes_table(summary))
    made.add_heading("Verification", anchor="verification")
    for name, checks in (("on the corpus", extend["verification"]), (_where(summary), None)):
        made.add_table(checks_table(checks or summary["verify"], name))
    _add_evidence(made, extend, tokenizer)
    made.add_heading("Embedding", anchor="embedding")
    made.add_table(norm_table(dict(embed)))
    rows = [["ok" if passed else "no", name] for name, passed in embed["checks"].items()]
    made.add_table(Table("Checks", ["", "check"], rows))
    made.add_text(
        f"Initialisation: {embed['options']['init']}; lengths: {embed['options']['norm']}. A new "
        f"entry was {embed['parts']['mean']:.2f} tokens before; {embed['parts']['same_multiset']} "
        "are spelled with the same tokens as another one, in another order."
    )
    for note in embed["notes"]:
        made.add_text(f"Note: {note}.")
    made.add_heading("Next", anchor="next")
    for line in next_commands(out):
        made.add_text(line)
    return made


def _where(summary: Mapping[str, Any]) -> str:
    return "on held-out text" if summary["verify"]["heldout"] else "on other lines and seeds"


def sizes_table(summary: Mapping[str, Any]) -> Table:
    """Tokens a character of each source before and after."""
    measured = summary["measure"]
    rows = [
        [s["source"], s["documents"], s["characters"], s["before"], s["after"],
         f"{s['low']:.4f} to {s['high']:.4f}" if s["low"] is not None else None,
         f"{100 * s['saved']:.1f} %"]
        for s in measured["sources"]
    ]  # fmt: skip
    place = "held-out text" if measured["heldout"] else "the corpus itself, so too favourable"
    columns = ["source", "documents", "characters", "before", "after", "95 % (documents)", "saved"]
    return Table(f"Tokens a character, on {place}", columns, rows)


def checks_table(report: Mapping[str, Any], where: str) -> Table:
    """The checks of one verification."""
    rows = [
        ["ok" if c["passed"] else "FAILED", c["name"], c["checked"], c["broken"], c["note"]]
        for c in report["checks"]
    ]
    return Table(f"{report['texts']} texts {where}", ["", "check", "looked at", "broken", "note"],
                 rows)  # fmt: skip


def _add_evidence(made: Page, extend: Mapping[str, Any], tokenizer: Path) -> None:
    """New entries with what speaks for them, and those that were kept out."""
    added = [row for row in read_table(tokenizer / "added.tsv") if row["count"]]
    kept_out = read_table(tokenizer / "kept_out.tsv")
    lengths = sorted(extend["added_by_length"].items(), key=lambda item: int(item[0]))
    made.add_heading("New entries", anchor="entries")
    made.add_table(Table("By length in characters (0: first bytes of one)",
                         ["characters", "entries"],
                         [[int(k), v] for k, v in lengths]))  # fmt: skip
    ranked = sorted(added, key=lambda row: -int(row["count"]))
    for title, rows in (("The commonest", ranked[:_SHOWN]), ("The rarest", ranked[-_SHOWN:])):
        with made.fold(f"{title} {len(rows)}"):
            made.add_table(_facts_table(rows, "token"))
    made.add_heading("Kept out", anchor="kept-out")
    reasons = [[reason, count] for reason, count in sorted(extend["kept_out"].items())]
    if reasons:
        made.add_table(Table("", ["reason", "candidates"], reasons))
    else:
        made.add_text("No candidate had to be refused before the last entry was found.")
    suspicious = [row for row in kept_out if row["reason"].startswith("suspicious")]
    if suspicious:
        suspicious.sort(key=lambda row: -int(row["count"]))
        with made.fold(f"Suspicious: {len(suspicious)}, the first {_SHOWN}"):
            made.add_table(_facts_table(suspicious[:_SHOWN], "token"))
    elif not extend["text"]["sites"]:
        made.add_text("The corpus names no sites, so that spam could not be told by its site.")


def _facts_table(rows: list[dict[str, str]], name: str) -> Table:
    shown = [
        [row[name], *(float(row[f]) if f == "top_share" else int(row[f]) for f in _FACTS)]
        for row in rows
    ]
    return Table("", [name, "count", "documents", "sites", "share of the commonest site"], shown)


def grow_text(summary: Mapping[str, Any], out: Path) -> str:
    """The result for a terminal."""
    embed = summary["embed"]
    head = (
        f"{embed['base_size']} + {embed['added']} = {embed['size']} entries, {embed['rows']} rows"
    )
    fresh = ", ".join(summary["fresh"]) or "nothing, all was there"
    verified = f"{summary['verify']['texts']} texts {_where(summary)}: verified"
    lines = [head, "", sizes_table(summary).text(), "", norm_table(dict(embed)).text(), "",
             verified, f"done this time: {fresh}; see {out / 'report.html'}", "next:"]  # fmt: skip
    return "\n".join([*lines, *(f"  {command}" for command in next_commands(out))])
