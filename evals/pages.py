"""A multiple-choice summary for people: terminal text, Markdown, one HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.charts import Bar, bar_chart, line_chart
from yanmo.files import atomic_write
from yanmo.report import Page, Table

Summary = Mapping[str, Any]


def percent(value: float) -> str:
    """A share as a percentage with one digit."""
    return f"{100 * value:.1f} %"


def p_value(value: float) -> str:
    """A p value; a small one is not shown as 0."""
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"


def interval(bounds: Mapping[str, float]) -> str:
    """An interval of a share, in percent."""
    return f"{100 * bounds['low']:.1f} to {100 * bounds['high']:.1f}"


def overview(summary: Summary) -> Table:
    """Averages of the whole, the categories and the groups."""
    whole = {
        **summary["accuracy"],
        "n": summary["n"],
        "intervals": summary["intervals"],
        "subjects": len(summary["by_subject"]),
    }
    rows = [_average_row("all", whole)]
    for part in ("by_category", "groups"):
        rows += [_average_row(name, entry) for name, entry in summary[part].items()]
    if summary["rotated"]:
        rows.append(_average_row("all, options rotated", summary["rotated"]))
    clean = summary.get("clean")
    if clean and clean["accuracy"]:
        rows.append(_average_row("clean of leaks", {**clean, **clean["accuracy"]}))
    columns = ["", "subjects", "questions", "macro", "95 %", "micro", "95 %"]
    return Table(f"{summary['task']} {summary['split']}, accuracy", columns, rows)


def _average_row(name: str, entry: Mapping[str, Any]) -> list[Any]:
    return [
        name, entry["subjects"], entry["n"],
        percent(entry["macro"]), interval(entry["intervals"]["macro"]),
        percent(entry["micro"]), interval(entry["intervals"]["micro"]),
    ]  # fmt: skip


def baseline_table(summary: Summary) -> Table:
    """What answering without a model gives (micro)."""
    base = summary["baselines"]
    rows = [["chance", percent(base["chance"])]]
    rows += [[f"always {letter}", percent(share)] for letter, share in base["constant"].items()]
    rows.append(["longest option", percent(base["longest_option"])])
    return Table("Without a model (micro)", ["rule", "accuracy"], rows)


def subject_table(summary: Summary) -> Table:
    """Every subject, best first."""
    entries = sorted(summary["by_subject"].items(), key=lambda pair: -pair[1]["accuracy"])
    rows = [
        [entry["name"], key, entry["category"], entry["n"], percent(entry["accuracy"]),
         interval(entry)]
        for key, entry in entries
    ]  # fmt: skip
    return Table("Subjects", ["subject", "key", "category", "questions", "accuracy", "95 %"], rows)


def letter_table(summary: Summary) -> Table:
    """How often each letter was predicted, and how often it is right."""
    predicted, answers = summary["letters"]["predicted"], summary["letters"]["answers"]
    letters = sorted({*predicted, *answers})
    rows = [[letter, predicted.get(letter, 0), answers.get(letter, 0)] for letter in letters]
    return Table("Letters", ["letter", "predicted", "right answer"], rows)


def verdict(summary: Summary) -> str:
    """One sentence: is this better than answering without a model?"""
    bounds, chance = summary["intervals"]["micro"], summary["baselines"]["chance"]
    best = max([*summary["baselines"]["constant"].values(),
                summary["baselines"]["longest_option"]])  # fmt: skip
    if bounds["low"] > max(chance, best):
        return "Better than chance and than every rule without a model."
    if bounds["low"] > chance:
        return (f"Above chance ({percent(chance)}), but a rule without a model reaches "
                f"{percent(best)}.")  # fmt: skip
    if bounds["high"] < chance:
        return f"Below chance ({percent(chance)}): look at the answer slot and the letters."
    return f"Not distinguishable from chance: the interval holds {percent(chance)}."


def notes(summary: Summary) -> list[str]:
    """Fallbacks and warnings; what a reader must know before quoting the number."""
    lines = []
    shots = summary["shots"]
    if len(shots) > 1:
        shown = ", ".join(f"{count} with {k}" for k, count in shots.items())
        lines.append(f"Shots that fit the context: {shown}.")
    for key, text in (
        ("cut_questions", "questions were cut on the left: longer than the context even alone"),
        ("multi_token_questions", "questions have answers of several tokens"),
    ):
        if summary[key]:
            lines.append(f"{summary[key]} {text}.")
    if summary["invalid"]:
        lines.append(f"{summary['invalid']} answers name no letter; they count as wrong.")
    if summary["mass"] and summary["mass"]["mean"] < 0.5:
        lines.append(
            f"Only {percent(summary['mass']['mean'])} of the probability lies on the letters: the "
            "model does not expect a letter here; try another dialect or answer form."
        )
    lines += clean_notes(summary.get("clean"))
    missing = summary["data"]["missing_subjects"]
    if missing:
        lines.append(f"{len(missing)} subjects are not in this run; averages are over the others.")
    if summary["data"]["note"]:
        lines.append(summary["data"]["note"])
    if summary["data"]["notice"]:
        lines.append(summary["data"]["notice"] + ".")
    return lines


def clean_notes(clean: Mapping[str, Any] | None) -> list[str]:
    """How many questions the leak report took out, if there was one."""
    if clean is None:
        return []
    leaked = sum(clean["leaked"].values())
    line = f"{leaked} of {leaked + clean['n']} questions stand in the corpus ({clean['report']})"
    if clean["not_judged"]:
        line += f"; {clean['not_judged']} are too short to be looked for and count as clean"
    return [f"{line}."]


def text(summary: Summary) -> str:
    """For a terminal."""
    parts = [overview(summary).text(), baseline_table(summary).text(), verdict(summary)]
    if summary["mass"]:
        mass = percent(summary["mass"]["mean"])
        parts.append(f"Probability on the letters: {mass} on average.")
    return "\n\n".join(parts) + "\n" + "\n".join(notes(summary))


def markdown(summary: Summary) -> str:
    """For a README or an issue."""
    tables = [overview, baseline_table, letter_table, subject_table]
    return "\n\n".join([
        f"# {summary['task']} {summary['split']}: {summary['model']['name']}",
        verdict(summary),
        *(table(summary).markdown() for table in tables),
        "\n".join(f"- {line}" for line in notes(summary)),
    ]) + "\n"  # fmt: skip


def page(summary: Summary, *, prompt: str = "") -> Page:
    """One self-contained HTML page.

    Args:
        summary: of a run.
        prompt: one whole prompt as the model saw it, to be shown.
    """
    result = Page(f"{summary['task']} {summary['split']}: {summary['model']['name']}",
                  lead=verdict(summary))  # fmt: skip
    result.add_table(overview(summary))
    categories = summary["by_category"]
    result.add_svg(bar_chart(
        "Accuracy by category, % (macro, 95 % interval)",
        [Bar(name, 100 * entry["macro"],
             interval=_percent_bounds(entry["intervals"]["macro"]))
         for name, entry in categories.items()],
    ))  # fmt: skip
    result.add_heading("Is it better than no model?")
    result.add_table(baseline_table(summary))
    result.add_heading("Letters and confidence")
    result.add_table(letter_table(summary))
    if summary["calibration"]:
        result.add_svg(reliability(summary["calibration"]))
        result.add_text(f"Expected calibration error {summary['calibration']['ece']:.3f}.")
    result.add_heading("Subjects")
    result.add_table(subject_table(summary))
    result.add_heading("What to know before quoting")
    for line in notes(summary) or ["Nothing to add."]:
        result.add_text(line)
    model = summary["model"]
    result.add_table(Table("Run", ["", ""], [[key, model[key]] for key in model]))
    if prompt:
        result.add_details("The first prompt, as the model saw it", prompt)
    return result


def _percent_bounds(bounds: Mapping[str, float]) -> tuple[float, float]:
    return 100 * bounds["low"], 100 * bounds["high"]


def reliability(calibration: Mapping[str, Any]) -> str:
    """Accuracy over confidence, with the diagonal of perfect calibration."""
    bins: Sequence[Mapping[str, float]] = calibration["bins"]
    return line_chart(
        "Accuracy over confidence (softmax over the letters)",
        [("model", [b["confidence"] for b in bins], [b["accuracy"] for b in bins]),
         ("calibrated", [0.2, 1.0], [0.2, 1.0])],
        x_label="confidence",
    )  # fmt: skip


def write_reports(folder: Path, summary: Summary, *, prompt: str = "") -> None:
    """Write ``report.md`` and ``report.html``."""
    for name, content in (("report.md", markdown(summary)),
                          ("report.html", page(summary, prompt=prompt).html())):  # fmt: skip
        with atomic_write(folder / name, text=True) as stream:
            stream.write(content)
