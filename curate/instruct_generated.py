"""The folder of a generation run: tasks, rejects, answers, report."""

from pathlib import Path
from typing import Any

from yanmo.charts import Bar, bar_chart, histogram
from yanmo.endpoint import Client, Endpoint
from yanmo.files import atomic_write, exclusive, write_json
from yanmo.progress import track
from yanmo.recipe import dumps
from yanmo.report import Page, Table

from .instruct_filters import GenerateRecipe
from .instruct_generate import Generator, Made, distinct, lines, read_seeds
from .instruct_rouge import tokens_of

_BINS = 20


def generate(seeds: Path, endpoint: Endpoint, recipe: GenerateRecipe, out: Path, *,
             quiet: bool = False) -> dict[str, Any]:  # fmt: skip
    """Generate tasks into a folder; run again, it goes on where it was cut off.

    Args:
        seeds: file of seed tasks.
        endpoint: who is asked.
        recipe: how.
        out: gets ``tasks.jsonl``, ``rejected.jsonl``, ``answers.jsonl`` (every answer, kept),
            ``recipe.toml``, ``report.json`` and ``report.html``.
        quiet: show no progress.

    Returns:
        ``report.json``.

    Raises:
        YanmoError: the endpoint fails for good; what there is has been written.
        DataError: the seeds cannot be used.
    """
    tasks = read_seeds(seeds)
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out), track(recipe.max_tasks, "generate", "tasks", quiet=quiet) as progress:
        client = Client(endpoint, cache=out / "answers.jsonl")
        generator = Generator(tasks, client, recipe, progress.advance)
        try:
            generator.run()
        finally:
            report = _write(generator.made, recipe, endpoint, out)
    return report


def _write(made: Made, recipe: GenerateRecipe, endpoint: Endpoint, out: Path) -> dict[str, Any]:
    for name, rows in (("tasks", made.tasks), ("rejected", made.rejected)):
        with atomic_write(out / f"{name}.jsonl", text=True) as stream:
            stream.writelines(lines(rows))
    with atomic_write(out / "recipe.toml", text=True) as stream:
        stream.write(dumps(recipe))
    report = summary(made, endpoint.model)
    write_json(out / "report.json", report)
    with atomic_write(out / "report.html", text=True) as stream:
        stream.write(_page(report, made, recipe).html())
    return report


def summary(made: Made, model: str) -> dict[str, Any]:
    """``report.json``."""
    words = [tokens_of(task["instruction"]) for task in made.tasks]
    total = made.reasons.total()
    return {
        "model": model, "stopped": made.stopped or "failed", "requests": made.requests,
        "from_cache": made.cached, "tokens": made.tokens, "tasks": len(made.tasks),
        "rejected": len(made.rejected), "acceptance": len(made.tasks) / max(total, 1),
        "reasons": dict(made.reasons.most_common()), "finish_reasons": dict(made.finish),
        "distinct_1": distinct(words, 1), "distinct_2": distinct(words, 2),
        "with_input": sum(bool(task["input"]) for task in made.tasks),
    }  # fmt: skip


def _page(report: dict[str, Any], made: Made, recipe: GenerateRecipe) -> Page:
    lead = (f"{report['tasks']} tasks accepted of {report['tasks'] + report['rejected']} that "
            f"{report['model']} wrote in {report['requests']} answers; stopped by: "
            f"{report['stopped']}.")  # fmt: skip
    page = Page("Generated tasks", lead)
    page.add_heading("What became of the tasks", anchor="reasons")
    page.add_svg(bar_chart("Tasks by reason", [Bar(name, float(count), str(count)) for name, count
                                               in report["reasons"].items()]))  # fmt: skip
    names = ("requests", "from_cache", "tokens", "acceptance", "distinct_1", "distinct_2",
             "with_input")  # fmt: skip
    page.add_table(Table("", ["", "value"], [[name, report[name]] for name in names]))
    page.add_heading("How alike and how long they are", anchor="shape")
    page.add_grid(_charts(made, recipe))
    page.add_heading("Accepted", anchor="accepted")
    columns = ["id", "instruction", "input", "output", "sim_max", "nearest_id"]
    rows = [[str(task[name])[:300] for name in columns] for task in made.tasks[:20]]
    page.add_table(Table("", columns, rows))
    page.add_heading("Rejected", anchor="rejected")
    columns = ["id", "reason", "instruction", "sim_max", "nearest_id"]
    rows = [[str(task[name])[:300] for name in columns] for task in made.rejected[:20]]
    page.add_table(Table("", columns, rows))
    return page


def _charts(made: Made, recipe: GenerateRecipe) -> list[str]:
    edges = [i / _BINS for i in range(_BINS + 1)]
    most = recipe.filters.max_similarity
    charts = [
        histogram(
            "Nearest instruction",
            edges,
            _counts(made.similarities, edges),
            x_label="ROUGE-L F",
            thresholds=[] if most is None else [most],
        )
    ]
    for name in ("instruction", "input", "output"):
        sizes = [float(len(task[name])) for task in made.tasks]
        high = max(sizes, default=1.0) or 1.0
        ends = [high * i / _BINS for i in range(_BINS + 1)]
        charts.append(histogram(f"{name} of accepted tasks", ends, _counts(sizes, ends),
                                x_label="characters"))  # fmt: skip
    return charts


def _counts(values: list[float], edges: list[float]) -> list[int]:
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = int(value / edges[-1] * (len(edges) - 1)) if edges[-1] else 0
        counts[min(place, len(counts) - 1)] += 1
    return counts
