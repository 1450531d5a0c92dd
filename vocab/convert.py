"""Other vocabulary formats turned into ``tokenizer.json`` documents that `tokenizers` runs.

tiktoken ranks: a token is formed by any adjacent pair whose concatenation has the lowest rank.
``tokenizer.json`` wants named pairs, so each token gets the one pair that byte-pair encoding makes
from its bytes; tokens that no two parts make (Llama-3 has 678) get all their splits, and
``ignore_merges`` lets a whole word that is a token be taken as it is, as tiktoken does.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from yanmo.errors import DataError, UsageError
from yanmo.files import read_json

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K_PATTERN = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _TAIL
QWEN_PATTERN = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _TAIL
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K_PATTERN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Family:
    """What a rank file leaves out: the word pattern, the special tokens, the normaliser."""

    name: str
    pattern: str
    special: dict[str, int]
    nfc: bool = False


def _llama3_special() -> dict[str, int]:
    named = {
        0: "<|begin_of_text|>",
        1: "<|end_of_text|>",
        6: "<|start_header_id|>",
        7: "<|end_header_id|>",
        9: "<|eot_id|>",
    }
    spare = iter(range(256))
    names = [named.get(k) or f"<|reserved_special_token_{next(spare)}|>" for k in range(256)]
    return {name: 128000 + k for k, name in enumerate(names)}


def _qwen_special() -> dict[str, int]:
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    names += [f"<|extra_{k}|>" for k in range(205)]
    return {name: 151643 + k for k, name in enumerate(names)}


# Keyed by the number of ranks. Sources: openai/tiktoken tiktoken_ext/openai_public.py,
# meta-llama/llama3 llama/tokenizer.py, QwenLM/Qwen tokenization_note.md.
FAMILIES: dict[int, Family] = {
    50256: Family("gpt2", GPT2_PATTERN, {"<|endoftext|>": 50256}),
    100256: Family(
        "cl100k",
        CL100K_PATTERN,
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    128000: Family("llama3", CL100K_PATTERN, _llama3_special()),
    151643: Family("qwen", QWEN_PATTERN, _qwen_special(), nfc=True),
    199998: Family("o200k", O200K_PATTERN, {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
}


@cache
def byte_alphabet() -> tuple[str, ...]:
    """The printable character that stands for each byte in byte-level vocabularies.

    Source: openai/gpt-2 src/encoder.py (bytes_to_unicode): printable Latin-1 stands for itself,
    the other 68 bytes for U+0100 and up, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return tuple(chr(b) if b in printable else chr(next(spare)) for b in range(256))


def to_alphabet(data: bytes) -> str:
    """Spell bytes in the byte-level alphabet."""
    alphabet = byte_alphabet()
    return "".join(alphabet[byte] for byte in data)


@cache
def _alphabet_bytes() -> dict[str, int]:
    return {character: byte for byte, character in enumerate(byte_alphabet())}


def from_alphabet(piece: str) -> bytes | None:
    """The bytes behind a byte-level spelling, or ``None`` if it is not one (an added token)."""
    table = _alphabet_bytes()
    try:
        return bytes(table[character] for character in piece)
    except KeyError:
        return None


def read_ranks(file: Path) -> dict[bytes, int]:
    """Read a tiktoken rank file: ``base64 rank`` lines.

    Raises:
        DataError: a line is not of that form, or a rank or token stands twice.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise DataError("not `base64 rank`", where=f"{file}:{number}", value=line) from None
    if len(set(ranks.values())) != len(ranks):
        raise DataError("a rank stands twice", where=file)
    return ranks


def bpe_parts(ranks: dict[bytes, int], token: bytes, limit: int) -> list[bytes]:
    """Byte-pair encode ``token`` with the merges of rank below ``limit``."""
    parts = [token[k : k + 1] for k in range(len(token))]
    get = ranks.get
    pairs = [get(a + b, limit) for a, b in pairwise(parts)]
    while pairs:
        best = min(pairs)
        if best >= limit:
            break
        at = pairs.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        del pairs[at]
        if at:
            pairs[at - 1] = get(parts[at - 1] + parts[at], limit)
        if at < len(pairs):
            pairs[at] = get(parts[at] + parts[at + 1], limit)
    return parts


def merges_of_ranks(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Merges in rank order that give the same tokens as the ranks (see the module's text)."""
    merges: list[tuple[bytes, bytes]] = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        parts = bpe_parts(ranks, token, rank)
        if len(parts) == 2:
            merges.append((parts[0], parts[1]))
            continue
        splits = [(token[:k], token[k:]) for k in range(1, len(token))]
        known = [pair for pair in splits if pair[0] in ranks and pair[1] in ranks]
        merges += sorted(known, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return merges


def tiktoken_json(file: Path) -> dict[str, Any]:
    """Build a ``tokenizer.json`` document from a tiktoken rank file of a known family.

    Raises:
        UsageError: the number of ranks is that of no known family, so its word pattern and
            special tokens are unknown.
    """
    ranks = read_ranks(file)
    family = FAMILIES.get(len(ranks))
    if family is None:
        known = ", ".join(f"{f.name} ({n})" for n, f in FAMILIES.items())
        raise UsageError(
            "unknown tiktoken family: a rank file does not hold its word pattern",
            where=file,
            value=f"{len(ranks)} ranks",
            fix=f"Known by number of ranks: {known}. Else give a tokenizer.json.",
        )
    return byte_level_json(
        vocab={to_alphabet(token): rank for token, rank in ranks.items()},
        merges=[[to_alphabet(a), to_alphabet(b)] for a, b in merges_of_ranks(ranks)],
        family=family,
    )


def byte_level_json(
    *, vocab: dict[str, int], merges: list[list[str]], family: Family, ignore_merges: bool = True
) -> dict[str, Any]:
    """A byte-level BPE ``tokenizer.json`` document.

    Args:
        vocab: byte-level spelling to id.
        merges: pairs of spellings, first merge first.
        family: word pattern, special tokens and normaliser.
        ignore_merges: take a whole word that is a token as it is (tiktoken's rule).
    """
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    split = {
        "type": "Split",
        "pattern": {"Regex": family.pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(name, index) for name, index in family.special.items()],
        "normalizer": {"type": "NFC"} if family.nfc else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": ignore_merges,
            "vocab": {**vocab, **family.special},
            "merges": merges,
        },
    }


def added_token(content: str, index: int, *, special: bool = True) -> dict[str, Any]:
    """An entry of ``added_tokens``: matched as written, no stripping."""
    return {
        "id": index,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def pin_added_tokens(document: dict[str, Any]) -> dict[str, Any]:
    """Put the added tokens of a BPE document into its vocabulary too, under their ids.

    `tokenizers` ignores the ids in ``added_tokens`` and numbers what the vocabulary lacks from its
    size on: with entries appended behind them, or a hole before them, special tokens would silently
    move. What the vocabulary holds keeps its id.
    """
    model = document["model"]
    added = {token["content"]: token["id"] for token in document["added_tokens"]}
    return {**document, "model": {**model, "vocab": {**model["vocab"], **added}}}


def listed_merges(document: dict[str, Any]) -> dict[str, Any]:
    """A byte-pair document with each merge as a list of two; older files write ``"left right"``."""
    model = document["model"]
    merges = [pair.split(" ") if isinstance(pair, str) else list(pair) for pair in model["merges"]]
    return {**document, "model": {**model, "merges": merges}}


def pieces_by_id(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Every entry of a document by id, added tokens included; ``""`` where no entry has the id."""
    by_id = {index: piece for piece, index in document["model"]["vocab"].items()}
    by_id |= {token["id"]: token["content"] for token in document["added_tokens"]}
    return tuple(by_id.get(index, "") for index in range(max(by_id) + 1))


def vocab_merges_json(vocab_file: Path, merges_file: Path) -> dict[str, Any]:
    """Build a document from GPT-2's ``vocab.json`` and ``merges.txt``."""
    vocab: dict[str, int] = read_json(vocab_file)
    lines = merges_file.read_text(encoding="utf-8").split("\n")
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    for number, pair in enumerate(merges, 1):
        if len(pair) != 2:
            raise DataError("a merge is not two pieces", where=merges_file, value=(number, pair))
    alphabet = set(byte_alphabet())
    special = {name: index for name, index in vocab.items() if not set(name) <= alphabet}
    special |= {name: vocab[name] for name in ("<|endoftext|>",) if name in vocab}
    family = Family("vocab.json", GPT2_PATTERN, special)
    return byte_level_json(vocab=vocab, merges=merges, family=family, ignore_merges=False)


def wordpiece_json(file: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Build a document from BERT's ``vocab.txt``.

    Args:
        file: one piece a line; CRLF copies exist and are read as LF.
        config: ``tokenizer_config.json`` if there is one. Without ``do_lower_case`` in it, a
            vocabulary with no Latin capital of its own is taken for a lower-casing one.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"not a WordPiece vocabulary: not UTF-8 ({error})", where=file) from None
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    vocab = {piece: index for index, piece in enumerate(lines)}
    if "[UNK]" not in vocab or len(vocab) != len(lines):
        raise DataError("not a WordPiece vocabulary: no [UNK], or a piece twice", where=file)
    cased = any(piece.isascii() and piece.isalpha() and piece != piece.lower() for piece in vocab)
    names = [piece for piece in lines if piece.startswith("[") and piece.endswith("]")]
    special = [name for name in names if name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(name, vocab[name]) for name in special],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": bool(config.get("tokenize_chinese_chars", True)),
            "strip_accents": config.get("strip_accents"),
            "lowercase": bool(config.get("do_lower_case", not cased)),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }
