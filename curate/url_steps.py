"""The address filter as steps of a run, before the pages are extracted.

    lists ─ url-lists ───────────────┐
    files ─ addresses (one a task) ──┴─ urls ─ ingest (with the pages to leave out, if there are)

A changed list judges addresses again, and extracts again only what holds a page whose verdict
changed. The price is that files are read twice, the first time for their addresses alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from yanmo.tasks import Done, Identities, Task

from .blocked_pages import VERDICTS_FILE
from .run_recipe import CurateRecipe
from .url_filter import ADDRESSES_FILE, INDEX_FILES
from .url_lists import find_lists
from .url_options import UrlOptions

Run = Callable[[Sequence[Task]], list[Done]]


@dataclass
class UrlFilter:
    """The address lists of a run; ``lists`` is None where no page is looked at.

    Attributes:
        lists: the task that read the lists.
        files: ``{"list", "file", "sha256"}`` of each file; several may have one name.
        judged: one task for each that reads pages, once they are done.
    """

    lists: Done | None = None
    files: Sequence[dict[str, str]] = ()
    judged: Sequence[Done] = ()

    def apply(self, tasks: Sequence[Task], settings: CurateRecipe, run: Run) -> list[Task]:
        """Give the tasks that read pages those that they shall leave out."""
        if self.lists is None:
            return list(tasks)
        listed = run([_addresses_task(task) for task in tasks])
        index = tuple(self.lists.input(name) for name in INDEX_FILES)
        parameters = {"max_soft_words": settings.urls.max_soft_words,
                      "below": settings.urls.below, "limit": settings.limit}  # fmt: skip
        self.judged = run(
            [
                Task("urls", "yanmo.curate.url_filter:judge_addresses",
                     (done.input(ADDRESSES_FILE), *index), parameters)
                for done in listed
            ]
        )  # fmt: skip
        return [_with_verdicts(task, done) for task, done in zip(tasks, self.judged, strict=True)]

    def account(self) -> dict[str, Any]:
        """What the manifest says of them."""
        if self.lists is None:
            return {}
        totals = {name: sum(done.result[name] for done in self.judged)
                  for name in ("pages", "without_url", "allowed")}  # fmt: skip
        dropped: dict[str, dict[str, int]] = {}
        for done in self.judged:
            for rule, counts in done.result["dropped"].items():
                into = dropped.setdefault(rule, {})
                for name, pages in counts.items():
                    into[name] = into.get(name, 0) + pages
        return {
            "urls": {**totals, "dropped": dropped, "files": list(self.files), **self.lists.result}
        }

    def notes(self) -> list[str]:
        """For the summary: what the lists could not see or use."""
        if self.lists is None:
            return []
        told = self.account()["urls"]
        notes = []
        if told["without_url"]:
            notes.append(f"{told['without_url']} of {told['pages']} pages have no address and "
                         "passed [urls].")  # fmt: skip
        for name, counts in self.lists.result["lists"].items():
            if counts["unusable"]:
                some = ", ".join(map(repr, counts["such_as"][:2]))
                notes.append(f"{counts['unusable']} lines of the list {name} are no entries, such "
                             f"as {some}.")  # fmt: skip
        return notes


def _addresses_task(task: Task) -> Task:
    kept = ("files", "remote", "read", "stretch")
    parameters = {name: task.parameters[name] for name in kept if name in task.parameters}
    return Task("addresses", "yanmo.curate.url_filter:list_addresses", task.inputs, parameters)


def _with_verdicts(task: Task, judged: Done) -> Task:
    """The task itself where nothing is left out: its result is that of a run without lists."""
    if not judged.result["dropped"]:
        return task
    return replace(task, inputs=(*task.inputs, judged.input(VERDICTS_FILE)),
                   parameters={**task.parameters, "urls": True})  # fmt: skip


def read_url_lists(settings: CurateRecipe, identities: Identities, run: Run) -> UrlFilter:
    """Read the lists; before anything else, so that a wrong file is known at once.

    Raises:
        DataError: a list is not there or cannot be used.
        UsageError: no list has a category that is asked for.
    """
    options: UrlOptions = settings.urls
    if not options.is_on:
        return UrlFilter()
    files = find_lists(options)
    inputs = tuple(identities.identify(file.path for file in files))
    parameters = {"files": [[file.kind, file.name, file.path.name] for file in files],
                  "categories": list(options.categories)}  # fmt: skip
    done = run([Task("url-lists", "yanmo.curate.url_lists:compile_lists", inputs, parameters)])[0]
    identities.save()
    read = [{"list": file.name, "file": file.path.name, "sha256": item.identity}
            for file, item in zip(files, inputs, strict=True)]  # fmt: skip
    return UrlFilter(done, read)
