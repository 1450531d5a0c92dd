"""Train a quality model: gather, choose, train with one thread, calibrate, judge on held-out text.

Same inputs and settings give the same bytes, model and card alike: one thread, a fixed seed, and an
order of documents that is a hash of their ids.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from yanmo.errors import UsageError
from yanmo.files import atomic_folder, sha256_file, write_json
from yanmo.manifest import versions
from yanmo.recipe import setting, to_table
from yanmo.tasks import Done, Identities
from yanmo.workers import Workers

from . import PRELOAD
from .options import ReadOptions
from .quality import CARD, KIND, NEGATIVE_LABEL, POSITIVE_LABEL, raw_scores
from .quality_card import card_text
from .quality_choice import NEGATIVE, POSITIVE, ChoiceOptions, choose
from .quality_inputs import Gathered, gather, read_index, read_texts, sample_tasks
from .quality_judge import judge
from .quality_metrics import calibrated, isotonic, platt
from .quality_text import SampleOptions
from .run_progress import Progress

PERCENTILES: Final = 101
_QUANTIZE_MIN: Final = 256  # vectors that product quantisation needs for its 256 centroids
_COMMON: Final = 10  # a token shown on the card was seen as often

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ModelOptions:
    """The ``[model]`` table: fastText's own settings, small enough for a model of some MB."""

    dim: int = setting(16, low=1, high=300, help="Width of the vectors.")
    epoch: int = setting(5, low=1, high=1000, source="DCLM, ChineseWebText: 5")
    lr: float = setting(0.5, low=0.0001, high=5.0, source="ChineseWebText: 0.5; DCLM: 0.1")
    word_ngrams: int = setting(2, low=1, high=5, source="DCLM, ChineseWebText: 2; MAP-NEO: 3")
    min_count: int = setting(3, low=1, source="MAP-NEO: 3")
    bucket: int = setting(
        1 << 17, low=1, high=1 << 24, help="Slots of n-grams: bucket * dim * 4 bytes of model."
    )


@dataclass(frozen=True)
class TrainOptions:
    """A recipe of ``yanmo curate quality train``."""

    seed: int = setting(0, low=0)
    calibration: str = setting(
        "platt", choices=("platt", "isotonic"),
        help="How scores become probabilities; isotonic needs some thousand documents.",
    )  # fmt: skip
    quantize: bool = setting(False, help="Write model.ftz, a seventh of the size.")
    read: ReadOptions = field(default_factory=lambda: ReadOptions(txt="line"))
    sample: SampleOptions = field(default_factory=SampleOptions)
    choice: ChoiceOptions = field(default_factory=ChoiceOptions)
    model: ModelOptions = field(default_factory=ModelOptions)


@dataclass(frozen=True)
class Inputs:
    """Paths by class; ``reference``, if any, is what percentiles are of."""

    positive: Sequence[str]
    negative: Sequence[str]
    reference: Sequence[str] = ()


def train_model(
    inputs: Inputs, out: Path, settings: TrainOptions, *, workers: int = 1, quiet: bool = False
) -> dict[str, Any]:
    """Train, judge and write a model folder.

    Args:
        inputs: documents of both classes.
        out: the folder; an older model there is replaced.
        settings: the recipe.
        workers: processes that read; never changes results.
        quiet: show no progress.

    Returns:
        The card.

    Raises:
        UsageError: ``out`` holds something else.
        DataError: too few documents are left, or an input cannot be read.
    """
    _refuse_foreign(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as work,
        Workers(workers, preload=[PRELOAD]) as pool,
        atomic_folder(out) as folder,
    ):
        progress = Progress(Path(work) / "cache", pool, quiet)
        progress.cache.mkdir()
        card = _train(inputs, folder, settings, progress)
        write_json(folder / CARD, card)
        (folder / "card.md").write_text(card_text(card), encoding="utf-8")
    return card


def _refuse_foreign(out: Path) -> None:
    if out.is_file():
        raise UsageError("--out is a file", where=out, fix="Give a folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / CARD).is_file():
        raise UsageError("--out holds other files", where=out, fix="Give a new folder.")


def _train(
    inputs: Inputs, folder: Path, settings: TrainOptions, progress: Progress
) -> dict[str, Any]:
    identities = Identities(progress.cache / "identities.json")
    named = {"positive": inputs.positive, "negative": inputs.negative,
             "reference": inputs.reference}  # fmt: skip
    gathered = {name: gather(paths, settings.read, progress, identities) if paths else []
                for name, paths in named.items()}  # fmt: skip
    done = {name: _samples(some, settings, progress) for name, some in gathered.items()}
    frames, bands = zip(*(read_index(done[name]) for name in ("positive", "negative")), strict=True)
    labelled = [frame.with_columns(pl.lit(label).alias("label"))
                for frame, label in zip(frames, (POSITIVE, NEGATIVE), strict=True)]  # fmt: skip
    chosen, counts = choose(pl.concat(labelled), np.concatenate(bands, axis=1), settings.choice,
                            seed=settings.seed)  # fmt: skip
    chosen = chosen.sort("row")
    texts = read_texts([*done["positive"], *done["negative"]], chosen["row"].to_numpy())
    model, file = _fit(chosen, texts, folder, settings, Path(progress.cache))
    scores = raw_scores(model, texts)
    others = raw_scores(model, _all_texts(done["reference"]))
    card = {
        "kind": KIND,
        "format_version": 1,
        "model": {"file": file.name, "sha256": sha256_file(file), "bytes": file.stat().st_size},
        "settings": to_table(settings),
        "sample": to_table(settings.sample),
        "versions": versions() | {"fasttext-community": _fasttext_version()},
        "inputs": {name: _told(gathered[name]) for name in named},
        "counts": counts,
        "heldout_by": "host" if bool(chosen["by_host"][0]) else "document",
        "percentiles_of": "reference" if len(others) else "held-out and calibration documents",
    }
    return card | _judged(chosen, scores, others, settings) | {"tokens": _tokens(model)}


def _samples(some: list[Gathered], settings: TrainOptions, progress: Progress) -> list[Done]:
    return progress.run([task for one in some for task in sample_tasks(one, settings.sample)])


def _all_texts(done: list[Done]) -> pa.Array:
    return read_texts(done, np.arange(sum(int(d.result["rows"]) for d in done)))


def _told(some: list[Gathered]) -> dict[str, Any]:
    files = [{**item, "path": Path(item["path"]).name} for one in some for item in one.inputs]
    return {"files": files, "quarantined": sum(one.quarantined for one in some)}


def _fasttext_version() -> str:
    import importlib.metadata

    return importlib.metadata.version("fasttext-community")


def _fit(
    chosen: pl.DataFrame, texts: pa.Array, folder: Path, settings: TrainOptions, work: Path
) -> tuple[Any, Path]:
    """Train on the chosen documents, in the order of their hashes."""
    import fasttext

    frame = chosen.with_columns(pl.Series("text", pl.from_arrow(texts)))
    frame = frame.filter((pl.col("part") == "train") & pl.col("matched")).sort("rank", "row")
    label = pl.when(pl.col("label") == POSITIVE).then(pl.lit(POSITIVE_LABEL))
    lines = frame.select(label.otherwise(pl.lit(NEGATIVE_LABEL)) + " " + pl.col("text"))
    path = work / "train.txt"
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines.to_series())
    own = settings.model
    model = fasttext.train_supervised(
        input=str(path), dim=own.dim, epoch=own.epoch, lr=own.lr, wordNgrams=own.word_ngrams,
        minCount=own.min_count, bucket=own.bucket if own.word_ngrams > 1 else 0, minn=0, maxn=0,
        thread=1, seed=settings.seed, verbose=0,
    )  # fmt: skip
    if settings.quantize and len(model.words) + own.bucket >= _QUANTIZE_MIN:
        model.quantize(input=str(path), retrain=False, qnorm=True, thread=1, verbose=0)
    file = folder / ("model.ftz" if model.is_quantized() else "model.bin")
    model.save_model(str(file))
    path.unlink()
    # What is judged is what was written.
    return fasttext.load_model(str(file)), file


def _judged(
    chosen: pl.DataFrame, scores: Floats, others: Floats, settings: TrainOptions
) -> dict[str, Any]:
    """Calibration, percentiles and all that the held-out documents say."""
    scores = np.nan_to_num(scores)
    part, matched = chosen["part"].to_numpy(), chosen["matched"].to_numpy()
    positive = (chosen["label"] == POSITIVE).to_numpy()
    rows = (part == "calibration") & matched
    if settings.calibration == "platt":
        slope, offset = platt(scores[rows], positive[rows])
        calibration: dict[str, Any] = {"method": "platt", "slope": slope, "offset": offset}
    else:
        x, y = isotonic(scores[rows], positive[rows])
        calibration = {"method": "isotonic", "scores": x.tolist(), "probabilities": y.tolist()}
    population = others[~np.isnan(others)] if len(others) else scores[part != "train"]
    percentiles = np.quantile(population, np.linspace(0, 1, PERCENTILES)).round(6)
    lengths = chosen["n_chars"].to_numpy().astype(np.float64)
    train = part == "train"  # before lengths were matched: what length says by itself
    heldout = part == "heldout"
    sets = {"matched": heldout & matched, "all": heldout}
    found = {
        name: judge(scores[which], calibrated(scores[which], calibration), lengths[which],
                    positive[which], seed=settings.seed,
                    longer=_longer(lengths[train], positive[train]))
        for name, which in sets.items()
    }  # fmt: skip
    return {"calibration": calibration, "percentiles": percentiles.tolist(), "heldout": found}


def _longer(lengths: Floats, positive: npt.NDArray[np.bool_]) -> bool:
    """Are the positive documents of the training the longer ones?"""
    return bool(np.median(lengths[positive]) >= np.median(lengths[~positive]))


def _tokens(model: Any, most: int = 25) -> dict[str, list[list[Any]]]:
    """The tokens that alone score highest and lowest: what the model goes by."""
    words, counts = model.get_words(include_freq=True)
    common = [
        w for w, n in zip(words, counts.tolist(), strict=True) if n >= _COMMON and w != "</s>"
    ]
    scores = raw_scores(model, pa.array(common, pa.large_string())).round(3)
    order = sorted(range(len(common)), key=lambda i: (-scores[i], common[i]))

    def pick(rows: list[int]) -> list[list[Any]]:
        return [[common[i], float(scores[i])] for i in rows]

    return {"positive": pick(order[:most]), "negative": pick(order[::-1][:most])}
