"""Near duplicates held against truth on real texts: recall of pairs, likeness of what is removed.

``python -m tests.curate.duplicate_truth REALDATA`` prints the tables of docs/duplicates.md.

Three collections: *versions*, 450 pages of a manual in four releases, with the published Jaccard of
character 5-grams for every pair of versions of a page; *short*, lines of 20 to 200 characters of 25
collections, the templated ones among them; *edited*, near-copies of some of these by known edits.
"""

import csv
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
import zstandard

from yanmo.curate import minhash, sketch
from yanmo.report import Table
from yanmo.stats import wilson

from .duplicate_parts import SKETCH, document_table, find_near, write_parts

Floats = np.ndarray[Any, Any]
WIDTH: Final = 0.05  # of a bin of Jaccard similarity
PER_SOURCE: Final = 3000  # lines of a collection
COPIES: Final = 6000


class Truth(NamedTuple):
    """Documents, some pairs of them, and how alike these are."""

    ids: list[str]
    texts: list[str]
    pairs: np.ndarray[Any, Any]  # [N, 2] rows
    char5: Floats  # [N] Jaccard of character 5-grams, white space removed
    token5: Floats  # [N] Jaccard of token 5-grams


class Run(NamedTuple):
    """What the steps make of the documents."""

    candidate: np.ndarray[Any, Any]  # [N] does a pair share a band
    resolved: np.ndarray[Any, Any]  # [N] is one of the pair removed
    removed: list[tuple[int, int]]  # rows of a removed document and of the one kept for it


def char5_of(text: str) -> set[str]:
    """The set behind the published truth."""
    plain = re.sub(r"\s+", "", text)
    return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))}


def likeness(first: str, second: str) -> float:
    """Jaccard similarity of the character 5-grams of two texts."""
    a, b = char5_of(first), char5_of(second)
    return len(a & b) / len(a | b)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with zstandard.open(path, "rt", encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def _token5(texts: Sequence[str], pairs: np.ndarray[Any, Any]) -> Floats:
    hashes, bounds, _ = sketch.shingles(pa.array(texts, pa.large_string()), k=5)
    sets = [hashes[low:high] for low, high in itertools.pairwise(bounds)]
    return np.array([sketch.exact_jaccard(sets[a], sets[b]) for a, b in pairs])


def versions(realdata: Path) -> Truth:
    """Four releases of the same manual."""
    folder = realdata / "dedup"
    rows = list(_rows(folder / "tidb-versions.jsonl.zst"))
    ids, texts = [row["id"] for row in rows], [row["text"] for row in rows]
    row_of = {name: n for n, name in enumerate(ids)}
    with (folder / "tidb-versions-pairs.tsv").open(encoding="utf-8") as stream:
        truth = list(csv.DictReader(stream, delimiter="\t"))
    pairs = np.array([[row_of[t["a"]], row_of[t["b"]]] for t in truth])
    char5 = np.array([float(t["char5_jaccard"]) for t in truth])
    return Truth(ids, texts, pairs, char5, _token5(texts, pairs))


def short_lines(realdata: Path, *, seed: int = 1) -> list[str]:
    """Lines of 20 to 200 characters: of each collection those with the smallest hash."""
    paths = sorted((realdata / "text").glob("*.zst"))
    paths.append(realdata / "dedup" / "tidb-versions.jsonl.zst")
    found: dict[str, None] = {}
    for path in paths:
        lines = {line.strip() for row in _rows(path) for line in row["text"].split("\n")}
        some = [line for line in lines if 20 <= len(line) <= 200]
        some.sort(key=lambda line: (xxhash.xxh3_64_intdigest(line.encode(), seed=seed), line))
        found.update(dict.fromkeys(some[:PER_SOURCE]))
    return list(found)


def edited(lines: Sequence[str], *, seed: int = 1) -> Truth:
    """Near-copies of lines: 0 to 12 % of the characters replaced, left out or doubled."""
    random = np.random.default_rng(seed)
    chosen = random.choice(len(lines), COPIES, replace=False)
    pool = "".join(lines[n] for n in chosen[:500])
    texts = [lines[n] for n in chosen]
    for line, rate in zip(list(texts), random.uniform(0, 0.12, COPIES), strict=True):
        kinds = np.where(random.random(len(line)) < rate, random.integers(1, 4, len(line)), 0)
        others = random.integers(0, len(pool), len(line))
        changed = [
            (c, pool[o], "", c + c)[kind] for c, o, kind in zip(line, others, kinds, strict=True)
        ]
        texts.append("".join(changed))
    pairs = np.column_stack([np.arange(COPIES), np.arange(COPIES) + COPIES])
    char5 = np.array([likeness(texts[a], texts[b]) for a, b in pairs])
    ids = [f"e{n:06d}" for n in range(len(texts))]
    return Truth(ids, texts, pairs, char5, _token5(texts, pairs))


def run(truth: Truth, folder: Path, *, shingle: str = "tokens") -> Run:
    """Run the steps over two parts, and look up the pairs."""
    half = len(truth.ids) // 2
    cuts = (slice(0, half), slice(half, None))
    parts = write_parts(folder / "in", [document_table(truth.texts[c], truth.ids[c]) for c in cuts])
    sketch = {**SKETCH, "shingle": shingle}
    rows, banded = find_near(folder / "work", parts, sketch=sketch)
    share = np.zeros(len(truth.pairs), np.bool_)
    for band in range(14):
        hashes = np.arange(len(truth.ids), dtype=np.uint64)  # a document without tokens is alone
        for made, start in zip(banded, (0, half), strict=True):
            entries = np.load(made / minhash.band_name(band))
            hashes[start + entries["row"].astype(np.int64)] = entries["hash"]
        share |= hashes[truth.pairs[:, 0]] == hashes[truth.pairs[:, 1]]
    row_of = {name: n for n, name in enumerate(truth.ids)}
    removed = [(row_of[r["id"]], row_of[r["kept_id"]]) for r in rows if r["how"] == "near"]
    gone = np.zeros(len(truth.ids), np.bool_)
    gone[[n for n, _ in removed]] = True
    return Run(share, gone[truth.pairs].any(axis=1), removed)


def curve(jaccard: Floats) -> Floats:
    """Chance that 14 bands of 8 rows find a pair."""
    return 1 - (1 - jaccard**8) ** 14


class Bin(NamedTuple):
    """Pairs of about one similarity."""

    low: float
    pairs: int
    candidates: int
    expected: float  # mean over the pairs of the curve at the similarity of their shingles
    by_measure: float  # and at the similarity that the bins are made of
    interval: tuple[float, float]  # Wilson, of candidates in pairs
    resolved: float  # share of which one is removed

    @property
    def follows(self) -> bool:
        """Does the curve of the shingles lie in the interval?"""
        return self.interval[0] <= self.expected <= self.interval[1]


def recall_bins(
    truth: Truth,
    result: Run,
    *,
    by: str,
    of: str = "token5",
    inside: Floats | None = None,
    confidence: float = 0.95,
) -> list[Bin]:
    """Recall in bins of similarity; equal documents are the last bin.

    Args:
        truth: the pairs.
        result: what became of them.
        by: ``char5`` or ``token5``.
        of: what the shingles were, and so whose curve is expected: ``token5`` or ``char5``.
        inside: which pairs count; all if not given.
        confidence: of the intervals.
    """
    bins = []
    jaccard = getattr(truth, by)
    number = np.floor(np.round(jaccard, 9) / WIDTH + 1e-9).astype(int)
    which = np.ones(len(jaccard), np.bool_) if inside is None else inside
    for n in np.unique(number[which]).tolist():
        mine = which & (number == n)
        found, total = int(result.candidate[mine].sum()), int(mine.sum())
        bins.append(Bin(n * WIDTH, total, found, float(curve(getattr(truth, of)[mine]).mean()),
                        float(curve(jaccard[mine]).mean()),
                        wilson(found, total, confidence=confidence),
                        float(result.resolved[mine].mean())))  # fmt: skip
    return bins


def mostly_hanzi(truth: Truth) -> Floats:
    """Pairs with 9 hanzi and more among 10 visible characters, in both."""
    share = []
    for text in truth.texts:
        plain = re.sub(r"\s+", "", text)
        share.append(sum("\u4e00" <= c <= "\u9fff" for c in plain) / max(len(plain), 1))
    enough = np.array(share) >= 0.9
    return enough[truth.pairs].all(axis=1)


def unlike(truth: Truth, result: Run) -> tuple[int, int, list[float]]:
    """Removed documents whose character 5-grams are below 0.7 of the kept one's, of how many."""
    found = [likeness(truth.texts[a], truth.texts[b]) for a, b in result.removed]
    return sum(s < 0.7 for s in found), len(found), found


def recall_table(title: str, bins: Sequence[Bin]) -> Table:
    """For people."""
    rows = [
        [f"{b.low:.2f}", b.pairs, f"{b.candidates / b.pairs:.3f}",
         f"{b.interval[0]:.3f}–{b.interval[1]:.3f}", f"{b.by_measure:.3f}", f"{b.expected:.3f}",
         "yes" if b.follows else "no", f"{b.resolved:.3f}"]
        for b in bins
    ]  # fmt: skip
    columns = ["from", "pairs", "candidates", "95 % interval", "curve", "of shingles", "in it",
               "one removed"]  # fmt: skip
    return Table(title, columns, rows)


def collections(realdata: Path) -> dict[str, Truth]:
    """The three collections by name."""
    lines = short_lines(realdata)
    no_pairs = (np.empty((0, 2), np.int64), np.empty(0), np.empty(0))
    short = Truth([f"s{n:06d}" for n in range(len(lines))], lines, *no_pairs)
    return {"versions": versions(realdata), "short": short, "edited": edited(lines)}


def main(realdata: Path) -> None:
    """Print every table."""
    rows = []
    for (name, truth), shingle in itertools.product(
        collections(realdata).items(), ("tokens", "characters")
    ):
        with tempfile.TemporaryDirectory() as folder:
            result = run(truth, Path(folder), shingle=shingle)
        if len(truth.pairs) and shingle == "characters":
            _show(recall_table(f"{name}, shingles of characters: by char5",
                               recall_bins(truth, result, by="char5", of="char5")))  # fmt: skip
        elif len(truth.pairs):
            for by in ("token5", "char5"):
                bins = recall_bins(truth, result, by=by)
                _show(recall_table(f"{name}: by {by}", bins))
            hanzi = mostly_hanzi(truth)
            if hanzi.any():
                bins = recall_bins(truth, result, by="char5", inside=hanzi)
                _show(recall_table(f"{name}, mostly hanzi: by char5", bins))
        bad, n, found = unlike(truth, result)
        rows.append([name, shingle, len(truth.ids), n, bad, f"{bad / n:.2%}", f"{min(found):.3f}"])
    columns = [
        "collection",
        "shingles",
        "documents",
        "removed",
        "below 0.7",
        "share",
        "least alike",
    ]
    _show(Table("removed against kept", columns, rows))


def _show(table: Table) -> None:
    sys.stdout.write(table.markdown() + "\n\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
