"""Personal data by the definitions: regular expressions, ``ipaddress``, ``datetime``, slowly."""

import datetime
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

FOLDED = {0xFF10 + k: 0x30 + k for k in range(10)}
DIGIT = "0-9０-９"
WORD = "0-9A-Za-z_"
FREE_LEFT = re.compile(
    rf"(?<![{WORD}０-９$¥￥€])(?<![{DIGIT}][-.])(?<![A-Za-z]/)(?:(?=\+)|(?<!\+))"
)
FREE_RIGHT = re.compile(
    rf"(?![{WORD}０-９%元万亿])(?! [%元亿])(?![-.][{DIGIT}])(?!\.[a-z])(?![{WORD}.%+-]{{0,64}}@)"
)
AREA = "(?:10|2[0-9]|[3-9][0-9]{2})"
LOCAL = "[2-9][0-9]{6,7}(?![0-9])"
FOURS = "[2-9][0-9]{3}[ -][0-9]{4}(?![0-9])"
BRACKETED = re.compile(rf"[(（]0{AREA}[)）][ -]?{LOCAL}")
FIXED = rf"(?:0|(?:\+86|\+?0086)[ -]){AREA}[ -](?:{LOCAL}|{FOURS})"
LANDLINES = [rf"{FIXED}-[0-9]{{1,5}}(?![0-9])", rf"{FIXED}(?!-[0-9]{{1,5}}(?![0-9]))"]
MOBILES = [r"(?:\+?(?:00)?86[ -]?|0)?1[3-9][0-9]{9}(?![0-9])",
           r"(?:\+?(?:00)?86[ -])?1[3-9][0-9]([ -])[0-9]{4}\1[0-9]{4}(?![0-9])"]  # fmt: skip
IDS = [r"[0-9]{17}[0-9Xx](?![0-9])", r"[0-9]{6}([ -])[0-9]{8}\1[0-9]{3}[0-9Xx](?![0-9])"]
CARDS = [r"[0-9]{16,19}(?![0-9])", r"[0-9]{4}([ -])(?:[0-9]{4}\1){3}[0-9]{1,3}(?![0-9])",
         r"[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?![0-9])"]  # fmt: skip
PLATE = re.compile(
    "[京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新]([A-HJ-Z])[ ·•-]?"
    rf"(?:([A-HJ-NP-Z0-9]{{5,6}})(?![{WORD}０-９])|([A-HJ-NP-Z0-9]{{4}})[挂学警港澳])"
)
CUE = re.compile(
    rf"(微信)|(扣扣)|(?<![{WORD}０-９])(?i:(qq)|(vx|wx|wechat|weixin))(?![A-Za-z])"
    rf"|(?<![{WORD}０-９])([Vv]信)"
)
PROVINCES = {11, 12, 13, 14, 15, 21, 22, 23, *range(31, 38), *range(41, 47), *range(50, 55),
             *range(61, 66), 71, 81, 82, 83}  # fmt: skip
VERSION = re.compile(r"(?:版本?号?|本号?|(?<![A-Za-z])(?i:version|ver|release|v))：?[ :=]*\Z")
CALLED = re.compile(r"(?:[话真机线]|(?<![A-Za-z])(?i:tel|phone|fax))：?[ :.]*\Z")
GLUED = re.compile("0(?:(?:10|2[0-9])[2-9][0-9]{7}|[3-9][0-9]{2}[2-9][0-9]{6,7})(?![0-9])")
Found = tuple[str, int, int]


class Span(NamedTuple):
    kind: str
    start: int
    end: int


def is_id(text: str) -> bool:
    """18 characters: province, place, date of birth, ISO 7064 mod 11-2."""
    digits = re.sub("[ -]", "", text)
    if int(digits[:2]) not in PROVINCES:
        return False
    if int(digits[:2]) < 70 and "00" in (digits[2:4], digits[4:6]):
        return False
    try:
        born = datetime.date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        return False
    weights = [2 ** (17 - k) % 11 for k in range(17)]
    rest = sum(w * int(d) for w, d in zip(weights, digits[:17], strict=True)) % 11
    return 1900 <= born.year < 2100 and digits[17].upper() == "10X98765432"[rest]


def is_card(text: str) -> bool:
    """Issuer, length and Luhn."""
    digits = re.sub("[ -]", "", text)
    known = (
        re.fullmatch(r"62\d{14,17}|4\d{15}|4\d{18}|5[1-5]\d{14}|35(?:2[89]|[3-8]\d)\d{12}", digits)
        or (len(digits) == 16 and 2221 <= int(digits[:4]) <= 2720)
    )  # fmt: skip
    doubled = [int(d) * (1 + k % 2) for k, d in enumerate(reversed(digits))]
    return bool(known) and sum(d // 10 + d % 10 for d in doubled) % 10 == 0


def is_public(text: str) -> bool:
    """An IP address of somebody, not of a net that is set aside."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 4:
        single = all(len(part) == 1 for part in text.split("."))
        host = not single and not text.endswith(".0")
        return host and address.is_global and not address.is_multicast
    first = text.partition(":")[0]
    aside = ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
    inside = any(address in ipaddress.ip_network(net) for net in aside)
    return len(first) == 4 and first[0] in "23" and not inside and not text.endswith("::")


NUMBERS: list[tuple[str, list[str], Callable[[str], bool] | None]] = [
    ("id_card", IDS, is_id),
    ("bank_card", CARDS, is_card),
    ("mobile", MOBILES, None),
    ("landline", LANDLINES, None),
]


def email_at(text: str, floor: int, at: int) -> Span | None:
    local = re.search(rf"[{WORD}.%+-]*\Z", text[floor:at])
    assert local is not None
    name = local.group().rsplit("..", 1)[-1].lstrip(".%+-")
    if not name or len(name) > 64 or name.endswith("."):
        return None
    end, labels, place = 0, 0, at + 1
    while match := re.compile("[A-Za-z0-9-]{1,63}(?![A-Za-z0-9-])").match(text, place):
        label = match.group()
        if label.startswith("-") or label.endswith("-"):
            break
        labels, place = labels + 1, match.end()
        files = r"png|jpe?g|gif|webp|svg|css|js|html"
        good = labels > 1 and re.fullmatch("[A-Za-z]{2,}", label)
        end = place if good and not re.fullmatch(files, label, re.IGNORECASE) else 0
        if not re.compile(rf"\.[{WORD}]").match(text, place):
            break
        place += 1
    if not end or re.compile("_|:[A-Za-z./~]").match(text, end):
        return None
    return Span("email", at - len(name), end)


def ip_at(text: str, place: int) -> Span | None:
    cued = re.search(rf"(?<![{WORD}０-９])(?i:ip)\Z", text[:place])
    if cued or re.compile(rf"(?<![{WORD}０-９.:-])").match(text, place):
        six = re.compile(r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]*[0-9A-Fa-f]").match(text, place)
        after = re.compile(rf"(?![{WORD}０-９])(?!:[{WORD}:])")
        if six and is_public(six.group()) and after.match(text, six.end()):
            return Span("ip", place, six.end())
    if cued or re.compile(rf"(?<![{WORD}０-９.-])").match(text, place):
        four = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}").match(text, place)
        version = VERSION.search(text[:place])
        after = re.compile(rf"(?![{WORD}０-９])(?![-.][0-9])")
        if four and is_public(four.group()) and after.match(text, four.end()) and not version:
            return Span("ip", place, four.end())
    return None


def cue_at(text: str, place: int) -> Span | None:
    cue = CUE.match(text, place)
    if cue is None:
        return None
    qq = cue.group(2) or cue.group(3)
    latin = cue.group(4)
    link = rf"[ :=：号码账帐同是为客服]|(?i:id)(?![{WORD}-])"
    between = re.compile(f"(?:{link}){{0,6}}").match(text, cue.end())
    assert between is not None
    after, words = between.end(), between.group()
    announced = re.search("[:=：号码账帐同Dd]", words)
    if not announced and re.search("[客服]", words):
        return None
    if re.compile(f"[{DIGIT}]").match(text, after):
        return Span("cue qq" if qq else "cue wechat", after, after)
    name = re.compile(rf"[A-Za-z][{WORD}-]*").match(text, after)
    if qq or name is None:
        return None
    account = name.group()
    telling = len(re.findall("[0-9]", account)) > 2 or re.match("(?i:wxid)_", account)
    if not (announced or telling):
        return None
    if not re.fullmatch(rf"[{WORD}-]{{5,19}}[{WORD}]", account):
        return None
    if account.isalpha():
        phrase = re.compile(" [A-Za-z]").match(text, name.end())
        strong = re.search("[号码账帐同Dd]", words)
        if (latin and not strong) or account.lower() in ("vx", "wx", "wechat", "weixin"):
            return None
        if phrase and not strong:
            return None
    if re.compile(rf"[@０-９]|\.[{WORD}]").match(text, name.end()):
        return None
    return Span("wechat", after, name.end())


def plate_at(text: str, place: int) -> Span | None:
    plate = PLATE.match(text, place)
    if plate is None:
        return None
    number = plate.group(2) or plate.group(3)
    letters = sum(c.isalpha() for c in number)
    if letters > {4: 1, 5: 2, 6: 2}[len(number)] or (len(number) == 6 and not letters):
        return None
    return Span("plate", place, plate.end())


def addresses(text: str) -> Iterator[Span]:
    place = floor = 0
    while place < len(text):
        c, found = text[place], None
        if re.match("[0-9]", c):
            found = ip_at(text, place)
            while not found and re.match("[0-9]", text[place + 1 : place + 2]):
                place += 1
        elif c in "@＠":
            found = email_at(text, floor, place)
        elif re.compile(r"(?<=[A-Za-z])://|(?<![0-9A-Za-z_０-９])(?i:www)\.").match(text, place):
            rest = re.compile(r"""[!-~]*?(?=["'(),;<>|\[\]]|[^!-~]|\Z)""").match(text, place)
            assert rest is not None
            found = Span("url", place, rest.end())
        if found:
            yield found
            floor = found.end
        place = found.end if found else place + 1


def cues(text: str) -> Iterator[Span]:
    place = 0
    while place < len(text):
        found = plate_at(text, place) or cue_at(text, place)
        if found:
            yield found
        place = max(found.end, place + (found.start == found.end)) if found else place + 1


def without_overlaps(spans: list[Span]) -> Iterator[Span]:
    """Of two that overlap the one that starts first."""
    place = 0
    for span in sorted(spans, key=lambda span: span.start):
        if span.start >= place:
            yield span
            place = span.end


def number_at(text: str, folded: str, place: int) -> Span | None:
    if text[place] in "(（":
        match = BRACKETED.match(folded, place)
        good = match and FREE_RIGHT.match(text, match.end())
        return Span("landline", place, match.end()) if match and good else None
    if not FREE_LEFT.match(text, place) or re.match(f"[{DIGIT}]", text[place - 1 : place]):
        return None
    for kind, patterns, check in NUMBERS:
        for pattern in patterns:
            match = re.compile(pattern).match(folded, place)
            if match and FREE_RIGHT.match(text, match.end()) and (
                check is None or check(match.group())
            ):  # fmt: skip
                return Span(kind, place, match.end())
    match = GLUED.match(folded, place)
    if match and FREE_RIGHT.match(text, match.end()) and CALLED.search(text[:place]):
        return Span("landline", place, match.end())
    return None


def find(text: str) -> list[Found]:
    """Type, first character, character after the last; in order."""
    folded = text.translate(FOLDED)
    marks = list(without_overlaps([*addresses(text), *cues(text)]))
    found: list[Found] = []
    place = 0
    for mark in [*marks, Span("end", len(text), len(text))]:
        while place < mark.start:
            number = None
            if re.match(f"[+(（{DIGIT}]", text[place]):
                number = number_at(text, folded, place)
            if number and number.end <= mark.start:
                found.append(tuple(number))
                place = number.end
            else:
                place += 1
        place = max(place, mark.end)
        if mark.kind.startswith("cue"):
            account = re.compile("[1-9][0-9]{4,10}(?![0-9])").match(folded, place)
            if account and FREE_RIGHT.match(text, account.end()):
                found.append((mark.kind.removeprefix("cue "), place, account.end()))
                place = account.end()
        elif mark.kind not in ("url", "end"):
            found.append(tuple(mark))
    return found
