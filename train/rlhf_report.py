"""The report of a run of PPO or GRPO: did the reward rise, at what KL, and what does it write."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yanmo import recipe as recipes
from yanmo.charts import line_chart
from yanmo.report import Page, Table

from .journal import read_journal
from .rlhf_recipe import Rlhf

CHARTS = (
    ("Score of the responses", ("score", "reward", "rlhf_reward")),
    ("KL to the reference, nats a response", ("kl", "kl_k3")),
    ("Entropy, nats a token", ("entropy",)),
    ("Share of tokens whose ratio is clipped", ("clip_share",)),
    ("Explained variance of the returns", ("explained_variance",)),
    ("Share of groups of equal scores", ("equal_groups",)),
    ("Tokens of a response", ("response_tokens",)),
    ("Share of responses that end by themselves", ("ended",)),
    ("KL of an update to the policy that drew", ("approx_kl",)),
    ("Smallest and largest ratio", ("ratio_min", "ratio_max")),
    ("Norm of the gradient before clipping", ("grad_norm", "value_grad_norm")),
    ("Coefficient of the KL", ("coefficient",)),
)


def report(run: Path, summary: dict[str, Any], recipe: Rlhf) -> str:
    """One self-contained HTML page.

    Args:
        run: the run folder; its log is read.
        summary: see ``yanmo.train.rlhf.summarize``.
        recipe: the recipe.
    """
    entries = read_journal(run)
    page = Page(f"{summary['algorithm'].upper()} run {run.name}", lead=_lead(summary))
    page.add_table(summary_table(summary))
    page.add_heading("Course of the run")
    page.add_grid(_charts([e for e in entries if e["kind"] == "train"]))
    samples = [e for e in entries if e["kind"] == "sample"]
    _pairs(page, samples, summary["iterations"])
    _samples(page, [e for e in samples if not e.get("heldout")])
    page.add_heading("Recipe")
    page.add_details("recipe.toml", recipes.dumps(recipe))
    return page.html()


def _lead(summary: dict[str, Any]) -> str:
    held = summary["heldout"]
    found = held["gold"] or held["reward"]
    if found is None:
        return "No prompts were held out, so this page says nothing about other prompts."
    what = summary["gold"] if held["gold"] else summary["reward"]
    return (
        f"{what} on {held['prompts']} held-out prompts: {found['before']:.3f} → "
        f"{found['after']:.3f} (difference {found['low']:+.3f} to {found['high']:+.3f}, "
        f"p {found['p']:.2g}); {summary['kl']:.2f} nats a response from the reference."
    )


def summary_table(summary: dict[str, Any]) -> Table:
    """The figures of a run as a table."""
    held = summary["heldout"]
    rows: list[tuple[str, Any, Any]] = []
    for what in ("gold", "reward"):
        if held[what] is not None:
            name = f"held-out {what} ({summary[what]})"
            rows.append((name, held[what]["before"], held[what]["after"]))
    rows += [
        ("tokens of a held-out response", *summary["response_tokens"]),
        ("held-out responses that end", *summary["ended"]),
        ("KL to the reference, nats a response", summary["first_kl"], summary["kl"]),
    ]
    alone = (
        ("first ratio", summary["first_ratio"]),
        ("KL coefficient", summary["coefficient"]),
        ("iterations", summary["iterations"]),
        ("responses drawn", summary["samples"]),
        ("prompts trained on", summary["prompts"]["trained_on"]),
        ("prompts held out", held["prompts"]),
        ("seconds", summary["seconds"]),
        ("device", summary["device"]),
    )
    return Table("", ("what", "before", "after"), [*rows, *((n, None, v) for n, v in alone)])


def _charts(entries: Sequence[dict[str, Any]]) -> list[str]:
    steps = [e["step"] for e in entries]
    drawn = []
    for title, keys in CHARTS:
        known = [key for key in keys if entries and entries[0].get(key) is not None]
        series = [
            (key.replace("_", " "), steps, [_number(e.get(key)) for e in entries]) for key in known
        ]
        if series:
            drawn.append(line_chart(title, series, x_label="iteration"))
    return drawn


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _pairs(page: Page, samples: Sequence[dict[str, Any]], last: int) -> None:
    """Held-out prompts, answered before and after."""
    before, after = (
        {e["prompt"]: e for e in samples if e.get("heldout") and e["step"] == step}
        for step in (0, last)
    )
    if not before:
        return
    page.add_heading("Held-out prompts, before and after")
    rows = [
        (prompt, one["text"], one["score"], after[prompt]["text"], after[prompt]["score"])
        for prompt, one in before.items() if prompt in after
    ]  # fmt: skip
    page.add_table(Table("", ("prompt", "before", "score", "after", "score "), rows))


def _samples(page: Page, samples: Sequence[dict[str, Any]]) -> None:
    if samples:
        page.add_heading("Responses of the run")
    for sample in samples:
        end = "" if sample["ended"] else " (cut)"
        page.add_details(
            f"iteration {sample['step']}, score {sample['score']:.3f}: {sample['prompt']}",
            sample["text"] + end,
        )
