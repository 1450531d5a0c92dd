"""What a run would take and drop, told from a sample of its pages before it is started.

Every source is run twice on a few pages, by the very pipeline: on ``TINY`` of each file and on
many. What the second run costs more is the price of its further characters, so that what a step
costs to start is not multiplied. How many pages there are is counted in the sampled files and
scaled by stored bytes.
"""

import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import xxhash

from yanmo.errors import UsageError
from yanmo.report import Table, show
from yanmo.stats import wilson

from .discover import IGNORED, InputFile, InputSpec, discover
from .pipeline import run_recipe
from .run_recipe import CurateRecipe

TINY: Final = 12  # pages of a file in the first run
FILES: Final = 12  # of a source that are looked into
FILE_BYTES: Final = 128 << 20  # and as stored, after the first of them
BYTES_A_DOCUMENT: Final = 220
"""What the steps hold that see all documents at once. Source: docs/duplicates.md, ten million."""
SHARED_STEPS: Final = ("exact-groups", "near", "combine", "verify-choice", "verify")
"""Steps of one task: more workers do not shorten them."""
LIST_STEPS: Final = ("url-lists", "word-lists")
"""Steps whose price does not depend on the pages."""


@dataclass(frozen=True)
class Trial:
    """A run on a few pages of a source.

    Attributes:
        sample: pages run.
        left: pages of the same files that were not.
        kept: of those run.
        dropped: of those run, by rule.
        chars_in: code points of all that was read.
        chars: code points of those kept.
        seconds: by step.
        start_up: seconds outside the steps.
        disk: bytes of the run folder with its cache.
    """

    sample: int
    left: int
    kept: int
    dropped: dict[str, int]
    chars_in: int
    chars: int
    seconds: dict[str, float]
    start_up: float
    disk: int


@dataclass(frozen=True)
class Sampled:
    """One source: what was looked at, and what it says of the whole.

    Attributes:
        source: its name.
        files: files of the source.
        stored: their bytes.
        pages: estimated pages (records that may become documents).
        sample: pages run.
        kept: of these.
        dropped: of these, by rule.
        chars: code points of those kept.
        disk: bytes of the run folder with its cache, for the whole source.
        tiny: the run on a few pages.
        many: the run on the sample.
    """

    source: str
    files: int
    stored: int
    pages: int
    sample: int
    kept: int
    dropped: dict[str, int]
    chars: int
    disk: int
    tiny: "Trial"
    many: "Trial"

    @property
    def factor(self) -> float:
        """Pages of the source for each page that was run."""
        return self.pages / max(self.sample, 1)


@dataclass(frozen=True)
class Forecast:
    """All sources together.

    Attributes:
        sources: one by one.
        steps: processor seconds of each step.
        workers: processes that the times are for.
        start_up: seconds before the first task.
        memory: bytes of all processes.
        disk: bytes of the run folder with its cache.
        seconds: wall time.
        took: seconds that the forecast took.
    """

    sources: list[Sampled]
    steps: dict[str, float]
    workers: int
    start_up: float
    memory: int
    disk: int
    seconds: float
    took: float
    notes: list[str] = field(default_factory=list)


def forecast(settings: CurateRecipe, *, workers: int, pages: int = 300) -> Forecast:
    """Run a sample of every source and scale it.

    Args:
        settings: the recipe.
        workers: processes of the run that is planned.
        pages: of each file that are run.

    Raises:
        UsageError: nothing to read, or an input is standard input.
        DataError: as a run does.
    """
    start = time.monotonic()
    if any(spec.path == "-" for spec in settings.input):
        raise UsageError("standard input cannot be read twice", value="-", fix="Name files.")
    groups = discover(settings.input, options=settings.read)
    files = [file for group in groups for file in group.files if file.format != IGNORED]
    names = sorted({file.source for file in files})
    by_name = {name: [file for file in files if file.source == name] for name in names}
    # The first run of a process loads tables, models and kernels, the later ones do not: it tells
    # what starting costs, and is no measure of anything else.
    cold = _trial(next(iter(by_name.items())), settings, TINY)
    sources = [_source(named, settings, pages) for named in by_name.items()]
    start_up = cold.start_up
    steps = _steps(sources, cold)
    shared = sum(seconds for step, seconds in steps.items() if step in SHARED_STEPS)
    wall = start_up + shared + (sum(steps.values()) - shared) / workers
    documents = sum(found.pages for found in sources)
    memory = _process_bytes() * workers + documents * BYTES_A_DOCUMENT
    notes = ["The sample is the head of some files: a file of several collections misleads it.",
             "Duplicates of other pages are rarer in a sample than in the whole: a run drops more.",
             "Memory: the peak of the process that ran the sample, for each worker, and "
             f"{BYTES_A_DOCUMENT} bytes a document."]  # fmt: skip
    return Forecast(sources, steps, workers, start_up, memory, sum(found.disk for found in sources),
                    wall, time.monotonic() - start, notes)  # fmt: skip


def _process_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _trial(named: tuple[str, Sequence[InputFile]], settings: CurateRecipe, pages: int) -> "Trial":
    """Run some pages of some files of a source."""
    name, files = named
    specs = tuple(InputSpec(f.path, name, f.licence, f.format) for f in _choose(files))
    with tempfile.TemporaryDirectory(prefix="yanmo-plan-") as folder:
        return _run(replace(settings, input=specs, limit=pages), Path(folder) / "run")


def _source(named: tuple[str, Sequence[InputFile]], settings: CurateRecipe, pages: int) -> Sampled:
    name, files = named
    tiny = _trial(named, settings, TINY)
    many = _trial(named, settings, max(pages, 2 * TINY))
    chosen = _choose(files)
    stored = sum(file.size or 0 for file in files)
    looked = sum(file.size or 0 for file in chosen)
    whole = (many.sample + many.left) * (stored / looked if looked else len(files) / len(chosen))
    scale = whole / max(many.sample, 1)
    return Sampled(name, len(files), stored, round(whole), many.sample, many.kept, many.dropped,
                   many.chars, round(many.disk * scale), tiny, many)  # fmt: skip


def _choose(files: Sequence[InputFile]) -> list[InputFile]:
    """Some files of a source, by the hash of their names."""
    order = sorted(files, key=lambda file: xxhash.xxh3_64_intdigest(file.name.encode()))
    chosen: list[InputFile] = []
    size = 0
    for file in order[:FILES]:
        if chosen and size + (file.size or 0) > FILE_BYTES:
            break
        chosen.append(file)
        size += file.size or 0
    return chosen


def _run(settings: CurateRecipe, out: Path) -> Trial:
    result = run_recipe(settings, out, workers=1, quiet=True)
    funnel = result.funnel
    seconds = {step: account["seconds"] for step, account in result.steps.items()}
    dropped: dict[str, int] = dict(funnel["dropped"])
    chars = funnel["characters"]
    return Trial(
        funnel["kept"] + sum(dropped.values()), funnel["skipped"].get("limit", 0),
        funnel["kept"], dropped, chars["in"], chars["kept"], seconds,
        max(result.seconds - sum(seconds.values()), 0.0), _disk(out),
    )  # fmt: skip


def _disk(folder: Path) -> int:
    """Bytes on disk; a hard link counts once."""
    found = [path.lstat() for path in folder.rglob("*") if path.is_file()]
    return sum({item.st_ino: item.st_size for item in found}.values())


def _steps(sources: Sequence[Sampled], cold: Trial) -> dict[str, float]:
    """Seconds of every step over all sources.

    Reading and extracting cost by source; the other steps read text, and are priced by the
    characters of all sources together: the difference of two short runs is noisy.
    """
    seconds = {}
    for step in dict.fromkeys(step for found in sources for step in found.many.seconds):
        if step in LIST_STEPS:
            seconds[step] = cold.seconds.get(step, 0.0)
            continue
        groups = [[found] for found in sources] if step == "ingest" else [list(sources)]
        fixed = cold.seconds.get(step, 0.0)
        seconds[step] = fixed + sum(_price(step, group) for group in groups)
    return seconds


def _price(step: str, group: Sequence[Sampled]) -> float:
    """What a step takes for all characters of some sources, without what it costs to start."""
    more = sum(f.many.seconds.get(step, 0.0) - f.tiny.seconds.get(step, 0.0) for f in group)
    chars = sum(found.many.chars_in - found.tiny.chars_in for found in group)
    whole = sum(found.many.chars_in * found.factor for found in group)
    if chars <= 0:  # the sample is all there is, and what starting costs is known already
        return 0.0
    return max(more, 0.0) / chars * whole


def rule_rows(found: Forecast) -> list[list[Any]]:
    """Rule, expected documents, share of all, 95 % interval of the share; the largest first.

    The interval is that of a sample of the same size drawn from all pages.
    """
    whole = sum(source.pages for source in found.sources)
    sample = sum(source.sample for source in found.sources)
    rows = []
    for rule in sorted({rule for source in found.sources for rule in source.dropped}):
        share = sum(s.dropped.get(rule, 0) * s.factor for s in found.sources) / max(whole, 1)
        low, high = wilson(round(share * sample), sample)
        rows.append([rule, round(share * whole), share, low, high])
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def as_json(found: Forecast) -> dict[str, Any]:
    """For programs."""
    names = ("rule", "documents", "share", "low", "high")
    return {
        "sources": [_source_json(source) for source in found.sources],
        "steps": {step: round(seconds, 2) for step, seconds in found.steps.items()},
        "rules": [dict(zip(names, row, strict=True)) for row in rule_rows(found)],
        "pages": sum(source.pages for source in found.sources),
        "kept": round(sum(source.kept * source.factor for source in found.sources)),
        "workers": found.workers,
        "seconds": round(found.seconds, 1),
        "memory_bytes": found.memory,
        "disk_bytes": found.disk,
        "took_seconds": round(found.took, 1),
        "notes": found.notes,
    }


def _source_json(found: Sampled) -> dict[str, Any]:
    hidden = ("tiny", "many")
    return {key: value for key, value in vars(found).items() if key not in hidden}


def render(found: Forecast) -> str:
    """For people."""
    rows = []
    for s in found.sources:
        low, high = wilson(s.kept, s.sample)
        rows.append([s.source, s.files, s.stored / 1e6, s.pages, s.sample, s.kept * s.factor,
                     f"{low:.0%}–{high:.0%}", s.chars * s.factor / 1e6])  # fmt: skip
    columns = ["source", "files", "MB stored", "pages", "sampled", "kept", "of pages",
               "M characters"]  # fmt: skip
    parts = [Table("Sources", columns, rows).text()]
    shares = [[rule, n, f"{share:.1%}", f"{low:.1%}–{high:.1%}"]
              for rule, n, share, low, high in rule_rows(found)]  # fmt: skip
    parts.append(Table("Dropped", ["rule", "documents", "share", "95 %"], shares).text())
    times = [[step, seconds] for step, seconds in found.steps.items() if seconds >= 0.05]
    parts.append(Table("Processor seconds", ["step", "seconds"], times).text())
    parts.append(
        f"With {found.workers} workers about {_time(found.seconds)}, "
        f"{found.memory / 1e9:.1f} GB of memory, {found.disk / 1e9:.2f} GB of disk (with the "
        f"cache). The forecast took {_time(found.took)}."
    )
    return "\n\n".join([*parts, "\n".join(found.notes)])


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{show(seconds / 3600)} h"
