"""Choose new entries among learned candidates: by worth, with what speaks for and against each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .base import Base, Token
from .breadth import F64, Forest, by_worth, count_listed, count_uses, gather_parts
from .counted import Counted
from .derive import Deriver
from .evidence import gather
from .kernels import I32, I64
from .learn import Learned
from .segment import Symbols

# Characters from which on a candidate is more often a phrase than a word.
LONG = 4


@dataclass(frozen=True)
class Candidate:
    """A word that could be added, with what speaks for it.

    Attributes:
        text: the word.
        count: occurrences in the corpus, those inside longer entries included.
        documents, domains, top_share, runs: see :class:`~yanmo.vocab.evidence.Evidence`.
        listed: frequency in the list of words.
        worth: entries that it saves in a million characters (a mean over the inputs).
        parts: the two words it is merged from; ``None`` for a character.
    """

    text: str
    count: int
    documents: int
    domains: int
    top_share: float
    runs: int
    listed: int
    worth: float
    parts: tuple[str, str] | None


@dataclass
class Choice:
    """What was taken, in order, and what was kept out, why."""

    tokens: list[Token] = field(default_factory=list)
    evidence: dict[bytes, Candidate] = field(default_factory=dict)
    kept_out: list[tuple[str, Candidate]] = field(default_factory=list)


@dataclass(frozen=True)
class Refusals:
    """Why a candidate is kept out, if it is.

    Attributes:
        min_count, min_documents: what is rarer is refused, unless the list of words has it.
        blocked: what holds one of these words is refused.
        max_domain_share: what has more of its occurrences on one site is refused; ``None`` where
            the corpus has too few sites to judge.
        min_variety: what is longer than a word mostly is (``LONG`` characters and more) and stands
            in fewer distinct runs an occurrence is copied text, and is refused.
    """

    min_count: int
    min_documents: int
    blocked: tuple[str, ...] = ()
    max_domain_share: float | None = None
    min_variety: float = 0.0

    def reasons(self, facts: "Facts") -> dict[int, str]:
        """The rule that refuses each candidate that is refused, by its number."""
        unlisted = facts.listed == 0
        spared = self.min_variety * facts.count
        most = np.inf if self.max_domain_share is None else self.max_domain_share
        # The later rule is the one that is told.
        rules: list[tuple[npt.NDArray[np.bool_], str]] = [
            (unlisted & (facts.documents < self.min_documents), "in too few documents"),
            (unlisted & (facts.count < self.min_count), "too rare"),
            ((facts.length >= LONG) & (facts.runs < spared),
             "suspicious: copied with what stands around it"),
            ((facts.length > 1) & (facts.top_share > most), "suspicious: mostly from one site"),
        ]  # fmt: skip
        found: dict[int, str] = {}
        for refused, rule in rules:
            found |= dict.fromkeys(np.flatnonzero(refused).tolist(), rule)
        return found | self._blocked(facts.texts)

    def _blocked(self, texts: Sequence[str]) -> dict[int, str]:
        """Texts that hold a listed word: their parts are looked up, for the list may be long."""
        place = {word: at for at, word in reversed(list(enumerate(self.blocked)))}
        found = {}
        for number, text in enumerate(texts) if place else ():
            held = [
                place[text[start:stop]]
                for start in range(len(text))
                for stop in range(start + 1, len(text) + 1)
                if text[start:stop] in place
            ]
            if held:
                found[number] = f"holds the listed word {self.blocked[min(held)]}"
        return found


@dataclass(frozen=True)
class Facts:
    """What is known of all candidates, in columns; see :class:`Candidate`.

    Virtual characters come first, by number, then merges in the order of learning.
    """

    texts: list[str]
    parts: list[tuple[str, str] | None]
    length: I64
    count: I64
    listed: I64
    documents: I64
    domains: I64
    top_share: F64
    runs: I64

    def candidate(self, k: int, worth: float) -> Candidate:
        """One of them."""
        return Candidate(
            text=self.texts[k],
            count=int(self.count[k]),
            documents=int(self.documents[k]),
            domains=int(self.domains[k]),
            top_share=float(self.top_share[k]),
            runs=int(self.runs[k]),
            listed=int(self.listed[k]),
            worth=1e6 * worth,
            parts=self.parts[k],
        )


@dataclass(frozen=True)
class Field:
    """All candidates: facts, worth, why some are refused, and the order in which to take them."""

    facts: Facts
    worth: F64
    reasons: dict[int, str]
    order: list[int]

    def candidate(self, k: int) -> Candidate:
        """A candidate with its worth."""
        return self.facts.candidate(k, float(self.worth[k]))


def candidates_of(
    base: Base, counted: Counted, symbols: Symbols, learned: Learned, rules: Refusals
) -> Field:
    """Put together what is known of every candidate, and order them by worth.

    Args:
        base: the vocabulary that the symbols are of.
        counted: the corpus.
        symbols: its runs as symbols.
        learned: merges on them.
        rules: what is refused.
    """
    left, right = _halves(symbols, learned)
    uses = _uses(counted, symbols, learned)
    inside = uses.copy()
    gather_parts(inside, left, right)
    facts = _facts_of(base, counted, symbols, learned, inside)
    reasons = rules.reasons(facts)
    for k, halves in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        if k not in reasons and any(half in reasons for half in halves):
            reasons[k] = "a part of it was kept out"
    refused = np.zeros(len(left), np.bool_)
    refused[list(reasons)] = True
    # With SentencePiece a character that takes k entries now saves k - 1 for one entry; with bytes
    # it needs about k - 1 entries (its prefixes).
    saved = np.ones(len(left), np.int64)
    if base.model is not None:
        saved[: len(symbols.virtual)] = symbols.pieces_per_character - 1
    order, worth = by_worth(uses, counted.groups, Forest(left, right, saved, refused))
    return Field(facts, worth, reasons, order.tolist())


def _facts_of(
    base: Base, counted: Counted, symbols: Symbols, learned: Learned, inside: I64
) -> Facts:
    """The columns of all candidates; ``inside`` are their uses, those in longer ones included."""
    evidence = gather(counted.runs, symbols, learned, counted.hosts)
    texts = [s.decode("utf-8", errors="replace") for s in base.surfaces()] + symbols.virtual
    parts: list[tuple[str, str] | None] = [None] * len(symbols.virtual)
    for a, b in zip(learned.left.tolist(), learned.right.tolist(), strict=True):
        parts.append((texts[a], texts[b]))
        texts.append(texts[a] + texts[b])
    own = texts[symbols.first_virtual :]
    listed = bool(counted.listed.any())
    return Facts(
        texts=own,
        parts=parts,
        length=np.array([len(text) for text in own], np.int64),
        count=(inside[:, :-1] if listed else inside).sum(axis=1),
        listed=inside[:, -1] if listed else np.zeros(len(own), np.int64),
        documents=evidence.documents,
        domains=evidence.domains,
        top_share=evidence.top_share,
        runs=evidence.runs,
    )


def _halves(symbols: Symbols, learned: Learned) -> tuple[I32, I32]:
    """Candidate numbers of the halves, -1 for entries of the base and for characters."""
    none = np.full(len(symbols.virtual), -1, np.int32)
    sides = [
        np.concatenate([none, np.maximum(side - symbols.first_virtual, -1)]).astype(np.int32)
        for side in (learned.left, learned.right)
    ]
    return sides[0], sides[1]


def _uses(counted: Counted, symbols: Symbols, learned: Learned) -> I64:
    """Uses of each candidate in each group after all merges, int64 ``[T, G]``."""
    runs, groups, first = counted.runs, counted.groups, symbols.first_virtual
    size = len(symbols.virtual) + len(learned.left)
    uses = np.zeros((size, len(groups.shares)), np.int64)
    where = (learned.symbols, symbols.ends, first)
    count_uses(*where, runs.run, runs.document, groups.of_document, uses)
    if counted.listed.any():
        column = np.zeros(size, np.int64)
        count_listed(*where, counted.listed, column)
        uses[:, -1] = column
    return uses


def take(deriver: Deriver, found: Field, asked: int) -> Choice:
    """Walk the candidates until there are enough entries.

    What was refused although it is worth more than the last entry is listed.
    """
    choice = Choice()
    last = 0.0
    for number in found.order:
        if len(choice.tokens) >= asked or number in found.reasons:
            break
        candidate = found.candidate(number)
        missing = [p for p in candidate.parts or () if not deriver.knows(p.encode())]
        reason = "a part of it was kept out" if missing else None
        single = candidate.parts is None
        why = "character" if single else "learned"
        made = None if missing else deriver.derive(candidate.text, repair=single, why=why)
        if made is None:
            choice.kept_out.append((reason or "does not come out of its own text", candidate))
            continue
        choice.tokens += made
        choice.evidence[candidate.text.encode()] = candidate
        last = candidate.worth
    if len(choice.tokens) < asked:
        last = 0.0
    refused = [
        (reason, found.candidate(number))
        for number, reason in found.reasons.items()
        if 1e6 * found.worth[number] >= last
    ]
    choice.kept_out += sorted(refused, key=lambda item: (-item[1].worth, item[1].text))
    return choice


def lengths(tokens: Sequence[Token]) -> dict[str, int]:
    """How many entries have how many characters; 0: the first bytes of characters."""
    sizes = Counter(len(t.surface.decode("utf-8")) if t.why != "prefix" else 0 for t in tokens)
    return {str(size): count for size, count in sorted(sizes.items())}


COLUMNS = ("count", "documents", "domains", "top_share", "runs", "listed", "worth")


def added_table(base_size: int, choice: Choice) -> bytes:
    """The new entries with their evidence as TSV, in order of their ids."""
    rows = ["\t".join(("id", "token", "why", "left", "right", *COLUMNS))]
    for number, token in enumerate(choice.tokens):
        halves = [(h or b"").decode("utf-8", errors="backslashreplace")
                  for h in (token.surface, token.left, token.right)]  # fmt: skip
        facts = _columns(choice.evidence.get(token.surface))
        rows.append("\t".join((str(base_size + number), halves[0], token.why, *halves[1:], *facts)))
    return ("\n".join(rows) + "\n").encode()


def kept_out_table(choice: Choice) -> bytes:
    """The candidates that were kept out although they were worth an entry, as TSV."""
    rows = ["\t".join(("token", "reason", *COLUMNS))]
    rows += ["\t".join((c.text, reason, *_columns(c))) for reason, c in choice.kept_out]
    return ("\n".join(rows) + "\n").encode()


def _columns(candidate: Candidate | None) -> tuple[str, ...]:
    if candidate is None:
        return ("",) * len(COLUMNS)
    c = candidate
    share, worth = f"{c.top_share:.4f}", f"{c.worth:.2f}"
    numbers = (c.count, c.documents, c.domains, share, c.runs, c.listed, worth)
    return tuple(str(value) for value in numbers)
