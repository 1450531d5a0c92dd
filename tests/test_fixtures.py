"""The bundled sample: made as its README says, and what its table of expectations says it is."""

import csv
import gzip
import hashlib
import json
import re
import subprocess
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

FOLDER = Path(__file__).resolve().parent.parent / "fixtures"
DEMO = FOLDER / "demo"
MADE_WITH_ZLIB = "1.2.13"


def rows() -> list[dict[str, str]]:
    """The table of expectations."""
    with (DEMO / "expected.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def members(path: Path) -> Iterator[bytes]:
    """The gzip members of a file, decompressed; the last may be a fragment."""
    rest = path.read_bytes()
    while rest:
        decoder = zlib.decompressobj(31)
        yield decoder.decompress(rest)
        rest = decoder.unused_data


def payloads() -> dict[str, tuple[str, bytes]]:
    """Content-Type and decoded body of every response by URL, as FastWARC reads them."""
    found = {}
    for path in sorted(DEMO.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                label = str(record.http_headers.get("Content-Type", ""))
                body = record.reader.read()
                if record.http_headers.get("Transfer-Encoding") == "chunked":
                    body = gzip.decompress(joined_chunks(body))
                found[record.headers["WARC-Target-URI"]] = (label, body)
    return found


def joined_chunks(body: bytes) -> bytes:
    """Undo HTTP chunking (RFC 9112, section 7.1)."""
    whole = b""
    while (size := int(body.split(b"\r\n", 1)[0], 16)) > 0:
        start = body.index(b"\r\n") + 2
        whole += body[start : start + size]
        body = body[start + size + 2 :]
    return whole


@pytest.fixture(scope="module")
def pages() -> dict[str, tuple[str, bytes]]:
    return payloads()


def texts_by_cluster(pages: dict[str, tuple[str, bytes]]) -> dict[str, list[str]]:
    """The visible letters of every page of a cluster."""
    clusters = defaultdict(list)
    for row in rows():
        if row["cluster"]:
            clusters[row["cluster"]].append(letters(*pages[row["url"]]))
    return clusters


def letters(label: str, body: bytes) -> str:
    """The paragraphs of a page."""
    page = ""
    for encoding in ("utf-8-sig", "big5hkscs" if "big5" in label else "gb18030", "cp1252"):
        try:
            page = body.decode("utf-16" if body.startswith(b"\xff\xfe") else encoding)
        except UnicodeDecodeError:
            continue
        break
    return "\n".join(re.findall(r"(?s)<p>\s*(.*?)</p>", page))


def jaccard(one: str, other: str) -> float:
    """Of the sets of character 5-grams."""
    a, b = ({text[i : i + 5] for i in range(len(text) - 4)} for text in (one, other))
    return len(a & b) / len(a | b)


@pytest.mark.slow
def test_generator_writes_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) == 12
    for name in made:
        new, old = (tmp_path / name).read_bytes(), (FOLDER / name).read_bytes()
        if name.suffix == ".gz":
            assert list(members(tmp_path / name)) == list(members(FOLDER / name)), name
        if name.suffix != ".gz" or zlib.ZLIB_RUNTIME_VERSION == MADE_WITH_ZLIB:
            assert hashlib.sha256(new).digest() == hashlib.sha256(old).digest(), name


def test_readme_lists_every_file_with_its_hash() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"(?m)^\| (\S+) \|.*\| `([0-9a-f]{64})` \|$", table))
    present = {
        path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"} and path.name != "README.md"
    }
    assert listed == present, "run: python fixtures/generate.py --readme"


def test_sample_is_small_enough_to_ship() -> None:
    sizes = {path.name: path.stat().st_size for path in DEMO.glob("*.warc.gz")}
    assert max(sizes.values()) < 1_000_000
    assert sum(sizes.values()) < 1_700_000


def test_every_record_is_in_the_table_and_in_its_own_member() -> None:
    for path in sorted(DEMO.glob("*.warc.gz")):
        expected = [row for row in rows() if row["file"] == path.name]
        found = list(members(path))
        assert len(found) == len(expected)
        for data, row in zip(found, expected, strict=True):
            head = dict(re.findall(rb"(?m)^([\w-]+): (.*)\r$", data.split(b"\r\n\r\n")[0]))
            assert head[b"WARC-Type"].decode() == row["type"]
            assert head.get(b"WARC-Target-URI", b"").decode() == row["url"]
            whole = data.endswith(b"\r\n\r\n")
            assert whole == (row["expected"] != "quarantined")


def test_fastwarc_reads_the_same_responses(pages: dict[str, tuple[str, bytes]]) -> None:
    expected = [row["url"] for row in rows() if row["type"] == "response"]
    assert len(expected) == len(set(expected))
    whole = [row["url"] for row in rows() if row["expected"] not in ("quarantined", "skipped")]
    assert set(whole) <= set(pages) <= set(expected)


def test_last_file_ends_in_the_middle_of_a_gzip_member() -> None:
    with pytest.raises(EOFError), gzip.open(DEMO / "web-01.warc.gz") as stream:
        stream.read()
    assert rows()[-1]["expected"] == "quarantined"


def test_table_has_every_outcome() -> None:
    counts = Counter(row["expected"] for row in rows())
    assert set(counts) == {"kept", "dropped", "duplicate", "skipped", "quarantined"}
    assert counts["kept"] > 500
    assert counts["dropped"] >= 30
    assert counts["duplicate"] >= 20


def test_sample_is_chinese_and_english_and_fills_a_vocabulary(
    pages: dict[str, tuple[str, bytes]],
) -> None:
    kept = [letters(*pages[row["url"]]) for row in rows() if row["expected"] == "kept"]
    size = sum(len(text.encode()) for text in kept)
    hanzi = Counter(c for text in kept for c in text if "\u4e00" <= c <= "\u9fff")
    words = Counter(word for text in kept for word in re.findall(r"[A-Za-z]+", text))
    assert size > 1_300_000
    assert len(hanzi) > 3000
    assert sum(hanzi.values()) > 200_000
    assert sum(words.values()) > 80_000


@pytest.mark.parametrize(
    ("url", "encoding", "first"),
    [
        ("http://kepu.lanxing.example/odd/wrong-label.html", "gb18030", None),
        ("http://kepu.lanxing.example/odd/server-default.html", "gb18030", None),
        ("http://kepu.lanxing.example/odd/no-label.html", "gb18030", None),
        ("http://kepu.lanxing.example/odd/bom.html", "utf-8-sig", b"\xef\xbb\xbf"),
        ("http://kepu.lanxing.example/odd/utf-16.html", "utf-16", b"\xff\xfe"),
        ("http://kepu.lanxing.example/odd/chunked.html", "utf-8", b"<!doctype html>"),
        ("http://www.rongshu-news.example/zh-hant/1006.html", "big5hkscs", None),
    ],
)
def test_odd_pages_are_in_the_encoding_that_the_table_says(
    pages: dict[str, tuple[str, bytes]], url: str, encoding: str, first: bytes | None
) -> None:
    body = pages[url][1]
    assert re.search(r"[\u4e00-\u9fff]{4}，", body.decode(encoding))
    if first is not None:
        assert body.startswith(first)
    else:
        with pytest.raises(UnicodeDecodeError):
            body.decode("utf-8")


def test_wrong_label_is_wrong(pages: dict[str, tuple[str, bytes]]) -> None:
    assert "utf-8" in pages["http://kepu.lanxing.example/odd/wrong-label.html"][0]
    assert "8859-1" in pages["http://kepu.lanxing.example/odd/server-default.html"][0]
    assert "gbk" in pages["http://kepu.lanxing.example/odd/bom.html"][0]


def test_copies_are_near_and_the_rest_is_far(pages: dict[str, tuple[str, bytes]]) -> None:
    clusters = texts_by_cluster(pages)
    assert len(clusters) > 20
    for name, versions in clusters.items():
        assert min(jaccard(a, b) for a, b in combinations(versions, 2)) > 0.8, name
    firsts = [versions[0] for versions in clusters.values()]
    assert max(jaccard(a, b) for a, b in combinations(firsts, 2)) < 0.5


def test_articles_of_one_grammar_do_not_resemble_each_other(
    pages: dict[str, tuple[str, bytes]],
) -> None:
    topics = defaultdict(list)
    for row in rows():
        if row["expected"] == "kept" and "article" in row["why"]:
            topics[row["url"].rsplit("/", 1)[0]].append(letters(*pages[row["url"]]))
    assert len(topics) > 30
    worst = max(jaccard(a, b) for texts in topics.values() for a, b in combinations(texts[:12], 2))
    assert worst < 0.5


def test_personal_data_are_made_up(pages: dict[str, tuple[str, bytes]]) -> None:
    own = [body.decode() for url, (_, body) in pages.items() if "//notice.commons" in url]
    text = "\n".join(own)
    identities = re.findall(r"(?<!\d)\d{17}[\dX](?!\d)", text)
    assert len(identities) == 2
    for identity in identities:
        total = sum(int(d) * (1 << (17 - i)) for i, d in enumerate(identity[:17])) % 11
        assert "10X98765432"[total] == identity[17]
        assert identity[:10] == "1100001900"
    mobiles = re.findall(r"(?<!\d)1\d{10}(?!\d)", text)
    assert len(mobiles) == 2
    assert all(number.startswith("154") for number in mobiles)
    assert all(mail.endswith("@example.org") for mail in re.findall(r"\S+@[\w.]+\w", text))


def test_jsonl_has_one_article_a_line() -> None:
    lines = (FOLDER / "jsonl" / "articles.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 18
    assert all(set(record) == {"text", "url", "section"} for record in records)
    assert min(len(record["text"]) for record in records) > 250


def test_broken_lines_are_what_their_table_says() -> None:
    lines = (FOLDER / "jsonl" / "broken.jsonl").read_bytes().split(b"\n")
    with (FOLDER / "jsonl" / "broken.tsv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream, delimiter="\t"))
    assert len(lines) == len(table)
    for line, row in zip(lines, table, strict=True):
        if row["expected"] == "read":
            assert isinstance(json.loads(line)["text"], str), row
        elif row["expected"] == "skipped":
            assert not line.strip(), row
        else:
            assert not readable(line), row


def readable(line: bytes) -> bool:
    """Whether a line is a JSON object with a text that can be encoded."""
    try:
        json.loads(line.decode("utf-8"))["text"].encode("utf-8")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    return True


def test_html_pages_hold_their_article() -> None:
    for name, encoding, words in [
        ("utf8.html", "utf-8", "这一步叫蒸发"),
        ("gbk.html", "gb18030", "番茄顶上划个十字"),
        ("big5.html", "big5hkscs", "颱風登陸的那個晚上"),
        ("latin1.html", "cp1252", "The slow train climbs over the mountain"),
        ("code.html", "utf-8", "def seen_before(text, seen):"),
        ("table.html", "utf-8", "<td>老居民区</td>"),
    ]:
        assert words in (FOLDER / "html" / name).read_bytes().decode(encoding)
