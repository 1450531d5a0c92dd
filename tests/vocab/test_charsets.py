"""Tables of characters and classes of text."""

import pytest

from yanmo.errors import UsageError
from yanmo.vocab.charsets import HAN_RUN, NAMES, characters, coverage, is_han, script_of


def test_sizes_are_those_of_the_standards() -> None:
    sizes = {name: len(set(characters(name))) for name in NAMES}
    assert sizes == {
        "gb2312-1": 3755,
        "gb2312": 6763,
        "tgh8105-1": 3500,
        "tgh8105": 8105,
        "big5-1": 5401,
    }
    assert characters("off") == ()
    with pytest.raises(UsageError, match="no such table"):
        characters("gb18030")


def test_order_is_that_of_the_table() -> None:
    assert characters("gb2312-1")[0] == "啊"  # by pinyin
    assert characters("tgh8105")[:3] == ("一", "乙", "二")  # by strokes
    assert set(characters("gb2312-1")) < set(characters("gb2312"))


def test_what_is_han() -> None:
    assert is_han("研墨〇々𠀀")
    for text in ("", "研a", "か", "，", "\uf900", "⼀", "研 墨"):
        assert not is_han(text), text
    assert HAN_RUN.findall("a研墨，先于b落c") == ["研墨", "先于", "落"]


def test_classes() -> None:
    assert [script_of(t) for t in ("研墨", "▁研", "ink", "▁the", "2016", "，。", "かな")] == [
        "han",
        "han+space",
        "latin",
        "latin",
        "digits",
        "punctuation",
        "kana",
    ]
    assert [script_of(t) for t in ("▁▁", "a1", "研a", "жы")] == ["space", "mixed", "mixed", "other"]


def test_coverage_counts_whole_characters() -> None:
    found = coverage(["一", "乙", "一个", "啊"])
    assert found["tgh8105-1"] == {"covered": 3, "of": 3500}
    assert found["gb2312-1"]["covered"] == 3
