"""The tasks that find duplicate spans over all parts and cut them out: which follows which."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from yanmo.tasks import Done, Input, Task

from .run_recipe import CurateRecipe
from .span_options import RANGE_UNITS, SpanOptions

Run = Callable[[Sequence[Task]], list[Done]]


@dataclass(frozen=True)
class Spans:
    """What became of duplicate spans.

    Attributes:
        cut: for each part its `cut-spans` task; none where nothing is looked for.
        removes: whether they hold texts of their own (``kept.parquet``).
    """

    cut: Sequence[Done] = ()
    removes: bool = False

    @property
    def short(self) -> list[Done]:
        """The tasks that dropped documents of which too little was left."""
        return [done for done in self.cut if done.result.get("dropped")]

    def edited(self, final: Sequence[Done]) -> Sequence[Done]:
        """The parts whose ``kept.parquet`` holds the texts from here on."""
        return self.cut if self.removes else final


def find_spans(
    run: Run, parts: Sequence[tuple[Done, Done, Done, Done]], settings: CurateRecipe
) -> Spans:
    """Find and cut out duplicate spans, as the recipe says.

    Args:
        run: runs tasks.
        parts: for each part its tasks `clean`, `measure`, `settle` and `materialize`.
        settings: the recipe.
    """
    options = settings.spans
    if not options.kinds or not parts:
        return Spans()
    kept = [part[3].input("kept.parquet") for part in parts]
    owners = run([_owners(part, settings) for part in parts])
    members = tuple(d.input("members.parquet") for d in owners)
    policy = settings.duplicates.policy()
    rank = run([Task("rank", "yanmo.curate.spans:rank_owners", members, policy)])[0]
    ranks = tuple(rank.input(f"rank-{i:05d}.npy") for i in range(len(parts)))
    found: dict[str, list[list[Input]]] = {}
    for kind in options.kinds:
        if kind == "substrings":
            sizes = [part[3].result["kept_bytes"] for part in parts]
            found[kind] = _repeats(
                run, list(zip(kept, ranks, members, strict=True)), sizes, options
            )
        else:
            found[kind] = _equal(run, kept, (ranks, members), options, kind)
    parameters: dict[str, Any] = {
        "min_chars": options.min_chars,
        "keep_dropped": settings.output.keep_dropped,
        "sample_fraction": settings.output.sample_fraction,
    }  # fmt: skip
    cut = run(
        [
            Task("cut-spans", "yanmo.curate.span_cut:cut_spans",
                 (part, *(file for files in found.values() for file in files[i])),
                 {**parameters, "kinds": [[kind, options.action(kind), len(files[i])]
                                          for kind, files in found.items()]})
            for i, part in enumerate(kept)
        ]
    )  # fmt: skip
    return Spans(cut, options.removes)


def _owners(part: tuple[Done, Done, Done, Done], settings: CurateRecipe) -> Task:
    looked_at = settings.duplicates.looked_at()
    inputs = [part[3].input("kept.parquet")]
    if looked_at:
        files = ("documents.parquet", "signals.parquet", "final.parquet")
        inputs += [done.input(name) for done, name in zip(part, files, strict=False)]
    parameters = {"keep": looked_at.get("keep", "")}
    return Task("owners", "yanmo.curate.spans:owners_part", tuple(inputs), parameters)


def _equal(
    run: Run, kept: Sequence[Input], known: tuple[tuple[Input, ...], tuple[Input, ...]],
    options: SpanOptions, kind: str,
) -> list[list[Input]]:  # fmt: skip
    """Units of each part, then what of them is equal, range by range: for each part its files."""
    units = run([Task("units", "yanmo.curate.spans:units_part", (part,), options.unit(kind))
                 for part in kept])  # fmt: skip
    total = sum(done.result["units"] for done in units)
    ranges = 1 << max(0, (total - 1) // RANGE_UNITS).bit_length()
    inputs = (*(d.input("units.npy") for d in units), *known[0], *known[1])
    done = run(
        [
            Task("equal-units", "yanmo.curate.spans:equal_units", inputs,
                 {"range": number, "ranges": ranges, **options.threshold(kind)})
            for number in range(ranges)
        ]
    )  # fmt: skip
    return [[d.input(f"found-{i:05d}.parquet") for d in done] for i in range(len(kept))]


def _repeats(
    run: Run, parts: list[tuple[Input, Input, Input]], sizes: list[int], options: SpanOptions
) -> list[list[Input]]:
    """Repeated stretches, of shards or of pairs of half shards: for each part its files."""
    groups = shards(sizes, options.shard_bytes)
    if len(groups) > 1 and options.across_shards:
        halves = shards(sizes, options.shard_bytes // 2)
        groups = [[*a, *b] for n, a in enumerate(halves) for b in halves[n + 1 :]] or halves
    tasks = []
    for group in groups:
        chosen = [parts[number] for number in group]
        inputs = tuple(file for files in zip(*chosen, strict=True) for file in files)
        parameters = {"min_bytes": options.substring_bytes}
        tasks.append(Task("repeats", "yanmo.curate.substrings:repeats_shard", inputs, parameters))
    found: list[list[Input]] = [[] for _ in parts]
    for group, done in zip(groups, run(tasks), strict=True):
        for place, number in enumerate(group):
            found[number].append(done.input(f"found-{place:05d}.parquet"))
    return found


def shards(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Numbers of parts in runs of at most ``limit`` bytes (at least one part each)."""
    runs: list[list[int]] = []
    held = 0
    for number, size in enumerate(sizes):
        if not runs or held + size > limit:
            runs.append([])
            held = 0
        runs[-1].append(number)
        held += size
    return runs
