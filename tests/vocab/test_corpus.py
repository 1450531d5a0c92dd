"""Documents for vocabulary work: an input that breaks off is named."""

import gzip
import json
import random
from pathlib import Path

import pytest
import zstandard

from yanmo.errors import DataError
from yanmo.vocab.corpus import batches


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_file_that_is_cut_is_named(suffix: str, tmp_path: Path) -> None:
    draw = random.Random(0)
    text = "".join(chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(400_000))
    lines = "".join(
        json.dumps({"text": text[k : k + 400]}, ensure_ascii=False) + "\n"
        for k in range(0, len(text), 400)
    ).encode()
    packed = gzip.compress(lines) if suffix == "gz" else zstandard.ZstdCompressor().compress(lines)
    path = tmp_path / f"documents.jsonl.{suffix}"
    path.write_bytes(packed)
    whole = sum(len(batch.texts) for batch in batches(path))
    assert whole == 1000
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"cannot read on.*documents\.jsonl|documents\.jsonl.*cut"):
        list(batches(path))


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "documents.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(DataError, match=r"documents\.parquet: not a readable Parquet file"):
        list(batches(path))
