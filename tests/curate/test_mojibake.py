"""Mojibake: the gate must not miss what ftfy would change, and the repair must be ftfy's."""

import io
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import zstandard
from ftfy import TextFixerConfig, fix_text
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.mojibake import repair, suspects

CONFIG = TextFixerConfig(
    unescape_html=False, remove_terminal_escapes=False, fix_latin_ligatures=False,
    fix_character_width=False, uncurl_quotes=False, fix_line_breaks=False, fix_surrogates=False,
    remove_control_chars=False, normalization=None,
)  # fmt: skip


def telltale() -> str:
    """Every character of ftfy's categories, read off its character classes independently."""
    import re

    classes = [re.compile(f"[{spec}]") for spec in MOJIBAKE_CATEGORIES.values()]
    plane = map(chr, range(0x80, 0xFFFF))
    return "".join(c for c in plane if any(pattern.match(c) for pattern in classes))


ALPHABET = telltale() + " \naZ1,.中。"


def flags(texts: list[str]) -> list[bool]:
    codes = np.array([ord(c) for c in "".join(texts)], np.int32)
    bounds = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    return [bool(flag) for flag in suspects(codes, bounds)]


def missed(texts: list[str]) -> list[str]:
    """Texts that ftfy calls bad and the gate lets pass."""
    return [t for t, flag in zip(texts, flags(texts), strict=True) if not flag and is_bad(t)]


def test_no_pair_is_missed() -> None:
    assert len(ALPHABET) > 450
    pairs = [first + second for first, second in itertools.product(ALPHABET, repeat=2)]
    assert sum(map(is_bad, pairs)) > 50_000
    assert missed(pairs) == []


@pytest.mark.parametrize("length", [1, 3, 4, 5])
def test_no_longer_text_is_missed(length: int) -> None:
    choose = random.Random(length)
    # Two copies of the ordinary characters, so that patterns with a letter or a space come up.
    alphabet = ALPHABET + "az. ÂÃØÙВГРСΒΓΞΟ" * 8
    texts = ["".join(choose.choices(alphabet, k=length)) for _ in range(40_000)]
    assert missed(texts) == []


@pytest.mark.parametrize(
    "text",
    [
        "正常的中文，带“引号”、省略号……和破折号——没有问题。",
        "An ordinary text — with “quotes”, café, naïve, Zoë, 25 °C and £5.",
        "Обычный русский текст, «кавычки» и тире — всё в порядке.",
        "voilà l'été; Ça va? ¿Qué? Übergröße. ½ × 2 ≤ 3",
    ],
)
def test_ordinary_text_passes_the_gate(text: str) -> None:
    assert flags([text]) == [False]
    assert repair(text) == text


@pytest.mark.parametrize(
    "original", ["中文网页，标点。", "café naïve", "“quoted” — it’s", "Привет"]
)
@pytest.mark.parametrize("codec", ["latin-1", "sloppy-windows-1252"])
def test_round_trip(original: str, codec: str) -> None:
    import ftfy.bad_codecs  # noqa: F401  # registers the sloppy codecs

    broken = original.encode().decode(codec)
    text = f"前面的行没有问题\n{broken}\n后面也没有"
    assert flags([text]) == [True]
    assert repair(text) == f"前面的行没有问题\n{original}\n后面也没有"


@settings(deadline=None)
@given(st.text(st.sampled_from(ALPHABET) | st.characters(codec="utf-8"), max_size=30))
def test_repair_is_ftfy(text: str) -> None:
    expected = fix_text(text, CONFIG)
    assert repair(text) == expected
    if expected != text:
        assert flags([text]) == [True]


@pytest.mark.realdata
def test_gate_on_real_texts(realdata: Path) -> None:
    texts = []
    for path in sorted((realdata / "text").glob("*.zst")):
        with path.open("rb") as stream:
            raw = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(stream), "utf-8")
            texts += [json.loads(line)["text"] for _, line in zip(range(12), raw, strict=False)]
    marked = flags(texts)
    for text, mark in zip(texts, marked, strict=True):
        if not mark:
            assert not any(is_bad(line) for line in text.splitlines(keepends=True))
    assert sum(marked) < 0.05 * len(marked)  # or the gate would be useless
