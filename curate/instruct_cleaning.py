"""A run of ``yanmo curate instruct clean``: its recipe, its inputs and its folder."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from yanmo.errors import DataError, RecipeError
from yanmo.files import atomic_folder
from yanmo.messages import read_objects
from yanmo.recipe import OFF, dumps, load

from .exam_items import Against
from .instruct_clean import Cleaner
from .instruct_ledger import Tally
from .instruct_recipe import CleanRecipe
from .instruct_report import write_report


def settings(recipe: Path | None, overrides: Sequence[str], against: Sequence[str]) -> CleanRecipe:
    """The recipe of a run: file, --set, --against.

    Raises:
        RecipeError: a key, type or range is wrong, or two keys contradict each other.
    """
    found = load(CleanRecipe, recipe, overrides)
    if against:
        specs = []
        for text in against:
            name, separator, path = text.partition("=")
            specs.append(Against(path, exam=name) if separator else Against(text))
        exams = replace(found.contaminated, against=(*found.contaminated.against, *specs))
        found = replace(found, contaminated=exams)
    bounded = found.score.min is not None or found.score.max is not None
    if bounded and found.score.column == OFF:
        raise RecipeError("'score' has bounds but no column", fix="--set score.column=ifd")
    return found


@contextmanager
def clean_files(files: Sequence[Path], out: Path | None, recipe: CleanRecipe, *,
                scores: Sequence[Path] = (), limit: int | None = None,
                ) -> Iterator[tuple[Tally, Path]]:  # fmt: skip
    """Clean files into a folder that appears when the block ends.

    Args:
        files: of instruction data.
        out: folder; ``None``: one that is gone behind the block.
        recipe: what the rules do.
        scores: files of score columns.
        limit: stop after this many records.

    Yields:
        The counts, and the folder while it is being filled.

    Raises:
        DataError: not one record is a dialogue, or a score is named that no dialogue has.
        LedgerError: something went missing.
    """
    columns = _read_scores(scores)
    with _folder(out) as folder:
        tally = Tally()
        with (folder / "findings.jsonl").open("wb") as findings, \
                (folder / "dropped.jsonl").open("wb") as dropped:  # fmt: skip
            Cleaner(recipe, columns, findings, dropped, tally).run(files, folder, limit)
        if not tally.records:
            reason = tally.rejects[0]["reason"] if tally.rejects else "no record"
            raise DataError(f"no dialogue in the input: {reason}", where=", ".join(map(str, files)))
        _check_columns(recipe, tally)
        with (folder / "rejects.jsonl").open("wb") as stream:
            for reject in tally.rejects:
                stream.write(json.dumps(reject).encode() + b"\n")
        (folder / "recipe.toml").write_text(dumps(recipe), encoding="utf-8")
        write_report(tally, folder)
        yield tally, folder


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is None:
        with TemporaryDirectory() as name:
            yield Path(name)
    else:
        with atomic_folder(out) as folder:
            yield folder


def _read_scores(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in paths:
        path = name / "samples.jsonl" if name.is_dir() else name
        for where, record in read_objects(path):
            if "id" not in record:
                raise DataError("a score has no id", where=where, value=list(record))
            found.setdefault(str(record["id"]), {}).update(record)
    return found


def _check_columns(recipe: CleanRecipe, tally: Tally) -> None:
    """Refuse a score column that no dialogue has: it is mistyped, or its file was not given."""
    for name in {recipe.score.column, recipe.twins.keep_by} - {OFF, "length", "first"}:
        if not tally.scored[name]:
            raise DataError("no dialogue has this score", value=name,
                            fix="Check the name, and give its file by --scores.")  # fmt: skip
