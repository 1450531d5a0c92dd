"""``yanmo evals``: a checkpoint in, scores and reports out. Only click is imported at the top."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from yanmo.errors import UsageError
from yanmo.options import (
    emit,
    json_option,
    limit_option,
    out_option,
    quiet,
    seed_option,
    verbosity_options,
)

from .judge_command import judge
from .review_command import review

MODEL = click.argument("model", type=click.Path(path_type=Path))


@click.group()
def group() -> None:
    """A checkpoint in; scores and reports out."""


def _model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How the model is loaded and run; see ``score.LoadOptions``."""
    for option in (
        click.option("--engine", default="auto", show_default=True,
                     help="packed (Llama, Qwen), transformers, or auto."),
        click.option("--dtype", default="float32", show_default=True,
                     help="float32, bfloat16 or float16."),
        click.option("--device", default="cpu", show_default=True, help="A torch device."),
        click.option("--max-tokens", type=int, default=None, help="Shorten the model's context."),
        click.option("--tokenizer", type=click.Path(path_type=Path), default=None,
                     help="Another tokenizer than the model folder's own."),
        click.option("--threads", type=click.IntRange(1), default=None,
                     help="CPU threads for torch; default: all cores."),
    ):  # fmt: skip
        command = option(command)
    return command


def _load(model: Path, options: dict[str, Any]) -> Any:
    """A scorer from the shared model options, which are taken out of ``options``."""
    import torch

    from .score import LoadOptions, load_scorer

    threads = options.pop("threads")
    if threads is not None:
        torch.set_num_threads(threads)
    names = ("engine", "dtype", "device", "max_tokens", "tokenizer")
    return load_scorer(model, LoadOptions(**{name: options.pop(name) for name in names}))


def _exam_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is asked, and how; see ``planning.Settings``."""
    for option in (
        click.option("--split", default=None, help="dev, val or test; default: the task's."),
        click.option("--shots", type=click.IntRange(0, 20), default=None,
                     help="Worked examples before each question; default: the task's."),
        click.option("--dialect", default=None, help="Wording of the prompt; default: the task's."),
        click.option("--subject", "subjects", multiple=True, help="Only this one; repeatable."),
        click.option("--per-subject", type=click.IntRange(1), default=None,
                     help="At most this many questions of each subject."),
        click.option("--answer-form", default="dialect", show_default=True,
                     help="What is scored: the dialect's answer, bare letter, or space + letter."),
        click.option("--too-long", default="first", show_default=True,
                     help="Which shot goes when a prompt is too long: first, last, longest; or "
                          "left: cut tokens."),
        click.option("--uniform-shots", is_flag=True,
                     help="Give all questions of a subject as many shots as fit the longest."),
        click.option("--bos", default="auto", show_default=True,
                     help="Start with the BOS token: auto, always or never."),
        click.option("--batch-tokens", type=click.IntRange(1), default=1024, show_default=True,
                     help="Tokens of one batch."),
        click.option("--rotate", is_flag=True,
                     help="Also ask every rotation of the options and average (4 times the work)."),
        click.option("--reason", is_flag=True,
                     help="Let the model reason in words and read the answer from them."),
        click.option("--max-new-tokens", type=click.IntRange(1), default=256, show_default=True,
                     help="Length of that reasoning."),
        click.option("--leaks", type=click.Path(path_type=Path), default=None, metavar="RUN|FILE",
                     help="Leak report of a corpus: also score the questions it leaves clean."),
        click.option("--all-dialects", is_flag=True,
                     help="Run every published wording and explain the differences."),
    ):  # fmt: skip
        command = option(command)
    return command


def _run_exam(task: str, model: Path, data: Path, options: dict[str, Any]) -> None:
    from . import dialect_table, pages
    from .exam import load_task
    from .leaks import add_clean, read_leaks
    from .multiple_choice import evaluate
    from .planning import Settings

    as_json, out = options.pop("as_json"), options.pop("out")
    every, report = options.pop("all_dialects"), options.pop("leaks")
    if every and report is not None:
        raise UsageError("--leaks goes with one dialect", fix="Leave out --all-dialects.")
    leaks = None if report is None else read_leaks(report)
    defaults = load_task(task)
    for name in ("split", "shots", "dialect"):
        if options[name] is None:
            options[name] = getattr(defaults, name)
    scorer = _load(model, options)
    settings = Settings(**options)
    if every:
        found = dialect_table.all_dialects(
            scorer, data, task=task, settings=settings, out=out, quiet=quiet()
        )
        emit(found, as_json=as_json, text=dialect_table.shown(found))
        return
    outcome = evaluate(scorer, data, task=task, settings=settings, out=out, quiet=quiet())
    if leaks is not None:
        add_clean(outcome, leaks, out=out)
    summary = outcome.summary
    shown = pages.text(summary)
    if out is not None:
        shown += f"\n\n{out / 'report.html'}"
    emit(summary, as_json=as_json, text=shown)


def _exam_command(command: Callable[..., Any]) -> Callable[..., Any]:
    """Arguments and options that all examinations share."""
    for decorate in (
        verbosity_options, json_option, limit_option, _model_options, _exam_options,
        out_option(required=False, help="Folder for samples and report; makes it resumable."),
        click.argument("data", type=click.Path(path_type=Path)), MODEL,
    ):  # fmt: skip
        command = decorate(command)
    return command


@group.command()
@_exam_command
def ceval(model: Path, data: Path, **options: Any) -> None:
    """C-Eval, 5-shot: accuracy of MODEL on DATA (the official zip, or a folder with its csv)."""
    _run_exam("ceval", model, data, options)


@group.command()
@_exam_command
def cmmlu(model: Path, data: Path, **options: Any) -> None:
    """CMMLU, 5-shot: accuracy of MODEL on DATA (zip or folder with dev/ and test/)."""
    _run_exam("cmmlu", model, data, options)


@group.command()
@_exam_command
def mmlu(model: Path, data: Path, **options: Any) -> None:
    """MMLU, 5-shot: accuracy of MODEL on DATA (zip or folder with dev/, val/ and test/)."""
    _run_exam("mmlu", model, data, options)


@group.command()
@click.option("--task", default=None, help="A TOML file that describes the questions.")
@click.option("--signal", default=None, metavar="ifd",
              help="Score dialogues instead: ifd, instruction-following difficulty.")  # fmt: skip
@_exam_command
def score(task: str | None, signal: str | None, model: Path, data: Path, **options: Any) -> None:
    """Any multiple-choice questions by a --task file, or dialogues by a --signal.

    With --task: accuracy of MODEL on DATA in csv or jsonl. With --signal ifd: for each dialogue of
    DATA (any format of `yanmo curate instruct`) how much harder its answer is alone than behind
    its question.
    """
    if (task is None) == (signal is None):
        raise UsageError("score needs --task FILE or --signal ifd, one of them")
    if signal is not None:
        from .ifd_command import run_signal

        run_signal(signal, lambda: _load(model, options), data, options)
    elif task is not None:
        _run_exam(task, model, data, options)


@group.command()
@MODEL
@click.argument("texts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--window", "length", type=click.IntRange(2), default=None,
              help="Tokens of a window; default: 2048, or what the model takes.")  # fmt: skip
@click.option("--stride", type=click.IntRange(1), default=None,
              help="Tokens by which windows advance; default: half a window.")  # fmt: skip
@click.option("--context", type=click.Choice(["auto", "none"]), default="auto", show_default=True,
              help="What stands before a document: BOS (or EOS), or nothing.")  # fmt: skip
@click.option("--column", default="text", show_default=True, help="Column or field of the text.")
@click.option("--batch-tokens", type=click.IntRange(1), default=2048, show_default=True,
              help="Tokens of one batch.")  # fmt: skip
@out_option(required=False, help="Folder for the sums of every document, to compare models.")
@_model_options
@limit_option
@seed_option
@json_option
@verbosity_options
def bpb(model: Path, texts: tuple[Path, ...], **options: Any) -> None:
    """Bits per byte and per character of MODEL on TEXTS (run folders, parquet, jsonl, txt)."""
    from .perplexity import TextOptions, score_texts, shown

    as_json, out = options.pop("as_json"), options.pop("out")
    scorer = _load(model, options)
    options["seed"] = options["seed"] or 0
    result = score_texts(scorer, texts, TextOptions(**options), out=out, quiet=quiet())
    result["model"] = {"name": scorer.info.name, **scorer.info.identity()}
    emit(result, as_json=as_json, text=shown(result))


@group.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path), default=None, help="Page to write.")
@seed_option
@json_option
@verbosity_options
def compare(first: Path, second: Path, html: Path | None, seed: int | None, as_json: bool) -> None:
    """Compare two runs over the same questions or texts: FIRST minus SECOND, and is it chance?"""
    from . import compare as comparison
    from .runs import write_page

    found = comparison.compare(first, second, seed=seed or 0)
    if html is not None:
        write_page(html, comparison.page(found))
    emit(found | {"verdict": comparison.verdict(found)}, as_json=as_json,
         text=comparison.shown(found))  # fmt: skip


@group.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path), default=None, help="Page to write.")
@json_option
@verbosity_options
def report(runs: tuple[Path, ...], html: Path | None, as_json: bool) -> None:
    """Set the results of RUNS side by side, best first."""
    from . import leaderboard
    from .runs import write_page

    found = leaderboard.leaderboard(runs)
    if html is not None:
        write_page(html, leaderboard.page(found))
    emit(found, as_json=as_json, text=leaderboard.shown(found))


group.add_command(judge)
group.add_command(review)
