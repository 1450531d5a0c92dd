"""How an entry is put together by merges, and which parents it still needs.

A piece can be produced only if byte-pair encoding of its own text, with the merges that rank before
it, ends in exactly two parts. A unigram vocabulary does not hold such chains: 345 of the 17 953
pieces of the published Chinese LLaMA can never come out.
"""

from itertools import pairwise

from .base import Base, Token
from .charsets import is_han
from .convert import from_alphabet
from .spm import PieceType

# Beyond any rank; a pair with this rank does not merge.
_NEVER = 1 << 62


class Deriver:
    """The merges of a vocabulary, to which entries can be added one by one."""

    def __init__(self, base: Base) -> None:
        self._bytes_level = base.kind == "byte-bpe"
        self._known: set[bytes] = set()
        # SentencePiece merges any two pieces whose concatenation is a piece: one rank per result.
        self._result_rank: dict[bytes, int] = {}
        self._pair_rank: dict[tuple[bytes, bytes], int] = {}
        if base.model is not None:
            normal = [p for p in base.model.pieces if p.type is PieceType.NORMAL]
            self._known = {p.text.replace("\u2581", " ").encode() for p in normal}
            order = sorted(range(len(normal)), key=lambda k: (-normal[k].score, k))
            for rank, k in enumerate(order):
                self._result_rank[normal[k].text.replace("\u2581", " ").encode()] = rank
        else:
            surfaces = [from_alphabet(piece) for piece in base.document["model"]["vocab"]]
            self._known = {surface for surface in surfaces if surface is not None}
            for rank, (left, right) in enumerate(base.document["model"]["merges"]):
                pair = (from_alphabet(left) or b"", from_alphabet(right) or b"")
                self._pair_rank.setdefault(pair, rank)
        self._next = len(self._result_rank) + len(self._pair_rank)

    def knows(self, surface: bytes) -> bool:
        """Whether an entry of these bytes is there."""
        return surface in self._known

    def add(self, token: Token) -> None:
        """Append an entry behind all others."""
        self._known.add(token.surface)
        if self._bytes_level:
            if token.left is not None and token.right is not None:
                self._pair_rank.setdefault((token.left, token.right), self._next)
        else:
            self._result_rank[token.surface] = self._next
        self._next += 1

    def _rank(self, left: bytes, right: bytes) -> int:
        if self._bytes_level:
            return self._pair_rank.get((left, right), _NEVER)
        if left in self._known and right in self._known:
            return self._result_rank.get(left + right, _NEVER)
        return _NEVER

    def halves(self, surface: bytes) -> tuple[bytes, bytes] | None:
        """The two parts that the last merge joins; ``None`` if no merge makes these bytes."""
        left, *right = self.parts(surface, least=2)
        if len(right) != 1 or self._rank(left, right[0]) == _NEVER:
            return None
        return left, right[0]

    def parts(self, surface: bytes, *, least: int = 1) -> list[bytes]:
        """What the vocabulary makes of a text of one word, as bytes of each token.

        Args:
            surface: the bytes of the text.
            least: stop merging when so many parts are left.
        """
        if self._bytes_level:
            parts = [surface[k : k + 1] for k in range(len(surface))]
        else:
            parts = [character.encode() for character in surface.decode("utf-8")]
        ranks = [self._rank(a, b) for a, b in pairwise(parts)]
        while len(parts) > least:
            best = min(ranks)
            if best == _NEVER:
                break
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
            del ranks[at]
            if at:
                ranks[at - 1] = self._rank(parts[at - 1], parts[at])
            if at < len(ranks):
                ranks[at] = self._rank(parts[at], parts[at + 1])
        return parts

    def derive(self, word: str, *, repair: bool, why: str) -> list[Token] | None:
        """The entries to append so that ``word`` comes out as one token; they are added at once.

        Args:
            word: text of whole characters.
            repair: add missing parents; else only the word itself, if two parts make it.
            why: reason noted on the word; parents are noted as ``parent``, ``character`` (a
                character that was bytes before) or ``prefix`` (the first bytes of one).

        Returns:
            Parents first, the word last; empty if the word is already there; ``None`` if it
            cannot be made (nothing is added then).
        """
        surface = word.encode("utf-8")
        if self.knows(surface):
            return []
        added: list[Token] = []
        single = len(word) == 1
        characters = dict.fromkeys(word) if repair and not single else ()
        made = all(self._make(c.encode("utf-8"), "character", added) for c in characters)
        if not made or not self._make(surface, why, added, parents=repair or single):
            for token in reversed(added):
                self._remove(token)
            return None
        return added

    def _make(self, surface: bytes, why: str, added: list[Token], *, parents: bool = True) -> bool:
        if self.knows(surface):
            return True
        parts = self.parts(surface)
        if len(parts) == 1:  # a character that SentencePiece spelled in bytes
            self._append(Token(surface, why=why), added)
            return True
        while len(parts) > 1:
            joined = parts[0] + parts[1]
            if len(parts) > 2 and not (parents and self._may_stand(joined)):
                return False
            if self.knows(joined) or not (self.knows(parts[0]) and self.knows(parts[1])):
                return False
            kind = why if len(parts) == 2 else "parent" if _is_text(joined) else "prefix"
            self._append(Token(joined, parts[0], parts[1], kind), added)
            parts = self.parts(surface)
        return True

    def _append(self, token: Token, added: list[Token]) -> None:
        added.append(token)
        self.add(token)

    def _may_stand(self, parent: bytes) -> bool:
        return _is_text(parent) or safe_prefix(parent)

    def _remove(self, token: Token) -> None:
        self._known.discard(token.surface)
        self._result_rank.pop(token.surface, None)
        if token.left is not None and token.right is not None:
            self._pair_rank.pop((token.left, token.right), None)


def _is_text(surface: bytes) -> bool:
    try:
        surface.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def safe_prefix(prefix: bytes) -> bool:
    """Whether every character that starts with these bytes is Han.

    A token of a cut character fires wherever its bytes do: E4 B8 only in hanzi, but E3 80 also in
    the ideographic full stop.
    """
    missing = {0xE: 3, 0xF: 4}.get(prefix[0] >> 4, 0) - len(prefix)
    if missing < 1 or len(prefix) < 2:
        return False
    try:
        first, last = ((prefix + tail * missing).decode("utf-8") for tail in (b"\x80", b"\xbf"))
    except UnicodeDecodeError:
        return False
    return all(is_han(chr(code)) for code in range(ord(first), ord(last) + 1))
