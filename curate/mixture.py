"""From what shards hold to a mixture plan: weights by policy, whole tokens, epochs, warnings.

A policy gives every source a share of the budget. Buckets of quality split a source's share by
their tokens times a factor. Shares become whole tokens by largest remainder, so that they add up
to the budget exactly.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Final

import numpy as np

from yanmo.errors import DataError, RecipeError
from yanmo.mixture import Entry, Plan, bucket_name, licence_of, shards_seal
from yanmo.order import document_column, source_codes
from yanmo.recipe import did_you_mean, setting
from yanmo.shards import Shards

from .buckets import Buckets

REPEATS_THAT_PAY: Final = 4.0
"""Up to here repeated tokens are worth about as much as new ones; at 16 epochs most of the worth is
gone. Source: Muennighoff et al. 2023, "Scaling Data-Constrained Language Models"."""

TOLERANCE: Final = Fraction(1, 10**9)  # by which given weights may miss 1: decimals as floats


@dataclass(frozen=True)
class MixSettings:
    """A recipe of ``yanmo curate mix``."""

    policy: str = setting(
        "natural", choices=("natural", "temperature", "weights", "unimax"),
        help="Share of a source: its tokens; its tokens to the power alpha; as given; equal, but "
        "capped at max_epochs.",
        source="temperature: mT5 (Xue et al. 2021); weights: GPT-3 (Brown et al. 2020); "
        "unimax: Chung et al. 2023",
    )  # fmt: skip
    budget: int | None = setting(
        None, low=1, help="Tokens of one pass; off: all tokens of the shards, or what solve finds."
    )
    alpha: float = setting(
        0.3, low=0.0, high=1.0, source="mT5 (Xue et al. 2021)",
        help="temperature: 1 is natural, 0 gives every source the same.",
    )  # fmt: skip
    max_epochs: float = setting(
        REPEATS_THAT_PAY, low=0.0, source="Muennighoff et al. 2023",
        help="unimax and solve: no source is read more often.",
    )  # fmt: skip
    solve: bool = setting(False, help="Take the largest budget that respects max_epochs.")
    rescale: bool = setting(False, help="Divide weights by their sum, whatever it is.")
    weights: dict[str, float] = dataclasses.field(
        default_factory=dict,
        metadata={"help": "weights: share by source; a pattern (zh-*) is shared by the sources it "
                  "matches that have no weight of their own, by tokens."},
    )  # fmt: skip
    buckets: int | None = setting(
        None, low=2, high=100, help="Split each source into so many buckets of equal tokens."
    )
    upsample: dict[str, float] = dataclasses.field(
        default_factory=dict,
        metadata={"help": "How often a bucket's token counts in its source's share: q4 = 2, or "
                  "web/q4 = 2.", "source": "rehydration in FineWeb 2 (Penedo et al. 2025)"},
    )  # fmt: skip
    seed: int = setting(0, low=0, help="Chooses the documents of a fraction of an epoch.")


@dataclass(frozen=True)
class Holding:
    """What the shards hold of a source or of one of its buckets."""

    source: str
    bucket: str | None
    documents: int
    tokens: int
    chars: int

    @property
    def name(self) -> str:
        """As in the plan."""
        return self.source if self.bucket is None else f"{self.source}/{self.bucket}"


def holdings(shards: Shards, buckets: Buckets | None) -> list[Holding]:
    """Documents, tokens and characters by source and bucket, sorted by name."""
    names, codes = source_codes(shards)
    lengths = np.diff(shards.document_ends, prepend=0)
    chars = document_column(shards, "n_chars").to_numpy()
    count = 1 if buckets is None else buckets.count + 1
    cells = codes.astype(np.int64) * count + (0 if buckets is None else buckets.numbers)
    size = len(names) * count
    documents = np.bincount(cells, minlength=size).tolist()
    # Sums as float64 are exact below 2^53 tokens.
    sums = [np.bincount(cells, w, size).astype(np.int64).tolist() for w in (lengths, chars)]
    found = []
    for cell in range(size):
        source, bucket = names[cell // count], cell % count
        if documents[cell]:
            own = None if buckets is None else bucket_name(bucket)
            found.append(Holding(source, own, documents[cell], sums[0][cell], sums[1][cell]))
    return sorted(found, key=lambda h: (h.source, h.bucket or ""))


def make_plan(shards: Shards, settings: MixSettings, buckets: Buckets | None = None) -> Plan:
    """Plan one pass over shards.

    Args:
        shards: opened shards, with at least one document.
        settings: the recipe.
        buckets: the bucket of each document, where the recipe splits sources.

    Raises:
        RecipeError: a name, a weight or a budget does not fit the shards.
    """
    held = holdings(shards, buckets)
    if not held:
        raise DataError("there are no tokens to mix", where=shards.folder)
    factors = upsampling(held, settings.upsample)
    budget = settings.budget
    if settings.solve:
        if budget is not None:
            raise RecipeError("a budget and solve exclude each other", value=budget,
                              fix="solve finds the budget.")  # fmt: skip
        shares = entry_shares(held, source_shares(held, settings, None), factors)
        budget = solve([h.tokens for h in held], shares, Fraction(str(settings.max_epochs)))
        if budget == 0:
            raise RecipeError("max_epochs leaves no budget", value=settings.max_epochs)
    else:
        budget = shards.tokens if budget is None else budget
        shares = entry_shares(held, source_shares(held, settings, budget), factors)
    tokens = allocate(shares, budget)
    entries = tuple(
        Entry(h.name, h.source, h.bucket, licence_of(shards, h.source), h.documents, h.tokens,
              h.chars, float(share), budgeted)
        for h, share, budgeted in zip(held, shares, tokens, strict=True)
    )  # fmt: skip
    policy = {"name": settings.policy, **_told(settings, buckets)}
    numbers = None if buckets is None else buckets.numbers
    return Plan(shards_seal(shards), settings.seed, entries, policy, numbers)


def _told(settings: MixSettings, buckets: Buckets | None) -> dict[str, object]:
    """What a reader of the plan wants to know of how it came about."""
    told: dict[str, object] = {"solve": settings.solve}
    if settings.policy == "temperature":
        told["alpha"] = settings.alpha
    if settings.policy == "weights":
        told["weights"] = settings.weights
    if settings.solve or settings.policy == "unimax":
        told["max_epochs"] = settings.max_epochs
    if buckets is not None:
        told |= {"buckets": buckets.about, "upsample": settings.upsample}
    return told


def source_shares(
    held: Sequence[Holding], settings: MixSettings, budget: int | None
) -> dict[str, Fraction]:
    """Each source's share of the budget, exact, adding up to one.

    Args:
        held: what there is.
        settings: policy and its parameters.
        budget: tokens of the pass; ``None`` where it is still to be found.

    Raises:
        RecipeError: a weight does not fit, or the budget cannot be spent.
    """
    sizes: dict[str, int] = {}
    for h in held:
        sizes[h.source] = sizes.get(h.source, 0) + h.tokens
    if settings.weights and settings.policy != "weights":
        raise RecipeError(f"weights and policy '{settings.policy}' exclude each other",
                          value=sorted(settings.weights)[:3], fix="Leave one out.")  # fmt: skip
    if settings.policy == "weights":
        return given(sizes, settings.weights, rescale=settings.rescale)
    if settings.policy == "temperature":
        powers = {name: Fraction(size**settings.alpha) for name, size in sizes.items()}
        return _whole(powers)
    if settings.policy == "unimax" and budget is not None:
        return unimax(sizes, budget, Fraction(str(settings.max_epochs)))
    return _whole({name: Fraction(size) for name, size in sizes.items()})


def _whole(parts: Mapping[str, Fraction]) -> dict[str, Fraction]:
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items()}


def given(
    sizes: Mapping[str, int], weights: Mapping[str, float], *, rescale: bool
) -> dict[str, Fraction]:
    """Shares as written down; a pattern's weight is shared by its sources, by tokens.

    Raises:
        RecipeError: a name fits no source, a source has no weight, or they do not add up to one.
    """
    if not weights:
        raise RecipeError("policy 'weights' needs weights",
                          fix="--weight SOURCE=0.6 for each.")  # fmt: skip
    asked = {name: Fraction(str(weight)) for name, weight in weights.items()}
    shares: dict[str, Fraction] = {}
    for name, weight in asked.items():
        if weight < 0:
            raise RecipeError(f"the weight of '{name}' is negative", value=float(weight))
        if name in sizes:
            shares[name] = weight
    for pattern, weight in asked.items():
        if pattern in sizes:
            continue
        matched = [n for n in sizes if n not in shares and fnmatchcase(n, pattern)]
        if not matched:
            raise RecipeError("no such source in the shards", where="--weight", value=pattern,
                              fix=did_you_mean(pattern, sizes))  # fmt: skip
        total = sum(sizes[n] for n in matched)
        shares |= {n: weight * sizes[n] / total for n in matched}
    if missing := sorted(sizes.keys() - shares.keys()):
        raise RecipeError("sources without a weight", value=missing,
                          fix=f"--weight '{missing[0]}=0' leaves one out, --weight '*=0.1' gives "
                          "all of them a tenth together.")  # fmt: skip
    total_weight = sum(asked.values())
    if total_weight == 0:
        raise RecipeError("all weights are zero")
    if not rescale and abs(total_weight - 1) > TOLERANCE:
        raise RecipeError("the weights do not add up to 1", value=float(total_weight),
                          fix="Correct them, or divide by their sum with --rescale.")  # fmt: skip
    return _whole(shares)


def unimax(sizes: Mapping[str, int], budget: int, max_epochs: Fraction) -> dict[str, Fraction]:
    """Shares of UniMax: the same for all, but none beyond its epochs.

    Raises:
        RecipeError: the budget cannot be spent.

    Source: algorithm 1 of Chung et al. 2023, "UniMax: Fairer and more Effective Language Sampling".
    """
    most = sum(int(size * max_epochs) for size in sizes.values())
    if budget > most:
        raise RecipeError(
            f"{float(max_epochs):g} epochs of everything are {most} tokens", value=budget,
            fix="Lower the budget, raise --max-epochs, or take what --solve finds.",
        )  # fmt: skip
    left = Fraction(budget)
    spent: dict[str, Fraction] = {}
    for waiting, (name, size) in enumerate(
        sorted(sizes.items(), key=lambda item: (item[1], item[0]))
    ):
        spent[name] = min(left / (len(sizes) - waiting), Fraction(int(size * max_epochs)))
        left -= spent[name]
    return _whole(spent)


def upsampling(held: Sequence[Holding], factors: Mapping[str, float]) -> list[Fraction]:
    """The factor of each holding: its own, its bucket's in all sources, or one.

    Raises:
        RecipeError: a name fits nothing, or a factor is negative.
    """
    known = {h.name for h in held if h.bucket} | {h.bucket for h in held if h.bucket}
    for name, factor in factors.items():
        if not known:
            raise RecipeError("nothing is split into buckets", where="--upsample", value=name,
                              fix="Add --scores TABLE --score COLUMN --buckets N.")  # fmt: skip
        if name not in known:
            raise RecipeError("no such bucket", where="--upsample", value=name,
                              fix=did_you_mean(name, {h.bucket for h in held if h.bucket}
                                               if "/" not in name else known))  # fmt: skip
        if factor < 0:
            raise RecipeError(f"the factor of '{name}' is negative", value=factor)
    return [
        Fraction(str(factors.get(h.name, factors.get(h.bucket or "", 1.0)))) for h in held
    ]  # fmt: skip


def entry_shares(
    held: Sequence[Holding], sources: Mapping[str, Fraction], factors: Sequence[Fraction]
) -> list[Fraction]:
    """Split each source's share over its buckets, by tokens times factor.

    Raises:
        RecipeError: the factors leave nothing of a source that has a share.
    """
    totals: dict[str, Fraction] = {}
    for h, factor in zip(held, factors, strict=True):
        totals[h.source] = totals.get(h.source, Fraction(0)) + h.tokens * factor
    for name, total in totals.items():
        if total == 0 and sources[name]:
            raise RecipeError("the factors leave nothing of a source that has a weight",
                              where="--upsample", value=name)  # fmt: skip
    return [
        sources[h.source] * h.tokens * factor / (totals[h.source] or 1)
        for h, factor in zip(held, factors, strict=True)
    ]


def allocate(shares: Sequence[Fraction], budget: int) -> list[int]:
    """Whole tokens that add up to the budget exactly: largest remainder, the first on a tie."""
    exact = [share * budget for share in shares]
    tokens = [int(x) for x in exact]
    rest = sorted(range(len(exact)), key=lambda i: (tokens[i] - exact[i], i))
    for i in rest[: budget - sum(tokens)]:
        tokens[i] += 1
    return tokens


def solve(sizes: Sequence[int], shares: Sequence[Fraction], max_epochs: Fraction) -> int:
    """The largest budget of which no share is more than ``max_epochs`` times what there is.

    Rounding to whole tokens keeps that: what is below a whole bound is rounded to it at most.
    """
    caps = [int(size * max_epochs) for size in sizes]
    return int(min(cap / share for cap, share in zip(caps, shares, strict=True) if share))


def warnings(plan: Plan) -> list[str]:
    """What a reader should know before training on the plan."""
    often = [e for e in plan.entries if e.epochs > REPEATS_THAT_PAY]
    found = []
    if often:
        listed = ", ".join(f"{e.name} {e.epochs:.1f}" for e in often)
        found.append(
            f"Read more than {REPEATS_THAT_PAY:g} times, beyond which repeated tokens are worth "
            f"less and less (Muennighoff et al. 2023): {listed}."
        )
    left = [e.name for e in plan.entries if e.budget == 0]
    if left:
        found.append(f"Not read at all: {', '.join(left)}.")
    return found
