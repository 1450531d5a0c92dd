"""The error budget: when a run stops loudly because too much of its input cannot be read."""

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import zstandard

from yanmo.errors import DataError
from yanmo.tasks import Done

from .balance import Balance
from .run_recipe import ErrorBudget


def check_budget(ingested: Sequence[Done], budget: ErrorBudget) -> None:
    """Stop when too many records went to quarantine, or all of them.

    Raises:
        DataError: with the worst kinds, their counts, and the first example of the worst.
    """
    balance = Balance()
    for done in ingested:
        balance.add_ingest(done.result)
    records, bad = balance.input["records"], sum(balance.quarantined.values())
    read, limit = records["read"], budget.max_quarantined_fraction
    none_left = bad > 0 and records["pages"] == 0
    too_many = limit is not None and bad >= budget.min_quarantined and bad > limit * read
    if not (none_left or too_many):
        return
    worst = sorted(balance.quarantined.items(), key=lambda item: -item[1])[:3]
    shown = ", ".join(f"{kind}: {count}" for kind, count in worst)
    folders = [done.folder for done in ingested if done.result["quarantined"].get(worst[0][0])]
    row = _first(folders, worst[0][0])
    fix = f"First: {row['file']}#{row['offset']}: {row['error']}. All: {folders[0]}"
    fix += "/quarantine.jsonl.zst."
    if too_many and not none_left:
        fix += " If that is as expected, raise errors.max_quarantined_fraction."
    raise DataError(f"{bad} of {read} records cannot be read ({shown})", where="read", fix=fix)


def _first(folders: Iterable[Path], kind: str) -> dict[str, Any]:
    """The first row of a kind in the quarantine of finished tasks."""
    for folder in folders:
        with (folder / "quarantine.jsonl.zst").open("rb") as stream:
            reader = zstandard.ZstdDecompressor().stream_reader(stream)
            for line in io.TextIOWrapper(reader, encoding="utf-8"):
                row: dict[str, Any] = json.loads(line)
                if row["kind"] == kind:
                    return row
    raise DataError("the quarantine lacks a kind that was counted", where="read", value=kind)
