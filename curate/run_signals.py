"""Histograms of the signals whose rules dropped something, for each route that they judged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yanmo.charts import histogram
from yanmo.documents import iterate, part_paths

from .decide import ROUTES, routes
from .report_words import say

MIN_DOCUMENTS: Final = 10  # below which a histogram says nothing
BINS: Final = 40
_ROUTED_BY: Final = ("lang", "script", "latin_fraction", "hanzi_fraction")
Numbers = npt.NDArray[np.float64]


def signal_charts(run: Path, cuts: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Draw the signals of a run.

    Args:
        run: the run folder.
        cuts: ``{rule: {"signal", "routes": {route: threshold}}}`` of the rules to show.

    Returns:
        ``{rule: charts}``: one SVG for each route of which documents fail the rule, by itself or
        after another.
    """
    if not cuts:
        return {}
    names = sorted({str(cut["signal"]) for cut in cuts.values()})
    table = _read(run / "signals", names)
    route = routes(table)
    columns = {name: table[name].cast(pa.float64()).to_numpy() for name in names}
    drawn: dict[str, list[str]] = {}
    for rule, cut in cuts.items():
        for name, threshold in cut["routes"].items():
            values = columns[cut["signal"]][route == ROUTES.index(name)]
            values = values[np.isfinite(values)]
            beyond = values < threshold if rule.startswith("min_") else values > threshold
            if len(values) >= MIN_DOCUMENTS and beyond.any():
                said = "{route} · {n} documents, {beyond} beyond {threshold}"
                title = say(said, route=name, n=len(values), beyond=int(beyond.sum()),
                            threshold=f"{threshold:g}")  # fmt: skip
                drawn.setdefault(rule, []).append(
                    _histogram(title, str(cut["signal"]), values, threshold)
                )
    return drawn


def _read(folder: Path, names: list[str]) -> pa.Table:
    columns = list(dict.fromkeys([*_ROUTED_BY, *names]))
    batches = list(iterate(part_paths(folder), columns=columns))
    return pa.Table.from_batches(batches).combine_chunks()


def _histogram(title: str, signal: str, values: Numbers, threshold: float) -> str:
    # The largest hundredth is drawn in the last bin: one outlier must not flatten the rest.
    low, high = float(values.min()), float(np.quantile(values, 0.99))
    low, high = min(low, threshold), max(high, threshold)
    high += (high - low) / BINS if high > low else 1.0  # room for what lies beyond
    counts, edges = np.histogram(np.clip(values, low, high), bins=BINS, range=(low, high))
    bins = [int(count) for count in counts]
    return histogram(title, edges.tolist(), bins, x_label=signal, thresholds=[threshold])
