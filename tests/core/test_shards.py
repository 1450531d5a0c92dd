"""Token shards: what is written is what is read, and every kind of damage is refused by name."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_file
from yanmo.shard_writer import ShardWriter, write_manifest
from yanmo.shards import DOCS_SCHEMA, Vocabulary, open_shards, token_dtype, verify

EOS = 2
Docs = list[list[int]]


def rows_of(documents: Docs, first: int = 0) -> pa.Table:
    """A document table with made-up but distinct fields."""
    numbers = range(first, first + len(documents))
    return pa.table(
        {
            "id": pa.array([f"id{n:05d}" for n in numbers], pa.string()),
            "source": pa.array([f"s{n % 2}" for n in numbers], pa.string()),
            "origin": pa.array([f"web.warc#{n * 10}" for n in numbers], pa.string()),
            "url": pa.array([f"http://a.cn/{n}" if n % 3 else None for n in numbers], pa.string()),
            "n_bytes": pa.array([3 * len(d) for d in documents], pa.int64()),
            "n_chars": pa.array([len(d) for d in documents], pa.int64()),
            "cluster": pa.array([None] * len(documents), pa.string()),
        }
    )


def make(folder: Path, parts: list[Docs], *, vocab_size: int = 100) -> Path:
    """Write a shard folder with these documents (ids without EOS), one list a part."""
    vocabulary = Vocabulary("t" * 64, vocab_size, EOS, bos_id=1)
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    sources: dict[str, dict[str, int]] = {}
    first = 0
    for number, documents in enumerate(parts):
        with ShardWriter(folder, f"part-{number:05d}", vocabulary) as writer:
            # Two batches, so that ends run on from one to the next.
            for some in (documents[:1], documents[1:]):
                writer.add([np.array(d, np.uint32) for d in some], rows_of(some, first))
                first += len(some)
    for n, document in enumerate(d for part in parts for d in part):
        totals = sources.setdefault(f"s{n % 2}", {"documents": 0, "tokens": 0})
        totals["documents"] += 1
        totals["tokens"] += len(document) + 1
    write_manifest(folder, vocabulary, split="train", sources=sources, about={"seed": 7})
    return folder


PARTS: list[Docs] = [[[5, 6, 7], [], [8]], [[9, 10]]]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return make(tmp_path / "shards", PARTS)


document = st.lists(st.integers(3, 99), max_size=8)


@settings(max_examples=25, deadline=None)
@given(parts=st.lists(st.lists(document, min_size=1, max_size=5), max_size=3))
def test_what_is_written_is_read_back(
    parts: list[Docs], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = make(tmp_path_factory.mktemp("shards") / "out", parts)
    opened = open_shards(folder, verify="full")
    flat = [[*d, EOS] for part in parts for d in part]
    tokens = [token for d in flat for token in d]
    assert opened.tokens == len(opened) == len(tokens)
    assert opened.documents == len(flat)
    assert opened.read(0, opened.tokens).tolist() == tokens
    assert [opened.document(n).tolist() for n in range(len(flat))] == flat
    owner = [n for n, d in enumerate(flat) for _ in d]
    for position in range(len(tokens)):
        place = opened.where(position)
        assert place.document == owner[position]
        assert place.id == f"id{owner[position]:05d}"
        assert place.start <= position < place.end
        assert tokens[place.start : place.end] == flat[place.document]


def test_where_walks_to_source_and_page(shards: Path) -> None:
    place = open_shards(shards).where(7)
    assert (place.part, place.row, place.document) == ("part-00001.bin", 0, 3)
    assert (place.source, place.origin, place.url) == ("s1", "web.warc#30", None)
    assert open_shards(shards).where(6).url == "http://a.cn/2"


def test_the_bytes_on_disk_are_little_endian_u16(shards: Path) -> None:
    expected = np.array([5, 6, 7, 2, 2, 8, 2], "<u2").tobytes()
    assert (shards / "part-00000.bin").read_bytes() == expected
    ends = pq.read_table(shards / "part-00000.docs.parquet")
    assert ends.schema.equals(DOCS_SCHEMA)
    assert ends.column("end").to_pylist() == [4, 5, 7]
    assert verify(shards) == {
        "files": 5, "parts": 2, "documents": 4, "tokens": 10, "dtype": "uint16", "vocab_size": 100,
    }  # fmt: skip


def test_a_vocabulary_over_65536_is_stored_as_u32(tmp_path: Path) -> None:
    assert token_dtype(65_536) == "uint16"
    assert token_dtype(65_537) == "uint32"
    folder = make(tmp_path / "big", [[[65_536, 151_642]]], vocab_size=151_643)
    opened = open_shards(folder, verify="full")
    assert opened.read(0, 3).tolist() == [65_536, 151_642, EOS]
    assert (folder / "part-00000.bin").stat().st_size == 12


def test_a_range_across_parts_and_ranges_that_do_not_exist(shards: Path) -> None:
    opened = open_shards(shards)
    assert opened.read(5, 9).tolist() == [8, 2, 9, 10]
    assert opened.read(3, 3).tolist() == []
    with pytest.raises(UsageError, match="from 0 to 10"):
        opened.read(5, 11)
    with pytest.raises(UsageError, match="from 0 to 9"):
        opened.where(10)
    with pytest.raises(UsageError, match="There are 4"):
        opened.document(4)


def test_a_writer_refuses_ids_that_cannot_stand_in_a_document(tmp_path: Path) -> None:
    for wrong in (100, EOS):
        with (
            ShardWriter(tmp_path, "part-00000", Vocabulary("t", 100, EOS)) as writer,
            pytest.raises(DataError, match=f"document id00001.*got {wrong}"),
        ):
            writer.add([np.array([5]), np.array([6, wrong])], rows_of([[5], [6, wrong]]))


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def poke(folder: Path, token: int, value: int, *, rehash: bool) -> None:
    """Overwrite one id of the first part; with ``rehash`` the manifest is made to agree."""
    path = folder / "part-00000.bin"
    ids = np.fromfile(path, "<u2")
    ids[token] = value
    path.write_bytes(ids.tobytes())
    if rehash:
        rehash_part(folder, path)


def rehash_part(folder: Path, path: Path) -> None:
    parts = json.loads((folder / "manifest.json").read_text())["parts"]
    for part in parts:
        if part["path"] == path.name:
            part |= {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    edit_manifest(folder, parts=parts)


def test_a_changed_id_fails_the_hash_and_only_the_full_check_reads_it(shards: Path) -> None:
    poke(shards, 1, 50, rehash=False)
    open_shards(shards, verify="fast")
    with pytest.raises(DataError, match=r"part-00000\.bin.*not the one that the manifest lists"):
        open_shards(shards, verify="full")
    with pytest.raises(DataError, match="not the one"):
        verify(shards)


def test_a_changed_tokenizer_fails_the_hash(shards: Path) -> None:
    (shards / "tokenizer" / "tokenizer.json").write_text("[]")
    with pytest.raises(DataError, match=r"tokenizer\.json.*not the one"):
        verify(shards)


def test_an_id_outside_the_vocabulary_is_found(shards: Path) -> None:
    poke(shards, 1, 100, rehash=True)
    with pytest.raises(DataError, match=r"token 1: an id is not in the vocabulary, got 100"):
        verify(shards)


def test_a_document_without_eos_is_found(shards: Path) -> None:
    poke(shards, 4, 50, rehash=True)
    with pytest.raises(DataError, match=r"document 1: a document is not closed by EOS, got 50"):
        verify(shards)


@pytest.mark.parametrize("ends", [[4, 4, 7], [4, 5, 8], [5, 4, 7]])
def test_ends_that_do_not_rise_to_the_length_are_found(shards: Path, ends: list[int]) -> None:
    path = shards / "part-00000.docs.parquet"
    table = pq.read_table(path)
    column = pa.array(ends, pa.uint64())
    pq.write_table(table.set_column(table.schema.get_field_index("end"), "end", column), path)
    rehash_part(shards, path)
    with pytest.raises(DataError, match="ends do not rise to the length"):
        verify(shards)


def test_a_cut_or_missing_part_is_refused_at_once(shards: Path) -> None:
    path = shards / "part-00001.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"got 4\. Expected 6 bytes"):
        open_shards(shards)
    path.unlink()
    with pytest.raises(DataError, match="a part is missing"):
        open_shards(shards)


def test_a_damaged_or_short_table_is_refused_at_once(shards: Path) -> None:
    path = shards / "part-00000.docs.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DataError, match=r"got 2\. Expected 3"):
        open_shards(shards)
    path.write_bytes(b"not parquet")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        open_shards(shards)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "uint32"}, "does not fit the vocabulary, got 'uint32'"),
        ({"dtype": "float16"}, "does not fit the vocabulary, got 'float16'"),
        ({"vocab_size": 70_000}, "does not fit the vocabulary, got 'uint16'"),
        ({"eos_id": 100}, "EOS is not in the vocabulary, got 100"),
        ({"format_version": 99}, "unknown version of the shard format, got 99"),
        ({"kind": "run"}, "not a folder of token shards, got 'run'"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    shards: Path, changes: dict[str, Any], message: str
) -> None:
    edit_manifest(shards, **changes)
    with pytest.raises(DataError, match=message):
        open_shards(shards)


def test_a_manifest_without_a_key_names_it(shards: Path) -> None:
    manifest = json.loads((shards / "manifest.json").read_text())
    del manifest["eos_id"]
    (shards / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="lacks a key, got 'eos_id'"):
        open_shards(shards)


def test_totals_that_do_not_add_up_are_found(shards: Path) -> None:
    edit_manifest(shards, sources={"s0": {"documents": 4, "tokens": 9}})
    with pytest.raises(DataError, match="totals of tokens do not add up"):
        verify(shards)


def test_another_tokenizer_or_a_smaller_model_is_refused(shards: Path) -> None:
    assert open_shards(shards, tokenizer_sha256="t" * 64, vocab_size=100).documents == 4
    with pytest.raises(DataError, match="another tokenizer"):
        open_shards(shards, tokenizer_sha256="u" * 64)
    with pytest.raises(DataError, match=r"got 99\. It needs 100"):
        open_shards(shards, vocab_size=99)


def test_reading_shards_loads_no_torch(shards: Path) -> None:
    code = (
        "import sys; from yanmo.shards import open_shards; open_shards(sys.argv[1]).where(0); "
        "bad = {'torch', 'numba', 'transformers', 'datasketch', 'scipy'} & set(sys.modules); "
        "sys.exit(', '.join(bad) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(shards)], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
