"""From documents to token shards: every document once, as the tokenizer says."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from yanmo.curate import PACK_GUARDS, PACK_TOKENIZER, pack, shuffle
from yanmo.curate.clusters import DUPLICATES_SCHEMA
from yanmo.curate.look import peek, where
from yanmo.curate.pack import pack_folder
from yanmo.curate.pack_options import PackSettings
from yanmo.curate.pieces import with_boundaries, with_ids
from yanmo.errors import DataError, UsageError
from yanmo.shards import open_shards, verify
from yanmo.vocab import columns

from .duplicate_parts import document_table, write_parts

EOS = "</s>"


def byte_characters() -> list[str]:
    """The 256 characters that stand for bytes in a byte-level vocabulary, in byte order."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b if b in shown else 256 + hidden.index(b)) for b in range(256)]


def make_tokenizer(folder: Path, *, size: int = 257, eos: str | None = EOS) -> Path:
    """A byte-level tokenizer without merges: the ids are the bytes, EOS is the last id."""
    vocab = {char: n for n, char in enumerate(byte_characters())}
    vocab |= {f"<filler {n}>": n for n in range(256, size - 1)}
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    special = {"id": size - 1, "content": EOS, "special": True, "normalized": False,
               "single_word": False, "lstrip": False, "rstrip": False}  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "pre_tokenizer": level, "decoder": level, "post_processor": None, "added_tokens": [special],
        "model": {"type": "BPE", "vocab": vocab | {EOS: size - 1}, "merges": []},
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return make_tokenizer(tmp_path / "tokenizer")


TEXTS = ["研墨之前，先磨一池水。", "", "A literal </s> in a page", "😀\n" * 30, "末"]
KEEP_ALL = PackSettings(holdout_fraction=0.0)


def documents(folder: Path, texts: list[str], *, cut: int = 3, **more: Any) -> Path:
    """A folder of two parts."""
    table = document_table(texts, [f"d{n:03d}" for n in range(len(texts))], **more)
    write_parts(folder, [table[:cut], table[cut:]])
    return folder


def texts_of(folder: Path) -> list[str]:
    """The texts that the shards hold, decoded by hand: the ids are bytes."""
    shards = open_shards(folder, verify="full")
    eos = shards.vocabulary.eos_id
    found = []
    for number in range(shards.documents):
        *ids, last = shards.document(number).tolist()
        assert last == eos
        found.append(bytes(ids).decode())
    return found


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of all shard files below a folder, the cache aside."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.parts and path.name != "manifest.json"
    }


def test_every_document_is_packed_once_and_in_order(tmp_path: Path, tokenizer: Path) -> None:
    source = documents(tmp_path / "in", TEXTS, source=["a", "b", "a", "a", "b"])
    out = tmp_path / "out"
    result = pack_folder(source, tokenizer=tokenizer, out=out, settings=KEEP_ALL)
    assert texts_of(out) == TEXTS
    sizes = [len(text.encode()) for text in TEXTS]
    assert result["tokens"] == sum(sizes) + 5
    assert result["sources"]["b"] == {
        "documents": 2, "tokens": sizes[1] + sizes[4] + 2, "bytes": sizes[1] + sizes[4],
        "chars": len(TEXTS[1]) + len(TEXTS[4]),
    }  # fmt: skip
    assert (result["parts"], result["heldout"]["documents"]) == (2, 0)
    table = pa.concat_tables([pq.read_table(p) for p in sorted(out.glob("*.docs.parquet"))])
    assert table.column("id").to_pylist() == [f"d{n:03d}" for n in range(5)]
    assert table.column("n_chars").to_pylist() == [len(text) for text in TEXTS]
    # The folder is complete: its tokenizer is in it, the base model's weights are not.
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["eos_id"] == 256
    assert manifest["tokenizer_sha256"] == hashlib.sha256(
        (out / "tokenizer" / "tokenizer.json").read_bytes()
    ).hexdigest()  # fmt: skip
    assert not (out / "tokenizer" / "model.safetensors").exists()
    assert manifest["recipe"]["max_part_tokens"] == KEEP_ALL.max_part_tokens
    assert verify(out / "heldout")["tokens"] == 0


def test_same_bytes_for_any_workers_and_nothing_is_redone(tmp_path: Path, tokenizer: Path) -> None:
    texts = [f"第{n}篇。" * (n % 7) for n in range(60)]
    source = documents(tmp_path / "in", texts, cut=33)
    settings = PackSettings(holdout_fraction=0.2, max_part_tokens=300)
    made = []
    for workers in (1, 2):
        out = tmp_path / f"out-{workers}"
        result = pack_folder(
            source, tokenizer=tokenizer, out=out, settings=settings, workers=workers, quiet=True
        )
        made.append(hashes(out))
        assert result["fresh_tasks"] == result["tasks"] == 9
    assert made[0] == made[1]
    again = pack_folder(source, tokenizer=tokenizer, out=out, settings=settings, quiet=True)
    assert again["fresh_tasks"] == 0
    assert hashes(out) == made[0]
    assert sorted([*texts_of(out), *texts_of(out / "heldout")]) == sorted(texts)


def test_batches_change_nothing(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = documents(tmp_path / "in", TEXTS * 3)
    settings = PackSettings(holdout_fraction=0.2, max_part_tokens=100)
    made = []
    for size in (1, 50, 1 << 22):
        monkeypatch.setattr(pack, "BATCH_BYTES", size)
        out = tmp_path / f"out-{size}"
        pack_folder(source, tokenizer=tokenizer, out=out, settings=settings, quiet=True)
        made.append(hashes(out))
    assert made[0] == made[1] == made[2]


def test_parts_stay_below_their_limit_and_long_documents_stay_whole(
    tmp_path: Path, tokenizer: Path
) -> None:
    texts = ["a" * 5, "b" * 4, "c" * 50, "d" * 3, "e" * 9]
    source = documents(tmp_path / "in", texts, cut=5)
    settings = PackSettings(holdout_fraction=0.0, max_part_tokens=11)
    out = tmp_path / "out"
    result = pack_folder(source, tokenizer=tokenizer, out=out, settings=settings, quiet=True)
    assert [part.tokens for part in open_shards(out).parts] == [11, 51, 4, 10]
    assert texts_of(out) == texts
    # A second pack into the same folder leaves none of the old parts behind.
    result = pack_folder(source, tokenizer=tokenizer, out=out, settings=KEEP_ALL, quiet=True)
    assert (result["parts"], sorted(p.name for p in out.glob("*.bin"))) == (1, ["part-00000.bin"])
    assert texts_of(out) == texts


def test_a_large_vocabulary_is_packed_as_u32(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "big", size=70_000)
    source, out = documents(tmp_path / "in", TEXTS), tmp_path / "out"
    pack_folder(source, tokenizer=tokenizer, out=out, settings=KEEP_ALL, quiet=True)
    shards = open_shards(out, verify="full", vocab_size=70_000)
    assert (shards.vocabulary.dtype, shards.vocabulary.eos_id) == ("uint32", 69_999)
    assert texts_of(out) == TEXTS


def test_duplicates_of_a_run_folder_go_to_one_side(tmp_path: Path, tokenizer: Path) -> None:
    run = tmp_path / "run"
    texts = [f"第{n}篇文章，写的是研墨。" for n in range(40)]
    urls = [f"http://s{n % 10}.cn/{n}" if n % 2 else None for n in range(40)]
    documents(run / "documents", texts, cut=20, url=urls)
    names = {f"d{n:03d}": f"c{n % 4}" for n in range(0, 16, 2)}
    rows = [{"id": i, "cluster": c, "kept_id": i, "how": "kept", "jaccard": 1.0}
            for i, c in names.items()]  # fmt: skip
    (run / "duplicates").mkdir()
    table = pa.Table.from_pylist(rows, DUPLICATES_SCHEMA)
    pq.write_table(table, run / "duplicates" / "documents.parquet")
    out = tmp_path / "out"
    settings = PackSettings(holdout_fraction=0.3, seed=3)
    result = pack_folder(run, tokenizer=tokenizer, out=out, settings=settings, quiet=True)
    assert result["clusters_known"]
    sides: dict[str, set[str]] = {}
    for folder in (out, out / "heldout"):
        for path in folder.glob("*.docs.parquet"):
            for row in pq.read_table(path).to_pylist():
                assert row["cluster"] == names.get(row["id"])
                for key in (row["cluster"], row["url"] and row["url"].rpartition("/")[0]):
                    sides.setdefault(key, set()).add(folder.name)
    assert len(sides) == 1 + 2 + 5
    del sides[None]  # type: ignore[arg-type]  # documents with neither go to both sides
    assert {len(side) for side in sides.values()} == {1}
    held = result["heldout"]["documents"]
    assert 0 < held <= 12
    assert held + result["documents"] == 40


def test_where_and_peek_walk_back_to_the_page(tmp_path: Path, tokenizer: Path) -> None:
    urls = [None, None, "http://a.cn/x", None, None]
    source, out = documents(tmp_path / "in", TEXTS, url=urls), tmp_path / "out"
    pack_folder(source, tokenizer=tokenizer, out=out, settings=KEEP_ALL, quiet=True)
    start = len(TEXTS[0].encode()) + 2
    found = where(out, start + 2, context=3)
    assert (found["id"], found["url"], found["origin"]) == ("d002", "http://a.cn/x", "d002")
    assert (found["before"], found["token"], found["after"]) == ("A ", "l", "ite")
    shown = peek(out, first=0, documents=2, max_tokens=6)
    assert [(s["id"], s["text"], s["cut"], s["tokens"]) for s in shown] == [
        ("d000", "研墨", True, 34),
        ("d001", EOS, False, 1),
    ]
    assert len(peek(out, first=4, documents=9)) == 1


def test_a_part_whose_sample_differs_is_encoded_by_the_library(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault late in one part: what was written before it goes, the other part stays as it is."""
    source = documents(tmp_path / "in", TEXTS)
    monkeypatch.setattr(pack, "BATCH_BYTES", 40)  # a text a batch
    right = pack_folder(source, tokenizer=tokenizer, out=tmp_path / "right", settings=KEEP_ALL)
    assert set(right["encoding"]["parts"]) == {"kernels"}
    assert right["encoding"]["sampled_bytes"] == sum(len(text.encode()) for text in TEXTS)
    encode = columns.encode

    def faulty(codes: Any, *more: Any) -> Any:
        ids, bounds = encode(codes, *more)
        if len(codes) and chr(codes[0]) == "A":  # the third text, last of the first part
            ids[-1] ^= 1
        return ids, bounds

    monkeypatch.setattr(columns, "encode", faulty)
    made = pack_folder(source, tokenizer=tokenizer, out=tmp_path / "out", settings=KEEP_ALL)
    assert made["encoding"]["parts"] == {"kernels": 1, "tokenizers": 1}
    assert made["encoding"]["why_not_kernels"] == ["other ids for 'A literal </s> in a page'…"]
    same, other = hashes(tmp_path / "right"), hashes(tmp_path / "out")
    assert {n: h for n, h in same.items() if "part-" in n} == {
        n: h for n, h in other.items() if "part-" in n
    }
    assert texts_of(tmp_path / "out") == TEXTS
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["encoding"] == made["encoding"]
    # Nothing is asked again: the verdict on the part is in the cache with its ids.
    again = pack_folder(source, tokenizer=tokenizer, out=tmp_path / "out", settings=KEEP_ALL)
    assert (again["fresh_tasks"], again["encoding"]) == (0, made["encoding"])


def test_another_eos_in_the_configuration_packs_anew(tmp_path: Path, tokenizer: Path) -> None:
    """The ids of the text stay, what closes a document does not; the file of the ids is equal."""
    source, out = documents(tmp_path / "in", TEXTS), tmp_path / "out"
    pack_folder(source, tokenizer=tokenizer, out=out, settings=KEEP_ALL, quiet=True)
    (tokenizer / "tokenizer_config.json").write_text(json.dumps({"eos_token": "\u0100"}))
    result = pack_folder(source, tokenizer=tokenizer, out=out, settings=KEEP_ALL, quiet=True)
    assert result["fresh_tasks"] == 2
    shards = open_shards(out, verify="full")
    assert shards.vocabulary.eos_id == 0
    assert [int(shards.document(n)[-1]) for n in range(shards.documents)] == [0] * len(TEXTS)


PRELOAD = """
import gc, json, os, sys
import numba, polars, pyarrow.parquet  # their allocators keep threads of their own
tasks = "/proc/self/task" if os.path.isdir("/proc/self/task") else "."
before = len(os.listdir(tasks))
import yanmo.curate.preload_pack
from yanmo.vocab.load import _column_encoder
print(json.dumps([gc.isenabled(), gc.get_freeze_count() > 10_000, len(os.listdir(tasks)) - before,
                  _column_encoder.cache_info().currsize,
                  "yanmo.curate.heldout_guard" in sys.modules]))
"""


@pytest.mark.parametrize("guards", ["", "1"])
@pytest.mark.parametrize(("name", "loaded"), [("tokenizer", 1), ("missing", 0)])
def test_the_server_of_the_workers_has_the_tokenizer_and_starts_no_thread(
    name: str, loaded: int, guards: str, tokenizer: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELOAD], capture_output=True, cwd=tmp_path, check=True,
        env={**os.environ, PACK_TOKENIZER: str(tmp_path / name), PACK_GUARDS: guards},
    )  # fmt: skip
    compared = bool(guards) and name == "tokenizer"
    assert json.loads(done.stdout) == [True, True, 0, loaded, compared]


def test_a_tokenizer_without_eos_is_refused(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "t", eos=None)
    source = documents(tmp_path / "in", TEXTS)
    with pytest.raises(DataError, match="no end-of-sequence token"):
        pack_folder(source, tokenizer=tokenizer, out=tmp_path / "out", settings=KEEP_ALL)


def test_a_folder_with_other_files_is_refused_and_left_alone(
    tmp_path: Path, tokenizer: Path
) -> None:
    source = documents(tmp_path / "in", TEXTS)
    before = hashes(source)
    with pytest.raises(UsageError, match=r"holds other files, got \['part-00000.parquet'"):
        pack_folder(source, tokenizer=tokenizer, out=source, settings=KEEP_ALL)
    assert hashes(source) == before


def test_a_file_that_is_no_table_is_named(tmp_path: Path, tokenizer: Path) -> None:
    settings, out = PackSettings(), tmp_path / "s"
    (tmp_path / "f.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"f\.jsonl: not a readable Parquet file.*curate run"):
        pack_folder(tmp_path / "f.jsonl", tokenizer=tokenizer, out=out, settings=settings)
    whole = next(documents(tmp_path / "in", TEXTS).rglob("*.parquet")).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"cut\.parquet: not a readable Parquet file.*Is it cut"):
        pack_folder(tmp_path / "cut.parquet", tokenizer=tokenizer, out=out, settings=settings)
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet: no column 'id'.*It has: text"):
        pack_folder(tmp_path / "other.parquet", tokenizer=tokenizer, out=out, settings=settings)


def test_nothing_to_pack_is_an_error(tmp_path: Path, tokenizer: Path) -> None:
    source = documents(tmp_path / "in", [])
    with pytest.raises(DataError, match="no documents to pack"):
        pack_folder(source, tokenizer=tokenizer, out=tmp_path / "out", settings=KEEP_ALL)


def test_a_shuffle_depends_on_seed_and_ids_alone(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any cut into parts; several partitions; every document once."""
    texts = [f"第{n}篇。" * (n % 5) for n in range(80)]
    monkeypatch.setattr(shuffle, "PARTITION_TOKENS", 500)
    made = []
    for cut in (33, 60):
        source = documents(tmp_path / f"in-{cut}", texts, cut=cut)
        out = tmp_path / f"out-{cut}"
        settings = PackSettings(holdout_fraction=0.2, max_part_tokens=300, shuffle=True)
        result = pack_folder(source, tokenizer=tokenizer, out=out, settings=settings, quiet=True)
        made.append({name: h for name, h in hashes(out).items() if not name.startswith("heldout")})
        assert verify(out)["documents"] == result["documents"]
    assert made[0] == made[1]
    assert result["parts"] > 4
    names = [name for path in sorted(out.glob("*.docs.parquet"))
             for name in pq.read_table(path).column("id").to_pylist()]  # fmt: skip
    keys = [xxhash.xxh3_64_intdigest(f"0\0{name}".encode()) for name in names]
    assert keys == sorted(keys)
    assert sorted([*texts_of(out), *texts_of(out / "heldout")]) == sorted(texts)
    assert [texts[int(name[1:])] for name in names] == texts_of(out)
    again = pack_folder(source, tokenizer=tokenizer, out=out, settings=settings, quiet=True)
    assert again["documents"] == result["documents"]


def test_peek_shows_a_source_and_where_tokens_end(tmp_path: Path, tokenizer: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    documents(source, TEXTS, source=["a", "b", "a", "a", "b"])
    pack_folder(source, tokenizer=tokenizer, out=out, settings=KEEP_ALL, quiet=True)
    (row,) = peek(out, source="b", first=1, boundaries=True)
    assert row["id"] == "d004"
    assert [(p.text, len(p.ids)) for p in row["pieces"]] == [("末", 3), (EOS, 1)]
    assert with_boundaries(row["pieces"]) == f"末⟨3⟩│{EOS}"
    (row,) = peek(out, first=2, documents=1, max_tokens=3, boundaries=True)
    assert with_boundaries(row["pieces"]) == "A│ │l"
    assert with_ids(row["pieces"]).splitlines()[0].split() == ["'A'", "65", "A"]
    with pytest.raises(UsageError, match=r"no such source.*'c'.*Known: a, b"):
        peek(out, source="c")
