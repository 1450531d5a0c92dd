"""What the server behind the worker processes does before it forks them; imported for its effect.

Imports, tables of characters and compiled kernels cost a worker more than a second; here they are
paid for once, while the first task waits, and their memory is shared. Nothing here may start a
thread (a fork would lose it): no Parquet is read and no query of polars is run.
"""

import gc

gc.disable()  # what is made here stays: looking for garbage among it takes a tenth of the time

import polars  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet  # noqa: E402

from . import (  # noqa: E402
    GARBAGE,
    clusters,
    decide,
    decontaminate,
    exact,
    extract,
    ingest,
    keep,
    run_report,
    settle,
)
from .compiled import without_linear_algebra  # noqa: E402
from .language import Identifier  # noqa: E402
from .lines import LineOptions, cut_lines  # noqa: E402
from .measure import measure  # noqa: E402
from .normalize import normalize  # noqa: E402
from .resemble import sketches  # noqa: E402
from .sketch import band_hashes, signatures  # noqa: E402

__all__ = [
    "clusters",
    "decide",
    "decontaminate",
    "exact",
    "extract",
    "ingest",
    "keep",
    "polars",
    "pyarrow",
    "run_report",
    "settle",
]

TEXT = (
    "研墨：先磨墨，後下筆。Grind the ink before you write; 1, 2, 3 … 春眠不覺曉。\n\n处处闻啼鸟。"
)
"""Both scripts, digits, punctuation and a blank line: the usual paths of every kernel."""


def warm() -> None:
    """Run the kernels of all steps on a short text."""
    without_linear_algebra()
    texts, _ = normalize(pa.array([TEXT, TEXT * 2], pa.large_string()))
    cut_lines(texts, LineOptions())
    Identifier().identify(texts)
    measure(texts)
    values, _ = signatures(texts, k=5, count=112, seed=1)
    band_hashes(values, bands=14)
    sketches(texts)


warm()
# A worker that collects garbage writes into every object that it looks at, and the memory would be
# no longer shared: it does not look at these.
gc.freeze()
gc.set_threshold(GARBAGE, 20, 20)
gc.enable()
