"""The line rules a second time: slow, one line after another, written from their definitions."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from yanmo.curate.line_phrases import KINDS, PLACES, RULES, Phrase
from yanmo.curate.lines import LineOptions

HAN = re.compile(
    "[\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003fffd]"
)
COLONS = ":：﹕︰∶"
NAME_MARKS = ":：﹕︰∶/／|｜·、()（）【】[]"
BREAK_MARKS = ":：﹕︰∶|｜/／】]）)>»›》«《“—-·©→"
CLOSERS = "\"'”’」』）)】》］"


def is_han(c: str) -> bool:
    return HAN.fullmatch(c) is not None


def is_alnum(c: str) -> bool:
    return is_han(c) or unicodedata.category(c)[0] in "LN"


def is_space(c: str) -> bool:
    return c.isspace() and not is_alnum(c)


def is_digit(c: str) -> bool:
    return c.isdigit() and unicodedata.category(c)[0] in "LN" and not is_han(c)


def fold(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def runs(text: str) -> list[str]:
    """A hanzi or kana each, and stretches without space, hanzi and kana."""
    found, run = [], ""
    for c in text + " ":
        if is_han(c) or is_space(c):
            found += [run] if run else []
            found += [c] if is_han(c) else []
            run = ""
        else:
            run += c
    return found


def words(text: str) -> int:
    return sum(any(map(is_alnum, run)) for run in runs(text))


def bare(line: str) -> tuple[int, int]:
    """The line without what is neither letter nor digit at its ends."""
    at = [i for i, c in enumerate(line) if is_alnum(c)]
    return (at[0], at[-1] + 1) if at else (0, 0)


class Judge:
    """The rules of some options, for one line at a time."""

    def __init__(self, options: LineOptions, phrases: Sequence[Phrase]) -> None:
        self.options = options
        self.on = {rule for rule, is_on in zip(RULES, options.on(), strict=True) if is_on}
        self.phrases = [p for p in phrases if RULES[p.rule] in self.on]
        self.longest = max((p.max_chars for p in self.phrases), default=0)

    def fits(self, phrase: Phrase, line: str, number: int, lines: int) -> bool:
        start = number < 5 and number < (lines - 1) / 2
        end = number >= lines - 15 and number >= lines / 2 and lines > 1
        place = {"any": True, "start": start, "end": end, "edge": start or end}
        return len(line) <= phrase.max_chars and place[PLACES[phrase.place]]

    def rule(self, line: str, number: int, lines: int) -> str | None:
        first, last = bare(line)
        if len(line) <= self.longest and line[0] not in "/'\"`!=#" and first < last:
            found = [self.by_phrase(p, line, number, lines) for p in self.phrases]
            rules = [p.rule for p, is_found in zip(self.phrases, found, strict=True) if is_found]
            rules += self.menu(line, number, lines)
            if "refinedweb_counter" in self.on and self.is_counter(line[first:last]):
                rules.append(RULES.index("refinedweb_counter"))
            if rules:
                return RULES[min(rules)]
        return next((r for r in self.by_shape(line) if r in self.on), None)

    def by_phrase(self, p: Phrase, line: str, number: int, lines: int) -> bool:
        if not self.fits(p, line, number, lines):
            return False
        first, last = bare(line)
        kind, folded = KINDS[p.kind], fold(line)
        at = [i for i in range(first, last) if folded.startswith(p.text, i)]
        if kind == "inside":
            return bool(at)
        if kind == "tail":
            return any(i + len(p.text) == last for i in at)
        if kind not in ("head", "field", "label", "name") or first not in at:
            return False
        rest = line[first + len(p.text) :]
        if kind == "field":
            while rest and is_space(rest[0]):
                rest = rest[1:]
            return len(rest) > 1 and rest[0] in COLONS
        breaks = not rest or is_space(rest[0]) or rest[0] in BREAK_MARKS
        if kind == "label":
            return breaks
        if kind == "name":
            return breaks and all(is_han(c) or is_space(c) or c in NAME_MARKS for c in rest)
        return True

    def menu(self, line: str, number: int, lines: int) -> list[int]:
        first, last = bare(line)
        usable = [p for p in self.phrases if KINDS[p.kind] in ("alone", "pager", "filler")
                  and last - first <= p.max_chars
                  and self.fits(p._replace(max_chars=1 << 30), line, number, lines)]  # fmt: skip
        folded, i = fold(line[:last]), first
        rules: list[int] = []
        pager = digits = False
        covered, makers, size = 0, 0, 0
        while i < last:
            if not is_alnum(line[i]) or is_digit(line[i]):
                digits |= is_digit(line[i])
                i += 1
                continue
            here = [p for p in usable if folded.startswith(p.text, i)]
            length = max((len(p.text) for p in here), default=0)
            if not length:
                size, i = size + 1, i + 1
                continue
            here = [p for p in here if len(p.text) == length]
            rules += [p.rule for p in here if KINDS[p.kind] != "filler"]
            pager |= any(KINDS[p.kind] == "pager" for p in here)
            makers += length >= 4 and any(KINDS[p.kind] != "filler" for p in here)
            size, covered, i = size + length, covered + length, i + length
        if covered == size:
            return [] if digits and not pager else rules[:1]
        prose = any(c in "，。、；！？,;!?" for c in line[first:last])
        return rules[:1] if makers >= 3 and 3 * covered >= size and not prose else []

    def is_counter(self, text: str) -> bool:
        if len(text) > 40:
            return False
        names = [p.text for p in self.phrases if KINDS[p.kind] == "counter"]
        digit = "[" + "".join({c for c in text if is_digit(c)} or "0") + "]"
        latin = "".join({c for c in text if is_alnum(c) and not is_han(c)} or "0")
        number = rf"{digit}(?:{digit}|[.,](?={digit}))*(?:[kmbwKMBW](?![{latin}])|[万萬亿億千])?"
        gap = "(?:" + "|".join(re.escape(c) for c in {c for c in text if is_space(c)} | set(
            NAME_MARKS)) + "){0,3}"  # fmt: skip
        folded = fold(text)
        for name in names:
            if folded.endswith(name) and re.fullmatch(number + gap, text[: -len(name)]):
                return True
            parted = gap.replace("{0,3}", "{1,3}") + number
            if folded.startswith(name) and re.fullmatch(parted, text[len(name) :]):
                return True
        return False

    def by_shape(self, line: str) -> list[str]:
        o = self.options
        longest = max((len(r) for r in runs(line) if not is_han(r[0])), default=0)
        return [
            rule
            for rule, is_so in (
                ("c4_terminal_punctuation", not ends_sentence(line)),
                ("c4_min_words", words(line) < (o.min_words or 0)),
                ("c4_max_word_chars", longest > (o.max_word_chars or 0)),
                ("refinedweb_uppercase",
                 sum(c.isupper() for c in line) > (o.max_uppercase_fraction or 0) * len(line)),
                ("refinedweb_numeric", all(is_digit(c) or is_space(c) for c in line)),
                ("refinedweb_one_word", words(line) < 2),
            )
            if is_so
        ]  # fmt: skip

    def cut(self, line: str) -> list[tuple[int, int, str]]:
        """Pieces that go out of a line that stays."""
        pieces = []
        if "refinedweb_navigation" in self.on and (piece := self.navigation(line)):
            pieces.append((*piece, "refinedweb_navigation"))
        if "c4_citation" in self.on:
            taken = pieces[0][:2] if pieces else (0, 0)
            digit = "".join({c for c in line if is_digit(c)} or "0")
            i = 0
            while i < len(line):
                if pieces and i == taken[0]:
                    i = taken[1]
                    continue
                found = re.compile(rf"\[(?:[{digit}]+|edit|citation needed)\]").match(line, i)
                if found and (not pieces or found.end() <= taken[0] or i >= taken[1]):
                    pieces.append((*found.span(), "c4_citation"))
                    i = found.end()
                else:
                    i += 1
        return sorted(pieces)

    def navigation(self, line: str) -> tuple[int, int] | None:
        folded, short = fold(line), words(line) <= 10
        for i in range(len(line)):
            here = [
                p for p in self.phrases
                if KINDS[p.kind].startswith("cut_") and folded.startswith(p.text, i)
                and len(line) <= p.max_chars and (short or ord(p.text[-2]) > 127)
                and (KINDS[p.kind] != "cut_head" or i == 0)
                and (KINDS[p.kind] != "cut_tail" or i + len(p.text) == len(line))
            ]  # fmt: skip
            if here:
                start, end = i, i + max(len(p.text) for p in here)
                while start > 0 and is_space(line[start - 1]):
                    start -= 1
                while start == 0 and end < len(line) and is_space(line[end]):
                    end += 1
                return start, end
        return None


def ends_sentence(line: str) -> bool:
    if line.endswith("..."):
        return False
    if line[-1] in "\"'”」』":
        return True
    while len(line) > 1 and line[-1] in CLOSERS:
        line = line[:-1]
    return line[-1] in ".?!。！？…"


def clean(text: str, judge: Judge) -> list[tuple[int, int, str]]:
    """Spans of a text that go, with their rules."""
    lines = text.split("\n")
    filled = [i for i, line in enumerate(lines) if any(not is_space(c) for c in line)]
    fates: dict[int, str] = {}
    pieces: dict[int, list[tuple[int, int, str]]] = {}
    for number, i in enumerate(filled):
        line = lines[i]
        indent = next(k for k, c in enumerate(line) if not is_space(c))
        end = max(k for k, c in enumerate(line) if not is_space(c)) + 1
        core = line[indent:end]
        rule = judge.rule(core, number, len(filled))
        if rule is not None:
            fates[i] = rule
            continue
        cut = judge.cut(core)
        left = "".join(c for k, c in enumerate(core) if not any(s <= k < e for s, e, _ in cut))
        if cut and all(is_space(c) for c in left):
            fates[i] = cut[0][2]
        else:
            pieces[i] = [(s + indent, e + indent, rule) for s, e, rule in cut]
    kept = [i for i in filled if i not in fates]
    return list(_spans(lines, fates, pieces, kept[-1] if kept else -1))


def _spans(
    lines: list[str],
    fates: dict[int, str],
    pieces: dict[int, list[tuple[int, int, str]]],
    last: int,
) -> Iterator[tuple[int, int, str]]:
    at, blank_before = 0, True
    gone = fates[min(fates)] if fates else None
    for i, line in enumerate(lines):
        start, end = at, at + len(line)
        at = end + 1
        if i in pieces:
            blank_before = False
            yield from ((start + s, start + e, rule) for s, e, rule in pieces[i])
            continue
        if i in fates:
            gone = fates[i]
        elif gone is None or not (blank_before or i > last):
            blank_before = True
            continue
        yield (start, end + 1, gone) if i < last else (start - (i > 0), end, gone)
