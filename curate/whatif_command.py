"""The commands that compare verdicts: ``whatif`` and ``report --against``."""

from pathlib import Path
from typing import Any

import click

from yanmo.options import (
    emit,
    json_option,
    quiet,
    set_option,
    verbosity_options,
    workers_option,
)


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@set_option
@click.option("--samples", type=click.IntRange(1), default=3, show_default=True,
              help="Ids given of each kind of change.")  # fmt: skip
@workers_option
@json_option
@verbosity_options
def whatif(run_folder: Path, samples: int, workers: int, as_json: bool, **options: Any) -> None:
    """Judge a finished run by other rules or duplicate settings; nothing is written into it.

    \b
    yanmo curate whatif corpus --set rules.zh.min_words=80
    yanmo curate whatif corpus --set duplicates.min_jaccard=0.8
    """
    from .whatif import as_report, render
    from .whatif import whatif as judge_again

    found = judge_again(run_folder, options["overrides"], workers=workers, samples=samples,
                        quiet=quiet())  # fmt: skip
    emit(as_report(found), as_json=as_json, text=render(found))


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--against", type=click.Path(path_type=Path), metavar="RUN",
              help="A run over the same input: which rule changes which verdicts.")  # fmt: skip
@json_option
@verbosity_options
def report(run_folder: Path, against: Path | None, as_json: bool) -> None:
    """Write report.html of a run again; with --against, say how two runs differ."""
    if against is None:
        from .run_report import write_report

        path = write_report(run_folder)
        emit({"report": str(path)}, as_json=as_json, text=str(path))
        return
    from .against import compare_runs, render
    from .flows import as_json as flows_json

    found, page = compare_runs(run_folder, against)
    answer = {**flows_json(found.verdicts), "settings": found.settings, "report": str(page)}
    emit(answer, as_json=as_json, text=f"{render(found)}\n{page}")
