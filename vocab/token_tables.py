"""What each id of a vocabulary is, as arrays: so that a count of ids answers most questions.

With ``f[id]`` the number of times an id was written, byte fallback, Han tokens by length and Han
characters that stay whole are sums over ``f``; no loop over tokens is needed.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .charsets import HAN, is_han
from .load import Ids, Tokenizer
from .surfaces import pieces_of, surfaces

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
LONGEST = 5  # Han tokens of so many characters and more are counted together
# Han as everywhere here, and compatibility forms: NFC turns each of them into one Han character,
# so that text and tokens count the same with and without it.
_ALSO_HAN = f"{HAN}\uf900-\ufaff\U0002f800-\U0002fa1f"
_HAN = re.compile(f"[{_ALSO_HAN}]+")
_RANGES = sorted((ord(found[0]), ord(found[-1])) for found in re.findall(".-.|.", _ALSO_HAN))


def points_of(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text, uint32."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def is_han_array(points: npt.NDArray[np.uint32]) -> Bools:
    """Which code points are Han, compatibility forms included."""
    found = np.zeros(len(points), np.bool_)
    candidates = np.flatnonzero(points >= _RANGES[0][0])
    some = points[candidates]
    for low, high in _RANGES:
        found[candidates] |= (some >= low) & (some <= high)
    return found


def count_han(text: str) -> int:
    """How many characters of a text are Han, compatibility forms included."""
    return int(is_han_array(points_of(text)).sum())


@dataclass(frozen=True)
class TokenTables:
    """Facts by id; every array has one entry an id.

    Attributes:
        partial: the id is a raw byte (``<0xE4>``) or its bytes are no whole UTF-8 text, bool.
        ascii_byte: it is a raw byte that is a whole character of its own (``<0x0A>``), bool.
        whole_han: Han characters that lie wholly inside it, int64.
        han_length: its characters if all are Han (a leading space aside), else 0, int64.
    """

    partial: Bools
    ascii_byte: Bools
    whole_han: I64
    han_length: I64


def token_tables(tokenizer: Tokenizer) -> TokenTables:
    """Look at every id of a vocabulary once.

    Args:
        tokenizer: any; its unknown token counts as no text.
    """
    pieces = pieces_of(tokenizer)
    found = surfaces(pieces, tokenizer.kind)
    size = len(pieces)
    partial, ascii_byte = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    whole, length = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for index, (piece, surface) in enumerate(zip(pieces, found, strict=True)):
        if index == tokenizer.unk_id:
            continue
        raw = len(surface) == 1 and piece.startswith("<0x") and tokenizer.kind != "byte-bpe"
        text = surface.decode("utf-8", errors="ignore")
        partial[index] = raw or text.encode("utf-8") != surface
        ascii_byte[index] = raw and surface < b"\x80"
        if not text.isascii():
            whole[index] = sum(map(len, _HAN.findall(text)))
            bare = text.removeprefix(" ")
            length[index] = len(bare) if not partial[index] and is_han(bare) else 0
    return TokenTables(partial, ascii_byte, whole, length)


def count_ids(ids: list[Ids], size: int) -> I64:
    """How often each id stands in some texts, int64 ``[size]``."""
    if not ids:
        return np.zeros(size, np.int64)
    return np.bincount(np.concatenate(ids), minlength=size).astype(np.int64)


def renyi_efficiency(counts: I64, size: int | None = None, *, alpha: float = 2.5) -> float:
    """Rényi entropy of the ids over the most that it could be.

    ``H = log(sum p^alpha) / (1 - alpha)``, divided by ``log(size)``; 1 means that all ids are
    equally frequent.

    Args:
        counts: occurrences of each id.
        size: number of ids that are possible; ``None``: those that occur.
        alpha: order of the entropy, not 1.

    Returns:
        0 to 1; NaN where fewer than two ids are possible.

    Source:
        Zouhar et al. 2023, "Tokenization and the Noiseless Channel" (alpha 2.5 correlated best
        with translation quality); by default over the ids seen, as their tokenization-scorer does.
    """
    seen = counts[counts > 0].astype(np.float64)
    possible = len(seen) if size is None else size
    if possible < 2 or not len(seen):
        return float("nan")
    shares = seen / seen.sum()
    entropy = float(np.log(np.power(shares, alpha).sum())) / (1.0 - alpha)
    return entropy / float(np.log(possible))
