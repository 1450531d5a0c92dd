"""English tokens and sentences by regular expressions, as spaCy describes its own rules.

Nothing here looks at the kernel; the list of contractions and abbreviations is shared, it is data.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from yanmo.curate.contractions import specials
from yanmo.curate.published_sets import newer_symbols, terminals

_CUT = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTE = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_MONEY = "$£¥฿﷼" + "".join(map(chr, range(0x20A0, 0x20C0)))
_UNITS = (
    "km² km³ km/h kmh km m² m³ mph mph mbar mb mm² mm³ mm mg m/s m dm² dm³ dm cm² cm³ cm ha µm µg "
    "nm yd in ft kg kb g t lb oz hPa Pa MB KB GB gb TB tb T G M K %"
)
_TERMINAL = frozenset(terminals())


@cache
def _class(test: str) -> str:
    """A regular-expression class of letters: any, small (or caseless), capital (or caseless)."""
    tests: dict[str, Callable[[str], bool]] = {
        "letter": str.isalpha,
        "small": lambda c: c.isalpha() and not (c.isupper() or c.istitle()),
        "capital": lambda c: c.isalpha() and not c.islower(),
        "icon": lambda c: unicodedata.category(c) == "So" and c not in newer_symbols(),
    }
    codes = [code for code in range(0x33480) if tests[test](chr(code))]
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in runs)


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    letter, small, capital, icon = map(_class, ("letter", "small", "capital", "icon"))
    cut, quote, money = map(re.escape, (_CUT, _QUOTE, _MONEY))
    any_cut = f"[{cut}]|[{quote}]|[{icon}]"
    prefix = rf"[§%=—–]|\+(?![0-9])|{any_cut}|\.\.+|[{money}]|US\$|C\$|A\$"
    units = "|".join(map(re.escape, _UNITS.split()))
    suffix = (
        rf"……|{any_cut}|\.\.+|['’][sS]|[—–]|(?<=[0-9])\+|(?<=°[FfCcKk])\.|(?<=[0-9])[{money}]"
        rf"|(?<=[0-9])(?:{units})|(?<=[0-9{small}%²\-+|{cut}{quote}])\.|(?<=[{capital}][{capital}])\."
    )
    infix = (
        rf"\.\.+|…|[{icon}]|(?<=[0-9])[+\-*^](?=[0-9-])|(?<=[{small}{quote}])\.(?=[{capital}{quote}])"
        rf"|(?<=[{letter}]),(?=[{letter}])|(?<=[{letter}0-9])(?:---|--|-|–|——|—|~)(?=[{letter}])"
        rf"|(?<=[{letter}0-9])[:<>=/](?=[{letter}])"
    )
    label = r"[A-Za-z0-9\u00a1-\uffff](?:[A-Za-z0-9\u00a1-\uffff_-]*[A-Za-z0-9\u00a1-\uffff])?"
    address = (
        rf"(?:[{letter}0-9_+\-.]{{2,}}://)?(?:\S+@)?(?:{label}\.)+[{small}]{{2,63}}"
        r"(?::[0-9]{2,5})?(?:[/?#]\S*)?"
    )
    return (
        re.compile(prefix),
        re.compile(rf"(?:{suffix})\Z"),
        re.compile(infix),
        re.compile(address),
    )


def _pieces_of(listed: str) -> list[str]:
    pieces, start = [], 0
    for length in specials()[listed]:
        pieces.append(listed[start : start + length])
        start += length
    return pieces


def _cut_chunk(chunk: str) -> list[str]:  # noqa: C901
    prefix, suffix, infix, address = _patterns()
    front: list[str] = []
    back: list[str] = []
    while chunk and chunk not in specials():
        before, after = prefix.match(chunk), None
        head = before.end() if before else 0
        if chunk[head:] in specials():
            front, chunk = [*front, chunk[:head]], chunk[head:]
            break
        if head < len(chunk):
            after = suffix.search(chunk[head:])
        tail = len(after.group()) if after else 0
        if tail and chunk[:-tail] in specials():
            back, chunk = [chunk[-tail:], *back], chunk[:-tail]
            break
        if not head and not tail:
            break
        if head:
            front.append(chunk[:head])
        if tail:
            back.insert(0, chunk[-tail:])
        chunk = chunk[head : len(chunk) - tail]
    middle: list[str] = []
    if chunk in specials():
        middle = _pieces_of(chunk)
    elif address.fullmatch(chunk):
        middle = [chunk]
    elif chunk:
        start = 0
        for match in infix.finditer(chunk):
            if match.start() == 0:
                continue
            middle += [chunk[start : match.start()], match.group()]
            start = match.end()
        middle.append(chunk[start:])
    return _with_smileys([token for token in (*front, *middle, *back) if token])


def _with_smileys(tokens: list[str]) -> list[str]:
    joined: list[str] = []
    while tokens:
        for n in range(min(7, len(tokens)), 0, -1):
            whole = "".join(tokens[:n])
            if n == 1 or (len(specials().get(whole, ())) == 1):
                joined.append(whole)
                tokens = tokens[n:]
                break
    return joined


def tokens(text: str) -> list[str]:
    """English tokens as spaCy cuts them."""
    return [token for chunk in text.split() for token in _cut_chunk(chunk)]


def sentences(line: str) -> int:
    """Sentences of a line: after an end, the first token that is neither end nor punctuation."""
    count, ended, place = 1, False, 0
    for token in tokens(line):
        at = line.index(token, place)
        if ended and place and (at - place > 1 or line[place:at] not in ("", " ")):
            count, ended = count + 1, False
        place = at + len(token)
        if token in _TERMINAL:
            ended = True
        elif ended and not all(unicodedata.category(c)[0] == "P" for c in token):
            count, ended = count + 1, False
    return count + (ended and len(line) - place > 1)
