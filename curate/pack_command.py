"""What ``yanmo curate pack`` prints."""

from pathlib import Path
from typing import Any

from yanmo.report import Table

from .pack import pack_folder
from .pack_options import PackSettings


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
    lines = [Table("", columns, rows).text(), _engine(totals["encoding"])]
    if totals["fresh_tasks"] == 0:
        lines.append(f"Nothing was redone: all {totals['tasks']} tasks were in the cache.")
    lines.append(f"next: yanmo train pretrain {out} --out CHECKPOINT")
    return totals, "\n".join(lines)


def _engine(told: dict[str, Any]) -> str:
    """Which engine made the ids, and what says that they are right."""
    library, kernels = told["reference"], told["parts"].get("kernels", 0)
    parts = sum(told["parts"].values())
    lines = []
    if kernels:
        size = told["sampled_bytes"] / 1e6
        lines.append(f"encoded by the kernels, {kernels} of {parts} parts; ids equal to those of "
                     f"{library} on {told['sampled_texts']} samples of the text ({size:.1f} MB)"
                     f"; texts left to {library}: {told['handed_texts']}")  # fmt: skip
    for why in told["why_not_kernels"]:
        lines.append(f"encoded by {library}, {parts - kernels} of {parts} parts: {why}")
    return "\n".join(lines)
