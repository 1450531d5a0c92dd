"""The document table: bytes that depend on the rows alone, and one door for texts."""

import gzip
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from yanmo.documents import (
    SCHEMA,
    PartWriter,
    column_names,
    document_id,
    iterate,
    part_paths,
    texts,
    write_part,
)
from yanmo.errors import DataError


def table(rows: int) -> pa.Table:
    text = [f"第{i}篇文档" for i in range(rows)]
    return pa.table(
        {
            "id": [document_id("s", f"f#{i}") for i in range(rows)], "text": text,
            "url": [None] * rows, "source": ["s"] * rows, "licence": [None] * rows,
            "origin": [f"f#{i}" for i in range(rows)], "timestamp": [None] * rows,
            "lang": ["zh"] * rows, "lang_score": [1.0] * rows, "script": ["Hans"] * rows,
            "encoding": ["utf-8"] * rows, "n_chars": [len(t) for t in text],
            "n_bytes": [len(t.encode()) for t in text], "meta": ["{}"] * rows,
        },
        schema=SCHEMA,
    )  # fmt: skip


@pytest.mark.parametrize("step", [1, 7, 1000, 5000])
def test_bytes_do_not_depend_on_batches(tmp_path: Path, step: int) -> None:
    rows = table(2500)
    with PartWriter(tmp_path / "b.parquet", SCHEMA) as writer:
        for start in range(0, 2500, step):
            writer.write(rows.slice(start, step))
    with PartWriter(tmp_path / "a.parquet", SCHEMA) as writer:
        writer.write(rows)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("step", [1, 300, 1024])
def test_bytes_of_long_texts_do_not_depend_on_batches_either(tmp_path: Path, step: int) -> None:
    long = [f"{i} " * 2000 for i in range(1500)]  # pages fill up before a row group ends
    rows = table(1500).set_column(1, "text", pa.array(long, pa.large_string()))
    with PartWriter(tmp_path / "b.parquet", SCHEMA) as writer:
        for start in range(0, 1500, step):
            writer.write(rows.slice(start, step))
    write_part(tmp_path / "a.parquet", rows.cast(SCHEMA))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    read = [text for batch in texts(tmp_path / "b.parquet") for text in batch.to_pylist()]
    assert read == long


def test_ids_are_stable_and_distinct() -> None:
    assert document_id("web", "a.warc#0") == document_id("web", "a.warc#0")
    assert len({document_id("web", f"a#{i}") for i in range(10_000)}) == 10_000
    assert document_id("a", "b\0c") != document_id("a\0b", "d")


def test_part_paths_of_folder_run_and_file(tmp_path: Path) -> None:
    write_part(tmp_path / "documents" / "part-00000.parquet", table(3))
    expected = [tmp_path / "documents" / "part-00000.parquet"]
    assert part_paths(tmp_path) == part_paths(tmp_path / "documents") == expected
    assert part_paths(expected[0]) == expected
    with pytest.raises(DataError, match="no documents here"):
        part_paths(tmp_path / "nothing")


def test_texts_of_every_kind(tmp_path: Path) -> None:
    write_part(tmp_path / "documents" / "part-00000.parquet", table(2))
    lines = "\n".join(json.dumps({"text": t}) for t in ("甲", "乙")) + "\n"
    with gzip.open(tmp_path / "x.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(lines)
    (tmp_path / "y.txt").write_text("甲\n乙", encoding="utf-8")
    assert [t for b in texts(tmp_path) for t in b.to_pylist()] == ["第0篇文档", "第1篇文档"]
    assert [t for b in texts(tmp_path / "x.jsonl.gz") for t in b.to_pylist()] == ["甲", "乙"]
    assert [t for b in texts(tmp_path / "y.txt") for t in b.to_pylist()] == ["甲\n乙"]


@pytest.mark.parametrize("name", ["x.jsonl.zst", "x.jsonl.gz", "x.txt.zst", "x.txt.gz"])
def test_a_cut_file_does_not_end_like_a_whole_one(tmp_path: Path, name: str) -> None:
    lines = [json.dumps({"text": hashlib.sha256(bytes([n % 256, n // 256])).hexdigest()})
             for n in range(20_000)]  # fmt: skip
    data = ("\n".join(lines) + "\n").encode()
    packed = zstandard.compress(data) if name.endswith("zst") else gzip.compress(data)
    (tmp_path / name).write_bytes(packed)
    assert sum(map(len, texts(tmp_path / name))) == (20_000 if "jsonl" in name else 1)
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=rf"{name}: cannot read on .*Is the file cut"):
        list(texts(tmp_path / name))


def test_errors_name_the_place(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n{"content": "b"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"x.jsonl:2: no text in field 'text'"):
        list(texts(tmp_path / "x.jsonl"))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"x.parquet: not a readable Parquet file"):
        list(iterate([tmp_path / "x.parquet"]))
    write_part(tmp_path / "y.parquet", table(1))
    with pytest.raises(DataError, match="no column 'content'"):
        list(iterate([tmp_path / "y.parquet"], columns=["content"]))
    (tmp_path / "z.txt").write_bytes("中文".encode("gbk"))
    with pytest.raises(DataError, match="not UTF-8"):
        list(texts(tmp_path / "z.txt"))


def test_a_damaged_page_of_a_part_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    rows = [f"{number}: 研墨 {number * 7919}" for number in range(3000)]
    pq.write_table(pa.table({"text": rows}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[2000:4000] = bytes(2000)
    path.write_bytes(data)
    assert column_names(path) == ["text"]  # the end of the file is whole
    with pytest.raises(DataError, match=r"part-00000.parquet: not a readable Parquet file"):
        list(iterate([path]))
