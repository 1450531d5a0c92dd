"""The signals that published recipes measure in their own way, for those who want their verdicts.

Ours are better for Chinese and cost less; these follow datatrove 0.10.1 (the program behind
FineWeb) token by token on English. They are measured only if the recipe asks for them (``[measure]
published_en``); ``yanmo.curate.published_zh`` has the Chinese ones.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from .c4_lines import clean_lines
from .published_lines import PublishedLines
from .published_ngrams import token_repeats
from .repetition import DUPLICATE_SIZES, TOP_SIZES
from .signals import PUBLISHED_EN
from .token_columns import (
    ENDS_SENTENCE,
    HAS_LETTER,
    IS_MARK,
    IS_WORD,
    CutLines,
    Kinds,
    Tokens,
)
from .tokens import cut_lines, cut_tokens
from .utf8 import Bounds, Codes, kernel
from .words import STOP_WORDS_EN

Counts = npt.NDArray[np.int64]
Column = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def published_lines(lines: PublishedLines, chars: Counts) -> dict[str, Column]:
    """What datatrove's filters measure of lines, whatever the language.

    Args:
        lines: counts of lines.
        chars: characters of the documents, int64 ``[D]``.

    Returns:
        For each signal of ``yanmo.curate.signals.PUBLISHED_LINES`` a float64 ``[D]``.
    """
    return {
        "gopher_bullet_line_fraction": ratio(lines.bullet_lines, lines.gopher_lines),
        "gopher_ellipsis_line_fraction": ratio(lines.ellipsis_lines, lines.gopher_lines),
        "gopher_duplicate_paragraph_fraction": ratio(lines.duplicate_paragraphs, lines.paragraphs),
        "gopher_duplicate_paragraph_char_fraction": ratio(lines.duplicate_paragraph_chars, chars),
        "gopher_duplicate_line_fraction": ratio(lines.duplicate_pieces, lines.pieces),
        "gopher_duplicate_line_char_fraction": ratio(lines.duplicate_piece_chars, chars),
        "fineweb_terminal_punctuation_line_fraction": ratio(lines.terminal_lines, lines.text_lines),
    }


def published_en(
    codes: Codes, bounds: Bounds, lines: PublishedLines, names: Collection[str]
) -> dict[str, Column]:
    """What datatrove's English filters measure.

    Args:
        codes: code points, int32.
        bounds: document bounds in ``codes``, int64 ``[D + 1]``.
        lines: counts of lines.
        names: signals that are asked for.

    Returns:
        For each of ``names`` in ``yanmo.curate.signals.PUBLISHED_EN``, and for those that are
        measured with it, an int64 or float64 ``[D]``.
    """
    wanted = {signal.name for signal in PUBLISHED_EN}.intersection(names)
    columns: dict[str, Column] = {}
    if not wanted:
        return columns
    tokens = cut_tokens(codes, bounds)
    of_lines = {name for name in wanted if "c4_" in name}
    of_grams = {name for name in wanted if "_gram_" in name}
    if wanted - of_lines - of_grams:
        columns |= _word_signals(codes, bounds, tokens, lines)
    if of_grams:
        chars, sizes = np.diff(bounds), (*TOP_SIZES, *DUPLICATE_SIZES)
        for n, repeated in zip(sizes, token_repeats(codes, tokens), strict=True):
            kind = "top" if n in TOP_SIZES else "duplicate"
            columns[f"gopher_{kind}_{n}_gram_char_fraction"] = ratio(repeated, chars)
    return columns | (_c4_signals(codes, bounds, tokens) if of_lines else {})


def _word_signals(
    codes: Codes, bounds: Bounds, tokens: Tokens, lines: PublishedLines
) -> dict[str, Column]:
    n_tokens = np.diff(tokens.bounds)
    words, word_chars, alphabetic, stops, hashes = _count_tokens_of(codes, bounds, tokens)
    return {
        "n_gopher_words": words,
        "gopher_mean_word_chars": ratio(word_chars, words),
        "gopher_hashes_per_word": ratio(hashes, n_tokens),
        "gopher_ellipses_per_word": ratio(lines.ellipses, n_tokens),
        "gopher_alphabetic_word_fraction": ratio(alphabetic, n_tokens),
        "n_gopher_stop_words": stops,
        "fineweb_newlines_per_word": ratio(lines.newlines, n_tokens),
    }


def ratio(numerator: Column, denominator: Column) -> npt.NDArray[np.float64]:
    """Divide, ``[D]`` by ``[D]``; anything over zero is zero."""
    return np.divide(
        numerator, denominator, out=np.zeros(len(numerator), np.float64), where=denominator != 0
    )


def count_code(codes: Codes, bounds: Bounds, code: int) -> Counts:
    """How often a code point stands in every document, int64 ``[D]``."""
    found = np.zeros(len(bounds) - 1, np.int64)
    _count_code(codes, bounds, code, found)
    return found


@kernel
def _count_code(codes: Codes, bounds: Bounds, code: int, counts: Counts) -> None:
    for document in range(len(bounds) - 1):
        n = 0
        for i in range(bounds[document], bounds[document + 1]):
            n += codes[i] == code
        counts[document] = n


def _c4_signals(codes: Codes, bounds: Bounds, tokens: Tokens) -> dict[str, Column]:
    """What C4 leaves, with and without its rule on line ends, and FineWeb's look at it."""
    left = clean_lines(codes, bounds)
    ends, chars = left.lines[1], np.diff(left.bounds)
    spans = CutLines(ends, left.line_bounds, left.sources[0], left.sources[1])
    found = cut_lines(left.codes, left.bounds, spans, tokens)
    sentences = np.zeros((2, len(bounds) - 1), np.int64)
    _count_sentences(
        left.codes, left.bounds, found.starts, found.ends, found.kinds, found.bounds,
        ends, left.tails, left.terminal, left.line_bounds, sentences,
    )  # fmt: skip
    lines, terminal, short, duplicate_chars, newlines = left.counts
    return {
        "n_c4_sentences": sentences[1],
        "n_c4_lorem_ipsum_lines": left.lorem[1],
        "n_c4_curly_bracket_lines": left.brackets[1],
        "n_c4_any_sentences": sentences[0],
        "n_c4_any_lorem_ipsum_lines": left.lorem[0],
        "n_c4_any_curly_bracket_lines": left.brackets[0],
        "c4_any_terminal_punctuation_line_fraction": ratio(terminal, lines),
        "c4_any_short_line_fraction": ratio(short, lines),
        "c4_any_duplicate_line_char_fraction": ratio(duplicate_chars, chars - newlines),
        "c4_any_newlines_per_word": ratio(newlines, np.diff(found.bounds)),
    }


def _count_tokens_of(codes: Codes, bounds: Bounds, tokens: Tokens) -> Counts:
    """Words, their characters, tokens with a letter, different stop words, ``#``; ``[5, D]``."""
    stops = np.array([int.from_bytes(word.encode(), "big") for word in STOP_WORDS_EN], np.int64)
    counts = np.zeros((5, len(bounds) - 1), np.int64)
    _count_tokens(codes, tokens.starts, tokens.ends, tokens.kinds, tokens.bounds, stops, counts)
    counts[4] = count_code(codes, bounds, ord("#"))
    return counts


@kernel
def _count_tokens(  # noqa: PLR0913
    codes: Codes,
    starts: Counts,
    ends: Counts,
    kinds: Kinds,
    bounds: Bounds,
    stops: Counts,
    counts: Counts,
) -> None:
    for document in range(len(bounds) - 1):
        found = words = chars = letters = 0
        for t in range(bounds[document], bounds[document + 1]):
            kind, length = kinds[t], ends[t] - starts[t]
            words += (kind & IS_WORD) != 0
            chars += length if kind & IS_WORD else 0
            letters += (kind & HAS_LETTER) != 0
            if 2 <= length <= 4:
                packed = np.int64(0)
                for i in range(starts[t], ends[t]):
                    packed = packed << 8 | np.int64(codes[i])
                for k in range(len(stops)):
                    if packed == stops[k]:
                        found |= 1 << k
        counts[0, document] = words
        counts[1, document] = chars
        counts[2, document] = letters
        while found:
            counts[3, document] += found & 1
            found >>= 1


@kernel
def _count_sentences(  # noqa: PLR0913
    codes: Codes,
    bounds: Bounds,
    starts: Counts,
    ends: Counts,
    kinds: Kinds,
    token_bounds: Bounds,
    lines: Counts,
    tails: Counts,
    terminal: npt.NDArray[np.bool_],
    line_bounds: Bounds,
    sentences: Counts,
) -> None:
    """spaCy's sentencizer, line by line: a sentence starts at the first token after an end that is
    neither punctuation nor another end. More than one space, or a tab, is such a token."""
    for document in range(len(bounds) - 1):
        t, last = token_bounds[document], token_bounds[document + 1]
        before = bounds[document]
        for line in range(line_bounds[document], line_bounds[document + 1]):
            n = 1
            ended = False
            while t < last and starts[t] < lines[line]:
                gap = starts[t] - before
                if ended and (gap > 1 or (gap == 1 and codes[before] != 0x20)):
                    n += 1
                    ended = False
                ends_here = (kinds[t] & ENDS_SENTENCE) != 0
                if ended and not kinds[t] & (IS_MARK | ENDS_SENTENCE):
                    n += 1
                    ended = False
                elif ends_here:
                    ended = True
                before = ends[t]
                t += 1
            n += ended and lines[line] + tails[line] - before > 1
            sentences[0, document] += n
            if terminal[line]:
                sentences[1, document] += n
            before = lines[line] + 1
