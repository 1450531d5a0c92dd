"""From a text column to ids, fast where it is proven equal: the door to the encoding kernels.

The reference is the tokenizer's own library. The kernels (``bpe_cut``, ``bpe_merge``) take a whole
Arrow column, make no Python object of a text or an id, and give back one array. They are used for a
column only after their ids were equal to the reference's on a sample of that column, and texts that
hold what they do not handle go to the reference one by one.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.documents import chunks, text_buffer

from . import bpe_cut
from .bpe_merge import encode, new_cache
from .bpe_tables import Fast, Unsupported, tables_of
from .load import Differs, Tokenizer

Ids = npt.NDArray[np.uint32]
Bounds = npt.NDArray[np.int64]

SAMPLE_SHARE: Final = 100  # one byte in so many is encoded by both engines
SAMPLE_BYTES: Final = 4096  # at most so much of one text, cut between characters
_CHUNK_BYTES: Final = 1 << 18  # text in the kernels at a time, near the processor's cache
_CACHE_SLOTS: Final = 1 << 20  # 16 MiB
_CACHE_POOL: Final = 1 << 23  # 32 MiB
_LETTER, _NUMBER, _BLANK = r"\p{L}", r"\p{N}", r"\s"
# Marks that a canonical composition cannot take in: variation selectors, enclosing marks.
_SELECTORS: Final = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
_JAMO: Final = range(0x1100, 0x1200)
_LONG_S: Final = 0x17F  # (?i:'s) matches it too


@dataclass
class Proof:
    """What was compared, and what went to the reference.

    Attributes:
        sampled_texts, sampled_bytes: encoded by both engines, with equal ids.
        handed_texts: texts that the reference encoded: they hold what the kernels leave to it, or
            nothing of their column could be compared.
    """

    sampled_texts: int = 0
    sampled_bytes: int = 0
    handed_texts: int = 0


@dataclass
class ColumnEncoder:
    """Encodes text columns with one tokenizer.

    Attributes:
        tokenizer: the reference.
        proof: what has been seen so far.
    """

    tokenizer: Tokenizer
    proof: Proof = field(default_factory=Proof)

    @cached_property
    def _tables(self) -> Fast | str:
        try:
            return tables_of(self.tokenizer)
        except Unsupported as reason:
            return str(reason)

    @property
    def why_not(self) -> str | None:
        """Why the kernels cannot take this tokenizer; ``None``: they can."""
        return self._tables if isinstance(self._tables, str) else None

    @cached_property
    def _kernels(self) -> "_Kernels":
        assert isinstance(self._tables, Fast)
        return _Kernels(self._tables)

    def warm(self, text: str) -> None:
        """Make the tables and run the kernels; the reference is not asked (it starts threads)."""
        if not self.why_not:
            self._kernels.encode(pa.array([text], pa.large_string()))

    def encode(self, texts: pa.Array) -> tuple[Ids, Bounds]:
        """Encode a column, without any special token.

        Args:
            texts: ``string`` or ``large_string``.

        Returns:
            The ids of all texts back to back (uint32), and their bounds (int64 ``[texts + 1]``).

        Raises:
            Differs: a sample of the column has other ids by the reference.
        """
        if self.why_not:
            return self.reference(texts)
        texts.validate(full=True)  # the kernels rely on UTF-8
        sample = _sample(texts)
        if sample and not self._prove(pa.array(sample, pa.large_string())):
            self.proof.handed_texts += len(texts)
            return self.reference(texts)
        return self._fast(texts)

    def _prove(self, sample: pa.Array) -> int:
        """Encode a sample with both engines; how many texts of it the kernels take.

        Raises:
            Differs: their ids are others.
        """
        ids, bounds, handed = self._kernels.encode(sample)
        mine = sample.filter(pa.array(~handed)).to_pylist()
        _compare(mine, (ids, _bounds(np.diff(bounds)[~handed])), self._ask(mine))
        self.proof.sampled_texts += len(mine)
        self.proof.sampled_bytes += sum(len(text.encode()) for text in mine)
        return len(mine)

    def start(self) -> None:
        """Forget what has been seen: another column begins."""
        self.proof = Proof()

    def told(self, failed: Differs | None = None) -> dict[str, Any]:
        """Which engine ran, and why, since the last :meth:`start`.

        Args:
            failed: the reason why everything was encoded anew by the reference.

        Returns:
            ``{"engine": "kernels" or the library's name, "reference", "why", "sampled_texts",
            "sampled_bytes", "handed_texts"}``; the last three count texts of the kernels.
        """
        why = str(failed) if failed else self.why_not
        library = self.tokenizer.engine.library
        seen = Proof() if why else self.proof
        return {"engine": library if why else "kernels", "reference": library, "why": why,
                **asdict(seen)}  # fmt: skip

    def _fast(self, texts: pa.Array) -> tuple[Ids, Bounds]:
        ids, bounds, handed = self._kernels.encode(texts)
        rows = np.flatnonzero(handed)
        self.proof.handed_texts += len(rows)
        if not len(rows):
            return ids, bounds
        theirs, sizes = self.reference(texts.take(pa.array(rows)))
        lengths = np.diff(bounds)
        lengths[rows] = np.diff(sizes)
        ends = _bounds(lengths)
        whole = np.empty(ends[-1], np.uint32)
        from_them = np.repeat(handed, lengths)
        whole[from_them], whole[~from_them] = theirs, ids
        return whole, ends

    def reference(self, texts: pa.Array) -> tuple[Ids, Bounds]:
        """Encode a column with the tokenizer's own library; the result as of :meth:`encode`."""
        return self._ask(texts.to_pylist())

    def _ask(self, texts: list[str]) -> tuple[Ids, Bounds]:
        arrays = self.tokenizer.encode_batch(texts)
        sizes = np.fromiter((len(array) for array in arrays), np.int64, len(arrays))
        return np.concatenate([np.zeros(0, np.uint32), *arrays]), _bounds(sizes)


class _Kernels:
    """The kernels with their tables, classes of characters and cache."""

    def __init__(self, fast: Fast) -> None:
        self.fast = fast
        # A class is given to a character when it first occurs.
        asked = fast.cut.byte_level or bool(fast.starts)
        self.classes = np.full(bpe_cut.CODES, bpe_cut.UNKNOWN if asked else 0, np.uint8)
        self.cache = new_cache(_CACHE_SLOTS, _CACHE_POOL)

    def encode(self, texts: pa.Array) -> tuple[Ids, Bounds, npt.NDArray[np.bool_]]:
        buffer, offsets = text_buffer(texts)
        found, sizes, handed = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)], []
        for rows in chunks(offsets, chunk_bytes=_CHUNK_BYTES):
            some = offsets[rows.start : rows.stop + 1]
            codes, bounds, new = bpe_cut.decode(
                buffer, some, self.fast.prefix, self.fast.space, self.classes
            )
            if len(new):
                self.classes[new] = _classes(new, self.fast)
            segments, ends, foreign = bpe_cut.cut(codes, bounds, self.classes, self.fast.cut)
            ids, at = encode(codes, bounds, segments, ends, self.fast.merge, self.cache)
            found.append(ids)
            sizes.append(np.diff(at))
            handed.append(foreign)
        flags = np.concatenate([np.zeros(0, np.bool_), *handed])
        return np.concatenate(found), _bounds(np.concatenate(sizes)), flags


def _bounds(sizes: Bounds) -> Bounds:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def _sample(texts: pa.Array) -> list[str]:
    """Windows of the texts, evenly spaced over all their bytes."""
    buffer, offsets = text_buffer(texts)
    total = int(offsets[-1] - offsets[0])
    windows = -(-total // (SAMPLE_SHARE * SAMPLE_BYTES))
    found = []
    for k in range(windows):
        at = int(offsets[0]) + (2 * k + 1) * total // (2 * windows)
        row = int(np.searchsorted(offsets, at, side="right")) - 1
        at = max(int(offsets[row]), min(at, int(offsets[row + 1]) - SAMPLE_BYTES))
        data = buffer[at : min(int(offsets[row + 1]), at + SAMPLE_BYTES)].tobytes()
        found.append(data.decode("utf-8", "ignore"))  # cut characters at the ends are left out
    return found


def _compare(sample: Sequence[str], mine: tuple[Ids, Bounds], theirs: tuple[Ids, Bounds]) -> None:
    if np.array_equal(mine[1], theirs[1]) and np.array_equal(mine[0], theirs[0]):
        return
    for k, text in enumerate(sample):
        one, other = (ids[at[k] : at[k + 1]] for ids, at in (mine, theirs))
        if not np.array_equal(one, other):
            raise Differs(f"other ids for {text[:40]!r}…")


def _classes(new: npt.NDArray[np.int32], fast: Fast) -> npt.NDArray[np.uint8]:
    """Classes of characters, by the regular expressions and the normaliser of the reference."""
    characters = [chr(code) for code in new.tolist()]
    found = np.zeros(len(new), np.uint8)
    if fast.cut.style != bpe_cut.WHOLE:
        kinds = {bpe_cut.LETTER: _LETTER, bpe_cut.NUMBER: _NUMBER, bpe_cut.SPACE: _BLANK}
        for kind, pattern in kinds.items():
            matched = _matching(pattern, characters)
            found[[c in matched for c in characters]] = kind
        found[[c in "\r\n" for c in characters]] = bpe_cut.LINE
    if fast.cut.style == bpe_cut.CL100K:
        found[new == _LONG_S] |= bpe_cut.HAND
    if fast.nfc:
        found[[not _inert(c) for c in characters]] |= bpe_cut.HAND
    for bit, members in (
        (bpe_cut.START, fast.starts), (bpe_cut.LEFT, fast.left), (bpe_cut.RIGHT, fast.right),
    ):  # fmt: skip
        found[[code in members for code in new.tolist()]] |= bit
    return found


def _matching(pattern: str, characters: Sequence[str]) -> set[str]:
    """Which characters a class of the regular expressions of `tokenizers` holds."""
    from tokenizers import Regex, pre_tokenizers

    others = pattern.swapcase() if pattern == _BLANK else pattern.replace("p", "P")
    split = pre_tokenizers.Split(Regex(others), "removed")
    return set("".join(piece for piece, _ in split.pre_tokenize_str("".join(characters))))


def _inert(character: str) -> bool:
    """Whether NFC leaves a text of such characters as it is, in every version of Unicode."""
    code = ord(character)
    if code < 0x300 or code in _SELECTORS:
        return True
    category = unicodedata.category(character)
    if (category[0] == "M" and category != "Me") or category == "Cn" or code in _JAMO:
        return False
    return unicodedata.normalize("NFC", character) == character
