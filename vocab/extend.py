"""Grow a vocabulary by continued byte-pair encoding on a corpus, inside Han runs alone.

The base's own segmentation is where learning starts, so every new entry can be produced, text
outside Han runs keeps its ids, and the list of entries for a smaller size is the head of the list
for a larger one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.errors import DataError, UsageError
from yanmo.recipe import setting, to_table

from . import charsets, folder
from .base import Base, Notes, Token, grow, load_base
from .corpus import Hosts, batches
from .derive import Deriver
from .evidence import Evidence, gather
from .learn import Learned, Limits, learn
from .lines import first_lines
from .proof import Proof, write_proven
from .runs import RunCounter, Runs
from .segment import Symbols, segment

# Weights are kept in hundredths, so that counts stay whole numbers.
WEIGHT_UNIT = 100


@dataclass(frozen=True, kw_only=True)
class ExtendOptions:
    """What decides the new entries."""

    add: int = setting(low=1, high=500_000, help="Entries to add, parents and characters included.")
    column: str = setting("text", help="Column or JSON field that holds the text.")
    max_chars: int = setting(6, low=1, high=32, help="Longest learned word.")
    min_count: int = setting(2, low=1, help="Least number of occurrences.")
    min_documents: int = setting(2, low=1, help="Least number of documents.")
    max_domain_share: float = setting(
        0.8, low=0, high=1, help="A word with more of its occurrences on one site is kept out."
    )
    min_sites: int = setting(20, low=2, help="Sites that the corpus must have for that rule.")
    blocklist: str | None = setting(None, help="File of words; a word that holds one is kept out.")
    dictionary: str | None = setting(None, help="File of words (a tab ends the word) to put in.")
    required_chars: str = setting("off", choices=("off", *charsets.NAMES))
    weights: dict[str, float] = field(default_factory=dict)
    shrink: bool = setting(False, help="Take what there is if the text supports no more.")
    budget_mb: int = setting(
        96, low=1, help="Megabytes of distinct Han runs to hold; learning needs about 13 times it."
    )
    verify_lines: int = setting(5000, low=0, help="Lines of the corpus to verify on.")
    seed: int = setting(0, help="Seed of the random texts of the verification.")


@dataclass(frozen=True)
class Candidate:
    """A word that could be added, with what speaks for it."""

    text: str
    count: int
    documents: int
    domains: int
    top_share: float
    parts: tuple[str, str] | None


@dataclass
class Choice:
    """What was taken, in order, and what was kept out, why."""

    tokens: list[Token]
    evidence: dict[bytes, Candidate]
    kept_out: list[tuple[str, Candidate]]
    exhausted: bool = False


def extend_tokenizer(
    base_path: Path, inputs: Sequence[Path], out: Path, options: ExtendOptions
) -> dict[str, Any]:
    """Learn new entries, verify, write.

    Args:
        base_path: SentencePiece BPE or byte-level BPE vocabulary.
        inputs: run folders, Parquet, JSONL or text files.
        out: tokenizer folder to write.
        options: what decides the entries.

    Returns:
        The report that also stands in ``report.json``; ``base_size``, ``added``, ``size``.

    Raises:
        UsageError: the text does not support so many entries (and ``shrink`` is off).
        DataError: there is no Han text, or the verification failed; nothing is written then.
    """
    base = load_base(base_path)
    runs, hosts = count_runs(inputs, options)
    choice, occasions = choose(base, runs, hosts, options)
    if len(choice.tokens) < options.add and not options.shrink:
        raise UsageError(
            f"the text does not support {options.add} new entries, only {len(choice.tokens)}",
            where="add",
            fix="Ask for fewer, give more text, lower min_count or min_documents, or --shrink.",
        )
    grown = grow(base, choice.tokens)
    report = {
        "base_size": base.size,
        "added": grown.size - base.size,
        "size": grown.size,
        "asked": options.add,
        "text": occasions,
        "added_by_reason": dict(Counter(token.why for token in choice.tokens)),
        "added_by_length": _lengths(choice.tokens),
        "kept_out": dict(Counter(reason for reason, _ in choice.kept_out)),
    }
    provenance = {
        "made_by": "vocab extend",
        "options": to_table(options),
        "inputs": folder.input_identities(inputs),
    }
    tables = {
        "added.tsv": added_table(base.size, choice),
        "kept_out.tsv": kept_out_table(choice),
    }
    lines = first_lines(inputs, options.verify_lines, column=options.column)
    proof = Proof(texts=lines, seed=options.seed)
    return write_proven(out, base, grown, Notes(provenance, report, tables), proof)


def count_runs(
    inputs: Sequence[Path], options: ExtendOptions
) -> tuple[Runs, np.ndarray[Any, np.dtype[np.int32]]]:
    """Count the Han runs of the corpus and note the site of each document.

    Raises:
        DataError: there is no Han text.
        UsageError: a weight names no input.
    """
    names = {path.name.split(".")[0] for path in inputs}
    unknown = sorted(set(options.weights) - names)
    if unknown:
        raise UsageError("a weight names no input", value=unknown[0], fix=f"Inputs: {names}.")
    counter = RunCounter(options.budget_mb << 20)
    sites, numbers = Hosts(), []
    for path in inputs:
        weight = round(WEIGHT_UNIT * options.weights.get(path.name.split(".")[0], 1.0))
        for batch in batches(path, column=options.column):
            counter.add(batch.texts, weight=weight)
            numbers += list(sites.add(batch.hosts))
    if counter.han_bytes == 0:
        raise DataError("there is no Han text to learn from", fix="Is the text column right?")
    return counter.finish(), np.array(numbers, np.int32)


def choose(
    base: Base,
    runs: Runs,
    hosts: np.ndarray[Any, np.dtype[np.int32]],
    options: ExtendOptions,
) -> tuple[Choice, dict[str, Any]]:
    """Pick the new entries: required ones first, then what saves most.

    Args:
        base: the vocabulary to grow.
        runs: Han runs of the corpus.
        hosts: site of each document (-1 unknown), int32.
        options: what decides.

    Returns:
        The choice, and what was counted in the text.
    """
    first = required_tokens(base, options)
    start = grow(base, first) if first else base
    symbols = segment(start, runs)
    surfaces = start.surfaces()
    blocked = read_words(options.blocklist)
    asked = max(options.add - len(first), 0)
    room = asked + asked // 4 + 500
    while True:
        limits = Limits(room, options.min_count * WEIGHT_UNIT, options.max_chars)
        learned = learn(symbols, runs.counts, surfaces, limits)
        evidence = gather(runs, symbols, learned, hosts)
        choice = Choice([], {}, [], exhausted=len(learned.left) < room)
        names = [s.decode("utf-8", errors="replace") for s in surfaces] + symbols.virtual
        ordered = list(in_order(symbols, learned, evidence, names, spm=base.model is not None))
        _take(Deriver(start), ordered, choice, refusals(evidence, blocked, options), asked)
        if len(choice.tokens) >= asked or choice.exhausted:
            break
        room *= 2
    choice.tokens = [*first, *choice.tokens][: options.add]
    return choice, _occasions(runs, symbols, evidence, hosts)


def _occasions(
    runs: Runs, symbols: Symbols, evidence: Evidence, hosts: np.ndarray[Any, np.dtype[np.int32]]
) -> dict[str, Any]:
    return {
        "documents": len(hosts),
        "sites": evidence.known_sites,
        "han_runs": len(runs.run),
        "distinct_han_runs": len(runs.counts),
        "share_of_distinct_runs_kept": runs.kept_share,
        "characters_without_an_entry": len(symbols.virtual),
        "breaks_across_characters": int((symbols.symbols == -1).sum()),
    }


def required_tokens(base: Base, options: ExtendOptions) -> list[Token]:
    """Entries that must be there whatever the text says: tables of characters, dictionary words.

    Raises:
        UsageError: they are more than ``add``, or a dictionary word is not Han or cannot be made.
    """
    deriver = Deriver(base)
    tokens: list[Token] = []
    words = [(c, "required") for c in charsets.characters(options.required_chars)]
    words += [(word, "dictionary") for word in read_words(options.dictionary)]
    for word, why in words:
        made = deriver.derive(word, repair=True, why=why) if charsets.is_han(word) else None
        if made is None:
            raise UsageError(
                "a dictionary word cannot become an entry",
                where=options.dictionary,
                value=word,
                fix="Words must be Han alone and not cross the base's own tokens.",
            )
        tokens += made
    if len(tokens) > options.add:
        raise UsageError(
            f"required characters and words need {len(tokens)} entries", value=options.add
        )
    return tokens


def read_words(path: str | None) -> list[str]:
    """The words of a list: one a line, what follows a tab is ignored, ``#`` starts a comment."""
    if path is None:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the list of words ({error})", where=path) from None
    words = (line.split("\t")[0].strip() for line in lines)
    return [word for word in words if word and not word.startswith("#")]


def in_order(
    symbols: Symbols, learned: Learned, evidence: Evidence, names: list[str], *, spm: bool
) -> Iterator[tuple[int, Candidate]]:
    """Candidates by what one more entry saves; characters before the words that hold them.

    A merge saves its count. A character that takes k entries now saves k - 1 an occurrence: with
    SentencePiece for one entry, with bytes for about k - 1 entries (its prefixes).
    """
    texts = list(names)
    for left, right in zip(learned.left, learned.right, strict=True):
        texts.append(texts[left] + texts[right])
    first = symbols.first_virtual
    saved = symbols.pieces_per_character - 1 if spm else np.ones(len(symbols.virtual), np.int64)
    gains = evidence.count[: len(symbols.virtual)] * saved
    characters = np.lexsort((np.array([ord(c) for c in symbols.virtual]), -gains))

    def candidate(number: int) -> tuple[int, Candidate]:
        merge = first + number - learned.first_new
        parts = None
        if merge >= 0:
            parts = (texts[learned.left[merge]], texts[learned.right[merge]])
        return number, Candidate(
            text=texts[first + number],
            count=int(evidence.count[number]) // WEIGHT_UNIT,
            documents=int(evidence.documents[number]),
            domains=int(evidence.domains[number]),
            top_share=float(evidence.top_share[number]),
            parts=parts,
        )

    position = 0
    for merge, count in enumerate(learned.count):
        while position < len(characters) and gains[characters[position]] >= count:
            yield candidate(int(characters[position]))
            position += 1
        yield candidate(learned.first_new - first + merge)
    for number in characters[position:]:
        yield candidate(int(number))


def refusals(evidence: Evidence, blocked: Sequence[str], options: ExtendOptions) -> "Refusals":
    """The rules that keep candidates out, made for one corpus."""
    return Refusals(options, tuple(blocked), evidence.known_sites >= options.min_sites)


@dataclass(frozen=True)
class Refusals:
    """Why a candidate is kept out, if it is."""

    options: ExtendOptions
    blocked: tuple[str, ...]
    judge_sites: bool

    def reason(self, candidate: Candidate) -> str | None:
        """The rule that refuses a candidate, or ``None``."""
        if candidate.count < self.options.min_count:
            return "too rare"
        if candidate.documents < self.options.min_documents:
            return "in too few documents"
        listed = next((word for word in self.blocked if word in candidate.text), None)
        if listed is not None:
            return f"holds the listed word {listed}"
        if (
            self.judge_sites
            and candidate.domains > 0
            and candidate.top_share > self.options.max_domain_share
        ):
            return "suspicious: mostly from one site"
        return None


def _take(
    deriver: Deriver,
    ordered: Sequence[tuple[int, Candidate]],
    choice: Choice,
    rules: Refusals,
    asked: int,
) -> None:
    """Walk the candidates until there are enough entries; what refuses one is noted."""
    for _, candidate in ordered:
        if len(choice.tokens) >= asked:
            return
        reason = rules.reason(candidate)
        if reason is None and candidate.parts is not None:
            missing = [part for part in candidate.parts if not deriver.knows(part.encode())]
            reason = "a part of it was kept out" if missing else None
        made: list[Token] | None = None
        if reason is None:
            single = candidate.parts is None
            made = deriver.derive(
                candidate.text, repair=single, why="character" if single else "learned"
            )
            reason = "does not come out of its own text" if made is None else None
        if reason is not None:
            choice.kept_out.append((reason, candidate))
            continue
        choice.tokens += made or []
        choice.evidence[candidate.text.encode()] = candidate


def _lengths(tokens: Sequence[Token]) -> dict[str, int]:
    sizes = Counter(len(t.surface.decode("utf-8")) if t.why != "prefix" else 0 for t in tokens)
    return {str(size): count for size, count in sorted(sizes.items())}


COLUMNS = ("count", "documents", "domains", "top_share")


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
    """The candidates that were kept out before the last entry was found, as TSV."""
    rows = ["\t".join(("token", "reason", *COLUMNS))]
    rows += ["\t".join((c.text, reason, *_facts(c))) for reason, c in choice.kept_out]
    return ("\n".join(rows) + "\n").encode()


def _facts(candidate: Candidate | None) -> tuple[str, ...]:
    if candidate is None:
        return ("", "", "", "")
    share = f"{candidate.top_share:.4f}"
    return str(candidate.count), str(candidate.documents), str(candidate.domains), share
