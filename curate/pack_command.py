"""What ``yanmo curate pack`` prints."""

from pathlib import Path
from typing import Any

from yanmo.report import Table

from .pack import PackSettings, pack_folder


def run_pack(
    documents: Path,
    tokenizer: Path,
    out: Path,
    settings: PackSettings,
    *,
    workers: int,
    quiet: bool,
) -> tuple[dict[str, Any], str]:
    """Pack and describe the result: totals, and text for a terminal."""
    totals = pack_folder(documents, tokenizer=tokenizer, out=out, settings=settings,
                         workers=workers, quiet=quiet)  # fmt: skip
    heldout = totals["heldout"]["sources"]
    rows = [
        [name, s["documents"], s["tokens"], s["chars"] / max(s["tokens"], 1),
         heldout.get(name, {}).get("documents", 0), heldout.get(name, {}).get("tokens", 0)]
        for name, s in totals["sources"].items()
    ]  # fmt: skip
    columns = ["source", "documents", "tokens", "chars/token", "held out", "held-out tokens"]
    lines = [Table("", columns, rows).text()]
    if totals["fresh_tasks"] == 0:
        lines.append(f"Nothing was redone: all {totals['tasks']} tasks were in the cache.")
    lines.append(f"next: yanmo train pretrain {out} --out CHECKPOINT")
    return totals, "\n".join(lines)
