"""Whole runs over large files: any number of workers, killed and begun again, cut anew."""

import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from yanmo.curate.discover import InputSpec
from yanmo.curate.pipeline import RunResult, run_recipe
from yanmo.curate.run_recipe import CurateRecipe, ErrorBudget
from yanmo.recipe import load
from yanmo.tasks import Done, Task

from .splitting import here, read
from .test_pipeline import article, stable_bytes, write_jsonl
from .test_read_warc import GOOD
from .test_split import LINES, NESTED, REQUEST, gzipped, wet

STEP = 20_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large files of every form that can be cut, with duplicates and damage, and a small one."""
    folder = tmp_path_factory.mktemp("large")
    texts = [article(number) for number in range(80)]
    write_jsonl(folder / "a.jsonl", [*texts, texts[3], texts[4] + "\n（转载）", "短。"])
    data = (folder / "a.jsonl").read_bytes().replace("第".encode(), "又第".encode())
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(data + b'{"text": 3}\nnot json\n', mtime=0))
    (folder / "c.jsonl.gz").write_bytes(gzipped(data, 9_000)[:-300])
    (folder / "d.jsonl.zst").write_bytes(zstandard.compress(data))
    pages = b"".join(wet(article(200 + number).encode()) + REQUEST for number in range(60))
    (folder / "e.warc").write_bytes(pages + NESTED + GOOD * 3)
    (folder / "f.warc.gz").write_bytes(gzipped(pages + GOOD, 5_000))
    table = pa.table({"text": [article(300 + number) for number in range(80)]})
    pq.write_table(table, folder / "g.parquet", row_group_size=8)
    (folder / "h.csv").write_text("text\n" + '"a\nb"\n' * 9, encoding="utf-8")
    return folder


def settings(corpus: Path, *overrides: str) -> CurateRecipe:
    files = sorted(corpus.iterdir())
    inputs = tuple(InputSpec(str(file), source=file.name) for file in files)
    recipe = load(CurateRecipe, None, overrides)
    budget = ErrorBudget(max_quarantined_fraction=None)
    return replace(recipe, input=inputs, errors=budget)


def run(corpus: Path, out: Path, step: int | str, workers: int = 1) -> RunResult:
    recipe = settings(corpus, f"read.split_bytes={step}")
    return run_recipe(recipe, out, workers=workers, quiet=True)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return pl.concat(
        pl.read_parquet(p) for p in sorted((folder / name).glob("*.parquet"))
    ).to_dicts()


def quarantined(folder: Path) -> list[str]:
    found: list[str] = []
    for path in sorted((folder / "quarantine").iterdir()):
        with zstandard.ZstdDecompressor().stream_reader(path.read_bytes()) as reader:
            found += reader.read().decode().splitlines()
    return sorted(found)


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    result = run(corpus, out, "off")
    assert result.steps["ingest"]["tasks"] == 8
    return out


@pytest.fixture(scope="module")
def cut(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cut") / "run"
    result = run(corpus, out, STEP)
    assert result.steps["ingest"]["tasks"] > 30
    assert result.steps["inflate"]["tasks"] > 10
    return out


def test_a_run_gives_the_same_however_files_are_cut(whole: Path, cut: Path) -> None:
    for name in ("documents", "dropped", "signals", "duplicates"):
        assert rows(cut, name) == rows(whole, name), name
    assert quarantined(cut) == quarantined(whole)
    funnels = [json.loads((path / "funnel.json").read_text()) for path in (cut, whole)]
    assert funnels[0] == funnels[1]
    assert funnels[0]["files"] == 8
    assert funnels[0]["kept"] > 200
    manifests = [json.loads((path / "manifest.json").read_text()) for path in (cut, whole)]
    assert manifests[0]["inputs"] == manifests[1]["inputs"]
    assert len(manifests[0]["inputs"]) == 8


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(corpus: Path, cut: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "run", STEP, workers=2)
    assert stable_bytes(tmp_path / "run") == stable_bytes(cut)


def test_another_size_redoes_the_large_files_alone(
    corpus: Path, whole: Path, cut: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(cut, tmp_path / "run"))
    assert run(corpus, out, STEP).fresh == 0
    moved = run(corpus, out, 3 * STEP)
    assert moved.steps["ingest"]["cached"] == 1  # the file that is never cut
    assert moved.steps["ingest"]["tasks"] > 10
    assert rows(out, "documents") == rows(whole, "documents")


@pytest.mark.slow
def test_a_killed_run_goes_on(corpus: Path, cut: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    tables = [f'[[input]]\npath = "{p}"\nsource = "{p.name}"' for p in sorted(corpus.iterdir())]
    recipe.write_text("\n".join(tables) + f"\n[read]\nsplit_bytes = {STEP}\n"
                      '[errors]\nmax_quarantined_fraction = "off"\n')  # fmt: skip
    command = [sys.executable, "-m", "yanmo", "curate", "run", "--recipe", str(recipe), "--out",
               str(tmp_path / "run"), "--workers", "2", "-q", "--json"]  # fmt: skip
    for place in ("inflate/*/result.json", "ingest/*/result.json"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((tmp_path / "run" / ".cache").glob(place))) > 5:
                break
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, capture_output=True, check=True)
    steps = json.loads(done.stdout)["steps"]
    assert steps["inflate"]["cached"] > 5
    assert steps["ingest"]["cached"] > 5
    assert stable_bytes(tmp_path / "run") == stable_bytes(cut)


def test_a_trial_reads_each_file_in_one_task(corpus: Path, tmp_path: Path) -> None:
    recipe = settings(corpus, f"read.split_bytes={STEP}", "limit=5")
    result = run_recipe(recipe, tmp_path / "run", quiet=True)
    assert result.steps["ingest"]["tasks"] == 8
    per_file = pl.DataFrame(rows(tmp_path / "run", "signals")).height
    assert per_file == 8 * 5


def test_files_that_are_read_whole(tmp_path: Path) -> None:
    csv = b"text,n\n" + b'"two\nlines",3\n' * 300
    for name, data in {"a.csv": csv, "b.csv.gz": gzipped(csv, 500), "c.html": b"<p>x" * 900,
                       "d.txt": LINES, "e.parquet": b"PAR1, it says" * 40}.items():  # fmt: skip
        path = tmp_path / name
        path.write_bytes(data)
        whole, cut = read(path, None), read(path, 100)
        assert cut.same(whole)
        assert cut.tasks == {"ingest": 1}


@pytest.mark.parametrize("name", ["a.jsonl", "b.jsonl.gz", "c.parquet", "d.warc"])
def test_remote_files_are_cut_too(name: str, tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [f"第{n}行" for n in range(90)]}), sink, row_group_size=9)
    data = {"a.jsonl": LINES, "b.jsonl.gz": gzipped(LINES, 300), "c.parquet": sink.getvalue(),
            "d.warc": (wet() + NESTED) * 5}[name]  # fmt: skip
    (tmp_path / name).write_bytes(data)
    local = read(tmp_path / name, 500)
    system = fsspec.filesystem("memory")
    system.pipe(f"/large/{name}", data)
    try:
        remote = read(f"memory://large/{name}", 500)
    finally:
        system.rm("/large", recursive=True)
    assert remote.same(local)
    assert remote.tasks == local.tasks
    assert remote.tasks["ingest"] > 2


def test_a_wrong_guess_is_unpacked_again(tmp_path: Path) -> None:
    """Members hidden in a member are guessed, found out, and do not count."""
    inner = b"".join(gzip.compress(b'{"text": "inside"}' * 9, mtime=0) for _ in range(60))
    hidden = LINES + inner.replace(b"\n", b"") + b"\n"
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(hidden, 0, mtime=0) + gzipped(LINES, 700))
    asked: list[Task] = []
    with here() as plain:

        def run(tasks: Sequence[Task]) -> list[Done]:
            asked.extend(tasks)
            return plain(tasks)

        cut = read(path, 1600, run=run)
    assert cut.same(read(path, None))
    inflates = [task.parameters for task in asked if task.step == "inflate"]
    guessed = sum(task["guess"] for task in inflates)
    assert guessed > 10
    assert len(inflates) > guessed + 1  # the first range, and at least one guess that was wrong
    assert cut.tasks["inflate"] < len(inflates)


def test_cuts_depend_on_bytes_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    found = []
    for _ in range(2):
        asked: list[Task] = []
        with here() as plain:

            def run(tasks: Sequence[Task]) -> list[Done]:
                asked.extend(tasks)  # noqa: B023
                return plain(tasks)

            read(path, 500, run=run)
        stretches = [t.parameters["stretch"] for t in asked if t.step == "ingest"]
        found.append([(s["start"], s["stop"]) for s in stretches])
    assert found[0] == found[1]
    assert len(found[0]) > 3
    starts = {0} | {n + 1 for n, byte in enumerate(LINES) if byte == 10}
    assert {start for start, _ in found[0]} <= starts
    assert [stop for _, stop in found[0][:-1]] == [start for start, _ in found[0][1:]]
