"""A byte-level ``tokenizer.json`` as tiktoken ranks, where ranks say the same as its merges.

tiktoken has no list of merges: any two neighbours whose concatenation is an entry merge, the lowest
rank first, and a word that is an entry is taken as it is. The rank is the id, so the merges must
stand in the order of the ids. The word pattern, the special tokens and the normaliser are no part
of a rank file; they are written beside it.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from yanmo.errors import UsageError

from .agreement import Encode, fast_of
from .convert import GPT2_PATTERN, bpe_parts, from_alphabet
from .patient import Patient
from .reach_bytes import ByteReach

_NEVER: Final = 1 << 62


@dataclass(frozen=True)
class Ranks:
    """What tiktoken needs: ranks, the pattern that cuts words, special tokens, and NFC or not."""

    ranks: Mapping[bytes, int]
    pattern: str
    special: Mapping[str, int]
    nfc: bool

    def file(self) -> bytes:
        """The rank file: ``base64 rank`` lines in order of rank."""
        ordered = sorted(self.ranks.items(), key=lambda item: item[1])
        lines = (b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in ordered)
        return b"".join(lines)

    def settings(self) -> dict[str, Any]:
        """What stands beside it, the arguments of ``tiktoken.Encoding``."""
        return {
            "pat_str": self.pattern,
            "special_tokens": dict(self.special),
            "normalize_first": "NFC" if self.nfc else None,
        }


def tiktoken_ranks(patient: Patient, reach: ByteReach) -> Ranks:
    """Turn a byte-level vocabulary into ranks.

    Args:
        patient: the opened tokenizer.
        reach: what is known of its entries.

    Raises:
        UsageError: ranks cannot express it; the reason is named.
    """
    document = patient.document
    special = {token["content"]: int(token["id"]) for token in document["added_tokens"]}
    vocab = {p: int(i) for p, i in document["model"]["vocab"].items() if p not in special}
    ranks = {}
    for piece, index in vocab.items():
        surface = from_alphabet(piece)
        if surface is None:
            raise _refusal("an entry is not spelled in bytes", piece)
        ranks[surface] = index
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise _refusal("a byte has no entry", missing[0])
    _require_order(document["model"]["merges"], vocab)
    unmade = [d for d in reach.dead if d.reason in ("no derivation", "shadowed")]
    if unmade and not document["model"].get("ignore_merges"):
        raise _refusal("an entry is never produced, and tiktoken would take it", unmade[0].piece)
    return Ranks(ranks, _pattern(document), special, _nfc(document))


def _refusal(why: str, value: object = None) -> UsageError:
    return UsageError(
        f"it cannot be written as tiktoken ranks: {why}",
        value=value,
        fix="`--to hf` writes a folder that transformers and tokenizers read.",
    )


def _require_order(merges: Sequence[Sequence[str]], vocab: Mapping[str, int]) -> None:
    highest, last = -1, ""
    for left, right in merges:
        index = vocab.get(left + right, -1)
        if index < highest:
            raise _refusal("merges do not stand in the order of ids", [last, left + right])
        highest, last = index, left + right


def _pattern(document: Mapping[str, Any]) -> str:
    words = document.get("pre_tokenizer") or {}
    steps = words.get("pretokenizers", [words])
    patterns = [step["pattern"].get("Regex") for step in steps if step.get("type") == "Split"]
    byte = [step for step in steps if step.get("type") == "ByteLevel"]
    if len(byte) != 1 or byte[0].get("add_prefix_space") or len(steps) != len(patterns) + 1:
        raise _refusal("its pre-tokenizer is no single pattern", [s.get("type") for s in steps])
    if not patterns and byte[0].get("use_regex", True):
        return GPT2_PATTERN
    if len(patterns) != 1 or patterns[0] is None or byte[0].get("use_regex", True):
        raise _refusal("it cuts words by more than one pattern", patterns)
    return str(patterns[0])


def _nfc(document: Mapping[str, Any]) -> bool:
    normalizer = document.get("normalizer")
    if normalizer not in (None, {"type": "NFC"}):
        raise _refusal("its normalizer is not NFC", normalizer["type"])
    return normalizer is not None


def rank_encode(ranks: Ranks, patient: Patient) -> Encode:
    """tiktoken's rule in plain Python, on the words that the tokenizer's own pattern cuts.

    Source: openai/tiktoken, src/lib.rs (byte_pair_encode).
    """
    fast = fast_of(patient.document)
    known: dict[str, list[int]] = {}
    table = dict(ranks.ranks)

    def word_ids(word: str) -> list[int]:
        if word not in known:
            data = from_alphabet(word) or b""
            whole = table.get(data)
            parts = [data] if whole is not None else bpe_parts(table, data, _NEVER)
            known[word] = [table[part] for part in parts]
        return known[word]

    def encode(texts: list[str]) -> list[list[int]]:
        found = []
        for text in texts:
            normal = fast.normalizer.normalize_str(text) if fast.normalizer else text
            words = fast.pre_tokenizer.pre_tokenize_str(normal)
            found.append([index for word, _ in words for index in word_ids(word)])
        return found

    return encode
