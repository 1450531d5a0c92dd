"""A quality model at work: scores of documents, as a command and as a signal of a run.

A model is a folder: ``model.bin`` or ``model.ftz`` (fastText), ``card.json`` (how it was made, how
well it does, how scores become probabilities and percentiles) and ``card.md`` (the same to read).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.documents import PartWriter, iterate
from yanmo.errors import DataError, ModelMissing
from yanmo.files import read_json
from yanmo.recipe import from_table, setting

from .normalize import normalize
from .quality_metrics import calibrated
from .quality_text import SampleOptions, prepare

CARD: Final = "card.json"
KIND: Final = "quality-model"
MODEL_FILES: Final = ("model.bin", "model.ftz")
POSITIVE_LABEL: Final = "__label__positive"
NEGATIVE_LABEL: Final = "__label__negative"
SCORES_FILE: Final = "scores.parquet"
BATCH_ROWS: Final = 256
SCORES: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("quality_score", pa.float64()),
        ("quality", pa.float64()),
        ("quality_percentile", pa.float64()),
    ]
)
"""What the model said (0..1), the calibrated probability of the positive class, and the percentile
among the documents that the card's table was made of. Null for a document without text."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QualityOptions:
    """The ``[quality]`` table of a recipe."""

    model: str | None = setting(
        None, help="Folder of `yanmo curate quality train`; its score becomes the signals "
        "quality and quality_percentile.",
    )  # fmt: skip


def model_files(folder: str | Path) -> tuple[Path, Path]:
    """The model and the card of a model folder.

    Raises:
        ModelMissing: there is no such folder, or it is none of ours.
    """
    folder = Path(folder).expanduser()
    found = [folder / name for name in MODEL_FILES if (folder / name).is_file()]
    if not found or not (folder / CARD).is_file():
        raise ModelMissing("no quality model here", where=folder,
                           fix="Give the --out of `yanmo curate quality train`.")  # fmt: skip
    return found[0], folder / CARD


def read_card(path: Path) -> dict[str, Any]:
    """The card of a model.

    Raises:
        DataError: it is no card.
    """
    card = read_json(path)
    if not isinstance(card, dict) or card.get("kind") != KIND:
        raise DataError("not the card of a quality model", where=path)
    return card


class Scorer:
    """Scores texts; holds the model between calls.

    Args:
        model: fastText file.
        card: its ``card.json``.
    """

    def __init__(self, model: Path, card: Path) -> None:
        import fasttext

        self.card = read_card(card)
        self.options = from_table(SampleOptions, self.card["sample"], where=str(card))
        self._percentiles = np.array(self.card["percentiles"])
        try:
            self._model: Any = fasttext.load_model(str(model))
        except ValueError as error:
            raise DataError(f"not a fastText model: {error}", where=model) from None

    def score(self, texts: pa.Array) -> tuple[Floats, Floats, Floats]:
        """Score, probability and percentile of every text; NaN without a visible character.

        Args:
            texts: normalised, ``string`` or ``large_string``.
        """
        lines = prepare(texts, self.options)
        raw = raw_scores(self._model, lines)
        percentiles = np.interp(raw, self._percentiles, np.arange(len(self._percentiles)))
        return raw, calibrated(raw, self.card["calibration"]), np.round(percentiles, 2)


def raw_scores(model: Any, lines: pa.Array) -> Floats:
    """The model's probability of the positive class, six decimals; NaN for an empty line."""
    found = np.full(len(lines), np.nan)
    texts = lines.to_pylist()
    rows = [row for row, text in enumerate(texts) if text]
    for start in range(0, len(rows), BATCH_ROWS):
        some = rows[start : start + BATCH_ROWS]
        labels, probabilities = model.predict([texts[row] for row in some], k=2)
        for row, names, values in zip(some, labels, probabilities, strict=True):
            place = list(names).index(POSITIVE_LABEL) if POSITIVE_LABEL in names else -1
            found[row] = min(1.0, float(values[place])) if place >= 0 else 0.0
    return np.round(found, 6)


def score_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: score one part of the document table.

    Args:
        inputs: the part, the model, its card.
        parameters: ``normalize``: texts are not normalised yet (False where left out).
        out: gets ``scores.parquet`` in ``SCORES``, one row a document, in order.

    Returns:
        ``{"rows", "bytes", "unscored"}``: documents, bytes of their text, those without a score.
    """
    scorer = Scorer(inputs[1], inputs[2])
    rows = size = unscored = 0
    with PartWriter(out / SCORES_FILE, SCORES) as writer:
        for batch in iterate(inputs[:1], columns=["id", "text"]):
            texts = batch.column("text")
            size += texts.nbytes
            if parameters.get("normalize"):
                texts, _ = normalize(texts, where=inputs[0])
            columns = scorer.score(texts)
            writer.write(_table(batch.column("id"), columns))
            rows += batch.num_rows
            unscored += int(np.isnan(columns[0]).sum())
    return {"rows": rows, "bytes": size, "unscored": unscored}


def _table(ids: pa.Array, columns: Sequence[Floats]) -> pa.RecordBatch:
    arrays = [pa.array(column, mask=np.isnan(column)) for column in columns]
    return pa.RecordBatch.from_arrays([ids, *arrays], schema=SCORES)
