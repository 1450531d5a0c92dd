"""The training loop: steps, log, evaluation, checkpoints, and a clean stop at any moment."""

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from yanmo import recipe as recipes
from yanmo.errors import YanmoError
from yanmo.progress import Track

from . import checkpoint
from .data import Batch
from .distributed import whole
from .generate import Sampling
from .guard import Guard, blame
from .heldout import Evaluation, evaluate
from .journal import Journal
from .lora import adapter_weights, save_adapter
from .model import Llama
from .optim import learning_rate
from .plateau import reached, watched
from .samples import sample_texts
from .setup import Run, hf_weights, position
from .speed import flops_per_token, peak_flops
from .step import Accumulated, accumulate
from .tally import Tally, all_and_new, apart

# Tokens of one forward pass where the recipe names no number of sequences: beyond this two cores
# get no faster, and a GPU of 24 GB holds it for a model of some hundred million weights.
MICRO_TOKENS = 8192
SAMPLE_TOKENS = 64


class Stop:
    """Whether someone asked the run to stop (Ctrl-C, SIGTERM); the step in hand is finished."""

    requested = False

    def request(self, number: int, frame: FrameType | None) -> None:
        """Signal handler; a second signal interrupts at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a request, within the block."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread alone
        return
    before = {s: signal.signal(s, stop.request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Trainer:
    """Takes a run from where it is to its end.

    Attributes:
        run: the run.
        journal: its log; ``None`` in all processes but the first.
        last: the last evaluation.
    """

    def __init__(self, run: Run, journal: Journal | None) -> None:
        self.run, self.journal = run, journal
        self.guard = Guard(run.recipe.guard, run.guard_window)
        self.last: Evaluation | None = None
        self.norm = 0.0
        self.tally = Tally(run.loader, run.recipe.trainable.new_rows_from)
        if run.tally is not None and run.world.main:
            self.tally.sums[:] = run.tally
        self._flops = flops_per_token(run.model.config, run.recipe.data.sequence_tokens)
        self._rate_used, self._evaluated = 0.0, -1
        # Since the last line of the log, in this process: what the speed is computed from.
        self._line_seconds, self._line_read = 0.0, 0

    def train(self, live: Track) -> None:
        """Take all steps that are left.

        Raises:
            KeyboardInterrupt: asked to stop; the state is saved.
            YanmoError: a loss is not finite and the recipe says to stop; the state is saved.
        """
        run = self.run
        with stop_on_signals() as stop, ThreadPoolExecutor(1) as reader:
            if run.progress.step == 0 and run.recipe.run.eval_first:
                self.evaluate()
            ahead = reader.submit(self._batches, run.progress.step)
            while not self.done:
                batches = ahead.result()
                if run.progress.step + 1 < run.total_steps:
                    ahead = reader.submit(self._batches, run.progress.step + 1)
                done = self._step(batches, stop=stop.requested)
                self._after_step(live)
                if done.stop:
                    self.save()
                    raise KeyboardInterrupt
        if self._evaluated != run.progress.step:
            self.evaluate()

    @property
    def done(self) -> bool:
        """Whether the run is at its planned end, or at its plateau."""
        run = self.run
        planned = run.progress.step >= run.total_steps
        return planned or reached(run.recipe.plateau, run.progress.watched)

    def _batches(self, step: int) -> list[Batch]:
        """The micro-batches of this process for a step."""
        run, size = self.run, self.run.recipe.batch_sequences
        mine = range(step * size, (step + 1) * size)[run.world.rank :: run.world.size]
        rows = run.recipe.run.micro_sequences
        rows = rows or max(MICRO_TOKENS // run.recipe.data.sequence_tokens, 1)
        return [run.loader.batch(mine[at : at + rows]) for at in range(0, len(mine), rows)]

    def _step(self, batches: list[Batch], *, stop: bool) -> Accumulated:
        run, began = self.run, time.perf_counter()
        settings = run.recipe.optimizer
        done = accumulate(
            run.call, batches, run.world, precision=run.recipe.precision,
            z_loss=settings.z_loss or 0.0, stop=stop,
        )  # fmt: skip
        norm = run.optimizers.norm()
        self.norm = norm.item()
        verdict = self.guard.judge(done.loss, self.norm)
        if verdict != "fine":
            self._event(verdict, done)
        if verdict == "fine" or (verdict == "spike" and not self.guard.skips(verdict)):
            run.optimizers.clip(norm)
            run.optimizers.step(self._rate())
        else:
            run.optimizers.forget()
            run.progress.skipped += 1
        if verdict != "nonfinite":
            for batch, rows, nll in done.seen:
                self.tally.add(batch, rows, nll)
        self._count(done, time.perf_counter() - began)
        return done

    def _rate(self) -> float:
        """The learning rate at the middle of the step in hand."""
        run, size = self.run, self.run.recipe.data.batch_tokens
        return learning_rate(
            run.recipe.optimizer, run.recipe.schedule,
            done=(run.progress.step + 0.5) * size, total=run.total_steps * size,
        )  # fmt: skip

    def _count(self, done: Accumulated, seconds: float) -> None:
        progress = self.run.progress
        progress.targets += done.targets
        progress.read += done.read
        progress.seconds += seconds
        self._line_seconds += seconds
        self._line_read += done.read
        self._rate_used = self._rate()
        progress.step += 1

    def _after_step(self, live: Track) -> None:
        how, step = self.run.recipe.run, self.run.progress.step
        live.advance()
        if how.eval_steps is not None and step % how.eval_steps == 0:
            self.evaluate()
        if step % how.log_steps == 0 or self.done:
            self._log(live)
        if (how.save_steps is not None and step % how.save_steps == 0) or self.done:
            self.save()

    def _log(self, live: Track) -> None:
        progress = self.run.progress
        sums = self.tally.reduce(self.run.world)
        loss = all_and_new(sums)[0].loss
        speed = self._line_read / self._line_seconds
        for name, count in zip(self.tally.names, sums[1], strict=False):
            progress.by_source[name] = progress.by_source.get(name, 0) + int(count)
        if self.journal is not None:
            self.journal.write(
                "train", progress.step, loss=loss, lr=self._rate_used, grad_norm=self.norm,
                tokens=progress.read, targets=progress.targets, seconds=progress.seconds,
                tokens_per_second=speed, mfu=self.mfu(speed), skipped=progress.skipped,
                tokens_by_source=dict(progress.by_source),
                **apart(sums, self.tally.names, self.tally.new_from),
            )  # fmt: skip
        shown = "–" if loss is None else f"{loss:.3f}"
        live.note(f"loss {shown}, {speed:,.0f} tokens/s")
        self.tally.clear()
        self._line_seconds, self._line_read = 0.0, 0

    def mfu(self, tokens_per_second: float) -> float | None:
        """Share of the devices' peak that is reached; ``None`` where the peak is not known."""
        peak = peak_flops(self.run.world.device, self.run.recipe.precision)
        if peak is None:
            return None
        return self._flops * tokens_per_second / (peak * self.run.world.size)

    def evaluate(self) -> Evaluation | None:
        """Score the held-out shards, if there are any, and log it."""
        run = self.run
        self._evaluated = run.progress.step
        if run.heldout is not None:
            self.last = evaluate(
                run.call, run.heldout, run.world, precision=run.recipe.precision,
                new_from=self.tally.new_from,
            )  # fmt: skip
            value = watched(run.recipe.plateau, self.last)
            if value is not None and run.recipe.plateau.watch is not None:
                run.progress.watched.append(value)
            if self.journal is not None:
                self.journal.write("eval", run.progress.step, **self.last.summary())
        if self.journal is not None and run.recipe.run.sample_prompts:
            self._write_samples(self.journal)
        return self.last

    def _write_samples(self, journal: Journal) -> None:
        """Continue the recipe's prompts, so that a reader sees what the model can say by now."""
        run, prompts = self.run, self.run.recipe.run.sample_prompts
        run.model.eval()
        for entry in (run.sampler or self._plain_samples)(run.model, prompts):
            journal.write("sample", run.progress.step, **entry)
        run.model.train()

    def _plain_samples(self, model: Llama, prompts: Sequence[str]) -> list[dict[str, Any]]:
        from yanmo.vocab.load import load_tokenizer

        tokenizer = load_tokenizer(self.run.loader.tokenizer)
        return sample_texts(model, tokenizer, prompts, Sampling(max_tokens=SAMPLE_TOKENS))

    def _event(self, kind: str, done: Accumulated) -> None:
        """Write down what happened and where; stop if the recipe says so."""
        run = self.run
        found = [entry for part in run.world.gather(blame(run.loader, done.seen)) for entry in part]
        step = run.progress.step + 1
        skipped = self.guard.skips(kind)  # type: ignore[arg-type]
        if self.journal is not None:
            self.journal.write("event", step, event=kind, loss=done.loss, grad_norm=self.norm,
                               skipped=skipped, documents=found)  # fmt: skip
        if kind == "nonfinite" and not skipped:
            run.optimizers.forget()
            self.save()
            names = ", ".join(f"{d['id']} ({d['source']})" for d in found[:3])
            raise YanmoError(
                f"the loss is not finite in documents {names}", where=f"step {step}",
                value=done.loss,
                fix="The weights before this step are saved. Lower the learning rate in a new "
                "run, or go on without such steps: --set guard.on_nonfinite=skip.",
            )  # fmt: skip

    def save(self) -> None:
        """Write a checkpoint, and drop those that are too old."""
        run = self.run
        generators: dict[str, torch.Tensor] = {}
        for part in run.world.gather(checkpoint.generator_states(run.world.rank)):
            generators |= part
        weights, optimizer = whole(dict(run.model.named_parameters())), run.optimizers.state()
        tally = self.tally.reduce(run.world).tolist()
        if run.world.main:
            state: dict[str, Any] = {
                "progress": dataclasses.asdict(run.progress),
                "guard_window": self.guard.window,
                "tally": tally,
                "lineage": run.lineage,
                **position(run),
                "total_steps": run.total_steps,
            }
            content = checkpoint.Content(
                run.model.config, hf_weights(run.model, weights), optimizer, generators, state,
                recipes.dumps(run.told), run.loader.tokenizer, self._writers(weights),
            )  # fmt: skip
            checkpoint.save(run.out, run.progress.step, content)
            checkpoint.prune(run.out, run.recipe.run.keep_last)
        run.world.barrier()

    def _writers(self, weights: dict[str, Tensor]) -> Callable[[Path], None]:
        """What writes the adapter of a LoRA run, and what else the run has, beside the weights."""
        lora, base, also = self.run.recipe.lora, self.run.recipe.init or "", self.run.also
        found = None if lora.rank is None else adapter_weights(weights, lora)

        def write(folder: Path) -> None:
            if found is not None:
                save_adapter(found, lora, folder / checkpoint.ADAPTER, base=base)
            if also is not None:
                also(folder)

        return write
