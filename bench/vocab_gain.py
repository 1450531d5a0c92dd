"""``python -m bench vocab_gain``: tokens a character on texts of sources that were not trained on.

Ours against the published Chinese LLaMA 2: its first so many Han pieces that the base lacks, put
behind the base by `vocab merge` with ranked scores (their missing parents come on top and are not
counted against it, so it has the larger vocabulary; "as many" is ours with as many entries). The
Chinese sources of `$YANMO_REALDATA/text` are dealt to three folds by the alphabet (``--folds``;
with 19 each source is held out alone); two translations of one manual stay together. Each fold is
judged by entries learned from the sources of the others. Tokens are counted by `tokenizers` on a
seeded sample of every source, per Unicode character of the whole text; intervals resample
documents. English, and code without Han, must keep their tokens one by one.

Text tables go to stderr, JSON to stdout; ``--markdown FILE`` writes the tables as a page.
"""

import argparse
import dataclasses
import io
import json
import random
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard

from yanmo.report import Table
from yanmo.stats import bootstrap_ratio
from yanmo.vocab.agreement import fast_of
from yanmo.vocab.base import Base, grow, load_base
from yanmo.vocab.charsets import HAN_RUN, is_han
from yanmo.vocab.extend import ExtendOptions, choose, count_inputs
from yanmo.vocab.merge import MergeOptions, merge_ranked, read_pieces

from . import texts

SIZES: Final = (8000, 16_000)
BASES: Final = ("llama", "qwen2.5", "llama3", "gpt2")
FOLDS: Final = 3
ROUNDS: Final = 2000
SEED: Final = 20261127
TOGETHER: Final = {"zh-hf-doc-zh_opendoccn": "zh-hf-doc-zh_apachecn"}
BUDGET_MB: Final = 400


@dataclass(frozen=True)
class Source:
    """Files of one source, and the documents on which it is judged."""

    name: str
    paths: list[Path]
    sample: list[str]


def sources(folder: Path, megabytes: float) -> list[Source]:
    """The Chinese sources by the alphabet, each with a seeded sample of its documents."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("zh-*.jsonl.zst")):
        stem = path.name.split(".")[0]
        found.setdefault(TOGETHER.get(stem, stem), []).append(path)
    return [Source(name, paths, sample(paths, megabytes)) for name, paths in found.items()]


def read(path: Path) -> Iterator[str]:
    """The texts of a file."""
    with zstandard.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)["text"]


def sample(paths: Sequence[Path], megabytes: float) -> list[str]:
    """Documents in a seeded order, each up to a tenth of the sample, until there are enough."""
    most = int(megabytes * 1e6 / 10)
    documents = [text[:most] for path in paths for text in read(path) if text.strip()]
    random.Random(SEED).shuffle(documents)
    taken, size = [], 0.0
    for text in documents:
        if size >= megabytes * 1e6:
            break
        taken.append(text)
        size += len(text.encode())
    return taken


class Counter:
    """Tokens a document, by a vocabulary in memory."""

    def __init__(self, base: Base) -> None:
        self.fast = fast_of(base.document)

    def ids(self, documents: Sequence[str]) -> list[list[int]]:
        """The ids of each document."""
        return [e.ids for e in self.fast.encode_batch_fast(documents, add_special_tokens=False)]

    def __call__(self, documents: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([len(ids) for ids in self.ids(documents)], np.float64)


def published(base: Base, words: Sequence[str], size: int) -> Base:
    """The base with the first so many words that it lacks, and their missing parents."""
    known = set(base.surfaces())
    new = [word for word in words if word.encode() not in known][:size]
    return merge_ranked(base, new, MergeOptions()).grown


def judge(
    source: Source, ours: Counter, even: Counter, theirs: Counter, old: Counter
) -> dict[str, Any]:
    """Tokens a character of three vocabularies on one source, and the ratios of two pairs."""
    characters = np.array([len(text) for text in source.sample], np.float64)
    mine, other, before = (count(source.sample) for count in (ours, theirs, old))
    rates = {
        name: bootstrap_ratio(counts, characters, rounds=ROUNDS, seed=SEED)
        for name, counts in (("alone", before), ("published", other), ("ours", mine))
    }
    ratio = bootstrap_ratio(mine, other, rounds=ROUNDS, seed=SEED)
    found = {name: [rate.value, rate.low, rate.high] for name, rate in rates.items()}
    more = bootstrap_ratio(even(source.sample), other, rounds=ROUNDS, seed=SEED)
    ratios = {"ratio": ratio, "as many": more}
    return {**found, **{name: [r.value, r.low, r.high] for name, r in ratios.items()}}


def unchanged(base: Base, grown: Base, megabytes: float) -> dict[str, int]:
    """Documents and tokens of English and of code without Han, and how many documents differ."""
    real = texts.realdata()
    english = [
        text for path in sorted((real or Path()).glob("text/en-*.zst")) for text in read(path)
    ]
    random.Random(SEED).shuffle(english)
    code = [
        path.read_text(encoding="utf-8")
        for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    ]
    chosen = [
        t for t in until(english, megabytes) + until(code, megabytes) if not HAN_RUN.search(t)
    ]
    pair = zip(Counter(base).ids(chosen), Counter(grown).ids(chosen), strict=True)
    rows = [(len(old), old != new) for old, new in pair]
    return {
        "documents": len(rows),
        "tokens": sum(count for count, _ in rows),
        "documents_changed": sum(differs for _, differs in rows),
    }


def until(documents: Sequence[str], megabytes: float) -> list[str]:
    """Documents from the start until there are so many megabytes of characters."""
    ends = np.cumsum([len(text) for text in documents])
    return list(documents[: int(np.searchsorted(ends, megabytes * 1e6)) + 1])


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """All folds, bases and sizes."""
    real = texts.realdata()
    if real is None:
        raise SystemExit("bench vocab_gain needs $YANMO_REALDATA")
    tokenizers = real / "tokenizers"
    pieces = read_pieces(tokenizers / "chinese-llama-2" / "tokenizer.model")
    words = [piece for piece in pieces if is_han(piece)]
    bases = {name: load_base(tokenizers / name) for name in asked.base or BASES}
    every = sources(real / "text", asked.sample_mb)
    merged = {
        (name, size): published(base, words, size) for name, base in bases.items() for size in SIZES
    }
    many = {key: grown.size - bases[key[0]].size for key, grown in merged.items()}
    peers = {key: Counter(grown) for key, grown in merged.items()}
    rows: list[dict[str, Any]] = []
    same: dict[str, Any] = {}
    options = ExtendOptions(add=max(*SIZES, *many.values()), **json.loads(asked.options))
    for fold in asked.fold or range(asked.folds):
        held = every[fold :: asked.folds]
        training = [p for s in every if s not in held for p in s.paths] + asked.extra
        counted = count_inputs(training, dataclasses.replace(options, budget_mb=BUDGET_MB))
        for name, base in bases.items():
            start = time.process_time()
            choice, _ = choose(base, counted, options)
            say(f"fold {fold}, {name}: {time.process_time() - start:.0f} processor seconds")
            old = Counter(base)
            for size in SIZES:
                grown = grow(base, choice.tokens[:size])
                ours = Counter(grown)
                even = Counter(grow(base, choice.tokens[: many[name, size]]))
                for source in held:
                    found = judge(source, ours, even, peers[name, size], old)
                    rows.append(
                        {"base": name, "size": size, "fold": fold, "source": source.name, **found}
                    )
                    line = ", ".join(f"{key} {interval(value)}" for key, value in found.items())
                    say(f"  {name} + {size}, {source.name}: {line}")
            if name not in same:
                same[name] = unchanged(base, grown, asked.english_mb)
    return {"options": json.loads(asked.options), "extra": [p.name for p in asked.extra],
            "rows": rows, "unchanged": same}  # fmt: skip


def say(line: str) -> None:
    """A line of progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def tables(found: dict[str, Any]) -> list[Table]:
    """A table a base and size, and one of their means."""
    made, means = [], []
    for base in dict.fromkeys(row["base"] for row in found["rows"]):
        for size in SIZES:
            some = [r for r in found["rows"] if (r["base"], r["size"]) == (base, size)]
            rows = [
                [r["source"], r["fold"], *(interval(r[k]) for k in ("alone", "published", "ours")),
                 interval(r["ratio"]), interval(r["as many"])]
                for r in sorted(some, key=lambda r: (r["fold"], r["source"]))
            ]  # fmt: skip
            columns = [
                "held-out source",
                "fold",
                "base alone",
                "published",
                "ours",
                "ours / published",
                "as many entries",
            ]
            made.append(Table(f"{base} + {size}: tokens a character", columns, rows))
            ratios = [r["ratio"][0] for r in some]
            above = [r["source"] for r in some if r["ratio"][0] > 1]
            mean = [float(np.mean([r[key][0] for r in some])) for key in ("published", "ours")]
            means.append([base, size, *(f"{value:.4f}" for value in mean), f"{np.mean(ratios):.4f}",
                          f"{min(ratios):.3f}", f"{max(ratios):.3f}",
                          f"{len(above)} of {len(some)}"])  # fmt: skip
    columns = ["base", "size", "published", "ours", "mean ratio", "least", "most", "sources above"]
    kept = [[name, *row.values()] for name, row in found["unchanged"].items()]
    return [
        Table("Means over the held-out sources", columns, means),
        Table("English and code without Han", ["base", "documents", "tokens", "changed"], kept),
        *made,
    ]


def interval(values: Sequence[float]) -> str:
    """A value with its bounds."""
    return f"{values[0]:.3f} ({values[1]:.3f}–{values[2]:.3f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench vocab_gain", description=__doc__)
    parser.add_argument("--base", action="append", choices=BASES)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--fold", action="append", type=int, help="only this one")
    parser.add_argument("--sample-mb", type=float, default=0.5, help="text of each source")
    parser.add_argument("--english-mb", type=float, default=3.0)
    parser.add_argument("--options", default="{}", help="options of `vocab extend`, as JSON")
    parser.add_argument("--extra", action="append", type=Path, default=[],
                        help="more text to train on in every fold")  # fmt: skip
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    found = measure(asked)
    made = tables(found)
    sys.stderr.write("\n".join(table.text() for table in made) + "\n")
    if asked.markdown:
        page = io.StringIO()
        page.write("\n\n".join(table.markdown() for table in made) + "\n")
        asked.markdown.write_text(page.getvalue(), encoding="utf-8")
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
