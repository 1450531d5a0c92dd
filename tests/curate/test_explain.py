"""What ``curate why`` says: every rule, the twin and how it differs, spans, the quarantine."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.command import command
from yanmo.curate.decide import decide
from yanmo.curate.explain import explain, render
from yanmo.curate.explain_rules import judged
from yanmo.curate.explain_twins import twin_lines
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.recipe import load

SHARED = "本站所有文章的这一行都是一样的。"


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Articles, an edited one, two poor texts and a line that is no JSON, run by the command."""
    folder = tmp_path_factory.mktemp("explain")
    lines = (root / "fixtures" / "jsonl" / "articles.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines][:8]
    for number, row in enumerate(rows):
        row["url"] = f"https://a.example/{number}"
        row["text"] = f"{SHARED}\n{row['text']}\n{SHARED}"
    edited = {**rows[0], "url": "https://b.example/copy"}
    edited["text"] = edited["text"].removesuffix(SHARED) + "转载时编者加了这样一句话。"
    same = {**rows[1], "url": "https://c.example/same"}
    poor = [{"text": "买买买，点点点！\n" * 40, "url": "https://d.example/repeats"},
            {"text": "Too short.", "url": "https://d.example/short"}]  # fmt: skip
    written = [json.dumps(row, ensure_ascii=False) for row in [*rows, edited, same, *poor]]
    (folder / "in.jsonl").write_text("\n".join([*written, "{no json"]), encoding="utf-8")
    ended = command("curate", "run", folder / "in.jsonl", "--out", folder / "run", "-q",
                    "--workers", 1, "--set", "spans.lines=report")  # fmt: skip
    assert ended.code == 0, ended.err
    return folder / "run"


def test_the_rules_that_fail_are_those_of_the_verdict(run: Path) -> None:
    signals = pq.read_table(run / "signals")
    rules = load(CurateRecipe, run / "recipe.toml").rules
    verdicts = decide(signals, rules).to_pylist()
    assert max(len(verdict["failed"]) for verdict in verdicts) > 3
    for verdict in verdicts:
        found = explain(run, verdict["id"])
        failed = [row["rule"] for row in found["rules"] if row["fails"]]
        assert failed == verdict["failed"]
        assert found["route"] == verdict["route"]
        assert {row["rule"] for row in found["rules"]} == set(rules.in_force(found["route"]))
        told = render(found)
        assert f"{len(found['rules'])} in force, {len(failed)} failed" in told
        for name in failed:
            assert f"- {name}: " in told
        assert "text_hash_hi" in found["signals"]
        assert "text_hash_hi" not in told


def test_a_value_that_is_not_there() -> None:
    """Only a rule that asks for the value itself fails without it."""
    cuts: dict[str, Any] = {
        name: {"signal": "score", "routes": {"default": limit}, "sources": {"default": "recipe"}}
        for name, limit in (("missing_score", 0.0), ("min_score", 3.0))
    }
    for value, fails in ((None, [True, False]), (2.0, [False, True]), (3.0, [False, False])):
        rows = {row["rule"]: row for row in judged({"score": value, "lang": "de"}, cuts)}
        assert [rows[name]["fails"] for name in cuts] == fails
    assert judged({"score": 1.0, "lang": "en"}, cuts) == []
    assert judged({}, cuts) == []


def test_a_near_duplicate_and_its_twin_name_each_other(run: Path) -> None:
    gone = pl.read_parquet(run / "dropped" / "*.parquet")
    row = gone.filter(pl.col("rule") == "near_duplicate").row(0, named=True)
    told = command("curate", "why", run, row["id"]).out
    twin = explain(run, row["id"])["duplicate"]["kept"]
    assert f"that one is {twin['id']}  {twin['url']}" in told
    assert {row["url"], twin["url"]} == {"https://a.example/0", "https://b.example/copy"}
    sign, other = ("-", "+") if twin["url"].endswith("copy") else ("+", "-")
    assert f"{sign} 转载时编者加了这样一句话。" in told
    assert f"{other} {SHARED}" in told
    kept = command("curate", "why", run, twin["url"]).out
    assert "documents that went because this one stays: 1" in kept
    assert f"- {row['id']}  {row['url']} (Jaccard about " in kept
    assert twin["id"] not in kept.replace(twin["id"], "", 1).split("went because")[0]


def test_the_same_text_needs_no_diff(run: Path) -> None:
    gone = pl.read_parquet(run / "dropped" / "*.parquet")
    row = gone.filter(pl.col("rule") == "exact_duplicate").row(0, named=True)
    told = command("curate", "why", run, row["url"]).out
    assert "(the same text)" in told
    assert "they differ" not in told


def test_long_texts_are_not_compared_line_by_line() -> None:
    long = "\n".join(str(number) for number in range(2_001))
    kept = {"id": "b", "origin": "o", "url": None, "outcome": "dropped", "text": long}
    row = {"id": "a", "cluster": "b", "kept_id": "b", "how": "near", "jaccard": 0.9,
           "cluster_size": 2, "kept": kept, "removed": []}  # fmt: skip
    told = "\n".join(twin_lines({"duplicate": row, "text": long + "\nx"}))
    assert "not compared line by line" in told
    assert "a later step dropped that one too" in told


def test_a_line_that_stands_twice_is_one_line(run: Path) -> None:
    found = explain(run, "https://a.example/2")
    assert [span["text"].strip() for span in found["spans"]] == [SHARED, SHARED]
    told = [line for line in render(found).splitlines() if line.startswith("reported lines")]
    assert len(told) == 1
    assert "(and 1 more places)" in told[0]


def test_a_record_of_the_quarantine_goes_by_its_origin(run: Path) -> None:
    offset = (run.parent / "in.jsonl").read_bytes().index(b"{no json")
    ended = command("curate", "why", run, f"in.jsonl#{offset}")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("quarantined: ")
    told = command("curate", "why", run, f"in.jsonl#{offset}", "--json").json()
    assert told["outcome"] == "quarantined"
    assert told["error"] in ended.out
    assert command("curate", "why", run, f"in.jsonl#{offset + 1}").code == 1


def test_several_of_one_address_are_told_apart(tmp_path: Path) -> None:
    rows = [json.dumps({"text": text, "url": "https://x.example/"}) for text in ("One.", "Two.")]
    (tmp_path / "in.jsonl").write_text("\n".join(rows), encoding="utf-8")
    command("curate", "run", tmp_path / "in.jsonl", "--out", tmp_path / "run", "-q", "--workers", 1)
    ended = command("curate", "why", tmp_path / "run", "https://x.example/")
    assert ended.code == 1
    assert "in.jsonl#0" in ended.err
    assert f"in.jsonl#{len(rows[0]) + 1}" in ended.err


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_part_that_is_cut_or_gone_is_named(run: Path, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns(".cache"))
    part = folder / "documents" / "part-00000.parquet"
    data = part.read_bytes()
    part.unlink()
    if damage == "cut":
        part.write_bytes(data[: len(data) // 2])
    for words in (("why", folder, "x"), ("report", folder), ("forget", folder, "x")):
        ended = command("curate", *words)
        assert ended.code == 1
        assert "documents/part-00000.parquet: " in ended.err
        assert ("missing" if damage == "gone" else "changed or cut") in ended.err
