"""The extractors: from the HTML of one page to its main text and title. Run inside the sandbox.

Options of resiliparse were chosen on two gold sets. Word 4-gram F1 on 90 English articles
(article-extraction-benchmark) and snippet F1 on 470 German and English pages (trafilatura's own):

    library defaults                        .907   .841
    no alt texts                            .928   .850
    no alt texts, comments                  .933   .862
    no alt texts, comments, list bullets    .933   .862   <- default
    the same, no dates and authors          .938   .858   (loses 2 % of the wanted snippets)
"""

from typing import Any, Final

from .sandbox import TooLarge

EXTRACTORS: Final = {
    "resiliparse": "yanmo.curate.main_content:resiliparse_text",
    "trafilatura": "yanmo.curate.main_content:trafilatura_text",
}


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
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse_from_bytes(page, "utf-8")
    document = tree.document
    if document is None:
        return "", ""
    nodes = len(document.get_elements_by_tag_name("*"))
    if nodes > options["max_nodes"]:
        raise TooLarge(f"{nodes} elements, the limit is {options['max_nodes']}")
    depth: int = options["max_depth"]
    if nodes > depth and document.query_selector(" > ".join(["*"] * (depth + 1))) is not None:
        raise TooLarge(f"elements nest deeper than {depth}")
    title = " ".join((tree.title or "").split())
    text: str = extract_plain_text(
        tree,
        preserve_formatting=True,
        main_content=True,
        list_bullets=options["list_bullets"],
        alt_texts=options["alt_texts"],
        comments=options["comments"],
    )
    return _unindented(text, page), title


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
