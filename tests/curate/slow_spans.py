"""Duplicate spans written from their definition, on strings: the oracle of the kernels."""

from collections import defaultdict
from collections.abc import Sequence

from yanmo.curate.sentences import ABBREVIATIONS, ALWAYS, CLOSERS
from yanmo.curate.sketch import _fate, _fold

Span = tuple[int, int]


def fold(text: str, how: str) -> str:
    """What is hashed of a unit."""
    if how == "exact":
        return text
    out = []
    for char in text:
        if char.isspace():
            continue
        if ord(char) >= 0x20000:
            out.append(char)
            continue
        folded = _fold(char)
        fate = _fate(folded)
        if fate == 3 or (how == "letters" and fate == 0):
            continue
        out.append(folded)
    return "".join(out)


def trimmed(text: str, start: int, stop: int) -> list[Span]:
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return [(start, stop)] if start < stop else []


def lines(text: str) -> list[Span]:
    """Lines that are not blank, without white space at their ends."""
    found, start = [], 0
    for line in text.split("\n"):
        found += trimmed(text, start, start + len(line))
        start += len(line) + 1
    return found


def paragraphs(text: str) -> list[Span]:
    """Runs of lines that are not blank."""
    found: list[Span] = []
    place = 0
    open_start, open_stop = -1, -1
    for line in [*text.split("\n"), ""]:
        if line.strip():
            open_start = place if open_start < 0 else open_start
            open_stop = place + len(line)
        elif open_start >= 0:
            found += trimmed(text, open_start, open_stop)
            open_start = -1
        place += len(line) + 1
    return found


def _has_letter(text: str) -> bool:
    return any(ord(c) >= 0x20000 or _fate(_fold(c)) not in (0, 3) for c in text)


def _full_stop_ends(text: str, start: int, at: int, after: int) -> bool:
    if at > 0 and ord(text[at - 1]) >= 0x2E80:
        return after >= len(text) or not ("0" <= text[after] <= "9")
    if after < len(text) and not text[after].isspace():
        return ord(text[after]) >= 0x2E80 and after > at + 1
    rest = text[after:].split("\n")[0].lstrip()
    if rest[:1].isascii() and rest[:1].islower():
        return False
    k = at
    while k > start and not text[k - 1].isspace() and text[k - 1] not in '("“':
        if ord(text[k - 1]) >= 0x2E80:
            break
        k -= 1
    word = text[k:at]
    if word and all(c in "0123456789" for c in word):
        return bool(text[start:k].strip())
    if len(word) == 1 and "A" <= word <= "Z":
        return False
    lowered = "".join(c.lower() if c.isascii() else c for c in word)
    return lowered not in ABBREVIATIONS


def sentences(text: str) -> list[Span]:  # noqa: C901
    """Sentences by the rules of the module."""
    found: list[Span] = []
    ends, start, i = set(ALWAYS + "!?."), 0, 0

    def close(stop: int) -> None:
        nonlocal start
        if _has_letter(text[start:stop]):
            found.extend(trimmed(text, start, stop))
        elif found and (last := trimmed(text, start, stop)):
            found[-1] = (found[-1][0], last[0][1])
        start = stop

    while i < len(text):
        if text[i] == "\n":
            close(i)
            i += 1
        elif text[i] in ends:
            j = i
            while j < len(text) and text[j] in ends:
                j += 1
            run = text[i:j]
            while j < len(text) and text[j] in CLOSERS:
                j += 1
            following = text[j] if j < len(text) else ""
            if any(c in ALWAYS for c in run):
                stops = True
            elif run[-1] in "!?":
                stops = not following or following.isspace() or ord(following) >= 0x80
            elif len(run) > 1:
                stops = not following or following.isspace() or ord(following) >= 0x2E80
            else:
                stops = _full_stop_ends(text, start, i, j)
            if stops:
                close(j)
            i = j
        else:
            i += 1
    close(len(text))
    return found


CUTTERS = {"lines": lines, "paragraphs": paragraphs, "sentences": sentences}


def units(text: str, kind: str, how: str, window: int = 3) -> list[tuple[Span, tuple[str, ...]]]:
    """Units and what they are equal by."""
    spans = CUTTERS[kind](text)
    keys = [fold(text[a:b], how) for a, b in spans]
    if kind != "sentences":
        return [(span, (key,)) for span, key in zip(spans, keys, strict=True)]
    return [((spans[i][0], spans[i + window - 1][1]), tuple(keys[i : i + window]))
            for i in range(len(spans) - window + 1)]  # fmt: skip


def duplicates(  # noqa: PLR0913
    texts: Sequence[str], kind: str, how: str, *, least: int, documents: int, within: bool,
    window: int = 3,
) -> set[tuple[int, int, int, int]]:  # fmt: skip
    """(document, start, end, document of the first) of all duplicates; texts in keep order."""
    groups: dict[tuple[str, ...], list[tuple[int, Span]]] = defaultdict(list)
    for number, text in enumerate(texts):
        for span, key in units(text, kind, how, window):
            if sum(map(len, key)) >= least:
                groups[key].append((number, span))
    found = set()
    for places in groups.values():
        first, kept = places[0]
        if len({number for number, _ in places}) < documents:
            continue
        for number, (start, end) in places[1:]:
            if number == first and not within:
                continue
            if number == first:
                start = max(start, kept[1])
            if start < end:
                found.add((number, start, end, first))
    return found


def cut(text: str, spans: Sequence[Span]) -> str:  # noqa: C901
    """The text without spans, and without the white space left over at the seams."""
    marked = [False] * len(text)
    for a, b in spans:
        marked[a:b] = [True] * (b - a)
    while True:  # white space between two cuts
        gaps = [k for k in range(len(text)) if not marked[k] and text[k].isspace()]
        joined = False
        for k in gaps:
            a, b = k, k
            while a >= 0 and not marked[a] and text[a].isspace():
                a -= 1
            while b < len(text) and not marked[b] and text[b].isspace():
                b += 1
            if a >= 0 and b < len(text) and marked[a] and marked[b]:
                marked[a:b] = [True] * (b - a)
                joined = True
        if not joined:
            break
    out, i = "", 0
    while i < len(text):
        if not marked[i]:
            out += text[i]
            i += 1
            continue
        while i < len(text) and marked[i]:
            i += 1
        right = text[i:][: len(text[i:]) - len(text[i:].lstrip())]
        head, left = out.rstrip(), out[len(out.rstrip()) :]
        if not head or not text[i + len(right) :]:
            gap = ""
        elif "\n" not in left + right:
            gap = left or right
        elif right.count("\n") >= left.count("\n"):
            gap = right
        else:
            gap = left + right.rpartition("\n")[2]
        out = head + gap
        i += len(right)
    return out
