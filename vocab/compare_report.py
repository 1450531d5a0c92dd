"""A comparison as tables (terminal, Markdown) and as one HTML page."""

from collections.abc import Iterator
from typing import Any

from yanmo.charts import PALETTE, Bar, bar_chart
from yanmo.report import Page, Table, show

from .char_coverage import TABLES
from .growth_report import (
    curve_chart,
    curve_line,
    curve_table,
    percent,
    worth_lines,
    worth_table,
)

Result = dict[str, Any]
FAILURES_SHOWN = 20
_MEASURES = (
    "tokens/char", "95 %", "vs first", "chars/token", "bytes/token", "byte tokens", "unk chars",
    "exact",
)  # fmt: skip


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} … {high:.3f}"


def _gap(difference: Result | None, identical: bool) -> str:
    """Relative difference from the first tokenizer with its paired interval."""
    if difference is None:
        return "–"
    if identical:
        return "identical ids"
    if difference["relative"] is None:
        return "–"
    text = f"{100 * difference['relative']:+.1f} %"
    if difference["relative_low"] is None:
        return text
    low, high = (100 * difference[f"relative_{end}"] for end in ("low", "high"))
    return f"{text} ({low:+.1f} … {high:+.1f})"


def slice_title(part: Result) -> str:
    """Name of a slice, and how much of it was looked at."""
    seen, held = part["documents"], part["population"]["documents"]
    word = "document" if held == 1 else "documents"
    of = f"{show(seen)} of {show(held)} {word}" if seen != held else f"{show(seen)} {word}"
    left_out = len({failure["where"] for failure in part["failed"]})
    failed = f", {left_out} left out" if left_out else ""
    return f"{part['slice']}: {of}, {show(part['bytes'])} bytes{failed}"


def slice_table(part: Result) -> Table:
    """Tokens, bytes and losses of one slice."""
    rows = [
        [label, f"{m['tokens_per_char']['value']:.4f}",
         _interval(m["tokens_per_char"]["low"], m["tokens_per_char"]["high"]),
         _gap(part["differences"].get(label), m["same_ids_documents"] == part["documents"]),
         _number(m["chars_per_token"]), _number(m["bytes_per_token"]), percent(m["byte_share"]),
         m["unk_chars"],
         percent(m["exact_share"])]
        for label, m in part["tokenizers"].items()
    ]  # fmt: skip
    return Table(slice_title(part), ["tokenizer", *_MEASURES], rows)


def use_table(part: Result) -> Table:
    """How the vocabulary is used on one slice."""
    columns = ["tokenizer", "Rényi 2.5", "of its size", "used", "Han cut", "Han lost",
               *(f"Han tokens of {k}" for k in ("1", "2", "3", "4", "5+"))]  # fmt: skip
    rows = [
        [label, _number(m["renyi_efficiency"]), _number(m["renyi_efficiency_of_size"]),
         percent(m["used_share"]), percent(m["han"]["split_rate"]), m["han"]["unknown"],
         *(percent(share) for share in m["han"]["by_length"].values())]
        for label, m in part["tokenizers"].items()
    ]  # fmt: skip
    return Table(f"{part['slice']}: use of the vocabulary", columns, rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def tokenizer_table(result: Result) -> Table:
    """What was compared."""
    rows = [[t["label"], t["kind"], t["size"], "yes" if t["unknown_token"] else "no",
             t["sha256"][:12], t["path"]] for t in result["tokenizers"]]  # fmt: skip
    columns = ["tokenizer", "kind", "ids", "unknown token", "sha256", "path"]
    return Table("Tokenizers", columns, rows)


def coverage_table(result: Result) -> Table:
    """Characters of the standard tables: one token / several / unknown."""
    found = result["coverage"]
    size = {name: next(iter(found.values()))[name]["of"] for name in TABLES}
    rows = [
        [label, *(" / ".join(str(tables[name][kind]) for kind in ("one", "several", "unk"))
                  for name in TABLES)]
        for label, tables in found.items()
    ]  # fmt: skip
    columns = ["tokenizer", *(f"{name} ({size[name]})" for name in TABLES)]
    return Table("Characters that are one token / several / unknown", columns, rows)


def words_table(result: Result) -> Table | None:
    """Words kept whole, where a list was given."""
    if not result["words"]:
        return None
    rows = [[label, percent(w["one"]), percent(w["weighted_one"]), percent(w["characters"]),
             percent(w["unk"]), f"{w['tokens_per_word']:.3f}"]
            for label, w in result["words"].items()]  # fmt: skip
    count = next(iter(result["words"].values()))["words"]
    columns = ["tokenizer", "one token", "by frequency", "cut to characters", "unknown",
               "tokens / word"]  # fmt: skip
    title = f"{show(count)} words of {result['word_list']['path']}"
    return Table(title, columns, rows)


def losses_table(result: Result) -> Table | None:
    """The characters that are lost, by name; none where nothing is."""
    rows = [
        [label, kind, m[f"{key}_chars"], " ".join(f"{_visible(c)}×{n}" for c, n in named[:12])]
        for label, m in result["all"]["tokenizers"].items()
        for kind, key in (("behind unknown tokens", "unk"), ("gone when decoded", "lost"),
                          ("new when decoded", "added"))
        if (named := m[f"{key}_characters"])
    ]  # fmt: skip
    columns = ["tokenizer", "what", "characters", "most frequent"]
    return Table("Characters that do not come back", columns, rows) if rows else None


def _visible(character: str) -> str:
    if character.isprintable() and not character.isspace():
        return character
    return f"U+{ord(character):04X}"


def failure_table(result: Result) -> Table | None:
    """Documents that a tokenizer could not encode."""
    failed = result["all"]["failed"]
    rows = [[f["tokenizer"], f["where"], f["error"]] for f in failed[:FAILURES_SHOWN]]
    title = f"Left out for all: {show(len({f['where'] for f in failed}))} documents"
    if len(failed) > FAILURES_SHOWN:
        title += f", {FAILURES_SHOWN} of {show(len(failed))} failures shown"
    return Table(title, ["tokenizer", "document", "error"], rows) if rows else None


def lines(result: Result) -> list[str]:
    """What stands below the tables."""
    curves = (result.get("curves") or {}).items()
    said = [curve_line(label, curve) for label, curve in curves]
    return [*left_out_lines(result), *said, *worth_lines(result)]


def left_out_lines(result: Result) -> list[str]:
    """The slices that are in no table, if there are any."""
    labels = ", ".join(result["left_out"])
    return [f"Slices without a document that all could encode: {labels}."] if labels else []


def tables(result: Result, *, brief: bool = False) -> Iterator[Table]:
    """All tables in reading order; ``brief`` leaves out what a terminal has no room for."""
    if not brief:
        yield tokenizer_table(result)
    parts = [*result["slices"], *([result["all"]] if len(result["slices"]) > 1 else [])]
    for part in parts:
        yield slice_table(part)
        if not brief or part is parts[-1]:
            yield use_table(part)
    yield coverage_table(result)
    yield from (t for t in (words_table(result), losses_table(result), failure_table(result)) if t)
    for label, curve in (result.get("curves") or {}).items():
        yield curve_table(label, curve)
    worth = worth_table(result)
    if worth:
        yield worth


def render_text(result: Result) -> str:
    """For a terminal."""
    blocks = [table.text() for table in tables(result, brief=True)]
    return "\n\n".join([*blocks, *lines(result)])


def render_markdown(result: Result) -> str:
    """For a README or an issue."""
    blocks = [table.markdown() for table in tables(result)]
    return "\n\n".join([*blocks, *lines(result)]) + "\n"


def render_html(result: Result) -> str:
    """One self-contained page."""
    parts = result["slices"]
    names = [t["label"] for t in result["tokenizers"]]
    total = result["all"]
    lead = (f"{len(names)} tokenizers on {show(total['documents'])} documents, "
            f"{show(total['bytes'])} bytes in {len(parts)} slices. {_sampled(result)}")  # fmt: skip
    page = Page("yanmo · tokenizers compared", lead=lead)
    page.add_heading("Tokenizers", anchor="tokenizers")
    _scroll(page, Table("", *_bare(tokenizer_table(result))))
    page.add_heading("Tokens per character", anchor="fertility")
    page.add_text("Fewer is better. Whiskers: 95 % bootstrap over documents. A character is a "
                  "code point; compare slices of one language only.")  # fmt: skip
    for part in parts:
        page.add_svg(_bars(part, names))
    page.add_heading("Slice by slice", anchor="slices")
    for part in [*parts, *([total] if len(parts) > 1 else [])]:
        _scroll(page, slice_table(part))
        with page.fold(f"{part['slice']}: use of the vocabulary"):
            _scroll(page, Table("", *_bare(use_table(part))))
    for line in left_out_lines(result):
        page.add_text(line)
    page.add_heading("Characters", anchor="characters")
    for table in (coverage_table(result), words_table(result), losses_table(result),
                  failure_table(result)):  # fmt: skip
        if table:
            _scroll(page, table)
    _growth_sections(page, result)
    page.add_heading("How it is counted", anchor="how")
    for text in _METHOD:
        page.add_text(text)
    return page.html()


def _growth_sections(page: Page, result: Result) -> None:
    if result.get("curves"):
        page.add_heading("How large should the extension be?", anchor="curve")
    for label, curve in (result.get("curves") or {}).items():
        page.add_svg(curve_chart(label, curve))
        page.add_text(curve_line(label, curve))
        _scroll(page, curve_table(label, curve))
    worth = worth_table(result)
    if worth:
        page.add_heading("Is it worth it?", anchor="worth")
        *said, quality = worth_lines(result)
        for line in said:
            page.add_text(line)
        page.body.append('<div style="border-left:4px solid var(--accent);padding:2px 14px">')
        page.add_text(quality)
        page.body.append("</div>")
        _scroll(page, worth)


def _sampled(result: Result) -> str:
    part, seed = result["all"], result["sampling"]["seed"]
    if part["documents"] == part["population"]["documents"]:
        return "Nothing was left out."
    return f"A sample of {show(part['population']['documents'])} documents, seed {seed}."


def _bare(table: Table) -> tuple[Any, Any]:
    return table.columns, table.rows


def _scroll(page: Page, table: Table) -> None:
    """A table whose numbers stay on one line; it scrolls where the window is narrow."""
    page.body.append('<div class="scroll" style="white-space:nowrap">')
    page.add_table(table)
    page.body.append("</div>")


def _bars(part: Result, names: list[str]) -> str:
    bars = []
    for index, name in enumerate(names):
        value = part["tokenizers"][name]["tokens_per_char"]
        interval = None if value["low"] is None else (value["low"], value["high"])
        bars.append(Bar(name, value["value"], f"{value['value']:.3f}",
                        PALETTE[index % len(PALETTE)], interval))  # fmt: skip
    return bar_chart(slice_title(part), bars)


_METHOD = (
    "Byte tokens: raw bytes (<0xE4>, line ends of LLaMA among them) and tokens whose bytes are no "
    "whole UTF-8. Unk chars: characters behind unknown tokens, from the library's own offsets. "
    "Exact: documents for which decode(encode(x)) == x.",
    "Rényi 2.5: Rényi entropy of order 2.5 of the ids written, over the logarithm of the number of "
    "ids seen (of its size: of all ids). Zouhar et al. 2023.",
    "Han cut: Han characters of the text that lie in no single token. Han tokens of n: tokens of "
    "Han characters alone, by length.",
    "vs first: relative difference in tokens, with the interval of the paired bootstrap.",
    "Knee: farthest point below the chord of the curve (Satopää et al. 2011); it depends on how "
    "far the curve goes.",
)
