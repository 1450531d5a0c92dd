"""Growth curves and verdicts of a comparison, as tables, words and charts."""

from typing import Any

from yanmo.charts import line_chart
from yanmo.report import Table, show

from .growth_worth import TOKENS_PER_ROW

Result = dict[str, Any]
_MAX_LINES = 6  # of a chart: the palette has so many colours


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent; a share above zero is never shown as zero, one below 1 never as 100."""
    if share is None:
        return "–"
    small = 10.0 ** -(digits + 2) / 2
    if 0 < share < small:
        return f"< {10.0**-digits:g} %"
    shown = f"{100 * share:.{digits}f}"
    if share < 1 and float(shown) >= 100:
        return f"{100 - 10.0**-digits:.{digits}f} %"
    return f"{shown} %"


def curve_table(label: str, curve: Result) -> Table:
    """Tokens per character after k added entries."""
    names = list(curve["slices"]) if len(curve["slices"]) <= _MAX_LINES else []
    rows = [
        [size, f"{curve['mix'][k]:.4f}", *(f"{curve['slices'][n][k]:.4f}" for n in names),
         _saved(curve["saved_per_1000_entries"][k]), _marks(curve, size)]
        for k, size in enumerate(curve["sizes"])
    ]  # fmt: skip
    columns = ["added", "tokens / char (mix)", *names, "saved a 1000 chars by 1000 entries", ""]
    return Table(f"{label}: tokens / char after k added entries", columns, rows)


def _marks(curve: Result, size: int) -> str:
    names = {"knee": "knee", "reaching_90": "90 % of the gain", "cheapest": "fewest operations"}
    return ", ".join(name for key, name in names.items() if curve.get(key) == size)


def _saved(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def worth_table(result: Result) -> Table | None:
    """The verdicts and the numbers behind them."""
    found = result.get("worth")
    if not found:
        return None
    rows: list[list[Any]] = [[name, *(pick(w) for w in found.values())] for name, pick in _WORTH]
    first = next(iter(found.values()))
    title = f"Worth it? {first['model']}, context {first['context']}"
    return Table(title, ["", *found], rows)


def _change(key: str, form: str) -> Any:
    def pick(worth: Result) -> str:
        pair = (worth[side][key] for side in ("before", "after"))
        return " → ".join(_amount(value, form) for value in pair)

    return pick


def _amount(value: float, form: str) -> str:
    if form == "bytes":
        return f"{value / 1e6:.1f} MB" if value < 1e9 else f"{value / 1e9:.2f} GB"
    if form == "flops":
        return f"{value:.3g}"
    return f"{value:.4f}" if form == "ratio" else show(round(value))


def _budget(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g}"


_WORTH: tuple[tuple[str, Any], ...] = (
    ("verdict", lambda w: w["verdict"]),
    ("rows of the embedding", _change("rows", "count")),
    ("rows to be learnt", lambda w: show(w["new_rows"])),
    ("parameters", _change("parameters", "count")),
    ("parameters added", lambda w: show(w["added_parameters"])),
    ("tokens / char (mix)", _change("tokens_per_char", "ratio")),
    ("tokens saved", lambda w: percent(w["tokens_saved"])),
    ("must be saved to break even", lambda w: percent(w["tokens_that_must_be_saved"])),
    ("training FLOPs / token", _change("training_flops_per_token", "flops")),
    ("training FLOPs / char", _change("training_flops_per_char", "flops")),
    ("forward FLOPs / char", _change("forward_flops_per_char", "flops")),
    ("operations saved a character", lambda w: percent(w["operations_saved"])),
    ("embedding and head, bf16", _change("vocabulary_bytes", "bytes")),
    ("the same in training (16 bytes each)", _change("vocabulary_training_bytes", "bytes")),
    ("logits of a sequence, float32", _change("logits_bytes", "bytes")),
    ("KV cache of 1000 chars, bf16", _change("cache_bytes_per_1000_chars", "bytes")),
    ("characters in the context", _change("chars_per_context", "count")),
    ("learning the rows: tokens (new)", lambda w: _budget(w["adapt_tokens"])),
    ("break-even, tokens trained (old)", lambda w: _budget(w["break_even_train_tokens"])),
    ("break-even, tokens served (old)", lambda w: _budget(w["break_even_serve_tokens"])),
)


def curve_line(label: str, curve: Result) -> str:
    """Knee and cheapest size in words."""
    knee = "no knee" if curve["knee"] is None else f"knee at {show(curve['knee'])} added entries"
    text = f"{label}: {knee}; 90 % of the gain at {show(curve['reaching_90'])}"
    if "cheapest" not in curve:
        return f"{text}."
    return (f"{text}; with {curve['model']} a character costs fewest operations at "
            f"{show(curve['cheapest'])}: {percent(curve['cheapest_saves'])} fewer than with none "
            "added.")  # fmt: skip


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def worth_lines(result: Result) -> list[str]:
    """The verdicts in words, the assumption, and what they do not say."""
    found = result.get("worth") or {}
    lines = [f"{label}: {w['verdict']}. {_sentence(w['reason'])}" for label, w in found.items()]
    if found:
        if any(w["adapt_assumed"] for w in found.values()):
            lines.append(
                f"Assumed: {TOKENS_PER_ROW:,} tokens of continued pretraining for each row to be "
                "learnt (rather too few; --adapt-tokens sets it)."
            )
        lines.append(next(iter(found.values()))["quality"])
    return lines


def curve_chart(label: str, curve: Result) -> str:
    """Tokens per character against added entries, the mix and up to four slices."""
    series = [("mix", curve["sizes"], curve["mix"])]
    if 1 < len(curve["slices"]) < _MAX_LINES:
        series += [(name, curve["sizes"], values) for name, values in curve["slices"].items()]
    knee = f"; knee at {show(curve['knee'])}" if curve["knee"] is not None else ""
    return line_chart(f"{label}: tokens / char{knee}", series, x_label="entries added to the base")
