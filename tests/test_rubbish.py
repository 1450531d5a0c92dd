"""Rubbish in: the three ledgers of a run balance, against a count that shares no code with it."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GOOD = "清晨的市场里，卖豆腐的老人把木盒打开，豆香顺着石板路飘出去很远。" * 4
LINE = json.dumps({"text": GOOD}, ensure_ascii=False).encode() + b"\n"


def rubbish(folder: Path) -> dict[str, int]:
    """Write bad input of many kinds; return how many records each file holds, counted by hand."""
    folder.mkdir()
    good = LINE * 3
    files = {
        "utf8.jsonl": (good + b'{"text": "\xff\xfe"}\n' + good, 7),
        "empty.jsonl": (b"", 0),
        "malformed.jsonl": (good + b'{"text": \n[1, 2]\nnull\n"text"\n{}\n', 8),
        "types.jsonl": (good + b'{"text": 3}\n{"text": null}\n{"text": ["a"]}\n', 6),
        "nul.jsonl": (good + b"\0\0\0\n" + b'{"text": "a\\u0000b"}\n', 5),
        "crlf.jsonl": (b"\xef\xbb\xbf" + LINE.replace(b"\n", b"\r\n") * 2 + LINE[:-1], 3),
        "surrogate.jsonl": (good + b'{"text": "\\ud800"}\n', 4),
        "deep.jsonl": (good + b'{"text": "x", "m": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", 4),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    (folder / "zero.jsonl.gz").write_bytes(b"")
    whole = gzip.compress(LINE * 400, mtime=0)
    (folder / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.xyz").write_bytes(b"what is this")
    return {name: count for name, (_, count) in files.items()}


def run(*words: str) -> dict[str, Any]:
    """The JSON object of a command that must succeed."""
    command = [sys.executable, "-m", "yanmo", *words, "-q", "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# A process starts out with the peak of the one that forked it, and pytest is large: a small process
# stands between the two.
METER = """
import os, sys
pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *sys.argv[1:]])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_measured(*words: str) -> tuple[dict[str, Any], int]:
    """As :func:`run`, and the kilobytes of the largest process of this command alone."""
    command = [sys.executable, "-c", METER, "-m", "yanmo", *words, "-q", "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found, int(done.stderr.split()[-1])


def complete_lines(data: bytes) -> int:
    """Lines that can be read from a gzip stream that was cut, by zlib alone."""
    import zlib

    return zlib.decompressobj(31).decompress(data).count(b"\n")


def test_ledgers_balance_on_rubbish(tmp_path: Path) -> None:
    counts = rubbish(tmp_path / "in")
    funnel = run("curate", "extract", str(tmp_path / "in"), "--out", str(tmp_path / "run"))
    stored = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    books = funnel["bytes"]
    assert books["stored"]["bytes"] == stored
    for side, used in (("stored", "used"), ("content", "records")):
        spent = books[side][used] + sum(books[side]["skipped"].values())
        assert spent + books[side]["quarantined"] == books[side]["bytes"], side
    # The cut stream: its complete lines, the line that the cut went through, and the damage.
    readable = complete_lines((tmp_path / "in" / "cut.jsonl.gz").read_bytes())
    assert sum(counts.values()) + readable + 1 <= funnel["read"]
    assert funnel["read"] <= sum(counts.values()) + readable + 2
    spent = funnel["kept"] + sum(funnel["dropped"].values()) + sum(funnel["skipped"].values())
    assert spent + funnel["quarantined"] == funnel["read"]
    good = 6 + 3 + 3 + 3 + 3 + 3 + 3 + readable
    assert good <= funnel["kept"] <= good + 2  # "a\\0b" and the deep record may be documents
    edits = funnel["characters"]["edits"].values()
    came = funnel["characters"]["in"] + sum(edit["added"] for edit in edits)
    gone = sum(edit["removed"] for edit in edits) + sum(funnel["characters"]["dropped"].values())
    assert came == funnel["characters"]["kept"] + funnel["characters"]["quarantined"] + gone


def test_quarantine_names_file_offset_and_error(tmp_path: Path) -> None:
    import zstandard

    rubbish(tmp_path / "in")
    funnel = run("curate", "extract", str(tmp_path / "in"), "--out", str(tmp_path / "run"))
    rows = []
    for path in (tmp_path / "run" / "quarantine").iterdir():
        with zstandard.open(path, "rt", encoding="utf-8") as stream:
            rows += [json.loads(line) for line in stream]
    assert sum(row["records"] for row in rows) == funnel["quarantined"]
    assert all(row["file"] and row["error"] and row["offset"] >= 0 for row in rows)
    bad = next(row for row in rows if row["file"] == "utf8.jsonl")
    assert bad["offset"] == 3 * len(LINE)


@pytest.mark.slow
def test_a_line_of_100_megabytes_is_quarantined_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as stream:
        stream.write(LINE + b'{"text": "')
        for _ in range(100):
            stream.write(b"a" * 1_000_000)
        stream.write(b'"}\n' + LINE)
    funnel, peak = run_measured(
        "curate", "extract", str(path), "--out", str(tmp_path / "run"), "--workers", "1"
    )
    assert (funnel["read"], funnel["kept"], funnel["quarantined"]) == (3, 2, 1)
    assert funnel["bytes"]["content"]["quarantined"] > 100_000_000
    # The interpreter with its libraries takes 0.4 GB.
    assert peak < 1_500_000
