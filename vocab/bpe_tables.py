"""Arrays for the fast encoder, made from a tokenizer, or the reason why it cannot have them.

What is taken: SentencePiece BPE with an identity normaliser (``.model``, or a ``tokenizer.json``
made from one), and byte-level BPE cut by one of the patterns of GPT-2, cl100k and Llama-3, or Qwen.
Everything else is left to the reference by name of what is different.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import bpe_cut, convert
from .bpe_cut import CODES, CutTables
from .bpe_merge import NO_PAIR, MergeTables, encode, hash_codes, new_cache
from .kernels import kernel
from .load import FastEngine, SentencePieceEngine, Tokenizer
from .spm import Model, PieceType, normalizer_of, parse_model

SPACE: Final = "\u2581"
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FILTER_WORDS: Final = 1 << 14  # 2^20 bits: with 50 000 pairs one in twenty other pairs is kept too
_NEVER: Final = {0xC0, 0xC1, *range(0xF5, 0x100)}  # bytes that UTF-8 does not have
_STYLES: Final = {
    convert.GPT2_PATTERN: (bpe_cut.GPT2, 0),
    convert.CL100K_PATTERN: (bpe_cut.CL100K, 3),
    convert.QWEN_PATTERN: (bpe_cut.CL100K, 1),
}

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


class Unsupported(Exception):
    """The fast encoder does not do what this tokenizer does."""


@dataclass(frozen=True)
class Fast:
    """All that the fast encoder needs.

    Attributes:
        cut, merge: for the kernels.
        prefix: character put before a text, -1: none.
        space: what a space becomes.
        nfc: the reference normalises, so a text with a character that NFC might change is its.
        starts: first characters of the tokens that are looked for in the text.
        left, right: characters with the bits ``LEFT`` and ``RIGHT`` of their class.
    """

    cut: CutTables
    merge: MergeTables
    prefix: int = -1
    space: int = 0x20
    nfc: bool = False
    starts: frozenset[int] = frozenset()
    left: frozenset[int] = frozenset()
    right: frozenset[int] = frozenset()


def tables_of(tokenizer: Tokenizer) -> Fast:
    """Make the arrays.

    Raises:
        Unsupported: the tokenizer does something that the fast encoder does not.
    """
    if isinstance(tokenizer.engine, SentencePieceEngine):
        return _of_model(parse_model(tokenizer.path.read_bytes()), tokenizer.kind)
    if not isinstance(tokenizer.engine, FastEngine):
        raise Unsupported("an engine of another library")
    document = json.loads(tokenizer.engine.fast.to_str())
    model = document["model"]
    if model.get("type", "BPE") != "BPE":
        raise Unsupported(f"the model is {model['type']}, not BPE")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise Unsupported(f"the model has {name}")
    if "ByteLevel" in json.dumps(document.get("pre_tokenizer")):
        return _of_byte_level(document)
    return _of_characters(document)


# --- SentencePiece


def _of_model(model: Model, kind: str) -> Fast:
    if kind != "spm-bpe":
        raise Unsupported(f"the model is {kind}")
    normalizer = normalizer_of(model)
    if normalizer.has_charsmap or normalizer.remove_extra_whitespaces:
        raise Unsupported("the model normalises text")
    if not normalizer.escape_whitespaces:
        raise Unsupported("the model keeps spaces as they are")
    for kind_ in (PieceType.USER_DEFINED, PieceType.UNUSED):
        if any(piece.type is kind_ for piece in model.pieces):
            raise Unsupported(f"the model has pieces of type {kind_.name}")
    if any(p.type is not PieceType.NORMAL and len(p.text) == 1 for p in model.pieces):
        raise Unsupported("a special piece is a single character")
    entries = {p.text: k for k, p in enumerate(model.pieces) if p.type is PieceType.NORMAL}
    fallback = {p.text: k for k, p in enumerate(model.pieces) if p.type is PieceType.BYTE}
    # A character that is no piece still takes part in a merge whose result is one.
    unseen = sorted({c for text in entries if len(text) > 1 for c in text} - entries.keys())
    symbols = entries | {c: len(model.pieces) + k for k, c in enumerate(unseen)}
    order = sorted({-model.pieces[k].score for k in entries.values()})
    ranks = {score: rank for rank, score in enumerate(order)}
    merges = [
        (symbols[text[:at]], symbols[text[at:]], ranks[-model.pieces[index].score], index)
        for text, index in entries.items()
        for at in range(1, len(text))
        if text[:at] in symbols and text[at:] in symbols
    ]
    return Fast(
        _cut_by(entries, []),
        _merge(len(model.pieces), merges, symbols, _bytes_of(fallback), unseen),
        prefix=ord(SPACE) if normalizer.add_dummy_prefix else -1,
        space=ord(SPACE),
    )


def _of_characters(document: Mapping[str, Any]) -> Fast:
    """A ``tokenizer.json`` made from a SentencePiece BPE model."""
    model = document["model"]
    if not model.get("byte_fallback") or model.get("ignore_merges"):
        raise Unsupported("neither byte-level nor with byte fallback")
    if document.get("pre_tokenizer"):
        raise Unsupported(f"the pre-tokeniser is {document['pre_tokenizer']['type']}")
    vocab: dict[str, int] = model["vocab"]
    fallback = {f"<0x{byte:02X}>": vocab.get(f"<0x{byte:02X}>", -1) for byte in range(256)}
    merges = [
        (vocab[left], vocab[right], rank, vocab[left + right])
        for rank, (left, right) in enumerate(model["merges"])
    ]
    if {index for pair in merges for index in pair[:2]} & set(fallback.values()):
        raise Unsupported("bytes take part in merges")
    prefix, space = _spaces(document.get("normalizer"))
    made = {left + right for left, right in model["merges"]}
    entries = {text: index for text, index in vocab.items() if len(text) == 1}
    return Fast(
        _cut_by(made, patterns := _looked_for(document, space)),
        _merge(_size(document), merges, entries, _bytes_of(fallback), []),
        prefix=prefix,
        space=space,
        starts=frozenset(ord(pattern[0]) for pattern in patterns),
    )


def _spaces(normalizer: Mapping[str, Any] | None) -> tuple[int, int]:
    """The dummy prefix and the space of the normaliser of a LLaMA-like ``tokenizer.json``."""
    steps = [normalizer] if normalizer and normalizer["type"] != "Sequence" else []
    steps = steps or (normalizer or {}).get("normalizers", [])
    prefix, space = -1, 0x20
    for step in steps:
        if step == {"type": "Prepend", "prepend": SPACE} and space == 0x20:
            prefix = ord(SPACE)
        elif step == {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}:
            space = ord(SPACE)
        else:
            raise Unsupported(f"the normaliser has a step {step['type']}")
    return prefix, space


def _bytes_of(fallback: Mapping[str, int]) -> npt.NDArray[np.int32]:
    found = np.full(256, -1, np.int32)
    for byte in range(256):
        found[byte] = fallback.get(f"<0x{byte:02X}>", -1)
        if found[byte] < 0 and byte not in _NEVER:
            raise Unsupported(f"no piece for the byte 0x{byte:02X}")
    return found


# --- byte-level


def _of_byte_level(document: Mapping[str, Any]) -> Fast:
    model = document["model"]
    normalizer = document.get("normalizer")
    if normalizer and normalizer != {"type": "NFC"}:
        raise Unsupported(f"the normaliser is {normalizer['type']}")
    style, digits = _style(document["pre_tokenizer"])
    vocab: dict[str, int] = model["vocab"]
    alphabet = convert.byte_alphabet()
    byte = np.array([vocab.get(c, -1) for c in alphabet], np.int32)
    if any(byte[b] < 0 for b in range(256) if b not in _NEVER):
        raise Unsupported("a byte is no entry of the vocabulary")
    merges = [
        (vocab[left], vocab[right], rank, vocab[left + right])
        for rank, (left, right) in enumerate(model["merges"])
    ]
    known = {t: spelt for t in vocab if (spelt := convert.from_alphabet(t)) is not None}
    data = np.frombuffer(b"".join(known.values()), np.uint8)
    sizes = np.array([0, *map(len, known.values())], np.int64)
    bounds = np.cumsum(sizes)
    joined, crossed = np.zeros(_FILTER_WORDS, np.uint64), np.zeros((256, 64), np.uint8)
    flags = np.zeros((2, CODES), np.bool_)
    bpe_cut.crossings(data, bounds, joined, crossed, flags)
    patterns = _looked_for(document, 0x20)
    tables = _merge(_size(document), merges, None, byte, [])
    words = {t: i for text, i in vocab.items() if (t := _characters(known.get(text))) is not None}
    tables = _with_words(tables, words, ignore_merges=bool(model.get("ignore_merges")))
    return Fast(
        CutTables(joined, crossed, True, style, digits, *_flat(patterns)),
        tables,
        nfc=bool(normalizer),
        starts=frozenset(ord(pattern[0]) for pattern in patterns),
        left=frozenset(np.flatnonzero(flags[0]).tolist()),
        right=frozenset(np.flatnonzero(flags[1]).tolist()),
    )


def _style(pre_tokenizer: Mapping[str, Any]) -> tuple[int, int]:
    """How words are cut, and the most numerals of one."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    level = steps[-1]
    if level["type"] != "ByteLevel" or level.get("add_prefix_space") or len(steps) > 2:
        raise Unsupported("the pre-tokeniser is none of the known ones")
    own = level.get("use_regex", True)
    if len(steps) == 1:
        return (bpe_cut.GPT2, 0) if own else (bpe_cut.WHOLE, 0)
    split = steps[0]
    pattern = split.get("pattern", {}).get("Regex")
    plain = split["type"] == "Split" and split["behavior"] == "Isolated" and not split["invert"]
    if own or not plain or pattern not in _STYLES:
        raise Unsupported("the word pattern is none of the known ones")
    return _STYLES[pattern]


def _characters(data: bytes | None) -> str | None:
    try:
        return data.decode("utf-8") if data else None
    except UnicodeDecodeError:
        return None


def _with_words(
    tables: MergeTables, words: Mapping[str, int], *, ignore_merges: bool
) -> MergeTables:
    """Add single characters, and the words that are entries but that merges do not give."""
    single = tables.single
    asked = list(words) if ignore_merges else [text for text in words if len(text) == 1]
    codes, starts = _flat(asked)
    every = np.arange(len(asked) + 1)
    ids, bounds = encode(codes, starts, 2 * starts[1:], every, tables, new_cache(1 << 8, 1 << 12))
    sizes = np.diff(bounds)
    lost: list[tuple[int, int, str]] = []
    for text, size, start in zip(asked, sizes.tolist(), bounds[:-1].tolist(), strict=True):
        reached = size == 1 and ids[start] == words[text]
        if reached and len(text) == 1:
            single[ord(text)] = words[text]
        elif not reached and ignore_merges:
            codes = np.array([ord(c) for c in text], np.int32)
            lost.append((int(hash_codes(codes, 0, len(codes))), words[text], text))
    lost.sort()
    codes, starts = _flat([text for *_, text in lost])
    return tables._replace(
        hashes=np.array([key for key, *_ in lost], np.uint64),
        word_ids=np.array([index for _, index, _ in lost], np.uint32),
        word_codes=codes,
        word_bounds=starts,
    )


# --- both


def _size(document: Mapping[str, Any]) -> int:
    added = [token["id"] for token in document.get("added_tokens", [])]
    ids: list[int] = [*document["model"]["vocab"].values(), *added]
    return 1 + max(ids)


def _looked_for(document: Mapping[str, Any], space: int) -> list[str]:
    """Tokens that the reference finds in the text itself: added ones that are not special."""
    found = []
    for token in document.get("added_tokens", []):
        if token["special"]:
            continue
        if token["normalized"] and document.get("normalizer"):
            raise Unsupported(f"the token {token['content']!r} is looked for in normalised text")
        found.append(token["content"].replace(" ", chr(space)))
    return found


def _flat(texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], I64]:
    """Characters back to back, and where each text starts."""
    joined = "".join(texts).encode("utf-32-le")
    sizes = np.array([len(text) for text in texts], np.int64)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
    return np.frombuffer(joined, np.int32), bounds


def _cut_by(entries: Iterable[str], patterns: Sequence[str]) -> CutTables:
    joined = np.zeros(_FILTER_WORDS, np.uint64)
    codes, bounds = _flat(list(entries))
    bpe_cut.neighbours(codes, bounds, joined)
    crossed = np.zeros((256, 64), np.uint8)
    return CutTables(joined, crossed, False, bpe_cut.WHOLE, 0, *_flat(patterns))


def _merge(
    size: int,
    merges: Sequence[tuple[int, int, int, int]],
    characters: Mapping[str, int] | None,
    byte: npt.NDArray[np.int32],
    unseen: Sequence[str],
) -> MergeTables:
    """The arrays of merges (left, right, rank, result); symbols are characters, or bytes."""
    table = np.array(merges, np.int64).reshape(-1, 4)
    slots = 1 << max(4, int(2 * len(table)).bit_length())
    pairs = np.full(2 * slots, NO_PAIR, np.uint64)
    _insert(table, pairs)
    single = np.full(CODES, -1, np.int32)
    for text, symbol in (characters or {}).items():
        if len(text) == 1:
            single[ord(text)] = symbol
    none = np.zeros(0, np.uint64)
    return MergeTables(
        pairs, single, byte, np.array([ord(c) for c in unseen], np.int32), size,
        characters is None, none, none.astype(np.uint32), none.astype(np.int32),
        np.zeros(1, np.int64),
    )  # fmt: skip


@kernel
def _insert(merges: npt.NDArray[np.int64], pairs: U64) -> None:
    """Put the merges into the hash table; of one that stands twice the last counts."""
    mask = np.uint64(len(pairs) // 2 - 1)
    for k in range(len(merges)):
        key = np.uint64(merges[k, 0]) << np.uint64(32) | np.uint64(merges[k, 1])
        at = (key * _GOLDEN >> np.uint64(31)) & mask
        while pairs[2 * at] != NO_PAIR and pairs[2 * at] != key:
            at = (at + np.uint64(1)) & mask
        pairs[2 * at] = key
        pairs[2 * at + 1] = np.uint64(merges[k, 2]) << np.uint64(32) | np.uint64(merges[k, 3])
