"""The report of a run over judged answers: curves, and what its scores are worth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yanmo import recipe as recipes
from yanmo.charts import histogram, line_chart
from yanmo.report import Page, Table

from .journal import read_journal
from .preference_recipe import Dpo, Reward

TITLES = {"reward": "Reward model", "dpo": "Direct preference optimisation"}
DATA = {
    "read": "records read", "used": "rankings used", "unranked": "left out: not ranked",
    "tied": "left out: all ranks equal", "identical": "left out: one text ranked twice",
    "markers": "left out: holds a marker of the template", "too_long": "left out: too long",
    "too_long_answers": "answers left out: too long", "answers": "answers used",
    "pairs": "pairs used",
}  # fmt: skip
CURVES = {
    "loss": "Loss, nats per pair",
    "accuracy": "Share of pairs in which the better answer leads",
    "margin": "Lead of the better answer",
    "grad_norm": "Norm of the gradient before clipping",
    "lr": "Learning rate",
}


def report(
    run: Path,
    summary: dict[str, Any],
    recipe: Reward | Dpo,
    surprising: Sequence[dict[str, Any]] = (),
) -> str:
    """One self-contained HTML page.

    Args:
        run: the run folder; its log is read.
        summary: what ``summary.json`` will hold.
        recipe: the recipe.
        surprising: from :func:`yanmo.train.preference_metrics.surprises`.
    """
    entries = read_journal(run)
    held = summary["heldout"]
    page = Page(f"{TITLES[summary['kind']]} {run.name}", lead=_lead(held))
    page.add_table(summary_table(summary))
    if held is not None:
        page.add_heading("Held-out pairs", anchor="heldout")
        add_measures(page, held)
        _rewards(page, entries)
        add_surprises(page, surprising)
    page.add_heading("Training", anchor="training")
    _curves(page, entries)
    page.add_heading("Data", anchor="data")
    page.add_table(data_table(summary["data"]))
    page.add_heading("Recipe", anchor="recipe")
    page.add_details("recipe.toml", recipes.dumps(recipe))
    return page.html()


def _lead(held: dict[str, Any] | None) -> str:
    if held is None:
        return "No pairs were held out, so nothing here says what the model has learned."
    base = held["length"]["longer_is_better"]["accuracy"]
    return (
        f"Right on {held['accuracy']:.1%} of {held['pairs']} held-out pairs "
        f"({held['low']:.1%} to {held['high']:.1%}); taking the longer answer is right on "
        f"{base:.1%}."
    )


def summary_table(summary: dict[str, Any]) -> Table:
    """The figures of a run as a table."""
    held, before = summary["heldout"] or {}, summary.get("heldout_before") or {}
    length = held.get("length") or {}
    data = summary["data"]
    rows: list[tuple[str, Any]] = [
        ("records read", data["read"]),
        *((DATA[name], data[name] or None) for name in DATA if DATA[name].startswith("left out")),
        ("rankings trained on", summary["rankings"]),
        ("epochs", summary.get("epochs")),
        ("steps", summary.get("steps")),
        ("tokens", summary.get("tokens")),
        ("loss of the first step", summary.get("first_loss")),
        ("loss of the last step", summary.get("loss")),
        ("held-out pairs", held.get("pairs")),
        ("held-out accuracy before", before.get("accuracy")),
        ("held-out accuracy", held.get("accuracy")),
        ("its 95 % interval", _interval(held)),
        ("accuracy of taking the longer", (length.get("longer_is_better") or {}).get("accuracy")),
        ("held-out accuracy, like lengths", (length.get("matched") or {}).get("accuracy")),
        ("pairs of like lengths", (length.get("matched") or {}).get("pairs")),
        ("correlation of score and length", length.get("correlation")),
        ("tokens per second", summary.get("tokens_per_second")),
        ("seconds in steps", summary.get("seconds")),
        ("device", summary.get("device")),
    ]
    if references := summary.get("references"):
        rows += [("references with mean reward 0", references["references"]),
                 ("bias that makes it 0", references["bias"]),
                 ("spread of their rewards", references["std"])]  # fmt: skip
    return Table("", ("what", "value"), [row for row in rows if row[1] is not None])


def _interval(found: dict[str, Any]) -> str | None:
    if found.get("low") is None:
        return None
    return f"{found['low']:.3f} to {found['high']:.3f}"


def data_table(counts: dict[str, int]) -> Table:
    """What was read and what was left out."""
    return Table("", ("what", "count"), [(DATA.get(k, k), n) for k, n in counts.items()])


def add_measures(page: Page, held: dict[str, Any]) -> None:
    """Accuracy beside length, and calibration."""
    length = held["length"]
    above = length["above_length"]
    rows = [
        ("the model", held["pairs"], held["accuracy"], _interval(held)),
        ("taking the longer answer", held["pairs"], length["longer_is_better"]["accuracy"],
         _interval(length["longer_is_better"])),
        ("the model, answers of like length", length["matched"]["pairs"],
         length["matched"]["accuracy"], _interval(length["matched"])),
    ]  # fmt: skip
    columns = ("who", "pairs", "accuracy", "95 % interval")
    page.add_table(Table("Which answer is better", columns, rows))
    page.add_text(
        f"The model's accuracy less that of length: {100 * above['difference']:+.1f} points "
        f"({100 * above['low']:+.1f} to {100 * above['high']:+.1f}). Scores "
        f"and lengths correlate with {_number(length['correlation'])}, their "
        f"differences within a pair with {_number(length['correlation_of_differences'])}."
    )
    bins = held["calibration"]
    if bins:
        middle = [b["confidence"] for b in bins]
        series = [("said", middle, middle), ("right", middle, [b["accuracy"] for b in bins])]
        page.add_svg(line_chart("Calibration: how sure, how often right", series,
                                x_label="sigma of the difference of scores"))  # fmt: skip
        page.add_table(Table("", ("from", "to", "pairs", "confidence", "accuracy"),
                             [tuple(b.values()) for b in bins]))  # fmt: skip


def add_surprises(page: Page, surprising: Sequence[dict[str, Any]]) -> None:
    """Held-out pairs to read: the surest mistakes."""
    if surprising:
        page.add_heading("Surest and wrong", anchor="surprises")
        page.add_text("The answer that people preferred stands first; the scores say otherwise.")
    for row in surprising:
        text = f"{row['prompt']}\n\n── better ──\n{row['better']}\n\n── worse ──\n{row['worse']}"
        page.add_details(f"{row['id']}, lead {row['lead']:.2f}", text)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _rewards(page: Page, entries: Sequence[dict[str, Any]]) -> None:
    last = [e for e in entries if e["kind"] == "eval"][-1]
    found = last.get("histogram")
    if found:
        page.add_svg(histogram("Scores of held-out answers", found["edges"], found["counts"],
                               x_label="score"))  # fmt: skip


def _curves(page: Page, entries: Sequence[dict[str, Any]]) -> None:
    steps = [e for e in entries if e["kind"] == "train"]
    held = [e for e in entries if e["kind"] == "eval"]
    for key, title in CURVES.items():
        series = [("training", [e["step"] for e in steps], [_plain(e[key]) for e in steps])]
        if held and key in held[0]:
            series.append(("held out", [e["step"] for e in held], [_plain(e[key]) for e in held]))
        page.add_svg(line_chart(title, series, x_label="step"))
    for name, title in (("reward", "Scores"), ("log_probability", "Log-probabilities, nats")):
        keys = [k for k in (f"chosen_{name}", f"rejected_{name}") if steps and k in steps[0]]
        if keys:
            lines = [(k.split("_")[0], [e["step"] for e in steps], [_plain(e[k]) for e in steps])
                     for k in keys]  # fmt: skip
            page.add_svg(line_chart(title, lines, x_label="step"))


def _plain(value: float | None) -> float:
    return float("nan") if value is None else value
