"""What a comparison goes on to: growth curves of extensions, and whether a swap is worth it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from yanmo.errors import UsageError
from yanmo.model_cost import ModelShape
from yanmo.recipe import did_you_mean

from .compare import Comparison, Contender, new_rows
from .growth_curve import Growth, find_growth, grid, knee, marginal, measure_growth, reaching
from .growth_worth import Plan, Swap, cheapest, weigh
from .slices import Slices

# Each point of a curve encodes the sample again: half a megabyte of a slice is enough for a shape.
CURVE_BYTES = 1 << 19


@dataclass(frozen=True)
class Question:
    """A model and what is planned for it."""

    shape: ModelShape
    plan: Plan


def mixture(comparison: Comparison, asked: Sequence[str]) -> dict[str, float]:
    """Share of each slice, in characters; they sum to 1.

    Args:
        comparison: whose slices they are.
        asked: ``SLICE=WEIGHT`` each; slices that are not named weigh nothing. With none, a slice
            weighs the characters that it holds before sampling.

    Raises:
        UsageError: no such slice, or weights that are no numbers above zero.
    """
    slices = comparison.result["slices"]
    weights = {s["slice"]: float(s["population"]["chars"]) for s in slices}
    if asked:
        named = dict.fromkeys(weights, 0.0)
        for item in asked:
            label, _, number = item.rpartition("=")
            if label not in named:
                raise UsageError("no such slice", where=f"--mix {item}",
                                 fix=did_you_mean(label, named))  # fmt: skip
            named[label] = _weight(number, item)
        weights = named
    total = sum(weights.values())
    if total <= 0:
        raise UsageError("the weights of --mix sum to zero", value=list(asked))
    return {label: weight / total for label, weight in weights.items()}


def _weight(number: str, item: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise UsageError("a weight must be a number, zero or more", where=f"--mix {item}",
                         value=number)  # fmt: skip
    return value


def growths(comparison: Comparison) -> dict[str, Growth]:
    """The tokenizers that can be cut: those with ``yanmo.json``, or that begin with the first one.

    Raises:
        UsageError: there is none, or one that grew is of a kind that cannot be cut.
    """
    first = comparison.contenders[0]
    found = {}
    for contender in comparison.contenders:
        base = None if contender is first else first.tokenizer
        growth = find_growth(contender.path, contender.tokenizer, base)
        if growth is not None:
            found[contender.label] = growth
    if not found:
        raise UsageError(
            "no tokenizer here is an extension of the first one",
            where="--curve",
            fix="Give the base first, or a folder that `yanmo vocab extend` wrote.",
        )
    return found


def curve_steps(found: dict[str, Growth]) -> int:
    """How many vocabularies all curves encode with."""
    return sum(len(grid(growth.added)) for growth in found.values())


def add_curves(
    comparison: Comparison,
    found: dict[str, Growth],
    mix: dict[str, float],
    question: Question | None,
    *,
    advance: Callable[[float], None] = lambda amount: None,
) -> None:
    """Measure tokens per character against added entries; the result gains ``curves``.

    Args:
        comparison: what was measured.
        found: what can be cut, by label.
        mix: share of each slice in the mixed curve.
        question: with it, the size at which a character costs fewest operations.
        advance: told of every size that is done.
    """
    samples = _samples(comparison)
    chars = {label: sum(map(len, texts)) for label, texts in samples.items()}
    curves = {}
    for label, growth in found.items():
        sizes = grid(growth.added)
        tokens = measure_growth(growth, samples, sizes, advance=advance)
        curve = {s: [n / chars[s] for n in counts] for s, counts in tokens.items()}
        mixed = [sum(mix[s] * curve[s][k] for s in curve) for k in range(len(sizes))]
        curves[label] = {
            "base_size": growth.base_size,
            "sizes": sizes,
            "slices": curve,
            "mix": mixed,
            "saved_per_1000_entries": marginal(sizes, mixed),
            "knee": knee(sizes, mixed),
            "reaching_90": reaching(sizes, mixed, 0.9),
            "sample_bytes": CURVE_BYTES,
            **_cheapest(growth.base_size, sizes, mixed, question),
        }
    comparison.result["curves"] = curves


def _cheapest(
    base_size: int, sizes: list[int], mixed: list[float], question: Question | None
) -> dict[str, Any]:
    if question is None:
        return {}
    shape, plan = question.shape, question.plan
    ids = {base_size + size: value for size, value in zip(sizes, mixed, strict=True)}
    best, saved = cheapest(shape, ids, plan.context_of(shape), plan.multiple)
    return {"cheapest": best - base_size, "cheapest_saves": saved, "model": shape.name}


def _samples(comparison: Comparison) -> dict[str, list[str]]:
    """A part of the very documents that were compared."""
    sampling = comparison.slices.sampling
    limit = min(sampling.limit_bytes or CURVE_BYTES, CURVE_BYTES)
    slices = Slices(comparison.slices.paths, replace(sampling, limit_bytes=limit))
    failed = {failure["where"] for s in comparison.result["slices"] for failure in s["failed"]}
    samples: dict[str, list[str]] = {}
    for label, documents in slices.batches():
        kept = [d.text for d in documents if slices.where(d) not in failed]
        samples.setdefault(label, []).extend(kept)
    measured = {s["slice"] for s in comparison.result["slices"]}
    return {label: texts for label, texts in samples.items() if texts and label in measured}


def add_worth(comparison: Comparison, mix: dict[str, float], question: Question) -> None:
    """Weigh every tokenizer against the first; the result gains ``worth``.

    Args:
        comparison: what was measured; the first tokenizer is the model's own.
        mix: share of each slice.
        question: the model and the plan.

    Raises:
        UsageError: the first tokenizer has more ids than the model has rows.
    """
    first, *others = comparison.contenders
    rows = question.shape.vocab_size
    if first.tokenizer.vocab_size > rows:
        raise UsageError(
            f"the first tokenizer has {first.tokenizer.vocab_size} ids, the model {rows} rows",
            where=first.label, fix="Give the model's own tokenizer first.")  # fmt: skip
    if not others:
        raise UsageError("--model weighs other tokenizers against the first: give two or more")
    comparison.result["worth"] = {
        other.label: weigh(question.shape, _swap(comparison, mix, first, other), question.plan)
        for other in others
    }


def _swap(
    comparison: Comparison, mix: dict[str, float], first: Contender, other: Contender
) -> Swap:
    size, rows = other.tokenizer.vocab_size, new_rows(first, other)
    exact = {c.label: comparison.result["all"]["tokenizers"][c.label]["exact_share"]
             for c in (first, other)}  # fmt: skip
    return Swap(
        before=_mixed(comparison, mix, first.label),
        after=_mixed(comparison, mix, other.label),
        size=size,
        new_rows=rows,
        extends=size - rows >= first.tokenizer.vocab_size,
        exact_share=exact[other.label],
        exact_before=exact[first.label],
    )


def _mixed(comparison: Comparison, mix: dict[str, float], label: str) -> float:
    slices = {s["slice"]: s for s in comparison.result["slices"]}
    return sum(
        share * float(slices[name]["tokenizers"][label]["tokens_per_char"]["value"])
        for name, share in mix.items()
    )
