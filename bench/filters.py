"""Rules: Gopher quality and repetition, C4 and FineWeb together, on one core: yanmo, datatrove.

Ours measures all its signals of every document and decides from them, on Arrow columns; datatrove
stops at the first rule that drops a document (``chain``), which is its fastest way. How well
verdicts agree is another bench (``verdicts``).
"""

import statistics
import tempfile
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from . import texts
from .rounds import Claim, Options, Peer, Result, alternate, available, spread, timed

MEGABYTES: Final = 2.5
ROUNDS: Final = 3
OURS: Final = "yanmo, measure and decide"
SAME: Final = "yanmo, published recipe"
RECIPES: Final = {"en": "fineweb-en", "zh": "fineweb2-zh"}
"""Whose verdicts are datatrove's own (all of 2 000 English documents; docs/recipes.md)."""
CHAIN: Final = "datatrove, until the first drop"
EACH: Final = "datatrove, every filter"


def run(options: Options) -> Result:
    """Measure both sides on Chinese and on English."""
    result = Result(
        "Rules: Gopher quality and repetition, C4, FineWeb; one core",
        ["text", "side", "MB/s", "spread %", "yanmo is × as fast", "kept %"],
    )
    result.notes += [
        "MB/s: median over rounds of UTF-8 bytes of text by processor seconds; A B A B …; one "
        "warm-up outside; objects and columns are made before.",
        "Ours computes every signal of the signal table; these four rule sets need a part of them.",
        f"'{SAME}' (fineweb-en, fineweb2-zh) adds what datatrove's filters measure in their own "
        "way, token by token as spaCy cuts, and gives datatrove's verdicts (docs/recipes.md).",
    ]
    for language in options.languages:
        _language(language, options, result)
    return result


def _language(language: str, options: Options, result: Result) -> None:
    workload = texts.load(language, megabytes=options.megabytes or MEGABYTES)
    sides, kept = ours(workload.texts, language)
    with ExitStack() as stack:
        if available("datatrove", result):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            path = texts.write_jsonl(workload.texts, folder, files=1)[0]
            peer = stack.enter_context(Peer("datatrove", "datatrove_filters"))
            peer.ask("load", path=str(path), language=language)
            sides[CHAIN] = lambda: _theirs(peer, CHAIN, kept)
            sides[EACH] = lambda: _theirs(peer, EACH, kept)
        took = alternate(sides, rounds=options.rounds or ROUNDS)
    _report(workload, took, kept, result)


def _theirs(peer: Peer, name: str, kept: dict[str, int]) -> float:
    answer = peer.ask("run", chain=name == CHAIN)
    kept[name] = answer["kept"]
    return float(answer["seconds"])


def ours(
    documents: list[str], language: str
) -> tuple[dict[str, Callable[[], float]], dict[str, int]]:
    """Our side whole, and its two halves; how many documents it keeps."""
    import pyarrow as pa

    from yanmo.curate.decide import decide
    from yanmo.curate.init_recipe import published
    from yanmo.curate.measure import measure
    from yanmo.curate.run_recipe import CurateRecipe
    from yanmo.curate.thresholds import Rules
    from yanmo.recipe import from_table

    column, rules = pa.array(documents), Rules()
    labels = _labels(language, len(documents))
    measured = measure(column)

    def judge(signals: dict[str, Any]) -> Any:
        table = {**labels, **{name: pa.array(values) for name, values in signals.items()}}
        return decide(pa.table(table), rules)

    recipe = from_table(
        CurateRecipe, tomllib.loads(published(RECIPES[language])), where=RECIPES[language]
    )

    def judge_published() -> Any:
        signals = measure(column, recipe.active_measure())
        table = {**labels, **{name: pa.array(values) for name, values in signals.items()}}
        return decide(pa.table(table), recipe.active_rules())

    kept = {
        OURS: sum(judge(measured)["kept"].to_pylist()),
        SAME: sum(judge_published()["kept"].to_pylist()),
    }
    sides = {
        OURS: timed(lambda: judge(measure(column))),
        SAME: timed(judge_published),
        "yanmo, measure": timed(lambda: measure(column)),
        "yanmo, decide": timed(lambda: judge(measured)),
    }
    return sides, kept


def _labels(language: str, count: int) -> dict[str, Any]:
    """The columns beside the signals that decisions read."""
    import pyarrow as pa

    script = "Hans" if language == "zh" else "Latn"
    return {
        "id": pa.array([str(i) for i in range(count)]),
        "lang": pa.array([language] * count),
        "lang_score": pa.array([1.0] * count),
        "script": pa.array([script] * count),
    }


def _report(
    workload: texts.Workload, took: dict[str, list[float]], kept: dict[str, int], result: Result
) -> None:
    language, megabytes, count = workload.language, workload.megabytes, len(workload.texts)
    median = {name: statistics.median(values) for name, values in took.items()}
    for name, values in took.items():
        ratio = median[name] / median[OURS] if name.startswith("datatrove") else None
        share = 100 * kept[name] / count if name in kept else None
        rate = megabytes / median[name]
        result.rows.append([language, name, rate, spread(values), ratio, share])
    if CHAIN in median:
        text = f"{language}: rules, times datatrove"
        result.claims.append(Claim(text, median[CHAIN] / median[OURS], 50))
        text = f"{language}: rules with datatrove's own verdicts, times datatrove"
        result.claims.append(Claim(text, median[CHAIN] / median[SAME], 50))
    rate = megabytes / median["yanmo, measure"]
    result.claims.append(Claim(f"{language}: measuring, MB/s a core", rate, 20))
    result.data[language] = {"megabytes": megabytes, "documents": count, "seconds": took,
                             "kept": kept}  # fmt: skip
    result.notes.append(f"{language}: {count} documents, {megabytes:.1f} MB, {workload.source}; "
                        f"{len(took[OURS])} rounds.")  # fmt: skip
