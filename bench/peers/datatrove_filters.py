"""datatrove's Gopher repetition, Gopher quality, C4 and FineWeb filters on documents in memory.

Its ``Document`` objects are made before the clock runs. A document passes the filters one after the
other and leaves at the first that drops it, as in its pipeline (``chain``), or sees every filter
(``each``). The cache of words (the last five texts) is on, so a text is cut once for all filters.

English: the defaults of the four, C4 without its rule on line ends, as FineWeb runs them. Chinese:
the thresholds that FineWeb-2 publishes for cmn_Hani; FineWeb-2 leaves C4 out, here it stays with
what works on Chinese (no rule on line ends, none on words a line).
"""

import time
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_parts
from serve import DATATROVE_LANGUAGES, read_texts, serve

CHINESE = DATATROVE_LANGUAGES["zh"]
STOP_WORDS_ZH = list("的年在月是和日了於·為有被人中为他與後也而由")
STATE: dict[str, Any] = {}


def filters(language: str) -> list[Any]:
    """The four, in the order of FineWeb."""
    if language == "en":
        return [
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
        ]
    sizes = zip(range(5, 11), (0.198, 0.182, 0.167, 0.154, 0.140, 0.127), strict=True)
    return [
        GopherRepetitionFilter(
            dup_line_frac=0.287,
            top_n_grams=((2, 0.256), (3, 0.201), (4, 0.171)),
            dup_n_grams=tuple(sizes),
            language=CHINESE,
        ),
        GopherQualityFilter(
            min_avg_word_length=1,
            max_avg_word_length=5,
            max_non_alpha_words_ratio=0.735,
            stop_words=STOP_WORDS_ZH,
            language=CHINESE,
        ),
        C4QualityFilter(filter_no_terminal_punct=False, min_words_per_line=-1, language=CHINESE),
        FineWebQualityFilter(
            line_punct_thr=0.106,
            short_line_thr=999,
            char_duplicates_ratio=0.1,
            new_line_ratio=0.178,
            language=CHINESE,
        ),
    ]


def judge(document: Document, *, chain: bool) -> bool:
    """Whether a document passes."""
    passed = True
    for some in STATE["filters"]:
        passed = some.filter(document) is True and passed
        if chain and not passed:
            return False
    return passed


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """``load``: texts and filters, warm; ``run``: processor seconds and documents kept."""
    if request["op"] == "load":
        STATE["texts"] = read_texts(request["path"])
        STATE["filters"] = filters(request["language"])
        for text in STATE["texts"][:20]:
            judge(Document(text, ""), chain=False)
        return {"documents": len(STATE["texts"])}
    split_into_parts.cache_clear()  # nothing is left from the round before
    documents = [Document(text, str(i)) for i, text in enumerate(STATE["texts"])]
    start = time.process_time()
    kept = sum(judge(document, chain=request["chain"]) for document in documents)
    return {"seconds": time.process_time() - start, "kept": kept}


if __name__ == "__main__":
    serve(answer)
