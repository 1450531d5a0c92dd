"""An index of earlier runs: what it drops, what it refuses, and runs done again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.command import Ended, command
from yanmo.curate import index_lookup, resemble
from yanmo.curate.cluster_table import weight
from yanmo.curate.duplicate_index import NAME
from yanmo.curate.runfolder import STABLE

from .duplicate_parts import SKETCH, document_table, step, write_parts, write_signals

BODY = (
    "天地玄黄宇宙洪荒日盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜金生丽水玉出昆冈"
)
SMALL = ("--workers", 1, "--json", "--set", "output.part_bytes=65536",
         "--set", "duplicates.keep=earliest")  # fmt: skip


def text(number: int) -> str:
    random = np.random.default_rng(number)
    return "".join(BODY[k] for k in random.integers(0, len(BODY), 300))


def near(number: int) -> str:
    """A copy with three characters changed: 15 of some 300 grams, a Jaccard of about 0.9."""
    old = text(number)
    return old[:40] + "改" + old[41:150] + "改" + old[151:260] + "改" + old[261:]


def write(path: Path, texts: list[str], day: int) -> Path:
    rows = [json.dumps({"text": t, "timestamp": f"2026-01-{day:02d}",
                        "url": f"https://Site{n % 3}.example:80/{n}"}, ensure_ascii=False)
            for n, t in enumerate(texts)]  # fmt: skip
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


CRAWLS = (
    [text(n) for n in range(12)],
    [text(3), near(4), *(text(n) for n in range(20, 28)), near(20)],
    [text(21), near(5), text(3), *(text(n) for n in range(40, 44))],
)


def run(folder: Path, number: int, *more: object) -> Ended:
    return command("curate", "dedup", folder / f"crawl-{number}.jsonl", "--out",
                   folder / f"run-{number}", "--against", folder / "index",
                   "--save-index", folder / "index", *SMALL, *more)  # fmt: skip


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Three crawls, one after another, and the same documents in one run."""
    folder = tmp_path_factory.mktemp("index")
    for number, texts in enumerate(CRAWLS):
        write(folder / f"crawl-{number}.jsonl", texts, number + 1)
    first = command("curate", "dedup", folder / "crawl-0.jsonl", "--out", folder / "run-0",
                    "--save-index", folder / "index", *SMALL)  # fmt: skip
    results = [first, run(folder, 1), run(folder, 2)]
    assert [r.code for r in results] == [0, 0, 0], [r.err for r in results]
    files = [folder / f"crawl-{n}.jsonl" for n in range(3)]
    full = command("curate", "dedup", *files, "--out", folder / "full", *SMALL,
                   "--set", "duplicates.clusters=true")  # fmt: skip
    return folder, [*(r.json() for r in results), full.json()]


def kept(run: Path) -> set[str]:
    return set(pl.read_parquet(run / "documents" / "*.parquet")["text"])


def stable(run: Path) -> dict[str, bytes]:
    files = [f for name in STABLE for f in (run / name, *(run / name).rglob("*")) if f.is_file()]
    return {f.relative_to(run).as_posix(): f.read_bytes() for f in files}


def test_crawl_by_crawl_keeps_what_one_run_keeps(grown: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, results = grown
    assert [r["kept"] for r in results] == [12, 8, 4, 24]
    by_crawl = [kept(folder / f"run-{n}") for n in range(3)]
    assert set.union(*by_crawl) == kept(folder / "full")
    assert sum(map(len, by_crawl)) == 24
    assert results[1]["dropped"] == {"index_exact_duplicate": 1, "index_near_duplicate": 1,
                                     "near_duplicate": 1}  # fmt: skip
    # text(21) lies in the second segment, text(3) and the original of near(5) in the first.
    assert results[2]["dropped"] == {"index_exact_duplicate": 2, "index_near_duplicate": 1}
    rows = pl.read_parquet(folder / "run-2" / "duplicates" / "index-*.parquet")
    assert sorted(rows["run"]) == ["00001-run-0", "00001-run-0", "00002-run-1"]
    texts = {
        row["id"]: row["text"]
        for n in range(3)
        for row in pl.read_parquet(folder / f"run-{n}" / "documents" / "*.parquet").to_dicts()
    }
    assert {texts[k] for k in rows["kept_id"]} == {text(3), text(5), text(21)}


def test_only_new_documents_cost_tasks(grown: tuple[Path, list[dict[str, Any]]]) -> None:
    _, results = grown
    for result, segments in zip(results[:3], (0, 1, 2), strict=True):
        assert {n: result["steps"][n]["tasks"] for n in ("ingest", "signatures", "index-part")} == {
            "ingest": 1, "signatures": 1, "index-part": 1}  # fmt: skip
        looked = [result["steps"].get(f"against-{how}", {"tasks": 0})["tasks"]
                  for how in ("exact", "near")]  # fmt: skip
        assert looked == [segments, segments]


def test_again_the_run_does_not_see_itself(grown: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = grown
    before, index = stable(folder / "run-1"), (folder / "index" / NAME).read_bytes()
    again = run(folder, 1)
    assert again.json()["fresh_tasks"] == 0
    assert stable(folder / "run-1") == before
    assert (folder / "index" / NAME).read_bytes() == index
    run(folder, 1, "--workers", 2, "--rehash")
    assert stable(folder / "run-1") == before


def test_a_new_part_leaves_the_others_alone(grown: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = grown
    write(folder / "more.jsonl", [text(0), text(50)], 9)
    grown_run = ["curate", "dedup", folder / "crawl-2.jsonl", "--out", folder / "run-9",
                 "--against", folder / "index", *SMALL]  # fmt: skip
    assert command(*grown_run).code == 0
    ended = command(*grown_run[:3], folder / "more.jsonl", *grown_run[3:]).json()
    fresh = {name: s["tasks"] - s["cached"] for name, s in ended["steps"].items()}
    assert {n: fresh[n] for n in ("signatures", "against-exact", "against-near")} == {
        "signatures": 1, "against-exact": 3, "against-near": 3}  # fmt: skip


def test_why_names_the_run(grown: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = grown
    row = pl.read_parquet(folder / "run-1" / "duplicates" / "index-*.parquet").row(0, named=True)
    told = command("curate", "why", folder / "run-1", row["id"])
    assert f"run 00001-run-0 of the index kept {row['kept_id']}" in told.out
    assert "Held by earlier runs" in (folder / "run-1" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("duplicates.seed=7", "duplicates.seed: there 1, here 7"),
        ("duplicates.bands=9", "duplicates.bands: there 14, here 9"),
        ("duplicates.shingle_tokens=3", "duplicates.shingle_tokens: there 5, here 3"),
        ("duplicates.shingle=characters", "duplicates.shingle: there tokens, here characters"),
        ("duplicates.near=false", "duplicates.bands: there 14, here None"),
        ("normalize.width=false", "normalize.width"),
    ],
)
def test_other_settings_are_refused(
    grown: tuple[Path, list[dict[str, Any]]], tmp_path: Path, override: str, said: str
) -> None:
    folder, _ = grown
    for option in ("--against", "--save-index"):
        ended = command("curate", "dedup", folder / "crawl-1.jsonl", "--out", tmp_path / "no",
                        option, folder / "index", *SMALL, "--set", override)  # fmt: skip
        assert ended.code == 2
        assert said in ended.err
        assert not (tmp_path / "no" / "manifest.json").exists()


def test_no_index_and_a_broken_one(
    grown: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    source = grown[0] / "crawl-1.jsonl"
    ended = command("curate", "dedup", source, "--out", tmp_path / "a", "--against", tmp_path / "x",
                    *SMALL)  # fmt: skip
    assert (ended.code, "no index of documents here" in ended.err) == (2, True)
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / NAME).write_text('{"made": 3}')
    ended = command("curate", "dedup", source, "--out", tmp_path / "a", "--against", tmp_path / "y",
                    *SMALL)  # fmt: skip
    assert (ended.code, "not an index of documents" in ended.err) == (1, True)
    ended = command("curate", "run", source, "--out", tmp_path / "b", *SMALL,
                    "--save-index", tmp_path / "z", "--set", "duplicates.exact=false",
                    "--set", "duplicates.near=false")  # fmt: skip
    assert (ended.code, "both are off" in ended.err) == (2, True)


def test_clusters_of_the_whole(grown: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = grown
    table = pl.read_parquet(folder / "full" / "duplicates" / "clusters.parquet")
    duplicates = pl.read_parquet(folder / "full" / "duplicates" / "documents.parquet")
    whole = {row["id"]: row for row in pl.concat(
        [pl.read_parquet(folder / "full" / name / "*.parquet", columns=["id", "url", "source"])
         for name in ("documents", "dropped")]).to_dicts()}  # fmt: skip
    assert table["kept_id"].to_list() == sorted(set(duplicates["kept_id"]))
    for row in table.to_dicts():
        mine = duplicates.filter(pl.col("kept_id") == row["kept_id"])
        assert row["size"] == mine.height == 1 + row["exact"] + row["near"]
        members = [whole[i] for i in mine["id"]]
        assert row["sources"] == sorted({m["source"] for m in members})
        hosts = {m["url"].split("/")[2].split(":")[0].lower() for m in members}
        assert row["domains"] == sorted(hosts)
        assert row["weight"] == weight(row["size"])
    assert sorted(table["size"]) == [2, 2, 2, 2, 3]
    largest = table.filter(pl.col("size") == 3).row(0, named=True)
    assert largest["first_timestamp"] == "2026-01-01"
    assert largest["last_timestamp"] == "2026-01-03"


def test_weights_are_those_of_fineweb_2() -> None:
    sizes = (1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6)
    assert [weight(size) for size in sizes] == [1, 2, 3, 3, 5, 5, 8, 8, 1, 1]


SETS = st.lists(st.sets(st.integers(0, 30), max_size=12), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(SETS, st.integers(0, 20).map(lambda n: n / 20))
def test_similarities_are_those_of_sets(sets: list[set[int]], least: float) -> None:
    values = np.array([h for s in sets for h in sorted(s)], np.uint32)
    bounds = np.cumsum([0, *map(len, sets)], dtype=np.int64)
    last = np.concatenate([values[bounds[n] : bounds[n + 1]] for n in range(len(sets))][::-1])
    last_bounds = np.cumsum([0, *map(len, sets[::-1])], dtype=np.int64)
    got = resemble.similarities(values, bounds, last, last_bounds, least)
    for one, other, found in zip(sets, sets[::-1], got.tolist(), strict=True):
        wanted = len(one & other) / len(one | other) if one | other else 0.0
        assert found == (pytest.approx(wanted) if wanted >= least - 1e-9 else -1)


def test_the_best_of_all_in_a_band_is_found(tmp_path: Path) -> None:
    """Against a slow search: a segment of one part, looked up by another."""
    random = np.random.default_rng(4)
    first = [text(n) for n in range(30)] + ["", "。。"]
    second = []
    for n in range(40):
        old = list(first[n % 30])
        for at in random.integers(0, 300, n // 3).tolist():
            old[at] = "改"
        second.append("".join(old))
    parts = write_parts(tmp_path / "in", [
        document_table(first, [f"a{n:03d}" for n in range(len(first))]),
        document_table([*second, "", "。。"], [f"b{n:03d}" for n in range(42)]),
    ])  # fmt: skip
    from yanmo.curate import minhash

    signals = write_signals(tmp_path, parts)
    sketches = [step(tmp_path / f"s{n}", minhash.signature_part, [part], SKETCH)[0]
                / "signatures.parquet" for n, part in enumerate(parts)]  # fmt: skip
    parameters = {"exact": True, "near": True, "parts": 1, **SKETCH}
    made, _ = step(tmp_path / "part", index_lookup.segment_part,
                   [parts[0], signals[0], sketches[0]], parameters)  # fmt: skip
    names = ("ids.parquet", "hashes.npy", "bands.npy", "sketches.bin", "bounds.npy")
    segment, counted = step(tmp_path / "segment", index_lookup.join_segment,
                            [made / name for name in names], parameters)  # fmt: skip
    assert counted == {"documents": 32}
    np.save(tmp_path / "alive.npy", np.ones(42, np.bool_))
    bands = [segment / f"{stem}-{b:02d}.npy" for stem in ("band", "band-rows") for b in range(14)]
    files = [segment / name for name in ("ids.parquet", "sketches.bin", "bounds.npy")]
    looked = {**SKETCH, "min_jaccard": 0.5, "run": "r"}
    found, _ = step(tmp_path / "near", index_lookup.against_near,
                    [sketches[1], tmp_path / "alive.npy", *files, *bands], looked)  # fmt: skip
    rows = pl.read_parquet(found / "matched.parquet").to_dicts()
    exact, _ = step(tmp_path / "exact", index_lookup.against_exact,
                    [signals[1], tmp_path / "alive.npy", files[0], segment / "hashes.npy",
                     segment / "hash-rows.npy"], {"run": "r"})  # fmt: skip
    same = {r["id"]: r["kept_id"] for r in pl.read_parquet(exact / "matched.parquet").to_dicts()}
    assert same == {**{f"b{n:03d}": f"a{n % 30:03d}" for n in range(42) if n < 40
                       and second[n] == first[n % 30]}, "b040": "a030", "b041": "a031"}  # fmt: skip
    grams = [{t[i : i + 5] for i in range(len(t) - 4)} for t in first]
    for row in rows:
        mine = second[int(row["id"][1:])]
        own = {mine[i : i + 5] for i in range(len(mine) - 4)}
        alike = [len(own & g) / max(len(own | g), 1) for g in grams]
        assert row["kept_id"] == f"a{int(np.argmax(alike)):03d}"
        # 296 grams, of which 256 are in the sketch: an estimate.
        assert row["jaccard"] == pytest.approx(max(alike), abs=0.08)
    assert {r["id"] for r in rows} >= {f"b{n:03d}" for n in range(12)}  # up to 4 of 300 changed
    alive = np.load(found / "alive.npy")
    assert np.flatnonzero(~alive).tolist() == [int(r["id"][1:]) for r in rows]
