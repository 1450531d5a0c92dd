"""The steps of `yanmo vocab grow` on text; each is a task function (see ``yanmo.tasks``)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from yanmo.documents import column_names, iterate, part_paths
from yanmo.errors import DataError
from yanmo.files import write_json
from yanmo.recipe import from_table
from yanmo.stats import bootstrap_ratio

from .base import load_base
from .corpus import batches
from .extend import ExtendOptions, extend_tokenizer
from .grow_inputs import paths
from .lines import first_lines
from .load import Tokenizer, load_tokenizer
from .verify import require, verify

LISTS: Final = ("blocklist", "dictionary", "background")
"""Options of `extend` that name a file: its content decides, not its place."""
STEPS: Final = ("extend", "verify", "measure", "embed")
_ROUNDS: Final = 2000


def extend_step(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Learn the entries; writes ``tokenizer``."""
    given = paths(inputs, parameters["given"])
    lists: dict[str, Any] = {n: str(given[n][0]) for n in LISTS if n in given}
    options = from_table(ExtendOptions, {**parameters["options"], **lists}, where="[extend]")
    return extend_tokenizer(given["base"][0], given["corpus"], out / "tokenizer", options)


def verify_step(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Prove the tokenizer on other text; writes ``verification.json``.

    Raises:
        DataError: a check is broken.
    """
    given = paths(inputs, parameters["given"])
    base, grown = given["base"][0], given["grown"][0]
    lines = first_lines(given["texts"], parameters["lines"], column=parameters["column"])
    report = verify(
        load_base(base), load_base(grown), texts=lines, folder=grown,
        seed=parameters["seed"] + 1,  # other random texts than those of the first proof
    )  # fmt: skip
    require(report, grown)
    write_json(out / "verification.json", report)
    return {**report, "heldout": parameters["heldout"]}


def measure_step(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Count tokens a character of every source, before and after; writes ``sizes.json``."""
    given = paths(inputs, parameters["given"])
    pair = (load_tokenizer(given["base"][0]), load_tokenizer(given["grown"][0]))
    found = measure_sources(
        given["texts"], pair, column=parameters["column"], most=parameters["characters"]
    )
    write_json(out / "sizes.json", found)
    return {"sources": found, "heldout": parameters["heldout"]}


def measure_sources(
    texts: Sequence[Path], pair: tuple[Tokenizer, Tokenizer], *, column: str, most: int
) -> list[dict[str, Any]]:
    """Tokens a character before and after, by source.

    Args:
        texts: documents.
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
    for path in texts:
        several = _has_sources(path)
        for source, text in _with_source(path, column):
            if taken.get(source, 0) >= most:
                if several:
                    continue
                break
            if not text:
                continue
            text = text[: most - taken.get(source, 0)]
            taken[source] = taken.get(source, 0) + len(text)
            before, after = (len(tokenizer.encode(text)) for tokenizer in pair)
            counts.setdefault(source, []).append((len(text), before, after))
    if not counts:
        raise DataError("no text to measure on", where=", ".join(map(str, texts)))
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


def _has_sources(path: Path) -> bool:
    """Whether documents name their source, so that others may follow in the same input."""
    if not path.is_dir() and not path.name.endswith(".parquet"):
        return False
    return any("source" in column_names(part) for part in part_paths(path))


def _with_source(path: Path, column: str) -> Iterator[tuple[str, str]]:
    """Source and text of each document; where a file names no sources, its own name is one."""
    name = path.name.split(".")[0]
    if path.is_dir() or path.name.endswith(".parquet"):
        for part in part_paths(path):
            known = "source" in column_names(part)
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
