"""Steps over judged answers, for reward models and DPO: log, evaluation, checkpoints, clean stop.

The loss of a step is the weighted sum over its pairs divided by the sum of their weights in the
*global* batch, over all micro-batches and processes, known before the first backward pass.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from yanmo import recipe as recipes
from yanmo.errors import YanmoError
from yanmo.progress import Track

from . import checkpoint
from .distributed import World, loss_factor, quiet
from .journal import Journal
from .loop import stop_on_signals
from .model import Llama
from .optim import Optimizers, learning_rate
from .preference_batch import Offsets, Order, PairBatch, lay_out, layout_on, micro_batches
from .preference_data import Answers, Ranked
from .preference_metrics import measure
from .preference_pairs import PairLoss
from .preference_recipe import Dpo, Reward
from .step import computing


class Objective(Protocol):
    """What is trained, and what a score is.

    Attributes:
        kind: ``reward`` or ``dpo``.
        module: called with a :class:`PairBatch`; gives (n,) scores.
        backbone: its causal model.
        loss: what a pair of scores costs.
        offsets: DPO: log-probability of each answer under the reference.
    """

    kind: str
    module: nn.Module
    backbone: Llama
    loss: PairLoss
    offsets: Offsets | None

    def watched(self, batch: PairBatch, scores: Tensor) -> dict[str, Tensor]:
        """What the log shows of better and of worse answers: name -> (n,)."""

    def write(self, folder: Path) -> None:
        """Write the model, without what a resumption needs."""


@dataclass
class Progress:
    """How far a run is; part of every checkpoint.

    Attributes:
        step: steps taken.
        tokens: tokens read, prompts included.
        seconds: spent in steps, over all starts.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass
class Run:
    """A run, ready to take its next step.

    Attributes:
        recipe: resolved.
        out: the run folder.
        world: the processes.
        data: rankings; ``held`` are the numbers of those held out.
        order: which rankings a step reads.
        objective: what is trained; ``call`` is its module, wrapped for several processes.
        lineage: what the weights come from.
        tokenizer: folder of the tokenizer.
    """

    recipe: Reward | Dpo
    out: Path
    world: World
    data: Answers
    held: list[int]
    order: Order
    objective: Objective
    call: nn.Module
    optimizers: Optimizers
    lineage: dict[str, Any]
    tokenizer: Path
    progress: Progress = field(default_factory=Progress)
    resumed_from: Path | None = None

    @property
    def layout(self) -> str:
        """How answers are laid out on this device."""
        return layout_on(self.world.device)


Sums = dict[str, float]


def accumulate_pairs(
    run: Run, batches: Sequence[PairBatch], *, stop: bool = False
) -> tuple[Sums, bool]:
    """Add the gradients of a global batch to the parameters.

    Args:
        run: the run.
        batches: micro-batches of this process, at least one.
        stop: this process was asked to stop; all are told.

    Returns:
        Means over the pairs of the global batch, by name, and whether any process was asked to
        stop.
    """
    world, loss = run.world, run.objective.loss
    local = torch.stack([batch.weights.sum() for batch in batches]).sum()
    total = float(world.sum(local.clone()))
    scale = loss_factor(run.call, world) / total
    sums: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        on_device = batch.to(world.device)
        with quiet(run.call, silent=number + 1 < len(batches)):
            with computing(run.call, run.recipe.precision, world.device):
                scores = run.call(on_device)
            better, worse = scores[on_device.better], scores[on_device.worse]
            losses = (loss(better, worse) * on_device.weights).sum()
            (losses * scale).backward()  # type: ignore[no-untyped-call]
        for name, value in _watch(run, on_device, scores.detach(), losses.detach()).items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value
    names = list(sums)
    table = torch.stack([*(sums[name] for name in names), losses.new_tensor(float(stop)).double()])
    *means, stopped = world.sum(table).tolist()
    return {n: value / total for n, value in zip(names, means, strict=True)}, stopped > 0


def _watch(run: Run, batch: PairBatch, scores: Tensor, loss: Tensor) -> dict[str, Tensor]:
    """Weighted sums over the pairs of a micro-batch, float64."""
    lead = (scores[batch.better] - scores[batch.worse]).double()
    right = (lead > 0).double() + 0.5 * (lead == 0).double()
    found = {"loss": loss.double(), "accuracy": (right * batch.weights).sum(),
             "margin": (lead * batch.weights).sum()}  # fmt: skip
    for name, value in run.objective.watched(batch, scores).items():
        found[f"chosen_{name}"] = (value[batch.better].double() * batch.weights).sum()
        found[f"rejected_{name}"] = (value[batch.worse].double() * batch.weights).sum()
    return found


@torch.no_grad()
def score_rankings(
    run: Run, rankings: Sequence[Ranked], numbers: Sequence[int], *, offsets: Offsets | None = None
) -> list[list[float]]:
    """Scores of all answers of some rankings; every process takes a share and gets all.

    Args:
        run: the run.
        rankings: all rankings.
        numbers: those to score.
        offsets: see :func:`yanmo.train.preference_batch.lay_out`.
    """
    world = run.world
    found: dict[tuple[int, int], float] = {}
    module = run.objective.module
    module.eval()
    parts = micro_batches(rankings, numbers, run.recipe.run.micro_tokens)
    for part in parts[world.rank :: world.size]:
        batch = lay_out(rankings, part, layout=run.layout, offsets=offsets).to(world.device)
        with computing(module, run.recipe.precision, world.device):
            scores = module(batch)
        found.update(zip(batch.answers, scores.tolist(), strict=True))
    module.train()
    whole: dict[tuple[int, int], float] = {}
    for share in world.gather(found):
        whole |= share
    return [[whole[i, k] for k in range(len(rankings[i].answers))] for i in numbers]


class PairTrainer:
    """Takes a run from where it is to its end."""

    def __init__(self, run: Run, journal: Journal | None) -> None:
        self.run, self.journal = run, journal
        self.last: dict[str, Any] | None = None
        self.first: dict[str, Any] | None = None
        self._evaluated = -1

    def train(self, live: Track) -> None:
        """Take all steps that are left.

        Raises:
            KeyboardInterrupt: asked to stop; the state is saved.
            YanmoError: a loss is not finite; the state before the step is saved.
        """
        run = self.run
        with stop_on_signals() as stop:
            if run.progress.step == 0:
                self.evaluate()
            while run.progress.step < run.order.steps:
                stopped = self._step(live, stop=stop.requested)
                self._after_step()
                if stopped:
                    self.save()
                    raise KeyboardInterrupt
        if self._evaluated != run.progress.step:
            self.evaluate()

    def batches(self, step: int) -> list[PairBatch]:
        """The micro-batches of this process for a step."""
        run, world = self.run, self.run.world
        everyone = run.order.step(step)
        mine = everyone[world.rank :: world.size]
        parts = micro_batches(run.data.rankings, mine or everyone[:1], run.recipe.run.micro_tokens)
        return [
            lay_out(run.data.rankings, part, layout=run.layout, offsets=run.objective.offsets,
                    counts=bool(mine))
            for part in parts
        ]  # fmt: skip

    def _step(self, live: Track, *, stop: bool) -> bool:
        run, began = self.run, time.perf_counter()
        means, stopped = accumulate_pairs(run, self.batches(run.progress.step), stop=stop)
        norm = run.optimizers.norm()
        if not torch.isfinite(norm + means["loss"]):
            self._refuse(means["loss"])
        rate = self._rate()
        run.optimizers.clip(norm)
        run.optimizers.step(rate)
        run.progress.tokens += self._tokens(run.progress.step)
        run.progress.seconds += time.perf_counter() - began
        run.progress.step += 1
        if self.journal is not None:
            self.journal.write(
                "train", run.progress.step, **means, lr=rate, grad_norm=norm.item(),
                tokens=run.progress.tokens, seconds=run.progress.seconds,
            )  # fmt: skip
        live.advance()
        live.note(f"loss {means['loss']:.3f}, accuracy {means['accuracy']:.2f}")
        return stopped

    def _tokens(self, step: int) -> int:
        return sum(self.run.data.rankings[i].tokens for i in self.run.order.step(step))

    def _rate(self) -> float:
        """The learning rate at the middle of the step in hand; a run's tokens are taken to be
        spread evenly over its steps."""
        run = self.run
        epoch = sum(run.data.rankings[i].tokens for i in run.order.numbers)
        total = epoch * run.order.total / len(run.order.numbers)
        return learning_rate(
            run.recipe.optimizer, run.recipe.schedule,
            done=(run.progress.step + 0.5) / run.order.steps * total, total=total,
        )  # fmt: skip

    def _refuse(self, loss: float) -> None:
        run = self.run
        run.optimizers.forget()
        self.save()
        ids = [run.data.rankings[i].id for i in run.order.step(run.progress.step)]
        raise YanmoError(
            f"the loss is not finite in the batch of {', '.join(ids[:4])}",
            where=f"step {run.progress.step + 1}", value=loss,
            fix="The weights before this step are saved. Lower optimizer.lr in a new run.",
        )  # fmt: skip

    def _after_step(self) -> None:
        how, step = self.run.recipe.run, self.run.progress.step
        done = step == self.run.order.steps
        if how.eval_steps is not None and step % how.eval_steps == 0:
            self.evaluate()
        if (how.save_steps is not None and step % how.save_steps == 0) or done:
            self.save()

    def evaluate(self) -> None:
        """Score the rankings held out, if there are any, and log what they say."""
        run = self.run
        if not run.held:
            return
        scores = score_rankings(run, run.data.rankings, run.held, offsets=run.objective.offsets)
        rankings = [run.data.rankings[i] for i in run.held]
        self.last = measure(rankings, scores, run.objective.loss)
        if run.progress.step == 0:
            self.first = self.last
        self._evaluated = run.progress.step
        self.scores = scores
        if self.journal is not None:
            self.journal.write("eval", run.progress.step, **self.last)

    def save(self) -> None:
        """Write a checkpoint, and drop those that are too old."""
        run = self.run
        generators: dict[str, Tensor] = {}
        for part in run.world.gather(checkpoint.generator_states(run.world.rank)):
            generators |= part
        optimizer: Mapping[str, Tensor] = run.optimizers.state()
        if run.world.main:
            state = {"progress": asdict(run.progress), "lineage": run.lineage,
                     "total_steps": run.order.steps}  # fmt: skip
            content = checkpoint.Content(
                run.objective.backbone.config, {}, optimizer, generators, state,
                recipes.dumps(run.recipe), run.tokenizer, model=run.objective.write,
            )  # fmt: skip
            checkpoint.save(run.out, run.progress.step, content)
            checkpoint.prune(run.out, run.recipe.run.keep_last)
        run.world.barrier()
