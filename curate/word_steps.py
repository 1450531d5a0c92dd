"""Listed words as steps of a run: lists ─ word-lists ─┬─ words ─ (joined to the signals)
documents ─┘
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from yanmo.errors import RecipeError
from yanmo.recipe import did_you_mean
from yanmo.tasks import Done, Identities, Task

from .run_recipe import CurateRecipe
from .runfolder import Part, numbered
from .word_counts import PLACES_FILE, is_word_signal, signals_of
from .word_lists import WORDS_FILE, list_files

Run = Callable[[Sequence[Task]], list[Done]]


@dataclass
class ListedWords:
    """The words of a run; ``lists`` is None where none are counted.

    Attributes:
        lists: the task that read the lists.
        files: ``{"file", "sha256"}`` of each list; several may have one name.
        counted: one task a part, once they are done.
    """

    lists: Done | None = None
    files: Sequence[dict[str, str]] = ()
    counted: Sequence[Done] = ()

    def count(self, run: Run, cleaned: Sequence[Done], settings: CurateRecipe) -> None:
        """Count them in all parts."""
        if self.lists is None:
            return
        options = settings.words
        parameters = {"boundaries": options.boundaries, "fold_case": options.fold_case,
                      "fold_variants": options.fold_variants,
                      "max_places": options.max_places}  # fmt: skip
        compiled = self.lists.input(WORDS_FILE)
        self.counted = run(
            [
                Task("words", "yanmo.curate.word_counts:count_part",
                     (c.input("documents.parquet"), compiled), parameters)
                for c in cleaned
            ]
        )  # fmt: skip

    def parts(self) -> list[Part]:
        """The files of the folder ``words``."""
        return numbered(self.counted, PLACES_FILE, ".parquet")

    def account(self) -> dict[str, Any]:
        """What the manifest says of them."""
        if self.lists is None:
            return {}
        totals = {name: sum(done.result[name] for done in self.counted)
                  for name in ("with_words", "matches", "places")}  # fmt: skip
        return {"words": {**self.lists.result, **totals, "lists": list(self.files)}}

    def notes(self) -> list[str]:
        """For the summary: words that can never be found."""
        never = self.lists.result["never"] if self.lists else []
        some = ", ".join(never[:5]) + ("…" if len(never) > 5 else "")
        return [f"Listed words that are allowed too, and so never count: {some}."] if never else []


def read_word_lists(settings: CurateRecipe, identities: Identities, run: Run) -> ListedWords:
    """Read the lists; before anything else, so that a wrong file is known at once.

    Raises:
        DataError: a list is not there or cannot be used.
        RecipeError: a rule asks for a category that no list has.
    """
    options = settings.words
    if not options.is_on:
        return ListedWords()
    lists = list_files(options.lists, where="words.lists")
    allow = list_files(options.allow, where="words.allow")
    inputs = tuple(identities.identify([*lists, *allow]))
    parameters = {"names": [path.name for path in lists], "allow": [path.name for path in allow],
                  "fold_case": options.fold_case,
                  "fold_variants": options.fold_variants}  # fmt: skip
    done = run([Task("word-lists", "yanmo.curate.word_lists:compile_lists", inputs, parameters)])[0]
    identities.save()
    _check_categories(settings, done.result["categories"])
    return ListedWords(done, [{"file": i.path.name, "sha256": i.identity} for i in inputs])


def _check_categories(settings: CurateRecipe, categories: list[str]) -> None:
    if not settings.decide:
        return
    for name in settings.rules.words:
        if name not in categories:
            raise RecipeError("'rules.words' names a category that no list has", value=name,
                              fix=did_you_mean(name, categories))  # fmt: skip
    known = signals_of(categories)
    for rule in settings.rules.extra:
        if is_word_signal(rule.column) and rule.column not in known:
            raise RecipeError("'rules.extra' asks for a category that no list has",
                              value=rule.column, fix=did_you_mean(rule.column, known))  # fmt: skip
