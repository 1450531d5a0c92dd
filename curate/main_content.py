"""The extractors: from the HTML of one page to its main text and title. Run inside the sandbox.

Which one to take, and the options of resiliparse, were chosen on gold sets (``bench/main_content``,
docs/main_content.md): word 4-gram F1 on 90 articles of article-extraction-benchmark, character
4-gram F1 on 23 Chinese news pages, snippet F1 on 470 pages of trafilatura's set; halves that
nothing was tuned on:

    blocks         .979   .993   .931   <- default
    trafilatura    .971   .909   .930   (a tenth of the speed)
    resiliparse    .930   .862   .863   (no alt texts, comments, bullets; its defaults do worse)
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .blocks import DROP, HINT_TABLE, TITLE, choose_blocks
from .boilerplate import phrases_in
from .markup import CELL, ELEMENT, FIRST, ITEM, LAST, PARENT, TAG, WEIGHT, Rows, read_blocks
from .sandbox import TooLarge

EXTRACTORS: Final = {
    "blocks": "yanmo.curate.main_content:blocks_text",
    "resiliparse": "yanmo.curate.main_content:resiliparse_text",
    "trafilatura": "yanmo.curate.main_content:trafilatura_text",
}

SHORT_BYTES: Final = 100
"""Below this the page has no article that blocks would tell; resiliparse keeps short texts."""

_TITLE_SHARE: Final = 3
"""A headline makes up at least a third of the title; the rest is the name of the site."""


def blocks_text(page: bytes, options: dict[str, Any]) -> tuple[str, str]:
    """Extract by the blocks of the page: as clean as trafilatura, nine to ten times as fast.

    The headline is left to the title; captions of figures go.

    Args:
        page: HTML as UTF-8.
        options: the fields of ``ExtractOptions``.

    Returns:
        Text and title.

    Raises:
        TooLarge: the page has too many nodes or nests too deep.
    """
    tree, title = _parsed(page)
    if tree is None or tree.body is None:
        return "", title
    html = tree.body.html.encode("utf-8", "replace")
    text = text_of_html(html, title, options)
    if len(text) < SHORT_BYTES and len(text.encode()) < SHORT_BYTES:
        other = _resiliparse(tree, page, options)
        text = other if len(other) > len(text) else text
    return text, title


def text_of_html(html: bytes, title: str, options: dict[str, Any]) -> str:
    """The main text of serialised HTML (see ``read_blocks``), a line a block."""
    elements, blocks, buffer, deepest = read_blocks(html, HINT_TABLE)
    if len(elements) + 2 > options["max_nodes"]:  # <html> and <head> stand outside
        raise TooLarge(f"{len(elements) + 2} elements, the limit is {options['max_nodes']}")
    if deepest >= options["max_depth"]:  # the body stands in <html>
        raise TooLarge(f"elements nest deeper than {options['max_depth']}")
    if not len(blocks):
        return ""
    data = buffer.tobytes()
    repeats = _repeats(blocks, data, title)
    keep, value = choose_blocks(
        elements,
        blocks,
        phrases_in(blocks, elements, data),
        headline=repeats[0] if repeats else -1,
        comments=options["comments"],
    )
    _cut_headline(keep, value, repeats)
    return _written(elements, blocks, np.flatnonzero(keep), data, bullets=options["list_bullets"])


def _repeats(blocks: Rows, data: bytes, title: str) -> list[int]:
    """Blocks that the title repeats."""
    flat = "".join(title.split()).lower()
    size = len(flat.encode())
    weight = blocks[:, WEIGHT]
    likely = (weight >= 6) & (weight <= size) & (weight * _TITLE_SHARE >= size)
    found = []
    for block in np.flatnonzero(likely).tolist():
        words = data[blocks[block, FIRST] : blocks[block, LAST]].decode("utf-8", "replace")
        if "".join(words.split()).lower() in flat:
            found.append(block)
    return found


def _cut_headline(
    keep: npt.NDArray[np.int8], value: npt.NDArray[np.float64], repeats: list[int]
) -> None:
    """Drop the first kept block that the title repeats, and what stands above it.

    What stands above stays if it is most of the prose, a quarter being enough after a heading: the
    heading is then one of a teaser.
    """
    kept = np.where(keep != DROP, value, 0.0)
    for block in repeats:
        if keep[block]:
            enough = 0.25 if keep[block] == TITLE else 0.5
            start = 0 if kept[block:].sum() >= enough * kept.sum() else block
            keep[start : block + 1] = DROP
            return


def _written(
    elements: Rows, blocks: Rows, chosen: npt.NDArray[np.intp], data: bytes, *, bullets: bool
) -> str:
    """Lines of text; cells of a row are parted by tabs."""
    pieces: list[str] = []
    rows = blocks[chosen]
    homes = elements[rows[:, ELEMENT]][:, [TAG, PARENT]].tolist()
    cell = row = -1
    for (element, first, last), (tag, parent) in zip(
        rows[:, [ELEMENT, FIRST, LAST]].tolist(), homes, strict=True
    ):
        words = data[first:last].decode("utf-8", "replace")
        beside = tag == CELL and parent == row and element != cell
        if pieces:
            pieces.append("\t" if beside else "\n")
        pieces.append("• " + words if bullets and tag == ITEM else words)
        cell, row = (element, parent) if tag == CELL else (-1, -1)
    return "".join(pieces)


def resiliparse_text(page: bytes, options: dict[str, Any]) -> tuple[str, str]:
    """Extract with resiliparse: fast, block formatting kept, simple boilerplate heuristics.

    Args:
        page: HTML as UTF-8.
        options: the fields of ``ExtractOptions``.

    Returns:
        Text and title.

    Raises:
        TooLarge: the page has too many nodes or nests too deep.
    """
    tree, title = _parsed(page)
    if tree is None:
        return "", ""
    nodes = len(tree.document.get_elements_by_tag_name("*"))
    if nodes > options["max_nodes"]:
        raise TooLarge(f"{nodes} elements, the limit is {options['max_nodes']}")
    depth: int = options["max_depth"]
    if tree.document.query_selector(" > ".join(["*"] * (depth + 1))) is not None:
        raise TooLarge(f"elements nest deeper than {depth}")
    return _resiliparse(tree, page, options), title


def _parsed(page: bytes) -> tuple[Any, str]:
    """The tree of a page (None if it has none) and its title."""
    from resiliparse.parse.html import HTMLTree

    # A tenth faster than ``parse_from_bytes``, which decodes on its own.
    tree = HTMLTree.parse(page.decode("utf-8", "replace"))
    if tree.document is None:
        return None, ""
    return tree, " ".join((tree.title or "").split())


def _resiliparse(tree: Any, page: bytes, options: dict[str, Any]) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    text: str = extract_plain_text(
        tree,
        preserve_formatting=True,
        main_content=True,
        list_bullets=options["list_bullets"],
        alt_texts=options["alt_texts"],
        comments=options["comments"],
    )
    return _unindented(text, page)


def trafilatura_text(page: bytes, options: dict[str, Any]) -> tuple[str, str]:
    """Extract with trafilatura in its balanced mode: about 10 times slower.

    Its precision mode lost the article and kept the link lists on 8 of 40 Chinese news pages.

    Raises:
        TooLarge: the page has too many elements or nests too deep.
    """
    import trafilatura
    from lxml import etree  # type: ignore[import-untyped]

    tree = trafilatura.load_html(page)
    if tree is None:
        return "", ""
    nodes = depth = deepest = 0
    for event, _ in etree.iterwalk(tree, events=("start", "end")):
        depth += 1 if event == "start" else -1
        nodes += event == "start"
        deepest = max(deepest, depth)
    if nodes > options["max_nodes"]:
        raise TooLarge(f"{nodes} elements, the limit is {options['max_nodes']}")
    if deepest > options["max_depth"]:
        raise TooLarge(f"elements nest deeper than {options['max_depth']}")
    title = " ".join((tree.findtext(".//title") or "").split())
    text = trafilatura.extract(tree, include_comments=options["comments"])
    return _unindented(text or "", page), title


def _unindented(text: str, page: bytes) -> str:
    """Drop the indentation that nested blocks and the layout of the source leave behind.

    Only a page with preformatted text means what stands at the start of its lines.
    """
    if b"<pre" in page or b"<PRE" in page:
        return text
    return "\n".join(line.strip() for line in text.split("\n"))
