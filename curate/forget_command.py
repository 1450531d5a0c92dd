"""``yanmo curate forget``: take documents down, and say who has seen them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yanmo.options import dry_run_option, emit, json_option, verbosity_options

if TYPE_CHECKING:
    from .forget import Report

LISTED = 20  # near duplicates shown to a person


@click.command()
@click.argument("folder", metavar="RUN|SHARDS", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, metavar="ID|URL...")
@click.option("--from", "listing", type=click.File(encoding="utf-8"), default=None,
              help="File with one id or URL a line; - is stdin.")  # fmt: skip
@click.option("--checkpoints", type=click.Path(path_type=Path), multiple=True, metavar="DIR",
              help="Also say which models below DIR have read it; needs SHARDS.")  # fmt: skip
@dry_run_option
@json_option
@verbosity_options
def forget(
    folder: Path,
    names: tuple[str, ...],
    listing: Any,
    checkpoints: tuple[Path, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take documents out of a run folder or out of token shards.

    A URL takes all documents of that address. Every file that holds one is written anew, the cache
    is removed, totals and hashes are corrected, and the manifest keeps a salted hash as a note.
    Near duplicates that stay, and places that still hold the text, are listed. Run it on the run
    folder and on each folder of shards.
    """
    from yanmo import manifest as manifests
    from yanmo.errors import UsageError

    from .exposure import exposures, model_folders
    from .forget_run import forget_in_run
    from .forget_shards import forget_in_shards

    wanted = list(dict.fromkeys([*names, *_lines(listing)]))
    if not wanted:
        raise UsageError("which documents?", fix="Name ids or URLs, or --from FILE.")
    kind = manifests.read(folder)["kind"]
    if kind not in ("run", "shards"):
        raise UsageError("neither a run folder nor token shards", where=folder, value=kind)
    if checkpoints and kind != "shards":
        raise UsageError("a run folder does not know the order of training", where=folder,
                         fix="Ask with the shards that were packed from it.")  # fmt: skip
    model_folders(checkpoints)  # refuse a wrong path before anything is changed
    report = (forget_in_run if kind == "run" else forget_in_shards)(folder, wanted, dry_run=dry_run)
    if checkpoints:
        found = exposures(folder, wanted, checkpoints)
        report.checkpoints = [vars(exposure) for exposure in found]
    emit(report.table(), as_json=as_json, text=describe(report))


def _lines(listing: Any) -> list[str]:
    return [line.strip() for line in listing if line.strip()] if listing is not None else []


def describe(report: "Report") -> str:
    """A take-down for a person."""
    would = "would be " if report.dry_run else ""
    unit = "tokens" if report.kind == "shards" else "characters"
    lines = [
        f"{would}forgotten: {g.id}  {g.url or g.origin}  ({g.where}, {g.source}, {g.size} {unit})"
        for g in report.forgotten
    ]
    lines += [f"already forgotten: {name}" for name in report.already]
    lines += [f"! not found: {name}" for name in report.not_found]
    lines += [f"{would}written anew: {name}" for name in report.rewritten]
    lines += [f"{would}removed: {name}" for name in report.removed]
    if report.forgotten and report.cache["files"]:
        size = f"{report.cache['files']} files, {report.cache['bytes']:,} bytes"
        lines.append(f"{would}removed: the cache ({size})")
    lines += [f"! near duplicate stays: {t['id']}  {t['url'] or ''}  ({t['where']})"
              for t in report.twins[:LISTED]]  # fmt: skip
    if len(report.twins) > LISTED:
        lines.append(f"! and {len(report.twins) - LISTED} more near duplicates; --json lists all")
    lines += [f"! still in {place}" for place in report.still_elsewhere]
    for row in report.checkpoints:
        lines += _model(row)
    return "\n".join(lines)


def _model(row: dict[str, Any]) -> list[str]:
    note = f" ({row['note']})" if row["note"] else ""
    if row["saw"] is None:
        return [f"! {row['model']}: unknown{note}"]
    if not row["saw"]:
        return [f"{row['model']}: has not read it{note}"]
    return [
        f"! {row['model']}: read {d['name']} {d['times']:.2f} times, first in step "
        f"{d['first_step']}{note}" for d in row["documents"]
    ]  # fmt: skip
