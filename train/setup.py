"""From a recipe, shards and an output folder to everything that the loop needs: new or resumed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from yanmo import recipe as recipes
from yanmo.errors import DataError, RecipeError
from yanmo.files import sha256_json
from yanmo.manifest import versions
from yanmo.shards import TOKENIZER_FOLDER, Shards, open_shards

from . import checkpoint
from .config import ModelConfig
from .data import Loader, shards_identity
from .distributed import World, spread
from .folder import TOKENIZER_DEFINITIONS, load_config, load_model
from .heldout import heldout_loader
from .model import Llama, build
from .optim import Optimizers
from .recipe import Pretrain, check_same_run, model_config
from .step import weight_dtype

HELDOUT = "heldout"


@dataclass
class Progress:
    """How far a run is; part of every checkpoint.

    Attributes:
        step: optimiser steps taken (skipped ones count).
        targets: targets seen.
        seconds: spent in steps, over all starts of the run.
        skipped: steps left out by the guard.
        nll, count: sums since the last line of the log.
    """

    step: int = 0
    targets: int = 0
    seconds: float = 0.0
    skipped: int = 0
    nll: float = 0.0
    count: int = 0


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
        lineage: what the weights come from.
    """

    recipe: Pretrain
    out: Path
    world: World
    loader: Loader
    heldout: Loader | None
    model: Llama
    call: nn.Module
    optimizers: Optimizers
    total_steps: int
    lineage: dict[str, Any]
    progress: Progress = field(default_factory=Progress)
    guard_window: list[float] = field(default_factory=list)
    resumed_from: Path | None = None

    @property
    def tokenizer(self) -> Path:
        """The tokenizer folder of the shards."""
        return self.loader.shards.folder / TOKENIZER_FOLDER


def prepare(recipe: Pretrain, shards_folder: Path, out: Path, world: World) -> Run:
    """Set up a run, from its last whole checkpoint if the output folder holds one.

    Raises:
        RecipeError: the run in ``out`` has other settings, or a size does not fit.
        DataError: the shards are damaged, or not those of the run, or made for another tokenizer.
    """
    check_parallel(recipe, world)
    found = checkpoint.checkpoints(out)
    restored = checkpoint.read(found[-1][1]) if found else None
    if restored is not None:
        check_same_run(recipes.load(Pretrain, restored.recipe), recipe)
    elif (out / "recipe.toml").is_file():
        check_same_run(recipes.load(Pretrain, out / "recipe.toml"), recipe)
    check = "full" if restored is None and recipe.data.verify == "full" and world.main else "fast"
    shards = open_shards(shards_folder, verify="full" if check == "full" else "fast")
    loader = Loader(shards, sequence_tokens=recipe.data.sequence_tokens, seed=recipe.seed)
    lineage = describe_lineage(recipe, shards)
    if restored is not None and restored.state["lineage"]["shards"] != lineage["shards"]:
        raise DataError(
            "these are not the shards that the run was started with", where=shards_folder,
            value=lineage["shards"]["identity"],
            fix=f"It was started with {restored.state['lineage']['shards']['identity']}.",
        )  # fmt: skip
    model = _model(recipe, shards, None if restored is None else restored.folder)
    model.to(world.device)
    call = spread(model, world, how=recipe.run.parallel, precision=recipe.precision)
    optimizers = Optimizers(model.named_parameters(), recipe.optimizer)
    run = Run(
        recipe, out, world, loader, _heldout(recipe, shards), model, call,
        optimizers, recipe.steps(loader.sequences), lineage,
    )  # fmt: skip
    if restored is not None:
        _restore(run, restored)
    return run


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


def _restore(run: Run, restored: checkpoint.Restored) -> None:
    run.optimizers.load(restored.optimizer)
    checkpoint.restore_generators(restored.generators, run.world.rank)
    run.progress = Progress(**restored.state["progress"])
    run.guard_window = list(restored.state["guard_window"])
    run.lineage, run.resumed_from = restored.state["lineage"], restored.folder


def _model(recipe: Pretrain, shards: Shards, resumed: Path | None) -> Llama:
    """The model with the weights to go on from: of a checkpoint, of ``init``, or fresh."""
    dtype = weight_dtype(recipe.precision)
    if resumed is not None:
        model = load_model(resumed, dtype=dtype)
    elif recipe.init is not None:
        check_init(Path(recipe.init), shards)
        model = load_model(recipe.init, dtype=dtype)
    else:
        torch.manual_seed(recipe.seed)
        model = build(fresh_config(recipe, shards), seed=recipe.seed, dtype=dtype)
    model.backend, model.recompute = recipe.run.attention, recipe.run.recompute
    return model


def fresh_config(recipe: Pretrain, shards: Shards) -> ModelConfig:
    """The shape of a new model for some shards."""
    import dataclasses

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


def describe_lineage(recipe: Pretrain, shards: Shards) -> dict[str, Any]:
    """Where a model comes from: the shards by content, the curation behind them, the start."""
    decisive = {k: v for k, v in recipes.to_table(recipe).items() if k != "run"}
    return {
        "shards": {
            "identity": shards_identity(shards),
            "tokenizer_sha256": shards.vocabulary.tokenizer_sha256,
            "recipe_sha256": shards.manifest.get("recipe_sha256"),
        },
        "init": recipe.init,
        "recipe_sha256": sha256_json(decisive),
        "versions": versions(),
    }
