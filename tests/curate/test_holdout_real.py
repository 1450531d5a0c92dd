"""No near-duplicate stands on both sides: exact Jaccard of every training and held-out document."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from yanmo.curate.pack import pack_folder
from yanmo.curate.pack_options import PackSettings
from yanmo.documents import part_paths
from yanmo.shards import open_shards

from ..command import command  # noqa: TID252  # shared by all folders of tests/
from .test_pack import make_tokenizer

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

Matrix = npt.NDArray[np.float64]
ALIKE = 0.8  # what the clusters of the default recipe promise to find; see docs/duplicates.md


@pytest.fixture(scope="module")
def runs(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """450 pages in four versions each: all of them, with and without the table of duplicates."""
    base = tmp_path_factory.mktemp("versions")
    source = realdata / "dedup" / "tidb-versions.jsonl.zst"
    for step in ("extract", "dedup"):
        ended = command("curate", step, source, "--out", base / step, "-q", "--workers", "1")
        assert ended.code == 0, ended.err
    shutil.copytree(base / "extract", base / "with", ignore=shutil.ignore_patterns(".cache"))
    shutil.copytree(base / "dedup" / "duplicates", base / "with" / "duplicates",
                    dirs_exist_ok=True)  # fmt: skip
    return {"with": base / "with", "without": base / "extract", "tokenizer":
            make_tokenizer(base / "t")}  # fmt: skip


def _shingles(text: str) -> set[int]:
    """Hashes of the character 5-grams, whitespace removed: the measure of the truth's table."""
    dense = "".join(text.split())
    return {xxhash.xxh3_64_intdigest(dense[i : i + 5].encode()) for i in range(len(dense) - 4)}


def _sides(
    runs: dict[str, Path], name: str, tmp_path: Path, limit: float | None
) -> tuple[Matrix, int]:
    """Jaccard of each training document (rows) and each held-out one, and how many are held out."""
    run = runs[name]
    if name == "without":
        shutil.rmtree(run / "duplicates", ignore_errors=True)
    out = tmp_path / name
    how = PackSettings(holdout_fraction=0.1, seed=1, holdout_jaccard=limit)
    pack_folder(run, tokenizer=runs["tokenizer"], out=out, quiet=True, settings=how)
    texts = {row["id"]: row["text"] for path in part_paths(run)
             for row in pq.read_table(path, columns=["id", "text"]).to_pylist()}  # fmt: skip
    sides = []
    for folder in (out, out / "heldout"):
        tables = [pq.read_table(p.docs, columns=["id"]) for p in open_shards(folder).parts]
        ids = pa.concat_tables(tables).column("id").to_pylist()
        sides.append([_shingles(texts[i]) for i in ids])
    assert sum(map(len, sides)) == len(texts)
    train, held = sides
    owners: dict[int, list[int]] = {}
    for number, grams in enumerate(held):
        for gram in grams:
            owners.setdefault(gram, []).append(number)
    found = np.zeros((len(train), len(held)))
    for row, grams in enumerate(train):
        hits = [number for gram in grams for number in owners.get(gram, ())]
        found[row] = np.bincount(hits, minlength=len(held)) if hits else 0
    sizes = [np.array([len(s) for s in side]) for side in sides]
    union = sizes[0][:, None] + sizes[1][None, :] - found
    return np.where(union > 0, found / np.maximum(union, 1), 0.0), len(held)


@pytest.mark.parametrize(("name", "least"), [("with", 100), ("without", 10)])
def test_no_near_duplicate_crosses(
    runs: dict[str, Path], name: str, least: int, tmp_path: Path
) -> None:
    """Clusters and the last look together, and the last look alone."""
    alike, held = _sides(runs, name, tmp_path, ALIKE)
    assert held >= least
    assert alike.max() < ALIKE, (int((alike >= ALIKE).sum()), float(alike.max()))


def test_clusters_alone_let_a_few_cross_and_nothing_lets_most_cross(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    """So the test above can fail, on both accounts."""
    alike, held = _sides(runs, "with", tmp_path, None)
    crossing = int((alike.max(axis=0) >= ALIKE).sum())
    assert 0 < crossing < held / 10
    alike, held = _sides(runs, "without", tmp_path, None)
    assert int((alike.max(axis=0) >= ALIKE).sum()) > held / 2
