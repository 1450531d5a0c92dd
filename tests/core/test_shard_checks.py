"""Damage to shards: every kind is found, and named to the file and the document."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.checks import document_checks
from yanmo.errors import DataError
from yanmo.shards import open_shards, verify

from .test_shards import EOS, PARTS, Docs, make, poke, rehash_part

MANY: list[Docs] = [[[3 + (n * k) % 90 for k in range(n + 1)] for n in range(6)], [[7, 8], [9]]]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return make(tmp_path / "shards", MANY)


@settings(max_examples=30, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=6), min_size=1, max_size=6),
    data=st.data(),
)
def test_checksums_are_of_each_document_alone_and_see_every_change(
    documents: list[list[int]], data: st.DataObject
) -> None:
    flat = np.array([*(t for d in documents for t in [*d, EOS])], np.uint32)
    ends = np.cumsum([len(d) + 1 for d in documents])
    found = document_checks(flat, ends)
    for number, document in enumerate(documents):
        alone = np.array([*document, EOS], np.uint32)
        assert document_checks(alone, np.array([len(alone)]))[0] == found[number]
    at = data.draw(st.integers(0, len(flat) - 1))
    flat[at] ^= np.uint32(data.draw(st.integers(1, 2**32 - 1)))
    changed = np.flatnonzero(document_checks(flat, ends) != found).tolist()
    assert changed == [int(np.searchsorted(ends, at, side="right"))]


def test_every_flipped_byte_is_named_to_its_document(shards: Path) -> None:
    """All bytes of the first part, one after the other."""
    path = shards / "part-00000.bin"
    whole = path.read_bytes()
    ends = open_shards(shards).document_ends[:6]
    for offset in range(len(whole)):
        damaged = bytearray(whole)
        damaged[offset] ^= 0x11
        path.write_bytes(damaged)
        row = int(np.searchsorted(ends, offset // 2, side="right"))
        begin = 2 * int(ends[row - 1]) if row else 0
        place = (
            rf"part-00000\.bin.*document {row} \(id0000{row}, bytes {begin} to {2 * ends[row]}\)"
        )
        with pytest.raises(DataError, match=place):
            verify(shards)
    path.write_bytes(whole)
    assert verify(shards)["documents"] == 8


def test_a_cut_file_names_the_first_document_that_is_not_whole(shards: Path) -> None:
    path = shards / "part-00000.bin"
    whole = path.read_bytes()
    ends = open_shards(shards).document_ends[:6]
    for size in (0, 5, len(whole) - 1):
        path.write_bytes(whole[:size])
        row = int(np.searchsorted(ends, size // 2, side="right"))
        with pytest.raises(DataError, match=rf"is cut: document {row} \(id0000{row}\).*of 6"):
            verify(shards)


def test_swapped_files_are_named(shards: Path, tmp_path: Path) -> None:
    first, second = shards / "part-00000.bin", shards / "part-00000.docs.parquet"
    other = shutil.copytree(shards, tmp_path / "other")
    # Two parts of one length, so that only the hash can tell.
    make(tmp_path / "twin", [MANY[1], [[9], [7, 8]]])
    twin = tmp_path / "twin"
    names = ("part-00000", "part-00001")
    for suffix in (".bin", ".docs.parquet"):
        a, b = (twin / f"{name}{suffix}" for name in names)
        content = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(content)
        with pytest.raises(DataError, match=rf"it holds what should be in part-00001\{suffix}"):
            verify(twin)
        b.write_bytes(a.read_bytes())
        a.write_bytes(content)
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    second.write_bytes(damaged)
    with pytest.raises(DataError, match=r"part-00000\.docs\.parquet: the part is not the one"):
        verify(shards)
    assert verify(other)["documents"] == 8
    assert first.is_file()


def test_damage_under_a_fresh_hash_is_found_by_the_checksum(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", PARTS)
    poke(folder, 1, 50, rehash=True)
    with pytest.raises(DataError, match=r"document 0 \(id00000, bytes 0 to 8\) is not as it was"):
        verify(folder)


def test_eos_inside_a_document_of_older_shards_is_found(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", PARTS)
    for path in folder.glob("*.docs.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["check"]), path)
        rehash_part(folder, path)
    assert verify(folder)["documents"] == 4
    poke(folder, 1, EOS, rehash=True)
    with pytest.raises(DataError, match=r"document 0: EOS stands inside a document.*token 1"):
        verify(folder)
    poke(folder, 1, 50, rehash=False)
    with pytest.raises(DataError, match="shards of before do not say which document"):
        verify(folder)


def test_totals_of_a_source_are_counted(shards: Path) -> None:
    manifest = json.loads((shards / "manifest.json").read_text())
    one, two = manifest["sources"]["s0"], manifest["sources"]["s1"]
    one["tokens"] += 1
    two["tokens"] -= 1
    (shards / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"the tokens of source 's0'.*There are"):
        verify(shards)


def test_a_renamed_source_is_found(shards: Path) -> None:
    path = shards / "part-00001.docs.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("source")
    column = pa.array(["s9"] * table.num_rows, pa.string())
    pq.write_table(table.set_column(place, table.schema.field(place), column), path)
    rehash_part(shards, path)
    with pytest.raises(DataError, match="of source 's"):
        verify(shards)
