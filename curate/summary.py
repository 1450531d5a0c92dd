"""What a run says at its end, in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanmo.report import Table

if TYPE_CHECKING:
    from .pipeline import RunResult


def funnel_rows(funnel: dict[str, Any]) -> list[list[Any]]:
    """The funnel from top to bottom: what, records, share of what was read."""
    read = funnel["read"]
    rows: list[list[Any]] = [["read", read]]
    rows += [[f"− skipped: {kind}", n] for kind, n in funnel["skipped"].items()]
    rows += [[f"− quarantined: {kind}", n] for kind, n in funnel["quarantined_by_kind"].items()]
    rows += [[f"− {r}", n] for r, n in sorted(funnel["dropped"].items(), key=lambda i: -i[1])]
    rows.append(["kept", funnel["kept"]])
    return [[*row, f"{row[1] / max(read, 1):.1%}"] for row in rows]


def summary_text(result: "RunResult", out: Path) -> str:
    """Funnel, what was redone, where the report lies, what to type next."""
    funnel = result.funnel
    table = Table("", ["funnel", "records", "share"], funnel_rows(funnel)).text()
    characters = funnel["characters"]
    tasks = int(sum(step["tasks"] for step in result.steps.values()))
    lines = [
        table,
        f"{characters['in']:,} characters in, {characters['kept']:,} kept; "
        "bytes, records and characters balance.",
    ]
    if result.fresh == 0:
        lines.append(f"Nothing was redone: all {tasks} tasks were in the cache.")
    else:
        redone = [f"{name} {int(s['tasks'] - s['cached'])}" for name, s in result.steps.items()
                  if s["tasks"] > s["cached"]]  # fmt: skip
        lines.append(f"{result.fresh} of {tasks} tasks run ({', '.join(redone)}) "
                     f"in {result.seconds:.1f} s.")  # fmt: skip
    if funnel["kept"] == 0:
        lines.append("Nothing was kept: open the report to see which rule dropped what.")
    lines += result.notes
    lines += [f"report: {result.report}",
              f"next: yanmo vocab train {out} --out TOKENIZER --size 8000"]  # fmt: skip
    return "\n".join(lines)
