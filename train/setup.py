"""From a recipe, shards and an output folder to everything that the loop needs: new or resumed."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yanmo import recipe as recipes
from yanmo.errors import DataError, RecipeError
from yanmo.files import sha256_file, sha256_json
from yanmo.manifest import versions
from yanmo.mixture import Plan
from yanmo.order import shards_identity
from yanmo.packing import order_key
from yanmo.shards import Shards, open_shards

from . import checkpoint
from .backends import Picked, check_compiler, equip
from .config import ModelConfig
from .data import Feed, Loader
from .distributed import World, spread
from .folder import TOKENIZER_DEFINITIONS, load_config, load_model, weight_files
from .heldout import heldout_loader
from .lora import add_adapters, fill_adapter, freeze, merged, read_adapter
from .mixture import find_plan, make_loader
from .model import Llama, build
from .optim import Optimizers
from .recipe import Pretrain, check_same_run, model_config
from .rows import joined, only_new_rows
from .step import weight_dtype

HELDOUT = "heldout"


@dataclass
class Progress:
    """How far a run is; part of every checkpoint.

    Attributes:
        step: optimiser steps taken (skipped ones count).
        targets: targets seen.
        read: inputs seen, padding left out.
        seconds: spent in steps, over all starts of the run.
        skipped: steps left out by the guard.
        watched: what the plateau rule looks at, one value an evaluation.
        by_source: tokens read of each source, up to the last line of the log.
    """

    step: int = 0
    targets: int = 0
    read: int = 0
    seconds: float = 0.0
    skipped: int = 0
    watched: list[float] = field(default_factory=list)
    by_source: dict[str, int] = field(default_factory=dict)


@dataclass
class Run:
    """A run, ready to take its next step.

    Attributes:
        recipe: resolved.
        out: the run folder.
        world: the processes.
        loader: training sequences.
        heldout: sequences of the held-out shards, where there are any.
        model: the model; ``call`` is the same, wrapped for several processes.
        total_steps: steps in all.
        guard_window: see ``Guard``.
        tally: sums since the last line of the log, see ``Tally``.
        lineage: what the weights come from.
        plan: the mixture that the loader follows, if there is one.
        own_recipe: what the user wrote, where the trainer follows a translation of it.
        also: writes more into each checkpoint.
        sampler: continues the recipe's sample prompts, where it is not plain text that goes on.
        attention: the backend, and why others were passed over.
    """

    recipe: Pretrain
    out: Path
    world: World
    loader: Feed
    heldout: Feed | None
    model: Llama
    call: nn.Module
    optimizers: Optimizers
    total_steps: int
    lineage: dict[str, Any]
    progress: Progress = field(default_factory=Progress)
    guard_window: list[float] = field(default_factory=list)
    tally: list[list[float]] | None = None
    resumed_from: Path | None = None
    plan: Plan | None = None
    own_recipe: Any = None
    also: Callable[[Path], None] | None = None
    sampler: Callable[[Llama, Sequence[str]], list[dict[str, Any]]] | None = None
    attention: Picked | None = None

    @property
    def told(self) -> Any:
        """The recipe to write down."""
        return self.recipe if self.own_recipe is None else self.own_recipe


def prepare(recipe: Pretrain, shards_folder: Path, out: Path, world: World) -> Run:
    """Set up a run, from its last whole checkpoint if the output folder holds one.

    Raises:
        RecipeError: the run in ``out`` has other settings, or a size does not fit.
        DataError: the shards are damaged, or not those of the run, or made for another tokenizer.
    """
    check_parallel(recipe, world)
    restored = find_restored(out, recipe)
    check = "full" if restored is None and recipe.data.verify == "full" and world.main else "fast"
    shards = open_shards(shards_folder, verify="full" if check == "full" else "fast")
    plan = find_plan(recipe, shards)
    loader = make_loader(recipe, shards, plan)
    lineage = describe_lineage(recipe, shards, plan)
    if restored is not None:
        check_lineage(restored.state["lineage"], lineage, shards_folder)
    model = make_model(recipe, shards, None if restored is None else restored.folder)
    run = assemble(recipe, out, world, model, lineage, (loader, _heldout(recipe, shards)))
    run.plan = plan
    if restored is not None:
        restore(run, restored)
    return run


def find_restored(out: Path, recipe: Any) -> checkpoint.Restored | None:
    """The last whole checkpoint in a run folder, if there is one.

    Raises:
        RecipeError: the run that is there has other settings.
    """
    found = checkpoint.checkpoints(out)
    restored = checkpoint.read(found[-1][1]) if found else None
    written = out / "recipe.toml" if restored is None else restored.recipe
    if written.is_file():
        check_same_run(recipes.load(type(recipe), written), recipe)
    return restored


def assemble(
    recipe: Pretrain, out: Path, world: World, model: Llama, lineage: dict[str, Any],
    feeds: tuple[Feed, Feed | None],
) -> Run:  # fmt: skip
    """Put a run together that has not taken a step.

    Args:
        recipe: what the trainer follows.
        out: the run folder.
        world: the processes.
        model: with the weights to go on from; moved to the world's device.
        lineage: what the weights come from.
        feeds: training and held-out data.
    """
    picked = choose_kernels(model, recipe, world.device)
    model.to(world.device)
    # Adapters may drop out; every process draws its own.
    torch.manual_seed(order_key("run", recipe.seed, world.rank))
    call = spread(model, world, how=recipe.run.parallel, precision=recipe.precision)
    optimizers = Optimizers(model.named_parameters(), recipe.optimizer)
    steps = recipe.steps(feeds[0].sequences)
    return Run(
        recipe, out, world, *feeds, model, call, optimizers, steps, lineage, attention=picked
    )  # fmt: skip


def choose_kernels(model: Llama, recipe: Pretrain, device: torch.device) -> Picked:
    """How a model computes: attention, recomputation, compiled layers.

    Raises:
        RecipeError: what the recipe asks for cannot run here.
    """
    picked = equip(model, recipe.run, device, recipe.precision)
    if recipe.run.compile == "blocks":
        check_compiler(device)
        model.compile_blocks()
    return picked


def check_parallel(recipe: Pretrain, world: World) -> None:
    """Refuse what several processes cannot do.

    Raises:
        RecipeError: names the setting.
    """
    if recipe.batch_sequences % world.size:
        raise RecipeError(
            f"a batch of {recipe.batch_sequences} sequences cannot be shared by {world.size} "
            "processes", value=recipe.data.batch_tokens, fix="Change data.batch_tokens.",
        )  # fmt: skip
    if world.size > 1 and recipe.run.parallel == "shard":
        if recipe.optimizer.kind == "muon":
            raise RecipeError(
                "Muon needs whole matrices", value="run.parallel=shard",
                fix="Set run.parallel=replicate or optimizer.kind=adamw.",
            )  # fmt: skip
        if recipe.run.sample_prompts:
            raise RecipeError(
                "a sharded model writes no samples during training", value="run.sample_prompts",
                fix="Use `yanmo train generate`.",
            )  # fmt: skip


def check_lineage(before: dict[str, Any], now: dict[str, Any], shards: Path) -> None:
    """Refuse to go on with other data, or from another base, than the run was started with.

    Raises:
        DataError: says which.
    """
    if before["shards"] != now["shards"]:
        raise DataError(
            "these are not the shards that the run was started with", where=shards,
            value=now["shards"]["identity"],
            fix=f"It was started with {before['shards']['identity']}.",
        )  # fmt: skip
    old, new = (b.get("order", now["order"])["mixture"] for b in (before, now))
    if old != new:
        raise DataError("this is not the mixture that the run was started with", where=shards,
                        value=new, fix=f"It was started with {old}.")  # fmt: skip
    check_start(before, now)


def check_start(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on from another base.

    Raises:
        DataError: it has changed.
    """
    old, new = (b and b["sha256"] for b in (before["init"], now["init"]))
    if old != new:
        raise DataError("the model that the run was started from has changed",
                        where=now["init"] and now["init"]["path"], value=new,
                        fix=f"It was {old}.")  # fmt: skip


def restore(run: Run, restored: checkpoint.Restored) -> None:
    """Bring a run to where a checkpoint was written."""
    run.optimizers.load(restored.optimizer)
    checkpoint.restore_generators(restored.generators, run.world.rank)
    run.progress = Progress(**restored.state["progress"])
    run.guard_window = list(restored.state["guard_window"])
    run.tally = restored.state["tally"]
    run.lineage, run.resumed_from = restored.state["lineage"], restored.folder


def make_model(recipe: Pretrain, shards: Shards, resumed: Path | None) -> Llama:
    """The model with the weights to go on from: of a checkpoint, of ``init``, or fresh.

    A checkpoint of a LoRA run holds merged weights for its readers; the run itself goes on from the
    base and the adapter, which are what it trains.
    """

    def start(dtype: torch.dtype) -> Llama:
        if recipe.init is None:
            return build(fresh_config(recipe, shards), seed=recipe.seed, dtype=dtype)
        check_init(Path(recipe.init), shards)
        return load_model(recipe.init, dtype=dtype)

    return ready_model(recipe, resumed, start)


def ready_model(
    recipe: Pretrain, resumed: Path | None, start: Callable[[torch.dtype], Llama]
) -> Llama:
    """A model to train, from a checkpoint or from its start; see :func:`make_model`."""
    dtype = weight_dtype(recipe.precision)
    torch.manual_seed(recipe.seed)  # of fresh adapters; fresh weights have a generator of their own
    adapted = recipe.lora.rank is not None
    goes_on = resumed is not None and not adapted
    model = load_model(resumed, dtype=dtype) if goes_on and resumed else start(dtype)
    choose_trainable(model, recipe)
    if resumed is not None and adapted:
        fill_adapter(model, read_adapter(resumed / checkpoint.ADAPTER))
    return model


def choose_trainable(model: Llama, recipe: Pretrain) -> None:
    """Adapters, new rows and frozen parts, as the recipe says.

    Raises:
        RecipeError: the choices exclude each other, or leave nothing to train.
    """
    chosen = recipe.trainable
    if recipe.lora.rank is not None:
        if chosen.only_new_rows:
            raise RecipeError("new rows alone and adapters exclude each other",
                              value="trainable.only_new_rows, lora.rank")  # fmt: skip
        add_adapters(model, recipe.lora)
    if chosen.only_new_rows:
        if chosen.new_rows_from is None:
            raise RecipeError("which rows are new?", value="trainable.only_new_rows",
                              fix="Set trainable.new_rows_from.")  # fmt: skip
        only_new_rows(model, chosen.new_rows_from)
    if chosen.freeze:
        freeze(model, chosen.freeze)
    if not any(p.requires_grad for p in model.parameters()):
        raise RecipeError("all weights are frozen", value=chosen.freeze)


def hf_weights(model: Llama, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under Hugging Face's names, adapters merged and grown rows joined.

    Args:
        model: says what is where.
        weights: its parameters by name, whole.
    """
    return joined(model, merged(model, weights))


def fresh_config(recipe: Pretrain, shards: Shards) -> ModelConfig:
    """The shape of a new model for some shards."""
    vocabulary = shards.vocabulary
    config = model_config(
        recipe.model, vocab_size=vocabulary.vocab_size, max_tokens=recipe.data.sequence_tokens
    )
    bos = vocabulary.eos_id if vocabulary.bos_id is None else vocabulary.bos_id
    return dataclasses.replace(
        config, bos_token_id=bos, eos_token_id=vocabulary.eos_id, pad_token_id=vocabulary.pad_id
    )


def check_init(folder: Path, shards: Shards) -> None:
    """Refuse to train a model on ids that mean something else to it.

    Raises:
        DataError: the vocabulary is too small, or the model's tokenizer is another one.
    """
    config = load_config(folder)
    needed = shards.vocabulary.vocab_size
    if config.vocab_size < needed:
        raise DataError(
            "the model's vocabulary is smaller than that of the shards", where=folder,
            value=config.vocab_size, fix=f"It needs {needed} rows; grow it first.",
        )  # fmt: skip
    if not any((folder / name).is_file() for name in TOKENIZER_DEFINITIONS):
        return  # weights alone: only their size could be checked
    from yanmo.vocab.load import load_tokenizer

    own = load_tokenizer(folder).sha256
    if own != shards.vocabulary.tokenizer_sha256:
        raise DataError(
            "the shards were made by another tokenizer than the model's", where=folder, value=own,
            fix=f"{shards.folder} was made by {shards.vocabulary.tokenizer_sha256}; pack again.",
        )  # fmt: skip


def _heldout(recipe: Pretrain, shards: Shards) -> Loader | None:
    folder = shards.folder / HELDOUT
    if not folder.is_dir():
        return None
    held = open_shards(folder, verify="fast", tokenizer_sha256=shards.vocabulary.tokenizer_sha256)
    return heldout_loader(
        held, sequence_tokens=recipe.data.sequence_tokens, tokens=recipe.run.eval_tokens
    )


def describe_lineage(recipe: Pretrain, shards: Shards, plan: Plan | None) -> dict[str, Any]:
    """Where a model comes from: shards by content, the curation behind them, the start.

    With ``order`` and the number of sequences read, ``yanmo.order`` says which tokens those were.
    """
    decisive = {k: v for k, v in recipes.to_table(recipe).items() if k != "run"}
    return {
        "shards": {
            "identity": shards_identity(shards),
            "tokenizer_sha256": shards.vocabulary.tokenizer_sha256,
            "recipe_sha256": shards.manifest.get("recipe_sha256"),
        },
        "order": {
            "seed": recipe.seed,
            "sequence_tokens": recipe.data.sequence_tokens,
            "batch_sequences": recipe.batch_sequences,
            "mixture": None if plan is None else plan.sha256,
        },
        "init": None if recipe.init is None else describe_start(recipe.init),
        "recipe_sha256": sha256_json(decisive),
        "versions": versions(),
    }


def describe_start(folder: str) -> dict[str, Any]:
    """The model that a run starts from, by content."""
    files = [Path(folder) / "config.json", *weight_files(Path(folder))]
    return {"path": folder, "sha256": sha256_json([sha256_file(f) for f in files])}


def position(run: Run) -> dict[str, Any]:
    """How far a run has read, for its checkpoints; with the lineage it says what was read."""
    return {
        "loader": {"sequences": run.progress.step * run.recipe.batch_sequences},
        "mixture": None if run.plan is None else run.plan.table(),
    }
