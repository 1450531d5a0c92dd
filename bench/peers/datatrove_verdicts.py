"""Peer: the verdicts of datatrove's filters, and the number behind each of their rules.

Runs in the environment of datatrove and imports nothing from yanmo. Reads
``{"filters": [name, ...], "texts": [str, ...], "tokens": bool}`` from stdin and writes
``{"verdicts": [[reason or null, ...], ...], "values": [[{rule: value}, ...], ...]}`` to stdout, one
row a filter, one column a text. The verdict is the filter's own; the values are taken again from
its functions, because a filter stops at its first failure and keeps no number.
"""

import json
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters.gopher_repetition_filter import (
    find_all_duplicate,
    find_duplicates,
    find_top_duplicate,
    get_n_grams,
)
from datatrove.utils.text import PUNCTUATION_SET, split_into_sentences, split_into_words

Values = dict[str, float]
ENGLISH, CHINESE = "eng", "cmn_Hani"
STOPS_ZH = "的年在月是和日了於·為有被人中为他與後也而由"

# FineWeb-2, configs/cmn_Hani.yml and fineweb-2-pipeline.py.
FINEWEB2_ZH = (
    GopherRepetitionFilter(
        language=CHINESE,
        dup_para_frac=0,
        dup_line_char_frac=0,
        dup_para_char_frac=0,
        dup_line_frac=0.287,
        top_n_grams=((2, 0.256), (3, 0.201), (4, 0.171)),
        dup_n_grams=((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.14), (10, 0.127)),
    ),
    FineWebQualityFilter(
        language=CHINESE,
        short_line_thr=999,
        char_duplicates_ratio=0.1,
        line_punct_thr=0.106,
        new_line_ratio=0.178,
    ),
    GopherQualityFilter(
        language=CHINESE,
        max_avg_word_length=5,
        min_avg_word_length=1,
        stop_words=list(STOPS_ZH),
        max_non_alpha_words_ratio=0.735,
        min_stop_words=2,
    ),
)
_C4_ANY = C4QualityFilter(filter_no_terminal_punct=False)
FILTERS: dict[str, tuple[Any, ...]] = {
    "gopher-quality": (GopherQualityFilter(),),
    "gopher-repetition": (GopherRepetitionFilter(),),
    "c4": (C4QualityFilter(),),
    "c4-any-line-end": (_C4_ANY,),
    "fineweb": (FineWebQualityFilter(),),
    "fineweb-en": (
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        _C4_ANY,
        FineWebQualityFilter(),
    ),
    "fineweb2-zh-repetition": FINEWEB2_ZH[:1],
    "fineweb2-zh-fineweb": FINEWEB2_ZH[1:2],
    "fineweb2-zh-quality": FINEWEB2_ZH[2:],
    "fineweb2-zh": FINEWEB2_ZH,
}


def share(part: float, whole: float) -> float:
    """A fraction; of nothing it is 0."""
    return part / whole if whole else 0.0


@lru_cache(16)
def quality(text: str, language: str) -> Values:
    """What the Gopher quality filter compares."""
    words = split_into_words(text, language)
    plain = [w for w in words if any(c not in PUNCTUATION_SET for c in w)]
    lines = text.splitlines()
    stripped = [line.strip() for line in lines]
    stops = set(STOPS_ZH) if language == CHINESE else GopherQualityFilter().stop_words
    return {
        "tokens": len(words),
        "words": len(plain),
        "mean_word": share(sum(map(len, plain)), len(plain)),
        "hashes": share(text.count("#"), len(words)),
        "ellipses": share(text.count("...") + text.count("…"), len(words)),
        "bullets": share(sum(s.startswith(("•", "-")) for s in stripped), len(lines)),
        "ellipsis_lines": share(sum(s.endswith(("...", "…")) for s in stripped), len(lines)),
        "alphabetic": share(sum(any(map(str.isalpha, w)) for w in words), len(words)),
        "stop_words": len(stops & set(words)),
    }


@lru_cache(16)
def repetition(text: str, language: str) -> Values:
    """What the Gopher repetition filter compares."""
    words, n = split_into_words(text, language), len(text)
    blocks, lines = re.split(r"\n{2,}", text.strip()), re.split("\n+", text)
    (many, chars), (line_many, line_chars) = find_duplicates(blocks), find_duplicates(lines)
    values = {
        "paragraphs": share(many, len(blocks)),
        "paragraph_chars": share(chars, n),
        "lines": share(line_many, len(lines)),
        "line_chars": share(line_chars, n),
    }
    for size in (2, 3, 4):
        grams = get_n_grams(words, size)
        values[f"top_{size}"] = share(find_top_duplicate(grams) if grams else 0, n)
    for size in range(5, 11):
        values[f"duplicate_{size}"] = share(find_all_duplicate(words, size), n)
    return values


@lru_cache(16)
def fineweb(text: str, language: str) -> Values:
    """What the FineWeb quality filter compares."""
    lines = [line for line in text.split("\n") if line.strip()]
    ends = FineWebQualityFilter().stop_chars
    return {
        "text_lines": len(lines),
        "terminal": share(sum(line.endswith(ends) for line in lines), len(lines)),
        "short": share(sum(len(line) <= 30 for line in lines), len(lines)),
        "line_char_dup": share(find_duplicates(lines)[1], len(text.replace("\n", ""))),
        "newlines": share(text.count("\n"), len(split_into_words(text, language))),
    }


@lru_cache(16)
def edited(text: str, terminal: bool) -> str:
    """What C4's line rules leave, also of a text that its document rules drop."""
    free = C4QualityFilter(
        filter_no_terminal_punct=terminal,
        min_num_sentences=-1,
        filter_lorem_ipsum=False,
        filter_curly_bracket=False,
    )
    document = Document(text=text, id="")
    free.filter(document)
    return document.text


@lru_cache(16)
def c4(text: str, terminal: bool) -> Values:
    """Sentences that C4 leaves."""
    lines = [line for line in edited(text, terminal).split("\n") if line]
    return {"c4_sentences": sum(len(split_into_sentences(line, ENGLISH)) for line in lines)}


VALUES: dict[str, Callable[[str], Values]] = {
    "gopher-quality": lambda text: quality(text, ENGLISH),
    "gopher-repetition": lambda text: repetition(text, ENGLISH),
    "c4": lambda text: c4(text, True),
    "c4-any-line-end": lambda text: c4(text, False),
    "fineweb": lambda text: fineweb(text, ENGLISH),
    "fineweb-en": lambda text: {
        **quality(text, ENGLISH),
        **repetition(text, ENGLISH),
        **c4(text, False),
        **fineweb(edited(text, False), ENGLISH),
    },
    "fineweb2-zh-repetition": lambda text: repetition(text, CHINESE),
    "fineweb2-zh-fineweb": lambda text: fineweb(text, CHINESE),
    "fineweb2-zh-quality": lambda text: quality(text, CHINESE),
    "fineweb2-zh": lambda text: {
        **repetition(text, CHINESE),
        **fineweb(text, CHINESE),
        **quality(text, CHINESE),
    },
}


def verdict(name: str, text: str) -> str | None:
    """The first reason to drop, or ``None``; a filter edits its document for the next."""
    document = Document(text=text, id="")
    for filter_ in FILTERS[name]:
        result = filter_.filter(document)
        kept, reason = result if isinstance(result, tuple) else (result, filter_.name)
        if not kept:
            return str(reason)
    return None


def main() -> None:
    """One JSON object in, one out."""
    request = json.load(sys.stdin)
    names, texts = request["filters"], request["texts"]
    verdicts: list[list[str | None]] = [[] for _ in names]
    values: list[list[Values]] = [[] for _ in names]
    for done, text in enumerate(texts):  # outside: datatrove remembers the words of five texts
        if done % 200 == 0:
            sys.stderr.write(f"datatrove: {done} of {len(texts)} texts\n")
        for row, name in enumerate(names):
            verdicts[row].append(verdict(name, text))
            values[row].append(VALUES[name](text))
    answer: dict[str, Any] = {"verdicts": verdicts, "values": values}
    if request.get("tokens"):
        language = CHINESE if names[0].startswith("fineweb2") else ENGLISH
        answer["tokens"] = [split_into_words(text, language) for text in texts]
    json.dump(answer, sys.stdout, default=lambda x: x.item() if isinstance(x, np.generic) else x)


if __name__ == "__main__":
    main()
