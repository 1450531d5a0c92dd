"""What HTML tags and bytes are to the extractor of main content, as tables for its kernel."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int64]

(OTHER, INLINE, BLOCK, SKIPPED, RAW, VOID, BREAK, ANCHOR, BODY, HEADING, PARAGRAPH, ITEM, CELL, ROW,
 TABLE, LIST, PRE, QUOTE, FIGURE, CAPTION, NAV, ASIDE, FOOTER, HEADER, ARTICLE, MAIN, FORM, TERM,
 TOP_HEADING, DIALOG) = range(30)  # fmt: skip

_TAGS: Final = {
    INLINE: "abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark meter "
    "output q ruby rp rt s samp small span strike strong sub sup time tt u var nobr map math",
    BLOCK: "html address center details dir div fieldset frameset hgroup hr legend menuitem "
    "section summary tbody thead tfoot colgroup",
    SKIPPED: "head svg template noscript select button textarea object canvas audio video datalist "
    "applet picture progress",
    RAW: "script style iframe noembed noframes xmp plaintext",
    VOID: "area base col embed img input link meta param source track wbr basefont bgsound frame",
    BREAK: "br", ANCHOR: "a", BODY: "body", TOP_HEADING: "h1", HEADING: "h2 h3 h4 h5 h6",
    PARAGRAPH: "p", ITEM: "li", CELL: "td th caption", ROW: "tr", TABLE: "table",
    LIST: "ul ol dl menu", PRE: "pre listing", QUOTE: "blockquote", FIGURE: "figure",
    CAPTION: "figcaption", NAV: "nav", ASIDE: "aside", FOOTER: "footer", HEADER: "header",
    ARTICLE: "article", MAIN: "main", FORM: "form", TERM: "dt dd", DIALOG: "dialog",
}  # fmt: skip

HEADINGS: Final = 1 << HEADING | 1 << TOP_HEADING

WHOLE: Final = 1 << 30
"""In a table of words: the word must end where it ends; without it, it may go on (``comment*``)."""

HIDDEN: Final = 1
"""The hint of an element with ``hidden`` or ``display: none``."""
_ATTRIBUTES: Final = {"class": 1, "id": 1, "role": 1, "itemprop": 1, "style": 2, "hidden": 3}


def table_of(values: Mapping[str, int]) -> Table:
    """An open hash table from ASCII words to numbers, for the kernel.

    Args:
        values: words in lower case, and numbers above zero.

    Returns:
        (slots, 2): hash and number; a free slot has number 0. The slots are a power of two.
    """
    slots = 64
    while slots < 4 * len(values):
        slots *= 2
    table = np.zeros((slots, 2), np.int64)
    for word, value in values.items():
        code = 17
        for byte in word.encode("ascii"):
            code = (code * 31 + byte) & 0xFFFFFFFF
        slot = code & (slots - 1)
        while table[slot, 1]:
            slot = (slot + 1) & (slots - 1)
        table[slot] = code, value
    return table


TAG_TABLE: Final = table_of({tag: kind for kind, tags in _TAGS.items() for tag in tags.split()})
ATTRIBUTE_TABLE: Final = table_of(_ATTRIBUTES)


# What a byte of text is to the kernel.
PLAIN, SPACE, TAG_OPENS, REFERENCE, MARK, THREE = range(6)
BYTE_KINDS: Final = np.zeros(256, np.uint8)
BYTE_KINDS[list(b" \n\t\r\f")] = SPACE
BYTE_KINDS[list(b",.;!?:")] = MARK
BYTE_KINDS[ord("<")] = TAG_OPENS
BYTE_KINDS[ord("&")] = REFERENCE
BYTE_KINDS[0xE0:0xF0] = THREE
