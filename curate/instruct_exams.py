"""Exam questions in dialogues, found by the steps that find them in a corpus."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.recipe import to_table

from .decontaminate import find_part
from .exam_items import Against, exam_files, read_items
from .instruct_recipe import Contaminated
from .instruct_twins import bare
from .leak_index import index_exams
from .leak_verdicts import judge

SHORTEST: Final = 6
"""Characters of a question that may be looked for as a whole."""


@dataclass(frozen=True)
class Leak:
    """A question in a dialogue: its name, how much of it, and where in the joined turns."""

    question: str
    share: float
    start: int
    end: int


def find_leaks(
    texts: Sequence[str], asked: Sequence[Sequence[str]], recipe: Contaminated
) -> dict[int, Leak]:
    """The dialogues that hold a question, with the one of which most is there.

    A question too short for n-grams is found where it is all that is asked, punctuation aside.

    Args:
        texts: the turns of each dialogue, joined.
        asked: the questions and inputs of each dialogue.
        recipe: the questions, and how much of one counts.

    Raises:
        UsageError: the questions are not there.
        DataError: they cannot be read.
    """
    if not recipe.against or not texts:
        return {}
    with tempfile.TemporaryDirectory() as name:
        places = _places(texts, recipe, Path(name))
    leaks = _whole(asked, read_exams(recipe.against))
    for row in places:
        number = int(row["id"])
        if number not in leaks or row["share"] > leaks[number].share:
            leaks[number] = Leak(row["question"], row["share"], row["start"], row["end"])
    return leaks


def _places(texts: Sequence[str], recipe: Contaminated, folder: Path) -> list[dict[str, Any]]:
    """Rows of ``LEAKS_SCHEMA``: the steps of a corpus, over one part."""
    against, files = [], []
    for spec in recipe.against:
        paths = exam_files(spec)
        root = Path(spec.path) if Path(spec.path).is_dir() else None
        names = [p.relative_to(root).as_posix() if root else p.name for p in paths]
        against.append({"spec": to_table(spec), "files": names})
        files += paths
    lengths = {"chinese_tokens": recipe.tokens, "english_tokens": recipe.tokens}
    index_exams(files, {"against": against, **lengths, "max_questions": 10}, folder)
    names = [str(number) for number in range(len(texts))]
    table = pa.table({"id": names, "source": [""] * len(texts), "origin": names,
                      "url": pa.nulls(len(texts), pa.string()),
                      "text": pa.array(texts, pa.large_string())})  # fmt: skip
    pq.write_table(table, folder / "part.parquet", row_group_size=1024)
    find_part([folder / "part.parquet", folder / "index.npz"],
              {"min_share": recipe.min_share, "context_tokens": 0}, folder)  # fmt: skip
    judge([folder / name for name in ("items.parquet", "places.parquet", "counts.npy")],
          {"parts": 1, "max_documents": 10, "min_share": recipe.min_share, "act_on": "any",
           "settings": {}}, folder)  # fmt: skip
    rows: list[dict[str, Any]] = pq.read_table(folder / "documents.parquet").to_pylist()
    return rows


def read_exams(against: Sequence[Against]) -> dict[str, str]:
    """Names of questions by their text, bare; those of fewer than ``SHORTEST`` are left out."""
    found: dict[str, str] = {}
    for spec in against:
        files = [(path.name, path) for path in exam_files(spec)]
        for item in read_items(spec, files):
            text = bare(item.question)
            if len(text) >= SHORTEST:
                found.setdefault(text, item.name)
    return found


def _whole(asked: Sequence[Sequence[str]], exams: dict[str, str]) -> dict[int, Leak]:
    found = {}
    for number, parts in enumerate(asked):
        name = next((exams[text] for text in map(bare, parts) if text in exams), None)
        if name is not None:
            found[number] = Leak(name, 1.0, 0, 0)
    return found
