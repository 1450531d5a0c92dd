"""``make bench``: speed side by side with peers. ``python -m bench NAME...`` runs some of them.

Tables and progress go to stderr, one JSON object goes to stdout. A bench whose peer cannot be
installed says so, and the others go on. A claim that is not met is shown as such; it is a finding,
and the exit code stays 0.
"""

import argparse
import importlib
import json
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from yanmo.report import Table

from . import machine, page
from .rounds import Options, Result

BENCHES: Final = {
    "signature": "bench.signature:run",
    "filters": "bench.filters:run",
    "neardup": "bench.neardup:run",
    "pipeline": "bench.pipeline:run",
    "extraction": "bench.extraction:run",
    "encoding": "bench.encoding:run",
    "vocab": "bench.vocab:run",
    "exams": "bench.exams:run",
    "sft": "bench.sft:run",
    "training": "bench.training:run",
}
"""Speed: ``run(Options) -> Result``; all of them are ``make bench``."""

CHECKS: Final = {
    "charsets": "bench.charsets",
    "verdicts": "bench.verdicts",
    "main_content": "bench.main_content",
    "duplicates_truth": "tests.curate.duplicate_truth",
    "duplicates_scale": "bench.duplicates_scale",
    "scale": "bench.scale:main",
    "train_memory": "bench.train_memory",
    "dpo": "bench.dpo",
    "gpu": "bench.gpu",
    "vocab_gain": "bench.vocab_gain",
}
"""Quality and scale, no part of ``make bench``. Most are commands of their own: ``python -m bench
NAME ARGUMENT...`` is ``python -m bench.NAME ARGUMENT...``. With a function, it takes numbers."""


def main(arguments: Sequence[str]) -> None:
    """Run what the command line asks for."""
    if arguments and arguments[0] in CHECKS:
        _check(CHECKS[arguments[0]], list(arguments))
        return
    asked = _parser().parse_args(arguments)
    options = Options(asked.size, asked.rounds, tuple(asked.language or ("zh", "en")))
    where = machine.describe()
    sys.stderr.write(f"{machine.one_line(where)}\n")
    results: dict[str, Result] = {}
    for name in asked.names or BENCHES:
        start = time.monotonic()
        sys.stderr.write(f"\n{name}\n")
        try:
            results[name] = _load(BENCHES[name])(options)
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            results[name] = Result(name, [], notes=[f"Not measured: {error}"])
        took = round(time.monotonic() - start)
        results[name].notes.append(f"The whole bench took {took} s.")
        sys.stderr.write(_text(results[name]) + "\n")
    report = {"machine": where, "results": {n: _json(r) for n, r in results.items()}}
    if asked.json:
        asked.json.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
    if asked.markdown:
        page.update(asked.markdown, where, results)
    sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="NAME",
                        help=f"some of {', '.join(BENCHES)}, all by default; or one of "
                             f"{', '.join(CHECKS)} with arguments of its own")  # fmt: skip
    parser.add_argument("--size", type=float, metavar="MB", help="text a language")
    parser.add_argument("--rounds", type=int, help="repetitions of each side")
    parser.add_argument("--language", action="append", choices=["zh", "en"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="the JSON, also into a file")
    parser.add_argument("--markdown", type=Path, metavar="FILE",
                        help="put the tables into a page, between its marks")  # fmt: skip
    return parser


def _check(target: str, arguments: list[str]) -> None:
    """Run a check as the command that it is, or call its function and print what it gives."""
    if ":" in target:
        numbers = [[int(argument) for argument in arguments[1:]]] if arguments[1:] else []
        sys.stdout.write(json.dumps(_load(target)(*numbers)) + "\n")
        return
    sys.argv = arguments
    runpy.run_module(target, run_name="__main__", alter_sys=True)


def _load(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def _text(result: Result) -> str:
    parts = [Table(result.title, result.columns, result.rows).text()] if result.rows else []
    if result.claims:
        parts.append(page.claims(result).text())
    return "\n".join([*parts, *(f"- {note}" for note in result.notes)])


def _json(result: Result) -> dict[str, Any]:
    found = asdict(result)
    found["claims"] = [{**asdict(claim), "met": claim.met} for claim in result.claims]
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
