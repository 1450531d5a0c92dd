"""Bootstrap over documents for several tokenizers at once.

One draw of documents serves all tokenizers, so that the difference of two has the interval of
paired data. A draw is a row of counts (how often each document was drawn), and the ratios of all
draws are two matrix products.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.stats import Estimate, percentile_bounds

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
ROUNDS = 2000
Seed = int | Sequence[int]
_CELLS = 1_000_000  # of one block of the count matrix: 8 MB


@dataclass(frozen=True)
class Draws:
    """Sums of the bootstrap draws.

    Attributes:
        tokens: float64 ``[rounds, tokenizers]``; ``chars`` float64 ``[rounds]``.
        values: tokens per character of the documents themselves, float64 ``[tokenizers]``.
        documents: how many were resampled; of a single one there is no interval.
    """

    tokens: F64
    chars: F64
    values: F64
    documents: int

    @property
    def ratios(self) -> F64 | None:
        """Tokens per character of every draw, float64 ``[rounds, tokenizers]``."""
        return self.tokens / self.chars[:, None] if self.documents > 1 else None

    def estimate(self, index: int) -> Estimate:
        """Tokens per character of one tokenizer; NaN bounds where there is but one document."""
        value, ratios = float(self.values[index]), self.ratios
        if ratios is None:
            return Estimate(value, float("nan"), float("nan"), self.documents)
        return Estimate(value, *percentile_bounds(ratios[:, index]), self.documents)

    def difference(self, first: int, second: int) -> dict[str, float | None]:
        """``first - second``, absolute and relative to ``first``, with paired intervals.

        What is relative to no token at all is ``None``: a text of white space under a vocabulary
        that drops it. So are the bounds where there is but one document.
        """
        a, b = float(self.values[first]), float(self.values[second])
        relative = (b - a) / a if a else None
        found: dict[str, float | None] = {"difference": a - b, "relative": relative}
        ratios = self.ratios
        gaps: list[F64 | None] = [None, None]
        if ratios is not None:
            left, right = ratios[:, first], ratios[:, second]
            gaps = [left - right, (right - left) / left if left.all() else None]
        for name, gap in zip(("", "relative_"), gaps, strict=True):
            low, high = percentile_bounds(gap) if gap is not None else (None, None)
            found |= {f"{name}low": low, f"{name}high": high}
        return found


def draw_ratios(tokens: list[I64], chars: I64, *, seed: Seed = 0, rounds: int = ROUNDS) -> Draws:
    """Resample documents and take tokens over characters.

    Args:
        tokens: tokens of each document, int64 ``[documents]``, one array a tokenizer.
        chars: characters of each document, int64 ``[documents]``, none zero.
        seed: seed of the numpy generator, or several numbers that make one.
        rounds: bootstrap draws.
    """
    rows = np.stack(tokens, axis=1).astype(np.float64)
    below = chars.astype(np.float64)
    count = len(below)
    sums = np.concatenate([rows, below[:, None]], axis=1)
    drawn = np.empty((rounds, sums.shape[1]))
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // count)
    for start in range(0, rounds, step):
        size = min(step, rounds - start)
        picked = rng.integers(0, count, size=(size, count))
        picked += np.arange(size)[:, None] * count
        times = np.bincount(picked.ravel(), minlength=size * count).reshape(size, count)
        # Whole numbers below 2**53 in every order of summing: the same bits with any BLAS.
        drawn[start : start + size] = times.astype(np.float64) @ sums
    values = rows.sum(axis=0) / below.sum()
    return Draws(drawn[:, :-1], drawn[:, -1], values, count)


def pool(draws: Sequence[Draws], chars: Sequence[int]) -> Draws:
    """Draws of several slices as one: documents are resampled within their slice.

    Args:
        draws: of each slice, with independent seeds.
        chars: characters of each slice.
    """
    tokens, below = draws[0].tokens.copy(), draws[0].chars.copy()
    for other in draws[1:]:
        tokens += other.tokens
        below += other.chars
    weights = np.array(chars, np.float64)
    values = np.stack([d.values for d in draws]).T @ weights / weights.sum()
    # A slice of one document does not vary: with nothing else there is no interval.
    varied = sum(d.documents for d in draws if d.documents > 1)
    return Draws(tokens, below, values, sum(d.documents for d in draws) if varied else 1)
