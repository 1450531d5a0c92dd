"""Workloads: real Chinese and English documents, and near duplicates planted among them.

Real texts are the JSON lines (zstd) of ``$YANMO_REALDATA/text``: Chinese from translations of
technical articles, manuals, news bulletins, statutes, commentary, question lists and classical
texts; English from BBC news, a textbook, the documentation of a framework and Gutenberg books.
Lengths are as they are. Without that folder the bundled sample stands in, small, and every table
says so.
"""

import json
import os
import random
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEED: Final = 20261126
LANGUAGES: Final = ("zh", "en")
HANZI: Final = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN: Final = re.compile(f"[{HANZI}]|[^\\W_{HANZI}]+")
"""A hanzi, or a run of other letters and digits: written here a second time, apart from the kernels
that it is held against."""

MIN_TOKENS: Final = 100  # shorter documents get no planted copy: one edit would be too large
MAX_EDITS: Final = 0.02  # edited tokens a token; 0.0105 leaves a Jaccard of 0.9 at 5-grams


@dataclass(frozen=True)
class Workload:
    """Documents of one language.

    Attributes:
        language: ``zh`` or ``en``.
        texts: the documents, shuffled.
        source: where they are from, for the table.
        is_real: whether they are as they were written.
    """

    language: str
    texts: list[str]
    source: str
    is_real: bool = True

    @property
    def name(self) -> str:
        """What a table calls it."""
        return self.language if self.is_real else f"{self.language}, recombined"

    @property
    def megabytes(self) -> float:
        """UTF-8 bytes of text, in millions."""
        return sum(len(text.encode()) for text in self.texts) / 1e6


@dataclass(frozen=True)
class Pair:
    """Two documents by index and their exact Jaccard similarity over sets of token 5-grams."""

    first: int
    second: int
    jaccard: float


def realdata() -> Path | None:
    """The folder of real data, if there is one."""
    named = os.environ.get("YANMO_REALDATA")
    folder = Path(named) if named else None
    return folder if folder and (folder / "text").is_dir() else None


def documents(language: str) -> list[str]:
    """All texts of one language, in the order of their files.

    Args:
        language: ``zh`` or ``en``.
    """
    return [text for texts in by_source(language)[0] for text in texts]


def by_source(language: str) -> tuple[list[list[str]], str]:
    """The texts of one language, file by file, and where they are from (for a table).

    Args:
        language: ``zh`` or ``en``.
    """
    folder = realdata()
    if folder is None:
        return [_sample(language)], "bundled sample (no YANMO_REALDATA)"
    paths = sorted((folder / "text").glob(f"{language}-*.jsonl.zst"))
    return [_real(path) for path in paths], "real texts"


def load(language: str, *, megabytes: float, seed: int = SEED) -> Workload:
    """Documents of one language, drawn without replacement until there are enough.

    Args:
        language: ``zh`` or ``en``.
        megabytes: millions of bytes of text; less where there is no more (about 185 of Chinese and
            25 of English).
        seed: of the shuffle.
    """
    sources, where = by_source(language)
    texts = [text for some in sources for text in some]
    random.Random(seed).shuffle(texts)
    return Workload(language, list(_until(texts, megabytes * 1e6)), f"{where}, seed {seed}")


def _real(path: Path) -> list[str]:
    import zstandard

    with zstandard.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line)["text"] for line in stream]


def _sample(language: str) -> list[str]:
    """Texts of the bundled crawl: everything read and extracted, nothing judged."""
    import pyarrow.parquet as pq

    from yanmo.curate.discover import InputSpec
    from yanmo.curate.pipeline import run_recipe
    from yanmo.curate.run_recipe import CurateRecipe, DuplicateOptions
    from yanmo.sample import crawl_files

    recipe = CurateRecipe(
        decide=False,
        duplicates=DuplicateOptions(exact=False, near=False),
        input=tuple(InputSpec(str(path)) for path in crawl_files()),
    )
    with tempfile.TemporaryDirectory() as folder:
        run_recipe(recipe, Path(folder) / "run", quiet=True)
        table = pq.read_table(Path(folder) / "run" / "documents", columns=["lang", "text"])
    rows = table.to_pylist()
    return [row["text"] for row in rows if row["lang"] == language]


def _until(texts: Iterable[str], size: float) -> Iterator[str]:
    taken = 0
    for text in texts:
        if taken >= size:
            return
        taken += len(text.encode())
        yield text


def shingles(text: str, *, n: int = 5) -> set[tuple[str, ...]]:
    """Token n-grams of a text, lower case, as a set; what is shorter is one n-gram."""
    tokens = TOKEN.findall(text.lower())
    if len(tokens) < n:
        return {tuple(tokens)} if tokens else set()
    return set(zip(*(tokens[i:] for i in range(n)), strict=False))


def jaccard(first: set[tuple[str, ...]], second: set[tuple[str, ...]]) -> float:
    """Exact similarity of two sets; 0 if both are empty."""
    union = len(first | second)
    return len(first & second) / union if union else 0.0


def edited(text: str, *, rate: float, seed: int) -> str:
    """A copy of a text in which some tokens are replaced, doubled or left out.

    Args:
        text: what to copy.
        rate: edits a token; at least one edit is made where it is above 0.
        seed: of places, kinds and replacements (other tokens of the same text).
    """
    rng = random.Random(seed)
    spans = [match.span() for match in TOKEN.finditer(text)]
    count = min(len(spans), max(1, round(rate * len(spans)))) if rate > 0 else 0
    parts, at = [], 0
    for place in sorted(rng.sample(range(len(spans)), count)):
        start, stop = spans[place]
        other = text[slice(*rng.choice(spans))]
        old = text[start:stop]
        parts += [text[at:start], rng.choice((other, f"{old} {other}", ""))]
        at = stop
    return "".join([*parts, text[at:]])


def plant(
    texts: Sequence[str], *, share: float = 0.1, most: int = 1500, seed: int = SEED
) -> tuple[list[str], list[Pair]]:
    """Add edited copies of some documents, and say how similar they are.

    Args:
        texts: documents without copies.
        share: part of the documents that get one, two or three copies.
        most: at most so many do.
        seed: of everything drawn.

    Returns:
        All documents, shuffled, and every pair of an original and its copies with its similarity.
    """
    rng = random.Random(seed)
    able = [i for i, text in enumerate(texts) if len(TOKEN.findall(text)) >= MIN_TOKENS]
    chosen = sorted(rng.sample(able, min(most, len(able), round(share * len(texts)))))
    every, families = list(texts), []
    for base in chosen:
        copies = range(len(every), len(every) + rng.choice((1, 1, 2, 3)))
        for copy in copies:
            every.append(edited(texts[base], rate=rng.uniform(0, MAX_EDITS), seed=seed + copy))
        families.append([base, *copies])
    order = list(range(len(every)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    pairs = [pair for family in families for pair in _pairs(every, family, place)]
    return [every[old] for old in order], pairs


def _pairs(texts: Sequence[str], family: Sequence[int], place: dict[int, int]) -> Iterator[Pair]:
    sets = [shingles(texts[index]) for index in family]
    for i, one in enumerate(family):
        for j in range(i + 1, len(family)):
            yield Pair(place[one], place[family[j]], jaccard(sets[i], sets[j]))


def write_jsonl(texts: Sequence[str], folder: Path, *, files: int) -> list[Path]:
    """Write documents as JSON lines, dealt out to files in turn; ``id`` is the index.

    Two files and more let both sides work on two cores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{number}.jsonl" for number in range(files)]
    for number, path in enumerate(paths):
        with path.open("w", encoding="utf-8") as stream:
            for index in range(number, len(texts), files):
                record = {"id": str(index), "text": texts[index], "number": index}
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return paths
