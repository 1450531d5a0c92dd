"""`yanmo train grow`: teach a model the new entries of its grown vocabulary, in two stages.

Stage 1 trains the new rows of embedding and output projection alone: the rest of the model stays
the same bits while the new rows find their place. It ends when the held-out loss on new tokens no
longer falls. Stage 2 trains all weights, or adapters with embedding and output projection whole.

What the model forgets is watched: bits per byte of every held-out source before, between and after.

Source: Chinese-LLaMA-Alpaca (Cui et al. 2023), where stage 1 moved whole embeddings.
"""

# ruff: noqa: RUF009 (frozen dataclasses are fine as defaults)
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo import recipe as recipes
from yanmo.errors import DataError, RecipeError
from yanmo.files import atomic_write, read_json, write_json
from yanmo.recipe import setting
from yanmo.report import Page, Table

from .folder import load_config
from .journal import read_journal
from .pretrain import SUMMARY, pretrain
from .recipe import (
    LINEAR,
    DataSettings,
    GuardSettings,
    LoraSettings,
    OptimizerSettings,
    PlateauSettings,
    Pretrain,
    RunSettings,
    ScheduleSettings,
    TrainableSettings,
    precision_setting,
)

STAGES = ("stage-1", "stage-2")


@dataclass(frozen=True)
class NewRows:
    """``[new_rows]``: stage 1."""

    tokens: int | None = setting(2_000_000, low=1, help="At most; off: no stage 1.")
    lr: float = setting(2e-3, low=0.0, help="Peak; the rows start as means, far from their place.")
    plateau_evaluations: int | None = setting(
        3, low=1, help="Evaluations in a row that bring too little end the stage; off: never."
    )
    plateau_gain: float = setting(0.005, low=0.0, high=1.0, help="Share that is too little.")


@dataclass(frozen=True)
class All:
    """``[all]``: stage 2."""

    tokens: int | None = setting(20_000_000, low=1, help="off: no stage 2.")
    lr: float = setting(
        2e-4, low=0.0, source="Chinese-LLaMA-Alpaca-2 (2023), run_pt.sh, for LoRA of rank 64"
    )
    freeze: tuple[str, ...] = setting((), help="Shell patterns of parameters that stay.")
    lora_rank: int | None = setting(
        None, low=1, help="off: all weights move; else adapters, with embedding and output whole."
    )
    lora_alpha: float = setting(128.0, low=0.0, source="Chinese-LLaMA-Alpaca-2 (2023)")
    lora_dropout: float = setting(0.05, low=0.0, high=1.0, source="Chinese-LLaMA-Alpaca-2 (2023)")
    lora_targets: tuple[str, ...] = setting(LINEAR)


@dataclass(frozen=True)
class Grow:
    """Both stages; the tables that are not of a stage mean what they mean in pretraining."""

    seed: int = setting(0, low=0)
    base_vocab: int | None = setting(
        None, low=1, help="Entries before growing; off: what the tokenizer's yanmo.json says."
    )
    precision: str = precision_setting()
    new_rows: NewRows = NewRows()
    all: All = All()
    data: DataSettings = DataSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    guard: GuardSettings = GuardSettings()
    run: RunSettings = RunSettings()

    def __post_init__(self) -> None:
        if self.new_rows.tokens is None and self.all.tokens is None:
            raise RecipeError("both stages are off", value="new_rows.tokens, all.tokens")


def grow(
    recipe: Grow, model: Path, shards: Path, out: Path, *, quiet: bool = False
) -> dict[str, Any]:
    """Run the stages, each a run folder of its own that goes on if it was interrupted.

    Args:
        recipe: the resolved recipe.
        model: a model folder whose vocabulary has grown, with its tokenizer.
        shards: token shards of the grown tokenizer; ``heldout/`` in them is what is watched.
        out: gets ``stage-1``, ``stage-2``, ``summary.json`` and ``report.html``.
        quiet: no live line.

    Returns:
        What ``summary.json`` holds: ``base_vocab``, ``stages`` (their summaries), ``before`` and
        ``after`` (held-out figures), ``model``.

    Raises:
        DataError: the size of the base vocabulary is not known, or nothing has grown.
    """
    old = base_vocabulary(recipe, model)
    done: dict[str, dict[str, Any]] = {}
    start = model
    for stage, settings in plan_stages(recipe, old).items():
        settings = dataclasses.replace(settings, init=str(start))
        done[stage] = pretrain(settings, shards, out / stage, quiet=quiet)
        start = out / stage / "model"
    summary = _summary(out, old, done)
    if not all(stage["already_done"] for stage in done.values()) or not (out / SUMMARY).is_file():
        with atomic_write(out / "recipe.toml", text=True) as stream:
            stream.write(recipes.dumps(recipe))
        with atomic_write(out / "report.html", text=True) as stream:
            stream.write(_report(out, summary))
        write_json(out / SUMMARY, summary)
    return summary


def base_vocabulary(recipe: Grow, model: Path) -> int:
    """Entries of the vocabulary before it grew.

    Raises:
        DataError: neither recipe nor tokenizer says, or the model has no rows beyond it.
    """
    old, note = recipe.base_vocab, model / "yanmo.json"
    if old is None and note.is_file():
        old = read_json(note).get("base", {}).get("size")
    if old is None:
        raise DataError("how large was the vocabulary before it grew?", where=model,
                        fix="Set base_vocab, or use a tokenizer of `yanmo vocab`.")  # fmt: skip
    rows = load_config(model).vocab_size
    if rows <= old:
        raise DataError(f"the model has {rows} rows, and the base vocabulary {old} entries",
                        where=model, fix="Grow the model first.")  # fmt: skip
    return int(old)


def plan_stages(recipe: Grow, old: int) -> dict[str, Pretrain]:
    """The pretraining recipe of each stage that is not off, but for where it starts."""
    common = Pretrain(
        seed=recipe.seed, precision=recipe.precision, data=recipe.data, schedule=recipe.schedule,
        guard=recipe.guard, run=dataclasses.replace(recipe.run, eval_first=True),
    )  # fmt: skip
    stages: dict[str, Pretrain] = {}
    first, second = recipe.new_rows, recipe.all
    if first.tokens is not None:
        stages[STAGES[0]] = dataclasses.replace(
            common, tokens=first.tokens, plateau=_plateau(first),
            optimizer=dataclasses.replace(recipe.optimizer, lr=first.lr),
            trainable=TrainableSettings(new_rows_from=old, only_new_rows=True),
        )  # fmt: skip
    if second.tokens is not None:
        stages[STAGES[1]] = dataclasses.replace(
            common, tokens=second.tokens,
            optimizer=dataclasses.replace(recipe.optimizer, lr=second.lr),
            trainable=TrainableSettings(new_rows_from=old, freeze=second.freeze),
            lora=_lora(second),
        )  # fmt: skip
    return stages


def _plateau(stage: NewRows) -> PlateauSettings:
    if stage.plateau_evaluations is None:
        return PlateauSettings()
    return PlateauSettings("new_token_loss", stage.plateau_evaluations, stage.plateau_gain)


def _lora(stage: All) -> LoraSettings:
    """Adapters on the layers; embedding and output projection move whole, or new rows stay raw."""
    if stage.lora_rank is None:
        return LoraSettings()
    return LoraSettings(
        rank=stage.lora_rank, alpha=stage.lora_alpha, dropout=stage.lora_dropout,
        targets=stage.lora_targets, train_whole=("embed_tokens", "lm_head"),
    )  # fmt: skip


def _evaluations(run: Path) -> list[dict[str, Any]]:
    return [entry for entry in read_journal(run) if entry["kind"] == "eval"]


def _summary(out: Path, old: int, done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    evals = [entry for stage in done for entry in _evaluations(out / stage)]
    last = list(done)[-1]
    return {
        "base_vocab": old,
        "tokens": sum(stage["tokens"] for stage in done.values()),
        "steps": sum(stage["steps"] for stage in done.values()),
        "loss": done[last]["loss"],
        "tokens_per_second": done[last]["tokens_per_second"],
        "mfu": done[last]["mfu"],
        "stages": done,
        "before": evals[0] if evals else None,
        "after": evals[-1] if evals else None,
        "model": f"{last}/model",
    }


def watch_table(out: Path, summary: dict[str, Any]) -> Table:
    """Bits per byte of every held-out source before, between and after the stages."""
    if summary["before"] is None:
        return Table("The shards have no held-out split; nothing was watched.", ("source",), [])
    ends = [_evaluations(out / stage)[-1] for stage in summary["stages"]]
    columns = ["before", *(f"after {stage}" for stage in summary["stages"])]
    found = [summary["before"], *ends]
    rows = [
        [name, *(entry["bits_per_byte_by_source"].get(name) for entry in found)]
        for name in sorted(found[0]["bits_per_byte_by_source"])
    ]
    rows.append(["all", *(entry["bits_per_byte"] for entry in found)])
    rows.append(["loss of new tokens, nats", *(entry["new_token_loss"] for entry in found)])
    return Table("Held-out bits per byte", ("source", *columns), rows)


def _report(out: Path, summary: dict[str, Any]) -> str:
    page = Page(
        f"Growing {out.name}",
        lead=f"{summary['tokens']:,} tokens; entries from {summary['base_vocab']:,} on are new.",
    )
    page.add_table(watch_table(out, summary))
    page.add_text(
        "A source whose bits per byte rise is being forgotten: read more of it (data.sources), "
        "freeze more (all.freeze), or train adapters (all.lora_rank)."
    )
    for stage in summary["stages"]:
        page.add_link(f"{stage}: curves", f"{stage}/report.html")
    return page.html()
