"""What the server behind the worker processes does before it forks them; imported for its effect.

Imports, tables of characters and compiled kernels cost a worker more than a second; here they are
paid for once, while the first task waits, and their memory is shared. Nothing here may start a
thread (a fork would lose it): no Parquet is read and no query of polars is run.
"""

import polars
import pyarrow as pa
import pyarrow.parquet

from . import clusters, decide, exact, extract, ingest, keep, settle
from .language import Identifier
from .measure import measure
from .normalize import normalize
from .resemble import sketches
from .sketch import band_hashes, signatures

__all__ = [
    "clusters",
    "decide",
    "exact",
    "extract",
    "ingest",
    "keep",
    "polars",
    "pyarrow",
    "settle",
]

TEXT = (
    "研墨：先磨墨，後下筆。Grind the ink before you write; 1, 2, 3 … 春眠不覺曉。\n\n处处闻啼鸟。"
)
"""Both scripts, digits, punctuation and a blank line: the usual paths of every kernel."""


def warm() -> None:
    """Run the kernels of all steps on a short text."""
    texts, _ = normalize(pa.array([TEXT, TEXT * 2], pa.large_string()))
    Identifier().identify(texts)
    measure(texts)
    values, _ = signatures(texts, k=5, count=112, seed=1)
    band_hashes(values, bands=14)
    sketches(texts)


warm()
