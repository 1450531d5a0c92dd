"""Files are whole or absent."""

import gzip
import os
import random
from pathlib import Path

import pytest
import zstandard

from yanmo.errors import DataError, YanmoError
from yanmo.files import (
    atomic_folder,
    atomic_write,
    exclusive,
    open_input,
    read_json,
    reading,
    sha256_json,
    sync_tree,
    synced_later,
    write_json,
)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), atomic_write(path, text=True) as stream:  # noqa: PT012
        stream.write("new")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "run"
    for name in ("one", "two"):
        with atomic_folder(target) as folder:
            (folder / name).touch()
    assert [p.name for p in target.iterdir()] == ["two"]
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:  # noqa: PT012
        (folder / "three").touch()
        raise RuntimeError
    assert [p.name for p in target.iterdir()] == ["two"]


def test_compression_by_suffix(tmp_path: Path) -> None:
    data = "研墨".encode() * 1000
    (tmp_path / "x.gz").write_bytes(gzip.compress(data[:3000]) + gzip.compress(data[3000:]))
    frames = [zstandard.ZstdCompressor().compress(half) for half in (data[:3000], data[3000:])]
    (tmp_path / "x.zst").write_bytes(b"".join(frames))
    (tmp_path / "x.bin").write_bytes(data)
    for name in ("x.gz", "x.zst", "x.bin"):
        with open_input(tmp_path / name) as stream:
            assert stream.read() == data, name


def test_zstd_frames_of_every_kind(tmp_path: Path) -> None:
    """With and without checksum and size, empty ones, runs, and frames that hold no content."""
    data = b"".join(f"{n} \u7814\u58a8\n".encode() for n in range(60_000)) + bytes(500_000)
    packers = [zstandard.ZstdCompressor(write_checksum=check, write_content_size=size)
               for check in (False, True) for size in (False, True)]  # fmt: skip
    skipped = b"\x5f\x2a\x4d\x18\x03\x00\x00\x00abc"
    frames = [packer.compress(part) for packer in packers for part in (data, b"", b"x")]
    (tmp_path / "x.zst").write_bytes(skipped + skipped.join(frames) + skipped)
    with open_input(tmp_path / "x.zst") as stream:
        assert stream.readline() == "0 \u7814\u58a8\n".encode()
        rest = stream.read()
    assert rest == ((data + b"x") * 4)[len("0 \u7814\u58a8\n".encode()) :]
    (tmp_path / "y.zst").write_bytes(b"")
    with open_input(tmp_path / "y.zst") as stream:
        assert stream.read() == b""


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_file_cut_anywhere_is_an_error_that_names_it(tmp_path: Path, ending: str) -> None:
    rng = random.Random(3)
    data = rng.randbytes(300_000)  # three blocks
    packer = zstandard.ZstdCompressor(write_checksum=True)
    whole = gzip.compress(data) if ending == "gz" else packer.compress(data) * 2
    path = tmp_path / f"x.{ending}"
    step = len(whole) // 40
    sizes = {*range(1, len(whole), step), *range(len(whole) - 20, len(whole))}
    for size in sorted(sizes - {len(whole) // 2}):  # there the first of two frames ends
        path.write_bytes(whole[:size])
        named = pytest.raises(DataError, match=rf"x\.{ending}: cannot read on")
        with named, reading(path), open_input(path) as stream:
            stream.read()
    path.write_bytes(whole[:-9] + b"damaged..")
    named = pytest.raises(DataError, match="cannot read on")
    with named, reading(path), open_input(path) as stream:
        stream.read()


def test_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: cannot open the file \(No such file"):
        open_input(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="No such file"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="not JSON"):
        read_json(tmp_path / "bad.json")


def test_json_takes_file_names_that_are_no_text(tmp_path: Path) -> None:
    name = b"caf\xe9 \xe5\xa2\xa8".decode("utf-8", "surrogateescape")
    write_json(tmp_path / "a.json", {"path": name})
    assert read_json(tmp_path / "a.json") == {"path": name}
    (tmp_path / "a.json").read_bytes().decode("utf-8")
    assert sha256_json(name) != sha256_json(name.replace("\udce9", "?"))


def test_a_held_folder_is_refused_until_it_is_free(tmp_path: Path) -> None:
    with exclusive(tmp_path / "out" / "held"):
        pattern = rf"out: another run is writing here\..*process {os.getpid()}\)"
        with pytest.raises(YanmoError, match=pattern), exclusive(tmp_path / "out" / "held"):
            pass
    with exclusive(tmp_path / "out" / "held"):
        pass


def test_json_bytes_depend_on_the_value_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": "墨"})
    write_json(tmp_path / "b", {"a": "墨", "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_of_a_task_are_flushed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with synced_later():
        write_json(tmp_path / "inside.json", 1)
    assert flushed == []
    sync_tree(tmp_path)
    assert flushed == ["inside.json", tmp_path.name]
    write_json(tmp_path / "outside.json", 1)
    assert len(flushed) == 4
