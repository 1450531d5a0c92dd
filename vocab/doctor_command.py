"""``yanmo vocab doctor``: what is wrong with a tokenizer, and a repaired one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from yanmo.options import emit, json_option, out_option, seed_option, verbosity_options

FILE = click.Path(path_type=Path)
_SHOWN = 3


@click.command("doctor")
@click.argument("model", type=FILE)
@click.option("--base", type=FILE, help="What MODEL grew from; default: from its own notes.")
@out_option(required=False, help="Folder to write a repaired SentencePiece BPE model to.")
@click.option("--mark-unused", is_flag=True, help="Repair: pieces that stay dead become UNUSED.")
@click.option("--text", "text_paths", multiple=True, type=FILE,
              help="Documents whose lines are read; may be repeated. Default: built-in lines.",
              )  # fmt: skip
@click.option("--lines", type=click.IntRange(0), default=20_000, show_default=True,
              help="Most lines to take from --text, an equal share of each; 0: all.")  # fmt: skip
@click.option("--no-libraries", is_flag=True, help="Do not ask transformers and tiktoken.")
@seed_option
@json_option
@verbosity_options
def doctor_command(
    model: Path,
    base: Path | None,
    out: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Examine MODEL (any tokenizer), and with --out repair it, every id where it was.

    Exit code 0: well. 1: ill, that is: ids come out wrong or differ between libraries, or entries
    that were added can never come out. Warnings and notes do not make it ill: entries of the base
    that can never come out are a waste, and no fault. With --out the code speaks of what was
    written.
    """
    from .doctor import DoctorOptions, examine, write_repaired
    from .folder import refuse_foreign
    from .lines import Lines
    from .patient import open_patient

    options = DoctorOptions(
        libraries=not flags["no_libraries"],
        seed=flags["seed"] or 0,
        mark_unused=flags["mark_unused"],
    )
    lines = Lines(flags["text_paths"], flags["lines"])
    patient = open_patient(model, base)
    if out is not None:
        refuse_foreign(out, [patient.file.parent])
    found = examine(patient, lines, options)
    report: dict[str, Any] = found.report()
    if out is not None:
        report = {**write_repaired(patient, found, lines, out, options), "out": str(out)}
    emit(report, as_json=as_json, text=doctor_text(report))
    if not report["healthy"]:
        raise click.exceptions.Exit(1)


def doctor_text(report: dict[str, Any]) -> str:
    """A report for a terminal."""
    head = _head(report)
    if "before" in report:
        done = report["repair"]
        old = report["before"]
        head = (
            f"{old['name']}: {old['levels']['ill']} findings of level ill before\n"
            f"repaired: {done['rescored']} scores, {len(done['retyped'])} types, "
            f"{len(done['disabled'])} that sentencepiece alone makes UNUSED; "
            f"{done['still_dead']} stay dead, {done['marked_unused']} of them UNUSED; "
            f"written to {report['out']}\n"
            f"{report['warning']}\n\n" + head
        )
    return "\n\n".join([head, *_tables(report)])


def _head(report: dict[str, Any]) -> str:
    base = (
        f", {report['base_size']} of them the base's ({report['base_from']})"
        if report["base_size"] is not None
        else ""
    )
    state = "well" if report["healthy"] else "ILL"
    return f"{report['name']}: {report['kind']}, {report['size']} entries{base}: {state}"


def _tables(report: dict[str, Any]) -> Iterator[str]:
    from yanmo.report import Table

    rows = [
        [f["level"].upper() if f["level"] == "ill" else f["level"], f["name"], f["count"], f["of"]]
        for f in report["findings"]
    ]
    if rows:
        yield Table("", ["", "finding", "count", "of"], rows).text()
    for finding in report["findings"]:
        lines = [f"{finding['name']}: {finding['what']}"]
        lines += [f"    {_example(example)}" for example in finding["examples"][:_SHOWN]]
        if finding["fix"]:
            lines.append(f"    → {finding['fix']}")
        yield "\n".join(lines)
    text = report["text"]
    has_base = report["base_size"] is not None
    rows = [
        [name, one["lines"], one["tokens_per_char"], *(_base_cells(one) if has_base else [])]
        for name, one in text["slices"].items()
    ]
    more = ["base", "lines changed"] if has_base else []
    title = f"{text['lines']} lines read, {text['compared']} compared: {_compared(text)}"
    yield Table(title, ["lines", "number", "tokens/char", *more], rows).text()


def _compared(text: dict[str, Any]) -> str:
    """Which libraries gave ids, and which were not asked."""
    missing = [name for name, why in text["not_asked"].items() if why == "not installed"]
    return ", ".join(text["libraries"]) + (
        f" ({', '.join(missing)} not installed)" if missing else ""
    )


def _base_cells(one: dict[str, Any]) -> list[Any]:
    return [one.get("base_tokens_per_char"), one.get("changed")]


def _example(example: Any) -> str:
    if isinstance(example, dict):
        parts = (f"{key} {_plain(value)}" for key, value in example.items())
        return "; ".join(parts)
    return str(example).replace("\n", "\n    ")


def _plain(value: Any) -> str:
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    shown = shown.replace("\n", "\\n")
    return shown if len(shown) <= 110 else shown[:109] + "…"
