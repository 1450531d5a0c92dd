"""Lines repeated on a site: counts against dictionaries, and a run end to end."""

import json
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.command import command
from yanmo.curate import site_lines
from yanmo.curate.site_kernels import hash_rows, marked_lines
from yanmo.curate.site_lines import PARTITIONS, partition_name
from yanmo.curate.utf8 import text_buffer
from yanmo.documents import SCHEMA, write_part

Page = tuple[str, str]  # address, text


def slow_templates(
    pages: list[Page], *, more_than: int, fraction: float, max_chars: int, min_letters: int
) -> set[tuple[str, str]]:
    """Host and line of all that go."""
    stands: dict[tuple[str, str], set[Page]] = defaultdict(set)
    of_host: dict[str, set[Page]] = defaultdict(set)
    for url, text in pages:
        host = (urlsplit(url).hostname or "").lower()
        if not host:
            continue
        of_host[host].add((url, text))
        for line in text.split("\n"):
            core = line.strip(" \t")
            likely = core and core[0] not in "#`" and len(line) <= max_chars
            if likely and letters(line) >= min_letters:
                stands[host, core].add((url, text))

    def size(pages: set[Page]) -> int:
        return min(len({url for url, _ in pages}), len({text for _, text in pages}))

    return {
        (host, line) for (host, line), found in stands.items()
        if size(found) > more_than and size(found) > fraction * size(of_host[host])
    }  # fmt: skip


def letters(line: str) -> int:
    def is_letter(c: str) -> bool:
        if c.isascii():
            return c.isalnum()
        symbol = 0x2000 <= ord(c) < 0x3040 or 0xF000 <= ord(c) < 0x10000
        return ord(c) >= 0xC0 and not symbol

    return sum(map(is_letter, line))


def slow_cut(text: str, host: str, templates: set[tuple[str, str]], *, max_chars: int) -> str:
    lines = text.split("\n")
    goes = [
        (host, line.strip(" \t")) in templates and len(line) <= max_chars for line in lines
    ]  # fmt: skip
    kept = [i for i, line in enumerate(lines) if line.strip(" \t") and not goes[i]]
    if not any(goes) or not kept:
        return text
    out: list[str] = []
    for i, line in enumerate(lines):
        if goes[i]:
            continue
        blank = not line.strip(" \t")
        if blank and (i > kept[-1] or not out or not out[-1].strip(" \t")):
            continue
        out.append(line)
    return "\n".join(out)


def write(path: Path, pages: list[Page]) -> Path:
    rows = [{"id": f"{path.stem}-{i}", "text": text, "url": url, "source": "s", "origin": f"f#{i}",
             "n_chars": len(text), "n_bytes": len(text.encode())}
            for i, (url, text) in enumerate(pages)]  # fmt: skip
    write_part(path, pa.Table.from_pylist(rows, SCHEMA))
    return path


def cut_all(folder: Path, parts: list[list[Page]], **limits: float) -> list[str]:
    """All tasks, as the run does them."""
    where = {"without_url": "keep", "max_chars": limits["max_chars"],
             "min_letters": limits["min_letters"], "language": {}}  # fmt: skip
    paths = [write(folder / f"p{i}.parquet", part) for i, part in enumerate(parts)]

    def out(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    for i, path in enumerate(paths):
        site_lines.site_pages([path], where, out(f"pages{i}"))
    counts = {"pages": limits["more_than"], "fraction": limits["fraction"]}
    pages = [folder / f"pages{i}" / "pages.npy" for i in range(len(paths))]
    site_lines.site_hosts(pages, counts, out("hosts"))
    hosts = folder / "hosts" / "hosts.npy"
    for i, path in enumerate(paths):
        site_lines.site_map([path, hosts], where, out(f"map{i}"))
    for p in range(PARTITIONS):
        mapped = [folder / f"map{i}" / partition_name(p) for i in range(len(paths))]
        site_lines.site_reduce([*mapped, hosts], counts, out(f"reduce{p}"))
    keys = [folder / f"reduce{p}" / "keys.npy" for p in range(PARTITIONS)]
    texts: list[str] = []
    for i, path in enumerate(paths):
        result = site_lines.site_apply([path, *keys], where, out(f"apply{i}"))
        table = pq.read_table(folder / f"apply{i}" / "documents.parquet")
        edits = pq.read_table(folder / f"apply{i}" / "edits.parquet").to_pylist()
        removed = sum(e["end"] - e["start"] for e in edits)
        assert removed == result["edits"]["site_lines"]["removed"]
        assert table["n_chars"].to_pylist() == [len(t) for t in table["text"].to_pylist()]
        texts += table["text"].to_pylist()
    return texts


line = st.sampled_from(["菜单栏目导航", "foot note", "  版权 所有人 ", "", "正文一二三四",
                        "# 标题标题", "1、", "ab", "很长很长很长的一行", "}",
                        "其他的一行字"])  # fmt: skip
page = st.tuples(
    st.sampled_from([f"http://{h}/{i}" for h in ("a.cn", "A.CN", "b.cn:80", "u@c.cn")
                     for i in range(4)] + ["", "nonsense", "//d.cn/1"]),
    st.lists(st.one_of(line, st.text(max_size=4)), max_size=6).map("\n".join),
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(
    parts=st.lists(st.lists(page, max_size=10), min_size=1, max_size=3),
    more_than=st.integers(1, 3),
    fraction=st.sampled_from([0.0, 0.3, 0.6]),
    stretch=st.sampled_from([1, 3, 1 << 22]),
)
def test_as_counting_with_dictionaries(
    parts: list[list[Page]], more_than: int, fraction: float, stretch: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    limits = {"more_than": more_than, "fraction": fraction, "max_chars": 8, "min_letters": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site_lines, "STRETCH_ROWS", stretch)
        cut = cut_all(tmp_path_factory.mktemp("site"), parts, **limits)
    pages = [page for part in parts for page in part]
    templates = slow_templates(pages, **limits)  # type: ignore[arg-type]
    expected = [
        slow_cut(text, (urlsplit(url).hostname or "").lower(), templates, max_chars=8)
        for url, text in pages
    ]
    assert cut == expected


def test_hashes_spread() -> None:
    buffer, offsets = text_buffer(pa.array([f"行{i}" for i in range(5000)]))
    hashes = hash_rows(buffer, offsets)
    assert len(np.unique(hashes)) == 5000
    shares = np.bincount((hashes >> np.uint64(60)).astype(int), minlength=16) / 5000
    assert abs(shares - 1 / 16).max() < 0.02


def test_a_page_of_template_lines_alone_keeps_its_text() -> None:
    buffer, offsets = text_buffer(pa.array(["导航菜单"]))
    hosts = np.array([7], np.uint64)
    from yanmo.curate.site_kernels import line_keys

    keys, _ = line_keys(buffer, offsets, hosts, 100, 1)
    spans, count = marked_lines(buffer, offsets, hosts, keys, 100, 1)
    assert (len(spans), count) == (0, 0)


MENU = "首页导航栏 产品中心 新闻动态"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of 14 pages under a menu, a small one, and records without an address."""
    rows = [{"text": f"{MENU}\n\n这是第{i}页，讲的是第{i}件事，别处没有。", "url": f"https://big.cn/{i}"}
            for i in range(14)]  # fmt: skip
    rows += [{"text": f"{MENU}\n小站的第{i}页。", "url": f"https://small.cn/{i}"} for i in range(3)]
    rows += [{"text": f"{MENU}\n没有地址的第{i}篇。"} for i in range(15)]
    # One page under twelve addresses is no template.
    rows += [{"text": "同一篇文章的唯一一行", "url": f"https://copies.cn/?{i}"} for i in range(12)]
    folder = tmp_path / "in"
    folder.mkdir()
    for name, some in (("a", rows[::2]), ("b", rows[1::2])):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def stable(run: Path) -> dict[str, bytes]:
    from yanmo.curate.runfolder import STABLE

    files = [run / name for name in STABLE]
    files = [f for x in files for f in (sorted(x.rglob("*")) if x.is_dir() else [x])]
    return {f.relative_to(run).as_posix(): f.read_bytes() for f in files}


def test_in_a_run_by_the_command(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = ["curate", "extract", site, "-q", "--json", "--set", "read.group_files=1"]
    off = command(*run, "--out", out)
    assert off.code == 0, off.err
    on = command(*run, "--out", out, "--set", "site.repeated_lines=true")
    assert on.code == 0, on.err
    edits = on.json()["characters"]["edits"]
    assert edits["site_lines"] == {"added": 0, "removed": 14 * (len(MENU) + 2)}
    fresh = {name for name, s in on.json()["steps"].items() if s["tasks"] > s["cached"]}
    assert fresh & {"ingest", "clean"} == set()
    kept = {r["url"]: r["text"] for r in pq.read_table(out / "documents").to_pylist() if r["url"]}
    assert kept["https://big.cn/3"] == "这是第3页，讲的是第3件事，别处没有。"
    assert kept["https://small.cn/1"].startswith(MENU)
    assert kept["https://copies.cn/?3"] == "同一篇文章的唯一一行"
    why = command("curate", "why", out, "https://big.cn/3")
    assert f"- {MENU}  (site_lines)" in why.out
    told = command("curate", "why", out, "https://big.cn/3", "--json").json()["edits"]
    assert [(e["step"], e["start"], e["text"].strip()) for e in told if e["text"].strip()] == [
        ("site", 0, MENU)
    ]
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "What was edited" in report
    assert MENU in report
    moved = command(*run, "--out", out, "--set", "lines.boilerplate=[]")
    fresh = {name for name, s in moved.json()["steps"].items() if s["tasks"] > s["cached"]}
    assert "clean" in fresh
    assert "ingest" not in fresh
    assert "site_lines" not in moved.json()["characters"]["edits"]
    sources = command(*run, "--out", tmp_path / "by-source", "--set", "site.repeated_lines=true",
                      "--set", "site.without_url=source")  # fmt: skip
    removed = sources.json()["characters"]["edits"]["site_lines"]["removed"]
    assert removed == 14 * (len(MENU) + 2) + 15 * (len(MENU) + 1)


@pytest.mark.slow
def test_equal_bytes_for_any_number_of_workers(site: Path, tmp_path: Path) -> None:
    run = ["curate", "extract", site, "-q", "--json", "--set", "site.repeated_lines=true",
           "--set", "read.group_files=1"]  # fmt: skip
    for workers in (1, 2):
        ended = command(*run, "--out", tmp_path / str(workers), "--workers", workers)
        assert ended.code == 0, ended.err
    assert stable(tmp_path / "1") == stable(tmp_path / "2")
