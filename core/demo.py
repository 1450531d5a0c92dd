"""``yanmo demo``: the whole way on the bundled sample, by the commands that a user would type.

Every step is run as a process of its own and shown before it runs, so that what the demo does can
be copied line by line.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from yanmo.charts import line_chart, sparkline
from yanmo.errors import YanmoError
from yanmo.files import atomic_write
from yanmo.report import Page, Table
from yanmo.sample import CEVAL, DIALOGUES, HELDOUT, crawl_files

VOCABULARY: Final = 6000  # the sample has 4.3k distinct characters, bytes and special tokens
PROMPTS: Final = ("清晨", "The garden")
# About a minute on two cores; small batches, because a small model learns by steps, not by tokens.
TRAINING: Final = (
    "model.preset=nano", "model.max_tokens=2048", "data.sequence_tokens=256",
    "data.batch_tokens=1024", "epochs=1.5", "optimizer.lr=2e-3", "run.eval_steps=200",
    "run.save_steps=200", "run.log_steps=10",
)  # fmt: skip
# The two markers of ChatML, so that the model can be taught to answer.
MARKERS: Final = 'special=["<|im_start|>","<|im_end|>"]'
# About two minutes in all: a small model, short answers.
SFT: Final = (
    "epochs=5", "data.max_tokens=128", "data.batch_sequences=8", "optimizer.lr=2e-3",
    "run.eval_steps=off",
)  # fmt: skip
REWARD: Final = ("epochs=3", "data.max_tokens=128", "optimizer.lr=3e-4", "run.eval_steps=off")
PPO: Final = (
    "iterations=12", "rollout.prompts=64", "rollout.max_tokens=64", "optimizer.lr=3e-4",
    "value.lr=3e-4", "kl.coefficient=0.2", "update.stop_kl=0.1",
)  # fmt: skip
GOLD: Final = "tidy"


@dataclass(frozen=True)
class Places:
    """The folders that the demo writes."""

    out: Path

    def __getattr__(self, name: str) -> str:
        return str(self.out / name)


def run_demo(out: Path, *, workers: int) -> None:
    """Run every step, then show the funnel, the curve, the text, the score and what to type next.

    Args:
        out: folder to write; running again goes on or finds everything done.
        workers: processes of the steps that use several.

    Raises:
        YanmoError: a step failed (its own message stands above).
    """
    start = time.monotonic()
    where = Places(out)
    many = ["--workers", str(workers)]
    crawl = [str(path) for path in crawl_files()]
    corpus = _step("curate", "run", *crawl, "--out", where.corpus, *many, "--json")
    _step(
        "vocab",
        "train",
        where.corpus,
        "--out",
        where.tokenizer,
        "--size",
        str(VOCABULARY),
        "--set",
        MARKERS,
        "--json",
    )
    _step("curate", "pack", where.corpus, "--tokenizer", where.tokenizer, "--out", where.shards,
          "--set", "holdout_fraction=0.03", *many, "--json")  # fmt: skip
    training = _step("train", "pretrain", where.shards, "--out", where.model, *_sets(TRAINING),
                     "--json")  # fmt: skip
    text = _step("train", "generate", where.model, *PROMPTS, "--max-tokens", "60", "--seed", "1",
                 "--json")  # fmt: skip
    bits = _step("evals", "bpb", where.model, str(HELDOUT), "--json")
    score = _step("evals", "ceval", where.model, str(CEVAL), "--out", where.ceval, "--json")
    results = {"corpus": corpus, "training": training, "text": text, "bits": bits, "score": score,
               **_align(where)}  # fmt: skip
    _show(out, results, time.monotonic() - start)


def _align(where: Places) -> dict[str, Any]:
    """Teach the model to answer, learn what is liked, and go after it."""
    data = {name: str(DIALOGUES / f"{name}.jsonl")
            for name in ("instructions", "preferences", "prompts", "heldout")}  # fmt: skip
    _step("train", "sft", data["instructions"], "--model", str(where.out / "model" / "model"),
          "--out", where.sft,
          "--preview", "1", *_sets(SFT), "--json")  # fmt: skip
    reward = _step("train", "reward", data["preferences"], "--model", where.sft, "--out",
                   where.reward, *_sets(REWARD), "--json")  # fmt: skip
    ppo = _step("train", "ppo", data["prompts"], "--model", where.sft, "--reward", where.reward,
                "--gold", GOLD, "--heldout", data["heldout"], "--out", where.ppo, *_sets(PPO),
                "--json")  # fmt: skip
    return {"reward": reward, "ppo": ppo}


def _sets(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def _step(*words: str) -> dict[str, Any]:
    """Show a command, run it, and take its JSON object."""
    shown = shlex.join(["yanmo", *(word for word in words if word != "--json")])
    click.secho(f"$ {shown}", bold=True)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "yanmo", *words], stdout=subprocess.PIPE, check=False
    )
    if done.returncode != 0:
        raise YanmoError(f"the step failed with exit code {done.returncode}", where=shown,
                         fix="Its message is above; run the demo again to go on.")  # fmt: skip
    click.echo(f"  {time.monotonic() - start:.1f} s")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _curve(out: Path) -> tuple[list[float], list[float]]:
    """Tokens and training loss, from the journal of the run."""
    journal = (out / "model" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [row for row in map(json.loads, journal) if row["kind"] == "train"]
    return [float(row["tokens"]) for row in lines], [float(row["loss"]) for row in lines]


def _funnel_table(funnel: dict[str, Any]) -> Table:
    rows: list[list[Any]] = [["read", funnel["read"]]]
    rows += [[f"− skipped: {kind}", count] for kind, count in funnel["skipped"].items()]
    rows.append(["− quarantined", funnel["quarantined"]])
    by_size = sorted(funnel["dropped"].items(), key=lambda item: -item[1])
    rows += [[f"− {rule}", count] for rule, count in by_size]
    rows.append(["kept", funnel["kept"]])
    return Table("funnel of the corpus", ["what", "records"], rows)


def _score_text(score: dict[str, Any]) -> str:
    interval = score["intervals"]["micro"]
    return (
        f"C-Eval format, 5-shot: {score['accuracy']['micro']:.1%} of {score['n']} questions, "
        f"95 % interval {interval['low']:.1%} to {interval['high']:.1%}. Chance is 25 %: a model "
        "of this size knows nothing yet, as expected."
    )


def _aligned_text(ppo: dict[str, Any]) -> str:
    gold = ppo["heldout"]["gold"]
    return (
        f"PPO: whole answers without repetition (rule {GOLD}) on {gold['n']} questions that were "
        f"never trained on: {gold['before']:.2f} → {gold['after']:.2f}, p {gold['p']:.1g}, "
        f"{ppo['kl']:.1f} nats an answer from the model before."
    )


def _show(out: Path, results: dict[str, Any], seconds: float) -> None:
    funnel = _funnel_table(results["corpus"])
    _, losses = _curve(out)
    training, bits = results["training"], results["bits"]
    loss = f"loss {losses[0]:.2f} → {losses[-1]:.2f} over {training['tokens']:,} tokens"
    texts = [row["prompt"] + row["text"] for row in results["text"]["samples"]]
    score = _score_text(results["score"])
    held = (
        f"{bits['bits_per_byte']:.3f} bits per byte, {bits['bits_per_character']:.3f} per "
        "character on texts that were never trained on"
    )
    page = _page(out, results, (funnel, loss, held, texts, score))
    aligned = _aligned_text(results["ppo"])
    click.echo("\n" + funnel.text())
    click.echo(f"\n{loss}\n{sparkline(losses)}")
    click.echo(held)
    for text in texts:
        click.echo(f"sample: {' '.join(text.split())}")
    click.echo(f"{score}\n{aligned}\n\nreport: {page}  ({seconds:.0f} s in all)")
    click.echo("next: yanmo curate run YOUR_PAGES... --out corpus")


def _page(
    out: Path, results: dict[str, Any], parts: tuple[Table, str, str, Sequence[str], str]
) -> Path:
    """One page that shows every step and links to the report of each."""
    funnel, loss, held, texts, score = parts
    page = Page("yanmo demo", lead="Pages in, a scored model out: the whole way on a small sample.")
    page.add_heading("Corpus")
    page.add_table(funnel)
    page.add_link("Why was a page dropped? The report of the run", "corpus/report.html")
    page.add_heading("Training")
    page.add_text(f"{loss}. {held}.")
    tokens, losses = _curve(out)
    page.add_svg(line_chart("Training loss, nats per token", [("loss", tokens, losses)],
                            x_label="tokens"))  # fmt: skip
    page.add_link("The report of the training run", "model/report.html")
    page.add_heading("A sample of its text")
    for text in texts:
        page.add_text(text)
    page.add_heading("Score")
    page.add_text(score)
    page.add_link("The report of the score", "ceval/report.html")
    page.add_heading("Answers")
    page.add_text(_aligned_text(results["ppo"]))
    for name in ("sft", "reward", "ppo"):
        page.add_link(f"The report of {name}", f"{name}/report.html")
    path = out / "report.html"
    with atomic_write(path, text=True) as stream:
        stream.write(page.html())
    return path
