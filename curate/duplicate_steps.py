"""From signals and signatures to the final word on every document: verdicts, exact and near
duplicates, those of earlier runs. No text is copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from yanmo import recipe
from yanmo.tasks import Done, Input, Task

from .index_steps import EarlierRuns
from .minhash import bands_a_task
from .run_progress import Progress
from .run_recipe import CurateRecipe


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


def _decide(done: Done, settings: CurateRecipe) -> Task:
    parameters = {"rules": recipe.to_table(settings.active_rules())}
    signals = done.input("signals.parquet")
    return Task("decide", "yanmo.curate.decide:decide_part", (signals,), parameters)


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
