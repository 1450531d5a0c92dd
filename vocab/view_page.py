"""The page of `yanmo vocab view`: counts, the tokens, and what changed against a base."""

import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from yanmo.bilingual import attribute, markup
from yanmo.report import Page, Table, show

from .differences import commonest
from .view import Panel, asset, page_data, script_json
from .view_words import WORDS, say

CHANGES_SHOWN: Final = 40


def view_page(panels: Sequence[Panel], *, base: int | None = None, whole: int | None = None) -> str:
    """The page.

    Args:
        panels: of :func:`~yanmo.vocab.view.build`.
        base: the tokenizer that the others are compared with.
        whole: characters of the text before it was cut, if it was.

    Returns:
        One HTML document without any reference to elsewhere.
    """
    text = panels[0].text
    size = show(len(text.encode("utf-8")))
    lead = say("{chars} characters, {bytes} bytes.", chars=show(len(text)), bytes=size)
    title = say("One text, {n} tokenizers", n=len(panels))
    page = Page(title, lead=lead, style=asset("view.css").replace("\n", ""))
    if whole is not None:
        cut = "Cut: only the first {chars} of {all} characters are shown and counted (--limit)."
        page.add_text(say(cut, chars=show(len(text)), all=show(whole)))
    page.add_heading(say("Counts"), anchor="counts")
    page.body.append('<div class="scroll">')
    page.add_table(count_table(panels, base))
    page.body.append("</div>")
    page.add_heading(say("Tokens"), anchor="tokens")
    page.add_svg(_tools(panels, base))
    page.add_svg(_script(panels, base))
    if base is not None:
        page.add_heading(say("Against the base"), anchor="base")
        for panel in panels:
            _difference_section(page, panel, panels[base])
    return page.html()


def count_table(panels: Sequence[Panel], base: int | None) -> Table:
    """What the tokenizers make of the text, in numbers."""
    columns = [
        "tokenizer", "algorithm", "entries", "tokens", "characters per token", "bytes per token",
        "byte tokens", "unknown tokens", "characters lost", "places changed by the normaliser",
        "characters in no token",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for number, panel in enumerate(panels):
        found = panel.numbers()
        row = [panel.name, panel.tokenizer.kind, panel.tokenizer.vocab_size,
               found["tokens"], found["chars_per_token"],
               found["bytes_per_token"], found["byte_tokens"], found["unknown"],
               found["lost_chars"], found["changed"], found["not_in_a_token"]]  # fmt: skip
        if base is not None:
            ground = len(panels[base].spans)
            more = len(panel.spans) - ground
            share = f"{more / max(ground, 1):+.1%}"
            row += [say("base") if number == base else share, len(panel.only_here)]
        rows.append(row)
    if base is not None:
        columns += ["tokens against base", "entries only here"]
    return Table("", [say(name) for name in columns], rows)


def _tools(panels: Sequence[Panel], base: int | None) -> str:
    hint = attribute("placeholder", say("id, text or spelling of a token"))
    label = attribute("aria-label", say("find"))
    search = f'<input id="find" class="search" type="search"{label}{hint}>'
    boxes = f'<label><input id="side" type="checkbox">{markup(say("side by side"))}</label>'
    if base is not None:
        fade = markup(say("fade what base and others cut alike"))
        boxes += f'<label><input id="fade" type="checkbox" checked>{fade}</label>'
    marks = [
        ('<span class="t a">ab</span><span class="t b">cd</span>', "one token, the next"),
        ('<span class="g"><span class="c">字</span><span><span class="t a">E5</span>'
         '<span class="t b">AD</span><span class="t a">97</span></span></span>',
         "the bytes of one character"),
    ]  # fmt: skip
    numbers = [panel.numbers() for panel in panels]
    for sample, text, there in (
        ('<span class="t a unk">字</span>', "unknown: the characters are lost", "unknown"),
        ('<span class="t a changed">ＡＢ</span>', "changed by the normaliser", "changed"),
        ('<span class="gap">字</span>', "in no token", "not_in_a_token"),
    ):
        if any(found[there] for found in numbers):
            marks.append((sample, text))
    if any(panel.only_here for panel in panels):
        marks.append(('<span class="t a new">ab</span>', "not in the base vocabulary"))
    if any(panel.outside and panel.outside.changed for panel in panels):
        sample = '<span class="t a broken">ab</span>'
        marks.append((sample, "text without hanzi, cut differently"))
    legend = "".join(f"<span>{sample} {markup(say(text))}</span>" for sample, text in marks)
    return (
        f'<div class="tools">{search}{boxes}</div><div id="hits"></div>'
        f'<div class="legend">{legend}</div>'
    )


def _script(panels: Sequence[Panel], base: int | None) -> str:
    needs = markup(say("This page draws itself with a script of its own; it needs JavaScript."))
    return (
        f'<noscript><p>{needs}</p></noscript><div id="view"></div>'
        '<div id="strip" role="region" aria-live="polite"><div class="now"></div>'
        '<div id="details" hidden></div></div>'
        f'<script type="application/json" id="data">'
        f"{script_json(page_data(panels, base, WORDS))}</script>"
        f"<script>{asset('view.js')}{asset('view_details.js')}</script>"
    )


def _difference_section(page: Page, panel: Panel, ground: Panel) -> None:
    if panel.found is None or panel.outside is None:
        return
    before, saved = len(ground.spans), len(ground.spans) - len(panel.spans)
    said = "{name}: {saved} tokens saved of {all} ({share}), {places} places cut differently."
    page.add_text(say(said, name=panel.name, saved=show(saved), all=show(before),
                      share=f"{saved / max(before, 1):.1%}",
                      places=show(len(panel.found))))  # fmt: skip
    outside = panel.outside
    if outside.identical == outside.spans:
        page.add_text(say("Text without hanzi: all {all} stretches are cut alike.",
                          all=show(outside.spans)))  # fmt: skip
    else:
        said = (
            "Text without hanzi: {same} of {all} stretches are cut alike, {joined} are joined "
            "with hanzi by a token, and {broken} places inside the others changed."
        )
        page.add_text(say(said, same=show(outside.identical), all=show(outside.spans),
                          joined=show(outside.joined),
                          broken=show(len(outside.changed))))  # fmt: skip
    old, new = ([cut[2] for cut in side.cuts] for side in (ground, panel))
    rows = commonest(panel.text, panel.found, old, new)
    shown = [
        [visible(text), count, (len(a) - len(b)) * count, _row_of(a), _row_of(b)]
        for text, a, b, count in rows[:CHANGES_SHOWN]
    ]
    if not shown:
        return
    title = say("Cut differently: {shown} of {all}, most tokens saved first",
                shown=len(shown), all=show(len(rows)))  # fmt: skip
    columns = ["text", "times", "tokens saved", "in the base", "here"]
    with page.fold(title):
        page.add_table(Table("", [say(name) for name in columns], shown))


def _row_of(surfaces: Sequence[bytes]) -> str:
    return " | ".join(map(spell, surfaces))


def visible(text: str) -> str:
    """A text for a cell: what cannot be seen, or would turn the line, as a sign.

    Args:
        text: any text.
    """
    return "".join(_sign(character, at) for at, character in enumerate(text))


def _sign(character: str, at: int) -> str:
    if character in "\n\t ":
        return {"\n": "⏎", "\t": "⇥", " ": "·"}[character]
    kind = unicodedata.category(character)
    if kind[0] == "C" or kind in ("Zl", "Zp", "Zs"):
        return f"[U+{ord(character):04X}]"
    return "\u25cc" + character if kind[0] == "M" and at == 0 else character


def spell(surface: bytes) -> str:
    """The bytes of a token for a cell: whole characters as text, other bytes in hex."""
    try:
        return visible(surface.decode("utf-8"))
    except UnicodeDecodeError as error:
        start, end = error.start, error.end
        middle = "".join(f"[{byte:02X}]" for byte in surface[start:end])
        return visible(surface[:start].decode("utf-8")) + middle + spell(surface[end:])
