"""``yanmo curate inspect``: read documents around a threshold and label them, in the terminal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yanmo.options import emit, json_option, verbosity_options

if TYPE_CHECKING:
    from .inspect_rule import Candidate, Question, Suggestion

KEYS = {"k": "keep", "d": "drop"}


@click.command("inspect")
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--rule", required=True, help="Its key in the recipe: max_digit_fraction, …")
@click.option("--route", default=None, help="zh, en, …; default: where the rule drops most.")
@click.option("--samples", type=click.IntRange(2), default=40, show_default=True,
              help="Documents to read.")  # fmt: skip
@click.option("--labels", type=click.Path(path_type=Path), default=None,
              help="File of labels, added to.  [default: RUN/labels.jsonl]")  # fmt: skip
@click.option("--chars", type=click.IntRange(80), default=1200, show_default=True,
              help="Characters shown of a document.")  # fmt: skip
@json_option
@verbosity_options
def inspect(run_folder: Path, labels: Path | None, chars: int, as_json: bool,
            **options: Any) -> None:  # fmt: skip
    """Read documents around a threshold, say keep or drop, and get a threshold suggested.

    Keys: k keep, d drop, s skip, q stop. What the run did is not shown. Labels are written at
    once; the same command goes on where it was left. Without a terminal the answers are read from
    standard input, one a line.
    """
    from .inspect_rule import ask, read_labels, suggest

    question = ask(run_folder, **options)
    path = labels or run_folder / "labels.jsonl"
    _label(run_folder, question, path, chars)
    found = suggest(question, read_labels(path))
    emit(_report(question, found, path), as_json=as_json, text=_text(run_folder, question, found))


def _label(run: Path, question: "Question", path: Path, chars: int) -> None:
    from .inspect_rule import Label, append_label, read_labels, texts

    asked = (question.rule, question.route)
    known = {label.id for label in read_labels(path) if (label.rule, label.route) == asked}
    waiting = [item for item in question.candidates if item.id not in known]
    shown = texts(run, [item.id for item in waiting])
    for number, item in enumerate(waiting, 1):
        place, text = shown.get(item.id, ("", ""))
        if not text:
            continue  # a dropped document whose text the run did not keep
        answer = _answer(f"[{number}/{len(waiting)}] {place}", text, chars, question, item)
        if answer == "q":
            break
        if answer in KEYS:
            label = Label(*asked, item.id, KEYS[answer], item.value, item.weight)
            append_label(path, label)


def _answer(head: str, text: str, chars: int, question: "Question", item: "Candidate") -> str:
    """One of k, d, s, q; a wrong key is asked again, the end of input stops."""
    more = f"\n… ({len(text) - chars} more characters)" if len(text) > chars else ""
    click.echo(f"\n{'─' * 72}\n{head}\n{question.signal} = {item.value:.4g}\n", err=True)
    click.echo(text[:chars] + more, err=True)
    while True:
        click.echo("\nkeep (k), drop (d), skip (s), stop (q)? ", nl=False, err=True)
        if sys.stdin.isatty():
            answer = click.getchar()
            click.echo(answer, err=True)
        else:
            line = sys.stdin.readline()
            answer = line.strip() if line else "q"
        if answer in ("k", "d", "s", "q"):
            return answer


def _report(question: "Question", found: "Suggestion | None", path: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"rule": question.rule, "route": question.route,
                              "threshold": question.threshold, "labels": str(path)}  # fmt: skip
    return {**report, "suggestion": None if found is None else vars(found)}


def _text(run: Path, question: "Question", found: "Suggestion | None") -> str:
    from .inspect_rule import MIN_LABELS

    name = f"rules.{question.route}.{question.rule}"
    if found is None:
        return f"{name} = {question.threshold:g}. {MIN_LABELS} labels of both kinds are needed."
    low, high = found.interval
    return (
        f"{name} = {question.threshold:g}: {found.wrong_before:.0%} of the verdicts near it are "
        f"wrong by your {found.labels} labels.\n"
        f"Best: {found.threshold:.4g} (90 % of resamples: {low:.4g} to {high:.4g}), "
        f"{found.wrong_after:.0%} wrong.\n"
        f"next: yanmo curate whatif {run} --set {name}={found.threshold:.4g}"
    )
