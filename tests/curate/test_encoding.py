"""Decoding: what a page says of itself, what its bytes say, and who wins."""

import codecs
import io
import json
import re
import tarfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.charset_labels import canonical_label
from yanmo.curate.encoding import decode_page

ZH = "中文网页的编码声明常常是错的，所以要看字节本身。今天是星期日，我们去公园散步，镕基。"
TW = "網頁的編碼宣告常常是錯的，所以要看位元組本身。今天是星期日，我們去公園散步。"
JA = "ウェブページの文字コードの宣言はしばしば間違っています。今日は日曜日です。"
KO = "웹 페이지의 인코딩 선언은 자주 틀립니다. 오늘은 일요일입니다."
RU = "Объявление кодировки на странице часто неверно, смотрите на байты."
FR = "L'encodage déclaré est souvent erroné; voilà l'été, à bientôt chez Zoë."

WRITTEN = {
    "gb2312": (ZH.replace("镕", "容"), "gb18030"),
    "gbk": (ZH, "gb18030"),
    "gb18030": (ZH + "㐀𠀀", "gb18030"),
    "big5": (TW, "big5hkscs"),
    "shift_jis": (JA, "cp932"),
    "euc-jp": (JA, "euc_jp"),
    "euc-kr": (KO, "cp949"),
    "windows-1251": (RU, "cp1251"),
    "koi8-r": (RU, "koi8-r"),
    "iso-8859-1": (FR, "cp1252"),
}


def page(text: str, head: str = "") -> str:
    return f"<html><head>{head}<title>t</title></head><body><p>{text}</p></body></html>"


@pytest.mark.parametrize("label", WRITTEN)
@pytest.mark.parametrize("where", ["http", "meta", "http-equiv", "xml"])
def test_label(label: str, where: str) -> None:
    text, codec = WRITTEN[label]
    head = {
        "meta": f'<META CharSet = "{label}">',
        "http-equiv": f"<meta content='text/html; charset={label}' http-equiv=content-type>",
    }.get(where, "")
    html = page(text, head)
    if where == "xml":
        html = f"<?xml version='1.0' encoding='{label}'?>\n" + html
    decoded = decode_page(
        html.encode(label), http_charset=label.upper() if where == "http" else None
    )
    assert decoded.text == html
    assert decoded.encoding == codec
    assert decoded.encoding_source == {"http-equiv": "meta"}.get(where, where)
    assert decoded.replaced == 0


# Not iso-8859-1: a few letters of French fit several Latin code pages.
@pytest.mark.parametrize("label", sorted(WRITTEN.keys() - {"iso-8859-1"}))
def test_without_label_the_detector_finds_it(label: str) -> None:
    text, codec = WRITTEN[label]
    decoded = decode_page(page(text * 5).encode(label))
    assert (decoded.text, decoded.encoding) == (page(text * 5), codec)
    assert decoded.encoding_source == "detector"


def test_repertoire_of_the_superset() -> None:
    euro = page("价格€5").encode("gb18030")
    assert "€" in decode_page(euro, http_charset="gb2312").text
    hong_kong = page("嘢喺度")
    with pytest.raises(UnicodeEncodeError):
        hong_kong.encode("big5")
    assert decode_page(hong_kong.encode("big5hkscs"), http_charset="Big5").text == hong_kong
    assert decode_page(b"\x93quoted\x94", http_charset="ISO-8859-1").text == "“quoted”"


@pytest.mark.parametrize("lie", ["gb2312", "big5", "iso-8859-1", "windows-1251", "shift_jis"])
@pytest.mark.parametrize("where", ["http", "meta"])
def test_utf8_outranks_a_lying_label(lie: str, where: str) -> None:
    html = page(ZH, f"<meta charset={lie}>" if where == "meta" else "")
    decoded = decode_page(html.encode(), http_charset=lie if where == "http" else None)
    assert (decoded.text, decoded.encoding, decoded.encoding_source) == (html, "utf-8", "utf-8")


def test_two_hanzi_that_happen_to_be_utf8_stay_what_the_page_says() -> None:
    two = "联通".encode("gb18030").replace(b"\xc1", b"\xc4")
    assert two.decode("utf-8")  # a coincidence of two-byte sequences
    decoded = decode_page(page("").encode() + two, http_charset="gbk")
    assert decoded.text.endswith(two.decode("gb18030"))


def test_wrong_labels_fall_through() -> None:
    gbk = page(ZH, "<meta charset=gb2312>").encode("gb18030")
    for http in ("utf-8", "iso-8859-1", "x-nonsense", "utf-16", "", "unicode_escape", "base64"):
        decoded = decode_page(gbk, http_charset=http)
        assert (decoded.text, decoded.encoding_source) == (gbk.decode("gb18030"), "meta"), http
    unlabelled = page(ZH).encode("gb18030")
    decoded = decode_page(unlabelled, http_charset="utf-8")
    assert (decoded.text, decoded.encoding_source) == (page(ZH), "detector")


@pytest.mark.parametrize(
    ("head", "source"),
    [
        ("<!-- <meta charset=big5> -->", "detector"),
        ("<meta name=description content='text; charset=big5'>", "detector"),
        (" " * 1024 + "<meta charset=big5>", "detector"),
        ("<meta name=a content=b charset=gbk>", "meta"),
        ("<meta charset=utf-16><meta charset=gbk>", "detector"),  # an ASCII-readable lie
    ],
)
def test_where_a_meta_counts(head: str, source: str) -> None:
    html = page(ZH * 5, head)
    decoded = decode_page(html.encode("gb18030"))
    assert (decoded.text, decoded.encoding_source) == (html, source)


def test_media_text_has_no_meta() -> None:
    text = f"<meta charset=big5> {ZH}"
    decoded = decode_page(text.encode("gb18030"), media="text", http_charset="gbk")
    assert decoded.encoding_source == "http"
    assert decode_page(text.encode("gb18030"), media="text").encoding_source == "detector"


@pytest.mark.parametrize(
    "codec", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "gb18030"]
)
def test_byte_order_marks(codec: str) -> None:
    mark = "" if codec == "utf-8-sig" else "\ufeff"
    decoded = decode_page((mark + page(ZH)).encode(codec), http_charset="big5")
    assert (decoded.text, decoded.encoding_source) == (page(ZH), "bom")


def test_a_utf8_mark_before_other_bytes_does_not_count() -> None:
    decoded = decode_page(b"\xef\xbb\xbf" + page(ZH).encode("gb18030"), http_charset="gbk")
    assert (decoded.text, decoded.encoding) == (page(ZH), "gb18030")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_without_mark(codec: str) -> None:
    decoded = decode_page(page(ZH).encode(codec))
    assert (decoded.text, decoded.encoding, decoded.encoding_source) == (page(ZH), codec, "width")


def test_seven_bit_encodings() -> None:
    text = page(JA)
    decoded = decode_page(text.encode("iso2022_jp"), http_charset="iso-2022-jp")
    assert decoded.text == text
    korean = page(KO).encode("iso2022_kr")
    assert decode_page(korean).text == page(KO)


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "big5hkscs"])
def test_a_page_cut_inside_a_character(codec: str) -> None:
    text = TW if codec == "big5hkscs" else ZH
    cut = page(text).encode(codec)
    cut = cut[: cut.index("散".encode(codec)) + 1]
    decoded = decode_page(cut, http_charset=codec)
    assert decoded.text == page(text)[: page(text).index("散")] + "\ufffd"
    assert (decoded.encoding, decoded.encoding_source, decoded.replaced) == (codec, "http", 1)


@pytest.mark.parametrize(
    ("codec", "label"), [("utf-8", None), ("utf-8", "gbk"), ("gb18030", "gbk")]
)
def test_stray_bytes_are_replaced_and_counted(codec: str, label: str | None) -> None:
    before, after = page(ZH * 10), page(ZH * 10)
    content = before.encode(codec) + b"\xff" + after.encode(codec)
    decoded = decode_page(content, http_charset=label)
    assert decoded.text == f"{before}\ufffd{after}"
    assert (decoded.encoding, decoded.replaced) == (codec, 1)


def test_a_replacement_character_of_the_author_is_not_counted() -> None:
    assert decode_page(page(ZH + "\ufffd").encode()).replaced == 0
    assert decode_page(page(ZH * 9 + "\ufffd").encode() + b"\xff.").replaced == 1


def test_canonical_labels() -> None:
    assert canonical_label(' "GB_2312-80" ') == "gb18030"
    assert canonical_label("x-x-big5") == "big5hkscs"
    assert canonical_label("ascii") == "cp1252"
    assert canonical_label("UTF8") == "utf-8"
    assert canonical_label("utf-7") is None


@settings(deadline=None)
@given(
    st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"<meta charset=gbk>" + b),
    st.sampled_from(
        [None, "utf-8", "gbk", "big5", "utf-16", "hz", "iso-2022-kr", "johab", "\0", "é"]
    ),
)
def test_never_fails(content: bytes, label: str | None) -> None:
    for media in ("html", "text"):
        decoded = decode_page(content, http_charset=label, media=media)
        decoded.text.encode("utf-8")  # no half surrogate pairs
        assert decoded.replaced <= decoded.text.count("\ufffd")


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0x20, exclude_characters="~\ufeff", codec="utf-8")))
def test_utf8_comes_back(text: str) -> None:
    assert decode_page(text.encode(), http_charset="utf-8").text == text


# ---------------------------------------------------------------------------- real data

PYTHON_NAMES = {"Johab": "johab", "KOI8-R": "koi8-r", "MacCyrillic": "mac_cyrillic"}
# Where the standard's codec and the web's superset differ in a punctuation mark.
SAME = str.maketrans("・―〜−‖", "·—～－∥")
CJK = ("Big5", "CP932", "CP949", "EUC-JP", "EUC-KR", "GB2312", "SHIFT_JIS", "iso-2022-kr")


def collection(realdata: Path) -> dict[str, list[bytes]]:
    """Files by the folder that names their encoding."""
    packed = (realdata / "html" / "encodings.tar.zst").read_bytes()
    raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)).read()
    files: dict[str, list[bytes]] = defaultdict(list)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is not None:
                files[Path(member.name).parent.name].append(stream.read())
    return dict(sorted(files.items()))


@pytest.mark.realdata
@pytest.mark.parametrize("labels", ["kept", "removed"])
def test_collection_of_encodings(realdata: Path, labels: str) -> None:
    right: dict[str, list[bool]] = {}
    for folder, files in collection(realdata).items():
        found = re.match(r"iso-8859-\d|windows-\d+", folder)
        codec = PYTHON_NAMES.get(folder, found[0] if found else folder)
        right[folder] = []
        for content in files:
            if labels == "removed":
                content = re.sub(rb"(?i)(encoding|charset)\s*=", b"label =", content)
            truth = content.decode(codec).removeprefix("\ufeff")
            right[folder].append(decode_page(content).text.translate(SAME) == truth.translate(SAME))
    table = [f"{folder:24s} {sum(r):3d} of {len(r)}" for folder, r in right.items()]
    print("\n".join(table))  # noqa: T201  # shown by pytest -s, and when the test fails
    assert all(all(right[folder]) for folder in CJK)
    total = [r for results in right.values() for r in results]
    assert len(total) == 189
    assert sum(total) >= 188


def read_as(content: bytes, answer: str | None) -> str:
    """The text under a detector's answer, widened as the web does."""
    name = codecs.lookup(answer).name if answer else "utf-8"
    return content.decode(canonical_label(name) or name, "replace").removeprefix("\ufeff")


@pytest.mark.realdata
@pytest.mark.parametrize("labels", ["kept", "removed"])
def test_right_at_least_as_often_as_the_detectors(realdata: Path, labels: str) -> None:
    import chardet
    import charset_normalizer
    from resiliparse.parse.encoding import detect_encoding

    def normalizer(content: bytes) -> str | None:
        best = charset_normalizer.from_bytes(content).best()
        return best.encoding if best else None

    peers: dict[str, Callable[[bytes], str | None]] = {
        "chardet": lambda content: chardet.detect(content)["encoding"],
        "charset-normalizer": normalizer,
        "resiliparse": detect_encoding,
    }
    ours, theirs = 0, dict.fromkeys(peers, 0)
    for folder, files in collection(realdata).items():
        found = re.match(r"iso-8859-\d|windows-\d+", folder)
        codec = PYTHON_NAMES.get(folder, found[0] if found else folder)
        for content in files:
            if labels == "removed":
                content = re.sub(rb"(?i)(encoding|charset)\s*=", b"label =", content)
            truth = {read_as(content, codec), content.decode(codec).removeprefix("\ufeff")}
            ours += decode_page(content).text in truth
            for name, peer in peers.items():
                theirs[name] += read_as(content, peer(content)) in truth
    assert all(count > 100 for count in theirs.values())
    assert ours >= max(theirs.values()), (ours, theirs)


@pytest.mark.realdata
def test_real_texts_under_lying_labels(realdata: Path) -> None:
    path = realdata / "text" / "zh-zhihu-hot.jsonl.zst"
    with path.open("rb") as stream:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(stream), "utf-8")
        texts = [
            json.loads(line)["text"][:20_000] for _, line in zip(range(40), lines, strict=False)
        ]
    for text in texts:
        html = page(text)
        for lie in ("gb2312", "big5", "iso-8859-1", None):
            assert decode_page(html.encode(), http_charset=lie).text == html
        gbk = html.encode("gb18030")
        for lie in ("utf-8", None):
            assert decode_page(gbk, http_charset=lie).text == html


@pytest.mark.realdata
def test_gb_pages_of_a_crawl(realdata: Path) -> None:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    pages = []
    with (realdata / "warc" / "chatnoir-eu_chatnoir-resiliparse--warcfile.warc").open("rb") as raw:
        for record in ArchiveIterator(raw, record_types=WarcRecordType.response):
            if record.http_content_type == "text/html":
                content = record.reader.read()
                if re.search(rb"charset=[\"']?gb", content[:1024], re.IGNORECASE):
                    pages.append(decode_page(content, http_charset=record.http_charset))
    assert len(pages) >= 4
    for decoded in pages:
        hanzi = sum("\u4e00" <= character <= "\u9fff" for character in decoded.text)
        common = sum(
            decoded.text.count(character) for character in "的一是不了在人有我他这中大来上国"
        )
        assert decoded.encoding == "gb18030"
        assert decoded.replaced == 0
        assert common > 0.02 * hanzi > 2  # Chinese, not another reading of the bytes
