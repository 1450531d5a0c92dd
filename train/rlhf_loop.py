"""The loop of reinforcement learning: draw, score, learn, log, save, stop at any moment."""

import time
from typing import Any

import torch

from yanmo import recipe as recipes
from yanmo.progress import Track

from . import checkpoint
from .algorithms import adapt_coefficient
from .journal import Journal
from .loop import stop_on_signals
from .rlhf_evaluate import evaluate, texts
from .rlhf_experience import Experience, collect
from .rlhf_setup import VALUE, Run, progress_table
from .rlhf_update import rate_share, update
from .scorer import save_scorer


class Learner:
    """Takes a run from where it is to its end.

    Attributes:
        run: the run.
        journal: its log; ``None`` in all processes but the first.
        after: the last evaluation.
    """

    def __init__(self, run: Run, journal: Journal | None) -> None:
        self.run, self.journal = run, journal
        self.after: dict[str, Any] | None = None

    def learn(self, live: Track) -> None:
        """Go through all iterations that are left.

        Raises:
            KeyboardInterrupt: asked to stop; the state is saved.
            YanmoError: the reward failed, or a loss is not finite.
        """
        run, progress = self.run, self.run.progress
        with stop_on_signals() as stop:
            if progress.iteration == 0 and progress.before is None:
                progress.before = self._evaluate()
            while progress.iteration < run.recipe.iterations:
                self._iterate(live)
                asked = run.world.sum(torch.tensor(float(stop.requested))).item() > 0
                done = progress.iteration == run.recipe.iterations
                every = run.recipe.run.save_iterations
                if done or asked or (every is not None and progress.iteration % every == 0):
                    self.save()
                if asked and not done:
                    raise KeyboardInterrupt
        if self.after is None or self.after["iteration"] != progress.iteration:
            self.after = self._evaluate()

    def _iterate(self, live: Track) -> None:
        run, progress, began = self.run, self.run.progress, time.perf_counter()
        data = collect(run)
        if progress.first_kl is None:
            progress.first_kl = data.facts["kl"]
        coefficient, share = progress.coefficient, rate_share(run)
        done = update(run, data)
        count = len(data.responses)
        if run.recipe.kl.target is not None:
            progress.coefficient = adapt_coefficient(
                coefficient, data.facts["kl"], target=run.recipe.kl.target,
                horizon=run.recipe.kl.horizon, samples=count,
            )  # fmt: skip
        progress.iteration += 1
        progress.samples += count
        progress.tokens += int(data.responses.mask.sum())
        progress.seconds += time.perf_counter() - began
        live.advance()
        live.note(f"score {data.facts['score']:.3f}, KL {data.facts['kl']:.2f}")
        if self.journal is not None:
            self.journal.write(
                "train", progress.iteration, **data.facts, **done.facts(), coefficient=coefficient,
                lr=run.recipe.optimizer.lr * share, samples=progress.samples,
                tokens=progress.tokens, seconds=progress.seconds,
            )  # fmt: skip
            self._write_samples(data)
        every = run.recipe.heldout.evaluate
        if every is not None and progress.iteration % every == 0:
            self.after = self._evaluate()

    def _write_samples(self, data: Experience) -> None:
        how, iteration = self.run.recipe.run, self.run.progress.iteration
        if self.journal is not None and (iteration - 1) % how.sample_iterations == 0:
            for entry in texts(self.run, data.prompts, data.responses, data.scores):
                self.journal.write("sample", iteration, **entry)

    def _evaluate(self) -> dict[str, Any] | None:
        iteration = self.run.progress.iteration
        found = evaluate(self.run)
        if found is not None and self.journal is not None:
            told = {k: v for k, v in found.items() if k.startswith("mean_") or k == "ended"}
            self.journal.write("eval", iteration, **told)
            for entry in found["samples"]:
                self.journal.write("sample", iteration, heldout=True, **entry)
        return None if found is None else {**found, "iteration": iteration}

    def save(self) -> None:
        """Write a checkpoint, and drop those that are too old."""
        run = self.run
        generators: dict[str, torch.Tensor] = {}
        for part in run.world.gather(checkpoint.generator_states(run.world.rank)):
            generators |= part
        if run.world.main:
            optimizer = {f"policy/{k}": v for k, v in run.policy_optimizer.state().items()}
            if run.value_optimizer is not None:
                optimizer |= {f"value/{k}": v for k, v in run.value_optimizer.state().items()}
            state = {"progress": progress_table(run), "lineage": run.lineage}
            value = run.value
            content = checkpoint.Content(
                run.policy.model.config, dict(run.policy.model.named_parameters()), optimizer,
                generators, state, recipes.dumps(run.recipe), run.tokenizer,
                None if value is None else lambda folder: save_scorer(value, folder / VALUE),
            )  # fmt: skip
            checkpoint.save(run.out, run.progress.iteration, content)
            checkpoint.prune(run.out, run.recipe.run.keep_last)
        run.world.barrier()
