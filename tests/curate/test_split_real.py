"""Real files, joined into larger ones and packed in every way, cut and whole."""

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from .splitting import Reading, read
from .test_split import gzipped, zstded
from .warc_oracle import count, inflate

pytestmark = pytest.mark.realdata
TEXTS = ("zh-humor-dialog", "en-bbc", "zh-howtocook", "zh-peoples_daily_199801")


@pytest.fixture(scope="module")
def lines(realdata: Path) -> bytes:
    """The first three megabytes of each of some collections, with a line torn at the seams."""
    parts = []
    for name in TEXTS:
        packed = (realdata / "text" / f"{name}.jsonl.zst").read_bytes()
        with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
            parts.append(reader.read(3_000_000))
    return b"".join(parts)


def parquet(lines: bytes) -> bytes:
    rows = []
    for line in lines.splitlines():
        try:
            rows.append({"text": json.loads(line)["text"]})
        except ValueError:
            rows.append({"text": None})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=100)
    return sink.getvalue()


PACKED = {
    "a.jsonl": lambda data: data,
    "b.jsonl.gz": lambda data: gzip.compress(data, 1, mtime=0),
    "c.jsonl.gz": lambda data: gzipped(data, 300_000, 1),
    "d.jsonl.zst": lambda data: zstandard.compress(data, 1),
    "e.jsonl.zst": lambda data: zstded(data, 300_000),
    "f.parquet": parquet,
    "g.jsonl.gz": lambda data: gzipped(data, 300_000, 1)[:-5000],
}


@pytest.mark.parametrize("name", PACKED)
def test_real_texts(name: str, lines: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[name](lines))
    whole, cut = read(path, None), read(path, 400_000)
    assert cut.same(whole)
    assert cut.tasks["ingest"] > 5
    assert cut.tasks.get("inflate", 0) > (1 if name[0] in "ceg" else -1)
    if name[0] in "abcde":
        # Counted a second way: a record is a line that holds something.
        assert whole.ledger["records"]["read"] == sum(1 for n in lines.split(b"\n") if n.strip())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["warc", "warc.gz", "whole.warc.gz", "warc.zst"])
def test_real_archives(form: str, realdata: Path, tmp_path: Path) -> None:
    files = [p for p in sorted((realdata / "warc").iterdir()) if p.stat().st_size < 1_100_000]
    assert len(files) > 25
    # The file that is cut comes last: its broken member would go on into the next file.
    files.sort(key=lambda p: p.name.endswith("clipped.warc.gz"))
    packed = [p.read_bytes() for p in files if p.name.endswith(".gz")]
    plain = [inflate(p.read_bytes()) for p in files]
    data = {
        "warc": b"".join(plain),
        "warc.gz": b"".join(packed),
        "whole.warc.gz": gzip.compress(b"".join(plain), 1, mtime=0),
        "warc.zst": b"".join(zstandard.compress(one, 1) for one in plain),
    }[form]
    path = tmp_path / f"a.{form}"
    path.write_bytes(data)
    whole = read(path, None)
    step = 400_000
    cut: Reading = read(path, step)
    assert cut.same(whole)
    assert cut.tasks["ingest"] > 5
    counted = sum(len(count(one).records) for one in (packed if form == "warc.gz" else plain))
    damage = sum(json.loads(row)["space"] == "stored" for row in whole.quarantine)
    assert damage == (form == "warc.gz")
    assert whole.ledger["records"]["read"] == counted + damage
