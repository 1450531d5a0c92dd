"""The pages that an input task leaves out by their address, as another task has judged them."""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from yanmo.errors import LedgerError

STEP: Final = "urls"
VERDICTS_FILE: Final = "verdicts.parquet"
VERDICTS: Final = pa.schema(
    [
        pa.field("page", pa.int64(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        pa.field("matched", pa.string(), nullable=False),
    ]
)
"""One row a page to leave out: its number among the pages of the task, from 0; ``matched`` is the
entry and its list."""


class BlockedPages:
    """Hands out the verdicts on the pages of batches, one batch after another.

    Args:
        path: in ``VERDICTS``, in the order of the pages; None where every page goes on.
    """

    def __init__(self, path: Path | None) -> None:
        self._rows: list[dict[str, Any]] = pq.read_table(path).to_pylist() if path else []
        self._at = 0
        self._page = 0

    def next(self, origins: pa.Array) -> tuple[list[int], list[dict[str, Any]]]:
        """Rows of the next batch that are left out, and what dropped rows say of each.

        Args:
            origins: of all pages of the batch.

        Raises:
            LedgerError: the pages are not those that were judged.
        """
        rows, verdicts = [], []
        while self._at < len(self._rows):
            verdict = self._rows[self._at]
            row = verdict["page"] - self._page
            if row >= len(origins):
                break
            if origins[row].as_py() != verdict["origin"]:
                raise LedgerError("pages and the verdicts on their addresses do not line up",
                                  where=verdict["origin"], value=origins[row].as_py(),
                                  fix="Was the file changed while it was read?")  # fmt: skip
            rows.append(row)
            verdicts.append({k: verdict[k] for k in ("rule", "value", "threshold", "matched")})
            self._at += 1
        self._page += len(origins)
        return rows, verdicts
