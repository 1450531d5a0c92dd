"""Several tokenizers on the same documents, slice by slice: one result for all outputs.

What is counted a document (tokens, characters) carries the intervals; what is counted an id (byte
fallback, Han tokens, entropy) comes from how often each id was written.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.errors import UsageError

from .char_coverage import WordList, coverage, words_kept
from .labels import tokenizer_labels
from .load import Tokenizer, load_tokenizer
from .ratio_intervals import Draws, draw_ratios, pool
from .slices import Sampling, Slices
from .surfaces import pieces_of
from .tally import Counts, SliceTally, tally_slices
from .token_tables import I64, LONGEST, TokenTables, renyi_efficiency, token_tables

NAMED = 20  # lost characters that are named
ALL = "all"  # the pooled samples of all slices


@dataclass(frozen=True)
class Contender:
    """A loaded tokenizer under the label it has in every output."""

    label: str
    path: Path
    tokenizer: Tokenizer
    tables: TokenTables


@dataclass
class Comparison:
    """The result as plain data, and what other measurements go on from.

    Attributes:
        result: JSON-able; see :func:`compare`.
        contenders: the tokenizers, the first is the base of all differences.
        slices: the documents, with the populations they were sampled from.
    """

    result: dict[str, Any]
    contenders: list[Contender]
    slices: Slices = field(repr=False)


def load_contenders(specs: Sequence[str]) -> list[Contender]:
    """Load tokenizers and give each a label of its own.

    Args:
        specs: paths, or ``LABEL=PATH``.

    Raises:
        UsageError: none, one that is not there, or a label twice.
        DataError: one is damaged.
    """
    named = [_split(spec) for spec in specs]
    given = [label for label, _ in named if label]
    twice = [label for label, count in Counter(given).items() if count > 1]
    if twice:
        raise UsageError(
            "a label stands twice", value=twice[0], fix="Give each its own LABEL=PATH."
        )
    tokenizers = [load_tokenizer(path) for _, path in named]
    labels = tokenizer_labels(tokenizers, [label for label, _ in named])
    return [
        Contender(label, path, tokenizer, token_tables(tokenizer))
        for label, (_, path), tokenizer in zip(labels, named, tokenizers, strict=True)
    ]


def _split(spec: str) -> tuple[str, Path]:
    label, equals, path = spec.partition("=")
    if equals and label and not Path(spec).exists() and "/" not in label:
        return label, Path(path)
    return "", Path(spec)


def compare(
    specs: Sequence[str],
    texts: Sequence[Path],
    sampling: Sampling,
    *,
    words: WordList | None = None,
    advance: Callable[[float], None] = lambda amount: None,
) -> Comparison:
    """Measure tokenizers on documents.

    Args:
        specs: tokenizers, as :func:`load_contenders` takes them.
        texts: documents, as :class:`~yanmo.vocab.slices.Slices` takes them.
        sampling: slices, limits and seed.
        words: words whose cutting is counted.
        advance: told the megabytes done.

    Returns:
        ``tokenizers``, ``slices`` (one entry a slice) and ``all`` (their samples pooled), each
        with the numbers of every tokenizer and the differences from the first; ``left_out``, the
        slices without a document that all could encode; ``coverage``; ``words``.

    Raises:
        UsageError: an input or tokenizer is not there.
        DataError: damaged, or no text.
    """
    contenders = load_contenders(specs)
    slices = Slices(texts, sampling)
    tokenizers = [c.tokenizer for c in contenders]
    labels = [c.label for c in contenders]
    found = tally_slices(tokenizers, labels, slices, advance=advance)
    pooled = _pool(list(found.values()))
    tallies = {label: tally for label, tally in found.items() if tally.chars}
    populations = [asdict(population) for population in slices.populations.values()]
    whole = {key: sum(each[key] for each in populations) for key in populations[0]}
    draws = _draws(list(tallies.values()), sampling.seed)
    joint = pool(draws, [int(t.per_document().sum()) for t in tallies.values()])
    result = {
        "tokenizers": [_about(c) for c in contenders],
        "sampling": {**asdict(sampling), "inputs": [str(path) for path in texts]},
        "slices": [
            _slice(label, tally, asdict(slices.populations[label]), contenders, drawn)
            for (label, tally), drawn in zip(tallies.items(), draws, strict=True)
        ],
        "left_out": [label for label in slices.populations if label not in tallies],
        "all": _slice(ALL, pooled, whole, contenders, joint),
        "coverage": {c.label: coverage(c.tokenizer) for c in contenders},
        "words": {c.label: words_kept(c.tokenizer, words) for c in contenders} if words else None,
        "word_list": {"path": str(words.path), "sha256": words.sha256} if words else None,
    }
    return Comparison(result, contenders, slices)


def _draws(tallies: Sequence[SliceTally], seed: int) -> list[Draws]:
    return [
        draw_ratios([c.per_document() for c in tally.counts], tally.per_document(), seed=(seed, k))
        for k, tally in enumerate(tallies)
    ]


def _about(contender: Contender) -> dict[str, Any]:
    tokenizer = contender.tokenizer
    return {
        "label": contender.label,
        "path": str(contender.path),
        "kind": tokenizer.kind,
        "size": tokenizer.vocab_size,
        "sha256": tokenizer.sha256,
        "unknown_token": tokenizer.unk_id is not None,
    }


def _pool(tallies: Sequence[SliceTally]) -> SliceTally:
    pooled = SliceTally([Counts(np.zeros_like(c.ids)) for c in tallies[0].counts])
    for tally in tallies:
        pooled.chars += tally.chars
        pooled.bytes += tally.bytes
        pooled.han += tally.han
        pooled.failures += tally.failures
        for mine, theirs in zip(pooled.counts, tally.counts, strict=True):
            mine.ids += theirs.ids
            mine.tokens += theirs.tokens
            mine.same += theirs.same
            mine.losses.add(theirs.losses)
    return pooled


def _slice(
    label: str,
    tally: SliceTally,
    population: dict[str, int],
    contenders: Sequence[Contender],
    draws: Draws,
) -> dict[str, Any]:
    chars = tally.per_document()
    measured = {}
    for index, (contender, counts) in enumerate(zip(contenders, tally.counts, strict=True)):
        estimate = draws.estimate(index).as_dict()
        measured[contender.label] = {
            "tokens_per_char": {k: _finite(v) for k, v in estimate.items() if k != "n"},
            **_measures(contender, counts, tally, len(chars)),
        }
    return {
        "slice": label,
        "documents": len(chars),
        "chars": int(chars.sum()),
        "bytes": tally.bytes,
        "han_chars": tally.han,
        "population": population,
        "failed": [asdict(failure) for failure in tally.failures],
        "tokenizers": measured,
        "differences": {
            contender.label: draws.difference(0, index)
            for index, contender in enumerate(contenders)
            if index
        },
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _measures(
    contender: Contender, counts: Counts, tally: SliceTally, documents: int
) -> dict[str, Any]:
    tables, ids = contender.tables, counts.ids
    tokens, chars = int(ids.sum()), int(tally.per_document().sum())
    unknown = contender.tokenizer.unk_id
    losses = counts.losses
    used = int((ids > 0).sum())
    return {
        "tokens": tokens,
        "chars_per_token": chars / tokens if tokens else None,
        "bytes_per_token": tally.bytes / tokens if tokens else None,
        "byte_tokens": int(ids[tables.partial].sum()),
        "byte_tokens_ascii": int(ids[tables.ascii_byte].sum()),
        "byte_share": float(ids[tables.partial].sum() / tokens) if tokens else None,
        "unk_tokens": int(ids[unknown]) if unknown is not None else 0,
        "unk_chars": losses.unknown.total(),
        "unk_characters": _named(losses.unknown),
        "same_ids_documents": counts.same,
        "exact_documents": losses.exact,
        "exact_share": losses.exact / documents,
        "lost_chars": losses.lost.total(),
        "lost_characters": _named(losses.lost),
        "added_chars": losses.added.total(),
        "added_characters": _named(losses.added),
        "renyi_efficiency": _finite(renyi_efficiency(ids)),
        "renyi_efficiency_of_size": _finite(renyi_efficiency(ids, len(ids))),
        "used": used,
        "used_share": used / len(ids),
        "han": _han(tables, ids, tally.han, losses.unknown_han),
    }


def _named(characters: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent ones; ties by code point."""
    return sorted(characters.items(), key=lambda item: (-item[1], item[0]))[:NAMED]


def _han(tables: TokenTables, ids: I64, chars: int, unknown: int) -> dict[str, Any]:
    """Han characters of the text: whole in a token, cut into several, or behind an unknown one."""
    whole = int((ids * tables.whole_han).sum())
    split = max(0, chars - whole - unknown)
    lengths = np.minimum(tables.han_length, LONGEST)
    by_length = np.bincount(lengths, weights=ids, minlength=LONGEST + 1)[1:].astype(np.int64)
    tokens = int(by_length.sum())
    return {
        "chars": chars,
        "whole": whole,
        "split": split,
        "unknown": unknown,
        "split_rate": split / chars if chars else None,
        "tokens": tokens,
        "by_length": {
            f"{k}+" if k == LONGEST else str(k): int(count) / tokens if tokens else None
            for k, count in enumerate(by_length.tolist(), 1)
        },
    }


def new_rows(base: Contender, other: Contender) -> int:
    """Ids of ``other`` that are not the same entry in ``base``."""
    mine, theirs = pieces_of(other.tokenizer), pieces_of(base.tokenizer)
    same = sum(a == b for a, b in zip(mine, theirs, strict=False))
    return len(mine) - same
