"""The steps of `yanmo vocab grow` on text; each is a task function (see ``yanmo.tasks``)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from yanmo.documents import iterate, part_paths
from yanmo.errors import DataError
from yanmo.files import write_json
from yanmo.recipe import from_table
from yanmo.stats import bootstrap_ratio

from .base import load_base
from .corpus import batches
from .extend import ExtendOptions, extend_tokenizer
from .lines import first_lines
from .load import Tokenizer, load_tokenizer
from .verify import require, verify

STEPS: Final = ("extend", "verify", "measure", "embed")
_ROUNDS: Final = 2000


def corpus_files(paths: Iterable[str]) -> list[Path]:
    """The files behind some inputs."""
    return [part for path in paths for part in part_paths(path)]


def extend_step(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Learn the entries; writes ``tokenizer``."""
    options = from_table(ExtendOptions, parameters["options"], where="[extend]")
    corpus = [Path(path) for path in parameters["corpus"]]
    return extend_tokenizer(Path(parameters["base"]), corpus, out / "tokenizer", options)


def verify_step(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Prove the tokenizer on other text; writes ``verification.json``.

    Raises:
        DataError: a check is broken.
    """
    grown = inputs[-1].parent
    texts = [Path(path) for path in parameters["texts"]]
    lines = first_lines(texts, parameters["lines"], column=parameters["column"])
    report = verify(
        load_base(parameters["base"]), load_base(grown), texts=lines, folder=grown,
        seed=parameters["seed"] + 1,  # other random texts than those of the first proof
    )  # fmt: skip
    require(report, grown)
    write_json(out / "verification.json", report)
    return {**report, "heldout": parameters["heldout"]}


def measure_step(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Count tokens a character of every source, before and after; writes ``sizes.json``."""
    pair = (load_tokenizer(parameters["base"]), load_tokenizer(inputs[-1].parent))
    found = measure_sources(
        parameters["texts"], pair, column=parameters["column"], most=parameters["characters"]
    )
    write_json(out / "sizes.json", found)
    return {"sources": found, "heldout": parameters["heldout"]}


def measure_sources(
    paths: Sequence[str], pair: tuple[Tokenizer, Tokenizer], *, column: str, most: int
) -> list[dict[str, Any]]:
    """Tokens a character before and after, by source.

    Args:
        paths: documents.
        pair: the tokenizer before and after.
        column: column or field of the text.
        most: characters of a source to look at, from its start.

    Returns:
        One entry a source in order of names: ``source``, ``documents``, ``characters``,
        ``before``, ``after`` (tokens a character), ``low`` and ``high`` of ``after`` (95 %, over
        documents, ``None`` for one document) and ``saved``, the share of tokens that are gone.

    Raises:
        DataError: there is no text.
    """
    counts: dict[str, list[tuple[int, int, int]]] = {}
    taken: dict[str, int] = {}
    for path in paths:
        for source, text in _with_source(Path(path), column):
            if not text or taken.get(source, 0) >= most:
                continue
            text = text[: most - taken.get(source, 0)]
            taken[source] = taken.get(source, 0) + len(text)
            before, after = (len(tokenizer.encode(text)) for tokenizer in pair)
            counts.setdefault(source, []).append((len(text), before, after))
    if not counts:
        raise DataError("no text to measure on", where=", ".join(paths))
    return [_measured(source, rows) for source, rows in sorted(counts.items())]


def _measured(source: str, rows: list[tuple[int, int, int]]) -> dict[str, Any]:
    characters, before, after = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    many = len(rows) > 1
    interval = bootstrap_ratio(after, characters, rounds=_ROUNDS) if many else None
    return {
        "source": source,
        "documents": len(rows),
        "characters": int(characters.sum()),
        "before": float(before.sum() / characters.sum()),
        "after": float(after.sum() / characters.sum()),
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "saved": float(1 - after.sum() / before.sum()) if before.sum() else 0.0,
    }


def _with_source(path: Path, column: str) -> Iterator[tuple[str, str]]:
    """Source and text of each document; where a file names no sources, its own name is one."""
    name = path.name.split(".")[0]
    if path.is_dir() or path.name.endswith(".parquet"):
        import pyarrow.parquet as pq

        for part in part_paths(path):
            known = "source" in pq.read_schema(part).names
            for batch in iterate([part], columns=[column, "source"] if known else [column]):
                texts = batch.column(0).to_pylist()
                sources = batch.column(1).to_pylist() if known else [name] * len(texts)
                yield from ((s or name, t or "") for s, t in zip(sources, texts, strict=True))
        return
    for found in batches(path, column=column):
        yield from ((name, text) for text in found.texts.to_pylist())


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a TSV with a heading."""
    lines = path.read_bytes().decode("utf-8").split("\n")
    head = lines[0].split("\t")
    return [dict(zip(head, line.split("\t"), strict=False)) for line in lines[1:] if line]
