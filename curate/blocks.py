"""Main content of a page by its blocks: where the prose is, and which blocks there belong to it.

1. A block with marks of sentences and few links is prose, worth its weight without links.
2. Names of tags, classes and ids tell menus, comments, related pages …; prose there is worth less.
3. From the top, the container is the child that holds most of the prose, as long as one does.
4. In the container, what the names call boilerplate goes (unless that is nearly all), with blocks
   of links, notices, and sections that announce other pages.
5. What is left from the first to the last paragraph is the text; the headline is the title's.

The ideas are those of readability, boilerpipe and trafilatura; that a few numbers a block tell
enough is Kohlschütter, Fankhauser and Nejdl, Boilerplate detection using shallow text features
(2010). The shares below were chosen on the development halves of ``bench/main_content.py``.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from .boilerplate import SECTION
from .markup import ELEMENT, END, HINTS, LINKED, MARKS, PARENT, TAG, WEIGHT, Rows
from .tags import (
    ARTICLE,
    ASIDE,
    BODY,
    CAPTION,
    DIALOG,
    FOOTER,
    HEADING,
    HEADINGS,
    HIDDEN,
    ITEM,
    MAIN,
    NAV,
    PARAGRAPH,
    PRE,
    QUOTE,
    TERM,
    TOP_HEADING,
    WHOLE,
    table_of,
)  # fmt: skip
from .utf8 import kernel

Floats = npt.NDArray[np.float64]
Kinds = npt.NDArray[np.int8]

MENU, FOOT, SIDE, COMMENT, RELATED, SHARE, AD, META = (1 << bit for bit in range(1, 9))
BAD: Final = HIDDEN | MENU | FOOT | SIDE | COMMENT | RELATED | SHARE | AD | META
_MILD: Final = MENU | SIDE | META
"""Names that themes also give to what wraps the whole page (``has-sidebar``)."""

WORDS: Final = {
    MENU: "nav navbar navigation menu* breadcrumb* crumb crumbs pager pagination paging toolbar "
    "topbar sitemap skip mbx toc",
    FOOT: "footer foot copyright colophon disclaimer contentinfo",
    SIDE: "sidebar* side aside widget* rail complementary",
    COMMENT: "comment* disqus respond replies reply pinglun",
    RELATED: "related* recommend* recirc* popular trending outbrain taboola similar latest "
    "tuijian xiangguan hot rank ranking readmore upnext prevnext mostread",
    SHARE: "share* sharing social* sns fenxiang follow addthis addtoany bdsharebuttonbox",
    AD: "ad ads advert* adsense sponsor* promo promos promotion* banner* cookie* consent gdpr "
    "popup* modal overlay login signup signin subscribe* subscription newsletter* paywall dialog "
    "alertdialog optin cta donate donation",
    META: "byline author* meta tags tag tagcloud postmeta dateline timestamp editor bio biography "
    "profile* credit credits caption* copyrights",
}
"""Words in class, id, role and itemprop; with a star the word may go on."""

HINT_TABLE: Final = table_of(
    {
        word.rstrip("*"): hint | (0 if word.endswith("*") else WHOLE)
        for hint, words in WORDS.items()
        for word in words.split()
    }
)

_ALWAYS_BAD: Final = 1 << NAV | 1 << ASIDE | 1 << FOOTER | 1 << DIALOG | 1 << CAPTION
_LEAVES: Final = (
    HEADINGS | 1 << PARAGRAPH | 1 << ITEM | 1 << PRE | 1 << QUOTE | 1 << TERM
)  # fmt: skip

DESCEND: Final = 0.9
"""The container's child takes over if it holds this share of the prose."""

CUE_SHARE: Final = 0.4
"""… or this share, if the only headline is in it, too."""

WRAPS: Final = 0.5
"""An element with this share of the prose is no menu or sidebar, whatever its name."""

RELAX: Final = 0.05
"""If the names leave less than this share of the container's prose, fewer of them count."""

LATE: Final = 0.25
"""A section of other pages comes after this share of the prose; above it, only its heading goes."""

DROP, PROSE, TITLE, SHORT = range(4)


@kernel
def _worth(elements: Rows, blocks: Rows, phrases: Kinds) -> Floats:
    """Prose in each block: weight without links, 0 for headings, notices and blocks of links."""
    value = np.zeros(len(blocks))
    for b in range(len(blocks)):
        tag = elements[blocks[b, ELEMENT], TAG]
        weight, linked, marks = blocks[b, WEIGHT], blocks[b, LINKED], blocks[b, MARKS]
        if linked * 2 > weight and (tag != PARAGRAPH or weight - linked < 50 or marks == 0):
            continue
        if phrases[b] or ((HEADINGS >> tag) & 1 and (marks == 0 or weight < 80)):
            continue
        if marks > 0 or tag == PRE:
            value[b] = weight - linked
        elif weight >= 80:
            value[b] = 0.5 * (weight - linked)
    return value


@kernel
def _sums(elements: Rows, blocks: Rows, value: Floats) -> Floats:
    """Of each subtree."""
    total = np.zeros(len(elements))
    for b in range(len(blocks)):
        total[blocks[b, ELEMENT]] += value[b]
    for e in range(len(elements) - 1, 0, -1):
        total[elements[e, PARENT]] += total[e]
    return total


@kernel
def _inherit(elements: Rows, plain: Floats, top: int, allowed: int, tags: bool) -> Rows:
    """Hints of each element below ``top``, with those of what it stands in."""
    context = np.zeros(len(elements), np.int32)
    for e in range(top + 1, elements[top, END]):
        tag = elements[e, TAG]
        own = elements[e, HINTS] & allowed
        if tag == BODY:
            own = 0
        elif tag in (ARTICLE, MAIN):  # class="post tag-budget author-li" tells what it is about
            own &= COMMENT | HIDDEN
        if plain[e] >= WRAPS * plain[top]:
            own &= ~_MILD if top == 0 else COMMENT | HIDDEN
        if tag == PARAGRAPH and plain[e] >= 80:
            own &= HIDDEN
        if tags and (_ALWAYS_BAD >> tag) & 1:
            own |= FOOT if tag == FOOTER else SIDE
        context[e] = own | context[elements[e, PARENT]]
    return context


@kernel
def _only_main(elements: Rows, plain: Floats) -> int:
    """The only ``<article>``, or else ``<main>``, with a fair share of the prose; or -1."""
    main = article = -1
    mains = articles = 0
    for e in range(len(elements)):
        if plain[e] > 0:
            if elements[e, TAG] == ARTICLE:
                articles += 1
                article = e
            elif elements[e, TAG] == MAIN:
                mains += 1
                main = e
    if articles == 1 and plain[article] >= 0.2 * plain[0]:
        return article
    if articles <= 1 and mains == 1 and plain[main] >= 0.1 * plain[0]:
        return main
    return -1


@kernel
def _container(elements: Rows, plain: Floats, prose: Floats, only: int) -> int:
    headline = -1
    for e in range(len(elements)):
        if elements[e, TAG] == TOP_HEADING:
            headline = e if headline == -1 else -2
    here = 0
    while True:
        best = cue = -1
        child = here + 1
        while child < elements[here, END]:
            end = elements[child, END]
            if best < 0 or prose[child] > prose[best]:
                best = child
            # A cue leads to a fair share of prose (200 bytes: two sentences) or leads nowhere.
            main = child <= only < end and plain[child] >= 200
            fair = prose[child] >= max(200.0, CUE_SHARE * prose[here])
            if main or (child <= headline < end and fair):
                cue = child
            child = end
        if cue < 0 and (
            best < 0 or (_LEAVES >> elements[best, TAG]) & 1 or prose[best] < DESCEND * prose[here]
        ):
            return here
        here = cue if cue >= 0 else best


@kernel
def _widen(elements: Rows, blocks: Rows, value: Floats, here: int) -> int:
    """Climb while paragraphs stand right beside the container."""
    while elements[here, PARENT] > 0:
        parent = elements[here, PARENT]
        beside = 0.0
        for b in range(len(blocks)):
            e = blocks[b, ELEMENT]
            near = e != here and (e == parent or elements[e, PARENT] == parent)
            if near and (_LEAVES >> elements[e, TAG]) & 1 and elements[e, HINTS] & BAD == 0:
                beside += value[b]
        if beside < 60:
            return here
        here = parent
    return here


@kernel
def _sort(
    elements: Rows, blocks: Rows, value: Floats, phrases: Kinds, here: int, context: Rows
) -> Kinds:
    """``PROSE``, ``TITLE`` (of a section), ``SHORT`` or ``DROP`` for each block."""
    keep = np.zeros(len(blocks), np.int8)
    for b in range(len(blocks)):
        e = blocks[b, ELEMENT]
        if e < here or e >= elements[here, END] or context[e]:
            continue
        tag = elements[e, TAG]
        weight, linked = blocks[b, WEIGHT], blocks[b, LINKED]
        if (HEADINGS >> tag) & 1 and value[b] == 0:
            keep[b] = TITLE
        elif value[b] > 0 and weight >= 30:
            keep[b] = PROSE
        elif phrases[b] == 0 and linked * 2 <= weight:
            keep[b] = SHORT
    return keep


@kernel
def _drop_sections(
    elements: Rows, blocks: Rows, value: Floats, phrases: Kinds, keep: Kinds, here: int
) -> None:
    """Drop sections of other pages, up to the end of what holds their heading, or a heading."""
    total = 0.0
    for b in range(len(blocks)):
        if keep[b]:
            total += value[b]
    before = 0.0
    b = 0
    while b < len(blocks):
        if keep[b]:
            before += value[b]
        e = blocks[b, ELEMENT]
        b += 1
        if phrases[b - 1] != SECTION or e < here or e >= elements[here, END]:
            continue
        keep[b - 1] = DROP
        if before < LATE * total:
            continue
        heading = (HEADINGS >> elements[e, TAG]) & 1
        holder = elements[e, PARENT]
        if holder > here and elements[holder, END] == e + 1:  # nothing else is in there
            holder = elements[holder, PARENT]
        while b < len(blocks) and blocks[b, ELEMENT] < elements[holder, END]:
            tag = elements[blocks[b, ELEMENT], TAG]
            if heading and (HEADINGS >> tag) & 1 and not phrases[b] and not blocks[b, LINKED]:
                break
            keep[b] = DROP
            b += 1


@kernel
def _add_lead(  # noqa: PLR0913
    elements: Rows, blocks: Rows, value: Floats, keep: Kinds, outer: Rows, here: int, headline: int
) -> None:
    """Keep paragraphs between the headline and the container."""
    start = len(blocks)
    for b in range(len(blocks)):
        e = blocks[b, ELEMENT]
        if e < here and (elements[e, TAG] == TOP_HEADING or b == headline):
            start = b + 1
    for b in range(start, len(blocks)):
        e = blocks[b, ELEMENT]
        if e >= here:
            break
        weight, linked = blocks[b, WEIGHT], blocks[b, LINKED]
        leaf = (_LEAVES >> elements[e, TAG]) & 1 or weight >= 120
        if leaf and outer[e] == 0 and value[b] > 0 and weight >= 60 and linked * 5 < weight:
            keep[b] = PROSE


@kernel
def _trim(elements: Rows, blocks: Rows, keep: Kinds) -> None:
    """Drop what stands before the first and behind the last paragraph, subheadings spared."""
    count = len(blocks)
    first = last = -1
    for b in range(count):
        if keep[b] == PROSE:
            first = b if first < 0 else first
            last = b
    if first >= 0:
        while first > 0 and keep[first - 1] == TITLE:
            if elements[blocks[first - 1, ELEMENT], TAG] != HEADING:
                break
            first -= 1
        home = elements[blocks[last, ELEMENT], PARENT]
        while last + 1 < count and keep[last + 1] == SHORT:
            e = blocks[last + 1, ELEMENT]
            if elements[e, PARENT] != home or not (_LEAVES >> elements[e, TAG]) & 1:
                break
            last += 1
    for b in range(count):
        if b < first or b > last:
            keep[b] = DROP


@kernel
def _cut_headline(keep: Kinds, value: Floats, repeats: npt.NDArray[np.intp]) -> None:
    """Drop the first kept block that the title repeats, and what stands above it.

    What stands above stays if it is most of the prose, a quarter being enough after a heading: the
    heading is then one of a teaser.
    """
    for block in repeats:
        if keep[block]:
            above = below = 0.0
            for b in range(len(keep)):
                if keep[b]:
                    above += value[b] if b < block else 0.0
                    below += value[b] if b >= block else 0.0
            enough = 0.25 if keep[block] == TITLE else 0.5
            start = 0 if below >= enough * (above + below) else block
            keep[start : block + 1] = DROP
            return


@kernel
def _choose(
    elements: Rows, blocks: Rows, phrases: Kinds, repeats: npt.NDArray[np.intp], ignored: int
) -> Kinds:
    value = _worth(elements, blocks, phrases)
    plain = _sums(elements, blocks, value)
    bad = BAD & ~ignored
    outer = _inherit(elements, plain, 0, bad, True)
    weighed = value.copy()
    for b in range(len(blocks)):
        hints = outer[blocks[b, ELEMENT]]
        if hints:
            weighed[b] *= 0.2 if hints & ~_MILD == 0 else 0.05
    prose = _sums(elements, blocks, weighed)
    here = _container(elements, plain, prose, _only_main(elements, plain))
    here = _widen(elements, blocks, value, here)
    inside = 0.0
    for b in range(len(blocks)):
        if here <= blocks[b, ELEMENT] < elements[here, END]:
            inside += value[b]
    context = _inherit(elements, plain, here, bad, True)
    for allowed in (bad & ~_MILD, HIDDEN, 0):
        kept = 0.0
        for b in range(len(blocks)):
            e = blocks[b, ELEMENT]
            if here <= e < elements[here, END] and context[e] == 0:
                kept += value[b]
        if kept >= RELAX * inside:
            break
        context = _inherit(elements, plain, here, allowed, False)
    keep = _sort(elements, blocks, value, phrases, here, context)
    _drop_sections(elements, blocks, value, phrases, keep, here)
    headline = repeats[0] if len(repeats) else -1
    _add_lead(elements, blocks, value, keep, outer, here, headline)
    _trim(elements, blocks, keep)
    _cut_headline(keep, value, repeats)
    return keep


def choose_blocks(
    elements: Rows, blocks: Rows, phrases: Kinds, *, repeats: npt.NDArray[np.intp], comments: bool
) -> Kinds:
    """Choose the blocks of the main content.

    Args:
        elements, blocks: of ``read_blocks`` with ``HINT_TABLE``; at least one element.
        phrases: of ``phrases_in``.
        repeats: the blocks that repeat the page's title; the headline goes.
        comments: take comments for content.

    Returns:
        (m,) int8: what to keep is not ``DROP``.
    """
    return _choose(elements, blocks, phrases, repeats, COMMENT if comments else 0)
