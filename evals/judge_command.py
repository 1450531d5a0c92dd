"""``yanmo evals judge``: answers of systems in, who is better out."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import (
    emit,
    json_option,
    limit_option,
    out_option,
    quiet,
    seed_option,
    verbosity_options,
)

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("answers", nargs=-1, required=True, type=_FILE)
@click.option("--judge", "kind", required=True, metavar="KIND",
              help="endpoint, model, reward; first, longer, oracle, noisy.")  # fmt: skip
@out_option(required=False, help="Folder for samples and report; makes it resumable.")
@click.option("--single", is_flag=True, help="Grade every answer by itself instead of in pairs.")
@click.option("--name", "names", multiple=True,
              help="What a system is called; once a file, in their order.")  # fmt: skip
@click.option("--intersect", is_flag=True,
              help="Leave out questions that not every file answers, and count them.")  # fmt: skip
@click.option("--model", default=None, help="Name of the model at the endpoint, or its folder.")
@click.option("--url", default=None, metavar="URL",
              help="OpenAI-compatible endpoint, such as http://localhost:8000/v1.")  # fmt: skip
@click.option("--key-env", default=None, metavar="NAME",
              help="Environment variable that holds the endpoint's key.")  # fmt: skip
@click.option("--concurrency", type=click.IntRange(1, 256), default=4, show_default=True,
              help="Requests under way at once.")  # fmt: skip
@click.option("--mode", default="auto", show_default=True,
              help="words, letters (probabilities of A, B, C), or auto.")  # fmt: skip
@click.option("--template", default="auto", show_default=True,
              help="Wording: zh, en, a bundled name, or FILE.toml:NAME.")  # fmt: skip
@click.option("--class-prompts", type=_FILE, default=None, metavar="FILE",
              help="With --single: rules by class of question (BELLE's format).")  # fmt: skip
@click.option("--tie-margin", type=float, default=0.0, show_default=True,
              help="Rewards that are no further apart are a tie.")  # fmt: skip
@click.option("--p", type=float, default=0.8, show_default=True,
              help="How often the noisy judge is right.")  # fmt: skip
@click.option("--max-tokens", type=click.IntRange(1), default=None,
              help="Length of what a judge writes; default: 1024, a model here 256.")  # fmt: skip
@click.option("--dtype", default="float32", show_default=True,
              help="Of a model here: float32, bfloat16 or float16.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="Of a model here.")
@click.option("--threads", type=click.IntRange(1), default=None,
              help="CPU threads of a model here; default: all cores.")  # fmt: skip
@limit_option
@seed_option
@json_option
@verbosity_options
def judge(answers: tuple[Path, ...], **options: Any) -> None:
    """Compare the ANSWERS of systems to the same questions, each pair in both orders.

    A file holds one JSON object a line: id, question (or messages), answer; optional are reference,
    class and score. A system wins a question only if it wins in both orders.
    """
    from . import judge_pages
    from .answers import read_answers
    from .judge import judge_pairs, judge_single
    from .judge_setup import JudgeOptions, make_judge

    as_json, out, single = options.pop("as_json"), options.pop("out"), options.pop("single")
    seed = options["seed"] = options["seed"] or 0
    read = {name: options.pop(name) for name in ("names", "intersect", "limit")}
    threads = options.pop("threads")
    chosen_options = JudgeOptions(**options)
    found = read_answers(list(answers), **read)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    questions = [item.question for item in found.items]
    kind = "single" if single else "pair"
    chosen = make_judge(chosen_options, questions, kind=kind, out=out)
    run = judge_single if single else judge_pairs
    outcome = run(found, chosen, out=out, seed=seed, quiet=quiet())
    shown = judge_pages.text(outcome.summary)
    if out is not None:
        shown += f"\n\n{out / 'report.html'}"
    emit(outcome.summary, as_json=as_json, text=shown)
