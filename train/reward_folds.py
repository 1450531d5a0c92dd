"""Cross-validation of a reward model: every pair is judged by a model that never saw its prompt."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

from yanmo import recipe as recipes
from yanmo.errors import UsageError
from yanmo.files import atomic_write, write_json
from yanmo.report import Page

from . import checkpoint
from .chat_text import ChatText
from .distributed import speaks
from .preference_data import Answers, fold_of, load_answers
from .preference_metrics import SURPRISES, measure, surprises
from .preference_recipe import Reward
from .preference_report import add_measures, add_surprises, data_table, summary_table
from .preference_run import HELDOUT, SUMMARY, Sides, Task
from .reward import train_reward


def cross_validate(
    recipe: Reward, task: Task, folds: int, *, quiet: bool = False
) -> dict[str, Any]:
    """Train once for each fold on all others, and pool what they say about the pairs left out.

    Args:
        recipe: resolved; its held-out share is not used.
        task: data, and the folder: ``fold-1`` and so on are runs of their own.
        folds: how many.
        quiet: no live lines.

    Returns:
        What ``summary.json`` holds: pooled ``heldout`` figures and ``folds``. A run that was
        interrupted goes on.
    """
    chat = ChatText(checkpoint.resolve(recipe.model))
    answers = load_answers(task.data, chat, max_tokens=recipe.data.max_tokens)
    scores: dict[int, list[float]] = {}
    runs = []
    for fold in range(folds):
        out = task.out / f"fold-{fold + 1}"
        own = dataclasses.replace(task, out=out, sides=_sides(fold, folds, recipe.seed))
        runs.append(train_reward(recipe, own, quiet=quiet))
        scores |= _read(out / HELDOUT, runs[-1]["references"]["bias"])
    rankings = [answers.rankings[i] for i in sorted(scores)]
    said = [scores[i] for i in sorted(scores)]
    pooled = measure(rankings, said, recipe.loss.pair_loss())
    summary = {
        "kind": "reward", "rankings": len(rankings), "data": answers.counts, "heldout": pooled,
        "folds": [{"accuracy": r["heldout"]["accuracy"], "pairs": r["heldout"]["pairs"]}
                  for r in runs],
        "seconds": sum(run["seconds"] for run in runs), "device": runs[0]["device"],
    }  # fmt: skip
    decode = partial(chat.tokenizer.decode, skip_special=False)
    if speaks():
        _write(task.out, summary, recipe, surprises(rankings, said, decode, 2 * SURPRISES))
    return {**summary, "already_done": all(run["already_done"] for run in runs)}


def _sides(fold: int, folds: int, seed: int) -> Any:
    def choose(answers: Answers) -> Sides:
        places = fold_of(answers.rankings, folds, seed)
        if folds > len({ranked.prompt_key for ranked in answers.rankings}):
            raise UsageError("there are fewer prompts than folds", value=folds)
        train = [i for i, place in enumerate(places) if place != fold]
        return train, [i for i, place in enumerate(places) if place == fold]

    return choose


def _read(path: Path, bias: float) -> dict[int, list[float]]:
    """Scores by ranking; with the bias, those of several models have one zero."""
    found: dict[int, list[float]] = {}
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["ranking"], []).append(row["score"] + bias)
    return found


def _write(out: Path, summary: dict[str, Any], recipe: Reward, found: list[dict[str, Any]]) -> None:
    page = Page(f"Reward model {out.name}, {len(summary['folds'])}-fold cross-validation",
                lead="Every pair was judged by a model that never saw its prompt.")  # fmt: skip
    page.add_table(summary_table(summary))
    page.add_heading("Held-out pairs, pooled", anchor="heldout")
    add_measures(page, summary["heldout"])
    add_surprises(page, found)
    page.add_heading("Data", anchor="data")
    page.add_table(data_table(summary["data"]))
    page.add_details("recipe.toml", recipes.dumps(recipe))
    with atomic_write(out / "report.html", text=True) as stream:
        stream.write(page.html())
    write_json(out / SUMMARY, summary)
