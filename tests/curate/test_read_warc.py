"""WARC: framing that survives lies, HTTP codings, and the real files counted a second way."""

import gzip
import zlib
from pathlib import Path

import pytest
import zstandard

from yanmo.curate import streams, warc
from yanmo.curate.read import ReadOptions

from .read_audit import Outcome, read
from .warc_oracle import count, page_body

HTML = "<html><title>研墨</title><p>先于落笔</p></html>".encode()


def record(
    block: bytes,
    *,
    kind: str = "response",
    length: int | str | None = None,
    content_type: str = "application/http; msgtype=response",
    uri: str = "http://example.com/a",
    extra: str = "",
) -> bytes:
    size = len(block) if length is None else length
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-05-01T00:00:00Z\r\n"
        f"WARC-Target-URI: {uri}\r\nContent-Type: {content_type}\r\n{extra}"
        f"Content-Length: {size}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def http(
    body: bytes = HTML, *, status: str = "200 OK", headers: str = "", kind: str = "text/html"
) -> bytes:
    content_type = f"Content-Type: {kind}\r\n" if kind else ""
    return f"HTTP/1.1 {status}\r\n{content_type}{headers}\r\n".encode() + body


GOOD = record(http())


def run(
    tmp_path: Path, data: bytes, name: str = "a.warc", *, options: ReadOptions | None = None
) -> Outcome:
    path = tmp_path / name
    path.write_bytes(data)
    return read(path, options=options)


def test_a_page_with_its_headers(tmp_path: Path) -> None:
    block = http("研".encode("gbk"), kind='text/html; Charset="GBK"')
    outcome = run(
        tmp_path, record(b"x", kind="warcinfo") + record(block, extra="WARC-Truncated: time\r\n")
    )
    (page,) = outcome.pages
    assert page["content"] == "研".encode("gbk")
    assert (page["url"], page["timestamp"]) == ("http://example.com/a", "2024-05-01T00:00:00Z")
    assert (page["http_charset"], page["media"], page["text"]) == ("gbk", "html", None)
    assert page["meta"] == '{"warc_truncated":"time"}'
    assert page["origin"] == f"a.warc#{len(record(b'x', kind='warcinfo'))}"


SKIPPED = {
    "http-status-404": record(http(status="404 Not Found")),
    "http-status-301": record(http(b"", status="301 Moved")),
    "content-type-image": record(http(b"\x89PNG", kind="image/png")),
    "content-type-application": record(http(b"{}", kind="application/json")),
    "content-type-text": record(http(b"a{}", kind="text/css")),
    "content-type-other": record(http(b"a", kind="evil\x07/<script>")),
    "content-type-missing": record(http(b"plain", kind="")),
    "not-http": record(b"20080430204825\n1.2.3.4", content_type="text/dns", uri="dns:a.cn"),
    "request": record(b"GET / HTTP/1.1\r\n\r\n", kind="request"),
    "revisit": record(b"", kind="revisit"),
    "metadata": record(b"a: b", kind="metadata"),
    "warcinfo": record(b"a: b", kind="warcinfo"),
    "continuation": record(b"a: b", kind="continuation"),
    "unknown": record(b"a: b", kind="evil-kind"),
    "not-a-web-resource": record(b"log", kind="resource", content_type="text/plain", uri="urn:x"),
}


@pytest.mark.parametrize("kind", SKIPPED)
def test_records_without_a_page_are_skipped_by_kind(tmp_path: Path, kind: str) -> None:
    outcome = run(tmp_path, GOOD + SKIPPED[kind] + GOOD)
    assert outcome.skipped == {kind: 1}
    assert len(outcome.pages) == 2
    assert outcome.total["content"]["skipped"] == {
        kind: len(SKIPPED[kind]) - 4,
        "record separator": 12,
    }


@pytest.mark.parametrize("kind", ["resource", "conversion"])
def test_resources_and_conversions_are_pages(tmp_path: Path, kind: str) -> None:
    data = record(HTML, kind=kind, content_type="text/html; charset=utf-8")
    data += record("纯文本".encode(), kind=kind, content_type="text/plain")
    first, second = run(tmp_path, data).pages
    assert (first["content"], first["media"], first["http_charset"]) == (HTML, "html", "utf-8")
    assert (second["content"], second["media"]) == ("纯文本".encode(), "text")


def test_html_without_a_content_type(tmp_path: Path) -> None:
    assert len(run(tmp_path, record(http(b"  <!DOCTYPE html><p>x", kind=""))).pages) == 1


def chunked(
    body: bytes, *, size: int = 7, end: bytes = b"0\r\n\r\n", extension: bytes = b""
) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts) + end


def deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


TE, CE = "Transfer-Encoding: chunked\r\n", "Content-Encoding: "
BROTLI = bytes.fromhex("0b028068656c6c6f03")  # "hello"
CODED = {
    "chunked": (TE, chunked(HTML), HTML),
    "chunk extension": (TE, chunked(HTML, extension=b";a=b"), HTML),
    "no last chunk": (TE, chunked(HTML, end=b""), HTML),
    "chunks joined by the recorder": (TE, HTML, HTML),
    "gzip": (CE + "gzip\r\n", gzip.compress(HTML), HTML),
    "x-gzip in chunks": (TE + CE + "x-gzip\r\n", chunked(gzip.compress(HTML)), HTML),
    "gzip undone by the recorder": (CE + "gzip\r\n", HTML, HTML),
    "two members": (CE + "gzip\r\n", gzip.compress(HTML) + gzip.compress(HTML), HTML * 2),
    "zlib": (CE + "deflate\r\n", zlib.compress(HTML), HTML),
    "raw deflate": (CE + "deflate\r\n", deflated(HTML), HTML),
    "deflate undone": (CE + "deflate\r\n", HTML, HTML),
    "brotli": (CE + "br\r\n", BROTLI, b"hello"),
    "brotli undone": (CE + "br\r\n", HTML, HTML),
    "zstd": (CE + "zstd\r\n", zstandard.compress(HTML), HTML),
    "two codings": (CE + "gzip, deflate\r\n", zlib.compress(gzip.compress(HTML)), HTML),
    "no coding": (CE + "UTF-8\r\n", b"plain", b"plain"),
    "unknown coding of a page": (CE + "sdch\r\n", HTML, HTML),
    "empty": (CE + "gzip\r\n", b"", b""),
}


@pytest.mark.parametrize("name", CODED)
def test_codings_are_undone(tmp_path: Path, name: str) -> None:
    headers, body, content = CODED[name]
    (page,) = run(tmp_path, record(http(body, headers=headers))).pages
    assert page["content"] == content


BROKEN = {
    "chunk cut": (TE, chunked(HTML, end=b"")[:-5], "chunk"),
    "bad size": (TE, chunked(HTML, end=b"xyz\r\n"), "chunk size"),
    "gzip cut": (CE + "gzip\r\n", gzip.compress(HTML)[:-12], "too early"),
    "gzip broken": (CE + "gzip\r\n", b"\x1f\x8b\x08 nothing like it", "inflate"),
    "brotli cut": (CE + "br\r\n", BROTLI[:-3], "br"),
    "zstd broken": (CE + "zstd\r\n", zstandard.compress(HTML)[:12] + b"\xff" * 9, "zstd"),
    "unknown": (CE + "sdch\r\n", b"\0\1\2", "sdch"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_codings_are_quarantined(tmp_path: Path, name: str) -> None:
    headers, body, word = BROKEN[name]
    data = record(http(body, headers=headers))
    outcome = run(tmp_path, GOOD + data + GOOD)
    assert len(outcome.pages) == 2
    (row,) = outcome.rows
    assert (row["kind"], row["offset"], row["length"]) == ("http-body", len(GOOD), len(data) - 4)
    assert word in row["error"]


def test_a_body_that_the_recorder_cut_is_used(tmp_path: Path) -> None:
    block = http(gzip.compress(HTML * 50)[:-12], headers=CE + "gzip\r\n")
    outcome = run(tmp_path, record(block, extra="WARC-Truncated: length\r\n"))
    assert HTML in outcome.pages[0]["content"]


SPACES = b" " * 3_000_000


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_bomb_in_a_body(tmp_path: Path, coding: str) -> None:
    packed = {"gzip": gzip.compress(SPACES), "deflate": zlib.compress(SPACES)}
    packed["zstd"] = zstandard.compress(SPACES)
    block = http(packed[coding], headers=f"{CE}{coding}\r\n")
    (row,) = run(tmp_path, record(block), options=ReadOptions(max_record_bytes=1 << 20)).rows
    assert "more than" in row["error"]


HEADERS = {
    "http-status": http(status="none"),
    "http-header": b"HTTP/1.1 200 OK\r\nContent-Type: text/html",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_evil_http_headers(tmp_path: Path, kind: str) -> None:
    outcome = run(tmp_path, GOOD + record(HEADERS[kind]) + GOOD)
    assert len(outcome.pages) == 2
    assert outcome.kinds == [kind]


def test_headers_with_bare_line_feeds(tmp_path: Path) -> None:
    outcome = run(tmp_path, GOOD.replace(b"\r\n", b"\n").replace(b"Length: ", b"Length: 0") + GOOD)
    # Without its carriage returns the block is shorter than it says: the length lies.
    assert outcome.kinds == ["content-length"]
    block = http().replace(b"\r\n", b"\n")
    data = record(block).replace(b"\r\n", b"\n") + GOOD
    assert [page["content"] for page in run(tmp_path, data).pages] == [HTML, HTML]


LYING = {
    "too short": record(http(), length=len(http()) - 9),
    "too long": record(http(), length=len(http()) + 30),
    "far too long": record(http(), length=10**9),
    "beyond 64 bits": record(http(), length="9" * 30),
    "negative": record(http(), length="-5"),
    "signed": record(http(), length=f"+{len(http())}"),
    "no number": record(http(), length="many"),
    "empty": record(http(), length=""),
    "two lengths": record(http(), extra="Content-Length: 3\r\n"),
    "no length": GOOD.replace(b"Content-Length", b"Content-Width"),
}


@pytest.mark.parametrize("name", LYING)
def test_a_length_that_lies_costs_one_record(tmp_path: Path, name: str) -> None:
    data = LYING[name]
    outcome = run(tmp_path, GOOD + data + GOOD * 2)
    assert [page["content"] for page in outcome.pages] == [HTML] * 3
    (row,) = outcome.rows
    assert (row["kind"], row["offset"], row["length"]) in (
        ("content-length", len(GOOD), len(data)),
        ("cut", len(GOOD), len(data)),
    )


@pytest.mark.parametrize(
    "junk", [b"junk", b"junk\r\n\r\n", b"WARC/", b"WARC/1.0\r\n\r\n", b"\0" * 99]
)
def test_garbage_between_records(tmp_path: Path, junk: bytes) -> None:
    outcome = run(tmp_path, junk + GOOD + junk + GOOD)
    assert len(outcome.pages) == 2
    assert [row["length"] for row in outcome.rows] == [len(junk)] * 2


def test_a_megabyte_of_garbage(tmp_path: Path) -> None:
    junk = b"WARC/1.0 is not a record\r\n" * 60_000
    outcome = run(tmp_path, GOOD + junk + GOOD)
    assert len(outcome.pages) == 2
    assert [row["length"] for row in outcome.rows] == [len(junk)]


def test_headers_made_to_waste_time(tmp_path: Path) -> None:
    spaces = " " * 60_000
    evil = record(http(kind=f"text/html; charset={spaces};x"))
    evil += record(http(), extra=f"X-{spaces}: {spaces}\r\nContent-Length: 1{spaces}y\r\n")
    outcome = run(tmp_path, GOOD + evil + GOOD)
    assert [page["http_charset"] for page in outcome.pages] == [None] * 3
    assert len(outcome.rows) == 1


def test_a_header_without_end(tmp_path: Path) -> None:
    evil = b"WARC/1.0\r\n" + b"X-Evil: 1\r\n" * 20_000
    outcome = run(tmp_path, GOOD + evil + GOOD)
    assert len(outcome.pages) == 2
    assert outcome.kinds == ["warc-header"]


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n", b"\r\n\r\n\r\n\r\n"])
def test_records_may_end_with_more_or_fewer_blank_lines(tmp_path: Path, end: bytes) -> None:
    outcome = run(tmp_path, (GOOD[:-4] + end) * 2)
    assert len(outcome.pages) == 2
    assert outcome.rows == []


def test_a_cut_record_at_the_end(tmp_path: Path) -> None:
    outcome = run(tmp_path, GOOD + GOOD[:-20])
    assert len(outcome.pages) == 1
    assert outcome.kinds == ["cut"]


def test_records_over_the_limit_are_passed_without_holding_them(tmp_path: Path) -> None:
    options = ReadOptions(max_record_bytes=10_000)
    image = record(http(b"\x89" * 3_000_000, kind="image/png"))
    page = record(http(b"<p>" * 1_000_000))
    outcome = run(tmp_path, GOOD + image + page + GOOD, options=options)
    assert len(outcome.pages) == 2
    assert outcome.skipped == {"content-type-image": 1}
    (row,) = outcome.rows
    assert (row["kind"], row["length"]) == ("too-long", len(page) - 4)


@pytest.mark.parametrize("fault", ["inside", "after", "cut"])
def test_long_records_that_lie(tmp_path: Path, fault: str) -> None:
    options = ReadOptions(max_record_bytes=10_000)
    block = http(b"<p>" * 1_000_000)
    extra = {"inside": 90, "after": -90, "cut": 10**7}[fault]
    data = record(block, length=len(block) + extra)
    outcome = run(tmp_path, GOOD + data + (GOOD if fault != "cut" else b""), options=options)
    assert len(outcome.pages) == (2 if fault != "cut" else 1)
    assert {row["kind"] for row in outcome.rows} <= {"content-length", "cut", "garbage"}


def test_a_member_with_a_wrong_checksum_is_not_used(tmp_path: Path) -> None:
    first, second = gzip.compress(GOOD, mtime=0), gzip.compress(GOOD, mtime=0)
    outcome = run(tmp_path, first[:-8] + bytes(8) + second, "a.warc.gz")
    assert len(outcome.pages) == 1
    assert outcome.kinds == ["gzip", "checksum"]


def test_a_broken_member_costs_one_record(tmp_path: Path) -> None:
    good = gzip.compress(GOOD)
    broken = bytearray(good)
    broken[60:120] = b"\xff" * 60
    outcome = run(tmp_path, good + bytes(broken) + good, "a.warc.gz")
    assert len(outcome.pages) == 2


def test_pieces_of_any_size_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = GOOD + b"junk" + LYING["too short"] + SKIPPED["request"] + GOOD + GOOD[:-9]
    whole = run(tmp_path, data)
    for size in (1, 13, 64, 100):
        monkeypatch.setattr(streams, "PIECE_BYTES", size)
        monkeypatch.setattr(warc, "SCAN_BYTES", size + 100)
        assert run(tmp_path, data) == whole


# How many of the records that the byte search finds are no whole records (by ending of the name).
DAMAGED = {"clipped.warc.gz": 1, "Evil-Warc-Headers.warc": 1, "example-trunc.warc": 1}


@pytest.mark.realdata
def test_real_files_balance_and_agree_with_a_second_count(realdata: Path) -> None:
    files = sorted((realdata / "warc").iterdir())
    assert len(files) == 33
    for path in files:
        outcome = read(path)
        counted = count(path.read_bytes())
        broken = sum(not seen.whole for seen in counted.records)
        assert broken == next((n for end, n in DAMAGED.items() if path.name.endswith(end)), 0)
        content = [row for row in outcome.rows if row["space"] == "content"]
        assert outcome.total["content"]["bytes"] == counted.content, path.name
        assert len(content) == broken, path.name
        skipped = outcome.total["content"]["skipped"]
        assert skipped.get("record separator", 0) == counted.separators, path.name
        records = outcome.total["records"]
        stored = len(outcome.rows) - len(content)
        assert records["read"] == len(counted.records) + stored, path.name
        for kind in ("warcinfo", "request", "metadata", "revisit", "unknown"):
            assert records["skipped"].get(kind, 0) == counted.of(kind), (path.name, kind)


@pytest.mark.realdata
def test_real_pages_have_the_content_that_the_standard_library_reads(realdata: Path) -> None:
    compared = 0
    for path in sorted((realdata / "warc").iterdir()):
        pages = {int(page["origin"].split("#")[1]): page for page in read(path).pages}
        for seen in count(path.read_bytes()).records:
            if seen.kind != "response" or not seen.block.startswith(b"HTTP/") or not seen.whole:
                continue
            body = page_body(seen.block)
            if body is not None:
                assert pages[seen.offset]["content"] == body, (path.name, seen.offset)
                assert pages[seen.offset]["url"] == seen.uri.strip("<>")
                compared += 1
    assert compared > 200
