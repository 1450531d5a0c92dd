"""Which tasks clean: text, language and lines of a part, then lines that a site repeats."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from yanmo import models, recipe
from yanmo.errors import ModelMissing
from yanmo.tasks import Done, Input, Task

from .site_lines import PARTITIONS, partition_name

if TYPE_CHECKING:
    from .run_progress import Progress
    from .run_recipe import CurateRecipe

_NO_LIMIT = 1 << 40


@dataclass(frozen=True)
class EditedParts:
    """The finished tasks that edit text.

    Attributes:
        documents: one a part, with the text as it is measured.
        books: all of them; each has ``edits`` in its result.
        cutting: those with an ``edits.parquet``.
        dropping: those whose ``dropped.parquet`` holds something.
    """

    documents: Sequence[Done] = ()
    books: Sequence[Done] = ()
    cutting: Sequence[Done] = ()
    dropping: Sequence[Done] = ()


def clean(progress: "Progress", parts: Sequence[Input], settings: "CurateRecipe") -> EditedParts:
    """Normalise the parts, cut lines out of them, then those that a site repeats."""
    model = language_model()
    parameters: dict[str, Any] = {
        "normalize": recipe.to_table(replace(settings.normalize, convert="off")),
        "language": recipe.to_table(settings.language),
    }
    convert = settings.normalize.convert
    edits_lines = settings.lines.is_on or convert != "off"
    if edits_lines:
        parameters["edit"] = {
            "lines": recipe.to_table(settings.lines), "convert": convert,
            "keep_dropped": settings.output.keep_dropped,
            "sample_fraction": settings.output.sample_fraction,
        }  # fmt: skip
    cleaned = progress.run(
        [Task("clean", "yanmo.curate.clean:clean_part", (part, *model), parameters)
         for part in parts]
    )  # fmt: skip
    sites: Sequence[Done] = ()
    if settings.site.repeated_lines and cleaned:
        sites = _site_lines(progress, cleaned, settings, model)
    return EditedParts(
        documents=sites or cleaned,
        books=[*cleaned, *sites],
        cutting=[*(cleaned if edits_lines else ()), *sites],
        dropping=[d for d in cleaned if d.result.get("dropped")],
    )


def language_model() -> tuple[Input, ...]:
    """The language model as an input of tasks; none where it is not installed."""
    try:
        path = models.path("lid.176")
    except ModelMissing:
        return ()
    return (Input(path, models.identity("lid.176")),)


def _site_lines(
    progress: "Progress", parts: Sequence[Done], settings: "CurateRecipe", model: tuple[Input, ...]
) -> list[Done]:
    """Count lines over all parts and cut those of templates; no task where no host is large."""
    options = settings.site
    where = {"without_url": options.without_url}
    lines = {**where, "max_chars": options.max_chars or _NO_LIMIT,
             "min_letters": options.min_letters}  # fmt: skip
    pages = progress.run([_task("pages", (d.input("documents.parquet"),), where) for d in parts])
    counted = progress.run(
        [_task("hosts", [d.input("pages.npy") for d in pages], {"pages": options.pages})]
    )[0]
    if not counted.result["enough"]:
        return []
    hosts = counted.input("hosts.npy")
    mapped = progress.run(
        [_task("map", (d.input("documents.parquet"), hosts), lines) for d in parts]
    )
    limits = {"pages": options.pages, "fraction": options.fraction}
    reduced = progress.run(
        [
            _task("reduce", [*(d.input(partition_name(p)) for d in mapped), hosts], limits)
            for p in range(PARTITIONS)
        ]
    )
    keys = [d.input("keys.npy") for d in reduced]
    parameters = {**lines, "language": recipe.to_table(settings.language)}
    return progress.run(
        [_task("apply", (d.input("documents.parquet"), *keys, *model), parameters) for d in parts]
    )


def _task(name: str, inputs: Sequence[Input], parameters: dict[str, Any]) -> Task:
    function = f"yanmo.curate.site_lines:site_{name}"
    return Task(f"site-{name}", function, tuple(inputs), parameters)
