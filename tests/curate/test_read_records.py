"""JSON lines and texts: each way in which a record can be bad, and what becomes of the others."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from yanmo.curate import streams
from yanmo.curate.read import InputSpec, ReadOptions

from .read_audit import read

GOOD = '{"text": "研墨先于落笔。", "id": 7}'


def jsonl(tmp_path: Path, data: bytes, name: str = "a.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_fields_are_picked_up_and_the_rest_is_untouched(tmp_path: Path) -> None:
    record = {
        "id": "x1",
        "url": "http://例子.cn/",
        "timestamp": "2024-05-01",
        "text": "磨墨。",
        "score": 1.5,
        "tags": ["一", {"b": None}],
    }
    (page,) = read(jsonl(tmp_path, json.dumps(record).encode())).pages
    assert (page["text"], page["url"], page["timestamp"]) == (
        "磨墨。",
        "http://例子.cn/",
        "2024-05-01",
    )
    assert page["content"] is None
    assert page["media"] == "text"
    assert page["origin"] == "a.jsonl#0"
    assert page["meta"] == '{"id":"x1","score":1.5,"tags":["一",{"b":null}]}'


def test_fields_of_another_type_stay_in_meta(tmp_path: Path) -> None:
    (page,) = read(jsonl(tmp_path, b'{"text":"a","url":null,"timestamp":1714521600}')).pages
    assert (page["url"], page["timestamp"], page["meta"]) == (
        None,
        None,
        '{"timestamp":1714521600}',
    )


def test_meta_is_json_even_where_the_record_is_not_quite(tmp_path: Path) -> None:
    line = b'{"text":"a","n":NaN,"big":1e999,"in":[-Infinity],"s":"\\ud800","x":0.1}'
    (page,) = read(jsonl(tmp_path, line)).pages
    meta = json.loads(page["meta"], parse_constant=lambda name: pytest.fail(name))
    assert meta == {"n": None, "big": None, "in": [None], "s": "\ud800", "x": 0.1}


BAD_LINES = {
    "malformed-json": b'{"text": "a"',
    "not-an-object": b'["text"]',
    "no-text": '{"正文": "a"}'.encode(),
    "wrong-type": b'{"text": 3}',
    "encoding": b'{"text": "\xd1\xd0"}',
    "surrogate": b'{"text": "\\ud83d"}',
}


@pytest.mark.parametrize("kind", BAD_LINES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_line_goes_to_quarantine_and_the_others_do_not(
    tmp_path: Path, kind: str, end: bytes
) -> None:
    good = GOOD.encode()
    outcome = read(jsonl(tmp_path, end.join([good, BAD_LINES[kind], good, b""])))
    assert outcome.texts == ["研墨先于落笔。"] * 2
    (row,) = outcome.rows
    assert (row["kind"], row["offset"], row["file"]) == (kind, len(good + end), "a.jsonl")
    assert row["length"] == len(BAD_LINES[kind] + end)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (BAD_LINES["no-text"], ["正文", "read.text_field"]),
        (BAD_LINES["wrong-type"], ["number", "text"]),
        (BAD_LINES["encoding"], ["0xd1", "read.encoding"]),
        (b'{"text": null}', ["null"]),
        (b"\0\0\0\0", ["malformed"]),
        (b'{"text": "a\0b"}', ["control character"]),
        (b"[" * 100_000, ["deeply"]),
        (b'{"text": ' + b"9" * 5000 + b"}", ["digit"]),
    ],
)
def test_the_error_says_what_is_wrong(tmp_path: Path, line: bytes, words: list[str]) -> None:
    (row,) = read(jsonl(tmp_path, line)).rows
    for word in words:
        assert word.lower() in (row["error"] + row["kind"]).lower()


def test_raw_text_is_kept_as_text_and_bytes_as_base64(tmp_path: Path) -> None:
    first, second = read(jsonl(tmp_path, "墨{\n".encode() + b"\xff\xfe\n")).rows
    assert (first["raw"], first["raw_encoding"]) == ("墨{\n", "utf-8")
    assert (second["raw"], second["raw_encoding"]) == ("//4K", "base64")


def test_blank_lines_and_byte_order_mark_are_skipped_by_kind(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + GOOD.encode() + b"\n\n \r\n" + GOOD.encode()
    outcome = read(jsonl(tmp_path, data))
    assert outcome.total["content"]["skipped"] == {"blank line": 4, "byte order mark": 3}
    assert outcome.total["records"]["skipped"] == {}
    assert [page["origin"] for page in outcome.pages] == [
        "a.jsonl#3",
        f"a.jsonl#{len(data) - len(GOOD.encode())}",
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.html", "a.warc", "a.warc.gz"])
def test_an_empty_file_gives_nothing(tmp_path: Path, name: str) -> None:
    outcome = read(jsonl(tmp_path, b"", name))
    assert outcome.pages == []
    assert outcome.rows == []


def test_a_line_over_the_limit_is_never_held(tmp_path: Path) -> None:
    limit = 1 << 16
    long = b'{"text": "' + b"x" * 5_000_000 + b'"}'
    good = GOOD.encode()
    outcome = read(
        jsonl(tmp_path, b"\n".join([good, long, good])),
        options=ReadOptions(max_record_bytes=limit),
    )
    assert len(outcome.pages) == 2
    (row,) = outcome.rows
    assert (row["kind"], row["length"], row["offset"]) == (
        "too-long",
        len(long) + 1,
        len(good) + 1,
    )
    assert row["raw"] == long[:4096].decode()
    assert str(limit) in row["error"]


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_limit_is_exact_and_does_not_depend_on_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: int
) -> None:
    options = ReadOptions(max_record_bytes=1024)
    line = b'{"text": "' + b"x" * (1024 - 12 + extra) + b'"}'
    path = jsonl(tmp_path, b"\n".join([line, GOOD.encode(), line]))
    whole = read(path, options=options)
    assert len(whole.pages) == (3 if extra <= 0 else 1)
    monkeypatch.setattr(streams, "PIECE_BYTES", 100)
    assert read(path, options=options) == whole


def test_a_hundred_megabytes_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    with path.open("wb") as stream:
        stream.write(compressor.compress(GOOD.encode() + b'\n{"text": "'))
        for _ in range(100):
            stream.write(compressor.compress(b"x" * 1_000_000))
        stream.write(compressor.compress(b'"}\n' + GOOD.encode() + b"\n"))
        stream.write(compressor.flush())
    outcome = read(path)
    assert len(outcome.pages) == 2
    assert outcome.rows[0]["length"] == 100_000_000 + 13


def test_text_field_can_be_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path, '{"正文": "墨", "text": 1, "链接": "u"}'.encode())
    (page,) = read(path, options=ReadOptions(text_field="正文", url_field="链接")).pages
    assert (page["text"], page["url"], page["meta"]) == ("墨", "u", '{"text":1}')


def test_another_encoding(tmp_path: Path) -> None:
    path = jsonl(tmp_path, GOOD.encode("gb18030") + b"\n" + "\ufeff€".encode() + b"\n")
    outcome = read(path, options=ReadOptions(encoding="gb18030"))
    assert outcome.texts == ["研墨先于落笔。"]
    assert len(outcome.rows) == 1


def test_batches_are_cut_by_rows_and_bytes(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "x" * size}) for size in (10, 10, 10, 5000, 10, 600, 600)]
    path = jsonl(tmp_path, "\n".join(lines).encode())
    outcome = read(path, options=ReadOptions(batch_rows=2, batch_bytes=1024))
    assert outcome.batches == [2, 1, 1, 2, 1]


def test_text_files_are_one_document_with_their_bytes(tmp_path: Path) -> None:
    text = "研墨\r\n第二行".encode("gbk")
    outcome = read(jsonl(tmp_path, text, "a.txt"))
    (page,) = outcome.pages
    assert (page["content"], page["text"], page["media"]) == (text, None, "text")


def test_a_document_a_line(tmp_path: Path) -> None:
    data = "第一行 \r\n\n第二行\n".encode() + b"\xff\n" + "a\0b\n末行".encode()
    outcome = read(jsonl(tmp_path, data, "a.txt"), options=ReadOptions(txt="line"))
    assert outcome.texts == ["第一行 ", "第二行", "末行"]
    assert outcome.kinds == ["encoding", "nul"]


def test_utf16_is_refused_and_not_read_as_rubbish(tmp_path: Path) -> None:
    data = "plain words\nand more\n".encode("utf-16")
    outcome = read(jsonl(tmp_path, data, "a.txt"), options=ReadOptions(txt="line"))
    assert outcome.pages == []
    assert "UTF-16" in outcome.rows[1]["error"]


def test_a_whole_file_over_the_limit(tmp_path: Path) -> None:
    path = jsonl(tmp_path, b"<p>" * 1000, "a.html")
    (row,) = read(path, options=ReadOptions(max_record_bytes=1024)).rows
    assert (row["kind"], row["length"]) == ("too-long", 3000)


def test_a_compressed_page(tmp_path: Path) -> None:
    html = "<html><p>研墨</html>".encode()
    (page,) = read(jsonl(tmp_path, gzip.compress(html), "a.html.gz")).pages
    assert (page["content"], page["media"]) == (html, "html")
    cut = read(jsonl(tmp_path, gzip.compress(html)[:-12], "b.html.gz"))
    assert cut.pages == []
    assert cut.kinds == ["gzip", "cut"]


def test_equal_input_gives_equal_quarantine_bytes(tmp_path: Path) -> None:
    path = jsonl(tmp_path, b"\n".join(BAD_LINES.values()))
    assert read(path).quarantine == read(path).quarantine


def test_format_can_be_set_against_the_suffix(tmp_path: Path) -> None:
    path = jsonl(tmp_path, GOOD.encode(), "a.log")
    assert read(InputSpec(str(path), format="jsonl")).texts == ["研墨先于落笔。"]


def nested(levels: int, inner: str = "1") -> str:
    return '{"text":"深","a":' + "[" * (levels - 1) + inner + "]" * (levels - 1) + "}"


@pytest.mark.parametrize("inner", ["1", "NaN", '"\\\\\\"[[[[{{{{"'])
def test_nesting_is_limited_by_count_and_not_by_the_stack(tmp_path: Path, inner: str) -> None:
    lines = [nested(100, inner), nested(101, inner), nested(5000, inner), nested(100, "[],[]")]
    outcome = read(jsonl(tmp_path, "\n".join(lines).encode()))
    assert [page["origin"] for page in outcome.pages] == ["a.jsonl#0"]
    assert outcome.kinds == ["malformed-json"] * 3
    assert {row["error"] for row in outcome.rows} == {"nested too deeply (more than 100 levels)"}


def test_many_brackets_are_no_depth(tmp_path: Path) -> None:
    text = json.dumps({"text": "[{" * 5000 + "\\", "a": [[]] * 500, "b": "\\" * 99})
    assert len(read(jsonl(tmp_path, text.encode())).pages) == 1
    broken = '{"text": "' + '\\"[' * 100_000  # a string without end: one pass, not one per quote
    assert read(jsonl(tmp_path, broken.encode())).kinds == ["malformed-json"]


def test_a_number_with_thousands_of_digits(tmp_path: Path) -> None:
    outcome = read(jsonl(tmp_path, b'{"text":"a","n":' + b"9" * 5000 + b"}"))
    assert [row["error"] for row in outcome.rows] == ["a number has thousands of digits"]
