"""Read files in stretches and whole, and lay the outcomes side by side."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from yanmo.curate.discover import InputSpec, discover
from yanmo.curate.ledger import add_totals, check_total, empty_total
from yanmo.curate.options import ReadOptions
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.split import ingest
from yanmo.tasks import Done, Identities, Task, resolve

from .read_audit import rows_of

Run = Callable[[Sequence[Task]], list[Done]]


@dataclass
class Reading:
    """All that reading gives, in a form that does not tell how many tasks did it."""

    documents: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    quarantine: list[str]
    ledger: dict[str, Any]
    counts: dict[str, Any]
    tasks: dict[str, int]

    def same(self, other: "Reading") -> bool:
        """Field by field, so that a difference can be seen."""
        assert self.ledger == other.ledger
        assert self.quarantine == other.quarantine
        assert self.documents == other.documents
        assert self.dropped == other.dropped
        assert self.counts == other.counts
        return True


@contextlib.contextmanager
def here() -> Iterator[Run]:
    """Runs tasks in this process, without a cache: no hash, no sync to the disk."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(1 << 30))

        def run(tasks: Sequence[Task]) -> list[Done]:
            done = []
            for task in tasks:
                out = Path(folder, str(next(numbers)))
                out.mkdir()
                paths = [item.path for item in task.inputs]
                result = resolve(task.function)(paths, dict(task.parameters), out)
                files = {path.name: "" for path in out.iterdir()}
                done.append(Done(task, out, json.loads(json.dumps(result)), files, False, 0.0))
            return done

        yield run


def read(path: Path | str, step: int | None, *, run: Run | None = None, **options: Any) -> Reading:
    """Read what a path names in stretches of ``step`` bytes (None: whole) and audit the books."""
    settings = replace(CurateRecipe(), read=ReadOptions(split_bytes=step, **options))
    groups = discover([InputSpec(str(path), source="s")], options=settings.read)
    with here() as plain, tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        done = ingest(
            groups, settings, cache, Identities(cache / "identities.json"), run=run or plain
        )
        reading = gather(done)
    on_disk = sum(file.size or 0 for group in groups for file in group.files)
    assert reading.ledger["stored"]["bytes"] == on_disk
    assert reading.ledger["files"] == sum(len(group.files) for group in groups)
    return reading


def gather(done: Sequence[Done]) -> Reading:
    """Add up the results of tasks, each of which must balance by itself."""
    ledger, counts, tasks = empty_total(), dict[str, Any](), dict[str, int]()
    documents, dropped, quarantine = [], [], []
    for item in done:
        result = item.result
        tasks[item.task.step] = tasks.get(item.task.step, 0) + 1
        check_total(result["ledger"])
        add_totals(ledger, result["ledger"])
        names = ("quarantined", "chars_in", "chars_quarantined", "dropped", "encodings")
        add_totals(counts, {name: result[name] for name in names})
        rows = rows_of((item.folder / "quarantine.jsonl.zst").read_bytes())
        assert sum(row["records"] for row in rows) == sum(result["quarantined"].values())
        quarantine += [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows]
        for part in result["parts"]:
            documents += pq.read_table(item.folder / part).to_pylist()
        if (item.folder / "dropped.parquet").exists():
            dropped += pq.read_table(item.folder / "dropped.parquet").to_pylist()
    return Reading(documents, dropped, sorted(quarantine), ledger, counts, tasks)
