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
(either), each within its half of the document. Traditional forms are made of the simplified ones
(``data/line_phrases_traditional.tsv``: to ask OpenCC takes 0.1 s); ASCII case is ignored.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
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
_TRADITIONAL: Final = "line_phrases_traditional.tsv"
_RULE_OF: Final = {
    **{family: number for number, family in enumerate(FAMILIES)},
    "counter": RULES.index("refinedweb_counter"),
    "cut": RULES.index("refinedweb_navigation"),
}
_PLANE: Final = 0x10000
_ALL_BITS: Final = (1 << 64) - 1


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
        second: by character: bits of the second characters (number modulo 64, ASCII in lower case)
            of the phrases that start so, uint64; all bits if one has no second.
        within: by character: most characters of a line in which a phrase that starts so can stand
            elsewhere than in front; 0 if none can.
        ascii_within: the same for phrases of ASCII alone, int64 ``[128]``: a line of ASCII can hold
            no other.
        ascii_menu: int64 ``[1]``: most characters of a line of ASCII that may be a menu.
    """

    codes: Codes
    cuts: Bounds
    facts: npt.NDArray[np.int64]
    ends: Bounds
    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.uint64]
    within: npt.NDArray[np.int64]
    ascii_within: npt.NDArray[np.int64]
    ascii_menu: npt.NDArray[np.int64]


def read_phrases() -> list[Phrase]:
    """The phrases of the file and C4's, simplified and traditional, each once a use."""
    found: dict[Phrase, None] = {}
    forms = {row[0]: row for row in _rows(_TRADITIONAL)}
    for family, kind, place, longest, phrases in _rows(_FILE):
        facts = (_RULE_OF[family], KINDS.index(kind), PLACES.index(place), int(longest))
        for phrase in phrases.split("|"):
            for form in forms.get(phrase, [phrase]):
                found[Phrase(form.lower(), *facts)] = None
    for name, rule in (("n_javascript", "c4_javascript"), ("n_policy_phrases", "c4_policy")):
        facts = (RULES.index(rule), KINDS.index("inside"), PLACES.index("any"), ANY_LENGTH)
        for phrase in MARKERS[name]:
            found[Phrase(phrase, *facts)] = None
    return list(found)


def _rows(name: str) -> list[list[str]]:
    """The rows of a table of ours."""
    text = files("yanmo.curate").joinpath("data", name).read_text(encoding="utf-8")
    lines = text.splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def traditional_forms() -> list[list[str]]:
    """Each phrase that OpenCC writes otherwise in traditional hanzi, and its other forms."""
    from opencc import OpenCC

    converters = [OpenCC("s2t"), OpenCC("s2tw")]
    phrases = dict.fromkeys(p for row in _rows(_FILE) for p in row[-1].split("|"))
    rows = [
        list(dict.fromkeys((phrase, *(converter.convert(phrase) for converter in converters))))
        for phrase in phrases
    ]
    return [row for row in rows if len(row) > 1]


def _write() -> None:
    head = "# A phrase of line_phrases.tsv and its traditional forms (OpenCC's s2t, s2tw).\n"
    head += "# Made by python -m yanmo.curate.line_phrases; a test makes it again.\n"
    text = head + "".join("\t".join(row) + "\n" for row in traditional_forms())
    (Path(__file__).parent / "data" / _TRADITIONAL).write_text(text, encoding="utf-8")


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
    second = np.zeros(_PLANE, np.uint64)
    for phrase in ordered:
        bits = 1 << (ord(phrase.text[1]) & 63) if len(phrase.text) > 1 else _ALL_BITS
        second[ord(phrase.text[0])] |= np.uint64(bits)
    ascii_only = [p for p in ordered if p.text.isascii()]
    within, ascii_within = _within(ordered), _within(ascii_only)
    makers = [p.max_chars for p in ascii_only if KINDS[p.kind] in ("alone", "pager")]
    for letter in range(ord("a"), ord("z") + 1):
        for table in (first, second, within, ascii_within):
            table[letter - 32] = table[letter]
    heads = np.array([ord(p.text[0]) for p in ordered], np.int64)
    ends = np.searchsorted(heads, heads, side="right").astype(np.int64)
    menu = np.array([max(makers, default=0)], np.int64)
    return Compiled(codes, cuts, facts, ends, first, second, within, ascii_within[:128], menu)


def _within(phrases: Sequence[Phrase]) -> npt.NDArray[np.int64]:
    within = np.zeros(_PLANE, np.int64)
    for phrase in phrases:
        if KINDS[phrase.kind] in ("inside", "tail"):
            head = ord(phrase.text[0])
            within[head] = max(within[head], phrase.max_chars)
    return within


if __name__ == "__main__":
    _write()
