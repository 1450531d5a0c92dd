"""The phrases by which a line is known for boilerplate, as the arrays that the kernel reads.

They are data (``data/line_phrases.tsv``). What a kind asks of a line, apart from its length:

``alone``       the line is made of such phrases, punctuation and spaces
``pager``       likewise, and of digits
``filler``      may stand in such a line, but makes none
``head``        it starts with the phrase (after punctuation)
``tail``        it ends with the phrase (before punctuation)
``inside``      it holds the phrase
``field``       it starts with the phrase and a colon, and more
``label``       it starts with the phrase, and a colon, space, bar or bracket, or the end, follows
``name``        as ``label``, and what follows is hanzi, without digits, letters or a comma
``counter``     a number and the phrase are all there is
``cut_head``, ``cut_tail``, ``cut_inside``   the phrase alone is cut out of the line

A place is ``any``, ``start`` (the first five lines with text), ``end`` (the last fifteen), ``edge``
(either), each within its half of the document. Traditional forms are made of the simplified ones;
ASCII case is ignored.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .phrases import MARKERS
from .utf8 import Bounds, Codes

KINDS: Final = (
    "alone", "pager", "filler", "head", "tail", "inside", "field", "label", "name", "counter",
    "cut_head", "cut_tail", "cut_inside",
)  # fmt: skip
LAST_MENU_KIND: Final = KINDS.index("filler")
PLACES: Final = ("any", "start", "end", "edge")
FAMILIES: Final = (
    "menu", "position", "neighbours", "credit", "tags", "rights", "follow", "notice",
)  # fmt: skip
RULES: Final = (
    *(f"boilerplate_{family}" for family in FAMILIES),
    "refinedweb_counter", "refinedweb_navigation", "c4_javascript", "c4_policy",
    "c4_terminal_punctuation", "c4_min_words", "c4_max_word_chars", "refinedweb_uppercase",
    "refinedweb_numeric", "refinedweb_one_word", "c4_citation",
)  # fmt: skip
"""Rules by the name on the ledger; the first that fits takes the line."""

ANY_LENGTH: Final = 1 << 30
_FILE: Final = "line_phrases.tsv"
_RULE_OF: Final = {
    **{family: number for number, family in enumerate(FAMILIES)},
    "counter": RULES.index("refinedweb_counter"),
    "cut": RULES.index("refinedweb_navigation"),
}
_PLANE: Final = 0x10000


class Phrase(NamedTuple):
    """One phrase: numbers are places in ``RULES``, ``KINDS`` and ``PLACES``."""

    text: str
    rule: int
    kind: int
    place: int
    max_chars: int


class Compiled(NamedTuple):
    """All phrases for the kernel.

    Attributes:
        codes: the phrases back to back, by first character, longest first.
        cuts: where each begins in ``codes``, int64 ``[P + 1]``.
        facts: int64 ``[P, 4]``: rule, kind, place, most characters of a line.
        ends: int64 ``[P]``: where the phrases that begin with the same character end.
        first: by character (of the first plane): the first phrase that starts so plus one, or 0.
        within: by character: most characters of a line in which a phrase that starts so can stand
            elsewhere than in front; 0 if none can.
    """

    codes: Codes
    cuts: Bounds
    facts: npt.NDArray[np.int64]
    ends: Bounds
    first: npt.NDArray[np.int32]
    within: npt.NDArray[np.int64]


def read_phrases() -> list[Phrase]:
    """The phrases of the file and C4's, simplified and traditional, each once a use."""
    from opencc import OpenCC

    found: dict[Phrase, None] = {}
    converters = [OpenCC("s2t"), OpenCC("s2tw")]
    text = files("yanmo.curate").joinpath("data", _FILE).read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        family, kind, place, longest, phrases = line.split("\t")
        facts = (_RULE_OF[family], KINDS.index(kind), PLACES.index(place), int(longest))
        for phrase in phrases.split("|"):
            for form in (phrase, *(converter.convert(phrase) for converter in converters)):
                found[Phrase(form.lower(), *facts)] = None
    for name, rule in (("n_javascript", "c4_javascript"), ("n_policy_phrases", "c4_policy")):
        facts = (RULES.index(rule), KINDS.index("inside"), PLACES.index("any"), ANY_LENGTH)
        for phrase in MARKERS[name]:
            found[Phrase(phrase, *facts)] = None
    return list(found)


@cache
def compiled(rules: tuple[int, ...]) -> Compiled:
    """The phrases of some rules, given as places in ``RULES``."""
    return compile_phrases([p for p in read_phrases() if p.rule in rules])


def compile_phrases(phrases: Sequence[Phrase]) -> Compiled:
    """Sort phrases for the kernel; at one place the longest, then the first of ``RULES``, wins."""
    ordered = sorted(phrases, key=lambda p: (p.text[0], -len(p.text), p))
    codes = np.array([ord(c) for p in ordered for c in p.text], np.int32)
    cuts = np.cumsum([0, *(len(p.text) for p in ordered)], dtype=np.int64)
    facts = np.array([p[1:] for p in ordered], np.int64).reshape(-1, 4)
    first = np.zeros(_PLANE, np.int32)
    for number, phrase in reversed(list(enumerate(ordered, 1))):
        first[ord(phrase.text[0])] = number
    within = np.zeros(_PLANE, np.int64)
    for phrase in ordered:
        if KINDS[phrase.kind] in ("inside", "tail"):
            head = ord(phrase.text[0])
            within[head] = max(within[head], phrase.max_chars)
    for letter in range(ord("a"), ord("z") + 1):
        first[letter - 32], within[letter - 32] = first[letter], within[letter]
    heads = np.array([ord(p.text[0]) for p in ordered], np.int64)
    ends = np.searchsorted(heads, heads, side="right").astype(np.int64)
    return Compiled(codes, cuts, facts, ends, first, within)
