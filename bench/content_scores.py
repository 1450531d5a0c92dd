"""How well main content came out: shingles against gold text, snippets, and their bootstraps."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from yanmo.stats import ROUNDS, Comparison, paired_bootstrap

from .gold import GoldPage, squeezed

SHINGLE: Final = 4
_WORD: Final = re.compile(r"\w+")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PageScore:
    """Scores of one page.

    Attributes:
        precision, recall, f1: of shingles against the gold text; None without gold text.
        kept, missed: wanted snippets that came out, and that did not.
        leaked: unwanted snippets that came out.
        clean: unwanted snippets that did not.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    kept: int
    missed: int
    leaked: int
    clean: int


def shingles(text: str, *, characters: bool) -> Counter[tuple[str, ...]]:
    """Runs of four words, or of four characters that are not white space.

    Source:
        scrapinghub/article-extraction-benchmark, evaluate.py: words are ``\\w+``; a text of fewer
        than four is one shingle.
    """
    tokens: Sequence[str] = squeezed(text) if characters else _WORD.findall(text)
    last = max(1, len(tokens) - SHINGLE + 1)
    return Counter(tuple(tokens[at : at + SHINGLE]) for at in range(last))


def score(page: GoldPage, text: str, *, characters: bool) -> PageScore:
    """Score the text that an extractor found on a page."""
    precision = recall = f1 = None
    if page.text is not None:
        gold, found = (shingles(t, characters=characters) for t in (page.text, text))
        both = sum((gold & found).values())
        precision = both / sum(found.values()) if squeezed(text) else 0.0
        recall = both / sum(gold.values())
        f1 = 2 * both / (sum(gold.values()) + sum(found.values()))
    flat = squeezed(text)
    kept = sum(squeezed(snippet) in flat for snippet in page.wanted)
    leaked = sum(squeezed(snippet) in flat for snippet in page.unwanted)
    return PageScore(
        precision, recall, f1, kept, len(page.wanted) - kept, leaked, len(page.unwanted) - leaked
    )


def shingle_summary(scores: Sequence[PageScore]) -> dict[str, float]:
    """Means over pages; F1 as the benchmark has it, of the mean precision and the mean recall."""
    precision = float(np.mean([s.precision for s in scores]))
    recall = float(np.mean([s.recall for s in scores]))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    pages = float(np.mean([s.f1 for s in scores]))
    return {"precision": precision, "recall": recall, "f1": f1, "page_f1": pages}


def snippet_summary(scores: Sequence[PageScore]) -> dict[str, float]:
    """Precision, recall, F1 and accuracy over all snippets, as trafilatura's evaluation counts."""
    kept, missed, leaked, clean = (
        sum(getattr(s, name) for s in scores) for name in ("kept", "missed", "leaked", "clean")
    )
    return {
        "precision": kept / max(1, kept + leaked),
        "recall": kept / max(1, kept + missed),
        "f1": 2 * kept / max(1, 2 * kept + leaked + missed),
        "accuracy": (kept + clean) / max(1, kept + missed + leaked + clean),
    }


def compare_shingles(
    first: Sequence[PageScore], second: Sequence[PageScore]
) -> dict[str, Comparison]:
    """First minus second over pages drawn in pairs: F1 of the means, and the mean F1 of a page."""
    rows = [[(s.precision or 0.0, s.recall or 0.0) for s in scores] for scores in (first, second)]
    pages = paired_bootstrap([[s.f1 or 0.0 for s in first]], [[s.f1 or 0.0 for s in second]])
    return {"f1": _resample(rows[0], rows[1], _harmonic), "page_f1": pages}


def compare_snippets(first: Sequence[PageScore], second: Sequence[PageScore]) -> Comparison:
    """First minus second, F1 over all snippets, pages drawn in pairs."""
    rows = [
        [(2.0 * s.kept, 2.0 * s.kept + s.leaked + s.missed) for s in scores]
        for scores in (first, second)
    ]
    return _resample(
        rows[0], rows[1], lambda means: means[..., 0] / np.maximum(1e-9, means[..., 1])
    )


def _harmonic(means: Floats) -> Floats:
    """F1 of mean precision and mean recall."""
    return 2 * means[..., 0] * means[..., 1] / np.maximum(1e-9, means.sum(-1))


def _resample(
    first: Sequence[tuple[float, float]],
    second: Sequence[tuple[float, float]],
    statistic: Callable[[Floats], Floats],
) -> Comparison:
    """Percentile bootstrap of the difference of a statistic of column means."""
    columns = [np.asarray(rows, np.float64) for rows in (first, second)]
    n = len(first)
    draws = np.random.default_rng(0).integers(0, n, size=(ROUNDS, n))
    value = [float(statistic(column.mean(0))) for column in columns]
    drawn = statistic(columns[0][draws].mean(1)) - statistic(columns[1][draws].mean(1))
    low, high = np.quantile(drawn, [0.025, 0.975])
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum())) + 1
    p = min(1.0, 2 * tail / (ROUNDS + 1))
    return Comparison(value[0] - value[1], float(low), float(high), p, n)
