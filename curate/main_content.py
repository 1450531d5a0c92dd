"""The extractors: from the HTML of one page to its main text and title. Run inside the sandbox.

Which one to take, and the options of resiliparse, were chosen on gold sets (``bench/main_content``,
docs/main_content.md): word 4-gram F1 on 90 articles of article-extraction-benchmark, character
4-gram F1 on 23 Chinese news pages, snippet F1 on 470 pages of trafilatura's set; halves that
nothing was tuned on:

    blocks         .979   .993   .931   <- default
    trafilatura    .971   .909   .930   (a twelfth of the speed)
    resiliparse    .930   .862   .863   (no alt texts, comments, bullets; its defaults do worse)
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .blocks import HINT_TABLE, choose_blocks
from .boilerplate import phrases_in
from .markup import ELEMENT, FIRST, LAST, PARENT, TAG, Rows, read_blocks
from .sandbox import TooLarge
from .tags import CELL, ITEM
from .utf8 import Bytes, kernel

EXTRACTORS: Final = {
    "blocks": "yanmo.curate.main_content:blocks_text",
    "resiliparse": "yanmo.curate.main_content:resiliparse_text",
    "trafilatura": "yanmo.curate.main_content:trafilatura_text",
}

SHORT_BYTES: Final = 100
"""Below this the page has no article that blocks would tell; resiliparse keeps short texts."""


def blocks_text(page: bytes, options: dict[str, Any]) -> tuple[str, str]:
    """Extract by the blocks of the page: as clean as trafilatura, twelve times as fast or more.

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
    elements, blocks, text, deepest = read_blocks(html, HINT_TABLE)
    if len(elements) + 2 > options["max_nodes"]:  # <html> and <head> stand outside
        raise TooLarge(f"{len(elements) + 2} elements, the limit is {options['max_nodes']}")
    if deepest >= options["max_depth"]:  # the body stands in <html>
        raise TooLarge(f"elements nest deeper than {options['max_depth']}")
    if not len(blocks):
        return ""
    phrases, repeats = phrases_in(blocks, elements, text, title=title)
    keep = choose_blocks(elements, blocks, phrases, repeats=repeats, comments=options["comments"])
    lines = _lines(elements, blocks, text, keep, options["list_bullets"])
    return lines.tobytes().decode("utf-8", "replace")


@kernel
def _lines(
    elements: Rows, blocks: Rows, text: Bytes, keep: npt.NDArray[np.int8], bullets: bool
) -> Bytes:
    """Lines of text, UTF-8; cells of a row are parted by tabs."""
    written = np.empty(len(text) + 5 * len(blocks), np.uint8)
    used = 0
    cell = row = -1
    for b in range(len(blocks)):
        if not keep[b]:
            continue
        element = blocks[b, ELEMENT]
        tag, parent = elements[element, TAG], elements[element, PARENT]
        if used:
            beside = tag == CELL and parent == row and element != cell
            written[used] = 9 if beside else 10
            used += 1
        if bullets and tag == ITEM:  # "• "
            written[used], written[used + 1], written[used + 2] = 0xE2, 0x80, 0xA2
            written[used + 3] = 32
            used += 4
        size = blocks[b, LAST] - blocks[b, FIRST]
        written[used : used + size] = text[blocks[b, FIRST] : blocks[b, LAST]]
        used += size
        cell, row = (element, parent) if tag == CELL else (-1, -1)
    return written[:used]


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
