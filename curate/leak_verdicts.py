"""Which questions leaked: places of all parts against the n-grams that are common everywhere.

``leaks.jsonl`` has one row a question that was looked for, leaked or not, so that ``yanmo evals
… --leaks`` can tell a clean question from one that nobody looked for.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.documents import write_part
from yanmo.files import atomic_write, write_json

from .decontaminate import CUTS_SCHEMA

FOUND: Final = ("no", "options", "question", "both")
"""What of a question stands in a document, from least to most: ``options`` is long options without
the question, ``both`` the question with its options."""

LEAKS_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        ("url", pa.string()),
        pa.field("question", pa.string(), nullable=False),
        pa.field("found", pa.string(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
        pa.field("share_question", pa.float64(), nullable=False),
        pa.field("share_options", pa.float64(), nullable=False),
        pa.field("options_found", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)
"""One row a place; ``start`` and ``end`` are code points of the text before this step."""


def judge(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Judge all places and write the leak report.

    Args:
        inputs: ``items.parquet``, then ``places.parquet`` of each part, then ``counts.npy`` of
            each.
        parameters: ``parts``, ``max_documents``, ``min_share``, ``act_on``, and ``settings``, which
            are only written down.
        out: gets ``leaks.jsonl``, ``leaks.json``, ``documents.parquet`` (``LEAKS_SCHEMA``) and a
            ``cuts-00000.parquet`` (``CUTS_SCHEMA``) for each part.

    Returns:
        The summary, and ``cuts``: rows of each part.
    """
    parts = parameters["parts"]
    items = pl.DataFrame(pl.from_arrow(pq.read_table(inputs[0]))).with_row_index("item")
    common = _common(inputs[1 + parts :], parameters["max_documents"])
    frames, cuts = [], []
    for number, path in enumerate(inputs[1 : 1 + parts]):
        found = _judged(path, items, common, parameters["min_share"])
        frames.append(found)
        acted = found.filter((pl.col("found") == "both") | (parameters["act_on"] == "any"))
        table = acted.select(CUTS_SCHEMA.names).to_arrow().cast(CUTS_SCHEMA)
        write_part(out / f"cuts-{number:05d}.parquet", table)
        cuts.append(table.num_rows)
    leaks = pl.concat(frames) if frames else _judged(None, items, common, 1.0)
    write_part(out / "documents.parquet", leaks.select(LEAKS_SCHEMA.names).to_arrow()
               .cast(LEAKS_SCHEMA))  # fmt: skip
    best = _best(leaks)
    with atomic_write(out / "leaks.jsonl", text=True) as stream:
        for row in _questions(items, best):
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    summary = _summary(items, best, leaks)
    summary |= {"common_ngrams": int(common.sum()), "settings": parameters["settings"]}
    write_json(out / "leaks.json", summary)
    return {**summary, "cuts": cuts}


def _common(paths: list[Path], most: int | str | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which n-grams are common, over all parts."""
    total = sum((np.load(path) for path in paths), np.zeros(1, np.int64))
    if not isinstance(most, int):
        return np.zeros(len(total), np.bool_)
    return np.asarray(total > most)


def _judged(
    path: Path | None, items: pl.DataFrame, common: np.ndarray[Any, Any], min_share: float
) -> pl.DataFrame:
    """The places that count, with their shares."""
    from .decontaminate import PLACES_SCHEMA

    table = PLACES_SCHEMA.empty_table() if path is None else pq.read_table(path)
    flat = table["grams"].combine_chunks()
    proof = np.add.reduceat(~common[flat.flatten().to_numpy()], flat.offsets.to_numpy()[:-1]) \
        if len(flat) else np.zeros(0, np.int64)  # fmt: skip
    known = items.select(pl.col("item").cast(pl.Int64), pl.col("name").alias("question"),
                         "own_question", "own_options")  # fmt: skip
    frame = pl.DataFrame(pl.from_arrow(table.drop_columns(["grams"])))
    frame = frame.filter(pl.Series(proof > 0, dtype=pl.Boolean)).join(
        known, on="item", how="left", maintain_order="left"
    )
    own = pl.col("own_question") + pl.col("own_options")
    both = pl.col("question_tokens") + pl.col("option_tokens")
    frame = frame.with_columns(
        (pl.col("question_tokens") / pl.col("own_question")).fill_nan(1.0).alias("share_question"),
        (pl.col("option_tokens") / pl.col("own_options")).fill_nan(1.0).alias("share_options"),
        (both / own).alias("share_all"),
    )
    enough = [pl.col(f"share_{what}") >= min_share for what in ("question", "options")]
    found = (
        pl.when(enough[0] & enough[1]).then(pl.lit("both"))
        .when(enough[0]).then(pl.lit("question")).otherwise(pl.lit("options"))
    )  # fmt: skip
    share = pl.max_horizontal(
        "share_all", pl.when(pl.col("own_question") > 0).then("share_question").otherwise(0.0)
    )
    return frame.with_columns(found.alias("found"), share.alias("share"))


def _best(leaks: pl.DataFrame) -> pl.DataFrame:
    """The best place of each question, and in how many documents it was found."""
    rank = pl.col("found").replace_strict(FOUND, range(len(FOUND)), return_dtype=pl.Int64)
    order = leaks.sort(rank, "share_all", "share", "id", "start",
                       descending=[True, True, True, False, False])  # fmt: skip
    number = leaks.group_by("item").agg(pl.col("id").n_unique().alias("documents"))
    return order.unique("item", keep="first", maintain_order=True).join(number, on="item")


def _questions(items: pl.DataFrame, best: pl.DataFrame) -> Iterator[dict[str, Any]]:
    found = {row["item"]: row for row in best.iter_rows(named=True)}
    for item in items.iter_rows(named=True):
        row = {"question": item["name"], "exam": item["exam"], "split": item["split"],
               "subject": item["subject"], "id": item["id"], "sha256": item["sha256"],
               "tokens": item["tokens"], "judged": item["judged"], "found": "no"}  # fmt: skip
        place = found.get(item["item"])
        if place is not None:
            row |= {name: place[name] for name in ("found", "share", "share_question",
                                                   "share_options", "options_found",
                                                   "documents")}  # fmt: skip
            row |= {"document": place["id"], "source": place["source"], "origin": place["origin"],
                    "url": place["url"], "start": place["start"], "end": place["end"],
                    "text": place["text"]}  # fmt: skip
        yield row


def _summary(items: pl.DataFrame, best: pl.DataFrame, leaks: pl.DataFrame) -> dict[str, Any]:
    table = items.with_columns(pl.col("item").cast(pl.Int64)).join(
        best.select("item", "found"), on="item", how="left", maintain_order="left"
    )
    groups = table.group_by("exam", "split").agg(
        pl.len().alias("questions"), pl.col("judged").sum(),
        *((pl.col("found") == what).sum().alias(what) for what in FOUND[1:]),
    ).sort("exam", "split")  # fmt: skip
    return {
        "questions": items.height,
        "judged": int(items["judged"].sum()),
        "leaked": best.height,
        "found": {what: int((best["found"] == what).sum()) for what in FOUND[1:]},
        "documents": int(leaks["id"].n_unique()),
        "exams": list(groups.iter_rows(named=True)),
    }


def said(summary: dict[str, Any]) -> str:
    """One sentence for the end of a run."""
    found, looked = summary["leaked"], summary["questions"]
    line = f"{found:,} of {looked:,} exam questions stand in {summary['documents']:,} documents"
    whole = summary["found"]["both"]
    line += f" ({whole:,} with their options)" if found else ""
    missed = looked - summary["judged"]
    return f"{line}; {missed:,} are too short to be looked for." if missed else f"{line}."
