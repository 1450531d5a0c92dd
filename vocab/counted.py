"""A corpus as counted Han runs, each input a witness of its own, and a list of words beside it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from yanmo.errors import DataError, UsageError
from yanmo.recipe import did_you_mean

from .breadth import F64, Groups
from .charsets import is_han
from .corpus import Hosts, batches
from .kernels import I32, I64
from .runs import RunCounter, Runs

# Weights are kept in hundredths, so that counts stay whole numbers.
WEIGHT_UNIT = 100
MOST_DIGITS = 12  # of a frequency: sums of them are whole numbers in float64, too


@dataclass(frozen=True, kw_only=True)
class Weighting:
    """What each input counts.

    Attributes:
        weights: factor of an input by its name (file name up to the first dot), 1 if not named.
        temperature: 0: inputs count by their size; 1: all alike.
        power: exponent of the mean over inputs (see :mod:`yanmo.vocab.breadth`).
        background: list of words with frequencies.
        background_share: what that list counts beside all inputs.
    """

    weights: Mapping[str, float]
    temperature: float
    power: float
    background: str | None
    background_share: float


@dataclass(frozen=True)
class Counted:
    """Runs of the corpus, and what each occurrence counts.

    Attributes:
        runs: the distinct runs; those of the list of words alone have no occurrence.
        hosts: site of each document, -1 unknown, int32.
        names: the inputs, and last the list of words if there is one.
        groups: the inputs as witnesses.
        listed: frequency of each run in the list of words, int64 ``[R]``.
        han_bytes: of all inputs.
    """

    runs: Runs
    hosts: I32
    names: list[str]
    groups: Groups
    listed: I64
    han_bytes: int

    def weighted(self) -> I64:
        """What each run counts in learning, in hundredths of an average occurrence."""
        runs, groups = self.runs, self.groups
        total = float(groups.sizes.sum())
        factor = np.round(WEIGHT_UNIT * total * groups.shares / groups.sizes).astype(np.int64)
        # Whole numbers below 2^53: the order of adding does not matter.
        counts = np.bincount(
            runs.run,
            weights=factor[groups.of_document[runs.document]],
            minlength=len(runs.counts),
        ).astype(np.int64)
        if self.listed.any():
            counts += self.listed * factor[-1]
        return counts


def count_corpus(
    inputs: Sequence[Path], *, column: str, budget_bytes: int, weighting: Weighting
) -> Counted:
    """Count the Han runs of all inputs.

    Args:
        inputs: run folders, Parquet, JSONL or text files.
        column: column or field that holds the text.
        budget_bytes: bytes of distinct runs to hold.
        weighting: what each input counts.

    Raises:
        DataError: there is no Han text, or the list of words holds none.
        UsageError: a weight names no input, or is below 0 or no number.
    """
    names = [input_name(path) for path in inputs]
    for name, weight in weighting.weights.items():
        if name not in names:
            raise UsageError("a weight names no input", value=name, fix=did_you_mean(name, names))
        if not 0 <= weight < math.inf:
            raise UsageError("a weight is a number from 0 up", where=name, value=weight)
    counter, sites = RunCounter(budget_bytes), Hosts()
    hosts: list[int] = []
    groups: list[I32] = []
    for number, path in enumerate(inputs):
        for batch in batches(path, column=column):
            counter.add(batch.texts)
            hosts += sites.add(batch.hosts)
            groups.append(np.full(len(batch.texts), number, np.int32))
    if counter.han_bytes == 0:
        raise DataError("there is no Han text to learn from", fix="Is the text column right?")
    words = read_frequencies(weighting.background) if weighting.background else {}
    places = counter.add_words(pa.array(list(words), pa.large_string()))
    runs = counter.finish()
    listed = np.zeros(len(runs.counts), np.int64)
    known = places >= 0
    listed[places[known]] = np.array(list(words.values()), np.int64)[known]
    of_document = np.concatenate(groups)
    found = _groups(runs, of_document, listed, names, weighting)
    if words:
        names = [*names, Path(str(weighting.background)).name]
    return Counted(runs, np.array(hosts, np.int32), names, found, listed, counter.han_bytes)


def input_name(path: Path) -> str:
    """The name by which weights know an input."""
    return path.name.split(".")[0]


def _groups(
    runs: Runs, of_document: I32, listed: I64, names: list[str], weighting: Weighting
) -> Groups:
    lengths = run_lengths(runs)
    sizes: F64 = np.bincount(
        of_document[runs.document], weights=lengths[runs.run], minlength=len(names)
    ).astype(np.float64)
    factors = np.array([weighting.weights.get(name, 1.0) for name in names])
    shares = factors * sizes ** (1 - weighting.temperature) * (sizes > 0)
    if not shares.any():
        raise DataError("all inputs with Han text weigh nothing", fix="Raise a weight above 0.")
    shares /= shares.sum()
    if listed.any():
        share = weighting.background_share
        shares = np.append(shares * (1 - share), share)
        sizes = np.append(sizes, float(lengths @ listed))
    return Groups(of_document, shares, np.maximum(sizes, 1.0), weighting.power)


def run_lengths(runs: Runs) -> I64:
    """Characters of each run."""
    if len(runs.ends) < 2:
        return np.zeros(0, np.int64)
    leads = (runs.store & 0xC0) != 0x80
    return np.add.reduceat(leads, runs.ends[:-1], dtype=np.int64)


def read_frequencies(path: str | Path) -> dict[str, int]:
    """A list of words with frequencies: ``word<TAB or space>count``, more columns ignored.

    Words that are not Han alone are passed over; a word that stands twice counts twice.

    Raises:
        UsageError: it cannot be read, a line has no count, or no word is Han.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the list of words ({error})", where=path) from None
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, count = (*line.split("\t" if "\t" in line else " ", 2), "")[:2]
        if not is_han(word.strip()):
            continue
        digits = count.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS):
            raise UsageError(
                "no frequency beside the word",
                where=f"{path}:{number}",
                value=line[:40],
                fix=f"Each line: the word, a tab or space, at most {MOST_DIGITS} digits.",
            )
        found[word.strip()] = found.get(word.strip(), 0) + int(digits)
    if not any(found.values()):
        raise UsageError("no Han word with a frequency in the list", where=path)
    return found
