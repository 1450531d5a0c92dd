"""Verification against Python sets, through a whole run and over made-up similarities."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import xxhash
from click.testing import CliRunner

from yanmo.curate import verify_duplicates
from yanmo.curate.discover import InputSpec
from yanmo.curate.pipeline import run_recipe
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.recipe import load

POOL = "研墨池水清风明月山高路远天地玄黄宇宙洪荒日盈昃辰宿列张，。abc de1 "


def pages(count: int) -> list[str]:
    """Texts in fives: one, its copy with a few characters changed, three alone."""
    random = np.random.default_rng(5)
    texts: list[str] = []
    for n in range(count):
        if n % 5 == 1:
            old = list(texts[-1])
            for at in random.integers(0, len(old), random.integers(0, 4)).tolist():
                old[at] = "改"
            texts.append("".join(old))
        else:
            length = random.integers(60, 400)
            texts.append("".join(POOL[i] for i in random.integers(0, len(POOL), length)).strip())
    return texts


def char5(text: str) -> set[str]:
    plain = re.sub(r"\s+", "", text)
    return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))}


def verified(folder: Path, *overrides: str, workers: int = 1) -> tuple[dict[str, Any], Path]:
    source = folder / "pages.jsonl"
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in pages(200)]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = folder / f"run-{workers}"
    recipe = load(CurateRecipe, None, ["decide=false", "duplicates.verify=true",
                                       "output.part_bytes=65536", *overrides])  # fmt: skip
    recipe = replace(recipe, input=(InputSpec(str(source)),))
    result = run_recipe(recipe, out, workers=workers, quiet=True)
    assert result.notes[0].startswith("Verified ")
    return json.loads((out / "duplicates" / "verify.json").read_text()), out


def test_every_similarity_is_that_of_python_sets(tmp_path: Path) -> None:
    found, out = verified(tmp_path)
    texts: dict[str, str] = {}
    for folder in ("documents", "dropped"):
        texts |= dict(pl.read_parquet(out / folder / "*.parquet").select("id", "text").iter_rows())
    rows = pl.read_parquet(out / "duplicates" / "documents.parquet").filter(pl.col("how") != "kept")
    truth = []
    for one, other in rows.select("id", "kept_id").iter_rows():
        a, b = char5(texts[one]), char5(texts[other])
        truth.append((len(a & b) / len(a | b), one))
    assert len(truth) > 20
    assert (found["removed"], found["compared"], found["sampled"]) == (
        rows.height,
        rows.height,
        False,
    )
    truth.sort()
    assert [w["id"] for w in found["worst"]] == [name for _, name in truth[:20]]
    assert [w["char5"] for w in found["worst"]] == [round(s, 6) for s, _ in truth[:20]]
    values = np.array([s for s, _ in truth])
    assert found["char5"]["mean"] == round(values.mean(), 6)
    for low, count in found["char5"]["histogram"]:
        last = low == 0.95
        assert count == sum(
            low - 1e-9 <= s < low + 0.05 - 1e-9 or (last and s >= 0.95) for s in values
        )
    # Documents below 256 grams are known whole: the run saw the very same.
    by_id = dict(rows.select("id", "jaccard").iter_rows())
    whole = [(s, by_id[name]) for s, name in truth if len(char5(texts[name])) < 200]
    assert len(whole) > 5
    assert [s for s, _ in whole] == pytest.approx([j for _, j in whole], abs=1e-9)
    page = (out / "report.html").read_text()
    assert "Least alike" in page
    assert "Verified" in page


def test_a_sample_is_that_of_the_smallest_hashes_for_any_workers(tmp_path: Path) -> None:
    found, out = verified(tmp_path, "duplicates.verify_documents=7")
    again, other = verified(tmp_path, "duplicates.verify_documents=7", workers=2)
    assert found == again
    names = [run / "duplicates" / "verify.json" for run in (out, other)]
    assert names[0].read_bytes() == names[1].read_bytes()
    rows = pl.read_parquet(out / "duplicates" / "documents.parquet").filter(pl.col("how") != "kept")
    ids = sorted(rows["id"].to_list(), key=lambda i: xxhash.xxh3_64_intdigest(i.encode()))
    assert {w["id"] for w in found["worst"]} == set(ids[:7])
    assert (found["compared"], found["sampled"]) == (7, True)


def test_without_duplicates_there_is_nothing_to_compare(tmp_path: Path) -> None:
    found, _ = verified(tmp_path, "duplicates.min_jaccard=1", "duplicates.verify_documents=off",
                        "duplicates.exact=false", "duplicates.rows=64")  # fmt: skip
    assert found["compared"] == found["removed"]


def test_the_account_counts_below_and_at_the_limits() -> None:
    names = [f"d{n}" for n in range(4)]
    pairs = pa.table({"id": names, "kept_id": names, "how": ["near"] * 4, "jaccard": [1.0] * 4})
    values = np.array([0.7, 0.69, 1.0, 0.15])
    found = verify_duplicates.account(
        pairs, {"char5": values, "token5": values}, removed=9, min_jaccard=0.75
    )
    assert found["char5"]["below_0.7"]["count"] == 2
    assert found["char5"]["below_min_jaccard"]["count"] == 3
    assert [low for low, count in found["char5"]["histogram"] if count] == [0.15, 0.65, 0.7, 0.95]
    assert [w["id"] for w in found["worst"]] == ["d3", "d1", "d0", "d2"]
    empty = verify_duplicates.account(
        pairs[:0], {"char5": values[:0], "token5": values[:0]}, removed=0, min_jaccard=None
    )
    assert empty["char5"]["mean"] is None
    assert empty["char5"]["below_0.7"]["interval"] == [0.0, 1.0]


def test_pieces_hold_whole_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_duplicates, "_PIECE", 10)
    cut = list(verify_duplicates._pieces(np.array([4, 6, 1, 30, 2, 2])))
    assert [(s.start, s.stop) for s in cut] == [(0, 2), (2, 3), (3, 4), (4, 6)]


@pytest.mark.parametrize("command", ["run", "dedup"])
def test_the_flag_is_that_of_the_recipe(tmp_path: Path, command: str) -> None:
    from yanmo.curate.cli import group

    (tmp_path / "a.txt").write_text("研墨" * 50, encoding="utf-8")
    arguments = [command, str(tmp_path / "a.txt"), "--out", str(tmp_path / "run"), "--dry-run"]
    said = [CliRunner().invoke(group, [*arguments, *more]).output for more in ([], ["--verify"])]
    assert "verify = false" in said[0]
    assert "verify = true" in said[1]
