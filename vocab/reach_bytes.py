"""Which entries of a byte-level vocabulary can never be produced.

Three things must hold: the merges make the entry from its bytes (or the vocabulary takes a whole
word that is an entry as it is: ``ignore_merges``), the word pattern lets its text stand in one
word, and the normaliser leaves it alone. Entries that are no whole characters are tried inside
characters that hold them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Final

from .agreement import fast_of
from .convert import bpe_parts
from .derive import Deriver
from .patient import Patient, as_base
from .reach_spm import Dead

# Bytes that no UTF-8 text holds: their entries cannot come out and are not ill for it.
NEVER_IN_UTF8: Final = frozenset((0xC0, 0xC1, *range(0xF5, 0x100)))
# Neighbours in which a text may stand as part of a word, or as a word of its own.
CONTEXTS: Final = (
    *(("a", ""), ("", "a"), ("a", "a"), (" ", ""), ("\n", ""), ("", "\n"), ("", " "), (" ", " ")),
    *((".", ""), ("", "."), ("a", " "), ("a", "\n"), ("", " a"), ("a ", ""), ("1", ""), ("", "1")),
    *(("中", ""), ("", "中"), ("a", "\na"), ("'", ""), ("", "'"), ("", "\n\na"), ("", "  a")),
    *(("(", ""), ("", "("), ("\t", ""), ("", "\t"), ("\u00a0", ""), ("", "\u3000")),
)
# Characters to try for an entry that is a part of one.
COMPLETIONS: Final = 4000
_LEADS: Final = (0xC3, 0xD0, 0xE0, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE8, 0xE9, 0xEC, 0xEF)


@dataclass(frozen=True)
class ByteReach:
    """What was found out about the entries of a byte-level vocabulary.

    Attributes:
        dead: entries that can never be produced.
        whole_words: ids that merges do not make, alive as whole words through ``ignore_merges``.
        not_in_text: ids of bytes that no UTF-8 text holds.
        not_seen: ids of cut characters that came out of no character that was tried.
    """

    dead: tuple[Dead, ...]
    whole_words: tuple[int, ...]
    not_in_text: tuple[int, ...]
    not_seen: tuple[int, ...]


def byte_reach(patient: Patient) -> ByteReach:
    """Look at every entry of a byte-level vocabulary."""
    surfaces = patient.surfaces()
    ids = patient.probe_ids()
    never = [i for i in ids if NEVER_IN_UTF8 & set(surfaces[i])]
    ids = sorted(set(ids) - set(never))
    texts = {i: text for i in ids if (text := text_of(surfaces[i])) is not None}
    cut = [i for i in ids if i not in texts]
    wrong = _silent(patient, texts)
    judge = _Judge(patient, surfaces)
    dead = [judge.reason(i, texts[i]) for i in sorted(wrong)]
    merged = judge.not_merged(ids)
    dead_ids = {entry.id for entry in dead}
    whole = [i for i in merged if i in texts and i not in dead_ids]
    not_seen = _cut_characters(patient, cut, surfaces)
    dead += [
        Dead(i, patient.pieces[i], "no derivation", "bytes of a character; no merges make them")
        for i in sorted(set(not_seen) & set(merged))
    ]
    return ByteReach(
        dead=tuple(sorted(dead, key=lambda entry: entry.id)),
        whole_words=tuple(whole),
        not_in_text=tuple(never),
        not_seen=tuple(sorted(set(not_seen) - set(merged))),
    )


def text_of(surface: bytes) -> str | None:
    """The text of an entry, ``None`` if its bytes are no whole characters."""
    try:
        return surface.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _silent(patient: Patient, texts: Mapping[int, str]) -> set[int]:
    """The ids that come out of their text neither alone nor between any neighbours."""
    encode = patient.bare_encode()
    waiting = list(texts)
    for left, right in (("", ""), *CONTEXTS):
        found = encode([left + texts[i] + right for i in waiting])
        waiting = [i for i, ids in zip(waiting, found, strict=True) if i not in ids]
        if not waiting:
            break
    return set(waiting)


def _cut_characters(patient: Patient, ids: Sequence[int], surfaces: Sequence[bytes]) -> list[int]:
    """Those entries of cut characters that come out of none of the characters tried."""
    encode = patient.encode()
    missing = []
    for index in ids:
        texts = completions(surfaces[index])
        # Most come out of the first few.
        count = 16
        while some := list(islice(texts, count)):
            if any(index in out for out in encode(some)):
                break
            count *= 4
        else:
            missing.append(index)
    return missing


def completions(fragment: bytes, limit: int = COMPLETIONS) -> Iterator[str]:
    """Texts that hold a fragment of UTF-8, cut characters at its ends made whole in many ways."""
    heads: list[bytes] = [b""]
    lead = next((k for k, byte in enumerate(fragment) if byte & 0xC0 != 0x80), len(fragment))
    if lead:
        heads = [bytes(h) for n in range(1, 4) for h in _heads(n)]
    count = 0
    for head in heads:
        for tail in _tails(head + fragment):
            try:
                text = (head + fragment + tail).decode("utf-8")
            except UnicodeDecodeError:
                continue
            yield text
            count += 1
            if count >= limit:
                return


def _heads(length: int) -> Iterator[tuple[int, ...]]:
    """Beginnings of characters, some bytes long."""
    if length == 1:
        yield from ((byte,) for byte in range(0xC2, 0xF0))
    elif length == 2:
        yield from product((*_LEADS, 0xF0), range(0x80, 0xC0))
    else:
        yield from product((0xF0,), (0x9F, 0xA0, 0x90, 0x9D), range(0x80, 0xC0))


def _tails(data: bytes) -> Iterator[bytes]:
    """What may complete the last character of some bytes."""
    at = len(data) - 1
    while at > 0 and data[at] & 0xC0 == 0x80:
        at -= 1
    need = {0xC: 1, 0xD: 1, 0xE: 2, 0xF: 3}.get(data[at] >> 4, 0) - (len(data) - 1 - at)
    if need <= 0:
        yield b""
    elif need == 1:
        yield from (bytes((byte,)) for byte in range(0x80, 0xC0))
    else:
        middle = range(0x80, 0xC0, 1 if need == 2 else 4)
        for rest in product(middle, *([range(0x80, 0xC0, 8)] * (need - 1))):
            yield bytes(rest)


class _Judge:
    """The merges of the vocabulary, to say why an entry does not come out."""

    def __init__(self, patient: Patient, surfaces: Sequence[bytes]) -> None:
        self.patient, self.surfaces = patient, surfaces
        self.deriver = Deriver(as_base(patient))
        self.encode = patient.encode()
        fast = fast_of(patient.document)
        self.splitter, self.normalizer = fast.pre_tokenizer, fast.normalizer
        merges = patient.document["model"]["merges"]
        self.made = {left + right for left, right in merges}

    def not_merged(self, ids: Sequence[int]) -> list[int]:
        """The ids that the merges do not make from their bytes."""
        return [i for i in ids if len(self.deriver.parts(self.surfaces[i])) > 1]

    def reason(self, index: int, text: str) -> Dead:
        out = self.encode([text])[0]
        parts = " ".join(repr(self.surfaces[i].decode(errors="replace")) for i in out)
        detail = f"comes out as {parts}"
        spelling = self.patient.pieces[index]
        if self.normalizer is not None:
            made = [self.normalizer.normalize_str(left + text + right) for left, right in CONTEXTS]
            if not any(text in normal for normal in made):
                normal = self.normalizer.normalize_str(text)
                return Dead(index, text, "normaliser", f"{_codes(text)} becomes {_codes(normal)}")
        if self._always_split(text):
            return Dead(index, text, "pre-tokenizer", f"{detail}: the word pattern cuts it")
        if spelling not in self.made:
            return Dead(index, text, "no derivation", f"{detail}: no merge makes it")
        return Dead(index, text, "shadowed", f"{detail}: other merges come first")

    def _always_split(self, text: str) -> bool:
        if self.splitter is None:
            return False
        for left, right in (("", ""), *CONTEXTS):
            start, end = len(left), len(left) + len(text)
            words = self.splitter.pre_tokenize_str(left + text + right)
            if any(a <= start and end <= b for _, (a, b) in words):
                return False
        return True


def _codes(text: str) -> str:
    """A text with its code points: many that normalisers change look alike."""
    return f"{text} ({' '.join(f'U+{ord(c):04X}' for c in text)})"


def two_part_faults(patient: Patient, surfaces: Sequence[bytes]) -> list[int]:
    """Ids whose bytes, merged by all lower ranks, do not end in two parts (tiktoken's order)."""
    ranks = dict(patient.ranks or _ranks_of(patient.document["model"], patient, surfaces))
    return [
        rank
        for token, rank in ranks.items()
        if len(token) > 1 and len(bpe_parts(ranks, token, rank)) != 2
    ]


def _ranks_of(
    model: Mapping[str, Any], patient: Patient, surfaces: Sequence[bytes]
) -> dict[bytes, int]:
    """Entries by id as if the ids were ranks, special tokens left out."""
    special = set(patient.special())
    found = {
        surfaces[index]: index for piece, index in model["vocab"].items() if piece not in special
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))
