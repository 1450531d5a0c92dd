"""The run: which task follows which, from raw files to the run folder.

    read + extract ─ clean ─┬─ measure ─ decide ─┬─ exact ─ near ─ settle ─ materialize ─ …
       (a file, group,      └─ signatures ───────┘   (over all parts; no text)
        or stretch a task)             … ─ decontaminate ─ pii   (where they are on)

Between `clean` and `measure` stand the steps of `site`, if they are on. With lists of `[urls]`
pages are judged by their address before the first task here extracts them. Every arrow is a file
in the cache. Between ``measure`` and ``materialize`` no step reads text, so a moved threshold
redoes `decide` and what follows from it, and copies only the parts whose verdicts changed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from yanmo import recipe
from yanmo.files import exclusive
from yanmo.tasks import Done, Identities, Task, Workers, prune

from . import PRELOAD
from .budget import check_budget
from .clean_steps import clean, language_model
from .cluster_table import list_clusters
from .discover import InputGroup
from .duplicate_steps import judge, verify_duplicates
from .extra_signals import add_signals
from .index_steps import EarlierRuns, check_index
from .intake import CACHE_NAME, find_inputs
from .language import NO_MODEL
from .last_run import remember
from .leak_steps import decontaminate, index_questions
from .run_output import Steps, balance_of, write_run
from .run_progress import Progress
from .run_recipe import CurateRecipe
from .span_steps import find_spans
from .split import ingest
from .url_steps import read_url_lists
from .verify_duplicates import said
from .word_steps import read_word_lists

CACHE_BYTES: Final = 200 << 30


@dataclass(frozen=True)
class RunResult:
    """What :func:`run_recipe` gives back."""

    funnel: dict[str, Any]
    steps: dict[str, dict[str, float]]
    fresh: int
    seconds: float
    report: Path
    notes: list[str]


def run_recipe(settings: CurateRecipe, out: Path, *, workers: int = 1, rehash: bool = False,
               quiet: bool = False, save_index: Path | None = None) -> RunResult:  # fmt: skip
    """Run a recipe and write the run folder.

    Args:
        settings: the recipe.
        out: the run folder; its cache lies in ``out/.cache``.
        workers: processes; never changes results.
        rehash: read every input again instead of trusting size and mtime.
        quiet: show no progress.
        save_index: an index of documents that gets those kept here, once the run is done.

    Raises:
        UsageError: nothing to read, or ``out`` holds something else or lies inside an input.
        YanmoError: another run is writing into ``out``.
        DataError: a part failed, or too many records went to quarantine.
        LedgerError: the books do not balance.
    """
    start = time.monotonic()
    groups = find_inputs(settings, out)
    if save_index is not None:
        check_index(save_index, settings)
    with exclusive(out / CACHE_NAME), Workers(workers, preload=[PRELOAD]) as pool:
        progress = Progress(out / CACHE_NAME, pool, quiet)
        identities = Identities(progress.cache / "identities.json", rehash=rehash)
        steps = run_steps(groups, settings, progress, identities)
        balance = balance_of(steps)
        balance.check()
        write_run(out, settings, steps, balance.funnel(), progress)
        remember(progress.cache, clean=steps.cleaned, measure=steps.measured, settle=steps.settled)
        if save_index is not None:
            steps.earlier.save(save_index, steps.measured, steps.documents)
        prune(progress.cache, max_bytes=CACHE_BYTES, keep=progress.folders)
        report = pool.call("yanmo.curate.run_report:write_report", out)
    seconds = time.monotonic() - start
    notes = [said(steps.verified.result)] if steps.verified else []
    notes += [*steps.cleared.notes(), *steps.words.notes(), *steps.urls.notes()]
    notes += [] if language_model() else [NO_MODEL]
    return RunResult(balance.funnel(), progress.steps, progress.fresh, seconds, report, notes)


def run_steps(
    groups: Sequence[InputGroup], settings: CurateRecipe, progress: Progress, identities: Identities
) -> Steps:
    """Run every task of a recipe, step after step."""
    earlier = EarlierRuns(progress.run, settings, progress.cache.parent)
    questions = index_questions(settings, identities, progress.run)
    words = read_word_lists(settings, identities, progress.run)
    urls = read_url_lists(settings, identities, progress.run)
    ingested = ingest(groups, settings, progress.cache, identities, run=progress.run, urls=urls)
    identities.save()
    check_budget(ingested, settings.errors)
    parts = [d.input(name) for d in ingested for name in d.result["parts"]]
    edited = clean(progress, parts, settings)
    cleaned = list(edited.documents)
    measured = progress.run([_measure(d, settings) for d in cleaned])
    words.count(progress.run, cleaned, settings)
    measured = add_signals(progress, cleaned, measured, settings, identities, words)
    judged = judge(progress, cleaned, measured, settings, earlier)
    verified = verify_duplicates(progress, cleaned, judged.duplicates, settings)
    sizes = list_clusters(progress.run, cleaned, judged.duplicates, settings)
    final = materialize(progress, cleaned, judged.settled, settings)
    whole = list(zip(cleaned, measured, judged.settled, final, strict=True))
    spans = find_spans(progress.run, whole, settings)
    cleared = decontaminate(progress.run, spans.edited(final), questions, settings)
    masked = progress.run([_mask(d, settings) for d in cleared.texts if settings.pii.is_on])
    return Steps(ingested, cleaned, measured, judged.settled, final, cleared, judged.duplicates,
                 verified, sizes, masked, spans, earlier, judged.matches, edited, words,
                 urls)  # fmt: skip


def _measure(done: Done, settings: CurateRecipe) -> Task:
    parameters = {"measure": recipe.to_table(settings.active_measure())}
    part = done.input("documents.parquet")
    return Task("measure", "yanmo.curate.measure:measure_part", (part,), parameters)


def _mask(done: Done, settings: CurateRecipe) -> Task:
    parameters = {"pii": recipe.to_table(settings.pii)}
    return Task("pii", "yanmo.curate.pii:mask_part", (done.input("kept.parquet"),), parameters)


def materialize(
    progress: Progress, cleaned: Sequence[Done], settled: Sequence[Done], settings: CurateRecipe
) -> list[Done]:
    """Put the text of every document to ``kept`` or ``dropped``."""
    parameters = {"keep_dropped": settings.output.keep_dropped,
                  "sample_fraction": settings.output.sample_fraction}  # fmt: skip
    return progress.run(
        [
            Task("materialize", "yanmo.curate.settle:materialize_part",
                 (c.input("documents.parquet"), f.input("final.parquet")), parameters)
            for c, f in zip(cleaned, settled, strict=True)
        ]
    )  # fmt: skip
