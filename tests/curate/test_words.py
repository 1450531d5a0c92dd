"""What a word is: the rule of the module, in examples."""

import numpy as np
import pytest

from yanmo.curate.words import find_words

from .slow_signals import words as slow_words


def spans(text: str) -> list[str]:
    """The words of a text, found again by their lengths and the slow rule's order."""
    codes = np.array([ord(c) for c in text], np.int32)
    found = find_words(codes, np.array([0, len(text)], np.int64))
    expected = slow_words(text)
    assert found.chars.tolist() == [len(word) for word in expected]
    same: dict[int, str] = {}
    for key, word in zip(found.keys.tolist(), expected, strict=True):
        assert same.setdefault(key, word) == word  # equal keys, equal words
    assert len(same) == len(set(expected))  # and the other way round
    return expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("他买了3本书", ["他", "买", "了", "3", "本", "书"]),
        ("用Python3写", ["用", "Python3", "写"]),
        ("don't 'quote' rock’n’roll", ["don't", "quote", "rock’n’roll"]),
        ("1,000.50 3. .5 1,a", ["1,000.50", "3", "5", "1", "a"]),
        ("well-known e.g. C++", ["well", "known", "e", "g", "C"]),
        ("カタカナ ひらがな", [*"カタカナひらがな"]),
        ("한국어 текст", ["한국어", "текст"]),
        ("e\u0301te\u0301 天\u0301", ["e\u0301te\u0301", "天"]),
        ("…—、☃\n ", []),
    ],
)
def test_examples(text: str, words: list[str]) -> None:
    assert spans(text) == words


def count(text: str, name: str) -> int:
    codes = np.array([ord(c) for c in text], np.int32)
    found = find_words(codes, np.array([0, len(text)], np.int64))
    return int(getattr(found.counts, name)[0])


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("今天下雨。明天呢？不知道……算了！", 4),
        ("Pi is 3.14. See a.b.c for more... (Really.) Yes", 4),
        ("没有标点\n两行", 2),
        ("。。。！！\n……", 0),
        ("“好。”他说。", 2),
    ],
)
def test_sentences(text: str, sentences: int) -> None:
    assert count(text, "sentences") == sentences


def test_stop_words_are_whole_words_in_any_case() -> None:
    assert count("The AND-gate: to be!", "stop_words_en") == 4
    assert count("them bee too often thé 戀 扥", "stop_words_en") == 0
    assert count("the the THE", "stop_words_en") == 1


def test_brackets_close_on_their_line() -> None:
    assert count("【甲乙】丙【丁】", "bracketed_chars") == 3
    assert count("【甲【乙】丙】", "bracketed_chars") == 3
    assert count("【甲\n乙】【】", "bracketed_chars") == 0
