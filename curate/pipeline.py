"""The run: which task follows which, from raw files to the run folder.

    read + extract ─ clean ─┬─ measure ─ decide ─┬─ exact ─ near ─ settle ─ materialize
       (a file or           └─ signatures ───────┘   (over all parts; no text)
        group a task)

Every arrow is a file in the cache. Between ``measure`` and ``materialize`` no step reads text, so a
moved threshold redoes `decide` and what follows from it, and copies only the parts whose verdicts
changed.
"""

import dataclasses
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from yanmo import manifest, models, recipe
from yanmo.errors import ModelMissing, UsageError
from yanmo.files import atomic_write, exclusive, write_json
from yanmo.progress import track
from yanmo.tasks import Done, Identities, Input, Task, Workers, prune, run

from .balance import Balance
from .budget import check_budget
from .discover import IGNORED, STDIN, InputGroup, InputSpec, discover
from .run_recipe import CurateRecipe
from .runfolder import FOLDERS, Part, link_parts, numbered, sweep

CACHE_NAME: Final = ".cache"
CACHE_BYTES: Final = 200 << 30
NO_MODEL: Final = (
    "The model lid.176 is not here, so scripts alone decided languages: "
    "`yanmo models fetch lid.176`."
)


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


def run_recipe(settings: CurateRecipe, out: Path, *, workers: int = 1,
               rehash: bool = False, quiet: bool = False) -> RunResult:  # fmt: skip
    """Run a recipe and write the run folder.

    Args:
        settings: the recipe.
        out: the run folder; its cache lies in ``out/.cache``.
        workers: processes; never changes results.
        rehash: read every input again instead of trusting size and mtime.
        quiet: show no progress.

    Raises:
        UsageError: nothing to read, or ``out`` holds something else or lies inside an input.
        YanmoError: another run is writing into ``out``.
        DataError: a part failed, or too many records went to quarantine.
        LedgerError: the books do not balance.
    """
    from .run_report import write_report

    start = time.monotonic()
    refuse_foreign_folder(out)
    refuse_own_output(settings.input, out)
    with exclusive(out / CACHE_NAME), Workers(workers) as pool:
        progress = Progress(out / CACHE_NAME, pool, quiet)
        identities = Identities(progress.cache / "identities.json", rehash=rehash)
        steps = run_steps(settings, progress, identities)
        balance = balance_of(steps)
        balance.check()
        write_run(out, settings, steps, balance.funnel(), progress)
        prune(progress.cache, max_bytes=CACHE_BYTES, keep=progress.folders)
        report = write_report(out)
    seconds = time.monotonic() - start
    notes = [] if language_model() else [NO_MODEL]
    return RunResult(balance.funnel(), progress.steps, progress.fresh, seconds, report, notes)


def plan(settings: CurateRecipe, out: Path) -> dict[str, Any]:
    """What :func:`run_recipe` would do; nothing is written and no input is opened.

    Returns:
        ``{"recipe", "files", "bytes", "ignored", "tasks", "out"}``: files to read and their stored
        bytes, files of unknown format, read tasks.

    Raises:
        UsageError: as :func:`run_recipe`.
    """
    refuse_foreign_folder(out)
    refuse_own_output(settings.input, out)
    groups = discover(settings.input, options=settings.read)
    files = [file for group in groups for file in group.files]
    known = [file.size or 0 for file in files if file.format != IGNORED]
    return {"recipe": recipe.to_table(settings), "files": len(known), "bytes": sum(known),
            "ignored": len(files) - len(known), "tasks": len(groups), "out": str(out)}  # fmt: skip


def run_steps(settings: CurateRecipe, progress: Progress, identities: Identities) -> "Steps":
    """Run every task of a recipe, step after step."""
    ingested = progress.run(ingest_tasks(settings, progress.cache, identities))
    identities.save()
    check_budget(ingested, settings.errors)
    parts = [d.input(name) for d in ingested for name in d.result["parts"]]
    cleaned = progress.run([_clean(part, settings) for part in parts])
    measured = progress.run([_measure(d, settings) for d in cleaned])
    verdicts = progress.run([_decide(d, settings) for d in measured])
    duplicates = find_duplicates(progress, cleaned, measured, verdicts, settings)
    final = settle(progress, cleaned, verdicts, duplicates, settings)
    return Steps(ingested, cleaned, measured, final, duplicates)


def refuse_foreign_folder(out: Path) -> None:
    """Refuse to write into a folder that holds what is not ours."""
    if out.exists() and not out.is_dir():
        raise UsageError("--out is a file", where=out, fix="Give a folder.")
    ours = {CACHE_NAME, "manifest.json", "recipe.toml", "funnel.json", "report.html", *FOLDERS}
    foreign = sorted(p.name for p in out.iterdir() if p.name not in ours) if out.exists() else []
    foreign = [name for name in foreign if not name.startswith(".")]
    if foreign:
        raise UsageError("--out holds other files", where=out, value=foreign[:5],
                         fix="Give a new folder, or one that a run wrote.")  # fmt: skip


def refuse_own_output(inputs: Sequence[InputSpec], out: Path) -> None:
    """Refuse an output folder inside an input: the next run would read what this one wrote."""
    for spec in inputs:
        root = Path(spec.path.partition("*")[0]).expanduser()
        if spec.path != STDIN and root.is_dir() and out.resolve().is_relative_to(root.resolve()):
            raise UsageError("--out lies inside the input", where=out, value=spec.path,
                             fix="Give a folder beside it.")  # fmt: skip


def ingest_tasks(settings: CurateRecipe, cache: Path, identities: Identities) -> list[Task]:
    """One task for each big file and for each group of small ones."""
    groups = discover([_spooled(spec, cache) for spec in settings.input], options=settings.read)
    return [_ingest(group, settings, identities) for group in groups]


def _ingest(group: InputGroup, settings: CurateRecipe, identities: Identities) -> Task:
    local = [file for file in group.files if "://" not in file.path]
    # Files of an unknown format are counted by size and never opened.
    known = iter(identities.identify(Path(f.path) for f in local if f.format != IGNORED))
    inputs = [Input(Path(f.path), "") if f.format == IGNORED else next(known) for f in local]
    parameters = {
        # The place of a local file is no part of the key; its name and content are.
        "files": [{**asdict(f), "path": "" if f in local else f.path} for f in group.files],
        "remote": [remote_identity(f.path) for f in group.files if f not in local],
        "read": recipe.to_table(settings.read),
        "extract": recipe.to_table(settings.extract),
        "part_bytes": settings.output.part_bytes,
        "limit": settings.limit,
    }
    return Task("ingest", "yanmo.curate.ingest:ingest_files", tuple(inputs), parameters)


def remote_identity(url: str) -> str:
    """What identifies a file of another file system: its ETag, or size and time of change."""
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    info = system.info(path)
    return str(info.get("ETag") or (info.get("size"), info.get("mtime"), info.get("LastModified")))


def _spooled(spec: InputSpec, cache: Path) -> InputSpec:
    """Standard input as a file of the cache: tasks run in other processes, and more than once."""
    if spec.path != STDIN:
        return spec
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "stdin"
    with path.open("wb") as stream:
        shutil.copyfileobj(sys.stdin.buffer, stream, 1 << 20)
    return dataclasses.replace(spec, path=str(path), source=spec.source or "stdin")


def language_model() -> tuple[Input, ...]:
    """The language model as an input of `clean`; none where it is not installed."""
    try:
        path = models.path("lid.176")
    except ModelMissing:
        return ()
    return (Input(path, models.identity("lid.176")),)


def _clean(part: Input, settings: CurateRecipe) -> Task:
    parameters = {
        "normalize": recipe.to_table(settings.normalize),
        "language": recipe.to_table(settings.language),
    }
    inputs = (part, *language_model())
    return Task("clean", "yanmo.curate.normalize:clean_part", inputs, parameters)


def _measure(done: Done, settings: CurateRecipe) -> Task:
    parameters = {"measure": recipe.to_table(settings.measure)}
    part = done.input("documents.parquet")
    return Task("measure", "yanmo.curate.measure:measure_part", (part,), parameters)


def _decide(done: Done, settings: CurateRecipe) -> Task:
    parameters = {"rules": recipe.to_table(settings.active_rules())}
    signals = done.input("signals.parquet")
    return Task("decide", "yanmo.curate.decide:decide_part", (signals,), parameters)


def find_duplicates(
    progress: Progress,
    cleaned: Sequence[Done],
    measured: Sequence[Done],
    verdicts: Sequence[Done],
    settings: CurateRecipe,
) -> Done | None:
    """Exact, then near duplicates among the documents that the rules keep."""
    if not cleaned:
        return None
    options = settings.duplicates
    alive = [d.input("verdicts.parquet") for d in verdicts]
    exact: Done | None = None
    if options.exact:
        members = progress.run(
            [
                Task("exact", "yanmo.curate.exact:exact_part",
                     (c.input("documents.parquet"), m.input("signals.parquet"), a))
                for c, m, a in zip(cleaned, measured, alive, strict=True)
            ]
        )  # fmt: skip
        names = ("hashes.npy", "members.parquet", "alive.npy")
        inputs = tuple(d.input(name) for name in names for d in members)
        task = Task("exact-groups", "yanmo.curate.exact:exact_groups", inputs, options.policy())
        exact = progress.run([task])[0]
        alive = [exact.input(f"alive-{i:05d}.npy") for i in range(len(cleaned))]
    near = find_near(progress, cleaned, alive, settings) if options.near else None
    if exact is None or near is None:
        return exact or near
    inputs = (exact.input("documents.parquet"), near.input("documents.parquet"))
    return progress.run([Task("combine", "yanmo.curate.clusters:combine", inputs)])[0]


def find_near(
    progress: Progress, cleaned: Sequence[Done], alive: Sequence[Input], settings: CurateRecipe
) -> Done:
    """Signatures (of all documents), bands (of those still in), pairs of each band, clusters."""
    options = settings.duplicates
    sketch = {"shingle_tokens": options.shingle_tokens, "permutations": options.permutations,
              "seed": options.seed}  # fmt: skip
    signatures = progress.run(
        [
            Task("signatures", "yanmo.curate.minhash:signature_part",
                 (c.input("documents.parquet"),), sketch)
            for c in cleaned
        ]
    )  # fmt: skip
    parameters = {**sketch, "bands": options.bands}
    banded = progress.run(
        [
            Task("bands", "yanmo.curate.minhash:band_part",
                 (s.input("signatures.parquet"), a), parameters)
            for s, a in zip(signatures, alive, strict=True)
        ]
    )  # fmt: skip
    values = tuple(d.input("signatures.npy") for d in banded)
    pairs = progress.run(
        [
            Task("pairs", "yanmo.curate.minhash:reduce_band",
                 (*(d.input(f"band-{band:02d}.npy") for d in banded), *values),
                 {"min_jaccard": options.min_jaccard})
            for band in range(options.bands)
        ]
    )  # fmt: skip
    inputs = (*(d.input("edges.npy") for d in pairs),
              *(d.input("members.parquet") for d in banded), *values)  # fmt: skip
    choice = {"bands": options.bands, "parts": len(banded),
              "min_jaccard": options.min_jaccard, **options.policy()}  # fmt: skip
    return progress.run([Task("near", "yanmo.curate.clusters:cluster", inputs, choice)])[0]


def settle(
    progress: Progress,
    cleaned: Sequence[Done],
    verdicts: Sequence[Done],
    duplicates: Done | None,
    settings: CurateRecipe,
) -> list[Done]:
    """The final word on every document, then its text to ``kept`` or ``dropped``."""
    found = (duplicates.input("documents.parquet"),) if duplicates else ()
    final = progress.run(
        [
            Task("settle", "yanmo.curate.settle:settle_part", (v.input("verdicts.parquet"), *found))
            for v in verdicts
        ]
    )
    parameters = {"keep_dropped": settings.output.keep_dropped,
                  "sample_fraction": settings.output.sample_fraction}  # fmt: skip
    return progress.run(
        [
            Task("materialize", "yanmo.curate.settle:materialize_part",
                 (c.input("documents.parquet"), f.input("final.parquet")), parameters)
            for c, f in zip(cleaned, final, strict=True)
        ]
    )  # fmt: skip


def balance_of(steps: "Steps") -> Balance:
    """Add up the books of all parts."""
    balance = Balance()
    for done in steps.ingested:
        balance.add_ingest(done.result)
    for done in steps.cleaned:
        balance.add_edits(done.result["edits"])
    for done in steps.final:
        balance.add_final(done.result)
    return balance


@dataclass(frozen=True)
class Steps:
    """The finished tasks that the run folder is made of."""

    ingested: Sequence[Done]
    cleaned: Sequence[Done]
    measured: Sequence[Done]
    final: Sequence[Done]
    duplicates: Done | None


def write_run(
    out: Path, settings: CurateRecipe, steps: Steps, funnel: dict[str, Any], progress: Progress
) -> None:
    """Link the parts into the run folder; the manifest comes last."""
    (out / manifest.NAME).unlink(missing_ok=True)
    sweep(out)
    early = [d for d in steps.ingested if sum(n["documents"] for n in d.result["dropped"].values())]
    bad = [d for d in steps.ingested if sum(d.result["quarantined"].values())]
    twins = steps.duplicates
    parts = {
        "documents": numbered(steps.final, "kept.parquet", ".parquet"),
        "dropped": numbered([*steps.final, *early], "dropped.parquet", ".parquet"),
        "quarantine": numbered(bad, "quarantine.jsonl.zst", ".jsonl.zst"),
        "signals": numbered(steps.measured, "signals.parquet", ".parquet"),
        "duplicates": [Part(twins, "documents.parquet", "documents.parquet")] if twins else [],
    }
    listed = [entry for name in FOLDERS for entry in link_parts(out, name, parts[name])]
    with atomic_write(out / "recipe.toml", text=True) as stream:
        stream.write(recipe.dumps(settings))
    write_json(out / "funnel.json", funnel)
    inputs = [{"path": str(i.path), "sha256": i.identity or None, "bytes": i.path.stat().st_size}
              for d in steps.ingested for i in d.task.inputs]  # fmt: skip
    models_used = {path.path.name: path.identity for path in language_model()}
    counts = {"funnel": funnel, "seconds": progress.steps, "models": models_used,
              **settings.rule_sources()}  # fmt: skip
    made = manifest.build("run", recipe=recipe.to_table(settings), inputs=inputs,
                          seed=settings.seed, counts=counts, parts=listed)  # fmt: skip
    manifest.write(out, made)
