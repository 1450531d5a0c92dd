"""Which characters and words are one token, several, or unknown.

Each is encoded behind a line end, as in the middle of a text: alone it would get the space that
SentencePiece puts before a text. So a token that no merge can reach does not count as there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_file

from .charsets import characters, is_han
from .load import Ids, Tokenizer
from .tally import encode_what_can_be

TABLES = ("gb2312-1", "gb2312-2", "tgh8105", "big5-1", "big5-2")
_FREQUENCY = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
# What stands before the text. Where a normaliser takes the line end away, a full stop does.
_BEFORE = ("\n", "。")


@cache
def table(name: str) -> tuple[str, ...]:
    """The characters of a table of :data:`TABLES`; the second levels are without the first."""
    if name == "gb2312-2":
        first = set(characters("gb2312-1"))
        return tuple(c for c in characters("gb2312") if c not in first)
    if name == "big5-2":
        first = set(characters("big5-1"))
        # Level 2 is rows C9 to F9, up to F9D5; the codec knows two of it as compatibility forms.
        trails = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
        codes = [bytes((a, b)) for a in range(0xC9, 0xFA) for b in trails]
        found = (code.decode("big5", errors="ignore") for code in codes if code <= b"\xf9\xd5")
        return tuple(c for c in dict.fromkeys(found) if c and is_han(c) and c not in first)
    return characters(name)


def encode_inside(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Ids | None]:
    """The ids of short texts as they are in the middle of a line's start.

    Args:
        tokenizer: any.
        texts: none empty.

    Returns:
        Ids, ``None`` where the tokenizer fails.
    """
    for before in _BEFORE:
        (prefix,), _ = encode_what_can_be(tokenizer, [before])
        if prefix is None or _swallowed(tokenizer, before, prefix):
            continue
        encoded, _ = encode_what_can_be(tokenizer, [before + text for text in texts])
        size = len(prefix)
        if all(ids is None or np.array_equal(ids[:size], prefix) for ids in encoded):
            return [None if ids is None else ids[size:] for ids in encoded]
    return encode_what_can_be(tokenizer, list(texts))[0]


def _swallowed(tokenizer: Tokenizer, before: str, prefix: Ids) -> bool:
    """Whether SentencePiece drops what stands before and puts its own space there instead."""
    if not tokenizer.kind.startswith("spm"):
        return False
    return before not in tokenizer.decode(prefix)


def coverage(tokenizer: Tokenizer) -> dict[str, dict[str, int]]:
    """Characters of each table that are one token, several, or unknown (lost).

    Returns:
        Table to ``{"one", "several", "unk", "of"}``.
    """
    every = list(dict.fromkeys(c for name in TABLES for c in table(name)))
    kinds = dict(zip(every, _classes(tokenizer, every), strict=True))
    found = {}
    for name in TABLES:
        classes = [kinds[c] for c in table(name)]
        found[name] = {kind: classes.count(kind) for kind in ("one", "several", "unk")}
        found[name]["of"] = len(classes)
    return found


def _classes(tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    return [_class(ids, tokenizer.unk_id) for ids in encode_inside(tokenizer, texts)]


def _class(ids: Ids | None, unknown: int | None) -> str:
    # A character for which there is no id at all is lost without a word.
    if ids is None or len(ids) == 0 or (unknown is not None and (ids == unknown).any()):
        return "unk"
    return "one" if len(ids) == 1 else "several"


@dataclass(frozen=True)
class WordList:
    """Words, how often each counts (1 where the list says nothing), and where they are from."""

    words: tuple[str, ...]
    weights: tuple[float, ...]
    path: Path
    sha256: str


def read_words(path: Path) -> WordList:
    """Read a word list: one a line, with a frequency behind a tab or a space if it has one.

    A word with spaces in it stands before a tab, or on a line without a frequency.

    Raises:
        UsageError: no such file.
        DataError: no UTF-8, or no word in it.
    """
    if not path.is_file():
        raise UsageError("no such word list", where=path, fix="Give a file with a word a line.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}", where=path) from None
    words: dict[str, float] = {}
    for line in map(str.strip, lines):
        if line and not line.startswith("#"):
            word, weight = _word_of(line)
            words[word] = words.get(word, 0.0) + weight
    if not words:
        raise DataError("no word in it", where=path, fix="One word a line, UTF-8.")
    return WordList(tuple(words), tuple(words.values()), path, sha256_file(path))


def _word_of(line: str) -> tuple[str, float]:
    word, *more = line.split("\t") if "\t" in line else line.split(" ")
    found = _FREQUENCY.match(more[0].strip()) if more else None
    if found is None and "\t" not in line:
        return line, 1.0
    return word.strip(), float(found[0]) if found else 1.0


def words_kept(tokenizer: Tokenizer, words: WordList) -> dict[str, Any]:
    """Which words are one token.

    A word that does not begin with a Han character is encoded behind a space.

    Returns:
        ``words``; shares ``one``, ``characters`` (cut into single characters or less), ``unk``, of
        the list and (``weighted_one``) of its frequencies; ``tokens_per_word``.
    """
    texts = [word if is_han(word[0]) else f" {word}" for word in words.words]
    ids = encode_inside(tokenizer, texts)
    sizes = np.array([0 if found is None else len(found) for found in ids], np.int64)
    chars = np.array([len(word) for word in words.words], np.int64)
    unknown = np.array([_class(found, tokenizer.unk_id) == "unk" for found in ids])
    weights = np.array(words.weights)
    one = (sizes == 1) & ~unknown
    return {
        "words": len(sizes),
        "one": float(one.mean()),
        "characters": float(((sizes >= chars) & (chars > 1) & ~unknown).mean()),
        "unk": float(unknown.mean()),
        "weighted_one": float(weights[one].sum() / weights.sum()) if weights.sum() else None,
        "tokens_per_word": float(sizes.mean()),
    }
