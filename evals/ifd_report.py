"""How the scores of instruction-following difficulty are shown."""

from collections.abc import Mapping, Sequence
from typing import Any

from yanmo.charts import histogram
from yanmo.report import Page, Table, show

_BINS = 24
_MOST = 1.5


def shown(summary: Mapping[str, Any]) -> str:
    """For a terminal."""
    ifd, length = summary["ifd"], summary["length"]
    return "\n".join([
        f"{summary['model']} ({summary['template']}): {summary['scored']} of {summary['n']} "
        f"dialogues scored, {summary['cut']} with an answer cut to the context",
        f"IFD: mean {ifd['mean']:.4f}, 10 % {ifd['p10']:.4f}, median {ifd['p50']:.4f}, "
        f"90 % {ifd['p90']:.4f}; above 1: {summary['above_1']:.1%}",
        f"with the answer's length: Pearson {show(length['pearson_log_tokens'])} (log tokens), "
        f"Spearman {show(length['spearman_tokens'])}",
        _quarters(summary).text(),
    ])  # fmt: skip


def _quarters(summary: Mapping[str, Any]) -> Table:
    rows = [[f"{row['tokens'][0]} to {row['tokens'][1]}", row["n"], row["ifd"]]
            for row in summary["length"]["by_quarter"]]  # fmt: skip
    return Table("", ["tokens of the answers", "dialogues", "mean IFD"], rows)


def page(summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Page:
    """The report of a run."""
    made = Page("Instruction-following difficulty", shown(summary).split("\n")[1])
    made.add_text("The loss of the answers behind their questions over that of the same tokens "
                  "alone. The value also depends on the answer's length (below): compare within "
                  "a quarter.")  # fmt: skip
    values = [row["ifd"] for row in rows if row["ifd"] is not None]
    edges = [_MOST * i / _BINS for i in range(_BINS + 1)]
    counts = [0] * _BINS
    for value in values:
        counts[min(int(value / _MOST * _BINS), _BINS - 1)] += 1
    made.add_grid([histogram("Dialogues", edges, counts, x_label="IFD (last bin: and above)",
                             thresholds=[1.0])])  # fmt: skip
    made.add_table(_quarters(summary))
    ranked = sorted((row for row in rows if row["ifd"] is not None), key=lambda row: row["ifd"])
    for title, some in (("Lowest", ranked[:10]), ("Highest", ranked[::-1][:10])):
        made.add_heading(title)
        names = ("id", "ifd", "tokens", "nll", "nll_alone")
        made.add_table(Table("", names, [[row[name] for name in names] for row in some]))
    return made
