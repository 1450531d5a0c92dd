"""However a file is cut, the same documents, quarantine and books come out."""

import gzip
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import split, spool, streams, warc
from yanmo.curate.discover import InputSpec, discover
from yanmo.curate.options import ReadOptions
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.split import ingest
from yanmo.errors import LedgerError
from yanmo.tasks import Done, Identities, Task

from .splitting import Reading, here, read
from .test_read_properties import EDIT, EXAMPLES, edited
from .test_read_warc import record

# Each example is read by dozens of tasks: a fifth of what a reader alone is given.
few = settings(max_examples=EXAMPLES // 5, deadline=None, derandomize=EXAMPLES == 50)
STEPS = st.integers(64, 1200)
LINES = b"".join(
    json.dumps({"text": f"第{number}行" * (number % 9), "n": number}, ensure_ascii=False).encode()
    + (b"\r\n" if number % 5 == 0 else b"\n")
    for number in range(40)
)
SMALL: dict[str, Any] = {"max_record_bytes": 1024, "batch_rows": 7}
TEXT = "研墨先于落笔。".encode()


def wet(text: bytes = TEXT, **more: Any) -> bytes:
    """A record that is a page; its extraction needs no parser."""
    return record(text, kind="conversion", content_type="text/plain", **more)


REQUEST = record(b"GET / HTTP/1.1\r\n\r\n", kind="request")
LIES = record(TEXT, kind="conversion", content_type="text/plain", length=700)
NESTED = wet(b"a WARC in a WARC: " + wet() + wet() + b" and its end")
WARC = REQUEST + wet() + wet(TEXT * 30) + LIES + wet() + NESTED + REQUEST + wet() + NESTED + wet()


def gzipped(data: bytes, size: int, level: int = 6) -> bytes:
    cuts = range(0, len(data), size)
    return b"".join(gzip.compress(data[at : at + size], level, mtime=0) for at in cuts)


def zstded(data: bytes, size: int, *, checksum: bool = True) -> bytes:
    packer = zstandard.ZstdCompressor(write_checksum=checksum)
    return b"".join(packer.compress(data[at : at + size]) for at in range(0, len(data), size))


def both(data: bytes, name: str, step: int, **options: Any) -> tuple[Reading, Reading]:
    """Read whole and in stretches; everything must be the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        whole, cut = read(path, None, **options), read(path, step, **options)
    assert whole.tasks == {"ingest": 1}
    assert cut.same(whole)
    return whole, cut


edits = given(
    changes=st.lists(EDIT, max_size=3),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    step=STEPS,
)
Changes = list[tuple[float, int, bytes]]


@few
@edits
def test_json_lines(changes: Changes, keep: float, step: int) -> None:
    data = edited(LINES, changes, keep)
    _, cut = both(data, "a.jsonl", step, **SMALL)
    # A second count: each line that holds something is a record.
    lines = [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    assert cut.ledger["records"]["read"] == len(lines)


@few
@edits
def test_lines_of_text(changes: Changes, keep: float, step: int) -> None:
    both(edited(LINES, changes, keep), "a.txt", step, txt="line", **SMALL)


@few
@given(
    lines=st.lists(
        st.sampled_from(
            [b"", b" ", b"\r", b"x" * 63, b"x" * 64, b"y" * 65, b"z" * 2000, b" " * 1500,
             b'{"text":"a"}', b"\0", b"\xff", b"\xef\xbb\xbf", b"\x1f\x8b\x08", b"WARC/1.0\r"]
        ), max_size=40,
    ),
    end=st.sampled_from([b"", b"\n", b"\r\n", b"tail"]),
    mark=st.booleans(),
    step=st.integers(64, 200),
)  # fmt: skip
def test_lines_at_every_place_of_a_boundary(
    lines: list[bytes], end: bytes, mark: bool, step: int
) -> None:
    data = b"\xef\xbb\xbf" * mark + b"\n".join(lines) + end
    both(data, "a.txt", step, txt="line", **SMALL)
    both(data, "a.jsonl", step, **SMALL)


@few
@given(
    changes=st.lists(EDIT, max_size=3), keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    step=STEPS, size=st.integers(20, 3000),
)  # fmt: skip
def test_compressed_lines(changes: Changes, keep: float, step: int, size: int) -> None:
    both(edited(gzipped(LINES, size), changes, keep), "a.jsonl.gz", step, **SMALL)
    both(edited(zstded(LINES, size), changes, keep), "a.jsonl.zst", step, **SMALL)


@few
@edits
def test_warc(changes: Changes, keep: float, step: int) -> None:
    data = edited(WARC, changes, keep)
    both(data, "a.warc", step)
    both(data, "a.warc", step, **SMALL)


@few
@given(
    changes=st.lists(EDIT, max_size=3), keep=st.one_of(st.just(1.0), st.floats(0, 1)),
    step=STEPS, size=st.one_of(st.none(), st.integers(100, 4000)), level=st.sampled_from([0, 6]),
)  # fmt: skip
def test_compressed_warc(
    changes: Changes, keep: float, step: int, size: int | None, level: int
) -> None:
    if size is None:  # a member a record, as it should be
        parts = (REQUEST, wet(), wet(TEXT * 30), NESTED, LIES, wet(), NESTED, REQUEST, wet())
        data = b"".join(gzip.compress(part, level, mtime=0) for part in parts)
    else:
        data = gzipped(WARC, size, level)
    data = edited(data, changes, keep)
    both(data, "a.warc.gz", step)
    both(data, "a.warc.gz", step, **SMALL)


def parquet(rows: int, group: int) -> bytes:
    table = pa.table(
        {"text": [None if n % 11 == 3 else f"第{n}行 of it" for n in range(rows)],
         "n": list(range(rows))}
    )  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=group, write_page_checksum=True)
    return sink.getvalue()


@few
@given(
    changes=st.lists(EDIT, max_size=2), rows=st.integers(0, 120), group=st.integers(1, 40),
    step=STEPS,
)  # fmt: skip
def test_parquet(changes: Changes, rows: int, group: int, step: int) -> None:
    both(edited(parquet(rows, group), changes, 1.0), "a.parquet", step)
    both(parquet(rows, group), "a.parquet", step)


def test_parquet_is_cut_between_row_groups() -> None:
    whole, cut = both(parquet(100, 10), "a.parquet", 600)
    assert cut.tasks["ingest"] > 3
    assert [row["origin"] for row in cut.documents][:2] == ["a.parquet#0", "a.parquet#1"]
    assert len(whole.documents) == 100 - 9


@few
@given(data=st.binary(max_size=900), step=st.integers(64, 300),
       name=st.sampled_from(["a.jsonl", "a.warc", "a.jsonl.gz", "a.warc.zst", "a"]))  # fmt: skip
def test_any_bytes(data: bytes, step: int, name: str) -> None:
    both(data, name, step)


@pytest.mark.parametrize("size", [1, 37, 500])
def test_pieces_of_any_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = bytearray(gzipped(WARC, 900))
    broken[-700:-640] = bytes(60)
    cases = {"a.jsonl": LINES, "a.jsonl.gz": gzipped(LINES, 400), "a.jsonl.zst": zstded(LINES, 90),
             "a.warc": WARC, "a.warc.gz": bytes(broken)}  # fmt: skip
    for name, data in cases.items():
        before, _ = both(data, name, 300, **SMALL)
        with monkeypatch.context() as patch:
            patch.setattr(streams, "PIECE_BYTES", size)
            patch.setattr(spool, "PIECE_BYTES", size)
            after, cut = both(data, name, 300, **SMALL)
        assert cut.tasks["ingest"] > 1
        assert after.same(before)


def test_a_member_in_a_member_is_not_taken_for_one() -> None:
    # Stored blocks hold whole gzip files as they are: they can be unpacked, and must not be.
    inner = b"".join(gzip.compress(b'{"text": "inside"}\n' * 9, mtime=0) for _ in range(200))
    hidden = (
        b"".join(b'{"text": "%d"}\n' % n for n in range(20)) + inner.replace(b"\n", b"") + b"\n"
    )
    data = gzip.compress(hidden, 0, mtime=0) + gzip.compress(LINES, mtime=0)
    whole, cut = both(data, "a.jsonl.gz", 800)
    ranges = -(-len(data) // 200)
    assert cut.tasks["inflate"] < ranges / 2
    assert not any(row["text"] == "inside" for row in whole.documents)
    assert cut.tasks["ingest"] > 3


def test_one_member_feeds_many_tasks() -> None:
    many = b"".join(b'{"text": "%d"}\n' % n for n in range(2000))
    for name, data in (
        ("a.jsonl.gz", gzip.compress(many)),
        ("a.jsonl.zst", zstandard.compress(many)),
    ):
        _, cut = both(data, name, 4000)
        assert cut.tasks["inflate"] == 1
        assert cut.tasks["ingest"] > 5
        assert [row["text"] for row in cut.documents] == [str(n) for n in range(2000)]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_many_members_are_unpacked_side_by_side(name: str) -> None:
    pack = gzipped if name.endswith("gz") else zstded
    data = pack(LINES, 100)
    _, cut = both(data, name, 1200)
    assert cut.tasks["inflate"] > 3


def skippable(content: bytes) -> bytes:
    return b"\x5a\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


LINE = b'{"text": "a line"}\n'
MEMBERS = [gzip.compress(LINE * n + b'{"text": "\x00"}\n' + LINE[:9], mtime=0) for n in range(1, 9)]
FRAMES = [zstded(LINE * n + LINE[:9], 4000) for n in range(1, 9)]
WRONG = MEMBERS[3][:-8] + b"four" + MEMBERS[3][-4:]
NAMED = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 900 + b"\0" + MEMBERS[5][10:]
DAMAGED = {
    "zeros.jsonl.gz": bytes(999).join(MEMBERS) + bytes(2000),
    "zeros first.jsonl.gz": bytes(3000) + b"".join(MEMBERS),
    "garbage.jsonl.gz": (b"\x1f\x8b\x08" + b"garbage" * 70).join(MEMBERS),
    "garbage at the end.jsonl.gz": b"".join(MEMBERS) + b"garbage" * 90,
    "no member.jsonl.gz": b"garbage" * 300,
    "cut.jsonl.gz": b"".join(MEMBERS)[:-3],
    "cut inside.jsonl.gz": b"".join(member[:-30] + member for member in MEMBERS),
    "checksums.jsonl.gz": WRONG + MEMBERS[1] + WRONG + WRONG + MEMBERS[2] + WRONG,
    "long names.jsonl.gz": MEMBERS[0] + NAMED * 3 + MEMBERS[4],
    "empty members.jsonl.gz": gzip.compress(b"", mtime=0) * 60 + MEMBERS[1],
    "only empty members.jsonl.gz": gzip.compress(b"", mtime=0) * 60,
    "packed twice.jsonl.gz": gzip.compress(b"".join(MEMBERS) * 3, 0, mtime=0) * 2,
    "skippable.jsonl.zst": skippable(b"".join(FRAMES[:4])).join(FRAMES),
    "skippable too long.jsonl.zst": FRAMES[0] + b"\x5a\x2a\x4d\x18\xff\xff\0\0" + b"".join(FRAMES),
    "only skippable.jsonl.zst": skippable(b"x" * 90) * 20,
    "broken.jsonl.zst": b"".join(frame[:-12] + b"broken" + frame for frame in FRAMES),
    "no checksums.jsonl.zst": zstded(LINES, 300, checksum=False),
    "checksums.warc.gz": WRONG.join(
        gzip.compress((wet() + REQUEST) * 3, mtime=0)[:-n] + b"wrong" for n in range(8, 0, -1)
    ),
    "broken.warc.gz": b"\xff".join(gzip.compress(wet() * 2 + LIES, mtime=0) for _ in range(6)),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("step", [90, 400, 1300])
def test_damage_at_every_boundary(name: str, step: int) -> None:
    whole, cut = both(DAMAGED[name], name, step, **SMALL)
    assert cut.tasks.get("inflate", 0) > 0 or len(DAMAGED[name]) <= step // 4
    assert whole.quarantine or name.split(".")[0] in (
        "zeros", "zeros first", "long names", "empty members", "only empty members",
        "skippable", "only skippable", "no checksums", "packed twice"
    )  # fmt: skip


def test_a_file_that_grows_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    (group,) = discover([InputSpec(str(path))])
    path.write_bytes(LINES + LINE)
    options = replace(CurateRecipe(), read=ReadOptions(split_bytes=300))
    identities = Identities(tmp_path / "identities.json")
    with here() as run, pytest.raises(LedgerError, match="bytes when it was found"):
        ingest([group], options, tmp_path, identities, run=run)


@few
@given(changes=st.lists(EDIT, max_size=4), step=st.integers(300, 1200), size=st.integers(400, 4000))
def test_warc_is_read_no_further_than_it_must(changes: Changes, step: int, size: int) -> None:
    """With small limits, most tasks are given a few pieces of the content, and these suffice."""
    long = wet(TEXT * 200) + record(TEXT * 90 + wet(), kind="conversion", length=5000)
    data = edited((WARC + long) * 4, changes, 1.0)
    small = {"SCAN_BYTES": 512, "MAX_HEADER": 400, "CHECKSUM_BYTES": 64}
    asked: list[Task] = []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        for module, (name, value) in product((split, warc), small.items()):
            patch.setattr(module, name, value)
        path = Path(folder, "a.warc.gz")
        path.write_bytes(gzipped(data, size))
        with here() as plain:

            def run(tasks: Sequence[Task]) -> list[Done]:
                asked.extend(tasks)
                return plain(tasks)

            cut = read(path, step, run=run, **SMALL)
            whole = read(path, None, **SMALL)
    assert cut.same(whole)
    given_pieces = [len(task.inputs) for task in asked if task.step == "ingest"]
    (framing,) = (task for task in asked if "max_record_bytes" in task.parameters)
    assert step > 600 or min(given_pieces) < len(framing.inputs)
