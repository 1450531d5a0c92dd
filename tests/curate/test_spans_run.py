"""Duplicate spans through whole runs and the command: ledgers, equal bytes, report, why."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.command import command
from yanmo.curate.runfolder import STABLE

COMMON = "欢迎转载，转载请注明出处，本站保留一切权利。"
BODY = "天地玄黄宇宙洪荒日盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"
ON = ("--set", "spans.lines=remove", "--set", "spans.line_documents=3",
      "--set", "spans.sentences=report", "--set", "output.part_bytes=65536")  # fmt: skip


def texts() -> list[str]:
    """Texts of their own that share a line; two are little more than that."""
    random = np.random.default_rng(3)
    own = ["".join(BODY[k] for k in random.integers(0, len(BODY), 90)) for _ in range(11)]
    return [*(f"{text}。\n{COMMON}\n第{n}篇完。" for n, text in enumerate(own)),
            f"{COMMON}\n短短的几句，与别人都不一样，也并不长。", COMMON]  # fmt: skip


def stable(run: Path) -> dict[str, bytes]:
    files = [f for name in STABLE for f in (run / name, *(run / name).rglob("*")) if f.is_file()]
    return {f.relative_to(run).as_posix(): f.read_bytes() for f in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("spans")
    for half in range(2):
        rows = [json.dumps({"text": t}, ensure_ascii=False) for t in texts()[half::2]]
        (folder / f"in-{half}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    ended = command("curate", "dedup", folder / "in-0.jsonl", folder / "in-1.jsonl",
                    "--out", folder / "run", "--workers", 1, "--json", *ON)  # fmt: skip
    assert ended.code in (0, None), ended.err
    return folder, ended.json()


def test_the_line_stays_once_and_the_books_balance(made: tuple[Path, dict[str, Any]]) -> None:
    folder, funnel = made
    kept = pl.read_parquet(folder / "run" / "documents" / "*.parquet")
    assert sum(COMMON in text for text in kept["text"]) == 1
    assert funnel["dropped"]["left_by_spans"] == 2
    assert funnel["kept"] == kept.height == 11
    books = funnel["characters"]
    assert books["kept"] == kept["n_chars"].sum() == kept["text"].str.len_chars().sum()
    assert kept["n_bytes"].to_list() == [len(text.encode()) for text in kept["text"]]
    assert books["edits"]["duplicate_lines"]["removed"] == 10 * (len(COMMON) + 1)
    removed = sum(edit["removed"] for edit in books["edits"].values())
    assert books["in"] == books["kept"] + sum(books["dropped"].values()) + removed
    lines = pl.read_parquet(folder / "run" / "duplicates" / "lines-*.parquet")
    found = lines.filter(pl.col("kind") == "lines")
    assert found.height == 12
    assert set(found["text"]) == {COMMON}
    assert found["first_id"].n_unique() == 1


def test_again_nothing_is_redone_and_two_workers_give_the_same(
    made: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = made
    before = stable(folder / "run")
    again = command("curate", "dedup", folder / "in-0.jsonl", folder / "in-1.jsonl",
                    "--out", folder / "run", "--workers", 1, "--json", *ON)  # fmt: skip
    assert again.json()["fresh_tasks"] == 0
    assert stable(folder / "run") == before
    command("curate", "dedup", folder / "in-0.jsonl", folder / "in-1.jsonl",
            "--out", folder / "two", "--workers", 2, "--json", *ON)  # fmt: skip
    assert stable(folder / "two") == before


def test_why_and_the_report_show_what_was_cut(made: tuple[Path, dict[str, Any]]) -> None:
    run = made[0] / "run"
    lines = pl.read_parquet(run / "duplicates" / "lines-*.parquet").filter(
        pl.col("kind") == "lines"
    )
    row = lines.row(0, named=True)
    told = command("curate", "why", run, row["id"])
    assert f"removed lines {row['start']}–{row['end']}" in told.out
    assert row["first_id"] in told.out
    assert command("curate", "why", run, row["id"], "--json").json()["spans"][0] == row
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Spans that several documents hold" in page
    assert COMMON in page


def test_why_of_a_stretch_counts_no_documents(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    one, two, both = (
        "".join(BODY[k] for k in random.integers(0, len(BODY), 120)) for _ in range(3)
    )
    rows = [
        json.dumps({"text": f"{own}{both}{own[::-1]}"}, ensure_ascii=False) for own in (one, two)
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(rows), encoding="utf-8")
    run = tmp_path / "run"
    command("curate", "dedup", tmp_path / "in.jsonl", "--out", run, "--workers", 1,
            "--set", "spans.substrings=report")  # fmt: skip
    row = pl.read_parquet(run / "duplicates" / "lines-*.parquet").row(0, named=True)
    assert row["text"] == both
    told = command("curate", "why", run, row["id"]).out
    assert f"reported substrings 120–240, first {row['first_id']}: {both[:80]}…" in told
    assert both[:60] in (run / "report.html").read_text(encoding="utf-8")


def test_off_by_default(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = made
    command("curate", "dedup", folder / "in-0.jsonl", "--out", tmp_path / "run", "--workers", 1)
    names = {path.name for path in (tmp_path / "run" / "duplicates").iterdir()}
    assert names == {"documents.parquet"}


def test_a_wrong_option_is_named(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    for wrong, said in (("spans.lines=yes", "none of the choices"), ("spans.line=remove", "lines"),
                        ("spans.line_documents=1", "must lie in 2")):  # fmt: skip
        ended = command("curate", "dedup", made[0] / "in-0.jsonl", "--out", tmp_path / "no",
                        "--set", wrong)  # fmt: skip
        assert ended.code == 2
        assert said in ended.err


@pytest.mark.realdata
def test_lines_of_statutes_are_those_of_a_dictionary(realdata: Path, tmp_path: Path) -> None:
    source = realdata / "text" / "zh-laws_lawrefbook.jsonl.zst"
    ended = command("curate", "dedup", source, "--out", tmp_path / "run", "--workers", 1, "--json",
                    "--set", "spans.lines=report", "--set", "spans.fold=exact")  # fmt: skip
    assert ended.code in (0, None), ended.err
    kept = pl.read_parquet(tmp_path / "run" / "documents" / "*.parquet", columns=["id", "text"])
    holders: dict[str, set[str]] = {}
    for identity, text in kept.rows():
        for line in text.split("\n"):
            if len(line.strip()) >= 10:
                holders.setdefault(line.strip(), set()).add(identity)
    wanted = {(line, i) for line, ids in holders.items() if len(ids) >= 7 for i in ids}
    rows = pl.read_parquet(tmp_path / "run" / "duplicates" / "lines-*.parquet")
    found = set(rows.select("text", "id").rows())
    firsts = set(rows.select("text", "first_id").rows())
    assert found | firsts == wanted
    assert not found & firsts
    assert len(found) > 500
