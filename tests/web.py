"""A small corpus as a user has it: WARC, HTML, JSONL, Parquet; by hand, without randomness."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SENTENCES = (
    "清晨的市场里，卖豆腐的老人把热气腾腾的木盒打开，豆香顺着石板路飘出去很远。",
    "研墨要慢，水要少，力要匀，写字的人常说，墨磨好了，心也就静下来了。",
    "河边的柳树发了新芽，孩子们折下细枝做成哨子，一路吹着走回村里。",
    "图书馆的管理员每天傍晚都会把还回来的书按编号放回架上，她说这是最好的散步。",
    "这座石桥修于三百年前，桥栏上的狮子有的已经看不清眉眼，却仍然守着来往的船。",
)


def article(number: int) -> str:
    """A text of its own: three sentences, and hanzi that depend on the number."""
    own = "".join(chr(0x4E00 + (number * 131 + i * 977) % 15000) for i in range(150 + 3 * number))
    own = "，".join(own[i : i + 9] for i in range(0, len(own), 9))
    first, second = SENTENCES[number % 5], SENTENCES[(number + 2) % 5]
    return f"{first}这是第{number}篇，的一是在不了有和人这。\n{own}。\n{second}"


def page(number: int) -> str:
    """The article as a page."""
    body = "".join(f"<p>{line}</p>" for line in article(number).split("\n"))
    head = '<meta charset="utf-8"><title>题目</title>'
    return f"<html><head>{head}</head><body><article>{body}</article></body></html>"


def json_line(text: str, **more: object) -> bytes:
    """A record of JSON lines."""
    return json.dumps({"text": text, **more}, ensure_ascii=False).encode() + b"\n"


def warc_record(kind: str, block: bytes, uri: str = "") -> bytes:
    """A WARC record."""
    named = f"WARC-Target-URI: {uri}\r\n" if uri else ""
    media = {"warcinfo": "application/warc-fields", "response": "application/http"}
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\n{named}WARC-Date: 2026-01-02T03:04:05Z\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{len(block):012d}>\r\n"
        f"Content-Type: {media.get(kind, 'application/http; msgtype=request')}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def response(number: int) -> bytes:
    """A response record with a page in it."""
    body = page(number).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    return warc_record("response", head + body, f"https://site{number % 3}.example/{number}")


def warc(numbers: range) -> list[bytes]:
    """Records: warcinfo, then a request and a response for each page."""
    records = [warc_record("warcinfo", b"software: by hand\r\n")]
    for number in numbers:
        request = f"GET /{number} HTTP/1.1\r\nHost: site.example\r\n\r\n".encode()
        records += [warc_record("request", request, f"https://x.example/{number}")]
        records += [response(number)]
    return records


def write_web(folder: Path) -> Path:
    """Write the corpus; some records are bad, some documents are there twice."""
    (folder / "html").mkdir(parents=True)
    for number in range(4):
        (folder / "html" / f"{number}.html").write_text(page(number), encoding="utf-8")
    (folder / "a.jsonl").write_bytes(b"".join(json_line(article(n), n=n) for n in range(10, 22)))
    bad = b'not json\n{"text": 5}\n' + json_line("短。")
    with gzip.GzipFile(folder / "b.jsonl.gz", "wb", mtime=0) as stream:
        stream.write(b"".join(json_line(article(n)) for n in (11, 12, 30, 31)) + bad)
    members = [gzip.compress(record, mtime=0) for record in warc(range(40, 46))]
    (folder / "c.warc.gz").write_bytes(b"".join(members)[:-40])
    texts = [article(40) + "\n（转载）", *(article(n) for n in range(50, 55))]
    pq.write_table(pa.table({"text": texts, "n": list(range(6))}), folder / "d.parquet")
    return folder
