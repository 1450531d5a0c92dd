"""Measure: every signal of every document, beside the text and without judging it.

The text is read once; all later decisions are made from the table written here.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from yanmo.documents import PartWriter, iterate
from yanmo.recipe import from_table

from .characters import (
    DIGIT,
    HANGUL,
    HANZI,
    KANA,
    LATIN,
    LETTER,
    MARK,
    NEWLINE,
    PUNCTUATION,
    SPACE,
    SYMBOL,
    Histogram,
    count_characters,
)
from .layout import Layout, count_lines
from .phrases import MARKERS, count_phrases
from .published import published_en, published_lines
from .published_lines import count_published_lines
from .published_zh import published_zh
from .repetition import DUPLICATE_SIZES, MASS_SIZE, TOP_SIZES, repeated_chars
from .signals import PUBLISHED, SIGNALS, SIZES, STOP_WORDS_ZH, TEXT_HASH, Measure
from .utf8 import Bounds, Bytes, Codes, chunks, decode, text_buffer
from .words import Words, find_words

__all__ = ["COPIED", "SIGNALS_FILE", "Measure", "measure", "measure_part", "schema", "text_hashes"]

SIGNALS_FILE: Final = "signals.parquet"
COPIED: Final = ("id", "lang", "lang_score", "script")
"""Columns taken over from the document table, so that ``decide`` needs no other file."""

_TRACKED: Final = "#{}\ufffd" + STOP_WORDS_ZH
Column = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def schema(settings: Measure | None = None) -> pa.Schema:
    """The signal table: ``COPIED``, one column a signal, and the hash of the text."""
    signals = (settings or Measure()).signals()
    kinds = {"count": pa.int64(), "ratio": pa.float64()}
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            ("lang", pa.string()),
            ("lang_score", pa.float64()),
            ("script", pa.string()),
            *(pa.field(s.name, kinds[s.kind], nullable=False) for s in signals),
            *(pa.field(name, pa.uint64(), nullable=False) for name in TEXT_HASH),
        ]
    )


def measure_part(inputs: list[Path], parameters: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Task: measure one part of the document table.

    Args:
        inputs: one or more parts in ``yanmo.documents.SCHEMA``.
        parameters: ``{"measure": table of Measure}``, which may be left out.
        out: gets ``signals.parquet``, one row a document, in the order of the input.

    Returns:
        ``{"rows", "chars", "bytes"}``.
    """
    settings = from_table(Measure, parameters.get("measure", {}), where="measure")
    rows = n_chars = n_bytes = 0
    with PartWriter(out / SIGNALS_FILE, schema(settings)) as writer:
        for batch in iterate(inputs, columns=[*COPIED, "text"]):
            columns = measure(batch.column("text"), settings)
            copied = [batch.column(name) for name in COPIED]
            writer.write(
                pa.RecordBatch.from_arrays(
                    [*copied, *map(pa.array, columns.values())], schema=schema(settings)
                )
            )
            rows += batch.num_rows
            n_chars += int(columns["n_chars"].sum())
            n_bytes += int(columns["n_bytes"].sum())
    return {"rows": rows, "chars": n_chars, "bytes": n_bytes}


def measure(texts: pa.Array, settings: Measure | None = None) -> dict[str, npt.NDArray[np.generic]]:
    """All signals of a text column.

    Args:
        texts: ``string`` or ``large_string``.

    Returns:
        For each of ``settings.signals()``, in order, an int64 or float64 ``[D]``; then
        ``TEXT_HASH`` as uint64 ``[D]``.
    """
    settings = settings or Measure()
    names = [signal.name for signal in settings.signals()]
    buffer, offsets = text_buffer(texts)
    hashes = dict(zip(TEXT_HASH, text_hashes(buffer, offsets), strict=True))
    if names == list(SIZES):
        n_chars = pc.utf8_length(texts.fill_null("")).to_numpy().astype(np.int64)
        return {"n_chars": n_chars, "n_bytes": np.diff(offsets)} | hashes
    pieces = [
        _measure_chunk(buffer, offsets[rows.start : rows.stop + 1], settings, set(names))
        for rows in chunks(offsets)
    ] or [_measure_chunk(buffer, offsets, settings, set(names))]
    result: dict[str, npt.NDArray[np.generic]] = {
        name: np.concatenate([piece[name] for piece in pieces]) for name in names
    }
    return result | hashes


def text_hashes(
    buffer: Bytes, offsets: Bounds
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """XXH3-128 of every text: upper and lower half, uint64 ``[D]`` each.

    One call of the C library a document (0.3 µs beside 3 µs for its signals at 100 bytes); the
    digests live for one step of the loop.
    """
    view, ends = memoryview(buffer.data), offsets.tolist()
    digests = b"".join(
        xxhash.xxh3_128_digest(view[start:end]) for start, end in itertools.pairwise(ends)
    )
    halves = np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)
    return halves[:, 0].copy(), halves[:, 1].copy()


def _ratio(numerator: Column, denominator: Column) -> npt.NDArray[np.float64]:
    """Divide; zero over zero is zero, and so is anything else over zero."""
    return np.divide(
        numerator, denominator, out=np.zeros(len(numerator), np.float64), where=denominator != 0
    )


@dataclass(frozen=True)
class _Chunk:
    """One chunk of documents, and what the kernels count in it when they are first asked."""

    buffer: Bytes
    offsets: Bounds
    settings: Measure

    @cached_property
    def decoded(self) -> tuple[Codes, Bounds]:
        return decode(self.buffer, self.offsets)

    @cached_property
    def chars(self) -> npt.NDArray[np.int64]:
        return np.diff(self.decoded[1])

    @cached_property
    def histogram(self) -> Histogram:
        return count_characters(*self.decoded, _TRACKED)

    @cached_property
    def layout(self) -> Layout:
        return count_lines(*self.decoded, short_line_chars=self.settings.short_line_chars)

    @cached_property
    def words(self) -> Words:
        return find_words(*self.decoded)

    @cached_property
    def repeats(self) -> npt.NDArray[np.int64]:
        words, most = self.words, self.settings.max_ngram_words
        return repeated_chars(words.keys, words.chars, words.bounds, max_words=most)

    def of(self, *classes: int) -> npt.NDArray[np.int64]:
        """Characters of these classes, int64 ``[D]``."""
        total: npt.NDArray[np.int64] = self.histogram.classes[:, classes].sum(axis=1)
        return total

    def tracked(self, character: str) -> npt.NDArray[np.int64]:
        return self.histogram.tracked[:, _TRACKED.index(character)]


def _measure_chunk(
    buffer: Bytes, offsets: Bounds, settings: Measure, names: set[str]
) -> dict[str, Column]:
    """The signals ``names``, and others that come with them."""
    chunk = _Chunk(buffer, offsets, settings)
    columns: dict[str, Column] = {"n_chars": chunk.chars, "n_bytes": np.diff(offsets)}
    for signals, function in _GROUPS.items():
        if not names.isdisjoint(signals):
            columns |= function(chunk)
    return columns | _published_signals(chunk, names)


def _published_signals(chunk: _Chunk, names: set[str]) -> dict[str, Column]:
    """Those of ``names`` that only published recipes have, and others that come with them."""
    columns: dict[str, Column] = {}
    codes, bounds = chunk.decoded
    if not names.isdisjoint(signal.name for signal in PUBLISHED):
        lines = count_published_lines(codes, bounds)
        columns |= published_lines(lines, chunk.chars)
        columns |= published_en(codes, bounds, lines, names)
        columns |= published_zh(codes, bounds, lines, names)
    return columns


def _phrase_signals(chunk: _Chunk) -> dict[str, Column]:
    columns: dict[str, Column] = {**count_phrases(chunk.buffer, chunk.offsets)}
    broken = chunk.tracked("\ufffd") + columns["n_mojibake"]
    return columns | {"mojibake_fraction": _ratio(broken, chunk.chars)}


def _character_signals(chunk: _Chunk) -> dict[str, Column]:
    visible = chunk.chars - chunk.of(NEWLINE, SPACE)
    letters = chunk.of(HANZI, KANA, HANGUL, LATIN, LETTER)
    stops = chunk.histogram.tracked[:, [_TRACKED.index(c) for c in STOP_WORDS_ZH]]
    return {
        "n_newlines": chunk.of(NEWLINE),
        "n_punctuation": chunk.of(PUNCTUATION),
        "hanzi_fraction": _ratio(chunk.of(HANZI), visible),
        "kana_fraction": _ratio(chunk.of(KANA), visible),
        "hangul_fraction": _ratio(chunk.of(HANGUL), visible),
        "latin_fraction": _ratio(chunk.of(LATIN), visible),
        "letter_fraction": _ratio(letters, visible),
        "digit_fraction": _ratio(chunk.of(DIGIT), letters + chunk.of(DIGIT, MARK)),
        "punctuation_fraction": _ratio(chunk.of(PUNCTUATION), visible),
        "symbol_fraction": _ratio(chunk.of(SYMBOL), visible),
        "unique_char_fraction": _ratio(chunk.histogram.unique, chunk.chars),
        "char_entropy": chunk.histogram.entropy,
        "n_stop_words_zh": (stops > 0).sum(axis=1),
        "n_curly_brackets": chunk.tracked("{") + chunk.tracked("}"),
        "n_replacement_chars": chunk.tracked("\ufffd"),
    }


def _word_signals(chunk: _Chunk) -> dict[str, Column]:
    counts = chunk.words.counts
    ends = np.concatenate([[0], np.cumsum(chunk.words.chars, dtype=np.int64)])
    return {
        "n_sentences": counts.sentences,
        "n_words": counts.words,
        "n_word_chars": np.diff(ends[chunk.words.bounds]),
        "n_words_latin": counts.latin,
        "n_marks": counts.marks,
        "n_stop_words_en": counts.stop_words_en,
        "longest_word_chars": counts.longest_run,
        "mean_word_chars": _ratio(counts.run_chars, counts.runs),
        "alphabetic_word_fraction": _ratio(counts.alphabetic, counts.words),
        "alphabetic_token_fraction": _ratio(counts.alphabetic, counts.words + counts.marks),
        "bracketed_fraction": _ratio(counts.bracketed_chars, chunk.chars),
        "hashes_per_word": _ratio(chunk.tracked("#"), counts.words),
        "ellipses_per_word": _ratio(counts.ellipses, counts.words),
        "newlines_per_word": _ratio(chunk.of(NEWLINE), counts.words),
    }


def _line_signals(chunk: _Chunk) -> dict[str, Column]:
    layout, chars = chunk.layout, chunk.chars - chunk.of(NEWLINE)
    return {
        "n_lines": layout.lines,
        "n_paragraphs": layout.paragraphs,
        "mean_line_chars": _ratio(layout.line_chars, layout.lines),
        "bullet_line_fraction": _ratio(layout.bullet_lines, layout.lines),
        "ellipsis_line_fraction": _ratio(layout.ellipsis_lines, layout.lines),
        "read_more_line_fraction": _ratio(layout.read_more_lines, layout.lines),
        "terminal_punctuation_line_fraction": _ratio(layout.terminal_lines, layout.lines),
        "short_line_fraction": _ratio(layout.short_lines, layout.lines),
        "duplicate_line_fraction": _ratio(layout.duplicate_lines, layout.lines),
        "duplicate_line_char_fraction": _ratio(layout.duplicate_line_chars, chars),
        "duplicate_paragraph_fraction": _ratio(layout.duplicate_paragraphs, layout.paragraphs),
        "duplicate_paragraph_char_fraction": _ratio(layout.duplicate_paragraph_chars, chars),
    }


def _repetition_signals(chunk: _Chunk) -> dict[str, Column]:
    *by_size, mass, chars, words = chunk.repeats
    names = [f"top_{n}_gram_char_fraction" for n in TOP_SIZES]
    names += [f"duplicate_{n}_gram_char_fraction" for n in DUPLICATE_SIZES]
    columns: dict[str, Column] = {
        name: _ratio(covered, chars) for name, covered in zip(names, by_size, strict=True)
    }
    starts = np.maximum(words - MASS_SIZE + 1, 0)
    return columns | {f"repeated_{MASS_SIZE}_gram_fraction": _ratio(mass, starts)}


def _names(*parts: str) -> frozenset[str]:
    """The signals whose names hold one of these."""
    return frozenset(s.name for s in SIGNALS if any(part in s.name for part in parts))


_REPEATED: Final = _names("_gram_")
_LINES: Final = _names("line_", "paragraph") | {"n_lines"}
_PHRASES: Final = frozenset({*MARKERS, "mojibake_fraction"})
_WORDS: Final = _names("word", "marks", "n_sentences", "bracketed", "alphabetic_token") - {
    "n_stop_words_zh"
}
_GROUPS: Final[Mapping[frozenset[str], Callable[[_Chunk], dict[str, Column]]]] = {
    frozenset(s.name for s in SIGNALS) - _REPEATED - _LINES - _PHRASES - _WORDS - {*SIZES}: (
        _character_signals
    ),
    _WORDS: _word_signals,
    _LINES: _line_signals,
    _REPEATED: _repetition_signals,
    _PHRASES: _phrase_signals,
}
"""What is measured together."""
