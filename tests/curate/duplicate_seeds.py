"""Recall of candidate pairs over many seeds of the permutations, held against the curve.

``python -m tests.curate.duplicate_seeds REALDATA`` prints the tables of docs/duplicates.md.

Under one seed all pairs of a bin meet the same 112 permutations, and the versions of a page hang
together, so that the interval of one binomial draw is too narrow. Seeds are independent of each
other: the mean over them has an interval that holds whatever the pairs share.
"""

import sys
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from yanmo.curate import sketch
from yanmo.report import Table
from yanmo.stats import wilson

from .duplicate_truth import WIDTH, Floats, Truth, collections, curve

SEEDS: Final = 60
DEVIATIONS: Final = 2.001  # 95 % of Student's t with 59 degrees of freedom
EXTREME: Final = 0.002
"""Nearer to 0 or 1 a seed rarely shows the rarer outcome at all, and no interval can hold."""


class SeedBin(NamedTuple):
    """Pairs of about one similarity, under all seeds."""

    low: float
    pairs: int
    recall: float  # mean over seeds
    interval: tuple[float, float]
    expected: float  # mean of the curve over the pairs
    deviation: float  # standard deviation of the recall from seed to seed

    @property
    def follows(self) -> bool:
        """Does the curve lie in the interval?"""
        return self.interval[0] <= self.expected <= self.interval[1]

    @property
    def telling(self) -> bool:
        """Is the curve away from 0 and 1?"""
        return EXTREME <= self.expected <= 1 - EXTREME


def candidates(truth: Truth, *, shingle: str, seeds: int = SEEDS) -> Floats:
    """Which pairs share a band, bool ``[seeds, N]``."""
    column = pa.array(truth.texts, pa.large_string())
    rows = []
    for seed in range(1, seeds + 1):
        values, _ = sketch.signatures(column, k=5, count=112, seed=seed, shingle=shingle)
        hashes = sketch.band_hashes(values, bands=14)
        rows.append((hashes[:, truth.pairs[:, 0]] == hashes[:, truth.pairs[:, 1]]).any(axis=0))
    return np.array(rows)


def seed_bins(truth: Truth, *, shingle: str, seeds: int = SEEDS) -> list[SeedBin]:
    """Recall in bins of the similarity of the shingles.

    The interval is that of the mean over seeds, or Wilson's of all draws where that is wider.
    """
    found = candidates(truth, shingle=shingle, seeds=seeds)
    jaccard = truth.token5 if shingle == "tokens" else truth.char5
    number = np.floor(np.round(jaccard, 9) / WIDTH + 1e-9).astype(int)
    bins = []
    for n in np.unique(number).tolist():
        mine = found[:, number == n]
        rates = mine.mean(axis=1)
        half = DEVIATIONS * float(rates.std(ddof=1)) / seeds**0.5
        low, high = wilson(int(mine.sum()), mine.size)
        mean = float(rates.mean())
        bins.append(SeedBin(n * WIDTH, mine.shape[1], mean,
                            (min(low, mean - half), max(high, mean + half)),
                            float(curve(jaccard[number == n]).mean()),
                            float(rates.std(ddof=1))))  # fmt: skip
    return bins


def main(realdata: Path) -> None:
    """Print every table."""
    for name, truth in collections(realdata).items():
        for shingle in ("tokens", "characters") if len(truth.pairs) else ():
            rows = [[f"{b.low:.2f}", b.pairs, f"{b.recall:.4f}",
                     f"{max(b.interval[0], 0):.4f}–{min(b.interval[1], 1):.4f}",
                     f"{b.expected:.4f}", "yes" if b.follows else "no", f"{b.deviation:.3f}"]
                    for b in seed_bins(truth, shingle=shingle) if b.telling]  # fmt: skip
            columns = ["from", "pairs", "recall", "95 % interval", "curve", "in it", "seed to seed"]
            table = Table(f"{name}, shingles of {shingle}, {SEEDS} seeds", columns, rows)
            sys.stdout.write(table.markdown() + "\n\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
