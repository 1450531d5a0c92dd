"""Take-down: no byte of the text is left, the rest is as it was, and the folder says so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from yanmo.curate.forget import recover
from yanmo.curate.forget_run import forget_in_run
from yanmo.curate.forget_shards import forget_in_shards
from yanmo.curate.pack import pack_folder
from yanmo.curate.pack_options import PackSettings
from yanmo.errors import DataError
from yanmo.manifest import verify_parts
from yanmo.shards import open_shards, verify

from ..command import command  # noqa: TID252  # shared by all folders of tests
from ..web import article, json_line  # noqa: TID252
from .duplicate_parts import document_table, write_parts
from .test_pack import make_tokenizer, texts_of

TEXTS = [f"第{n}篇的独特文字甲乙丙丁{n * 7919}。" * (1 + n % 3) for n in range(30)]


def everything(folder: Path) -> bytes:
    """All bytes below a folder, compressed tables and files unpacked."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.append(path.read_bytes())
        if path.suffix == ".parquet":
            found.append(json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False,
                                    default=str).encode())  # fmt: skip
        if path.suffix == ".zst":
            found.append(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()))
    return b"\0".join(found)


def as_ids(text: str) -> bytes:
    """A text as it lies in the shards: a byte is an id, an id is two bytes."""
    return np.frombuffer(text.encode(), np.uint8).astype("<u2").tobytes()


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two parts and a held-out split; the ids of the tokenizer are bytes."""
    ids = [f"d{n:03d}" for n in range(30)]
    urls = [f"http://s{n}.cn/p" if n % 5 else None for n in range(30)]
    urls[7] = urls[6]
    table = document_table(TEXTS, ids, url=urls, source=["甲", "乙", "乙"] * 10)
    write_parts(tmp_path / "docs", [table[:14], table[14:]])
    pack_folder(tmp_path / "docs", tokenizer=make_tokenizer(tmp_path / "t"), out=tmp_path / "out",
                settings=PackSettings(holdout_fraction=0.2), quiet=True)  # fmt: skip
    return tmp_path / "out"


def _held(shards: Path) -> list[str]:
    tables = [pq.read_table(p) for p in (shards / "heldout").glob("*.docs.parquet")]
    return [str(name) for name in pa.concat_tables(tables).column("id").to_pylist()]


def test_shards_without_some_documents_are_the_others_unchanged(shards: Path) -> None:
    held_before = _held(shards)
    held = held_before[0]
    before = {f: texts_of(f) for f in (shards, shards / "heldout")}
    checks = _checks(shards)
    gone = {held: TEXTS[int(held[1:])]} | {f"d{n:03d}": TEXTS[n] for n in (5, 8, 20)}
    report = forget_in_shards(shards, list(gone))
    assert {g.id for g in report.forgotten} == set(gone)
    assert report.cache["files"] > 0
    for folder, texts in before.items():
        assert texts_of(folder) == [t for t in texts if t not in gone.values()]
        verify(folder)
    left = _checks(shards)
    assert left == {name: check for name, check in checks.items() if name not in gone}
    bytes_left = everything(shards)
    for name, text in gone.items():
        assert text.encode() not in bytes_left
        assert as_ids(text) not in bytes_left
        assert name.encode() not in bytes_left
    assert as_ids(TEXTS[12]) in bytes_left  # so they would have been found
    manifest = json.loads((shards / "manifest.json").read_text())
    in_train = [name for name in gone if name not in held_before]
    assert len(manifest["forgotten"][0]["documents"]) == len(in_train) > 0
    assert (
        sum(s["documents"] for s in manifest["sources"].values()) == open_shards(shards).documents
    )
    sizes = [len(t.encode()) for t in texts_of(shards)]
    assert sum(s["bytes"] for s in manifest["sources"].values()) == sum(sizes)


def _checks(shards: Path) -> dict[str, int]:
    paths = [*shards.glob("*.docs.parquet"), *(shards / "heldout").glob("*.docs.parquet")]
    rows = pa.concat_tables([pq.read_table(p) for p in paths]).to_pylist()
    return {row["id"]: row["check"] for row in rows}


def test_a_url_takes_all_its_documents_and_a_part_can_go_as_a_whole(shards: Path) -> None:
    report = forget_in_shards(shards, ["http://s6.cn/p"])
    assert {g.id for g in report.forgotten} == {"d006", "d007"}
    second = next(p for p in open_shards(shards).parts if p.path.name == "part-00001.bin")
    names = pq.read_table(second.docs).column("id").to_pylist()
    report = forget_in_shards(shards, names)
    assert report.removed == ["part-00001.bin", "part-00001.docs.parquet"]
    assert [p.path.name for p in open_shards(shards, verify="full").parts] == ["part-00000.bin"]
    assert len(json.loads((shards / "manifest.json").read_text())["forgotten"]) == 2
    rest = pq.read_table(open_shards(shards).parts[0].docs).column("id").to_pylist()
    with pytest.raises(DataError, match="nothing would be left"):
        forget_in_shards(shards, rest)
    assert open_shards(shards, verify="full").documents == len(rest)


def test_a_name_that_is_not_there(shards: Path) -> None:
    before = everything(shards)
    with pytest.raises(DataError, match=r"no document with this id or URL, got 'd99'"):
        forget_in_shards(shards, ["d99"])
    assert everything(shards) == before
    assert forget_in_shards(shards, ["d005", "d99"]).not_found == ["d99"]
    again = forget_in_shards(shards, ["d005"])
    assert (again.already, again.forgotten) == (["d005"], [])
    assert len(json.loads((shards / "manifest.json").read_text())["forgotten"]) == 1


def test_a_damaged_part_is_not_given_a_fresh_hash(shards: Path) -> None:
    path = shards / "part-00000.bin"
    damaged = bytearray(path.read_bytes())
    damaged[0] ^= 1
    path.unlink()
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="not the one that the manifest lists"):
        forget_in_shards(shards, ["d005"])
    assert path.read_bytes() == bytes(damaged)


def test_near_duplicates_and_the_run_behind_are_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ids = [f"d{n}" for n in range(6)]
    write_parts(run / "documents", [document_table(TEXTS[:6], ids)])
    from yanmo.curate.clusters import DUPLICATES_SCHEMA

    rows = [{"id": i, "cluster": "c", "kept_id": "d1", "how": "kept", "jaccard": 1.0}
            for i in ("d1", "d2", "d4")]  # fmt: skip
    (run / "duplicates").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, DUPLICATES_SCHEMA),
                   run / "duplicates" / "documents.parquet")  # fmt: skip
    out = tmp_path / "out"
    pack_folder(run, tokenizer=make_tokenizer(tmp_path / "t"), out=out,
                settings=PackSettings(holdout_fraction=0.0), quiet=True)  # fmt: skip
    report = forget_in_shards(out, ["d2"])
    assert sorted(twin["id"] for twin in report.twins) == ["d1", "d4"]
    assert "part-00000.parquet: run `yanmo curate forget`" in report.still_elsewhere[0]


def test_a_crash_between_the_renames_is_put_right(shards: Path) -> None:
    shards.rename(shards.parent / f".{shards.name}.4242.old")
    recover(shards)
    assert verify(shards)["documents"] > 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with kept, dropped and duplicate documents, made by the command."""
    folder = tmp_path_factory.mktemp("run")
    lines = [json_line(article(n), url=f"http://a.cn/{n}") for n in range(6)]
    lines += [json_line(article(2), url="http://b.cn/copy"), json_line("短。", url="http://a.cn/s")]
    (folder / "in.jsonl").write_bytes(b"".join(lines))
    ended = command("curate", "run", folder / "in.jsonl", "--out", folder / "run", "-q",
                    "--workers", "1", "--set", "duplicates.near=false")  # fmt: skip
    assert ended.code == 0, ended.err
    return folder / "run"


def _rows(run: Path, sub: str) -> list[dict[str, Any]]:
    return [
        row for p in sorted((run / sub).glob("*.parquet")) for row in pq.read_table(p).to_pylist()
    ]


def test_a_run_forgets_kept_and_dropped_documents(run: Path, tmp_path: Path) -> None:
    import shutil

    run = Path(shutil.copytree(run, tmp_path / "run"))
    kept = {row["url"]: row for row in _rows(run, "documents")}
    target = next(url for url in ("http://a.cn/2", "http://b.cn/copy") if url in kept)
    twin = "http://b.cn/copy" if target == "http://a.cn/2" else "http://a.cn/2"
    text = kept[target]["text"]
    dry = forget_in_run(run, [target, "http://a.cn/s"], dry_run=True)
    assert len(dry.forgotten) == 2
    assert (run / ".cache").is_dir()
    report = forget_in_run(run, [target, "http://a.cn/s"])
    assert [t["url"] for t in report.twins] == [twin]
    assert any("a new run would read it again" in line for line in report.still_elsewhere)
    assert not (run / ".cache").exists()
    verify_parts(run)
    left = everything(run)
    for url in (target, "http://a.cn/s"):
        assert url.encode() not in left
    assert {row["url"] for row in _rows(run, "documents")} == kept.keys() - {target}
    ids = {row["id"] for sub in ("documents", "dropped") for row in _rows(run, sub)}
    assert {row["id"] for row in _rows(run, "signals")} <= ids
    # Without its twin, nothing of the text is left.
    forget_in_run(run, [twin])
    assert text.encode() not in everything(run)
    assert len(json.loads((run / "manifest.json").read_text())["forgotten"]) == 2


def test_the_command(run: Path, tmp_path: Path, shards: Path) -> None:
    ended = command("curate", "forget", run, "--from", "-", "--dry-run", stdin=b"http://a.cn/1\n\n")
    assert (ended.code, "would be forgotten" in ended.out) == (0, True)
    for arguments, words in (
        ((run, "http://a.cn/none"), "no document with this id or URL"),
        ((run, "x", "--checkpoints", tmp_path), "does not know the order of training"),
        ((run,), "which documents?"),
        ((tmp_path / "none", "x"), "no such folder"),
        ((tmp_path, "x"), "no manifest.json here"),
    ):
        ended = command("curate", "forget", *arguments)
        assert ended.code in (1, 2)
        assert words in ended.err
        assert "Traceback" not in ended.err
    ended = command("curate", "forget", shards, "d005", "--json")
    found = ended.json()
    assert [row["id"] for row in found["forgotten"]] == ["d005"]
    assert found["rewritten"][:1] == ["part-00000.bin"]
