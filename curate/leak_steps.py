"""Decontamination as steps of a run: which of its tasks follows which.

questions ─ exam-index ─┐
kept parts ─────────────┴─ leak-find ─ leak-judge ─ decontaminate (parts that hold any)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from yanmo import recipe
from yanmo.tasks import Done, Identities, Task

from .exam_items import exam_files
from .run_recipe import CurateRecipe
from .runfolder import Part, numbered

Run = Callable[[Sequence[Task]], list[Done]]


@dataclass(frozen=True)
class Cleared:
    """What decontamination leaves.

    Attributes:
        texts: the parts that go on, each with ``kept.parquet``.
        changed: those of them that were made here.
        report: the verdicts; None where nothing was looked for.
    """

    texts: Sequence[Done]
    changed: Sequence[Done] = ()
    report: Done | None = None

    def dropping(self) -> list[Done]:
        """Parts from which documents were dropped here."""
        return [done for done in self.changed if done.result["dropped"]]

    def notes(self) -> list[str]:
        """What was found, for the summary."""
        if self.report is None:
            return []
        from .leak_verdicts import said

        return [said(self.report.result)]

    def leaks(self) -> list[Part]:
        """The files of the folder ``leaks``."""
        if self.report is None:
            return []
        parts = numbered([self.report], "documents.parquet", ".parquet")
        return parts + [Part(self.report, name, name) for name in ("leaks.json", "leaks.jsonl")]


def index_questions(settings: CurateRecipe, identities: Identities, run: Run) -> Done | None:
    """Read the questions; before anything else, so that a wrong file is known at once.

    Raises:
        UsageError, DataError: there are none, or they cannot be read.
    """
    options = settings.decontaminate
    if not options.is_on:
        return None
    against, paths = [], []
    for spec in options.against:
        files = exam_files(spec)
        root = Path(spec.path).expanduser()
        names = [f.relative_to(root).as_posix() if root.is_dir() else f.name for f in files]
        # Where the files lie is no part of what they are; the name of the exam may be.
        table = recipe.to_table(replace(spec, exam=spec.name, path=""))
        against.append({"spec": table, "files": names})
        paths += files
    parameters = {"against": against, "chinese_tokens": options.chinese_tokens,
                  "english_tokens": options.english_tokens,
                  "max_questions": options.max_questions}  # fmt: skip
    inputs = tuple(identities.identify(paths))
    function = "yanmo.curate.leak_index:index_exams"
    return run([Task("exam-index", function, inputs, parameters)])[0]


def decontaminate(
    run: Run, final: Sequence[Done], index: Done | None, settings: CurateRecipe
) -> Cleared:
    """Look for the questions in all kept texts, and act."""
    if index is None:
        return Cleared(final)
    options = settings.decontaminate
    module = "yanmo.curate.decontaminate"
    looked = {"min_share": options.min_share, "context_tokens": options.context_tokens}
    table = index.input("index.npz")
    found = run([
        Task("leak-find", f"{module}:find_part", (d.input("kept.parquet"), table), looked)
        for d in final
    ])  # fmt: skip
    inputs = (index.input("items.parquet"), *(d.input("places.parquet") for d in found),
              *(d.input("counts.npy") for d in found))  # fmt: skip
    written = {k: v for k, v in recipe.to_table(options).items() if k != "against"}
    parameters = {"parts": len(found), "max_documents": options.max_documents,
                  "min_share": options.min_share, "act_on": options.act_on,
                  "settings": written}  # fmt: skip
    report = run([Task("leak-judge", "yanmo.curate.leak_verdicts:judge", inputs, parameters)])[0]
    if not options.edits:
        return Cleared(final, (), report)
    act = {"action": options.action, "min_chars": options.min_chars,
           "min_share": options.min_share,
           "keep_dropped": settings.output.keep_dropped,
           "sample_fraction": settings.output.sample_fraction}  # fmt: skip
    hit = [number for number, rows in enumerate(report.result["cuts"]) if rows]
    changed = run([
        Task("decontaminate", f"{module}:clear_part",
             (final[n].input("kept.parquet"), report.input(f"cuts-{n:05d}.parquet")), act)
        for n in hit
    ])  # fmt: skip
    made = dict(zip(hit, changed, strict=True))
    return Cleared([made.get(n, done) for n, done in enumerate(final)], changed, report)
