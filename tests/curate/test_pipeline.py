"""The run as a whole: ledgers, equal bytes, resume, and what a moved threshold costs."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from yanmo.curate.discover import InputSpec
from yanmo.curate.pipeline import run_recipe
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.runfolder import STABLE
from yanmo.errors import DataError, UsageError
from yanmo.recipe import load

SENTENCES = (
    "清晨的市场里，卖豆腐的老人把热气腾腾的木盒打开，豆香顺着石板路飘出去很远。",
    "研墨要慢，水要少，力要匀，写字的人常说，墨磨好了，心也就静下来了。",
    "河边的柳树发了新芽，孩子们折下细枝做成哨子，一路吹着走回村里。",
    "图书馆的管理员每天傍晚都会把还回来的书按编号放回架上，她说这是最好的散步。",
    "这座石桥修于三百年前，桥栏上的狮子有的已经看不清眉眼，却仍然守着来往的船。",
    "他把旧收音机拆开，又按原样装回去，第二天它居然重新响了，播的是一段评弹。",
)


def article(number: int) -> str:
    """Text of its own: sentences in an order that depends on the number, with details in them."""
    picked = [SENTENCES[(number * 7 + i * (1 + number % 5)) % len(SENTENCES)] for i in range(4)]
    detail = (
        f"那是第{number}次，记在{number * 37 % 1000}页第{number * 11 % 90}行，编号{number:05d}。"
    )
    words = [f"{chr(0x4E00 + (number * 131 + i * 977) % 15000)}" for i in range(160 + number % 60)]
    body = "".join(w + ("，" if i % 9 == 8 else "") for i, w in enumerate(words))
    return "".join(picked[:2]) + detail + "的年在月是和日了" + body + "。\n" + "".join(picked[2:])


def write_jsonl(path: Path, texts: list[str]) -> None:
    lines = [json.dumps({"text": t, "url": f"https://site{i % 7}.example/{i}", "n": i},
                        ensure_ascii=False) for i, t in enumerate(texts)]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two JSONL files, a folder of HTML and a gzip, with duplicates, rubbish and short texts."""
    folder = tmp_path / "corpus"
    (folder / "html").mkdir(parents=True)
    texts = [article(i) for i in range(60)]
    write_jsonl(folder / "a.jsonl", [*texts[:30], texts[3], texts[4] + "\n（转载）", "短。"])
    with gzip.open(folder / "b.jsonl.gz", "wt", encoding="utf-8") as stream:
        for number, text in enumerate(texts[30:]):
            stream.write(json.dumps({"text": text, "id": number}, ensure_ascii=False) + "\n")
        stream.write('{"text": 3}\nnot json\n')
    head = "<html><head><title>标题</title><meta charset=gbk></head><body><nav>首页</nav>"
    page = head + "<article>{}</article></body></html>"
    for number in range(5):
        html = page.format("".join(f"<p>{p}</p>" for p in article(100 + number).split("\n")))
        (folder / "html" / f"{number}.html").write_bytes(html.encode("gb18030"))
    return folder


def settings(corpus: Path, *overrides: str) -> CurateRecipe:
    recipe = load(CurateRecipe, None, overrides)
    from dataclasses import replace

    return replace(recipe, input=(InputSpec(str(corpus), source="test"),))


def stable_bytes(run: Path) -> dict[str, bytes]:
    found = {}
    for name in STABLE:
        path = run / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            found[file.relative_to(run).as_posix()] = file.read_bytes()
    return found


def test_every_record_has_one_fate(corpus: Path, tmp_path: Path) -> None:
    funnel = run_recipe(settings(corpus), tmp_path / "run", quiet=True).funnel
    assert funnel["read"] == 33 + 32 + 5
    assert funnel["quarantined"] == 2
    assert funnel["dropped"]["exact_duplicate"] == 1
    assert funnel["dropped"]["near_duplicate"] == 1
    spent = funnel["kept"] + sum(funnel["dropped"].values()) + sum(funnel["skipped"].values())
    assert spent + funnel["quarantined"] == funnel["read"]
    kept = pl.read_parquet(tmp_path / "run" / "documents" / "*.parquet")
    assert kept["id"].n_unique() == kept.height == funnel["kept"]
    assert kept["n_chars"].to_list() == [len(t) for t in kept["text"]]
    assert kept["n_bytes"].to_list() == [len(t.encode()) for t in kept["text"]]
    assert kept["n_chars"].sum() == funnel["characters"]["kept"]
    html = kept.filter(pl.col("origin").str.contains("html"))
    assert html.height == 5
    assert set(html["encoding"]) == {"gb18030"}
    assert json.loads(html["meta"][0])["title"] == "标题"
    assert (tmp_path / "run" / "report.html").stat().st_size > 5000


def test_characters_balance_in_the_funnel(corpus: Path, tmp_path: Path) -> None:
    funnel = run_recipe(settings(corpus), tmp_path / "run", quiet=True).funnel
    books = funnel["characters"]
    added = sum(edit["added"] for edit in books["edits"].values())
    removed = sum(edit["removed"] for edit in books["edits"].values())
    dropped = sum(books["dropped"].values())
    assert books["in"] + added == books["kept"] + dropped + books["quarantined"] + removed


@pytest.mark.slow
def test_bytes_are_equal_for_any_number_of_workers(corpus: Path, tmp_path: Path) -> None:
    run_recipe(settings(corpus), tmp_path / "one", workers=1, quiet=True)
    run_recipe(settings(corpus), tmp_path / "two", workers=2, quiet=True)
    assert stable_bytes(tmp_path / "one") == stable_bytes(tmp_path / "two")


def test_second_run_redoes_nothing(corpus: Path, tmp_path: Path) -> None:
    first = run_recipe(settings(corpus), tmp_path / "run", quiet=True)
    before = stable_bytes(tmp_path / "run")
    again = run_recipe(settings(corpus), tmp_path / "run", quiet=True)
    assert first.fresh > 0
    assert again.fresh == 0
    assert stable_bytes(tmp_path / "run") == before


def test_moved_threshold_rereads_no_text(corpus: Path, tmp_path: Path) -> None:
    first = run_recipe(settings(corpus), tmp_path / "run", quiet=True)
    moved = run_recipe(settings(corpus, "rules.zh.min_words=330"), tmp_path / "run", quiet=True)
    fresh = {name for name, step in moved.steps.items() if step["tasks"] > step["cached"]}
    reading = {"ingest", "clean", "measure", "signatures"}
    assert fresh & reading == set()
    assert "decide" in fresh
    assert moved.funnel["kept"] != first.funnel["kept"]
    # The same verdicts, whichever way one got there.
    run_recipe(settings(corpus, "rules.zh.min_words=330"), tmp_path / "fresh", quiet=True)
    assert stable_bytes(tmp_path / "run") == stable_bytes(tmp_path / "fresh")


def test_changed_input_redoes_its_part_alone(corpus: Path, tmp_path: Path) -> None:
    run_recipe(settings(corpus), tmp_path / "run", quiet=True)
    write_jsonl(corpus / "zz.jsonl", [article(500)])
    again = run_recipe(settings(corpus), tmp_path / "run", quiet=True)
    assert again.steps["ingest"]["tasks"] > again.steps["ingest"]["cached"]


@pytest.mark.slow
def test_killed_run_goes_on(corpus: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "yanmo", "curate", "run", str(corpus), "--out",
               str(tmp_path / "run"), "--workers", "2", "-q", "--json"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    cache = tmp_path / "run" / ".cache"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if list(cache.glob("clean/*/result.json")):
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, capture_output=True, check=True)
    result = json.loads(done.stdout)
    assert result["steps"]["clean"]["cached"] > 0
    run_recipe(CurateRecipe(input=(InputSpec(str(corpus)),)), tmp_path / "straight", quiet=True)
    assert stable_bytes(tmp_path / "run") == stable_bytes(tmp_path / "straight")


def test_error_budget_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("nonsense\n" * 300, encoding="utf-8")
    recipe = CurateRecipe(input=(InputSpec(str(tmp_path / "bad.jsonl")),))
    with pytest.raises(DataError, match=r"300 of 300 records cannot be read \(.*: 300\)"):
        run_recipe(recipe, tmp_path / "run", quiet=True)


def test_foreign_folder_is_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"--out holds other files, got \['thesis.tex'\]"):
        run_recipe(settings(corpus), tmp_path / "run", quiet=True)


@pytest.mark.parametrize("keep", ["text", "sample", "none"])
def test_text_of_dropped_documents(corpus: Path, tmp_path: Path, keep: str) -> None:
    recipe = settings(corpus, f"output.keep_dropped={keep}", "rules.zh.min_words=10000")
    run_recipe(recipe, tmp_path / "run", quiet=True)
    dropped = pl.read_parquet(tmp_path / "run" / "dropped" / "*.parquet")
    kept_texts = dropped["text"].drop_nulls().len()
    assert dropped.height > 50
    assert kept_texts == {"text": dropped.height, "none": 0}.get(keep, kept_texts)
    assert keep != "sample" or kept_texts < dropped.height / 4


def test_why_and_report_through_the_command(corpus: Path, tmp_path: Path) -> None:
    run_recipe(settings(corpus), tmp_path / "run", quiet=True)
    dropped = pl.read_parquet(tmp_path / "run" / "dropped" / "*.parquet")
    row: dict[str, Any] = dropped.filter(pl.col("rule") == "near_duplicate").row(0, named=True)
    command = [sys.executable, "-m", "yanmo", "curate", "why", str(tmp_path / "run"), row["id"]]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "near_duplicate" in text
    assert "Jaccard" in text
    missing = subprocess.run([*command[:-1], "zzz"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "no document with this id" in missing.stderr


def test_duplicates_alone_measure_no_signal_unless_asked(corpus: Path, tmp_path: Path) -> None:
    lean, full = tmp_path / "lean", tmp_path / "full"
    command = [sys.executable, "-m", "yanmo", "curate", "dedup", str(corpus), "-q", "--out"]
    subprocess.run([*command, str(lean)], check=True, capture_output=True)
    subprocess.run([*command, str(full), "--set", "duplicates.keep=highest:n_words"],
                   check=True, capture_output=True)  # fmt: skip
    names = [pq.read_schema(next((run / "signals").iterdir())).names for run in (lean, full)]
    assert "n_words" not in names[0]
    assert "n_words" in names[1]
    for run in (lean, full):
        removed = pq.read_table(run / "dropped")
        assert set(removed["rule"].to_pylist()) == {"exact_duplicate", "near_duplicate"}
        why = [sys.executable, "-m", "yanmo", "curate", "why", str(run), removed["id"][0].as_py()]
        told = subprocess.run(why, check=True, capture_output=True, text=True).stdout
        assert "duplicate" in told
