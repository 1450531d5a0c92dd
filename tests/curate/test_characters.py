"""The class of every assigned character, against ``unicodedata`` and ``str``."""

import unicodedata

import pytest

from yanmo.curate import characters as ch

from .slow_signals import letter_class

LETTERS = {
    "o": ch.OTHER, "n": ch.NEWLINE, "s": ch.SPACE, "h": ch.HANZI, "k": ch.KANA, "g": ch.HANGUL,
    "L": ch.LATIN, "l": ch.LETTER, "D": ch.DIGIT, "M": ch.MARK, "P": ch.PUNCTUATION,
    "S": ch.SYMBOL,
}  # fmt: skip


def class_of(character: str) -> int:
    index, blocks = ch.class_table()
    return int(blocks[index[ord(character) >> 8], ord(character) & 255])


def test_every_assigned_character() -> None:
    wrong = [
        f"U+{code:04X}"
        for start, end in ((0, 0x33480), (0xE0000, 0xE0200), (0x10FFF0, 0x110000))
        for code in range(start, end)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs")
        and class_of(chr(code)) != LETTERS[letter_class(chr(code))]
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("一龥㐀𠀀𪚥豈々〆〇", ch.HANZI),
        ("あンｶー𛀁", ch.KANA),
        ("한ㄱﾡ", ch.HANGUL),
        ("aZéẞＡｚ", ch.LATIN),
        ("жαא", ch.LETTER),
        ("0９٣½①Ⅳ", ch.DIGIT),
        ("，。！？…—“”《》、·!#{-", ch.PUNCTUATION),
        ("￥$+=×℃★☃", ch.SYMBOL),
        (" \t\r\u3000\xa0\u2028", ch.SPACE),
        ("\n", ch.NEWLINE),
        ("\u0301\ufe0f", ch.MARK),
        ("\u200b\ufeff\x00\ue000", ch.OTHER),
    ],
)
def test_examples(text: str, kind: int) -> None:
    assert [class_of(character) for character in text] == [kind] * len(text)
