"""Which checkpoints have seen which documents: exact, from what they say of their own reading.

A checkpoint knows the shards by content, the seed, the length of a sequence, the mixture and how
many sequences it read; the order is a pure function of these (``yanmo.order``). What started from a
checkpoint that saw a document has seen it too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from yanmo import mixture as mixtures
from yanmo.errors import DataError, UsageError
from yanmo.files import read_json
from yanmo.history import Version, recall, versions
from yanmo.order import Order
from yanmo.shards import Shards, open_shards

from .forget import named

FILES: Final = ("state.json", "lineage.json")  # of a checkpoint; of a finished model
INNER: Final = "yanmo"
BUCKETS: Final = "mixture.buckets.parquet"


@dataclass(frozen=True, eq=False)
class Trace:
    """A document in one version of the shards."""

    name: str
    version: Version
    begin: int
    end: int


@dataclass
class Exposure:
    """What one model folder has seen. ``saw`` is ``None`` where it cannot be told."""

    model: str
    saw: bool | None
    sequences: int | None = None
    documents: list[dict[str, Any]] = field(default_factory=list)
    note: str | None = None


def traces(shards: Shards, names: Sequence[str]) -> list[Trace]:
    """Where documents are, or were before a take-down, in every version of the shards.

    Args:
        shards: opened shards.
        names: ids or addresses.
    """
    history = versions(shards)
    events = len(history) - 1
    found: list[tuple[str, int, int]] = []  # name, version (0: now), number of the document there
    for part in shards.parts:
        table = pq.read_table(part.docs, columns=["id", "url"])
        for row in np.flatnonzero(pc.fill_null(named(table, names), False).to_numpy()).tolist():
            pair = [table.column(n)[row].as_py() for n in ("id", "url")]
            name = next(n for n in names if n in pair)
            found.append((name, 0, part.first_document + row))
    for name in names:
        found += [(name, events - event, int(row["document"]))
                  for event, row in recall(shards.manifest, name)]  # fmt: skip
    return [trace for name, version, number in found
            for trace in _older(shards, history, name, version, number)]  # fmt: skip


def _older(
    shards: Shards, history: Sequence[Version], name: str, version: int, number: int
) -> Iterator[Trace]:
    """A document in the version where it was found, and in all before."""
    events = list(reversed(shards.manifest.get("forgotten", [])))
    while True:
        begin, end = history[version].span(number)
        yield Trace(name, history[version], begin, end)
        if version + 1 == len(history):
            return
        for gone in sorted(row["document"] for row in events[version]["documents"]):
            number += gone <= number  # numbers before the take-down
        version += 1


def model_folders(places: Sequence[Path]) -> list[Path]:
    """Checkpoints and finished models at or below some places.

    Raises:
        UsageError: there is no such place, or no model of ours in it.
    """
    found: set[Path] = set()
    for place in places:
        if not place.is_dir():
            raise UsageError("no such folder of checkpoints", where=place, fix="Check the path.")
        some = {p.parent.parent for n in FILES for p in place.rglob(f"{INNER}/{n}")}
        if not some:
            raise UsageError("no checkpoint of `yanmo train` here", where=place,
                             fix="Give a run folder, a checkpoint, or a folder above.")  # fmt: skip
        found |= some
    return sorted(path for path in found if not any(p.startswith(".") for p in path.parts[1:]))


def exposures(shards: Path, names: Sequence[str], places: Sequence[Path]) -> list[Exposure]:
    """What each model below some places has seen of some documents.

    Args:
        shards: folder of the shards, before or after the documents were taken down.
        names: ids or addresses.
        places: run folders, checkpoints, or folders above them.
    """
    followed = traces(open_shards(shards), names)
    judged: dict[Path, Exposure] = {}
    return [_judge(folder, followed, judged) for folder in model_folders(places)]


def _judge(folder: Path, followed: Sequence[Trace], judged: dict[Path, Exposure]) -> Exposure:
    folder = folder.resolve()
    if folder not in judged:
        judged[folder] = Exposure(str(folder), None, note="it descends from itself")
        judged[folder] = _look(folder, followed, judged)
    return judged[folder]


def _look(folder: Path, followed: Sequence[Trace], judged: dict[Path, Exposure]) -> Exposure:
    path = next(folder / INNER / n for n in FILES if (folder / INNER / n).is_file())
    state = read_json(path)
    lineage: Mapping[str, Any] = state.get("lineage", state)
    try:
        found = _own(folder, state, lineage, followed)
    except (DataError, KeyError, TypeError) as error:
        found = Exposure(str(folder), None, note=f"cannot be told: {error}")
    init = (lineage.get("init") or {}).get("path")
    if not found.saw and init is not None and (parent := _ours(Path(init))) is not None:
        above = _judge(parent, followed, judged)
        if above.saw is not False:
            found.saw, found.documents = above.saw, above.documents
            found.note = f"started from {above.model}"
    return found


def _ours(path: Path) -> Path | None:
    """A model folder of ours behind a path, if it is still there."""
    return next(
        (path for n in FILES if (path / INNER / n).is_file()), None
    )  # fmt: skip


def _own(
    folder: Path, state: Mapping[str, Any], lineage: Mapping[str, Any], followed: Sequence[Trace]
) -> Exposure:
    """What a model's own training read."""
    if "dialogues" in lineage:
        return Exposure(str(folder), False, note="trained on dialogues, not on these shards")
    identity = lineage["shards"]["identity"]
    mine = [trace for trace in followed if trace.version.identity == identity]
    if not mine:
        return Exposure(str(folder), False, note="trained on other shards, or without them")
    if "order" not in lineage:
        return Exposure(str(folder), None, note="trained on these shards by an older version, "
                        "which did not write down what it read")  # fmt: skip
    how, sequences = lineage["order"], int(state["loader"]["sequences"])
    order = _order(folder, state, how, mine[0].version)
    seen = order.seen([(t.begin, t.end) for t in mine], sequences)
    rows = [
        {"name": t.name, "tokens": t.end - t.begin, "tokens_read": s.tokens,
         "times": s.tokens / (t.end - t.begin), "first_step": 1 + s.first // how["batch_sequences"]}
        for t, s in zip(mine, seen, strict=True) if s.first is not None
    ]  # fmt: skip
    return Exposure(str(folder), bool(rows), sequences, rows)


def _order(
    folder: Path, state: Mapping[str, Any], how: Mapping[str, Any], version: Version
) -> Order:
    """The order in which a model read a version of the shards."""
    begins = np.concatenate([np.zeros(1, np.int64), version.ends[:-1]])
    read, multiple = (begins, version.ends), 1
    if how["mixture"] is not None:
        plan = mixtures.plan_of_table(state["mixture"], _buckets(folder, state["mixture"]))
        if plan.sha256 != how["mixture"]:
            raise DataError("its mixture is not the one that it followed", where=folder)
        own = mixtures.strata(plan, version.names, version.codes)
        read, multiple = mixtures.ranges(plan, version.ends, own), how["batch_sequences"]
    return Order(version.identity, read, sequence_tokens=how["sequence_tokens"],
                 seed=how["seed"], multiple=multiple)  # fmt: skip


def _buckets(folder: Path, table: Mapping[str, Any]) -> Any:
    """The buckets of a plan, which lie once in the run folder."""
    if table["buckets_sha256"] is None:
        return None
    for place in (folder, folder.parent, folder.parent.parent):
        if (place / BUCKETS).is_file():
            return pq.read_table(place / BUCKETS).column("bucket").to_numpy()
    raise DataError("the buckets of its mixture are not beside it", where=folder / BUCKETS,
                    fix="They lie in the folder of its run.")  # fmt: skip
