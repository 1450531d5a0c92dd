"""Precision and recall of the step for personal data on the labelled set.

    python -m tests.curate.pii_labelled                      all, as Markdown
    python -m tests.curate.pii_labelled --half held          one half (development, held)
    python -m tests.curate.pii_labelled --half development --misses

A hit counts as exact where type and both ends agree with a label, as overlapping where the type
agrees and they share a character. Recall is over labels, precision over hits in all thousand texts.
The development half may guide changes of the step, the held half must not.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from yanmo.curate.pii import TYPES, PiiOptions, mask
from yanmo.stats import wilson

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "pii"
HALVES = ("development", "held")


class Span(NamedTuple):
    """A label or a hit: type, first character, character after the last."""

    kind: str
    start: int
    end: int

    def meets(self, other: "Span") -> bool:
        """Whether the types agree and the spans share a character."""
        return self.kind == other.kind and self.start < other.end and other.start < self.end


class Judged(NamedTuple):
    """A text of the set with its labels and what the step found in it."""

    id: str
    kind: str
    text: str
    labels: list[Span]
    hits: list[Span]

    @property
    def missed(self) -> list[Span]:
        """Labels without an overlapping hit of their type."""
        return [label for label in self.labels if not any(map(label.meets, self.hits))]

    @property
    def false(self) -> list[Span]:
        """Hits without an overlapping label of their type."""
        return [hit for hit in self.hits if not any(map(hit.meets, self.labels))]


def half(name: str) -> str:
    """The half of the set that an id belongs to."""
    return HALVES[hashlib.blake2b(name.encode()).digest()[0] & 1]


def judge(which: str | None = None) -> list[Judged]:
    """Run the step over the set, or over a half of it."""
    paths = [FOLDER / f"{name}.jsonl" for name in ("positives", "lookalikes")]
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    records = [json.loads(line) for line in lines]
    records = [record for record in records if which in (None, half(record["id"]))]
    texts = pa.array([record["text"] for record in records], pa.large_string())
    hits: list[list[Span]] = [[] for _ in records]
    for row, start, end, kind in mask(texts, PiiOptions(action="replace")).spans.tolist():
        hits[row].append(Span(TYPES[kind], start, end))
    return [
        Judged(record["id"], record["kind"], record["text"],
               [Span(span["type"], span["start"], span["end"]) for span in record["spans"]], found)
        for record, found in zip(records, hits, strict=True)
    ]  # fmt: skip


class Score(NamedTuple):
    """Counts of one type: labels, hits, and of each those that agree exactly or overlap."""

    labels: int
    hits: int
    exact: int
    found: int
    true: int


def score(judged: Sequence[Judged], kinds: Sequence[str]) -> Score:
    """Count over some types."""
    labels = hits = exact = found = true = 0
    for text in judged:
        mine = [label for label in text.labels if label.kind in kinds]
        theirs = [hit for hit in text.hits if hit.kind in kinds]
        labels, hits = labels + len(mine), hits + len(theirs)
        exact += len(set(mine) & set(theirs))
        found += sum(any(map(label.meets, theirs)) for label in mine)
        true += sum(any(map(hit.meets, mine)) for hit in theirs)
    return Score(labels, hits, exact, found, true)


def share(k: int, n: int) -> str:
    """A proportion in per cent with its Wilson interval."""
    if not n:
        return "–"
    low, high = wilson(k, n)
    return f"{100 * k / n:.1f} ({100 * low:.0f}–{100 * high:.0f})"


def report(judged: Sequence[Judged]) -> str:
    """Markdown: a table by type, and false hits among look-alikes by kind."""
    rows = ["| type | labels | hits | recall, exact | recall, overlapping | precision, exact "
            "| precision, overlapping |", "|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for name, kinds in [*((kind, [kind]) for kind in TYPES), ("**all**", list(TYPES))]:
        s = score(judged, kinds)
        cells = [share(s.exact, s.labels), share(s.found, s.labels), share(s.exact, s.hits),
                 share(s.true, s.hits)]  # fmt: skip
        rows.append(f"| {name} | {s.labels} | {s.hits} | {' | '.join(cells)} |")
    others = [text for text in judged if not text.labels]
    touched = Counter(text.kind for text in others if text.hits)
    totals = Counter(text.kind for text in others)
    rows += ["", f"Look-alikes with a hit: {sum(touched.values())} of {len(others)}, "
             f"{share(sum(touched.values()), len(others))} %: "
             + (", ".join(f"{kind} {n} of {totals[kind]}" for kind, n in touched.most_common())
                or "none") + "."]  # fmt: skip
    return "\n".join(rows)


def misses(judged: Sequence[Judged]) -> str:
    """Every text in which hits and labels differ."""
    lines = []
    for text in judged:
        if set(text.labels) != set(text.hits):
            lines.append(f"{text.id} {text.kind} {text.text!r}")
            for name, spans in (("label", text.labels), ("hit", text.hits)):
                other = text.hits if name == "label" else text.labels
                only = [span for span in spans if span not in other]
                lines += [f"    {name} {s.kind} {text.text[s.start : s.end]!r}" for s in only]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--half", choices=HALVES)
    parser.add_argument("--misses", action="store_true", help="list where hits and labels differ")
    options = parser.parse_args(arguments)
    judged = judge(options.half)
    print(misses(judged) if options.misses else report(judged))  # noqa: T201


if __name__ == "__main__":
    main()
