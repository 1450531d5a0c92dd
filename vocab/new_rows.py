"""Initial values for the rows of new entries, from those of the base.

=========  ===========================================================================
mean       mean of the rows that the text was spelled with before
weighted   the same, each part half as heavy as its neighbour (``decay`` 0.5), so that the
           order of the parts counts: 的人 and 人的 are the same three bytes thrice, and a
           plain mean makes them one vector
random     drawn from a normal distribution with mean and covariance of the base's rows
=========  ===========================================================================

Sources: mean: Gee et al. 2022 (fast vocabulary transfer); weights by position: AdaptiVocab (Nakash
et al. 2025), here halved from part to part; random: Hewitt 2021 (initialising new word embeddings).
Shapes: ``V`` rows of the base, ``n`` new rows, ``D`` width.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.errors import DataError

from .subtokens import Ints, Plan
from .tensor_file import Floats, Rows, encode

# Rows that come out equal get so much of their size as noise, then twice, four times … as much.
# bfloat16 tells numbers apart that differ by 0.4 %.
NOISE = 0.01
_ATTEMPTS = 6
PERCENTILES = (0, 1, 5, 50, 95, 99, 100)


@dataclass(frozen=True)
class Statistics:
    """The rows of the base's own entries.

    Attributes:
        mean: (D,) float64.
        norms: (V,) length of each row.
    """

    mean: Floats
    norms: Floats

    def percentiles(self) -> dict[str, float]:
        """Length at each of ``PERCENTILES``."""
        return percentiles(self.norms)


def percentiles(norms: Floats) -> dict[str, float]:
    """Length at each of ``PERCENTILES``; nothing for no rows."""
    if not len(norms):
        return {}
    found = np.percentile(norms, PERCENTILES)
    return {f"p{p}": float(v) for p, v in zip(PERCENTILES, found, strict=True)}


def measure(rows: Rows, count: int) -> Statistics:
    """One pass over the first ``count`` rows.

    Raises:
        DataError: a value is not finite.
    """
    total, norms = np.zeros(rows.width), np.empty(count)
    at = 0
    for chunk in rows.chunks(count):
        lengths = np.sqrt((chunk * chunk).sum(axis=1))
        if not np.isfinite(lengths).all():
            bad = at + int(np.flatnonzero(~np.isfinite(lengths))[0])
            raise DataError("a row of the base is not finite", where=rows.tensor.name, value=bad,
                            fix="The checkpoint is damaged.")  # fmt: skip
        norms[at : at + len(chunk)] = lengths
        total += chunk.sum(axis=0)
        at += len(chunk)
    return Statistics(total / count, norms)


@dataclass(frozen=True)
class Method:
    """How new rows are made.

    Attributes:
        init: ``mean``, ``weighted`` or ``random``.
        heavier: which part of a word is the heaviest, ``first`` or ``last`` (``weighted``).
        decay: weight of a part, compared with that of its heavier neighbour.
        covariance: ``full`` or ``diagonal`` (``random``).
        norm: ``median``: every row is scaled to the base's median length; ``clip``: one outside
            the 1st to 99th percentile to the nearer of the two; ``none``: lengths stay.
        seed: of noise and of random rows.
    """

    init: str
    heavier: str
    decay: float
    covariance: str
    norm: str
    seed: int


@dataclass
class Made:
    """What was noted while rows were made.

    Attributes:
        norms: length of every new row as stored.
        equal: rows that came out equal to an earlier one and got noise.
        without_parts: rows that no part, or parts of no length, spell: the base's mean with noise.
    """

    norms: list[float] = field(default_factory=list)
    equal: int = 0
    without_parts: int = 0


class Maker:
    """Makes the new rows of one matrix, in order of their ids and a chunk at a time."""

    def __init__(self, rows: Rows, base: Statistics, plan: Plan, method: Method) -> None:
        self.rows, self.base, self.plan, self.method = rows, base, plan, method
        self.made = Made()
        self._seen: set[bytes] = set()
        self._normal = np.random.default_rng([method.seed, 1])
        self._noise = np.random.default_rng([method.seed, 2])
        marks = np.percentile(base.norms, (1, 50, 99))
        self.low, self.median, self.high = (float(mark) for mark in marks)
        self._factor = self._root() if method.init == "random" else None

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        """The rows as they are stored.

        Raises:
            DataError: rows stay equal, or a value does not fit the dtype.
        """
        step = max(1, self.rows.chunk() // 4)
        for start in range(0, len(self.plan.new), step):
            stop = min(start + step, len(self.plan.new))
            drawn = self.method.init == "random"
            values = self._drawn(stop - start) if drawn else self._combined(start, stop)
            yield self._stored(self._scaled(values), start)

    def _combined(self, start: int, stop: int) -> Floats:
        """Weighted means of the parts of new entries ``start`` to ``stop``: (n, D)."""
        ends = self.plan.ends[start:stop]
        first = int(self.plan.ends[start - 1]) if start else 0
        parts = self.plan.parts[first : int(ends[-1])]
        counts = np.diff(ends, prepend=first)
        used, place = np.unique(parts, return_inverse=True)
        known = self.rows.take(used)
        out = np.tile(self.base.mean, (stop - start, 1))
        weights = self._weights(counts)
        at = 0
        for row, count in enumerate(counts.tolist()):
            if count:
                out[row] = weights[at : at + count] @ known[place[at : at + count]]
            at += count
        empty = ~(np.abs(out).max(axis=1) > 0) | (counts == 0)
        self.made.without_parts += int(empty.sum())
        out[empty] = self._noisy(np.tile(self.base.mean, (int(empty.sum()), 1)), 1.0)
        return out

    def _weights(self, counts: Ints) -> Floats:
        """Weights that add up to one within each run of ``counts`` parts."""
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        place = np.arange(int(counts.sum())) - starts
        lengths = np.repeat(counts, counts)
        if self.method.init == "mean":
            return np.asarray(1.0 / lengths, np.float64)
        if self.method.heavier == "last":
            place = lengths - 1 - place
        weights = self.method.decay ** place.astype(np.float64)
        totals = np.bincount(np.repeat(np.arange(len(counts)), counts), weights, len(counts))
        return np.asarray(weights / np.repeat(totals, counts), np.float64)

    def _drawn(self, count: int) -> Floats:
        z = self._normal.standard_normal((count, self.rows.width))
        assert self._factor is not None
        spread = z * self._factor if self._factor.ndim == 1 else z @ self._factor.T
        return np.asarray(self.base.mean + spread, np.float64)

    def _root(self) -> Floats:
        """Standard deviations (D,), or a root of the covariance (D, D)."""
        full = self.method.covariance == "full" and self.rows.width > 1
        total = np.zeros((self.rows.width,) * (2 if full else 1))
        count = len(self.base.norms)
        for chunk in self.rows.chunks(count):
            centred = chunk - self.base.mean
            total += centred.T @ centred if full else (centred * centred).sum(axis=0)
        total /= max(count - 1, 1)
        if not full:
            return np.sqrt(total)
        try:
            return np.asarray(np.linalg.cholesky(total), np.float64)
        except np.linalg.LinAlgError:  # fewer rows than columns
            values, vectors = np.linalg.eigh(total)
            return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)), np.float64)

    def _scaled(self, values: Floats) -> Floats:
        lengths = np.sqrt((values * values).sum(axis=1))
        wanted = lengths
        if self.method.norm == "median":
            wanted = np.full_like(lengths, self.median)
        elif self.method.norm == "clip":
            wanted = np.clip(lengths, self.low, self.high)
        ratio = np.divide(wanted, lengths, out=np.ones_like(lengths), where=lengths > 0)
        return np.asarray(values * ratio[:, None], np.float64)

    def _noisy(self, values: Floats, share: float) -> Floats:
        size = np.sqrt((values * values).mean(axis=1, keepdims=True))
        size = np.where(size > 0, size, self.median / np.sqrt(self.rows.width))
        return np.asarray(values + share * size * self._noise.standard_normal(values.shape))

    def _stored(self, values: Floats, start: int) -> npt.NDArray[Any]:
        """Round to the dtype of the matrix; rows that are equal then get noise of their own."""
        dtype = self.rows.tensor.dtype
        stored = encode(values, dtype)
        for row in range(len(stored)):
            share = NOISE
            for attempt in range(_ATTEMPTS + 1):
                mark = hashlib.blake2b(stored[row].tobytes(), digest_size=16).digest()
                if mark not in self._seen:
                    break
                if attempt == _ATTEMPTS or self.rows.width == 1:
                    raise DataError("two new rows stay equal", where=self.rows.tensor.name,
                                    value=int(self.plan.new[start + row]))  # fmt: skip
                self.made.equal += attempt == 0
                again = self._scaled(self._noisy(values[row : row + 1], share))
                stored[row] = encode(again, dtype)[0]
                share *= 2
            self._seen.add(mark)
        return self._checked(stored, start)

    def _checked(self, stored: npt.NDArray[Any], start: int) -> npt.NDArray[Any]:
        from .tensor_file import decode

        values = decode(stored, self.rows.tensor.dtype)
        lengths = np.sqrt((values * values).sum(axis=1))
        if not np.isfinite(lengths).all():
            row = int(np.flatnonzero(~np.isfinite(lengths))[0])
            raise DataError(
                f"a new row does not fit {self.rows.tensor.dtype}", where=self.rows.tensor.name,
                value=int(self.plan.new[start + row]), fix="Try --norm median.",
            )  # fmt: skip
        self.made.norms += lengths.tolist()
        return stored


def vector_values(rows: Rows, base: Statistics, plan: Plan, method: Method) -> npt.NDArray[Any]:
    """New entries of a bias (V,), one number a token: means of the parts', whatever the method."""
    known = rows.take(np.arange(len(base.norms)))[:, 0]
    out = np.full(len(plan.new), base.mean[0])
    at = 0
    for row, end in enumerate(plan.ends.tolist()):
        if end > at:
            out[row] = known[plan.parts[at:end]].mean()
        at = end
    return encode(out[:, None], rows.tensor.dtype)
