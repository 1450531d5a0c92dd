"""What the training of a quality model needs of each document: sizes, band hashes, a sample."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from yanmo.documents import PartWriter, iterate
from yanmo.recipe import from_table

from .normalize import normalize
from .quality_text import SampleOptions, prepare
from .sketch import band_hashes, signatures

BANDS: Final = 14
ROWS: Final = 8
"""FineWeb, datatrove: 14 bands of 8 rows of 5-grams of tokens find near-duplicates from 0.7 on."""
SHINGLE_TOKENS: Final = 5
INDEX: Final = "index.parquet"
TEXT: Final = "text.parquet"

_INDEX = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("host", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("n_chars", pa.int64(), nullable=False),
        pa.field("n_tokens", pa.int64(), nullable=False),
        pa.field("bands", pa.binary(8 * BANDS), nullable=False),
    ]
)
_TEXT = pa.schema([pa.field("text", pa.large_string(), nullable=False)])


def sample_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: what training needs of each document of a part.

    Args:
        inputs: a document table.
        parameters: ``sample`` (table of ``SampleOptions``), ``normalize``.
        out: gets ``index.parquet`` and ``text.parquet``, one row a document, in order.

    Returns:
        ``{"rows"}``.
    """
    options = from_table(SampleOptions, parameters["sample"], where="sample")
    columns = ["id", "url", "source", "text"]
    with (
        PartWriter(out / INDEX, _INDEX, intermediate=True) as index,
        PartWriter(out / TEXT, _TEXT, intermediate=True) as text,
    ):
        for batch in iterate(inputs, columns=columns):
            texts = batch.column("text")
            if parameters["normalize"]:
                texts, _ = normalize(texts, where=inputs[0])
            text.write(pa.record_batch([prepare(texts, options)], schema=_TEXT))
            index.write(_index(batch, texts))
    return {"rows": index.rows}


def _index(batch: pa.RecordBatch, texts: pa.Array) -> pa.RecordBatch:
    values, n_tokens = signatures(texts, k=SHINGLE_TOKENS, count=BANDS * ROWS, seed=1)
    bands = np.ascontiguousarray(band_hashes(values, bands=BANDS).T.astype("<u8"))
    columns = {
        "id": batch.column("id"),
        "host": _hosts(batch.column("url")),
        "source": batch.column("source"),
        "n_chars": pc.utf8_length(texts).cast(pa.int64()),
        "n_tokens": pa.array(n_tokens),
        "bands": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(8 * BANDS), len(bands), [None, pa.py_buffer(bands)]
        ),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=_INDEX)


def _hosts(urls: pa.Array) -> pa.Array:
    """Host names in lower case, without ``www.``; null where there is no address."""
    column = pl.Series(pl.from_arrow(urls.cast(pa.large_string())))
    hosts = column.str.extract(r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)", 1)
    return hosts.str.to_lowercase().str.strip_prefix("www.").to_arrow().cast(pa.string())
