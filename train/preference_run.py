"""From a recipe, judged answers and an output folder to a trained model: new or resumed."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from yanmo import manifest as manifests
from yanmo import recipe as recipes
from yanmo.errors import DataError
from yanmo.files import (
    atomic_write,
    read_json,
    sha256_file,
    sha256_json,
    write_json,
)
from yanmo.manifest import versions
from yanmo.packing import order_key
from yanmo.progress import track
from yanmo.vocab.load import load_tokenizer

from . import checkpoint
from .backends import equip
from .chat_text import ChatText
from .distributed import World, spread
from .folder import WEIGHTS, weight_files
from .journal import Journal, read_journal
from .lora import adapter_weights, add_adapters, fill_adapter, read_adapter, save_adapter
from .model import Llama
from .optim import Optimizers
from .preference_batch import Order
from .preference_data import Answers, load_answers, split
from .preference_loop import Objective, PairTrainer, Progress, Run
from .preference_metrics import surprises
from .preference_recipe import Dpo, Reward
from .preference_report import report
from .recipe import LoraSettings, check_same_run
from .setup import hf_weights

SUMMARY = "summary.json"
HELDOUT = "heldout.jsonl"
Sides = tuple[list[int], list[int]]


@dataclasses.dataclass(frozen=True)
class Task:
    """What a run works on.

    Attributes:
        data: files of rankings and pairs.
        out: the run folder.
        sides: numbers of the rankings to train on and of those held out; ``None``: by the recipe.
    """

    data: Sequence[Path]
    out: Path
    sides: Callable[[Answers], Sides] | None = None


@dataclasses.dataclass(frozen=True)
class Start:
    """What the thing to train is built from.

    Attributes:
        base: model folder that the run was started from.
        restored: checkpoint to go on from.
        answers: the data.
        order: which rankings a step reads.
        held: numbers of the rankings held out.
        out: the run folder.
        world: the processes.
    """

    base: Path
    restored: checkpoint.Restored | None
    answers: Answers
    order: Order
    held: list[int]
    out: Path
    world: World


Make = Callable[[Start], Objective]


def prepare(recipe: Reward | Dpo, task: Task, world: World, make: Make) -> Run:
    """Set up a run, from its last whole checkpoint if the output folder holds one.

    Args:
        recipe: resolved.
        task: data and output.
        world: the processes.
        make: builds what is trained.

    Raises:
        RecipeError: the run in the output folder has other settings.
        DataError: it was started with other data or another model; or there is nothing to learn.
    """
    restored = _find_restored(recipe, task.out)
    base = checkpoint.resolve(recipe.model)
    chat = ChatText(base)
    answers = load_answers(task.data, chat, max_tokens=recipe.data.max_tokens)
    train, held = (task.sides or _sides(recipe))(answers)
    if not train:
        raise DataError("all rankings are held out", value=len(held),
                        fix="Lower data.heldout_share, or bring more data.")  # fmt: skip
    lineage = _lineage(recipe, base, answers, held)
    if restored is not None:
        _check_lineage(restored.state["lineage"], lineage)
    total = max(round(recipe.epochs * len(train)), 1)
    order = Order(tuple(train), recipe.data.batch_rankings, total, recipe.seed)
    objective = make(Start(base, restored, answers, order, held, task.out, world))
    objective.module.to(world.device)
    torch.manual_seed(order_key("run", recipe.seed, world.rank))  # adapters may drop out
    call = spread(objective.module, world, how="replicate", precision=recipe.precision)
    optimizers = Optimizers(objective.module.named_parameters(), recipe.optimizer)
    run = Run(recipe, task.out, world, answers, held, order, objective, call, optimizers, lineage,
              base)  # fmt: skip
    if restored is not None:
        _restore(run, restored)
    return run


def _find_restored(recipe: Reward | Dpo, out: Path) -> checkpoint.Restored | None:
    """The newest whole checkpoint, once the recipe is seen to be that of the run."""
    if (out / "recipe.toml").is_file():
        before = recipes.load(type(recipe), out / "recipe.toml")
        check_same_run(cast(Any, before), cast(Any, recipe))
    found = checkpoint.checkpoints(out)
    return checkpoint.read(found[-1][1]) if found else None


def _restore(run: Run, restored: checkpoint.Restored) -> None:
    run.optimizers.load(restored.optimizer)
    checkpoint.restore_generators(restored.generators, run.world.rank)
    run.progress = Progress(**restored.state["progress"])
    run.resumed_from = restored.folder


def _sides(recipe: Reward | Dpo) -> Callable[[Answers], Sides]:
    return lambda answers: split(answers.rankings, recipe.data.heldout_share, recipe.seed)


def _lineage(
    recipe: Reward | Dpo, base: Path, answers: Answers, held: Sequence[int]
) -> dict[str, Any]:
    files = [base / "config.json", *weight_files(base)]
    return {
        "model": {"path": str(base), "sha256": sha256_json([sha256_file(f) for f in files])},
        "data": answers.identity,
        "heldout": sha256_json(list(held)),
        "recipe_sha256": sha256_json(
            {k: v for k, v in recipes.to_table(recipe).items() if k != "run"}
        ),
        "versions": versions(),
    }


def _check_lineage(before: dict[str, Any], now: dict[str, Any]) -> None:
    if before["data"] != now["data"] or before["heldout"] != now["heldout"]:
        raise DataError("these are not the rankings that the run was started with",
                        value=now["data"],
                        fix=f"It was started with {before['data']}.")  # fmt: skip
    old, new = before["model"]["sha256"], now["model"]["sha256"]
    if old != new:
        raise DataError("the model that the run was started from has changed",
                        where=now["model"]["path"], value=new, fix=f"It was {old}.")  # fmt: skip


def adapt(
    model: Llama, recipe: Reward | Dpo, restored: checkpoint.Restored | None, world: World
) -> None:  # fmt: skip
    """Choose how a model computes, and put adapters on it where the recipe has a rank."""
    if recipe.lora.rank is not None:
        torch.manual_seed(recipe.seed)
        add_adapters(model, recipe.lora)
        if restored is not None:
            fill_adapter(model, read_adapter(restored.folder / checkpoint.ADAPTER))
    equip(model, recipe.run, world.device, recipe.precision)


def store_weights(model: Llama, lora: LoraSettings, base: str, folder: Path) -> dict[str, Tensor]:
    """The model's weights by Hugging Face's names, adapters merged; the adapter is also written."""
    own = dict(model.named_parameters())
    if lora.rank is not None:
        save_adapter(adapter_weights(own, lora), lora, folder / checkpoint.ADAPTER, base=base)
    return hf_weights(model, own)


def source_of(base: Path, recipe: Reward | Dpo, restored: checkpoint.Restored | None) -> Path:
    """Where a model's weights are read from: adapters go on from the base and themselves."""
    return base if restored is None or recipe.lora.rank is not None else restored.folder


def finished(run: Run) -> bool:
    """Whether the run folder already holds the end of this run."""
    path = run.out / SUMMARY
    if not path.is_file() or run.progress.step != run.order.steps:
        return False
    return bool(read_json(path)["steps"] == run.progress.step)


@contextmanager
def log_of(run: Run) -> Iterator[Journal | None]:
    """Write down the recipe and open the log, in the first process."""
    if not run.world.main:
        yield None
        return
    run.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(run.out / "recipe.toml", text=True) as stream:
        stream.write(recipes.dumps(run.recipe))
    journal = Journal(run.out, step=run.progress.step, tensorboard=run.recipe.run.tensorboard)
    journal.write("start", run.progress.step, **describe(run))
    try:
        yield journal
    finally:
        journal.close()


def describe(run: Run) -> dict[str, Any]:
    """How a run computes and how much it does, for the first line of its log."""
    return {
        "resumed_from": None if run.resumed_from is None else run.resumed_from.name,
        "device": str(run.world.device),
        "processes": run.world.size,
        "precision": run.recipe.precision,
        "layout": run.layout,
        "total_steps": run.order.steps,
        "rankings": len(run.order.numbers),
        "heldout": len(run.held),
        "data": run.data.counts,
        "trained": sum(p.numel() for p in run.optimizers.parameters.values()),
    }


def train(run: Run, *, quiet: bool) -> PairTrainer:
    """Take all steps that are left; the log is closed whatever happens."""
    with log_of(run) as journal:
        trainer = PairTrainer(run, journal)
        label = f"{run.objective.kind} {run.out.name}"
        with track(run.order.steps, label, "steps", quiet=quiet or not run.world.main) as live:
            live.advance(run.progress.step)
            trainer.train(live)
    return trainer


def summarize(run: Run, trainer: PairTrainer) -> dict[str, Any]:
    """What ``summary.json`` holds of any run over judged answers."""
    entries = read_journal(run.out)
    steps = [e for e in entries if e["kind"] == "train"]
    before = [e for e in entries if e["kind"] == "eval" and e["step"] == 0]
    spent = run.progress.seconds
    return {
        "kind": run.objective.kind,
        "steps": run.progress.step,
        "epochs": run.order.total / len(run.order.numbers),
        "rankings": len(run.order.numbers),
        "data": run.data.counts,
        "tokens": run.progress.tokens,
        "loss": steps[-1]["loss"] if steps else None,
        "first_loss": steps[0]["loss"] if steps else None,
        "tokens_per_second": run.progress.tokens / spent if spent else None,
        "seconds": spent,
        "heldout_before": before[0] if before else None,
        "heldout": trainer.last,
        "device": str(run.world.device),
        "processes": run.world.size,
        "model": "model",
    }


def finish(run: Run, summary: dict[str, Any], page: str) -> None:
    """Export the model, write the report, and last the summary, which marks the run as done."""
    manifest = manifests.build(
        run.objective.kind, recipe=recipes.to_table(run.recipe), seed=run.recipe.seed,
        inputs=[{"data": run.lineage["data"], **run.lineage["model"]}],
        counts={"rankings": len(run.order.numbers), "tokens": run.progress.tokens},
        parts=[manifests.part_entry(run.out, run.out / "model" / WEIGHTS)],
    )  # fmt: skip
    with atomic_write(run.out / "report.html", text=True) as stream:
        stream.write(page)
    manifests.write(run.out, manifest)
    write_json(run.out / SUMMARY, summary)


def export(run: Run, told: Mapping[str, Any] | None = None) -> Path:
    """Publish the last checkpoint's model with its lineage, and what else is told of it."""
    about = {checkpoint.LINEAGE: run.lineage, **(told or {})}
    return checkpoint.publish(run.out, about, adapter=run.recipe.lora.rank is not None)


def page_of(run: Run, trainer: PairTrainer, summary: dict[str, Any]) -> str:
    """The run's report."""
    found: list[dict[str, Any]] = []
    if run.held:
        tokenizer = load_tokenizer(run.tokenizer)
        rankings = [run.data.rankings[i] for i in run.held]
        found = surprises(rankings, trainer.scores, partial(tokenizer.decode, skip_special=False))
    return report(run.out, summary, run.recipe, found)


def write_heldout(run: Run, trainer: PairTrainer) -> None:
    """One line an answer held out, so that every figure can be looked into."""
    if not run.held:
        return
    with atomic_write(run.out / HELDOUT, text=True) as stream:
        for number, scores in zip(run.held, trainer.scores, strict=True):
            ranked = run.data.rankings[number]
            for k, score in enumerate(scores):
                row = {"id": ranked.id, "ranking": number, "answer": k, "rank": ranked.ranks[k],
                       "tokens": len(ranked.answers[k]), "score": score}  # fmt: skip
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
