"""Which documents train a quality model, and which are held out.

In this order, each step with its count on the model card:

1. duplicates: of documents that share a MinHash band one stays; where both classes share one, all
   go (nobody can say which they are). So no near-duplicate crosses from training to held-out;
2. no host gives more than ``max_per_host`` documents to a class, no source more than
   ``max_per_source``, so that a model learns quality and not one site's template;
3. training, calibration and held-out are told apart by a hash of the host (or of the id);
4. in each of them the classes get the same lengths: bins of a quarter of an octave, one ratio of
   negatives to positives in all bins. Without it a model learns which class is the longer.

Chosen are the smallest of hashes of the id, so the choice depends on the documents alone.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from yanmo.errors import DataError
from yanmo.recipe import setting

from .clusters import connect

POSITIVE: Final = 1
NEGATIVE: Final = 0
BINS_PER_OCTAVE: Final = 4
MIN_HOSTS: Final = 20
MIN_TRAIN: Final = 20
MIN_HELDOUT: Final = 10
PARTS: Final = ("train", "calibration", "heldout")

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class ChoiceOptions:
    """The ``[choice]`` table: what is trained on."""

    max_documents: int = setting(
        100_000, low=100, source="DCLM: 200 000 of each class",
        help="Documents of a class used at most.",
    )  # fmt: skip
    max_per_host: int | None = setting(
        100, low=1, source="MAP-NEO samples evenly over sites",
        help="Documents of a class from one host; those without an address have none.",
    )  # fmt: skip
    max_per_source: int | None = setting(
        None, low=1, help="Documents of a class from one input file or folder."
    )
    negatives_per_positive: float | None = setting(
        1.0, low=0.01, high=100.0,
        help="Ratio of the classes in training; off keeps what the inputs have.",
    )  # fmt: skip
    match_lengths: bool = setting(True, help="Give both classes the same lengths.")
    heldout_by: str = setting(
        "auto", choices=("auto", "host", "document"),
        help="What is held out as a whole; auto: hosts where both classes have 20 of them.",
    )  # fmt: skip
    calibration_fraction: float = setting(0.15, low=0.01, high=0.5)
    heldout_fraction: float = setting(0.2, low=0.01, high=0.5)


def near_duplicates(bands: Keys) -> npt.NDArray[np.uint32]:
    """Groups of documents that agree in a band: for each the smallest row of its group.

    Args:
        bands: uint64 ``[bands, D]``.
    """
    edges = []
    for band in bands:
        order = np.argsort(band, kind="stable")
        same = np.flatnonzero(band[order][1:] == band[order][:-1])
        edges.append(np.stack([order[same], order[same + 1]], axis=1).astype(np.uint32))
    return connect(edges, bands.shape[1])


def rank(names: pl.Series, seed: int) -> Keys:
    """A hash of each name: uniform, and of that name and the seed alone."""
    encoded = (name.encode() for name in names.to_list())
    return np.array([xxhash.xxh3_64_intdigest(name, seed) for name in encoded], np.uint64)


def choose(
    documents: pl.DataFrame, bands: Keys, options: ChoiceOptions, *, seed: int
) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """Choose and divide.

    Args:
        documents: ``id``, ``label``, ``host`` (null without an address), ``source``, ``n_chars``,
            ``n_tokens``.
        bands: uint64 ``[bands, D]``.
        options: how.
        seed: of the hashes.

    Returns:
        The documents that are left, with ``row``, ``part`` (of ``PARTS``), ``rank`` and ``matched``
        (false: left out of its part so that lengths match); and how many of each class each step
        took away.

    Raises:
        DataError: too few are left.
    """
    counts = {"read": _by_label(documents)}
    frame = documents.with_row_index("row").with_columns(
        pl.Series("group", near_duplicates(bands)), pl.Series("rank", rank(documents["id"], seed))
    )
    steps = (
        ("without text", lambda f: f.filter(pl.col("n_tokens") > 0)),
        ("in both classes", lambda f: f.filter(pl.col("label").n_unique().over("group") == 1)),
        ("near duplicates", lambda f: f.filter(pl.col("row") == pl.col("row").min().over("group"))),
        ("beyond max_per_host", lambda f: _capped(f, "host", options.max_per_host)),
        ("beyond max_per_source", lambda f: _capped(f, "source", options.max_per_source)),
        ("beyond max_documents", lambda f: _capped(f, None, options.max_documents)),
    )
    for name, step in steps:
        before, frame = _by_label(frame), step(frame)
        after = _by_label(frame)
        counts[name] = {label: before[label] - after[label] for label in before}
    frame = _divided(frame, options, seed)
    frame = _matched(frame, options)
    for part in PARTS:
        chosen = frame.filter((pl.col("part") == part) & pl.col("matched"))
        counts[part] = _by_label(chosen)
        _enough(part, counts[part])
    return frame, counts


def _by_label(frame: pl.DataFrame) -> dict[str, int]:
    positive = int((frame["label"] == POSITIVE).sum())
    return {"positive": positive, "negative": len(frame) - positive}


def _enough(part: str, counts: dict[str, int]) -> None:
    least = MIN_TRAIN if part == "train" else MIN_HELDOUT
    for label, n in counts.items():
        if n < least:
            raise DataError(f"too few {label} documents are left for '{part}'", value=n,
                            fix=f"It takes {least}: give more documents, or another kind of text "
                            "whose lengths overlap (choice.match_lengths).")  # fmt: skip


def _capped(frame: pl.DataFrame, column: str | None, most: int | None) -> pl.DataFrame:
    """The first ``most`` by rank of each class and value; null is no value."""
    if most is None:
        return frame
    over = ["label"] if column is None else ["label", column]
    place = pl.struct("rank", "row").rank("ordinal").over(over)
    free = pl.lit(False) if column is None else pl.col(column).is_null()
    return frame.filter((place <= most) | free)


def _divided(frame: pl.DataFrame, options: ChoiceOptions, seed: int) -> pl.DataFrame:
    by_host = options.heldout_by == "host"
    if options.heldout_by == "auto":
        hosts = frame.group_by("label").agg(pl.col("host").n_unique()).filter(pl.col("host") > 0)
        known = frame["host"].null_count() == 0
        by_host = known and len(hosts) == 2 and int(min(hosts["host"])) >= MIN_HOSTS
    unit = frame["host"].fill_null(frame["id"]) if by_host else frame["id"]
    place = rank(unit, seed + 1) / float(1 << 64)
    heldout, rest = options.heldout_fraction, options.calibration_fraction
    part = np.where(place < heldout, 2, np.where(place < heldout + rest, 1, 0))
    return frame.with_columns(
        pl.Series("part", np.array(PARTS)[part]), pl.lit(by_host).alias("by_host")
    )


def _matched(frame: pl.DataFrame, options: ChoiceOptions) -> pl.DataFrame:
    """Mark the documents that stay when every length has the same ratio of classes."""
    bins = (frame["n_chars"].to_numpy() + 1.0, BINS_PER_OCTAVE)
    bin_of = np.floor(np.log2(bins[0]) * bins[1]) if options.match_lengths else 0 * bins[0]
    frame = frame.with_columns(pl.Series("bin", bin_of.astype(np.int64)))
    labels = _by_label(frame)
    ratio = options.negatives_per_positive or labels["negative"] / max(1, labels["positive"])
    sizes = frame.group_by("part", "bin").agg(
        (pl.col("label") == POSITIVE).sum().cast(pl.Float64).alias("ups"),
        (pl.col("label") == NEGATIVE).sum().cast(pl.Float64).alias("downs"),
    )
    free = not options.match_lengths and options.negatives_per_positive is None
    ups = pl.col("ups") if free else pl.min_horizontal("ups", (pl.col("downs") / ratio))
    sizes = sizes.with_columns(ups.alias("share")).with_columns(
        pl.col("share").floor().cast(pl.Int64).alias("most_1"),
        (pl.col("downs") if free else (pl.col("share") * ratio).round())
        .cast(pl.Int64)
        .alias("most_0"),
    )
    most = pl.when(pl.col("label") == POSITIVE).then(pl.col("most_1")).otherwise(pl.col("most_0"))
    place = pl.struct("rank", "row").rank("ordinal").over("part", "bin", "label")
    return frame.join(sizes, on=["part", "bin"], how="left", maintain_order="left").with_columns(
        (place <= most).alias("matched")
    )
