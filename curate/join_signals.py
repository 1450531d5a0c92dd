"""Join added columns to the signals of a part: scores, a user's tables, fields of meta."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.documents import write_part
from yanmo.errors import DataError

from .user_signals import document_keys, look_up, meta_numbers


def join_part(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Task: the signals of one part with the added columns behind them.

    Args:
        inputs: documents, measured signals, a file a model step, two files a sorted table.
        parameters: ``columns`` (files of the model steps), ``tables`` (``[columns, key, has a
            file]``), ``models`` (identities, for the manifest).
        out: gets ``signals.parquet``.

    Returns:
        ``{"rows", "missing": {column: documents without a value}, "models"}``.

    Raises:
        DataError: the files do not line up.
    """
    documents, measured, *rest = inputs
    table = pq.read_table(measured)
    steps, files = rest[: len(parameters["columns"])], iter(rest[len(parameters["columns"]) :])
    more: dict[str, pa.Array] = {}
    for path in steps:
        scored = pq.read_table(path)
        if not scored.column("id").equals(table.column("id")):
            raise DataError("scores and signals do not line up", where=path)
        more |= {n: scored.column(n) for n in scored.column_names[1:] if n != "quality_score"}
    for columns, key, has_file in parameters["tables"]:
        if has_file:
            values = look_up(document_keys(documents, key), next(files), next(files))
        else:
            values = np.stack([meta_numbers(documents, c) for c in columns], axis=1)
        for number, name in enumerate(columns):
            column = np.ascontiguousarray(values[:, number])
            more[name] = pa.array(column, mask=np.isnan(column))
    for name, column in more.items():
        table = table.append_column(pa.field(name, pa.float64()), column)
    write_part(out / "signals.parquet", table)
    missing = {name: column.null_count for name, column in more.items()}
    return {"rows": table.num_rows, "missing": missing, "models": parameters["models"]}
