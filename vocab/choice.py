"""Choose new entries among learned candidates: by worth, with what speaks for and against each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .base import Base, Token
from .breadth import Forest, by_worth, count_listed, count_uses
from .counted import Counted
from .derive import Deriver
from .evidence import Evidence, gather
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

    def reason(self, candidate: Candidate) -> str | None:
        """The rule that refuses a candidate, or ``None``."""
        word = next((word for word in self.blocked if word in candidate.text), None)
        if word is not None:
            return f"holds the listed word {word}"
        limit = self.max_domain_share
        long = len(candidate.text)
        if limit is not None and long > 1 and candidate.top_share > limit:
            return "suspicious: mostly from one site"
        if long >= LONG and candidate.runs < self.min_variety * candidate.count:
            return "suspicious: copied with what stands around it"
        if candidate.listed > 0:
            return None
        if candidate.count < self.min_count:
            return "too rare"
        if candidate.documents < self.min_documents:
            return "in too few documents"
        return None


@dataclass(frozen=True)
class Field:
    """All candidates: virtual characters by number, then merges in the order of learning."""

    candidates: list[Candidate]
    reasons: list[str | None]
    order: list[int]


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
    first = symbols.first_virtual
    left, right = _halves(symbols, learned)
    uses = _uses(counted, symbols, learned)
    inside = uses.copy()
    _gather_parts(inside, left, right)
    evidence = gather(counted.runs, symbols, learned, counted.hosts)
    texts = [s.decode("utf-8", errors="replace") for s in base.surfaces()] + symbols.virtual
    for a, b in zip(learned.left, learned.right, strict=True):
        texts.append(texts[a] + texts[b])
    facts = _Facts(texts[first:], inside, evidence, bool(counted.listed.any()))
    virtual = len(symbols.virtual)
    parts = [None] * virtual + [
        (texts[a], texts[b]) for a, b in zip(learned.left, learned.right, strict=True)
    ]
    reasons = [rules.reason(facts.candidate(k, 0.0, None)) for k in range(len(left))]
    refused = np.array([reason is not None for reason in reasons], np.bool_)
    for k in range(virtual, len(left)):
        halves = [half for half in (left[k], right[k]) if half >= 0]
        if not refused[k] and any(refused[half] for half in halves):
            refused[k], reasons[k] = True, "a part of it was kept out"
    # With SentencePiece a character that takes k entries now saves k - 1 for one entry; with bytes
    # it needs about k - 1 entries (its prefixes).
    saved = np.ones(len(left), np.int64)
    if base.model is not None:
        saved[:virtual] = symbols.pieces_per_character - 1
    order, worth = by_worth(uses, counted.groups, Forest(left, right, saved, refused))
    found = [facts.candidate(k, float(worth[k]), parts[k]) for k in range(len(left))]
    return Field(found, reasons, order.tolist())


@dataclass(frozen=True)
class _Facts:
    texts: list[str]
    inside: I64
    evidence: Evidence
    has_list: bool

    def candidate(self, k: int, worth: float, parts: tuple[str, str] | None) -> Candidate:
        row = self.inside[k]
        documents = row[:-1] if self.has_list else row
        return Candidate(
            text=self.texts[k],
            count=int(documents.sum()),
            documents=int(self.evidence.documents[k]),
            domains=int(self.evidence.domains[k]),
            top_share=float(self.evidence.top_share[k]),
            runs=int(self.evidence.runs[k]),
            listed=int(row[-1]) if self.has_list else 0,
            worth=1e6 * worth,
            parts=parts,
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


def _gather_parts(uses: I64, left: I32, right: I32) -> None:
    """Let each candidate's uses count for its halves too, the youngest first."""
    for k in range(len(left) - 1, -1, -1):
        for half in (left[k], right[k]):
            if half >= 0:
                uses[half] += uses[k]


def take(deriver: Deriver, found: Field, asked: int) -> Choice:
    """Walk the candidates until there are enough entries.

    What was refused although it is worth more than the last entry is listed.
    """
    choice = Choice()
    last = 0.0
    for number in found.order:
        candidate = found.candidates[number]
        if len(choice.tokens) >= asked or found.reasons[number] is not None:
            break
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
        (reason, candidate)
        for reason, candidate in zip(found.reasons, found.candidates, strict=True)
        if reason is not None and candidate.worth >= last
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
        facts = _facts(choice.evidence.get(token.surface))
        rows.append("\t".join((str(base_size + number), halves[0], token.why, *halves[1:], *facts)))
    return ("\n".join(rows) + "\n").encode()


def kept_out_table(choice: Choice) -> bytes:
    """The candidates that were kept out although they were worth an entry, as TSV."""
    rows = ["\t".join(("token", "reason", *COLUMNS))]
    rows += ["\t".join((c.text, reason, *_facts(c))) for reason, c in choice.kept_out]
    return ("\n".join(rows) + "\n").encode()


def _facts(candidate: Candidate | None) -> tuple[str, ...]:
    if candidate is None:
        return ("",) * len(COLUMNS)
    c = candidate
    share, worth = f"{c.top_share:.4f}", f"{c.worth:.2f}"
    numbers = (c.count, c.documents, c.domains, share, c.runs, c.listed, worth)
    return tuple(str(value) for value in numbers)
