"""The tables of a bench as Markdown, put into a page between two marks; the rest of it stays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from yanmo.report import Table

from . import machine
from .rounds import Result

BEGIN: Final = "<!-- bench: begin -->"
END: Final = "<!-- bench: end -->"


def claims(result: Result) -> Table:
    """Each claim with its number."""
    rows = [
        [claim.text, claim.value, f"{'≤' if claim.at_most else '≥'} {claim.target:g}",
         "yes" if claim.met else "no"]
        for claim in result.claims
    ]  # fmt: skip
    return Table("", ["claim", "measured", "target", "met"], rows)


def markdown(where: Mapping[str, Any], results: Mapping[str, Result]) -> str:
    """All tables, under a line that says where they were taken."""
    ours = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    peers = ", ".join(wanted[0].replace("==", " ") for wanted in where["peers"].values())
    parts = [f"{machine.one_line(dict(where))}.", f"Ours: {ours}. Peers: {peers}."]
    for name, result in results.items():
        parts.append(f"### {name}")
        if result.rows:
            parts.append(Table(result.title, result.columns, result.rows).markdown())
        if result.claims:
            parts.append(claims(result).markdown())
        parts.append("\n".join(f"- {note}" for note in result.notes))
    return "\n\n".join(parts)


def update(path: Path, where: Mapping[str, Any], results: Mapping[str, Result]) -> None:
    """Replace what stands between the marks; a page without them gets them at its end."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    head, found, rest = old.partition(BEGIN)
    tail = rest.partition(END)[2] if found else ""
    head = head if found or not old else old.rstrip("\n") + "\n\n"
    body = f"{BEGIN}\n\n{markdown(where, results)}\n\n{END}"
    path.write_text(f"{head}{body}{tail or chr(10)}", encoding="utf-8")
