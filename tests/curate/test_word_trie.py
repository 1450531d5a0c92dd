"""Listed words in text: every match of a definition in plain Python, and what it was made for."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.utf8 import decode, text_buffer
from yanmo.curate.word_trie import (
    BOUNDARIES,
    build,
    find,
    fold_codes,
    fold_table,
    folded,
    kind_table,
)

FOLD = fold_table(case=True, variants=False)


def matches(
    texts: Sequence[str],
    words: Sequence[str],
    allowed: Sequence[str] = (),
    boundaries: str = "words",
) -> list[tuple[int, int, int, str]]:
    codes, bounds = decode(*text_buffer(pa.array(texts, pa.large_string())))
    trie = build(words, allowed)
    found = find(fold_codes(codes, FOLD), bounds, trie, kind_table(boundaries))
    rows = zip(found.document, found.start, found.end, found.term, strict=True)
    return [(int(d), int(s), int(e), words[t]) for d, s, e, t in rows]


def kind_of(character: str, boundaries: str) -> int:
    """0 for what may touch anything; letters of scripts without spaces are such."""
    category = unicodedata.category(character)
    name = unicodedata.name(character, "")
    unspaced = ("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER",
                "MYANMAR", "HALFWIDTH KATAKANA")  # fmt: skip
    if boundaries == "off" or name.startswith(unspaced):
        return 0
    if category[0] == "N":
        return 1 if boundaries == "words" else 2
    return 1 if category[0] in "LM" else 0


def plain(
    text: str, words: Sequence[str], allowed: Sequence[str], boundaries: str
) -> list[tuple[int, int, str]]:
    """The definition: all occurrences, those in allowed ones out, of the rest leftmost-longest."""

    def whole(start: int, end: int) -> bool:
        for edge in (start, end):
            if 0 < edge < len(text):
                before, after = (kind_of(text[i], boundaries) for i in (edge - 1, edge))
                if before and before == after:
                    return False
        return True

    def occurrences(some: Sequence[str]) -> list[tuple[int, int, str]]:
        return [(i, i + len(word), word) for word in some for i in range(len(text))
                if text.startswith(word, i) and whole(i, i + len(word))]  # fmt: skip

    shields = occurrences(allowed)
    left = [(s, e, w) for s, e, w in occurrences(words)
            if not any(a <= s and e <= b for a, b, _ in shields)]  # fmt: skip
    taken, free = [], 0
    for start, end, word in sorted(left, key=lambda item: (item[0], -item[1])):
        if start >= free:
            taken.append((start, end, word))
            free = end
    return taken


LETTERS = st.text(st.sampled_from("ab1色情网 .é"), min_size=1, max_size=6)


@settings(max_examples=400, deadline=None)
@given(
    texts=st.lists(st.text(st.sampled_from("ab1色情网 .é"), max_size=40), max_size=4),
    words=st.sets(LETTERS, max_size=8),
    allowed=st.sets(LETTERS, max_size=4),
    boundaries=st.sampled_from(BOUNDARIES),
)
def test_matches_are_those_of_the_definition(
    texts: list[str], words: set[str], allowed: set[str], boundaries: str
) -> None:
    ordered = sorted(words)
    wanted = [(number, *match) for number, text in enumerate(texts)
              for match in plain(text, ordered, sorted(allowed), boundaries)]  # fmt: skip
    assert matches(texts, ordered, sorted(allowed), boundaries) == wanted


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=4),
    st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=3), max_size=6),
)
def test_any_text_and_any_word(texts: list[str], words: set[str]) -> None:
    """Of any characters: without boundaries a fold and ``str.find`` tell the same places."""
    folds = sorted({folded(word, FOLD) for word in words})
    wanted = [(number, *match) for number, text in enumerate(texts)
              for match in plain(folded(text, FOLD), folds, (), "off")]  # fmt: skip
    assert matches(texts, folds, (), "off") == wanted


def test_ten_thousand_words_against_a_set() -> None:
    """Many words of two to five characters: that no hash or filter of the trie loses one."""
    rng = np.random.default_rng(7)
    hanzi = [chr(c) for c in range(0x4E00, 0x4E00 + 300)]
    words = sorted(
        {"".join(rng.choice(hanzi, size=int(rng.integers(2, 6)))) for _ in range(10_000)}
    )
    text = "".join(rng.choice(hanzi, size=5_000).tolist() + words[:500]) + "....."
    known, place, wanted = set(words), 0, []
    while place < len(text):
        size = next((n for n in (5, 4, 3, 2) if text[place : place + n] in known), 0)
        if size:
            wanted.append((0, place, place + size, text[place : place + size]))
        place += size or 1
    assert len(wanted) > 500
    assert matches([text], words) == wanted


def test_phrases_that_share_their_beginnings() -> None:
    """Words in words of words: what is compared between two places where they part."""
    rng = np.random.default_rng(11)
    parts = ["of the ", "in ", "the ", "government", "govern", " of", "ab", "a", "abc", "abcd"]
    words = sorted({"".join(rng.choice(parts, size=int(rng.integers(1, 5)))).strip()
                    for _ in range(400)})  # fmt: skip
    texts = ["".join(rng.choice([*parts, *words, " ", "x"], size=30)) for _ in range(60)]
    allowed = [word for n, word in enumerate(words) if n % 9 == 0]
    listed = [word for n, word in enumerate(words) if n % 9]
    for boundaries in BOUNDARIES:
        wanted = [(number, *match) for number, text in enumerate(texts)
                  for match in plain(text, listed, allowed, boundaries)]  # fmt: skip
        assert matches(texts, listed, allowed, boundaries) == wanted
        assert len(wanted) > 300


def test_a_word_within_an_allowed_one_does_not_count() -> None:
    found = matches(["色情网站，特色情怀，色情"], ["色", "色情"], ["特色情怀"])
    assert [(s, e) for _, s, e, _ in found] == [(0, 2), (10, 12)]
    # The allowed word does not reach beyond its own characters.
    assert matches(["特色情怀色情"], ["色情"], ["特色情怀"]) == [(0, 4, 6, "色情")]
    assert matches(["色情色情怀"], ["色情"], ["色情"]) == []


def test_latin_words_stand_alone_and_hanzi_anywhere() -> None:
    text = "加QQ群 MP3P players, ass class ASS1 3P。"
    assert [w for *_, w in matches([text], ["3p", "ass", "qq"])] == ["qq", "ass", "3p"]
    assert [w for *_, w in matches([text], ["3p", "ass", "qq"], (), "letters")] == [
        "qq", "3p", "ass", "ass", "3p"]  # fmt: skip
    assert len(matches([text], ["3p", "ass", "qq"], (), "off")) == 6


def test_documents_do_not_touch() -> None:
    """Neither a word nor a boundary reaches into the next document."""
    assert matches(["色", "情 q", "q"], ["qq", "色情", "q"]) == [(1, 2, 3, "q"), (2, 0, 1, "q")]


def test_folding() -> None:
    assert folded("ＱＱ　Ａ１Straße\tÀ ｶ", FOLD) == "qq a1straße à カ"
    assert folded("QQ後", fold_table(case=False, variants=True)) == "QQ后"
    assert folded("後", FOLD) == "後"


def test_longest_word_that_is_not_whole_gives_way_to_a_shorter_one() -> None:
    assert matches(["ab cd1"], ["ab", "ab cd"]) == [(0, 0, 2, "ab")]


def test_nothing_to_find() -> None:
    assert matches([], ["a"]) == []
    assert matches(["abc"], []) == []
    assert matches([""], ["a"], ["b"]) == []
