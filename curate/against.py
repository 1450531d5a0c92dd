"""Two runs side by side: which settings differ, and which rule changes which verdicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from yanmo.documents import part_paths
from yanmo.errors import DataError
from yanmo.files import atomic_write
from yanmo.report import Page, Table, show

from .flows import KEPT, Comparison, compare_verdicts, flow_table, outcome_table
from .runfolder import open_run

PAGE: Final = "against.html"
SAMPLES: Final = 5
PREVIEW_CHARS: Final = 1200


@dataclass(frozen=True)
class Against:
    """What tells two runs apart.

    Attributes:
        names: of the folders.
        verdicts: documents before (the other run) and after (this run).
        settings: ``{key: [there, here]}`` of the recipes, where they differ.
    """

    names: tuple[str, str]
    verdicts: Comparison
    settings: dict[str, list[Any]]


def compare_runs(run: Path, other: Path) -> tuple[Against, Path]:
    """Compare a run with another one over the same input, and write ``against.html`` into it.

    Args:
        run: the run of interest.
        other: the one it is held against.

    Returns:
        What was found, and the page.

    Raises:
        UsageError: no such folder.
        DataError: no finished run, or the two have no document in common.
    """
    recipes = [open_run(folder)[0]["recipe"] for folder in (other, run)]
    verdicts = compare_verdicts(_outcomes(other), _outcomes(run), samples=SAMPLES)
    known = sum(verdicts.before.values()) - verdicts.before.get("absent", 0)
    if known and known == verdicts.after.get("absent", 0):
        raise DataError("the two runs have no document in common", where=run, value=other,
                        fix="Compare runs over the same input.")  # fmt: skip
    found = Against((_name(other), _name(run)), verdicts, _differences(*recipes))
    path = run / PAGE
    with atomic_write(path, text=True) as stream:
        stream.write(_page(found, run, other).html())
    return found, path


def _name(folder: Path) -> str:
    return folder.resolve().name


def _outcomes(run: Path) -> pl.LazyFrame:
    kept = pl.scan_parquet(part_paths(run / "documents")).select(
        "id", pl.lit(KEPT).alias("outcome"), pl.col("n_chars").cast(pl.Int64)
    )
    dropped = pl.scan_parquet(part_paths(run / "dropped")).select(
        "id", pl.col("rule").alias("outcome")
    )
    signals = pl.scan_parquet(part_paths(run / "signals")).select(
        "id", pl.col("n_chars").cast(pl.Int64)
    )
    return pl.concat([kept, dropped.join(signals, on="id", how="left")])


def _flat(table: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(table, dict):
        return {path: table}
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{path}.{key}" if path else key)
    return flat


def _differences(there: dict[str, Any], here: dict[str, Any]) -> dict[str, list[Any]]:
    old, new = _flat(there), _flat(here)
    keys = dict.fromkeys([*old, *new])
    return {key: [old.get(key), new.get(key)] for key in keys if old.get(key) != new.get(key)}


def _setting_table(found: Against) -> Table:
    rows = [[key, *("off" if v is None else str(v) for v in pair)]
            for key, pair in found.settings.items()]  # fmt: skip
    return Table("Settings that differ", ["setting", *found.names], rows)


def _summary(found: Against) -> str:
    total = sum(found.verdicts.before.values())
    return f"{show(found.verdicts.changed)} of {show(total)} verdicts differ."


def render(found: Against) -> str:
    """For people."""
    parts = [outcome_table(found.verdicts, names=found.names).text()]
    if found.settings:
        parts.append(_setting_table(found).text())
    if found.verdicts.flows:
        parts.append(flow_table(found.verdicts).text())
    return "\n\n".join([*parts, _summary(found)])


def _page(found: Against, run: Path, other: Path) -> Page:
    page = Page(f"yanmo · {found.names[1]} against {found.names[0]}", lead=_summary(found))
    page.add_heading("Outcomes", anchor="outcomes")
    page.add_table(outcome_table(found.verdicts, names=found.names))
    if found.settings:
        page.add_heading("Settings", anchor="settings")
        page.add_table(_setting_table(found))
    page.add_heading("What changed", anchor="flows")
    if not found.verdicts.flows:
        page.add_text("No verdict differs.")
    wanted = [identity for flow in found.verdicts.flows for identity in flow.samples]
    texts = _texts(run, wanted) | _texts(other, wanted)
    for flow in found.verdicts.flows:
        chars = f", {show(flow.chars)} characters" if flow.chars else ""
        title = f"{flow.before} → {flow.after}: {show(flow.documents)}{chars}"
        with page.fold(title):
            for identity in flow.samples:
                place, text = texts.get(identity, ("", None))
                shown = "(text not kept)" if text is None else text[:PREVIEW_CHARS]
                page.add_details(f"{place} [{identity}]", shown)
    return page


def _texts(run: Path, ids: list[str]) -> dict[str, tuple[str, str | None]]:
    found: dict[str, tuple[str, str | None]] = {}
    for folder in ("documents", "dropped"):
        rows = (
            pl.scan_parquet(part_paths(run / folder))
            .filter(pl.col("id").is_in(ids))
            .select("id", pl.coalesce("url", "origin"), "text")
            .collect()
        )
        found |= {
            identity: (place, text) for identity, place, text in rows.rows() if text is not None
        }
    return found
