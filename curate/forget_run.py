"""Take documents out of a run folder: their rows in every table, and the page that shows texts."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo import manifest as manifests
from yanmo.documents import PartWriter, iterate
from yanmo.files import atomic_write, exclusive, open_input, read_json
from yanmo.history import KEY, new_salt, recall, salted

from .forget import CACHE, Gone, Report, cache_size, named, recover, settle_names, staged
from .run_report import write_report
from .runfolder import open_run

HOLDERS: Final = {"documents": "kept", "dropped": "dropped"}
REPORT: Final = "report.html"
TWINS: Final = Path("duplicates") / "documents.parquet"


def forget_in_run(folder: Path, names: Sequence[str], *, dry_run: bool = False) -> Report:
    """Rewrite a run folder without some documents, kept or dropped.

    Args:
        folder: the run folder.
        names: ids, or addresses, of documents.
        dry_run: only say what would be done.

    Raises:
        DataError: none of the names is here, or the folder is no finished run.
    """
    recover(folder)
    manifest, _ = open_run(folder)
    report = Report(str(folder), "run", dry_run)
    for sub, where in HOLDERS.items():
        for path in sorted((folder / sub).glob("*.parquet")):
            report.forgotten += _rows(path, names, where)
    settle_names(report, names, [n for n in names if recall(manifest, n)])
    ids = sorted({g.id for g in report.forgotten})
    report.cache = cache_size(folder)
    report.twins = _twins(folder, ids)
    texts = [*ids, *(g.url for g in report.forgotten if g.url)]
    listed = [folder / entry["path"] for entry in manifest["parts"]]
    tables = [p for p in listed if p.suffix == ".parquet" and _holds(p, ids)]
    pages = [p for p in listed if p.suffix != ".parquet" and mentions(p, texts)]
    report.rewritten = [str(path.relative_to(folder)) for path in (*tables, *pages)]
    report.still_elsewhere = _elsewhere(folder, manifest, report.forgotten)
    if not dry_run and report.forgotten:
        changed = [*report.rewritten, manifests.NAME, REPORT]
        with exclusive(folder / CACHE), staged(folder, changed) as stage:
            for path in tables:
                _rewrite_table(path, stage / path.relative_to(folder), ids)
            for path in pages:
                _rewrite_page(path, stage / path.relative_to(folder), texts)
            _note(stage, manifest, report)
            manifests.verify_parts(stage)
            write_report(stage)
    return report


def _rows(path: Path, names: Sequence[str], where: str) -> list[Gone]:
    columns = [n for n in ("id", "url", "source", "origin", "n_chars")
               if n in pq.read_schema(path).names]  # fmt: skip
    found: list[Gone] = []
    for batch in iterate([path], columns=columns):
        table = pa.Table.from_batches([batch])
        for row in table.filter(named(table, names)).to_pylist():
            size = row.pop("n_chars", 0)
            found.append(Gone(**row, where=where, size=size))
    return found


def _holds(path: Path, ids: Sequence[str]) -> bool:
    if "id" not in pq.read_schema(path).names:
        return False
    column = pq.read_table(path, columns=["id"]).column("id")
    return bool(pc.any(pc.is_in(column, pa.array(ids, pa.string()))).as_py())


def mentions(path: Path, texts: Sequence[str]) -> bool:
    """Whether a text file, perhaps compressed, holds one of some strings."""
    wanted = [text.encode() for text in texts]
    with open_input(path) as stream:
        return any(any(text in line for text in wanted) for line in stream)


def _twins(folder: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Documents of the same duplicate clusters that stay, kept or dropped."""
    path = folder / TWINS
    if not path.is_file() or not ids:
        return []
    table = pq.read_table(path)
    mine = table.filter(pc.is_in(table.column("id"), pa.array(ids, pa.string())))
    near = table.filter(pc.is_in(table.column("cluster"), mine.column("cluster").unique()))
    rows = {r["id"]: r for r in near.to_pylist() if r["id"] not in ids}
    found: list[dict[str, Any]] = []
    for sub, where in HOLDERS.items():
        for part in sorted((folder / sub).glob("*.parquet")) if rows else ():
            for gone in _rows(part, list(rows), where):
                if gone.id in rows:
                    cluster = rows[gone.id]["cluster"]
                    found.append({"id": gone.id, "url": gone.url, "cluster": cluster,
                                  "where": where})  # fmt: skip
    return found


def _elsewhere(folder: Path, manifest: dict[str, Any], gone: Sequence[Gone]) -> list[str]:
    """Where the text still is, and from where a new run would bring it back."""
    found = [f"input {g.origin} (source {g.source}): a new run would read it again" for g in gone]
    inner = [p.parent for p in sorted(folder.rglob(manifests.NAME)) if p.parent != folder]
    found += [f"{path}: a folder of its own; run `yanmo curate forget` on it too"
              for path in inner if CACHE not in path.relative_to(folder).parts]  # fmt: skip
    listed = {entry["path"] for entry in manifest["parts"]}
    texts = [*(g.id for g in gone), *(g.url for g in gone if g.url)]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        ours = name.as_posix() in listed or CACHE in name.parts or name.name == REPORT
        if ours or not path.is_file() or any(path.is_relative_to(i) for i in inner):
            continue
        if path.suffix in (".jsonl", ".json", ".toml", ".txt", ".gz", ".zst", ".html", ".md"):
            found += [f"{path}: mentions it; not ours, left alone"] * mentions(path, texts)
    return found


def _rewrite_table(source: Path, target: Path, ids: Sequence[str]) -> None:
    wanted = pa.array(ids, pa.string())
    with PartWriter(target, pq.read_schema(source).remove_metadata()) as writer:
        for batch in iterate([source]):
            table = pa.Table.from_batches([batch])
            writer.write(table.filter(pc.invert(pc.is_in(table.column("id"), wanted))))


def _rewrite_page(source: Path, target: Path, texts: Sequence[str]) -> None:
    """Without the lines (or, in JSON, the rows) that mention one of the strings."""
    if source.suffix == ".json":
        with atomic_write(target, text=True) as stream:
            stream.write(json.dumps(pruned(read_json(source), texts), ensure_ascii=False,
                                    sort_keys=True, indent=2) + "\n")  # fmt: skip
        return
    import zstandard

    wanted = [text.encode() for text in texts]
    with open_input(source) as lines, atomic_write(target) as stream:
        kept = b"".join(line for line in lines if not any(text in line for text in wanted))
        compressed = zstandard.ZstdCompressor().compress(kept) if target.suffix == ".zst" else kept
        stream.write(compressed)


def pruned(value: Any, texts: Sequence[str]) -> Any:
    """JSON without the list items that hold one of the strings."""
    if isinstance(value, list):
        shown = [json.dumps(item, ensure_ascii=False) for item in value]
        return [pruned(item, texts) for item, told in zip(value, shown, strict=True)
                if not any(text in told for text in texts)]  # fmt: skip
    if isinstance(value, dict):
        return {key: pruned(item, texts) for key, item in value.items()}
    return value


def _note(stage: Path, manifest: dict[str, Any], report: Report) -> None:
    """The manifest with new hashes, and a note of the take-down."""
    changed = set(report.rewritten)
    parts = [
        manifests.part_entry(stage, stage / e["path"]) if e["path"] in changed else e
        for e in manifest["parts"]
    ]
    salt = new_salt()
    event = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "salt": salt,
        "documents": [
            {"id_sha256": salted(salt, g.id), "where": g.where, "source": g.source,
             "url_sha256": None if g.url is None else salted(salt, g.url)}
            for g in report.forgotten
        ],
    }  # fmt: skip
    manifests.write(stage, {**manifest, "parts": parts, KEY: [*manifest.get(KEY, []), event]})
