"""The report of a training run: its curves, and what a reader should know about it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yanmo import recipe as recipes
from yanmo.charts import line_chart
from yanmo.report import Page, Table

from .journal import read_journal
from .recipe import Pretrain


def report(run: Path, summary: dict[str, Any], recipe: Pretrain) -> str:
    """One self-contained HTML page.

    Args:
        run: the run folder; its log is read.
        summary: see :func:`yanmo.train.pretrain.summarize`.
        recipe: the recipe.
    """
    entries = read_journal(run)
    page = Page(f"Training run {run.name}", lead=_lead(summary))
    page.add_table(summary_table(summary))
    _sources(page, summary)
    page.add_heading("Loss")
    add_curves(page, entries)
    _heldout(page, summary)
    add_end(page, entries, recipe)
    return page.html()


def add_end(page: Page, entries: Sequence[dict[str, Any]], recipe: Any) -> None:
    """What every training report ends with: events, samples, the recipe."""
    _events(page, [e for e in entries if e["kind"] == "event"])
    _samples(page, [e for e in entries if e["kind"] == "sample"])
    page.add_heading("Recipe")
    page.add_details("recipe.toml", recipes.dumps(recipe))


def _lead(summary: dict[str, Any]) -> str:
    loss = "–" if summary["loss"] is None else f"{summary['loss']:.3f}"
    return (
        f"{summary['parameters']:,} parameters, {summary['tokens']:,} tokens, "
        f"final training loss {loss} nats per token."
    )


def summary_table(summary: dict[str, Any]) -> Table:
    """The figures of a run as a table."""
    held = summary["heldout"] or {}
    rows = [
        ("parameters", summary["parameters"]),
        ("steps", summary["steps"]),
        ("tokens", summary["tokens"]),
        ("epochs", summary["epochs"]),
        ("padding", summary["padding"]),
        ("training loss, nats per token", summary["loss"]),
        ("held-out loss, nats per token", held.get("loss")),
        ("held-out bits per byte", held.get("bits_per_byte")),
        ("tokens per second", summary["tokens_per_second"]),
        ("share of the device's peak (MFU)", summary["mfu"]),
        ("seconds in steps", summary["seconds"]),
        ("steps skipped", summary["skipped"]),
        ("device", summary["device"]),
    ]
    return Table("", ("what", "value"), rows)


def plan_table(plan: dict[str, Any]) -> Table:
    """What a dry run found, as a table."""
    rows = [(f"{name} parameters", count) for name, count in plan["parameters"].items()]
    rows += [(name.replace("_", " "), v) for name, v in plan.items() if name != "parameters"]
    return Table("", ("what", "value"), rows)


def _sources(page: Page, summary: dict[str, Any]) -> None:
    rows = [(name, s["of"], s["planned"], s["tokens"], s["epochs"])
            for name, s in summary["sources"].items()]  # fmt: skip
    page.add_heading("Tokens by source")
    columns = ("source", "in the shards", "planned for one pass", "read", "epochs")
    page.add_table(Table("", columns, rows))


def add_curves(page: Page, entries: Sequence[dict[str, Any]]) -> None:
    """Charts of loss, learning rate, gradient and speed, from the lines of a log."""
    train = [e for e in entries if e["kind"] == "train" and e["loss"] is not None]
    held = [e for e in entries if e["kind"] == "eval"]
    steps = [e["step"] for e in train]
    series = [("training", steps, [e["loss"] for e in train])]
    if held:
        series.append(("held out", [e["step"] for e in held], [e["loss"] for e in held]))
    page.add_svg(line_chart("Loss, nats per token", series, x_label="step"))
    for title, key in (
        ("Learning rate", "lr"),
        ("Norm of the gradient before clipping", "grad_norm"),
        ("Tokens per second", "tokens_per_second"),
    ):
        page.add_svg(line_chart(title, [(key, steps, [e[key] for e in train])], x_label="step"))


def _heldout(page: Page, summary: dict[str, Any]) -> None:
    held = summary["heldout"]
    page.add_heading("Held-out text")
    if held is None:
        page.add_text("The shards have no held-out split.")
        return
    rows = sorted(held["bits_per_byte_by_source"].items())
    page.add_table(Table("Bits per byte by source", ("source", "bits per byte"), rows))


def _events(page: Page, events: Sequence[dict[str, Any]]) -> None:
    if not events:
        return
    page.add_heading("Steps with a loss that jumped or was not finite")
    rows = [
        (e["step"], e["event"], e["loss"], e["grad_norm"], "skipped" if e["skipped"] else "taken",
         ", ".join(d["id"] for d in e["documents"][:4]))
        for e in events
    ]  # fmt: skip
    columns = ("step", "what", "loss", "gradient norm", "step was", "worst documents")
    page.add_table(Table("", columns, rows))


def _samples(page: Page, samples: Sequence[dict[str, Any]]) -> None:
    if samples:
        page.add_heading("What the model writes")
    for sample in samples:
        page.add_details(f"step {sample['step']}: {sample['prompt']}", sample["text"])
