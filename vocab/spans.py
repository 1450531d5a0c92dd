"""Which characters of a text each token stands for.

Libraries answer this with offsets that differ in detail; here they mean one thing: a half-open
range of code points of the text as given, whatever the normaliser made of it. Tokens that hold
parts of one character (byte fallback, cut UTF-8 of byte-level BPE) share the range of the whole
character; a token without text of its own (the space that SentencePiece puts before a text) has an
empty range.
"""

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .load import FastEngine, SentencePieceEngine, Tokenizer
from .surfaces import SPACE


@dataclass(frozen=True)
class Span:
    """One token of a text.

    Attributes:
        index: its id.
        start: first code point of the text that it stands for, half-open with ``end``.
        end: see ``start``.
    """

    index: int
    start: int
    end: int


def spans_of(tokenizer: Tokenizer, text: str) -> list[Span]:
    """Encode a text and say where each token lies.

    Args:
        tokenizer: any tokenizer; its ids are those of :meth:`Tokenizer.encode`.
        text: Unicode text.

    Returns:
        Tokens in order; starts never decrease.

    Raises:
        DataError: the text holds a lone surrogate.
    """
    ids = tokenizer.encode(text)  # refuses what is not Unicode
    engine = tokenizer.engine
    if isinstance(engine, SentencePieceEngine):
        spans = _of_sentencepiece(engine.processor, text)
    elif isinstance(engine, FastEngine):
        spans = _of_fast(engine.fast, text)
    else:
        raise TypeError(type(engine))
    if [span.index for span in spans] != ids.tolist():
        raise AssertionError("offsets of other tokens than the ids")
    return _take_marks(_without_overlap(spans, tokenizer, text), text)


def _of_sentencepiece(processor: Any, text: str) -> list[Span]:
    """Offsets are bytes of the UTF-8 text; all but the last byte piece of a character are empty."""
    found = processor.encode(text, return_type="proto")
    character = _characters_of_bytes(text)
    spans = [Span(p.id, character[p.begin], character[p.end]) for p in found.pieces]
    for at in range(len(spans) - 2, -1, -1):
        if processor.is_byte(spans[at].index) and spans[at].start == spans[at].end:
            spans[at] = replace(spans[at], start=spans[at + 1].start, end=spans[at + 1].end)
    return spans


def _characters_of_bytes(text: str) -> list[int]:
    """Number of the character at each byte offset, the end included."""
    numbers: list[int] = []
    for number, character in enumerate(text):
        numbers += [number] * len(character.encode("utf-8"))
    return [*numbers, len(text)]


def _of_fast(fast: Any, text: str) -> list[Span]:
    from tokenizers import processors

    kept = fast.post_processor
    fast.post_processor = processors.Sequence([])  # ByteLevel would trim spaces off the offsets
    try:
        encoding = fast.encode(text, add_special_tokens=False)
    finally:
        if kept is not None:
            fast.post_processor = kept
    return [Span(i, a, b) for i, (a, b) in zip(encoding.ids, encoding.offsets, strict=True)]


def _without_overlap(spans: list[Span], tokenizer: Tokenizer, text: str) -> list[Span]:
    """A lone ``▁`` over the first character of the next token is a space that was put in."""
    for at, (span, after) in enumerate(itertools.pairwise(spans)):
        alone = tokenizer.id_to_piece(span.index) == SPACE
        put_in = alone and span.start < span.end and not text[span.start].isspace()
        if put_in or (alone and after.start < span.end):
            spans[at] = replace(span, end=span.start)
    if spans and tokenizer.id_to_piece(spans[-1].index) == SPACE:
        last = spans[-1]
        if last.start < last.end and not text[last.start].isspace():
            spans[-1] = replace(last, end=last.start)
    return spans


def _take_marks(spans: list[Span], text: str) -> list[Span]:
    """Marks in no token belong to the token before: the normaliser composed or cut them."""
    for at, span in enumerate(spans):
        stop = spans[at + 1].start if at + 1 < len(spans) else len(text)
        end = span.end
        while span.start < span.end <= end < stop and unicodedata.category(text[end])[0] == "M":
            end += 1
        if end != span.end:
            spans[at] = replace(span, end=end)
    return spans


def clusters(spans: Sequence[Span]) -> list[list[int]]:
    """Positions of tokens that share a character, together; most groups are one token.

    Args:
        spans: tokens of a text, in order.
    """
    groups: list[list[int]] = []
    reach = -1
    for position, span in enumerate(spans):
        if groups and span.start < reach and span.start < span.end:
            groups[-1].append(position)
        else:
            groups.append([position])
        reach = max(reach, span.end)
    return groups
