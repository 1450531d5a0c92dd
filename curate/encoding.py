"""Bytes of a page to text: a ladder of evidence, each rung with a name that is kept.

A byte order mark, and bytes that are UTF-8 beyond doubt, settle it at once. Else everybody
proposes: the HTTP header, the ``<meta>`` element, the XML declaration, UTF-8, a detector, and where
none of them reads like text all codecs of the web. The proposals are decoded and scored
(``encoding_score``); the best is taken, and its score and the runner-up's are kept.
"""

import codecs
import re
from dataclasses import dataclass, replace
from typing import Final

from resiliparse.parse.encoding import detect_encoding

from .charset_labels import PRESCAN_BYTES, canonical_label, declared
from .encoding_score import Candidate, foreign_runs, rank

DETECTOR_BYTES: Final = 131_072
"""The detector reads half of this from either end (resiliparse's own default)."""

MAX_DAMAGE: Final = 0.02
"""Undecodable share of the non-ASCII characters up to which a multi-byte encoding still counts as
meant: stray bytes in a real page are below 0.1 %, Big5 read as UTF-8 is above 50 %."""

PROOF_CHARS: Final = 5
"""So many two-byte UTF-8 characters outrank a Chinese, Japanese or Korean label. Of 200 000 random
runs of n hanzi written in GB18030, 14.7, 2.2, 0.32, 0.06, 0.01 % happen to be valid UTF-8 for
n = 1..5; runs with a three-byte UTF-8 character among them: under 0.003 % for any n."""

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
COMMON, SOME, FEW, HARDLY = 0.5, 0.4, 0.2, 0.0
"""Prior of a codec that nobody proposes: how often web pages are written in it, roughly. Source:
the order of W3Techs' survey "usage of character encodings for websites"."""

SIBLINGS: Final = tuple(
    Candidate(codec, "score", prior)
    for group, prior in (
        (("cp1252", "gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "cp1251"), COMMON),
        (("cp1250", "iso8859-2", "cp1254", "cp1253", "iso8859-7", "cp1255", "cp1256", "cp874",
          "koi8-r"), SOME),
        (("cp1257", "cp1258", "iso8859-5", "koi8-u", "cp866", "mac_cyrillic"), FEW),
        (("johab", "cp852", "cp850", "mac_roman"), HARDLY),
    )
    for codec in group
)  # fmt: skip
"""Tried where nothing that is declared or detected reads like text."""

LABEL_BONUS: Final = 0.05
"""Advantage of a declared encoding over another reading that is as good: two readings of a Russian
page that differ in a few signs are 0.02 to 0.03 apart, a wrong reading of Chinese 0.3 and more."""

DETECTOR_WORD, VALID_PRIOR, WEAK_LABEL = 0.2, 0.8, 0.5
"""What the detector's word adds to the prior of a codec; the priors of UTF-8 that is valid but not
proven, and of ISO-8859-1 in the HTTP header, where a label has 1."""

GOOD: Final = 0.6
"""A declared encoding with this score is not put to the test against codecs nobody proposes. If it
were declared, 5 % of 383 right readings of the measured files would score less, and 2 % of 5614
readings in the codec of another script so much, nearly all with one to six foreign characters."""

RUBBISH: Final = 0.25
"""Below this nothing reads like text, and the first label, else UTF-8, is believed. Compressed data
read as Windows-1256 or KOI8-R scores up to 0.10; the worst reading known to be right 0.42."""

_DECLARED: Final = frozenset({"http", "meta", "xml"})
_MULTIBYTE: Final = frozenset({"gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "johab"})
_ESCAPES: Final = re.compile(rb"\x1b[$(]|\x0e|~\{")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A page as text.

    Attributes:
        text: without a byte order mark.
        encoding: the Python codec that was used.
        encoding_source: ``bom``, ``http``, ``meta``, ``xml``, ``utf-8`` (the bytes are valid),
            ``width`` (zero bytes show UTF-16 or UTF-32), ``detector``, or ``score`` (nobody
            proposed it, but it reads best).
        replaced: how many U+FFFD stand for bytes that did not decode.
        score: of this reading, where several were compared (``encoding_score``).
        runner_up: codec of the next best.
        runner_up_score: its score.
    """

    text: str
    encoding: str
    encoding_source: str
    replaced: int
    score: float | None = None
    runner_up: str | None = None
    runner_up_score: float | None = None

    def reason(self) -> dict[str, str | float] | None:
        """Why it was read so, for the record; ``None`` for ASCII and for undoubted UTF-8.

        Returns:
            ``source``, and where they apply ``score``, ``runner_up``, ``runner_up_score`` and
            ``replaced``.
        """
        plain = self.encoding == "utf-8" or self.text.isascii()
        if plain and self.score is None and not self.replaced:
            return None
        fields = {
            "source": self.encoding_source,
            "score": self.score,
            "runner_up": self.runner_up,
            "runner_up_score": self.runner_up_score,
            "replaced": self.replaced or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def decode_page(content: bytes, *, http_charset: str | None = None, media: str = "html") -> Decoded:
    """Decode a page by the best evidence there is; never fails.

    Args:
        content: the payload as received, transfer encoding undone.
        http_charset: ``charset`` parameter of the Content-Type header, if any.
        media: ``"html"``, where ``<meta>`` and the XML declaration are looked for, or ``"text"``.

    Returns:
        The text and where its encoding came from.

    Source:
        WHATWG HTML 13.2.3 (order of evidence); WHATWG Encoding (labels). Departures: bytes that
        are UTF-8 beyond doubt outrank a label of a legacy encoding, a page's own declaration
        outranks an ISO-8859-1 header, which old servers sent for every file, and any label is
        outranked by a reading that is text where its own is not.
    """
    marked = _by_mark(content)
    if marked is not None:
        return marked
    content = content.removeprefix(codecs.BOM_UTF8)
    http = canonical_label(http_charset) if http_charset else None
    labels = list(declared(content, http, media))
    certain = _utf8_beyond_doubt(content, labels)
    if certain is not None:
        source = next((s for e, s in labels if e == "utf-8"), "utf-8")
        return Decoded(certain.text, "utf-8", source, certain.replaced)
    return _choose(content, labels)


def _by_mark(content: bytes) -> Decoded | None:
    """Decode by byte order mark, or by zero bytes at the places where UTF-16 and UTF-32 have them.

    Bytes that do not decode behind a mark are replaced. Only a UTF-8 mark can be wrong (editors and
    templates prepend it to any file): with more than stray bytes behind it, it does not count.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            proposal = _propose(content[len(mark) :], encoding, "bom")
            if encoding == "utf-8" and proposal.damage() > MAX_DAMAGE:
                return None
            return _decoded(proposal)
    width = _width_by_zeros(content[:PRESCAN_BYTES])
    return _decoded(_propose(content, width, "width")) if width else None


def _width_by_zeros(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: markup is ASCII, so most high bytes are zero."""
    zeros = [head[k::4].count(0) for k in range(4)]
    units = len(head) // 4
    if units < 2 or sum(zeros) < units:
        return None
    nearly_all = [10 * count >= 9 * units for count in zeros]
    if nearly_all[2] and nearly_all[3]:
        return "utf-32-le"
    if nearly_all[0] and nearly_all[1]:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    if min(even, odd) * 8 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _utf8_beyond_doubt(content: bytes, labels: list[tuple[str, str]]) -> "_Text | None":
    """The text, if the bytes are UTF-8 in a way that outweighs what the page says of itself."""
    if content.isascii():
        return None
    text = _strict(content, "utf-8")
    if text is None:
        return _utf8_with_stray_bytes(content)
    if not any(encoding in _MULTIBYTE for encoding, _ in labels):
        return text
    # Every two-byte character adds one byte to the count of characters.
    proven = max(text.text) > "\u07ff" or len(content) - len(text.text) >= PROOF_CHARS
    return text if proven else None


def _utf8_with_stray_bytes(content: bytes) -> "_Text | None":
    """UTF-8 up to the first bad byte, with characters that no other encoding spells so."""
    try:
        valid = content.decode("utf-8")
    except UnicodeDecodeError as error:
        valid = content[: error.start].decode("utf-8")
    if sum(character > "\u07ff" for character in valid[:4096]) < PROOF_CHARS:
        return None
    proposal = _propose(content, "utf-8", "utf-8")
    return _Text(proposal.text, proposal.replaced) if proposal.damage() <= MAX_DAMAGE else None


@dataclass(frozen=True, slots=True)
class _Proposal:
    text: str
    encoding: str
    source: str
    replaced: int

    def damage(self) -> float:
        """Replaced share of the non-ASCII characters."""
        foreign = len(self.text.encode("utf-8", "replace")) - len(self.text)
        # Each non-ASCII character adds at least one byte; hanzi and U+FFFD add two.
        return 2 * self.replaced / max(1, foreign)


def _choose(content: bytes, labels: list[tuple[str, str]]) -> Decoded:
    """Score the readings that somebody proposes and take the best; see ``encoding_score``.

    Other codecs are tried only where no declared or detected one reads like text.
    """
    if content.isascii():
        return _seven_bit(content, labels)
    sample = foreign_runs(content)
    candidates = _proposed(content, labels)
    ranked = rank(sample, candidates)
    if ranked[0].score < GOOD or ranked[0].candidate.source not in _DECLARED:
        known = {candidate.codec for candidate in candidates}
        siblings = [c for c in SIBLINGS if c.codec not in known]
        ranked = sorted([*ranked, *rank(sample, siblings)], key=lambda s: -s.score)
    best = ranked[0]
    if best.score < RUBBISH:  # no text at all: show the damage instead of hiding it
        trusted = next((c for c in candidates if c.source in _DECLARED), candidates[-1])
        best = next(s for s in ranked if s.candidate is trusted)
        ranked = [best, *(s for s in ranked if s is not best)]
    page = replace(_read(content, best.candidate), score=best.score)
    if len(ranked) == 1:
        return page
    second = ranked[1]
    return replace(page, runner_up=second.candidate.codec, runner_up_score=second.score)


def _proposed(content: bytes, labels: list[tuple[str, str]]) -> list[Candidate]:
    """The declared encodings, UTF-8 and what the detector says, each codec once."""
    found = detect_encoding(content, DETECTOR_BYTES, html5_compatible=False)
    detected = canonical_label(found) if found and found != "ascii" else None
    priors = {sibling.codec: sibling.prior for sibling in SIBLINGS}
    candidates = [
        Candidate(codec, source, WEAK_LABEL if codec == "cp1252" and source == "http" else 1.0,
                  LABEL_BONUS)
        for codec, source in labels
    ]  # fmt: skip
    if detected and detected != "utf-8":
        prior = priors.get(detected, HARDLY) + DETECTOR_WORD
        candidates.append(Candidate(detected, "detector", prior))
    valid = _strict(content, "utf-8") is not None
    candidates.append(Candidate("utf-8", "utf-8", VALID_PRIOR if valid else COMMON))
    first = {candidate.codec: candidate for candidate in reversed(candidates)}
    return [c for c in candidates if first[c.codec] is c]


def _seven_bit(content: bytes, labels: list[tuple[str, str]]) -> Decoded:
    """ASCII, which every reading agrees on, unless escapes switch to another character set."""
    escapes = _ESCAPES.search(content) is not None
    for encoding, source in labels:
        if _strict(content, encoding) is not None:
            return _read(content, Candidate(encoding, source, 1.0))
    found = detect_encoding(content, DETECTOR_BYTES, html5_compatible=False) if escapes else None
    detected = canonical_label(found) if found and found != "ascii" else None
    if detected and _strict(content, detected) is not None:
        return _read(content, Candidate(detected, "detector", 1.0))
    return _read(content, Candidate("utf-8", "utf-8", 1.0))


def _read(content: bytes, candidate: Candidate) -> Decoded:
    text = _strict(content, candidate.codec)
    if text is not None:
        return Decoded(text.text, candidate.codec, candidate.source, text.replaced)
    return _decoded(_propose(content, candidate.codec, candidate.source))


def _decoded(proposal: _Proposal) -> Decoded:
    return Decoded(proposal.text, proposal.encoding, proposal.source, proposal.replaced)


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    replaced: int


def _strict(content: bytes, encoding: str) -> _Text | None:
    """Decode without errors; a character cut in two by the end of the page is no error.

    Crawlers cut long pages at a fixed byte count, mostly inside a character.
    """
    try:
        return _Text(content.decode(encoding), 0)
    except UnicodeDecodeError as error:
        cut = content[error.start :]
        if not 0 < len(cut) <= 3 or encoding not in _MULTIBYTE | {"utf-8"}:
            return None
        if not _is_incomplete(cut, encoding):
            return None
        return _Text(content[: error.start].decode(encoding) + "\ufffd", 1)


def _is_incomplete(cut: bytes, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        return decoder.decode(cut) == ""
    except UnicodeDecodeError:
        return False


def _propose(content: bytes, encoding: str, source: str) -> _Proposal:
    text = content.decode(encoding, "replace")
    genuine = content.count(b"\xef\xbf\xbd") if encoding == "utf-8" else 0
    return _Proposal(text, encoding, source, text.count("\ufffd") - genuine)
