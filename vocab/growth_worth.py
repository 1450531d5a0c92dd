"""Go or no-go: tokens saved against the cost of more rows, before a processor hour is spent.

    F, F'   operations a token with the old and the new number of rows (``model_cost``)
    t, t'   tokens a character with the old and the new tokenizer; r = t' / t

    a character costs t*F before and t'*F' after        saved share  = 1 - r * F' / F
    the same operations if r = F / F'                   must be saved = 1 - F / F'
    learning the new rows costs K tokens of F'          break-even    = K * F' / (F - r * F')

Break-even is counted in tokens of the old tokenizer: so many must be trained on until what the
longer tokens save has paid for K. Serving a token costs a third of training on it, so three times
as many.

K is an assumption, the weakest number here. Default: 200 000 tokens for each row that is new.
Source: GlossAPI's public arms on an 8B model, 3.5 billion tokens for 17 408 rows, after which
held-out bits per character were still above those of the old tokenizer: rather too few than enough.
"Beyond English" (Zhao et al. 2024, arXiv:2401.01055) found 30 billion tokens with an extended LLaMA
vocabulary behind half a billion with the old one. All of K counts as cost, though what is learnt
from it is not lost: that is on the careful side.
"""

from dataclasses import dataclass
from typing import Any, Final

from yanmo.errors import UsageError
from yanmo.model_cost import BYTES_TRAINING, BYTES_WEIGHT, ModelShape, padded

TOKENS_PER_ROW: Final = 200_000
QUALITY_NOTE: Final = (
    "Quality gain not established by this. These are operations, memory and context; whether the "
    "model answers better is not in them. Published evidence goes both ways: compare bits per "
    "character after training (`yanmo evals bpb`), never loss per token."
)


@dataclass(frozen=True)
class Plan:
    """What will be done with the model, in tokens of the old tokenizer.

    Attributes:
        train_tokens: text to train on; ``None``: not known.
        serve_tokens: text to read and write when it is used; ``None``: not known.
        adapt_tokens: K, in tokens of the new tokenizer; ``None``: ``TOKENS_PER_ROW`` a new row.
        context: tokens of a training sequence; ``None``: the model's, at most 4096.
        multiple: rows are padded to a multiple of it.
    """

    train_tokens: float | None = None
    serve_tokens: float | None = None
    adapt_tokens: float | None = None
    context: int | None = None
    multiple: int = 64

    def context_of(self, shape: ModelShape) -> int:
        """Tokens of a training sequence."""
        return self.context or min(shape.max_positions, 4096)


@dataclass(frozen=True)
class Swap:
    """The two tokenizers, as far as the cost is concerned.

    Attributes:
        before, after: tokens a character on the same mixture of text.
        size: ids of the new tokenizer.
        new_rows: ids that are not the same entry in the old one: rows that must be learnt.
        extends: all old ids keep their entry, so that no row can be taken away.
        exact_share: share of documents that the new tokenizer gives back exactly.
        exact_before: the same of the old one.
    """

    before: float
    after: float
    size: int
    new_rows: int
    extends: bool = True
    exact_share: float = 1.0
    exact_before: float = 1.0


def weigh(shape: ModelShape, swap: Swap, plan: Plan) -> dict[str, Any]:
    """Put the tokens saved against what the rows cost.

    Args:
        shape: the model with its old rows.
        swap: what changes.
        plan: what is to be done with it.

    Returns:
        ``before`` and ``after`` (rows, parameters, operations, memory), savings, break-even and
        ``verdict`` with ``reason``.

    Raises:
        UsageError: a budget is negative, or a tokenizer makes no token of the text.
    """
    _check(plan, swap)
    context = plan.context_of(shape)
    replaced = shape.with_rows(padded(swap.size, plan.multiple))
    after = _grown(shape, swap.size, plan.multiple) if swap.extends else replaced
    ratio = swap.after / swap.before
    old, new = shape.training_flops(context), after.training_flops(context)
    adapt = plan.adapt_tokens if plan.adapt_tokens is not None else swap.new_rows * TOKENS_PER_ROW
    saved = old - ratio * new  # training operations a token of the old tokenizer
    found: dict[str, Any] = {
        "model": shape.name,
        "context": context,
        "before": _side(shape, swap.before, context),
        "after": _side(after, swap.after, context),
        "new_rows": swap.new_rows,
        "extends": swap.extends,
        "exact_share": swap.exact_share,
        "added_parameters": after.weights - shape.weights,
        "token_ratio": ratio,
        "tokens_saved": 1.0 - ratio,
        "tokens_that_must_be_saved": 1.0 - old / new,
        "operations_saved": saved / old,
        "cache_saved": 1.0 - ratio,
        "adapt_tokens": adapt,
        "adapt_assumed": plan.adapt_tokens is None,
        "adapt_flops": adapt * new,
        "break_even_train_tokens": adapt * new / saved if saved > 0 else None,
        "break_even_serve_tokens": 3.0 * adapt * new / saved if saved > 0 else None,
        "quality": QUALITY_NOTE,
    }
    verdict = _verdict(found, plan, saved)
    if swap.exact_share < swap.exact_before:
        lossy = (
            f"it loses text: {1 - swap.exact_share:.1%} of the documents do not come back, "
            f"{1 - swap.exact_before:.1%} with the old one"
        )
        verdict |= {"verdict": "no-go", "reason": f"{lossy}; {verdict['reason']}"}
    return {**found, **verdict}


def _check(plan: Plan, swap: Swap) -> None:
    if not (swap.before > 0 and swap.after > 0):
        raise UsageError("a tokenizer makes no token of this text: nothing to weigh")
    for name in ("train_tokens", "serve_tokens", "adapt_tokens"):
        value = getattr(plan, name)
        if value is not None and value < 0:
            raise UsageError("a budget cannot be negative", where=name, value=value)


def _grown(shape: ModelShape, size: int, multiple: int) -> ModelShape:
    """The model with rows for so many ids: what it has in reserve is used up before it grows."""
    return shape if size <= shape.vocab_size else shape.with_rows(padded(size, multiple))


def _side(shape: ModelShape, tokens_per_char: float, context: int) -> dict[str, Any]:
    vocabulary = shape.vocabulary_weights
    return {
        "rows": shape.vocab_size,
        "parameters": shape.weights,
        "vocabulary_parameters": vocabulary,
        "tokens_per_char": tokens_per_char,
        "training_flops_per_token": shape.training_flops(context),
        "training_flops_per_char": shape.training_flops(context) * tokens_per_char,
        "forward_flops_per_token": shape.forward_flops(context),
        "forward_flops_per_char": shape.forward_flops(context) * tokens_per_char,
        "vocabulary_bytes": vocabulary * BYTES_WEIGHT,
        "vocabulary_training_bytes": vocabulary * BYTES_TRAINING,
        "logits_bytes": 4 * context * shape.vocab_size,
        "cache_bytes_per_token": shape.cache_bytes,
        "cache_bytes_per_1000_chars": 1000 * tokens_per_char * shape.cache_bytes,
        "chars_per_context": context / tokens_per_char,
    }


def _verdict(found: dict[str, Any], plan: Plan, saved: float) -> dict[str, Any]:
    """``go``, ``no-go``, or ``depends`` where no budget was named."""
    share = found["operations_saved"]
    if saved <= 0:
        reason = (
            f"a character costs {-share:.1%} more operations: {found['tokens_saved']:.1%} of the "
            f"tokens are saved, {found['tokens_that_must_be_saved']:.1%} would have to be"
        )
        return {"verdict": "no-go", "reason": reason, "net_flops": None}
    even = found["break_even_train_tokens"]
    each = f"a character costs {share:.1%} fewer operations"
    if plan.train_tokens is None and plan.serve_tokens is None:
        reason = (
            f"{each}; pays from {_big(even)} tokens of training text on, or "
            f"{_big(found['break_even_serve_tokens'])} served (old tokens); name a budget"
        )
        return {"verdict": "depends", "reason": reason, "net_flops": None}
    gain = saved * ((plan.train_tokens or 0.0) + (plan.serve_tokens or 0.0) / 3.0)
    net = gain - found["adapt_flops"]
    reason = (
        f"{each}; the plan saves {_big(gain)} operations, learning the rows costs "
        f"{_big(found['adapt_flops'])}"
    )
    return {"verdict": "go" if net >= 0 else "no-go", "reason": reason, "net_flops": net}


def _big(value: float) -> str:
    for limit, name in ((1e15, ""), (1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if value >= limit:
            return f"{value / limit:.3g}{name}" if name else f"{value:.3g}"
    return f"{value:.3g}"


def cheapest(
    shape: ModelShape, sizes: dict[int, float], context: int, multiple: int
) -> tuple[int, float]:
    """Of some sizes the one at which a character costs fewest operations.

    Args:
        shape: the model.
        sizes: ids of the tokenizer to tokens a character.
        context: tokens of a sequence.
        multiple: rows are padded to a multiple of it.

    Returns:
        The size, and the share of operations saved against the smallest size.
    """

    def cost(size: int) -> float:
        return sizes[size] * _grown(shape, size, multiple).training_flops(context)

    best = min(sorted(sizes), key=cost)
    return best, 1.0 - cost(best) / cost(min(sizes))
