"""From the inputs of a recipe to read tasks; stdin; the door to all readers."""

import gzip
import io
import os
import sys
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from yanmo.curate.read import (
    ByteLedger,
    InputFile,
    InputSpec,
    Quarantine,
    ReadOptions,
    discover,
    read_pages,
)
from yanmo.errors import DataError, LedgerError, MissingDependency, UsageError

from .read_audit import Outcome, audit, read, rows_of

LINE = '{"text": "研墨"}\n'.encode()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "站点"
    for name in ("b/1.html", "b/2.HTM", "a.jsonl", "a.jsonl.gz", "z.txt", "b/.hidden.html"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(LINE) if name.endswith(".gz") else LINE)
    (root / ".git").mkdir()
    (root / ".git" / "x.html").write_bytes(b"x")
    return root


def names(spec: InputSpec, options: ReadOptions | None = None) -> list[list[str]]:
    return [[file.name for file in group.files] for group in discover([spec], options=options)]


def test_a_folder_in_the_order_of_names(tree: Path) -> None:
    groups = names(InputSpec(str(tree)))
    assert groups == [["a.jsonl", "a.jsonl.gz", "b/1.html", "b/2.HTM", "z.txt"]]
    assert read(tree).pages[2]["origin"] == "b/1.html#0"


def test_small_files_go_in_groups_of_fixed_size(tree: Path) -> None:
    assert names(InputSpec(str(tree)), ReadOptions(group_files=2)) == [
        ["a.jsonl", "a.jsonl.gz"],
        ["b/1.html", "b/2.HTM"],
        ["z.txt"],
    ]
    assert len(names(InputSpec(str(tree)), ReadOptions(group_bytes=1))) == 5


def test_a_big_file_is_a_task_of_its_own(tree: Path) -> None:
    (tree / "big.jsonl").write_bytes(LINE * 60_000)
    assert ["big.jsonl"] in names(InputSpec(str(tree)))


def test_source_and_licence(tree: Path) -> None:
    (group,) = discover([InputSpec(str(tree), source="站", licence="CC0")])
    assert (group.source, group.licence) == ("站", "CC0")
    assert discover([InputSpec(str(tree))])[0].source == "站点"
    assert discover([InputSpec(str(tree / "a.jsonl.gz"))])[0].source == "a"
    assert group.size == sum(
        len(path.read_bytes()) for path in (tree / n for n in names(InputSpec(str(tree)))[0])
    )


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["a.jsonl"]),
        ("**/*.htm*", ["b/1.html"]),
        ("b/?.[hH]*", ["1.html", "2.HTM"]),
        ("*", ["a.jsonl", "a.jsonl.gz", "z.txt"]),
    ],
)
def test_patterns(tree: Path, pattern: str, found: list[str]) -> None:
    assert names(InputSpec(f"{tree}/{pattern}")) == [found]


def test_a_name_with_brackets_is_first_a_name(tmp_path: Path) -> None:
    path = tmp_path / "[2024] a*.jsonl"
    path.write_bytes(LINE)
    assert len(read(path).pages) == 1


def test_files_of_unknown_suffix_in_a_folder_are_in_the_byte_ledger(tree: Path) -> None:
    (tree / "style.css").write_bytes(b"x" * 123)
    outcome = read(tree)
    assert outcome.total["content"]["skipped"] == {"unknown suffix": 123}
    assert outcome.total["files"] == 6


ERRORS = {
    "nothing.jsonl": "no such file or folder",
    "*.parquet": "nothing matches",
    "empty": "holds no file",
    "odd": "no file of a known format",
    "a.docx": "format of the file is not known",
}


@pytest.mark.parametrize("path", ERRORS)
def test_errors_name_path_and_fix(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "x.css").write_bytes(b"x")
    (tmp_path / "a.docx").write_bytes(b"x")
    with pytest.raises(UsageError, match=ERRORS[path]) as caught:
        discover([InputSpec(f"{tmp_path}/{path}")])
    assert caught.value.fix
    assert str(tmp_path) in str(caught.value)


def test_links_are_followed_once(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.jsonl").write_bytes(LINE)
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    (tree / "b" / "round").symlink_to(tree)
    found = names(InputSpec(str(tree)))
    assert found == [["a.jsonl", "a.jsonl.gz", "b/1.html", "b/2.HTM", "link/far.jsonl", "z.txt"]]


def test_a_link_that_leads_nowhere_is_named(tree: Path) -> None:
    (tree / "b" / "gone.jsonl").symlink_to(tree / "nowhere")
    with pytest.raises(DataError, match=r"b/gone\.jsonl: cannot open the file .*leads nowhere"):
        discover([InputSpec(str(tree))])


def test_pipes_are_passed_over(tree: Path) -> None:
    os.mkfifo(tree / "pipe.jsonl")
    assert "pipe.jsonl" not in names(InputSpec(str(tree)))[0]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.jsonl")).write_bytes(LINE)
    (folder / "new\nline#.jsonl").write_bytes(LINE)
    outcome = read(folder)
    assert [page["origin"] for page in outcome.pages] == ["new\nline#.jsonl#0", "\\xff.jsonl#0"]
    assert discover([InputSpec(str(folder))])[0].source == "caf\\xe9"


def test_no_input_at_all() -> None:
    with pytest.raises(UsageError, match="no input"):
        discover([])


def test_one_name_twice_in_a_source(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_bytes(LINE)
    specs = [InputSpec(str(tmp_path / folder / "a.jsonl")) for folder in ("x", "y")]
    with pytest.raises(UsageError, match="source of its own"):
        discover(specs)
    with pytest.raises(UsageError, match="source of its own"):
        discover(specs[:1] * 2)
    apart = [InputSpec(spec.path, source=str(at)) for at, spec in enumerate(specs)]
    assert len(discover(apart)) == 2


def test_remote_files(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    system.pipe({"/store/in/a.jsonl": LINE * 2, "/store/in/b/c.html": b"<p>", "/store/in/.x": b""})
    try:
        assert names(InputSpec("memory://store/in")) == [["a.jsonl", "b/c.html"]]
        assert names(InputSpec("memory://store/in/*.jsonl")) == [["a.jsonl"]]
        assert names(InputSpec("memory://store/in/a.jsonl")) == [["a.jsonl"]]
        outcome = read(InputSpec("memory://store/in"))
        assert [page["origin"] for page in outcome.pages] == [
            "a.jsonl#0",
            "a.jsonl#19",
            "b/c.html#0",
        ]
        with pytest.raises(UsageError, match="nothing is there"):
            discover([InputSpec("memory://store/none")])
    finally:
        system.rm("/store", recursive=True)


def test_remote_systems_that_cannot_be_used() -> None:
    with pytest.raises(UsageError, match="address"):
        discover([InputSpec("nosuch://a/b")])
    with pytest.raises(MissingDependency):
        discover([InputSpec("s3://bucket/a.jsonl")])


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, tmp_path: Path, **spec: str) -> Outcome:
    class Pipe(io.RawIOBase):
        """Gives a few bytes at a time, as pipes do."""

        def __init__(self) -> None:
            self.left = data

        def read(self, size: int = -1) -> bytes:
            part, self.left = self.left[: min(size, 5)], self.left[min(size, 5) :]
            return part

    class Stdin:
        buffer = Pipe()

    monkeypatch.setattr(sys, "stdin", Stdin())
    (group,) = discover([InputSpec("-", **spec)])
    path = tmp_path / "quarantine.jsonl.zst"
    with Quarantine(path) as quarantine:
        ledger = ByteLedger(quarantine)
        (file,) = group.files
        pages = [
            page
            for batch in read_pages(file, options=ReadOptions(), ledger=ledger)
            for page in batch.to_pylist()
        ]
    outcome = Outcome(pages, ledger.as_dict(), rows_of(path.read_bytes()), [], b"")
    audit(outcome, len(data))
    return outcome


RESOURCE = (
    b"WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: http://a\r\nContent-Type: text/html\r\n"
    b"Content-Length: 3\r\n\r\n<p>\r\n\r\n"
)


@pytest.mark.parametrize(
    ("data", "media", "where"),
    [
        (LINE, "text", "stdin#0"),
        (b"\xef\xbb\xbf" + LINE, "text", "stdin#3"),
        (gzip.compress(b"\n" + LINE), "text", "stdin#1"),
        (RESOURCE, "html", "stdin#0"),
        (b"\n<!DOCTYPE html><p>", "html", "stdin#0"),
        ("研墨\n".encode(), "text", "stdin#0"),
    ],
)
def test_stdin_is_known_by_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes, media: str, where: str
) -> None:
    (page,) = stdin(monkeypatch, data, tmp_path).pages
    assert (page["media"], page["origin"]) == (media, where)


def test_a_named_file_without_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    for data in (LINE, gzip.compress(LINE), RESOURCE):
        path.write_bytes(data)
        (page,) = read(path).pages
        assert page["origin"] == "dump#0"
    pq.write_table(pa.table({"text": ["研"]}), path)
    assert read(path).texts == ["研"]


def test_stdin_of_a_named_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert stdin(monkeypatch, b"text\na\n", tmp_path, format="csv").texts == ["a"]


def test_parquet_cannot_come_through_stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for spec in ({}, {"format": "parquet"}):
        with pytest.raises(DataError, match="stream"):
            stdin(monkeypatch, b"PAR1abc", tmp_path, **spec)


def test_a_file_that_changes_or_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINE)
    (group,) = discover([InputSpec(str(path))])
    path.write_bytes(LINE * 2)
    with pytest.raises(LedgerError, match="changed"):
        list(read_pages(group.files[0], options=ReadOptions(), ledger=ByteLedger(Quarantine())))
    path.unlink()
    with pytest.raises(DataError, match="cannot open"):
        list(read_pages(group.files[0], options=ReadOptions(), ledger=ByteLedger(Quarantine())))


def test_a_disk_that_fails_is_an_error_and_no_end_of_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("yanmo.curate.read.open_raw", lambda path: Failing())
    file = InputFile("a.jsonl", "a.jsonl", "s", "", "jsonl", None)
    with pytest.raises(DataError, match=r"a\.jsonl.*cannot read on"):
        list(read_pages(file, options=ReadOptions(), ledger=ByteLedger(Quarantine())))
