"""`yanmo train dpo`: preferences go into a model without a reward model in between.

An answer's score is ``beta * (log pi(answer) - log pi_ref(answer))``; the reference is the model
that the run starts from, and its log-probabilities are computed once and kept.

Source: DPO (Rafailov et al. 2023).
"""

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from yanmo.files import atomic_write, read_json, sha256_file, sha256_json
from yanmo.progress import track

from .backends import equip
from .distributed import join
from .folder import load_model, save_model, weight_files
from .log_probabilities import linear_log_probabilities
from .model import Llama
from .preference_batch import Offsets, PairBatch, lay_out, layout_on, micro_batches
from .preference_pairs import PairLoss
from .preference_recipe import Dpo
from .preference_run import (
    SUMMARY,
    Start,
    Task,
    adapt,
    export,
    finish,
    finished,
    page_of,
    prepare,
    source_of,
    store_weights,
    summarize,
    train,
    write_heldout,
)
from .step import computing, weight_dtype

CACHE: Final = "reference.safetensors"


class AnswerLogs(nn.Module):
    """Log-probabilities of whole answers under a causal model."""

    def __init__(self, model: Llama) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: PairBatch) -> Tensor:
        """(n,) float64: summed over the tokens of each answer, its closing token included.

        A sum over hundreds of tokens in float32 would lose the small differences that DPO learns
        from.
        """
        states = self.model.hidden(batch.tokens, batch.documents).flatten(0, 1)
        states = states.index_select(0, batch.predictors)
        logs = linear_log_probabilities(states, self.model.head_weight, batch.labels)
        sums = logs.new_zeros(len(batch.answers), dtype=torch.float64)
        return sums.index_add(0, batch.owners, logs.double())


class ImplicitRewards(nn.Module):
    """DPO's score of each answer of a batch."""

    def __init__(self, model: Llama, beta: float, *, length_normalised: bool) -> None:
        super().__init__()
        self.logs = AnswerLogs(model)
        self.beta, self.length_normalised = beta, length_normalised

    def forward(self, batch: PairBatch) -> Tensor:
        """(n,) float64: beta * log(pi / pi_ref)."""
        gain = self.logs(batch) - batch.offsets
        if self.length_normalised:
            gain = gain / batch.answer_tokens
        scores: Tensor = self.beta * gain
        return scores

    def log_probabilities(self, batch: PairBatch, scores: Tensor) -> Tensor:
        """(n,): of the answers, back from their scores."""
        gain = scores / self.beta
        gain = gain * batch.answer_tokens if self.length_normalised else gain
        return gain + batch.offsets


class DpoObjective:
    """See :class:`yanmo.train.preference_loop.Objective`."""

    kind = "dpo"

    def __init__(self, recipe: Dpo, model: Llama, base: Path, offsets: Offsets) -> None:
        self.recipe, self.backbone, self.base = recipe, model, base
        self.offsets: Offsets | None = offsets
        self.scores = ImplicitRewards(
            model, recipe.loss.beta, length_normalised=recipe.loss.length_normalised
        )
        self.module: nn.Module = self.scores
        self.loss: PairLoss = recipe.loss.pair_loss()

    def watched(self, batch: PairBatch, scores: Tensor) -> dict[str, Tensor]:
        """Scores, and log-probabilities: both may fall, if the worse answer's falls more."""
        return {"reward": scores, "log_probability": self.scores.log_probabilities(batch, scores)}

    def write(self, folder: Path) -> None:
        """The model's folder, adapters merged."""
        weights = store_weights(self.backbone, self.recipe.lora, str(self.base), folder)
        save_model(self.backbone.config, weights, folder, tokenizer=self.base)


def make_objective(recipe: Dpo, start: Start, *, quiet: bool) -> DpoObjective:
    """The policy to go on with, and what its reference says."""
    offsets = reference(recipe, start, quiet=quiet)
    source = source_of(start.base, recipe, start.restored)
    model = load_model(source, dtype=weight_dtype(recipe.precision))
    adapt(model, recipe, start.restored, start.world)
    return DpoObjective(recipe, model, start.base, offsets)


def reference(recipe: Dpo, start: Start, *, quiet: bool = True) -> Offsets:
    """Log-probabilities of all answers under the model that the run starts from.

    Kept in the run folder under the hashes of model and data: with adapters or without, a second
    model is never in memory.
    """
    files = [start.base / "config.json", *weight_files(start.base)]
    how = [start.answers.identity, recipe.precision, recipe.run.attention]
    key = sha256_json([[sha256_file(file) for file in files], *how])
    path, rankings = start.out / CACHE, start.answers.rankings
    kept = start.world.gather(_kept(path, key) if start.world.main else None)[0]
    if kept is None:
        kept = compute_reference(recipe, start, quiet=quiet)
        if start.world.main:
            start.out.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as stream:
                stream.write(save({"log_probabilities": torch.tensor(kept, dtype=torch.float64)},
                                  metadata={"key": key}))  # fmt: skip
    values = iter(kept)
    return [[next(values) for _ in ranked.answers] for ranked in rankings]


def _kept(path: Path, key: str) -> list[float] | None:
    """What an earlier start of this run computed; another model's or data's is not taken."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            found: list[float] = file.get_tensor("log_probabilities").tolist()
            return found
    except (SafetensorError, OSError):
        return None  # cut by a crash: computed again


@torch.no_grad()
def compute_reference(recipe: Dpo, start: Start, *, quiet: bool) -> list[float]:
    """The same, computed, answer by answer in the order of the data.

    The batches are those of the first epoch and of the evaluation, so that the policy's numbers at
    step 0 are the same to the last bit, and the first loss is ln 2.
    """
    world, rankings = start.world, start.answers.rankings
    model = load_model(start.base, dtype=weight_dtype(recipe.precision)).to(world.device)
    equip(model, recipe.run, world.device, recipe.precision)
    module = AnswerLogs(model).eval()
    found: dict[tuple[int, int], float] = {}
    layout = layout_on(world.device)
    parts = list(_first_pass(recipe, start))
    with track(len(parts), "reference", "batches", quiet=quiet or not world.main) as live:
        for part in parts:
            batch = lay_out(rankings, part, layout=layout).to(world.device)
            with computing(module, recipe.precision, world.device):
                found.update(zip(batch.answers, module(batch).tolist(), strict=True))
            live.advance()
    whole: dict[tuple[int, int], float] = {}
    for share in world.gather(found):
        whole |= share
    return [whole[i, k] for i, ranked in enumerate(rankings) for k in range(len(ranked.answers))]


def _first_pass(recipe: Dpo, start: Start) -> Iterator[list[int]]:
    """This process's micro-batches of every ranking's first reading."""
    rankings, tokens = start.answers.rankings, recipe.run.micro_tokens
    rank, size = start.world.rank, start.world.size
    epoch = dataclasses.replace(start.order, total=len(start.order.numbers))
    for step in range(epoch.steps):
        yield from micro_batches(rankings, epoch.step(step)[rank::size], tokens)
    yield from micro_batches(rankings, start.held, tokens)[rank::size]


def train_dpo(recipe: Dpo, task: Task, *, quiet: bool = False) -> dict[str, Any]:
    """Train on preferences, or go on, and write the results.

    Args:
        recipe: resolved.
        task: files of rankings or pairs, and the run folder.
        quiet: no live line.

    Returns:
        What ``summary.json`` holds, and ``already_done``.
    """

    with join(recipe.run.device) as world:
        make = partial(make_objective, recipe, quiet=quiet)
        run = prepare(recipe, task, world, make)
        if finished(run):
            return {**read_json(task.out / SUMMARY), "already_done": True}
        trainer = train(run, quiet=quiet)
        summary = summarize(run, trainer)
        if world.main:
            export(run)
            write_heldout(run, trainer)
            finish(run, summary, page_of(run, trainer, summary))
        world.barrier()
    return {**summary, "already_done": False}
