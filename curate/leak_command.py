"""What ``yanmo curate decontaminate`` means: a run that only looks for exam questions, and acts."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from .run_recipe import CurateRecipe

FORCED: Final = (
    "decide=false", "measure.always=false", "duplicates.exact=false", "duplicates.near=false",
    "lines.boilerplate=[]", "lines.counters=false",
)  # fmt: skip
"""What is left out of a run."""

_NAMED: Final = re.compile(r"([A-Za-z0-9_.-]+)=(.+)", re.DOTALL)


def question_options(command: Any) -> Any:
    """Which questions, and what to do."""
    for option in (
        click.option("--action", type=click.Choice(["report", "mask", "drop"]), default=None,
                     help="Only report them (default), cut them out, or drop the documents."),
        click.option("--options", "option_fields", default=None, metavar="FIELD,...",
                     help="Fields of the options, or one that holds a list; default: A,B,C,D."),
        click.option("--question", "question_field", default=None, metavar="FIELD",
                     help="Field of the question; default: question."),
        click.option("--against", multiple=True, required=True, metavar="[NAME=]FILE",
                     help="Questions: zip, folder, csv or jsonl; C-Eval, CMMLU and MMLU as they "
                          "are published. May be repeated."),
    ):  # fmt: skip
        command = option(command)
    return command


def overrides(
    against: Sequence[str], question: str | None, options: str | None, action: str | None
) -> tuple[str, ...]:
    """The command's own options as ``table.key=value`` of the recipe."""
    tables = []
    for text in against:
        named = None if Path(text).exists() else _NAMED.fullmatch(text)
        fields: dict[str, Any] = {"path": named[2] if named else text}
        if named:
            fields["exam"] = named[1]
        if question is not None:
            fields["question"] = question
        if options is not None:
            fields["options"] = [name.strip() for name in options.split(",")]
        # A JSON value is a TOML value; the keys need no quotes.
        values = (f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in fields.items())
        tables.append("{" + ", ".join(values) + "}")
    acts = () if action is None else (f"decontaminate.action={action}",)
    return (*FORCED, f"decontaminate.against=[{', '.join(tables)}]", *acts)


def prepared(settings: "CurateRecipe") -> "CurateRecipe":
    """A recipe whose inputs may be run folders, and that at least reports."""
    options = settings.decontaminate
    if not options.is_on:
        options = replace(options, action="report")
    inputs = tuple(_documents_of(spec) for spec in settings.input)
    return replace(settings, decontaminate=options, input=inputs)


def _documents_of(spec: Any) -> Any:
    """The documents of a run, where the input is one; the source keeps the name of the run."""
    path = Path(spec.path)
    if (path / "funnel.json").is_file() and (path / "documents").is_dir():
        name = spec.source or path.resolve().name
        return replace(spec, path=str(path / "documents"), source=name)
    return spec
