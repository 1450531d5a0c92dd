"""Grow a vocabulary by continued byte-pair encoding on a corpus, inside Han runs alone.

The base's own segmentation is where learning starts, so every new entry can be produced, text
outside Han runs keeps its ids, and the list of entries for a smaller size is the head of the list
for a larger one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanmo.errors import UsageError
from yanmo.recipe import setting, to_table

from . import charsets, folder
from .base import Base, Notes, Token, grow, load_base
from .choice import (
    Choice,
    Refusals,
    added_table,
    candidates_of,
    kept_out_table,
    lengths,
    take,
)
from .counted import WEIGHT_UNIT, Counted, Weighting, count_corpus
from .derive import Deriver
from .learn import Limits, learn
from .lines import first_lines
from .proof import Proof, write_proven
from .segment import Symbols, segment

# Merges to learn before the least worthy go. A fixed number, not a multiple of what is asked, so
# that lists for different sizes are heads of one list; past a half of it, four times as many.
POOL = 1 << 16
POOL_FACTOR = 2


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
    min_variety: float = setting(
        0.2,
        low=0,
        high=1,
        help="A phrase of four characters or more that stands in fewer distinct runs an occurrence "
        "is kept out.",
    )
    blocklist: str | None = setting(None, help="File of words; a word that holds one is kept out.")
    dictionary: str | None = setting(None, help="File of words (a tab ends the word) to put in.")
    required_chars: str = setting("off", choices=("off", *charsets.NAMES))
    weights: dict[str, float] = field(default_factory=dict)
    temperature: float = setting(
        0.5, low=0, high=1, help="0: inputs count by their size; 1: each counts the same."
    )
    power: float = setting(
        0.5,
        low=0.05,
        high=1,
        help="Exponent of the mean over inputs that is an entry's worth; 1: plain mean; less: wide "
        "use counts more.",
    )
    background: str | None = setting(
        None, help="List of general words with frequencies that stands beside the inputs."
    )
    background_share: float = setting(
        0.25, low=0.01, high=0.99, help="What that list counts; the inputs count the rest."
    )
    shrink: bool = setting(False, help="Take what there is if the text supports no more.")
    budget_mb: int = setting(
        96, low=1, help="Megabytes of distinct Han runs to hold; learning needs about 13 times it."
    )
    verify_lines: int = setting(5000, low=0, help="Lines of the corpus to verify on.")
    seed: int = setting(0, help="Seed of the random texts of the verification.")


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
    folder.refuse_foreign(out, (base_path, *inputs))
    base = load_base(base_path)
    choice, occasions = choose(base, count_inputs(inputs, options), options)
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
        "added_by_length": lengths(choice.tokens),
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


def count_inputs(inputs: Sequence[Path], options: ExtendOptions) -> Counted:
    """Count the corpus as the options weigh it; see :func:`~yanmo.vocab.counted.count_corpus`."""
    weighting = Weighting(
        weights=options.weights,
        temperature=options.temperature,
        power=options.power,
        background=options.background,
        background_share=options.background_share,
    )
    return count_corpus(
        inputs, column=options.column, budget_bytes=options.budget_mb << 20, weighting=weighting
    )


def choose(base: Base, counted: Counted, options: ExtendOptions) -> tuple[Choice, dict[str, Any]]:
    """Pick the new entries: required ones first, then what is worth most.

    Args:
        base: the vocabulary to grow.
        counted: the corpus.
        options: what decides.

    Returns:
        The choice, and what was counted in the text.
    """
    first = required_tokens(base, options)
    start = grow(base, first) if first else base
    symbols = segment(start, counted.runs)
    surfaces = start.surfaces()
    asked = max(options.add - len(first), 0)
    sites = len(set(counted.hosts[counted.hosts >= 0].tolist()))
    rules = Refusals(
        min_count=options.min_count,
        min_documents=options.min_documents,
        blocked=tuple(read_words(options.blocklist)),
        max_domain_share=options.max_domain_share if sites >= options.min_sites else None,
        min_variety=options.min_variety,
    )
    weighted = counted.weighted()
    pool = POOL
    while POOL_FACTOR * asked > pool:
        pool *= 4
    while True:
        limits = Limits(pool, options.min_count * WEIGHT_UNIT, options.max_chars)
        learned = learn(symbols, weighted, surfaces, limits)
        found = candidates_of(start, counted, symbols, learned, rules)
        choice = take(Deriver(start), found, asked)
        if len(choice.tokens) >= asked or len(learned.left) < pool:
            break
        pool *= 4
    choice.tokens = [*first, *choice.tokens][: options.add]
    return choice, _occasions(counted, symbols, sites)


def _occasions(counted: Counted, symbols: Symbols, sites: int) -> dict[str, Any]:
    runs, groups = counted.runs, counted.groups
    return {
        "documents": len(counted.hosts),
        "sites": sites,
        "han_runs": len(runs.run),
        "distinct_han_runs": len(runs.counts),
        "share_of_distinct_runs_kept": runs.kept_share,
        "characters_without_an_entry": len(symbols.virtual),
        "breaks_across_characters": int((symbols.symbols == -1).sum()),
        "inputs": [
            {"name": name, "han_characters": int(size), "share": round(float(share), 6)}
            for name, size, share in zip(counted.names, groups.sizes, groups.shares, strict=True)
        ],
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
