"""A corpus of any size for scale tests: made from real passages by known edits, with its clusters.

A *base* document is a run of passages drawn from the texts of one language. A *copy* is the same
document after ``edits`` replacements, deletions and insertions at random places. Cluster sizes
follow a power law, ``P(size = k) ~ k ** -EXPONENT``, beside one giant cluster (a tenth of all
documents, at most 100 000): the page that the whole web copies.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EXPONENT: Final = 2.5
LARGEST: Final = 1000
"""Of the clusters drawn from the power law."""
GIANT: Final = 100_000
MEAN_BYTES: Final = 2300
EDITED: Final = (0.0, 0.03)
"""Share of the characters of a copy that are edited, uniform between these."""
FILE_BYTES: Final = 512 << 20


@dataclass(frozen=True)
class Made:
    """What was written."""

    files: list[Path]
    documents: int
    bytes: int
    clusters: int
    largest: int


def passages(texts: Sequence[str]) -> list[str]:
    """Cut texts at line ends into passages of 200 to 1000 characters."""
    out: list[str] = []
    for text in texts:
        held: list[str] = []
        size = 0
        for line in text.split("\n"):
            held.append(line[:1000])
            size += len(held[-1])
            if size >= 200:
                out.append("\n".join(held)[:1000])
                held, size = [], 0
    return out


def cluster_sizes(documents: int, draw: random.Random) -> Iterator[int]:
    """Sizes of clusters that add up to ``documents``, the giant first."""
    giant = min(GIANT, documents // 10)
    weights = [k**-EXPONENT for k in range(1, LARGEST + 1)]
    sizes = draw.choices(range(1, LARGEST + 1), weights, k=documents)
    left = documents - giant
    yield giant
    for size in sizes:
        if left <= 0:
            return
        yield min(size, left)
        left -= size


def base_document(pool: Sequence[str], draw: random.Random) -> str:
    """Passages of one language up to a length drawn around ``MEAN_BYTES``."""
    target = MEAN_BYTES * draw.lognormvariate(-0.32, 0.8)  # mean 1
    chosen: list[str] = []
    size = 0
    while size < target:
        passage = draw.choice(pool)
        chosen.append(passage)
        size += len(passage.encode())
    return "\n\n".join(chosen)


def copy_of(text: str, draw: random.Random) -> str:
    """The text after random edits; each takes, gives or changes up to eight characters."""
    edits = int(len(text) * draw.uniform(*EDITED) / 4)
    for _ in range(edits):
        at, other = draw.randrange(len(text)), draw.randrange(len(text))
        taken, given = draw.randrange(9), draw.randrange(9)
        text = text[:at] + text[other : other + given] + text[at + taken :]
    return text


def documents(
    pools: Sequence[tuple[Sequence[str], float]], count: int, *, seed: int
) -> Iterator[tuple[int, str]]:
    """Cluster number and text of every document, in a shuffled order.

    Args:
        pools: passages of each language, and how often a base document is drawn from it.
        count: documents.
        seed: of everything.
    """
    draw = random.Random(seed)
    sizes = list(cluster_sizes(count, draw))
    order = [number for number, size in enumerate(sizes) for _ in range(size)]
    draw.shuffle(order)
    weights = [weight for _, weight in pools]
    seen: set[int] = set()
    for number in order:
        # A cluster's base is made again from its own seed: nothing is held in memory.
        own = random.Random(seed * 1_000_003 + number)
        pool = own.choices([pool for pool, _ in pools], weights)[0]
        text = base_document(pool, own)
        yield number, copy_of(text, draw) if number in seen else text
        seen.add(number)


def write_corpus(
    pools: Sequence[tuple[Sequence[str], float]], count: int, folder: Path, *, seed: int = 1
) -> Made:
    """Write ``part-*.jsonl`` with the fields id, text and cluster."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    total, number, sizes = 0, 0, {}
    stream, room = None, 0
    for cluster, text in documents(pools, count, seed=seed):
        row = {"id": str(number), "text": text, "cluster": cluster}
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        if stream is None or len(line) > room:
            if stream is not None:
                stream.close()
            files.append(folder / f"part-{len(files):05d}.jsonl")
            stream, room = files[-1].open("wb"), FILE_BYTES
        stream.write(line)
        room -= len(line)
        total += len(text.encode())
        number += 1
        sizes[cluster] = sizes.get(cluster, 0) + 1
    if stream is not None:
        stream.close()
    return Made(files, number, total, len(sizes), max(sizes.values(), default=0))


def main() -> None:
    """``python -m bench.corpus COUNT FOLDER zh.jsonl=0.8 en.jsonl=0.2``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pools", nargs="+", help="FILE.jsonl=WEIGHT")
    arguments = parser.parse_args()
    pools = []
    for item in arguments.pools:
        path, _, weight = item.partition("=")
        with Path(path).open(encoding="utf-8") as stream:
            texts = [json.loads(line)["text"] for line in stream]
        pools.append((passages(texts), float(weight or 1)))
    print(write_corpus(pools, arguments.count, arguments.folder))  # noqa: T201


if __name__ == "__main__":
    main()
