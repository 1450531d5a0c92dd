"""Chinese characters: what counts as Han, and the tables by which coverage is judged.

GB 2312 and Big5 come from Python's own codecs; the 8105 table is in ``data/tgh8105.txt``.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from yanmo.errors import UsageError

NAMES = ("gb2312-1", "gb2312", "tgh8105-1", "tgh8105", "big5-1")
# Unified ideographs with extensions A to I, and 〇 and 々, which are written inside Chinese words.
# Not: compatibility forms (U+F900 and on), radicals, kana.
HAN = (
    "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff"
    "\U00020000-\U0002a6df\U0002a700-\U0002ebe0\U0002ebf0-\U0002ee5d\U00030000-\U000323af"
)
HAN_RUN = re.compile(f"[{HAN}]+")
_HAN_ONLY = re.compile(f"[{HAN}]+\\Z")


def is_han(text: str) -> bool:
    """Whether a text is not empty and every character of it is Han."""
    return _HAN_ONLY.match(text) is not None


@cache
def characters(name: str) -> tuple[str, ...]:
    """The characters of a table, in its own order.

    Args:
        name: ``gb2312-1`` (3755, by pinyin), ``gb2312`` (6763), ``tgh8105-1`` (3500, the first
            level), ``tgh8105``, ``big5-1`` (5401), or ``off`` (none).

    Raises:
        UsageError: no such table.
    """
    if name == "off":
        return ()
    if name == "gb2312-1":
        return _codec_block("gb2312", range(0xB0, 0xD8), range(0xA1, 0xFF))
    if name == "gb2312":
        return _codec_block("gb2312", range(0xB0, 0xF8), range(0xA1, 0xFF))
    if name == "big5-1":
        low, high = range(0x40, 0x7F), range(0xA1, 0xFF)
        # Level 1 ends at C67E.
        rows = _codec_block("big5", range(0xA4, 0xC6), (*low, *high))
        return rows + _codec_block("big5", range(0xC6, 0xC7), low)
    if name in ("tgh8105", "tgh8105-1"):
        lines = _table_lines()
        return tuple("".join(lines))[: 3500 if name == "tgh8105-1" else None]
    raise UsageError("no such table of characters", value=name, fix=f"Known: {', '.join(NAMES)}.")


def _table_lines() -> list[str]:
    file = Path(__file__).with_name("data") / "tgh8105.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def _codec_block(codec: str, lead: Iterable[int], trail: Iterable[int]) -> tuple[str, ...]:
    trail = tuple(trail)
    found = (bytes((a, b)).decode(codec, errors="ignore") for a in lead for b in trail)
    return tuple(character for character in found if is_han(character))


def coverage(pieces: Iterable[str]) -> dict[str, dict[str, int]]:
    """How many characters of each table are pieces of their own."""
    known = set(pieces)
    return {
        name: {"covered": sum(c in known for c in characters(name)), "of": len(characters(name))}
        for name in NAMES
    }


def script_of(text: str) -> str:
    """A coarse class of a piece: han, han+space, latin, digits, kana, mixed, punctuation, other."""
    bare = text.replace("\u2581", "").strip()
    if not bare:
        return "space"
    if is_han(bare):
        return "han" if bare == text else "han+space"
    kinds = {_class(character) for character in bare}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _class(character: str) -> str:
    if is_han(character):
        return "han"
    category = unicodedata.category(character)
    if category == "Nd":
        return "digits"
    if category[0] in "PS":
        return "punctuation"
    if category[0] in "LM":
        name = unicodedata.name(character, "")
        for word, script in (("LATIN", "latin"), ("HIRAGANA", "kana"), ("KATAKANA", "kana")):
            if name.startswith(word):
                return script
    return "other"
