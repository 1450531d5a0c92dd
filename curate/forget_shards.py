"""Take documents out of token shards: new parts, new totals, and a note that says so."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo import manifest as manifests
from yanmo.documents import write_part
from yanmo.errors import DataError
from yanmo.files import exclusive, sha256_file
from yanmo.history import KEY, new_salt, recall, salted
from yanmo.order import shards_identity
from yanmo.shard_writer import TOTALS
from yanmo.shards import Part, Shards, open_shards, verify

from .forget import CACHE, Gone, Report, cache_size, named, recover, settle_names, staged

COPY_TOKENS = 1 << 22
SPLITS = {"train": "", "heldout": "heldout"}
Mask = npt.NDArray[np.bool_]


def forget_in_shards(folder: Path, names: Sequence[str], *, dry_run: bool = False) -> Report:
    """Rewrite shards, and their held-out split, without some documents.

    Args:
        folder: the shards.
        names: ids, or addresses, of documents.
        dry_run: only say what would be done.

    Raises:
        DataError: none of the names is here, or nothing would be left of a split.
    """
    recover(folder)
    report = Report(str(folder), "shards", dry_run)
    splits = {"train": open_shards(folder)}
    if (folder / "heldout" / manifests.NAME).is_file():
        splits["heldout"] = open_shards(folder / "heldout")
    hits: dict[str, list[Mask]] = {}
    for split, shards in splits.items():
        hits[split] = [_hits(part, names) for part in shards.parts]
        for part, hit in zip(shards.parts, hits[split], strict=True):
            report.forgotten += _rows(part, hit, split)
    already = [n for n in names if any(recall(s.manifest, n) for s in splits.values())]
    settle_names(report, names, already)
    report.cache = cache_size(folder)
    report.twins = _twins(splits, report.forgotten)
    report.still_elsewhere = upstream(splits["train"], names)
    changed: list[str] = []
    for split, shards in splits.items():
        some = _plan(report, shards, hits[split], SPLITS[split])
        changed += [*some, f"{SPLITS[split]}/{manifests.NAME}".lstrip("/")] if some else []
    if not dry_run and report.forgotten:
        with exclusive(folder / CACHE), staged(folder, changed) as stage:
            for split, shards in splits.items():
                if any(hit.any() for hit in hits[split]):
                    _rewrite(shards, hits[split], stage / SPLITS[split])
                    verify(stage / SPLITS[split])
    return report


def _hits(part: Part, names: Sequence[str]) -> Mask:
    hit = named(pq.read_table(part.docs, columns=["id", "url"]), names)
    found: Mask = pc.fill_null(hit, fill_value=False).to_numpy().astype(np.bool_)
    return found


def _rows(part: Part, hit: Mask, split: str) -> list[Gone]:
    if not hit.any():
        return []
    table = pq.read_table(part.docs)
    sizes = np.diff(table.column("end").to_numpy().astype(np.int64), prepend=0)[hit]
    names = ["id", "url", "source", "origin", "cluster"]
    rows = table.select(names).filter(pa.array(hit)).to_pylist()
    return [
        Gone(**row, where=split, size=int(size)) for row, size in zip(rows, sizes, strict=True)
    ]  # fmt: skip


def _plan(report: Report, shards: Shards, hits: Sequence[Mask], sub: str) -> list[str]:
    """Note which files are rewritten and which go; both are left out of the copy."""
    left: list[str] = []
    for part, hit in zip(shards.parts, hits, strict=True):
        if hit.any():
            files = [str(Path(sub) / path.name) for path in (part.path, part.docs)]
            left += files
            (report.removed if hit.all() else report.rewritten).extend(files)
    if left and all(hit.all() for hit in hits) and not sub:
        raise DataError("nothing would be left of the shards", where=shards.folder,
                        fix="Delete the folder instead.")  # fmt: skip
    return left


def _twins(splits: dict[str, Shards], gone: Sequence[Gone]) -> list[dict[str, Any]]:
    """Documents of the same duplicate clusters that stay."""
    clusters = pa.array(sorted({g.cluster for g in gone if g.cluster}), pa.string())
    ids = {g.id for g in gone}
    found: list[dict[str, Any]] = []
    for split, shards in splits.items():
        for part in shards.parts if len(clusters) else ():
            table = pq.read_table(part.docs, columns=["id", "url", "cluster"])
            near = table.filter(pc.is_in(table.column("cluster"), clusters)).to_pylist()
            found += [{**row, "where": split} for row in near if row["id"] not in ids]
    return found


def upstream(shards: Shards, names: Sequence[str]) -> list[str]:
    """Document parts that the shards were packed from and that still hold a document, or may."""
    found = []
    lost: set[Path] = set()
    for entry in shards.manifest["inputs"]:
        path = Path(entry["path"])
        if path.parent.name == "duplicates":  # ids alone
            continue
        if path.suffix != ".parquet" or not path.is_file():
            lost |= {path.parent} if path.suffix == ".parquet" else set()
            continue
        columns = pq.read_schema(path).names
        if "text" in columns and "id" in columns:
            some = [name for name in ("id", "url") if name in columns]
            if pc.any(named(pq.read_table(path, columns=some), names)).as_py():
                found.append(f"{path}: run `yanmo curate forget` on its run folder too")
    found += [
        f"{folder}, perhaps: what was packed is not found from here" for folder in sorted(lost)
    ]
    return found


def _rewrite(shards: Shards, hits: Sequence[Mask], stage: Path) -> None:
    """Write the parts that change, and the manifest."""
    manifest = {**shards.manifest, "parts": []}
    entries = {entry["path"]: entry for entry in shards.manifest["parts"]}
    gone: list[dict[str, Any]] = []
    salt = new_salt()
    for number, (part, hit) in enumerate(zip(shards.parts, hits, strict=True)):
        if not hit.any():
            continue
        for path in (part.path, part.docs):  # damage must not get a fresh hash
            if sha256_file(path) != entries[path.name]["sha256"]:
                raise DataError("the part is not the one that the manifest lists", where=path,
                                fix="`yanmo curate shards verify` says what is wrong.")  # fmt: skip
        table = pq.read_table(part.docs)
        gone += _notes(part, table, hit, salt)
        del entries[part.path.name], entries[part.docs.name]
        if not hit.all():
            entries |= _write_part(shards, number, table, ~hit, stage)
    manifest["parts"] = sorted(entries.values(), key=lambda e: ("/" in e["path"], e["path"]))
    rows = {name: sum(e.get(name, 0) for e in entries.values()) for name in ("tokens", "documents")}
    manifest["counts"] = {**shards.manifest["counts"], **rows}
    manifest["sources"] = _totals(shards.manifest["sources"], gone)
    event = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "salt": salt,
        "identity_before": shards_identity(shards),
        "manifest_sha256_before": sha256_file(shards.folder / manifests.NAME),
        "documents": [{k: v for k, v in row.items() if k not in ("bytes", "chars")}
                      for row in gone],
    }  # fmt: skip
    manifest[KEY] = [*shards.manifest.get(KEY, []), event]
    manifests.write(stage, manifest)


def _notes(part: Part, table: pa.Table, hit: Mask, salt: str) -> list[dict[str, Any]]:
    """What is kept of removed documents: hashes and sizes, nothing that could be read."""
    sizes = np.diff(table.column("end").to_numpy().astype(np.int64), prepend=0)
    notes = []
    for row in np.flatnonzero(hit).tolist():
        names = {n: table.column(n)[row].as_py() for n in table.column_names if n != "end"}
        notes.append({
            "id_sha256": salted(salt, names["id"]),
            "url_sha256": None if names["url"] is None else salted(salt, names["url"]),
            "document": part.first_document + row, "tokens": int(sizes[row]),
            "source": names["source"], "bytes": names["n_bytes"], "chars": names["n_chars"],
        })  # fmt: skip
    return notes


def _write_part(
    shards: Shards, number: int, table: pa.Table, keep: Mask, stage: Path
) -> dict[str, dict[str, Any]]:
    """Write one part without some documents; its two entries in the manifest."""
    part, ids = shards.parts[number], shards.ids(number)
    ends = table.column("end").to_numpy().astype(np.int64)
    sizes = np.diff(ends, prepend=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]).astype(np.int8)))
    with (stage / part.path.name).open("wb") as stream:
        for first, stop in edges.reshape(-1, 2).tolist():
            low, high = int(ends[first] - sizes[first]), int(ends[stop - 1])
            for at in range(low, high, COPY_TOKENS):
                stream.write(ids[at : min(at + COPY_TOKENS, high)].tobytes())
    rest = table.filter(pa.array(keep))
    column = pa.array(np.cumsum(sizes[keep]).astype(np.uint64))
    place = rest.schema.get_field_index("end")
    rest = rest.set_column(place, rest.schema.field(place), column)
    write_part(stage / part.docs.name, rest)
    counts = {"tokens": int(sizes[keep].sum()), "documents": int(keep.sum())}
    return {
        part.path.name: manifests.part_entry(stage, stage / part.path.name, **counts),
        part.docs.name: manifests.part_entry(stage, stage / part.docs.name),
    }


def _totals(
    sources: dict[str, dict[str, int]], gone: Sequence[dict[str, Any]]
) -> dict[str, dict[str, int]]:
    left = {name: dict(totals) for name, totals in sources.items()}
    for row in gone:
        totals = left[row["source"]]
        for name in TOTALS:
            if name in totals:
                totals[name] -= 1 if name == "documents" else row[name]
    return {name: totals for name, totals in left.items() if totals["documents"]}
