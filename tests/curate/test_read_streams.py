"""Compressed input that is cut, damaged or padded: what is read, and where every byte went."""

import gzip
import random
import zlib
from pathlib import Path

import pytest
import zstandard

from yanmo.curate.read import InputSpec, ReadOptions

from .read_audit import Outcome, read

LINES = [
    b'{"text": "line %d of many, \xe7\xac\xac\xe8\xa1\x8c"}\n' % number for number in range(400)
]
TEXTS = [f"line {number} of many, 第行" for number in range(400)]


def members(size: int = 100) -> list[bytes]:
    return [gzip.compress(b"".join(LINES[at : at + size]), mtime=0) for at in range(0, 400, size)]


def frames(size: int = 100) -> list[bytes]:
    packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
    return [packer.compress(b"".join(LINES[at : at + size])) for at in range(0, 400, size)]


def run(tmp_path: Path, data: bytes, name: str = "a.jsonl.gz") -> Outcome:
    path = tmp_path / name
    path.write_bytes(data)
    return read(path)


def test_many_members_are_one_stream(tmp_path: Path) -> None:
    assert run(tmp_path, b"".join(members())).texts == TEXTS
    assert run(tmp_path, b"".join(frames()), "a.jsonl.zst").texts == TEXTS


def test_the_magic_bytes_count_more_than_the_suffix(tmp_path: Path) -> None:
    assert run(tmp_path, members(400)[0], "a.jsonl").texts == TEXTS
    assert run(tmp_path, frames(400)[0], "b.jsonl").texts == TEXTS
    assert run(tmp_path, frames(400)[0], "c.jsonl.gz").texts == TEXTS


def test_a_suffix_without_the_magic_is_damage(tmp_path: Path) -> None:
    outcome = run(tmp_path, b"".join(LINES))
    assert outcome.pages == []
    (row,) = outcome.rows
    assert (row["space"], row["offset"], row["length"]) == ("stored", 0, len(b"".join(LINES)))
    assert "gzip header" in row["error"]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_gzip_cut_in_the_middle_uses_what_is_there(tmp_path: Path, share: float) -> None:
    (whole,) = members(400)
    cut = whole[: int(len(whole) * share)]
    outcome = run(tmp_path, cut)
    # An independent count of what the cut stream holds.
    there = zlib.decompressobj(31).decompress(cut)
    assert outcome.total["content"]["bytes"] == len(there)
    assert outcome.texts == TEXTS[: there.count(b"\n")]
    stored = [row for row in outcome.rows if row["space"] == "stored"]
    assert len(stored) == 1
    assert stored[0]["file"] == "a.jsonl.gz"
    assert "ends inside" in stored[0]["error"]


@pytest.mark.parametrize("lost", [1, 4, 7, 8])
def test_a_cut_trailer_costs_no_line(tmp_path: Path, lost: int) -> None:
    outcome = run(tmp_path, members(400)[0][:-lost])
    assert outcome.texts == TEXTS
    assert outcome.kinds == ["gzip"]


def test_reading_goes_on_at_the_next_member(tmp_path: Path) -> None:
    parts = members()
    broken = bytearray(parts[1])
    broken[200:260] = bytes(60)
    outcome = run(tmp_path, parts[0] + bytes(broken) + parts[2] + parts[3])
    assert outcome.texts[:100] == TEXTS[:100]
    assert outcome.texts[-200:] == TEXTS[200:]
    stored = [row for row in outcome.rows if row["space"] == "stored"]
    assert len(stored) == 1
    assert stored[0]["offset"] + stored[0]["length"] == len(parts[0]) + len(parts[1])


def test_garbage_between_members(tmp_path: Path) -> None:
    parts = members()
    junk = random.Random(1).randbytes(70_000)
    outcome = run(tmp_path, parts[0] + junk + parts[1])
    assert outcome.texts == TEXTS[:200]
    assert [(row["offset"], row["length"]) for row in outcome.rows] == [(len(parts[0]), 70_000)]


def test_magic_bytes_alone_do_not_start_a_member(tmp_path: Path) -> None:
    parts = members()
    lies = b"\x1f\x8b" * 50 + b"\x1f\x8b\x08\0\0\0\0\0\0\xff not deflate " * 50 + parts[2][:30]
    outcome = run(tmp_path, parts[0] + lies + parts[1])
    assert outcome.texts == TEXTS[:200]
    assert [row["length"] for row in outcome.rows] == [len(lies)]


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    parts = members()
    broken = parts[0][:-8] + bytes(4) + parts[0][-4:]
    outcome = run(tmp_path, broken + parts[1])
    assert outcome.texts == TEXTS[:200]
    (row,) = outcome.rows
    assert "checksum" in row["error"]


def test_padding_with_zeros_is_skipped(tmp_path: Path) -> None:
    parts = members()
    outcome = run(tmp_path, parts[0] + bytes(100_000) + parts[1] + bytes(512))
    assert outcome.texts == TEXTS[:200]
    assert outcome.rows == []
    assert outcome.total["stored"]["skipped"] == {"gzip padding": 100_512}


def test_header_fields_of_gzip(tmp_path: Path) -> None:
    body = members(400)[0][10:]
    extra = (
        b"\x1f\x8b\x08"
        + bytes([4 + 8 + 16 + 2])
        + bytes(6)
        + b"\x03\0abc"
        + b"name\0comment\0"
        + b"cc"
    )
    assert run(tmp_path, extra + body).texts == TEXTS


def test_a_bomb_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\0" * 60_000_000, compresslevel=1))
    outcome = read(path, options=ReadOptions(max_record_bytes=1 << 20))
    assert outcome.kinds == ["too-long"]
    assert outcome.rows[0]["length"] == 60_000_000


def test_zstd_cut_damaged_and_skippable(tmp_path: Path) -> None:
    parts = frames()
    skippable = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    broken = bytearray(parts[1])
    broken[40] ^= 0xFF
    data = skippable + parts[0] + bytes(broken) + parts[2] + parts[3][:-30]
    outcome = run(tmp_path, data, "a.jsonl.zst")
    assert outcome.texts[:100] == TEXTS[:100]
    assert [text for text in TEXTS[200:300] if text not in outcome.texts] == []
    assert outcome.total["stored"]["skipped"] == {"zstd skippable frame": 13}
    assert [row["kind"] for row in outcome.rows if row["space"] == "stored"] == ["zstd", "zstd"]


def test_a_skippable_frame_longer_than_the_file(tmp_path: Path) -> None:
    outcome = run(tmp_path, b"\x5a\x2a\x4d\x18" + b"\xff" * 4 + b"rest", "a.jsonl.zst")
    assert outcome.kinds == ["cut"]
    assert outcome.total["stored"]["skipped"] == {"zstd skippable frame": 12}


def test_a_gzip_cut_in_lines_of_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(members(400)[0][:700])
    outcome = read(InputSpec(str(path)), options=ReadOptions(txt="line"))
    assert outcome.kinds == ["gzip", "cut"]
    assert outcome.pages
