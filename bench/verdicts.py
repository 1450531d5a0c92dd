"""``python -m bench.verdicts``: our verdicts beside datatrove's, filter by filter, on real text.

Both sides judge the very same texts. Every document on which they differ is put into a class by the
numbers behind the deciding rule; a difference that no class covers ends the program with status 1.
Real data lies in ``$YANMO_REALDATA``.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from bench.environments import ask
from bench.verdict_texts import PER_SOURCE, chinese, english, other_chinese

_REPETITION: Final = {
    "dup_para_frac": ("max_gopher_duplicate_paragraph_fraction", "paragraphs"),
    "dup_para_char_frac": ("max_gopher_duplicate_paragraph_char_fraction", "paragraph_chars"),
    "dup_line_frac": ("max_gopher_duplicate_line_fraction", "lines"),
    "dup_line_char_frac": ("max_gopher_duplicate_line_char_fraction", "line_chars"),
    **{f"top_{n}_gram": (f"max_gopher_top_{n}_gram_char_fraction", f"top_{n}") for n in (2, 3, 4)},
    **{
        f"duplicated_{n}_n_grams": (
            f"max_gopher_duplicate_{n}_gram_char_fraction",
            f"duplicate_{n}",
        )
        for n in range(5, 11)
    },
}
_QUALITY: Final = {
    "gopher_short_doc": ("min_gopher_words", "words"),
    "gopher_long_doc": ("max_gopher_words", "words"),
    "gopher_below_avg_threshold": ("min_gopher_mean_word_chars", "mean_word"),
    "gopher_above_avg_threshold": ("max_gopher_mean_word_chars", "mean_word"),
    "gopher_too_many_hashes": ("max_gopher_hashes_per_word", "hashes"),
    "gopher_too_many_ellipsis": ("max_gopher_ellipses_per_word", "ellipses"),
    "gopher_too_many_bullets": ("max_gopher_bullet_line_fraction", "bullets"),
    "gopher_too_many_end_ellipsis": ("max_gopher_ellipsis_line_fraction", "ellipsis_lines"),
    "gopher_below_alpha_threshold": ("min_gopher_alphabetic_word_fraction", "alphabetic"),
    "gopher_enough_stop_words": ("min_gopher_stop_words", "stop_words"),
}
_FINEWEB: Final = {
    "empty": ("min_lines", "text_lines"),
    "line_punct_ratio": ("min_fineweb_terminal_punctuation_line_fraction", "terminal"),
    "short_line_ratio": ("max_short_line_fraction", "short"),
    "char_dup_ratio": ("max_duplicate_line_char_fraction", "line_char_dup"),
    "list_ratio": ("max_fineweb_newlines_per_word", "newlines"),
}
_C4_ANY: Final = {
    "lorem_ipsum": ("max_c4_any_lorem_ipsum_lines", None),
    "curly_bracket": ("max_c4_any_curly_bracket_lines", None),
    "too_few_sentences": ("min_c4_any_sentences", "c4_sentences"),
}
_FINEWEB2: Final = {
    reason: (rule.replace("_gopher_", "_fineweb2_") if "gram" in rule else rule, value)
    for reason, (rule, value) in _REPETITION.items()
}
_FINEWEB2_FINEWEB: Final = {
    **_FINEWEB,
    "list_ratio": ("max_fineweb2_newlines_per_word", "newlines"),
}
_FINEWEB2_QUALITY: Final = {
    reason: (
        "min_stop_words_zh"
        if value == "stop_words"
        else rule
        if "line" in rule
        else rule.replace("_gopher_", "_fineweb2_"),
        value,
    )
    for reason, (rule, value) in _QUALITY.items()
}

Pairs = Mapping[str, tuple[str | None, str | None]]
"""datatrove's reason to our rule and the name of its value in the peer's answer."""


@dataclass(frozen=True)
class Comparison:
    """One filter of the peer and what stands for it here."""

    peer: str
    recipe: str
    pairs: Pairs
    only: frozenset[str] | None = None
    """Rules of the recipe that belong to this filter; ``None`` is all."""


def _rules_of(*pairs: Pairs) -> frozenset[str]:
    return frozenset(rule for group in pairs for rule, _ in group.values() if rule)


ENGLISH: Final = (
    Comparison("gopher-quality", "gopher-quality", _QUALITY),
    Comparison("gopher-repetition", "gopher-repetition", _REPETITION),
    Comparison(
        "c4",
        "c4",
        {k: (rule and rule.replace("_any", ""), value) for k, (rule, value) in _C4_ANY.items()},
    ),
    Comparison("c4-any-line-end", "fineweb-en", _C4_ANY, _rules_of(_C4_ANY)),
    Comparison("fineweb", "fineweb", _FINEWEB),
    Comparison(
        "fineweb-en",
        "fineweb-en",
        {
            **_REPETITION,
            **_QUALITY,
            **_C4_ANY,
            "line_punct_ratio": ("min_c4_any_terminal_punctuation_line_fraction", "terminal"),
            "short_line_ratio": ("max_c4_any_short_line_fraction", "short"),
            "char_dup_ratio": ("max_c4_any_duplicate_line_char_fraction", "line_char_dup"),
            "list_ratio": ("max_c4_any_newlines_per_word", "newlines"),
        },
    ),
)
CHINESE: Final = (
    Comparison("fineweb2-zh-repetition", "fineweb2-zh", _FINEWEB2, _rules_of(_FINEWEB2)),
    Comparison(
        "fineweb2-zh-fineweb", "fineweb2-zh", _FINEWEB2_FINEWEB, _rules_of(_FINEWEB2_FINEWEB)
    ),
    Comparison(
        "fineweb2-zh-quality", "fineweb2-zh", _FINEWEB2_QUALITY, _rules_of(_FINEWEB2_QUALITY)
    ),
    Comparison("fineweb2-zh", "fineweb2-zh", _FINEWEB2 | _FINEWEB2_FINEWEB | _FINEWEB2_QUALITY),
)


LANGUAGES: Final = {
    "en": (english, ENGLISH, 1),
    "zh": (chinese, CHINESE, 4),
    "zh-other": (other_chinese, CHINESE, 8),
}
"""Texts, filters, and the part of ``--documents`` that is taken of each source."""


def our_verdicts(texts: Sequence[str], comparison: Comparison) -> list[dict[str, Any]]:
    """Verdicts of the recipe, without its language; the signals are added to each row."""
    import tomllib
    from dataclasses import fields, replace

    from yanmo.curate.decide import decide
    from yanmo.curate.init_recipe import published
    from yanmo.curate.measure import measure
    from yanmo.curate.run_recipe import CurateRecipe
    from yanmo.recipe import from_table

    recipe = from_table(CurateRecipe, tomllib.loads(published(comparison.recipe)), where="recipe")
    table, only = recipe.rules.published, comparison.only
    off = {f.name: None for f in fields(table) if only is not None and f.name not in only}
    rules = replace(
        recipe.rules, languages=None, published=replace(table, **{**off, "min_lang_score": None})
    )
    n = len(texts)
    columns = measure(pa.array(texts, pa.large_string()), recipe.active_measure())
    signals = pa.table(
        {
            "id": [str(i) for i in range(n)],
            "lang": pa.nulls(n, pa.string()),
            "lang_score": pa.nulls(n, pa.float64()),
            "script": pa.nulls(n, pa.string()),
            **columns,
        }
    )
    verdicts: list[dict[str, Any]] = decide(signals, rules).to_pylist()
    thresholds = {name: limit for name, (limit, _) in rules.in_force("default").items()}
    rows = signals.to_pylist()
    return [
        v | {"signals": s, "thresholds": thresholds} for v, s in zip(verdicts, rows, strict=True)
    ]


def value_of(rule: str | None, signals: Mapping[str, float]) -> float | None:
    """The signal that a rule compares."""
    from yanmo.curate.decide import ALL_RULES

    return next((signals[r.signal] for r in ALL_RULES if r.name == rule), None)


def classify(
    comparison: Comparison, reason: str | None, values: Mapping[str, float], ours: Mapping[str, Any]
) -> tuple[str, str, float | None, float | None]:
    """Class, deciding rule, datatrove's value and ours, of a document that one side drops.

    The deciding rule is the first that the dropping side names.
    """
    known = {rule: (why, name) for why, (rule, name) in comparison.pairs.items() if rule}
    rule = comparison.pairs.get(reason, (None, None))[0] if reason else ours["rule"]
    why, name = known.get(rule or "", (reason or "", None))
    if reason in comparison.pairs:
        name = comparison.pairs[reason][1]
    theirs = values.get(name) if name else None
    mine = value_of(rule, ours["signals"])
    label = rule or why
    if rule is None and reason is not None:
        return "rule left out", why, theirs, mine
    if theirs is None or mine is None:
        return "unexplained", label, theirs, mine
    if abs(theirs - mine) <= 1e-12:
        return "equal values, compared differently", label, theirs, mine
    if comparison.peer.startswith("fineweb2"):
        return _chinese_class(name or ""), label, theirs, mine
    tokens = ours["signals"].get("n_gopher_words")
    if "words" in values and tokens != values["words"]:
        return "tokens cut differently", label, theirs, mine
    if name == "c4_sentences":
        return "sentences cut differently", label, theirs, mine
    return "unexplained", label, theirs, mine


def _chinese_class(name: str) -> str:
    """Why a value of Chinese differs: the words of jieba are estimated."""
    if name.startswith(("top_", "duplicate_")):
        return "n-grams of jieba's words, or stretches of their mean length"
    if name == "stop_words":
        return "stop words: a word of jieba, or a character"
    if name in ("words", "mean_word", "newlines", "hashes", "ellipses", "alphabetic"):
        return "number of jieba's words, counted or estimated"
    return "unexplained"


def compare(
    comparison: Comparison, texts: Sequence[str], answer: Mapping[str, Any], row: int
) -> Any:
    """Counts and classes of one filter; see :func:`main`."""
    ours = our_verdicts(texts, comparison)
    reasons, values = answer["verdicts"][row], answer["values"][row]
    counts: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    examples: dict[str, str] = {}
    same_values: Counter[str] = Counter()
    for i, (reason, value, mine) in enumerate(zip(reasons, values, ours, strict=True)):
        for rule, name in comparison.pairs.values():
            if rule in mine["thresholds"] and name in value:
                left, right = value_of(rule, mine["signals"]), value[name]
                same_values[f"{rule}: all"] += 1
                same_values[f"{rule}: equal"] += abs((left or 0.0) - right) <= 1e-12
        dropped = (reason is not None, not mine["kept"])
        counts[{(True, True): "both", (True, False): "theirs", (False, True): "ours"}.get(
            dropped, "kept")] += 1  # fmt: skip
        if dropped[0] != dropped[1]:
            name, rule_, theirs, own = classify(comparison, reason, value, mine)
            side = "only datatrove" if dropped[0] else "only ours"
            label = f"{name} · {rule_} · {side}"
            classes[label] += 1
            examples.setdefault(label, f"text {i}: datatrove {theirs}, ours {own}")
    return {"filter": comparison.peer, "documents": len(texts), **counts, "classes": dict(classes),
            "examples": examples, "values": dict(same_values)}  # fmt: skip


def show(results: Sequence[Mapping[str, Any]]) -> int:
    """Print the table, the classes and the values; return how many differences have no class."""
    from yanmo.report import Table
    from yanmo.stats import wilson

    rows = []
    for r in results:
        agreeing = r.get("both", 0) + r.get("kept", 0)
        low, high = wilson(agreeing, r["documents"])
        rows.append([r["filter"], r["documents"], r.get("both", 0), r.get("theirs", 0),
                     r.get("ours", 0), f"{agreeing / r['documents']:.4%}",
                     f"{low:.2%} – {high:.2%}"])  # fmt: skip
    heads = [
        "filter",
        "documents",
        "dropped by both",
        "only datatrove",
        "only ours",
        "agreement",
        "95 %",
    ]
    sys.stderr.write(Table("verdicts beside datatrove 0.10.1", heads, rows).text() + "\n")
    unexplained = 0
    for r in results:
        for label, n in sorted(r["classes"].items(), key=lambda item: -item[1]):
            sys.stderr.write(f"{r['filter']}: {n} × {label}; {r['examples'][label]}\n")
            unexplained += n if label.startswith("unexplained") else 0
        unequal = [
            f"{key.removesuffix(': all')} {n - r['values'][key.replace(': all', ': equal')]} of {n}"
            for key, n in r["values"].items()
            if key.endswith(": all") and n != r["values"][key.replace(": all", ": equal")]
        ]
        sys.stderr.write(f"{r['filter']}: values that differ: {', '.join(unequal) or 'none'}\n")
    return unexplained


def main() -> int:
    """Compare, print as text on stderr and as JSON on stdout; 1 if a difference has no class."""
    parser = argparse.ArgumentParser(prog="bench.verdicts", description=__doc__)
    parser.add_argument("--documents", type=int, default=PER_SOURCE, help="most of each source")
    parser.add_argument("--language", choices=list(LANGUAGES), action="append", help="default: all")
    options = parser.parse_args()
    if not (named := os.environ.get("YANMO_REALDATA")):
        parser.error("set YANMO_REALDATA to the folder of real data")
    realdata = Path(named)
    results = []
    for language in options.language or list(LANGUAGES):
        build, comparisons, share = LANGUAGES[language]
        sources = build(realdata, options.documents // share)
        texts = [text for found in sources.values() for text in found]
        sizes = {name: [len(found), sum(map(len, found))] for name, found in sources.items()}
        sys.stderr.write(f"{language}: texts and characters of each source: {sizes}\n")
        request = {"filters": [c.peer for c in comparisons], "texts": texts}
        answer = ask("datatrove", "datatrove_verdicts", request)
        results += [compare(c, texts, answer, row) for row, c in enumerate(comparisons)]
    unexplained = show(results)
    sys.stdout.write(json.dumps(results, ensure_ascii=False) + "\n")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
