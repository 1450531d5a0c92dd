"""The tasks around an index of earlier runs: look documents up before they are compared, add them.

    verdicts ─ against the index, by text ─ exact ─ signatures ─ against the index, alike ─ near ─ …

A document that the index holds is dropped before the documents of this run are compared with each
other. The index is looked up part by part and segment by segment, so a new segment or a new part
costs its own look-ups only.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from yanmo.tasks import Done, Input, Task

from .duplicate_index import Segment, add_segment, before, read_index
from .run_recipe import CurateRecipe

Run = Callable[[Sequence[Task]], list[Done]]
_MODULE: Final = "yanmo.curate.index_lookup"


class EarlierRuns:
    """The documents of earlier runs, as far as the recipe names an index of them.

    Args:
        run: runs tasks.
        settings: the recipe.
        out: the run folder.

    Attributes:
        signatures: the tasks that made the signatures of this run; none without near duplicates.

    Raises:
        UsageError: there is no index where the recipe says, or it was made with other settings.
    """

    def __init__(self, run: Run, settings: CurateRecipe, out: Path) -> None:
        self._run, self._settings, self._out = run, settings, out
        self._found: list[list[Input]] = []
        self.segments: list[Segment] = []
        self.signatures: Sequence[Done] = ()
        if settings.duplicates.index is not None:
            index = Path(settings.duplicates.index)
            self.segments = before(read_index(index, settings), out)

    def exact(self, measured: Sequence[Done], alive: list[Input]) -> list[Input]:
        """Who takes part after documents with the text of an earlier one are gone."""
        for segment in self.segments if self._settings.duplicates.exact else ():
            files = [segment.input(name) for name in ("ids.parquet", "hashes.npy",
                                                      "hash-rows.npy")]  # fmt: skip
            parts = [(m.input("signals.parquet"), a, *files)
                     for m, a in zip(measured, alive, strict=True)]  # fmt: skip
            alive = self._look_up("against-exact", parts, {"run": segment.run})
        return alive

    def near(self, signatures: Sequence[Done], alive: Sequence[Input]) -> Sequence[Input]:
        """Who takes part after documents that resemble an earlier one are gone."""
        self.signatures = signatures
        known = {**self._sketch(), "min_jaccard": self._settings.duplicates.min_jaccard}
        for segment in self.segments:
            names = ("ids.parquet", "sketches.bin", "bounds.npy", *self._bands("band"),
                     *self._bands("band-rows"))  # fmt: skip
            files = [segment.input(name) for name in names]
            parts = [(s.input("signatures.parquet"), a, *files)
                     for s, a in zip(signatures, alive, strict=True)]  # fmt: skip
            alive = self._look_up("against-near", parts, {**known, "run": segment.run})
        return alive

    def matches(self) -> list[Done]:
        """For each part its documents that earlier runs hold (``index.parquet``)."""
        if not self._found:
            return []
        parts = zip(*self._found, strict=True)
        return self._run([Task("matches", f"{_MODULE}:combine_matches", files) for files in parts])

    def save(self, index: Path, measured: Sequence[Done], kept: Sequence[Input]) -> Segment:
        """Add the kept documents of this run to an index.

        Args:
            index: its folder, made if there is none.
            measured: the task `measure` of each part.
            kept: the documents of each part that the run keeps.

        Raises:
            UsageError: the index was made with other settings.
        """
        options = self._settings.duplicates
        wants = {"exact": options.exact, "near": options.near and bool(self.signatures)}
        signatures = self.signatures if wants["near"] else measured
        parameters = {**wants, **(self._sketch() if wants["near"] else {})}
        tasks = []
        for documents, m, s in zip(kept, measured, signatures, strict=True):
            inputs = [documents]
            inputs += [m.input("signals.parquet")] if wants["exact"] else []
            inputs += [s.input("signatures.parquet")] if wants["near"] else []
            tasks.append(Task("index-part", f"{_MODULE}:segment_part", tuple(inputs), parameters))
        done = self._run(tasks)
        names = ["ids.parquet"]
        names += ["hashes.npy"] if wants["exact"] else []
        names += ["bands.npy", "sketches.bin", "bounds.npy"] if wants["near"] else []
        files = tuple(d.input(name) for name in names for d in done)
        joined = {**wants, "bands": options.bands, "parts": len(done)}
        task = Task("index-segment", f"{_MODULE}:join_segment", files, joined)
        return add_segment(index, self._run([task])[0], self._out, self._settings)

    def _look_up(
        self, step: str, parts: Sequence[tuple[Input, ...]], parameters: dict[str, Any]
    ) -> list[Input]:
        function = f"{_MODULE}:{step.replace('-', '_')}"
        done = self._run([Task(step, function, inputs, parameters) for inputs in parts])
        self._found.append([d.input("matched.parquet") for d in done])
        return [d.input("alive.npy") for d in done]

    def _sketch(self) -> dict[str, Any]:
        options = self._settings.duplicates
        return {**options.sketch(), "bands": options.bands}

    def _bands(self, stem: str) -> list[str]:
        return [f"{stem}-{band:02d}.npy" for band in range(self._settings.duplicates.bands)]


def check_index(index: Path, settings: CurateRecipe) -> None:
    """Refuse an index that this run could not be added to, before the run begins.

    Raises:
        UsageError: it was made with other settings, or nothing would be in it.
    """
    from yanmo.errors import UsageError

    from .duplicate_index import NAME

    if not (settings.duplicates.exact or settings.duplicates.near):
        raise UsageError("an index holds what exact and near duplicates look at; both are off",
                         where=index, fix="Turn one on: --set duplicates.exact=true.")  # fmt: skip
    if (index / NAME).is_file():
        read_index(index, settings)
