"""Whatever happens to the bytes of an input, the books balance and reading does not end early."""

import contextlib
import gzip
import json
import os
import tempfile
from pathlib import Path

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.read import ReadOptions
from yanmo.errors import DataError

from .read_audit import Outcome, read
from .test_read_warc import GOOD, LYING, SKIPPED

LINES = "".join(
    json.dumps({"text": f"第{number}行 of it", "n": number}, ensure_ascii=False) + "\n"
    for number in range(30)
).encode()
CSV = b"text,n\n" + "".join(f'"行 {n}\n""x""",{n}\n' for n in range(30)).encode()
WARC = SKIPPED["warcinfo"] + GOOD + SKIPPED["request"] + GOOD + LYING["too short"] + GOOD
GZIP = b"".join(gzip.compress(LINES[at : at + 300], mtime=0) for at in range(0, len(LINES), 300))
ZSTD = b"".join(
    zstandard.ZstdCompressor(write_checksum=True).compress(LINES[at : at + 300])
    for at in range(0, len(LINES), 300)
)
WARC_GZIP = b"".join(gzip.compress(part, mtime=0) for part in (GOOD, SKIPPED["request"], GOOD))
SMALL = ReadOptions(max_record_bytes=1024, batch_rows=7)

BYTES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\n", b"\r\n", b"\0", b'"', b"{}", b"WARC/1.0\r\n", b"\x1f\x8b\x08\0", GOOD]),
)
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 60), BYTES)


def edited(data: bytes, edits: list[tuple[float, int, bytes]], keep: float) -> bytes:
    """Replace spans (place, bytes removed, bytes put in) and cut the end off."""
    for place, removed, put in edits:
        at = int(place * len(data))
        data = data[:at] + put + data[at + removed :]
    return data[: int(len(data) * keep)]


def run(data: bytes, name: str, options: ReadOptions = SMALL) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return read(path, options=options)


EXAMPLES = int(os.environ.get("YANMO_EXAMPLES", "50"))
few = settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 50)
mutations = given(edits=st.lists(EDIT, max_size=4), keep=st.one_of(st.just(1.0), st.floats(0, 1)))


@few
@mutations
def test_json_lines(edits: list[tuple[float, int, bytes]], keep: float) -> None:
    data = edited(LINES, edits, keep)
    outcome = run(data, "a.jsonl")
    # A second count: each line that holds something is a record.
    lines = [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    assert outcome.total["records"]["read"] == len(lines)


@few
@mutations
def test_lines_of_text(edits: list[tuple[float, int, bytes]], keep: float) -> None:
    run(edited(LINES, edits, keep), "a.txt", ReadOptions(txt="line", max_record_bytes=1024))


@few
@mutations
def test_csv(edits: list[tuple[float, int, bytes]], keep: float) -> None:
    data = edited(CSV, edits, keep)
    if _has_header(data):
        run(data, "a.csv")
    else:
        with contextlib.suppress(DataError):  # the first row does not name the column
            run(data, "a.csv")


def _has_header(data: bytes) -> bool:
    return data.startswith(b"text,n\n")


@few
@mutations
def test_gzip(edits: list[tuple[float, int, bytes]], keep: float) -> None:
    run(edited(GZIP, edits, keep), "a.jsonl.gz")


@few
@mutations
def test_zstd(edits: list[tuple[float, int, bytes]], keep: float) -> None:
    run(edited(ZSTD, edits, keep), "a.jsonl.zst")


@few
@mutations
def test_warc(edits: list[tuple[float, int, bytes]], keep: float) -> None:
    data = edited(WARC, edits, keep)
    run(data, "a.warc", ReadOptions())
    # A whole record behind whatever came before is always found again.
    outcome = run(data + b"\r\n\r\n" + GOOD, "a.warc", ReadOptions())
    assert outcome.pages[-1]["origin"] == f"a.warc#{len(data) + 4}"


@few
@mutations
def test_compressed_warc(edits: list[tuple[float, int, bytes]], keep: float) -> None:
    data = edited(WARC_GZIP, edits, keep)
    run(data, "a.warc.gz", ReadOptions())
    run(data, "a.warc.gz", SMALL)


@few
@given(
    data=st.binary(max_size=300), name=st.sampled_from(["a.jsonl", "a.warc", "a.txt.gz", "a.html"])
)
def test_any_bytes(data: bytes, name: str) -> None:
    run(data, name)
