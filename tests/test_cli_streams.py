"""Standard streams and data: JSON, encodings, pipes, stdin, and records that cannot be read."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .command import QUICK, command, said, usage_error
from .web import article, json_line, page, warc, warc_record


def test_json_is_one_object_and_nothing_else(corpus: Path, tmp_path: Path) -> None:
    ended = command("curate", "run", corpus, "--out", tmp_path / "run", *QUICK, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    told = ended.json()
    assert (told["read"], told["quarantined"], told["kept"]) == (3, 1, 1)
    assert told["dropped"] == {"min_words": 1}
    funnel = json.loads((tmp_path / "run" / "funnel.json").read_text(encoding="utf-8"))
    assert {key: told[key] for key in funnel} == funnel
    kept = next((tmp_path / "run" / "documents").iterdir())
    assert kept.name == "part-00000.parquet"
    assert command("doctor", "--json").json()["ok"] is True
    assert isinstance(command("models", "verify", "--json").json(), dict)


def test_dry_run_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    arguments = ("curate", "run", corpus, "--out", tmp_path / "run", "--dry-run", "--seed", 9)
    told = command(*arguments, "--json").json()
    assert (told["files"], told["bytes"], told["tasks"]) == (1, corpus.stat().st_size, 1)
    assert told["recipe"]["seed"] == 9
    assert "seed = 9\n" in command(*arguments).out
    usage_error(command("curate", "run", "none", "--out", tmp_path / "run", "--dry-run"), "none")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_quiet_and_verbose_may_stand_before_the_command(corpus: Path, tmp_path: Path) -> None:
    arguments = ("curate", "run", corpus, "--out", corpus)
    for before, after in [(["-v"], []), ([], ["-v"]), ([], ["-qv"]), ([], ["--verbose"])]:
        ended = command(*before, *arguments, *after)
        assert ended.code == 2
        assert "Traceback" in ended.err
        assert ended.err.splitlines()[-1].startswith("usage: ")
    usage_error(command("-q", *arguments), "--out is a file")


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "latin-1"])
def test_a_terminal_of_another_encoding(encoding: str, corpus: Path, tmp_path: Path) -> None:
    ended = command("curate", "run", corpus, "--out", tmp_path / "run", *QUICK, encoding=encoding)
    assert ended.code == 0
    assert "kept" in ended.out
    source = tmp_path / "墨.jsonl"
    source.write_bytes(json_line(article(2)))
    told = command("curate", "run", source, "--out", tmp_path / "墨", *QUICK, "--json",
                   encoding=encoding)  # fmt: skip
    assert told.json()["report"] == str(tmp_path / "墨" / "report.html")
    assert command("--help", encoding=encoding).code == 0


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.jsonl")).write_bytes(json_line(article(3)))
    arguments = ("curate", "run", folder / os.fsdecode(b"\xff.jsonl"), *QUICK)
    ended = command(*arguments, "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    usage_error(command(*arguments, "--out", folder / "run"), "--out is no text in UTF-8")
    found = command("curate", "why", tmp_path / "run", "\\xff.jsonl#0", "--json").json()
    assert found["text"].startswith(article(3)[:20])


def test_a_closed_pipe_is_no_accident(corpus: Path, tmp_path: Path) -> None:
    line = f'"{sys.executable}" -m yanmo curate init --out "{tmp_path}/r.toml" | true; echo $?'
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "warc.gz", "html", "txt"])
def test_stdin_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    lines = json_line(article(1)) + json_line(article(2))
    data = {
        "jsonl": lines,
        "jsonl.gz": gzip.compress(lines),
        "warc.gz": b"".join(map(gzip.compress, warc(range(1, 3)))),
        "html": page(1).encode(),
        "txt": article(1).encode(),
    }[kind]
    ended = command("curate", "run", "-", "--out", tmp_path / "run", *QUICK, "--json", stdin=data)
    assert ended.code == 0, ended.err
    told = ended.json()
    assert told["kept"] == (1 if kind in ("html", "txt") else 2)
    assert told["bytes"]["stored"]["bytes"] == len(data)
    again = command("curate", "run", "-", "--out", tmp_path / "run", *QUICK, "--json", stdin=data)
    assert again.json()["fresh_tasks"] == 0


def test_nothing_on_stdin(tmp_path: Path) -> None:
    ended = command("curate", "run", "-", "--out", tmp_path / "run", *QUICK)
    assert ended.code == 0
    assert "Nothing was kept" in ended.out


def test_only_bad_records_fail_with_the_first_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "x"}\n' * 3, encoding="utf-8")
    ended = command("curate", "run", tmp_path / "a.jsonl", "--out", tmp_path / "run", *QUICK)
    assert ended.code == 1
    said(ended, "error: read: 3 of 3 records cannot be read (no-text: 3)", "a.jsonl#0",
         'no field "text" (fields: body); set read.text_field')  # fmt: skip


def test_a_text_file_that_is_cut_is_no_interruption(tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json_line(article(1)) * 500)[:-20])
    ended = command("vocab", "train", cut, "--out", tmp_path / "v", "--size", "300")
    assert ended.code == 1
    said(ended, f"error: {cut}: cannot read on", "Is the file cut?")
    assert "interrupted" not in ended.err


def test_why_needs_one_document(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command("curate", "run", corpus, "--out", run, *QUICK).code == 0
    ended = command("curate", "why", run, "zzz")
    assert ended.code == 1
    said(ended, f"error: {run}: no document with this id, URL or origin, got 'zzz'")
    (run / "manifest.json").unlink()
    ended = command("curate", "why", run, "zzz")
    assert ended.code == 1
    said(ended, "no manifest.json here")
    ended = command("curate", "report", tmp_path)
    assert ended.code == 1
    said(ended, "not a run folder")


def test_a_server_of_records_is_not_asked_for(tmp_path: Path) -> None:
    """A WARC that names a page twice is two documents: ids come from origins, not addresses."""
    record = warc_record("warcinfo", b"x: y\r\n")
    path = tmp_path / "a.warc"
    path.write_bytes(record + b"".join(warc(range(1, 2))) + b"".join(warc(range(2, 3))))
    told = command("curate", "run", path, "--out", tmp_path / "run", *QUICK, "--json").json()
    assert told["skipped"] == {"request": 2, "warcinfo": 3}
    assert told["kept"] == 2
