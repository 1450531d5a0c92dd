"""CSV and Parquet: the rules of the csv module, rows that do not fit, files that are broken."""

import csv
import datetime
import gzip
import io
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from yanmo.curate.read import InputSpec, ReadOptions
from yanmo.errors import UsageError

from .read_audit import read


def put(tmp_path: Path, data: bytes | str, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_quoted_line_ends_and_quotes(tmp_path: Path) -> None:
    rows = [["id", "text", "url"], ["1", '他说："好",\n\n再见\r\n', "http://a"], ["2", "b", ""]]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    outcome = read(put(tmp_path, buffer.getvalue()))
    assert outcome.texts == [rows[1][1], "b"]
    assert [page["url"] for page in outcome.pages] == ["http://a", None]
    assert [page["meta"] for page in outcome.pages] == ['{"id":"1"}', '{"id":"2"}']
    assert outcome.total["content"]["skipped"] == {"csv header": len("id,text,url\r\n")}


def test_origin_is_the_offset_of_the_row(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbftext\r\n"a\r\nb"\r\n\r\nc\r\n'
    outcome = read(put(tmp_path, data))
    assert outcome.texts == ["a\r\nb", "c"]
    for page in outcome.pages:
        offset = int(page["origin"].split("#")[1])
        assert data[offset:].lstrip(b'"').startswith(page["text"].encode())
    assert outcome.total["content"]["skipped"] == {"csv header": 9, "blank line": 2}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (b"only", "ragged-row"),
        (b"a,b,c", "ragged-row"),
        (b"\xd1\xd0,x", "encoding"),
        (b"a\0b,x", "nul"),
        (b"a\rb,x", "malformed-csv"),
    ],
)
def test_bad_rows(tmp_path: Path, row: bytes, kind: str) -> None:
    outcome = read(put(tmp_path, b"text,n\ngood,1\n" + row + b"\ngood,2\n"))
    assert outcome.texts == ["good", "good"]
    (found,) = outcome.rows
    assert (found["kind"], found["offset"], found["length"]) == (kind, 14, len(row) + 1)


def test_a_quote_that_is_never_closed_costs_one_line(tmp_path: Path) -> None:
    data = 'text,n\ngood,1\n"open,2\n' + "good,3\n" * 50
    outcome = read(put(tmp_path, data))
    assert outcome.texts == ["good"] * 51
    assert outcome.kinds == ["open-quote"]
    assert outcome.rows[0]["length"] == len('"open,2\n')


def test_open_quotes_everywhere_do_not_read_for_ever(tmp_path: Path) -> None:
    data = "text,n\n" + '"a,1\nb,"2\n' * 3000
    outcome = read(put(tmp_path, data), options=ReadOptions(max_record_bytes=1024))
    assert outcome.total["content"]["bytes"] == len(data)


def test_rows_over_the_limit(tmp_path: Path) -> None:
    options = ReadOptions(max_record_bytes=2048)
    long_line = "x" * 5000 + ",1\n"
    many = '"' + "line\n" * 1000 + '",2\n'
    outcome = read(put(tmp_path, f"text,n\na,0\n{long_line}b,1\n{many}c,3\n"), options=options)
    assert outcome.texts[:2] == ["a", "b"]
    assert outcome.texts[-1] == "c"
    assert outcome.rows[0]["kind"] == "too-long"
    assert outcome.rows[0]["length"] == len(long_line)
    assert outcome.rows[1]["kind"] == "open-quote"


def test_a_field_longer_than_the_csv_module_allows_by_itself(tmp_path: Path) -> None:
    outcome = read(put(tmp_path, "text\n" + "x" * 500_000 + "\n"))
    assert len(outcome.texts[0]) == 500_000


def test_a_gzip_cut_inside_a_row(tmp_path: Path) -> None:
    data = "text,n\n" + "".join(f'"行 {i}\n",{i}\n' for i in range(20_000))
    outcome = read(put(tmp_path, gzip.compress(data.encode())[:40_000], "a.csv.gz"))
    assert 0 < len(outcome.pages) < 20_000
    assert outcome.texts == [f"行 {i}\n" for i in range(len(outcome.pages))]
    assert outcome.kinds[0] == "gzip"


def test_no_text_column(tmp_path: Path) -> None:
    path = put(tmp_path, "正文,n\na,1\nb,2\n")
    outcome = read(path)
    assert outcome.kinds == ["no-text", "no-text"]
    assert "columns: 正文, n); set read.text_field" in outcome.rows[0]["error"]
    assert read(path, options=ReadOptions(text_field="正文")).texts == ["a", "b"]


def test_columns_of_one_name_are_all_kept(tmp_path: Path) -> None:
    (page,) = read(put(tmp_path, "n,text,n,,\n1,a,2,3,4\n")).pages
    assert page["meta"] == '{"n":"1","n.1":"2","":"3",".1":"4"}'


def test_tabs_and_another_encoding(tmp_path: Path) -> None:
    path = put(tmp_path, "text\tn\n研,墨\t1\n".encode("gb18030"), "a.tsv")
    assert read(path, options=ReadOptions(encoding="gb18030")).texts == ["研,墨"]


def parquet(tmp_path: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_rows(tmp_path: Path) -> None:
    when = [datetime.datetime(2024, 5, 1, 12), None, None]
    columns = {
        "text": ["研", None, "墨"],
        "url": ["u", "v", None],
        "timestamp": when,
        "n": [1, 2, 3],
    }
    path = parquet(tmp_path, columns, row_group_size=2)
    outcome = read(path)
    assert [(page["text"], page["url"], page["origin"]) for page in outcome.pages] == [
        ("研", "u", "a.parquet#0"),
        ("墨", None, "a.parquet#2"),
    ]
    assert outcome.pages[0]["timestamp"].startswith("2024-05-01 12:00")
    assert outcome.pages[0]["meta"] == '{"n":1}'
    (row,) = outcome.rows
    assert (row["kind"], row["offset"], row["space"]) == ("no-text", 1, "row")
    metadata = pq.ParquetFile(path).metadata
    groups = sum(
        metadata.row_group(group).column(column).total_compressed_size
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    assert outcome.total["content"]["records"] == groups


def test_parquet_types_of_text(tmp_path: Path) -> None:
    strings = ["研", "墨", "研"]
    for kind in (
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.dictionary(pa.int8(), pa.string()),
    ):
        assert read(parquet(tmp_path, {"text": pa.array(strings).cast(kind)})).texts == strings


def test_parquet_bytes_that_are_no_text(tmp_path: Path) -> None:
    column = pa.array([b"good", b"\xff\xfe", "好".encode()])
    outcome = read(parquet(tmp_path, {"text": column, "b": column}))
    assert outcome.texts == ["good", "好"]
    assert [(row["kind"], row["raw"]) for row in outcome.rows] == [("encoding", "//4=")]


@pytest.mark.parametrize("column", [[1, 2], [["a"], ["b"]], [{"a": "b"}, None]])
def test_parquet_column_of_another_type(tmp_path: Path, column: list[Any]) -> None:
    (row,) = read(parquet(tmp_path, {"text": column})).rows
    assert (row["kind"], row["records"]) == ("wrong-type", 2)
    assert re.search(r'column "text" is .*, not text; set read\.text_field', row["error"])


def test_parquet_without_the_column(tmp_path: Path) -> None:
    (row,) = read(parquet(tmp_path, {"content": ["a", "b", "c"]})).rows
    assert (row["kind"], row["records"]) == ("no-text", 3)
    assert 'not one column "text" (columns: content)' in row["error"]


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"]
)
def test_not_a_parquet_file(tmp_path: Path, data: bytes) -> None:
    outcome = read(put(tmp_path, data, "a.parquet"))
    assert outcome.kinds == ["parquet"]
    assert outcome.rows[0]["length"] == len(data)


def test_a_damaged_row_group_takes_only_its_own_rows(tmp_path: Path) -> None:
    texts = [f"行 {index} " * 200 for index in range(40)]
    path = parquet(
        tmp_path, {"text": texts}, row_group_size=10, use_dictionary=False, write_page_checksum=True
    )
    group = pq.ParquetFile(path).metadata.row_group(2).column(0)
    data = bytearray(path.read_bytes())
    data[group.data_page_offset + group.total_compressed_size - 10] ^= 0xFF
    path.write_bytes(bytes(data))
    outcome = read(path)
    assert outcome.texts == texts[:20] + texts[30:]
    (row,) = outcome.rows
    assert (row["records"], row["offset"]) == (10, group.data_page_offset)


def test_a_cut_parquet_file_is_refused_whole(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"text": ["a" * 1000] * 1000})
    path.write_bytes(path.read_bytes()[:-20])
    assert read(path).kinds == ["parquet"]


def test_parquet_cannot_be_gzipped(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not known"):
        read(InputSpec(str(put(tmp_path, b"x", "a.parquet.gz"))))
