"""Signals that a recipe adds: a quality model, perplexity, listed words, a user's own columns.

    measured ─┬──────────────────────────────────────────┬─ join ─ signals with more columns
    cleaned ──┴─ quality, perplexity (samples), words ───┘
    tables ───── sort ───────────────────────────────────┘

What is measured stays as it is; rules, ``highest:<field>`` and reports read the joined table.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from yanmo.errors import DataError, ModelMissing, RecipeError
from yanmo.recipe import did_you_mean
from yanmo.tasks import Done, Identities, Input, Task

from .extra_rules import category_rule
from .perplexity import PERPLEXITY_SIGNALS, require_kenlm
from .quality import SCORES_FILE, model_files
from .word_counts import COUNTS_FILE, WORD_SIGNALS, is_word_signal

if TYPE_CHECKING:
    from .run_progress import Progress
    from .run_recipe import CurateRecipe
    from .word_steps import ListedWords

QUALITY_SIGNALS: Final = ("quality", "quality_percentile")
_MODULE: Final = "yanmo.curate"


def added(settings: "CurateRecipe") -> list[str]:
    """Names of the signals that a recipe adds; categories of listed words stand in the lists."""
    names = list(QUALITY_SIGNALS) if settings.quality.model else []
    names += list(PERPLEXITY_SIGNALS) if settings.perplexity else []
    names += list(WORD_SIGNALS) if settings.words.is_on else []
    names += [category_rule(name)[1] for name in settings.rules.words if settings.words.is_on]
    return names + [column for table in settings.signals for column in table.columns]


def check_added(settings: "CurateRecipe") -> None:
    """See that names are new, and that every rule on an added signal has its column.

    Raises:
        RecipeError: they are not, or it has not.
    """
    own = {signal.name for signal in settings.active_measure().signals()} | {"lang_score"}
    names = added(settings)
    for name in names:
        if name in own | {"id", "lang", "script"} or names.count(name) > 1:
            raise RecipeError("a column of [[signals]] has the name of another signal",
                              value=name, fix="Rename it in the table.")  # fmt: skip
    languages = [table.language for table in settings.perplexity]
    if len(set(languages)) < len(languages):
        raise RecipeError("two [[perplexity]] tables are for one language", value=languages)
    if not settings.decide:
        return
    for rule in settings.rules.extra:
        if settings.words.is_on and is_word_signal(rule.column):
            continue
        if rule.column not in own | set(names):
            raise RecipeError(
                "'rules.extra' asks for a signal that is not measured",
                value=rule.column,
                fix=did_you_mean(rule.column, own | set(names)),
            )
    _check_thresholds(settings, own | set(names))


def check_models(settings: "CurateRecipe") -> None:
    """See that every model and table of added signals can be used, before an hour has gone by.

    Raises:
        MissingDependency: kenlm is asked for and not installed, or a model is not there.
        DataError: a table is not there.
    """
    if settings.quality.model:
        model_files(settings.quality.model)
    for table in settings.perplexity:
        require_kenlm()
        if not Path(table.model).expanduser().is_file():
            raise ModelMissing("no KenLM model here", where=table.model,
                               fix="Correct 'model' of [[perplexity]].")  # fmt: skip
    for signals in settings.signals:
        if signals.path is not None and not Path(signals.path).expanduser().is_file():
            raise DataError("no table of signals here", where=signals.path,
                            fix="Correct 'path' of [[signals]].")  # fmt: skip


def _check_thresholds(settings: "CurateRecipe", known: set[str]) -> None:
    from .decide import rules_in_force

    fixes = {"quality": "Set quality.model.", "perplexity": "Add a [[perplexity]] table.",
             "listed": "Set words.lists."}  # fmt: skip
    for rule in rules_in_force(settings.rules):
        kind = rule.signal.removeprefix("n_").partition("_")[0]
        if kind == "listed" and settings.words.is_on:
            continue  # its category is looked for once the lists are read
        if kind in fixes and rule.signal not in known:
            raise RecipeError(f"the rule {rule.name} asks for a signal that is not measured",
                              value=rule.signal, fix=fixes[kind])  # fmt: skip


def add_signals(
    progress: "Progress",
    cleaned: Sequence[Done],
    measured: Sequence[Done],
    settings: "CurateRecipe",
    identities: Identities,
    words: "ListedWords",
) -> list[Done]:
    """Measure what the recipe adds, and join it; ``measured`` itself where it adds nothing."""
    if not added(settings) or not cleaned:
        return list(measured)
    documents = [c.input("documents.parquet") for c in cleaned]
    scored: list[list[Done]] = []
    models: dict[str, str] = {}
    if settings.quality.model:
        files = identities.identify(model_files(settings.quality.model))
        scored.append(_model_step(progress, "quality", f"{_MODULE}.quality:score_part",
                                  documents, files))  # fmt: skip
        models |= {f"quality/{f.path.name}": f.identity for f in files}
    if settings.perplexity:
        from .perplexity import steps

        files = identities.identify(Path(t.model).expanduser() for t in settings.perplexity)
        parameters = steps(settings.perplexity, [f.path.name for f in files])
        scored.append(_model_step(progress, "perplexity",
                                  f"{_MODULE}.perplexity:perplexity_part", documents, files,
                                  parameters))  # fmt: skip
        models |= {f"perplexity/{f.path.name}": f.identity for f in files}
    if words.counted:
        scored.append(list(words.counted))
    tables = _sorted_tables(progress, settings, identities)
    identities.save()
    parameters = {
        "columns": [SCORES_FILE] * bool(settings.quality.model)
        + ["perplexity.parquet"] * bool(settings.perplexity)
        + [COUNTS_FILE] * bool(words.counted),
        "tables": [[list(t.columns), t.key, t.path is not None] for t in settings.signals],
        "models": models,
    }
    return progress.run(
        [
            Task("signals", f"{_MODULE}.join_signals:join_part",
                 (d, m.input("signals.parquet"), *_files(scored, i, parameters["columns"]),
                  *tables), parameters)
            for i, (d, m) in enumerate(zip(documents, measured, strict=True))
        ]
    )  # fmt: skip


def _files(scored: list[list[Done]], part: int, names: list[str]) -> list[Input]:
    return [step[part].input(name) for step, name in zip(scored, names, strict=True)]


def _model_step(
    progress: "Progress",
    step: str,
    function: str,
    documents: Sequence[Input],
    models: Sequence[Input],
    parameters: dict[str, Any] | None = None,
) -> list[Done]:
    return progress.run([Task(step, function, (d, *models), parameters or {}) for d in documents])


def _sorted_tables(
    progress: "Progress", settings: "CurateRecipe", identities: Identities
) -> list[Input]:
    asked = [table for table in settings.signals if table.path is not None]
    files = identities.identify(Path(str(table.path)).expanduser() for table in asked)
    done = progress.run(
        [
            Task("table", f"{_MODULE}.user_signals:sort_table", (file,),
                 {"columns": list(table.columns), "key_column": table.column_of_key,
                  "name": file.path.name})
            for table, file in zip(asked, files, strict=True)
        ]
    )  # fmt: skip
    return [d.input(name) for d in done for name in ("keys.npy", "values.npy")]


def account(measured: Sequence[Done]) -> dict[str, Any]:
    """What the manifest says of added signals: documents without a value, and the models."""
    joined = [done.result for done in measured if done.task.step == "signals"]
    if not joined:
        return {}
    names = list(joined[0]["missing"])
    missing = {name: sum(result["missing"][name] for result in joined) for name in names}
    return {"added_signals": {"missing": missing, "models": joined[0]["models"]}}
