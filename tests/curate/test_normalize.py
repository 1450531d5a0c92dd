"""Normalisation: every code point against the Unicode data, arbitrary text against its promises."""

import io
import json
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.character_ledger import Edits
from yanmo.curate.clean import clean_part
from yanmo.curate.edits import RULES
from yanmo.curate.normalize import NormalizeOptions, normalize
from yanmo.documents import SCHEMA, write_part
from yanmo.errors import DataError, LedgerError

PLAIN = NormalizeOptions(fix_mojibake=False, nfc=False, close_hanzi=False)


def column(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def edited(text: str, options: NormalizeOptions | None = None) -> str:
    out, edits = normalize(column(text), options)
    edits.check("test")
    return str(out[0].as_py())


def rules_of(text: str) -> dict[str, tuple[int, int]]:
    """The rules that did something, with characters removed and added."""
    _, edits = normalize(column(text))
    return {
        rule: (counts["removed"], counts["added"])
        for rule, counts in edits.by_rule().items()
        if counts["removed"] or counts["added"]
    }


@pytest.mark.parametrize(
    ("before", "after", "rules"),
    [
        ("一\r\n二\r三\x0b四\u2028五", "一\n二\n三\n四\n五", {"line_breaks": (4, 3)}),
        ("a\x00b\x1fc\x7fd\ufdd0e\U0001fffff", "abcdef", {"control": (5, 0)}),
        ("\x1b[1;31mred\x1b[0m \x1b[", "red [", {"control": (12, 0)}),
        ("中\u200b文\ufeff\xad\u2060字\u200e\ufffc", "中文字", {"invisible": (6, 0)}),
        ("　　他说\n　她说　好", "他说\n她说 好", {"indent": (3, 0), "spaces": (1, 1)}),
        ("a\xa0b\u2003c\u202fd", "a b c d", {"spaces": (3, 3)}),
        ("Ａ１ｚ，．！", "A1z，．！", {"width": (3, 3)}),
        ("cafe\u0301", "café", {"nfc": (2, 1)}),
        ("一二 \t\n三 \n", "一二\n三", {"trailing_spaces": (3, 0), "blank_lines": (1, 0)}),
        ("\n\n一\n \n\n\n二\n\n", "一\n\n二", {"trailing_spaces": (1, 0), "blank_lines": (6, 0)}),
        (" \n\u3000\n", "", {"indent": (1, 0), "trailing_spaces": (1, 0), "blank_lines": (2, 0)}),
        ("关 于 召 开 会 议 的 通 知", "关于召开会议的通知", {"hanzi_spaces": (8, 0)}),
        ("ä¸\xadæ–‡ç½‘é¡µ", "中文网页", {"mojibake": (12, 4)}),
        ("    if x:\n\treturn", "    if x:\n\treturn", {}),
    ],
)  # fmt: skip
def test_each_rule(before: str, after: str, rules: dict[str, tuple[int, int]]) -> None:
    assert edited(before) == after
    assert rules_of(before) == rules


def test_chinese_punctuation_is_never_touched() -> None:
    text = "，。：；？！（）…—～、·《》〈〉「」『』【】〔〕“”‘’％＋－＝＠＃￥＊／｜＿〇々"
    assert edited(f"文{text}字") == f"文{text}字"


@pytest.mark.parametrize(
    "text",
    [
        "北京 上海 广州 深圳 南京",  # a list of words
        "张三 李四 王五 赵六 陈七",
        "英 语  语 文  数 学  体 育",  # words that are spaced themselves
        "易 太 以 老",  # four hanzi quoted one by one
        "第一章 总则",
        "东 西 南 北 中a",  # what follows does not matter, so this one is closed
        "关   于   召   开   会",  # columns
        "か な 文 字 あ い う",
    ],
)
def test_spaces_between_hanzi_that_mean_something_stay(text: str) -> None:
    expected = "东西南北中a" if text.endswith("a") else text
    assert edited(text) == expected


def test_each_stretch_of_hanzi_is_judged_by_itself() -> None:
    text = "名单 张三 李四：关 于 召 开 会，北京 上海；关  于  召  开  会"
    assert edited(text) == "名单 张三 李四：关于召开会，北京 上海；关于召开会"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥", "👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥"),
        ("中\u200d文\u200c字 a\u200db", "中文字 ab"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("👨\u200d\u200d👩 👨\u200d x", "👨\u200d👩 👨 x"),
        ("👨\u200b\u200d👩", "👨\u200d👩"),
        ("a\u0301\u0302\u200c\u0323b", unicodedata.normalize("NFC", "a\u0301\u0302\u0323b")),
    ],
)
def test_joiners_stay_where_they_spell(before: str, after: str) -> None:
    assert edited(before) == after
    assert edited(after) == after


def expected_between_letters(code: int) -> str:
    """What ``a?b`` becomes for a code point, from Python's own Unicode data."""
    character = chr(code)
    category = unicodedata.category(character)
    if category == "Zs":
        return "a b"
    if code in (0x0A, 0x0B, 0x0C, 0x0D, 0x85) or category in ("Zl", "Zp"):
        return "a\nb"
    if character == "\t":
        return "a\tb"
    noncharacter = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
    if category == "Cc" or noncharacter or 0x200B <= code <= 0x200F:
        return "ab"
    if code in (0xAD, 0x2060, 0xFEFF, 0xFFFC):
        return "ab"
    narrow = unicodedata.normalize("NFKC", character)
    if unicodedata.east_asian_width(character) == "F" and narrow.isascii() and narrow.isalnum():
        return f"a{narrow}b"
    return unicodedata.normalize("NFC", f"a{character}b")


def test_every_code_point() -> None:
    planes = [edge for plane in range(3, 17) for edge in (plane << 16, (plane << 16) + 0xFFFF)]
    codes = [*range(0xD800), *range(0xE000, 0x30000), *range(0xE0000, 0xE0200), *planes]
    out, edits = normalize(
        pa.array([f"a{chr(c)}b" for c in codes]), NormalizeOptions(fix_mojibake=False)
    )
    edits.check("all of Unicode")
    wrong = [
        hex(code)
        for code, text in zip(codes, out.to_pylist(), strict=True)
        if text != expected_between_letters(code)
    ]
    assert wrong == []


def test_nfc_of_every_decomposition() -> None:
    characters = [chr(c) for c in range(0x80, 0x30000) if unicodedata.decomposition(chr(c))]
    apart = [f"x{unicodedata.normalize('NFD', c)}\u200by" for c in characters]
    out, _ = normalize(pa.array(apart), NormalizeOptions(fix_mojibake=False))
    for text, given_text in zip(out.to_pylist(), apart, strict=True):
        narrowed = normalize(column(given_text), PLAIN)[0][0].as_py()
        assert text == unicodedata.normalize("NFC", narrowed)


SPECIAL = (
    "\r\n\t \x00\x1b[0m\x85\xa0\xad\u200b\u200c\u200d\u200e\u2028\u2060\u3000\ufeff\ufffc\ufffd"
    "中文后云が゛か\u3099Ａ１ａｚ，。eE\u0301\u0323\u0345क\u094d\u093cمی👨👩❤\ufe0f\U0001f3fb"
    "가\u1161\u11a8ÃÂâ€™é¤œŒβв‚√\x80\x93〈\u2329\uf900\U0002f800\u09c7\u09be\u0f71\u0f72"
)
WILD = st.text(st.sampled_from(SPECIAL) | st.characters(codec="utf-8"), max_size=40)


@settings(max_examples=400, deadline=None)
@given(st.lists(WILD, max_size=6))
def test_promises_for_arbitrary_text(texts: list[str]) -> None:
    out, edits = normalize(pa.array(texts, pa.large_string()))
    edits.check("arbitrary")
    results = out.to_pylist()
    assert edits.chars_in == sum(map(len, texts))
    assert edits.chars_out == sum(map(len, results))
    again, nothing = normalize(out)
    assert again.to_pylist() == results
    assert not nothing.counts.any()
    for text in results:
        assert unicodedata.is_normalized("NFC", text)
        assert "\n\n\n" not in text
        assert " \n" not in text
        assert "\t\n" not in text
        assert text == text.strip("\n").rstrip(" \t")


def visible(text: str) -> str:
    """What is left of a text when widths, forms and all that is blank are put aside."""
    kept = (c for c in text if unicodedata.category(c)[0] not in "ZC")
    return unicodedata.normalize("NFKC", "".join(kept))


@settings(max_examples=300, deadline=None)
@given(WILD.map(lambda text: text.replace("\x1b", "").replace("\ufffc", "")))
def test_nothing_visible_is_lost(text: str) -> None:
    assert visible(edited(text, NormalizeOptions(fix_mojibake=False))) == visible(text)


def test_mojibake_that_an_edit_brings_together() -> None:
    assert edited("Ã\u200b©t\xe9 voil\xc3\u200b\xa0 la") == edited(
        edited("Ã\u200b©t\xe9 voil\xc3\u200b\xa0 la")
    )
    assert edited("caf\xc3\u200b\xa9") == "café"
    assert edited("Ã©", NormalizeOptions(fix_mojibake=False)) == "Ã©"


def test_slices_types_and_empty_columns() -> None:
    texts = ["甲 ", "乙\r\n", "", "丙\xa0x", "丁"]
    for kind in (pa.string(), pa.large_string()):
        whole = pa.array(texts, kind)
        assert normalize(whole)[0].to_pylist() == ["甲", "乙", "", "丙 x", "丁"]
        part, edits = normalize(whole.slice(1, 3))
        assert part.to_pylist() == ["乙", "", "丙 x"]
        assert (edits.chars_in, edits.chars_out) == (6, 4)
        assert normalize(whole.slice(2, 0))[0].to_pylist() == []


def test_long_documents_and_many_chunks() -> None:
    texts = ["长文　" * 700_000, "a ", "é" * 3_000_000, "关 于 召 开 会 议。" * 200_000]
    out, edits = normalize(column(*texts))
    edits.check("long")
    assert out.to_pylist() == [
        ("长文 " * 700_000)[:-1], "a", "é" * 3_000_000, "关于召开会议。" * 200_000
    ]  # fmt: skip


def test_bytes_that_are_no_text() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xc3(")]
    )
    with pytest.raises(DataError, match="part 7: the text is not UTF-8"):
        normalize(bad, where="part 7")


def test_books_that_do_not_balance() -> None:
    edits = Edits(RULES, chars_in=5, chars_out=4)
    with pytest.raises(LedgerError, match="5 characters in"):
        edits.check("part 7")
    edits.counts[RULES.index("control"), 0] = 1
    edits.check("part 7")


def documents(texts: list[str]) -> pa.Table:
    rows = [
        {"id": f"{n:024x}", "text": text, "source": "s", "origin": f"f#{n}", "url": f"u{n}",
         "n_chars": 0, "n_bytes": 0, "meta": '{"k":"ｖ\\u00a0"}'}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA)


def test_clean_part(tmp_path: Path) -> None:
    texts = [
        "　　今天天气很好，我们去公园散步。\r\n　　明天再说。",
        "The weather of the day is fine and we have to be quick.\xa0",
        "",
        "123 456",
        "網頁的編碼宣告常常是錯的。",
    ] * 700
    write_part(tmp_path / "part.parquet", documents(texts))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    result = clean_part([tmp_path / "part.parquet"], {}, tmp_path / "a")
    assert result == clean_part([tmp_path / "part.parquet"], {}, tmp_path / "b")
    first, second = (tmp_path / n / "documents.parquet" for n in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    table = pq.read_table(first)
    assert table.schema.equals(SCHEMA)
    rows = table.to_pylist()
    assert rows[0]["text"] == "今天天气很好，我们去公园散步。\n明天再说。"
    assert [r["lang"] for r in rows[:5]] == ["zh", "en", None, None, "zh"]
    assert [r["script"] for r in rows[:5]] == ["Hans", "Latn", "Zyyy", "Zyyy", "Hant"]
    assert rows[0]["meta"] == '{"k":"ｖ\\u00a0"}'
    assert [r["id"] for r in rows] == [f"{n:024x}" for n in range(3500)]
    for row in rows:
        assert row["n_chars"] == len(row["text"])
        assert row["n_bytes"] == len(row["text"].encode())
    assert result["rows"] == 3500
    assert result["chars_in"] == sum(map(len, texts))
    assert result["chars_out"] == sum(len(r["text"]) for r in rows)
    assert result["edits"]["indent"] == {"removed": 2800, "added": 0}
    assert result["language_model"] == "none"


def test_clean_part_follows_its_parameters(tmp_path: Path) -> None:
    write_part(tmp_path / "part.parquet", documents(["关 于 召 开 会 e\u0301 Ã©"]))
    off = {"normalize": {"fix_mojibake": False, "nfc": False, "close_hanzi": False}}
    clean_part([tmp_path / "part.parquet"], off, tmp_path)
    assert pq.read_table(tmp_path / "documents.parquet")["text"].to_pylist() == [
        "关 于 召 开 会 e\u0301 Ã©"
    ]


@pytest.mark.realdata
def test_real_texts(realdata: Path) -> None:
    texts = []
    for name in ("zh-fudan-textinfoexp", "zh-lctt", "zh-classical-modern", "en-bbc"):
        with (realdata / "text" / f"{name}.jsonl.zst").open("rb") as stream:
            raw = zstandard.ZstdDecompressor().stream_reader(stream)
            lines = io.TextIOWrapper(raw, "utf-8")
            texts += [json.loads(line)["text"] for _, line in zip(range(50), lines, strict=False)]
    out, edits = normalize(pa.array(texts, pa.large_string()))
    edits.check("real")
    again, nothing = normalize(out)
    assert again.equals(out)
    assert not nothing.counts.any()
    for before, after in zip(texts, out.to_pylist(), strict=True):
        assert visible(before) == visible(after)  # none of these has mojibake
