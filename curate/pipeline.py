"""The run: which task follows which, from raw files to the run folder.

    read + extract ─ clean ─┬─ measure ─ decide ─┬─ exact ─ near ─ settle ─ materialize ─ …
       (a file, group,      └─ signatures ───────┘   (over all parts; no text)
        or stretch a task)             … ─ decontaminate ─ pii   (where they are on)

Between `clean` and `measure` stand `lines`, if a rule of it is on, and the steps of `site`.
Every arrow is a file in the cache. Between ``measure`` and ``materialize`` no step reads text, so a
moved threshold redoes `decide` and what follows from it, and copies only the parts whose verdicts
changed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from yanmo import manifest, recipe
from yanmo.files import atomic_write, exclusive, write_json
from yanmo.progress import track
from yanmo.tasks import Done, Identities, Input, Task, Workers, prune, run

from . import PRELOAD
from .balance import Balance
from .budget import check_budget
from .cluster_table import CLUSTERS_NAME, list_clusters
from .discover import InputGroup
from .extra_signals import account, add_signals
from .index_steps import EarlierRuns, check_index
from .intake import CACHE_NAME, find_inputs, inputs_read
from .language import NO_MODEL
from .last_run import remember
from .leak_steps import Cleared, decontaminate, index_questions
from .line_steps import EditedParts, edit_lines, language_model
from .minhash import bands_a_task
from .run_recipe import CurateRecipe
from .runfolder import FOLDERS, Part, link_parts, numbered, sweep
from .span_steps import Spans, find_spans
from .split import ingest
from .verify_duplicates import VERIFY_NAME, said

CACHE_BYTES: Final = 200 << 30


@dataclass
class Progress:
    """What a run has done so far: tasks and seconds per step."""

    cache: Path
    workers: Workers
    quiet: bool = False
    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)

    def run(self, tasks: Sequence[Task]) -> list[Done]:
        """Run the tasks of one step and keep the account."""
        if not tasks:
            return []
        with track(len(tasks), tasks[0].step, quiet=self.quiet) as watcher:
            done = run(tasks, cache=self.cache, workers=self.workers, watcher=watcher)
        for item in done:
            account = self.steps.setdefault(
                item.task.step, {"tasks": 0, "cached": 0, "seconds": 0.0}
            )
            account["tasks"] += 1
            account["cached"] += item.cached
            account["seconds"] = round(account["seconds"] + item.seconds, 3)
            self.folders.append(item.folder)
        return done

    @property
    def fresh(self) -> int:
        """How many tasks were really run."""
        return int(sum(step["tasks"] - step["cached"] for step in self.steps.values()))


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
    notes += steps.cleared.notes()
    notes += [] if language_model() else [NO_MODEL]
    return RunResult(balance.funnel(), progress.steps, progress.fresh, seconds, report, notes)


def run_steps(
    groups: Sequence[InputGroup], settings: CurateRecipe, progress: Progress, identities: Identities
) -> "Steps":
    """Run every task of a recipe, step after step."""
    earlier = EarlierRuns(progress.run, settings, progress.cache.parent)
    questions = index_questions(settings, identities, progress.run)
    ingested = ingest(groups, settings, progress.cache, identities, run=progress.run)
    identities.save()
    check_budget(ingested, settings.errors)
    parts = [d.input(name) for d in ingested for name in d.result["parts"]]
    cleaned = progress.run([_clean(part, settings) for part in parts])
    edited = edit_lines(progress, cleaned, settings)
    cleaned = list(edited.documents)
    measured = progress.run([_measure(d, settings) for d in cleaned])
    measured = add_signals(progress, cleaned, measured, settings, identities)
    judged = judge(progress, cleaned, measured, settings, earlier)
    verified = verify_duplicates(progress, cleaned, judged.duplicates, settings)
    sizes = list_clusters(progress.run, cleaned, judged.duplicates, settings)
    final = materialize(progress, cleaned, judged.settled, settings)
    whole = list(zip(cleaned, measured, judged.settled, final, strict=True))
    spans = find_spans(progress.run, whole, settings)
    cleared = decontaminate(progress.run, spans.edited(final), questions, settings)
    masked = progress.run([_mask(d, settings) for d in cleared.texts if settings.pii.is_on])
    return Steps(ingested, cleaned, measured, judged.settled, final, cleared, judged.duplicates,
                 verified, sizes, masked, spans, earlier, judged.matches, edited)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """The final word on every document.

    Attributes:
        duplicates: what was found among the documents of this run; None where nothing was looked
            for.
        matches: for each part its documents that earlier runs hold; none without an index.
        settled: the tasks `settle`, one a part.
    """

    duplicates: Done | None
    matches: Sequence[Done]
    settled: Sequence[Done]


def judge(
    progress: Progress, cleaned: Sequence[Done], measured: Sequence[Done],
    settings: CurateRecipe, earlier: EarlierRuns,
) -> Judged:  # fmt: skip
    """From signals and signatures to the final word on every document; no text is copied."""
    verdicts = progress.run([_decide(d, settings) for d in measured])
    duplicates = find_duplicates(progress, cleaned, measured, verdicts, settings, earlier)
    matches = earlier.matches()
    found = (duplicates.input("documents.parquet"),) if duplicates else ()
    known = [(*found, m.input("index.parquet")) for m in matches] or [found] * len(verdicts)
    settled = progress.run(
        [
            Task("settle", "yanmo.curate.settle:settle_part",
                 (v.input("verdicts.parquet"), *tables))
            for v, tables in zip(verdicts, known, strict=True)
        ]
    )  # fmt: skip
    return Judged(duplicates, matches, settled)


def _clean(part: Input, settings: CurateRecipe) -> Task:
    parameters = {
        "normalize": recipe.to_table(replace(settings.normalize, convert="off")),
        "language": recipe.to_table(settings.language),
    }
    inputs = (part, *language_model())
    return Task("clean", "yanmo.curate.normalize:clean_part", inputs, parameters)


def _measure(done: Done, settings: CurateRecipe) -> Task:
    parameters = {"measure": recipe.to_table(settings.active_measure())}
    part = done.input("documents.parquet")
    return Task("measure", "yanmo.curate.measure:measure_part", (part,), parameters)


def _decide(done: Done, settings: CurateRecipe) -> Task:
    parameters = {"rules": recipe.to_table(settings.active_rules())}
    signals = done.input("signals.parquet")
    return Task("decide", "yanmo.curate.decide:decide_part", (signals,), parameters)


def _mask(done: Done, settings: CurateRecipe) -> Task:
    parameters = {"pii": recipe.to_table(settings.pii)}
    return Task("pii", "yanmo.curate.pii:mask_part", (done.input("kept.parquet"),), parameters)


def find_duplicates(
    progress: Progress, cleaned: Sequence[Done], measured: Sequence[Done],
    verdicts: Sequence[Done], settings: CurateRecipe, earlier: EarlierRuns,
) -> Done | None:  # fmt: skip
    """Exact, then near duplicates among the documents that the rules keep."""
    if not cleaned:
        return None
    options = settings.duplicates
    alive = earlier.exact(measured, [d.input("verdicts.parquet") for d in verdicts])
    exact: Done | None = None
    if options.exact:
        members = progress.run(
            [
                Task("exact", "yanmo.curate.exact:exact_part",
                     (c.input("documents.parquet"), m.input("signals.parquet"), a),
                     options.looked_at())
                for c, m, a in zip(cleaned, measured, alive, strict=True)
            ]
        )  # fmt: skip
        names = ("hashes.npy", "members.parquet", "alive.npy")
        inputs = tuple(d.input(name) for name in names for d in members)
        task = Task("exact-groups", "yanmo.curate.exact:exact_groups", inputs, options.policy())
        exact = progress.run([task])[0]
        alive = [exact.input(f"alive-{i:05d}.npy") for i in range(len(cleaned))]
    if not options.near:
        return exact
    near = find_near(progress, cleaned, measured, alive, settings, earlier)
    if exact is None:
        return near
    inputs = (exact.input("documents.parquet"), near.input("documents.parquet"))
    return progress.run([Task("combine", "yanmo.curate.clusters:combine", inputs)])[0]


def _fields(cleaned: Sequence[Done], measured: Sequence[Done]) -> list[tuple[Input, ...]]:
    """Where the policy ``highest:<field>`` looks, part by part."""
    return [
        (c.input("documents.parquet"), m.input("signals.parquet"))
        for c, m in zip(cleaned, measured, strict=True)
    ]


def find_near(
    progress: Progress, cleaned: Sequence[Done], measured: Sequence[Done], alive: Sequence[Input],
    settings: CurateRecipe, earlier: EarlierRuns,
) -> Done:  # fmt: skip
    """Signatures (of all documents), bands (of those still in), pairs of bands, clusters."""
    options = settings.duplicates
    sketch = options.sketch()
    signatures = progress.run(
        [
            Task("signatures", "yanmo.curate.minhash:signature_part",
                 (c.input("documents.parquet"),), sketch)
            for c in cleaned
        ]
    )  # fmt: skip
    alive = earlier.near(signatures, alive)
    parameters = {**sketch, "bands": options.bands, **options.looked_at()}
    fields = _fields(cleaned, measured) if options.looked_at() else [()] * len(cleaned)
    banded = progress.run(
        [
            Task("bands", "yanmo.curate.minhash:band_part",
                 (s.input("signatures.parquet"), a, *files), parameters)
            for s, a, files in zip(signatures, alive, fields, strict=True)
        ]
    )  # fmt: skip
    values = tuple(d.input(name) for name in ("sketches.bin", "bounds.npy") for d in banded)
    size = bands_a_task(sum(d.result["documents"] for d in banded), options.bands)
    runs = [range(at, min(at + size, options.bands)) for at in range(0, options.bands, size)]
    pairs = progress.run(
        [
            Task("pairs", "yanmo.curate.minhash:reduce_band",
                 (*(d.input(f"band-{band:02d}.npy") for band in some for d in banded), *values),
                 {"min_jaccard": options.min_jaccard, "bands": len(some)})
            for some in runs
        ]
    )  # fmt: skip
    inputs = (*(d.input("edges.npy") for d in pairs),
              *(d.input("members.parquet") for d in banded), *values)  # fmt: skip
    choice = {"bands": len(runs), "parts": len(banded),
              "min_jaccard": options.min_jaccard, **options.policy()}  # fmt: skip
    return progress.run([Task("near", "yanmo.curate.clusters:cluster", inputs, choice)])[0]


def verify_duplicates(
    progress: Progress, cleaned: Sequence[Done], duplicates: Done | None, settings: CurateRecipe
) -> Done | None:
    """Compare removed documents with the kept ones, if the recipe says so."""
    options = settings.duplicates
    if duplicates is None or not options.verify:
        return None
    module = "yanmo.curate.verify_duplicates"
    twins = (duplicates.input("documents.parquet"),)
    choice = {"documents": options.verify_documents}
    chosen = progress.run([Task("verify-choice", f"{module}:choose_pairs", twins, choice)])[0]
    pairs = chosen.input("pairs.parquet")
    shingle = {"shingle_tokens": options.shingle_tokens}
    sets = progress.run(
        [
            Task("verify-sets", f"{module}:verify_part",
                 (pairs, c.input("documents.parquet")), shingle)
            for c in cleaned
        ]
    )  # fmt: skip
    names = ("ids.parquet", "char5.bin", "char5.npy", "token5.bin", "token5.npy")
    inputs = (pairs, *(d.input(name) for d in sets for name in names))
    known = {"removed": chosen.result["removed"], "min_jaccard": options.min_jaccard}
    return progress.run([Task("verify", f"{module}:verify_pairs", inputs, known)])[0]


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


def balance_of(steps: "Steps") -> Balance:
    """Add up the books of all parts."""
    balance = Balance()
    for done in steps.ingested:
        balance.add_ingest(done.result)
    for done in steps.edited.books:
        balance.add_edits(done.result["edits"])
        balance.add_dropped(done.result.get("dropped", {}))
    for done in steps.final:
        balance.add_final(done.result)
    for done in steps.spans.cut:
        balance.add_cut(done.result)
    for done in steps.cleared.changed:
        balance.add_cleared(done.result)
    for done in steps.masked:
        balance.add_masked(done.result)
    return balance


@dataclass(frozen=True)
class Steps:
    """The finished tasks that the run folder is made of."""

    ingested: Sequence[Done]
    cleaned: Sequence[Done]
    measured: Sequence[Done]
    settled: Sequence[Done]
    final: Sequence[Done]
    cleared: Cleared
    duplicates: Done | None
    verified: Done | None
    clusters: Done | None
    masked: Sequence[Done]
    spans: Spans
    earlier: EarlierRuns
    matches: Sequence[Done]
    edited: EditedParts

    @property
    def documents(self) -> list[Input]:
        """The documents of each part that the run keeps."""
        if self.masked:
            return [d.input("documents.parquet") for d in self.masked]
        return [d.input("kept.parquet") for d in self.cleared.texts]


def write_run(
    out: Path, settings: CurateRecipe, steps: Steps, funnel: dict[str, Any], progress: Progress
) -> None:
    """Link the parts into the run folder; the manifest comes last."""
    (out / manifest.NAME).unlink(missing_ok=True)
    sweep(out)
    early = [d for d in steps.ingested if sum(n["documents"] for n in d.result["dropped"].values())]
    early += steps.edited.dropping
    bad = [d for d in steps.ingested if sum(d.result["quarantined"].values())]
    gone = [*steps.final, *early, *steps.spans.short, *steps.cleared.dropping()]
    tables = ((steps.duplicates, "documents.parquet"), (steps.verified, VERIFY_NAME),
              (steps.clusters, CLUSTERS_NAME))  # fmt: skip
    parts = {
        "documents": numbered(steps.masked, "documents.parquet", ".parquet")
        or numbered(steps.cleared.texts, "kept.parquet", ".parquet"),
        "dropped": numbered(gone, "dropped.parquet", ".parquet"),
        "quarantine": numbered(bad, "quarantine.jsonl.zst", ".jsonl.zst"),
        "signals": numbered(steps.measured, "signals.parquet", ".parquet"),
        "duplicates": [Part(done, name, name) for done, name in tables if done]
        + numbered(steps.matches, "index.parquet", ".parquet", stem="index")
        + numbered(steps.spans.cut, "lines.parquet", ".parquet", stem="lines"),
        "leaks": steps.cleared.leaks(),
        "pii": numbered(steps.masked, "pii.parquet", ".parquet"),
        "edits": numbered(steps.edited.cutting, "edits.parquet", ".parquet"),
    }
    listed = [entry for name in FOLDERS for entry in link_parts(out, name, parts[name])]
    with atomic_write(out / "recipe.toml", text=True) as stream:
        stream.write(recipe.dumps(settings))
    write_json(out / "funnel.json", funnel)
    inputs = inputs_read(steps.ingested)
    models_used = {path.path.name: path.identity for path in language_model()}
    counts = {"funnel": funnel, "seconds": progress.steps, "models": models_used,
              **settings.rule_sources(), **account(steps.measured)}  # fmt: skip
    made = manifest.build("run", recipe=recipe.to_table(settings), inputs=inputs,
                          seed=settings.seed, counts=counts, parts=listed)  # fmt: skip
    manifest.write(out, made)
