"""From the finished tasks of a run to its books and its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo import manifest, recipe
from yanmo.files import atomic_write, write_json
from yanmo.tasks import Done, Input

from .balance import Balance
from .clean_steps import EditedParts, language_model
from .cluster_table import CLUSTERS_NAME
from .extra_signals import account
from .index_steps import EarlierRuns
from .intake import inputs_read
from .leak_steps import Cleared
from .run_progress import Progress
from .run_recipe import CurateRecipe
from .runfolder import FOLDERS, Part, link_parts, numbered, sweep
from .span_steps import Spans
from .url_steps import UrlFilter
from .verify_duplicates import VERIFY_NAME
from .word_steps import ListedWords


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
    words: ListedWords
    urls: UrlFilter

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
        "words": steps.words.parts(),
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
              **settings.rule_sources(), **account(steps.measured), **steps.words.account(),
              **steps.urls.account()}  # fmt: skip
    made = manifest.build("run", recipe=recipe.to_table(settings), inputs=inputs,
                          seed=settings.seed, counts=counts, parts=listed)  # fmt: skip
    manifest.write(out, made)
