"""The card of a quality model as Markdown: what it was made of, and how far to trust it."""

from collections.abc import Mapping
from typing import Any

from yanmo.report import Table

_PERCENTS = (1, 5, 10, 25, 50, 70, 80, 90, 95, 99)


def interval(value: Mapping[str, Any], key: str = "value") -> str:
    """``0.981 (0.975 to 0.986)``."""
    return f"{value[key]:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def headline(card: Mapping[str, Any]) -> str:
    """The figures that matter, for a terminal."""
    lines = []
    for name, told in (("matched", "lengths matched"), ("all", "as the inputs are")):
        held = card["heldout"][name]
        lines += [
            f"held out, {told}: {held['positive']} positive, {held['negative']} negative",
            f"  AUC               {interval(held['auc'])}",
            f"  AUC of length     {interval(held['auc_of_length'])}",
            f"  difference        {interval(held['auc_difference'], 'difference')}, "
            f"p {held['auc_difference']['p']:.4f}",
        ]
    held = card["heldout"]["matched"]
    lines.append(f"  calibration       ECE {held['reliability']['ece']:.3f}, "
                 f"Brier {held['reliability']['brier']:.3f}")  # fmt: skip
    model = card["model"]
    lines.append(f"{model['file']}: {model['bytes'] / 1e6:.1f} MB, sha256 {model['sha256'][:16]}…")
    return "\n".join(lines)


def card_text(card: Mapping[str, Any]) -> str:
    """The whole card as Markdown."""
    held = card["heldout"]["matched"]
    sections = [
        "# Quality model",
        f"```\n{headline(card)}\n```",
        f"Held out by {card['heldout_by']}. A probability is that of a document being positive "
        "where the classes are as frequent as in training "
        f"({_ratio(card['counts']['train'])}).",
        "## Documents",
        Table("", ["step", "positive", "negative"],
              [[name, n["positive"], n["negative"]] for name, n in card["counts"].items()]
              ).markdown(),
        "## Thresholds (held out, lengths matched)",
        _threshold_table(held["thresholds"], "probability"),
        "## The best of the held-out documents, by score",
        _threshold_table(held["best"], "score"),
        "## Calibration",
        Table("", ["probability", "documents", "mean", "positive", "95 % interval"],
              [[f"{b['low']:.1f} to {b['high']:.1f}", b["n"], b["mean"], b["positive"],
                f"{b['interval'][0]} to {b['interval'][1]}"] for b in held["reliability"]["bins"]]
              ).markdown(),
        f"## Score at percentiles of the {card['percentiles_of']}",
        Table("", ["percentile", "score"],
              [[p, card["percentiles"][p]] for p in _PERCENTS]).markdown(),
        "## Tokens that alone score highest and lowest",
        *(f"{name}: " + " ".join(f"`{_shown(word)}`" for word, _ in card["tokens"][name])
          for name in ("positive", "negative")),
        "## Inputs",
        Table("", ["class", "file", "bytes", "sha256"],
              [[name, f["path"], f["bytes"], (f["sha256"] or "")[:16]]
               for name, some in card["inputs"].items() for f in some["files"]]).markdown(),
        "## Versions",
        ", ".join(f"{name} {version}" for name, version in card["versions"].items()),
    ]  # fmt: skip
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _shown(word: str) -> str:
    return word.replace("`", "'")


def _ratio(counts: Mapping[str, int]) -> str:
    return f"{counts['positive']} positive, {counts['negative']} negative"


def _threshold_table(rows: list[dict[str, Any]], what: str) -> str:
    columns = [what, "kept", "precision", "95 % interval", "recall", "95 % interval"]
    cells = [
        [r["threshold"], r["kept"], r["precision"], _span(r["precision_interval"]), r["recall"],
         _span(r["recall_interval"])]
        for r in rows
    ]  # fmt: skip
    return Table("", columns, cells).markdown()


def _span(bounds: list[float]) -> str:
    return f"{bounds[0]} to {bounds[1]}"
