"""Listed words in documents: how many, how many different, how dense, by category, and where.

Density is the sum of the weights of the matches, per 1000 characters of the document (with spaces
and line ends). A word that stands in several categories counts in each; in the totals it counts
once, with its largest weight.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.documents import PartWriter, iterate

from .utf8 import Bounds, Codes, chunks, decode, text_buffer
from .word_trie import Matches, Trie, build, find, fold_codes, fold_table, kind_table

COUNTS_FILE: Final = "counts.parquet"
PLACES_FILE: Final = "words.parquet"
WORD_SIGNALS: Final = ("n_listed_words", "n_listed_word_types", "listed_word_density")
PER_CHARS: Final = 1000
PLACES: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)
"""Where listed words stand in the text as it was measured, in code points. A word of several
categories names them all, with ``|`` between, and has its largest weight."""

Floats = npt.NDArray[np.float64]


def signals_of(categories: list[str]) -> list[str]:
    """The names of the columns that lists with these categories add to the signals."""
    both = [f"{name}.{c}" for c in categories for name in (WORD_SIGNALS[0], WORD_SIGNALS[2])]
    return [*WORD_SIGNALS, *both]


def is_word_signal(name: str) -> bool:
    """Is a column one of those that word lists add, of whatever category?"""
    return name.partition(".")[0] in WORD_SIGNALS


@dataclass(frozen=True)
class Words:
    """Listed words, ready to be looked for.

    Attributes:
        trie: of the words, whose terms number the rows below.
        words: as the list has them, ``[T]``.
        named: their categories joined by ``|``, ``[T]``.
        categories: all of them, sorted.
        weights: float64 ``[T, 1 + C]``: the largest, then that of each category (0: not in it).
    """

    trie: Trie
    words: list[str]
    named: list[str]
    categories: list[str]
    weights: Floats


@cache
def load_words(path: Path) -> Words:
    """Read what :func:`yanmo.curate.word_lists.compile_lists` wrote."""
    rows = pq.read_table(path).to_pylist()
    listed = [row for row in rows if row["category"]]
    categories = sorted({row["category"] for row in listed})
    terms: dict[str, int] = {}
    for row in listed:
        terms.setdefault(row["folded"], len(terms))
    weights = np.zeros((len(terms), 1 + len(categories)))
    words, named = [""] * len(terms), [""] * len(terms)
    for row in listed:
        term, column = terms[row["folded"]], 1 + categories.index(row["category"])
        weights[term, column] = row["weight"]
        words[term] = words[term] or row["word"]
        named[term] += ("|" if named[term] else "") + row["category"]
    weights[:, 0] = weights[:, 1:].max(axis=1)
    trie = build(list(terms), [row["folded"] for row in rows if not row["category"]])
    return Words(trie, words, named, categories, weights)


def count_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: count the listed words of one part.

    Args:
        inputs: the part (document table), the compiled lists.
        parameters: ``boundaries``, ``fold_case``, ``fold_variants``, ``max_places``.
        out: gets ``counts.parquet`` (one row a document, in order) and ``words.parquet``.

    Returns:
        ``{"rows", "with_words", "matches", "places"}``: documents, those that hold a word, matches,
        and how many of these are listed.
    """
    words = load_words(inputs[1])
    names = signals_of(words.categories)
    schema = pa.schema([pa.field("id", pa.string(), nullable=False),
                        *((name, pa.float64()) for name in names)])  # fmt: skip
    totals = {"rows": 0, "with_words": 0, "matches": 0, "places": 0}
    with (
        PartWriter(out / COUNTS_FILE, schema, intermediate=True) as counts,
        PartWriter(out / PLACES_FILE, PLACES) as places,
    ):
        for batch in iterate(inputs[:1], columns=["id", "text"]):
            ids, text = batch.column("id"), batch.column("text")
            buffer, offsets = text_buffer(text)
            for rows in chunks(offsets):
                codes, bounds = decode(buffer, offsets[rows.start : rows.stop + 1])
                matches = find_words(codes, bounds, words, parameters)
                values = count(matches, bounds, words)
                some = ids.slice(rows.start, rows.stop - rows.start)
                counts.write(pa.RecordBatch.from_arrays([some, *map(pa.array, values.T)],
                                                        schema=schema))  # fmt: skip
                listed = _places(matches, some, words, parameters["max_places"])
                places.write(listed)
                totals["rows"] += len(some)
                totals["with_words"] += int((values[:, 0] > 0).sum())
                totals["matches"] += len(matches.term)
                totals["places"] += listed.num_rows
    return totals


def find_words(codes: Codes, bounds: Bounds, words: Words, parameters: dict[str, Any]) -> Matches:
    """Find the words of decoded documents; see :func:`count_part` for the parameters."""
    fold = fold_table(case=parameters["fold_case"], variants=parameters["fold_variants"])
    kinds = kind_table(parameters["boundaries"])
    return find(fold_codes(codes, fold), bounds, words.trie, kinds)


def count(matches: Matches, bounds: Bounds, words: Words) -> Floats:
    """The signals of documents from their matches.

    Args:
        matches: of :func:`find_words`.
        bounds: of the documents, int64 ``[D + 1]``.
        words: the lists.

    Returns:
        float64 ``[D, S]``, in the order of :func:`signals_of`. Sums are taken in the order of the
        matches, so that they are the same everywhere.
    """
    documents = len(bounds) - 1
    values = np.zeros((documents, len(signals_of(words.categories))))
    chars = np.maximum(np.diff(bounds), 1)
    if not len(matches.term):
        return values
    values[:, 0] = np.bincount(matches.document, minlength=documents)
    pairs = np.sort(matches.document.astype(np.int64) * len(words.words) + matches.term)
    pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    values[:, 1] = np.bincount(pairs // len(words.words), minlength=documents)
    for column in range(1 + len(words.categories)):
        weights = words.weights[matches.term, column]
        sums = np.bincount(matches.document, weights=weights, minlength=documents)
        at = 2 if column == 0 else 2 + 2 * column
        values[:, at] = sums * PER_CHARS / chars
        if column:
            values[:, at - 1] = np.bincount(matches.document, weights=weights > 0,
                                            minlength=documents)  # fmt: skip
    return values


def _places(matches: Matches, ids: pa.Array, words: Words, most: int) -> pa.Table:
    """The first matches of each document."""
    starts = np.searchsorted(matches.document, matches.document)  # the first match of the document
    chosen = np.flatnonzero(np.arange(len(starts)) - starts < most)
    terms = matches.term[chosen].tolist()
    columns = [ids.take(pa.array(matches.document[chosen])),
               pa.array(matches.start[chosen].astype(np.int64)),
               pa.array(matches.end[chosen].astype(np.int64)),
               pa.array([words.words[t] for t in terms], pa.string()),
               pa.array([words.named[t] for t in terms], pa.string()),
               pa.array(words.weights[terms, 0] if terms else [], pa.float64())]  # fmt: skip
    return pa.table(columns, schema=PLACES)
