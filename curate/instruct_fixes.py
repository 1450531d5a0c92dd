"""Rules that can mend what they find."""

import html
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Final

from .instruct_sample import Hit, Rule, Sample
from .instruct_words import CODE, LABEL, NO_INPUT, SPEAKERS

_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\u200b\u2060\u00ad\u202a-\u202e\u2066-\u2069]+"
)
_TAG: Final = re.compile(
    r"</?(?:p|br|hr|div|span|a|b|i|u|em|strong|font|img|sup|sub|center|strike|small)(?:\s+[\w:-]+\s*=[^<>]{0,300})?\s*/?>",
    re.IGNORECASE)  # fmt: skip
_ENTITY: Final = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|ldquo|rdquo|mdash|hellip|#\d{2,5}"
                            r"|#x[0-9a-fA-F]{2,5});")  # fmt: skip
_STRUCTURE: Final = re.compile(
    r"<(?:!doctype|html|head|body|table|form|input|button|ul|ol|label|select|script|style|h[1-6]|svg"
    r"|section|表|头)\b", re.IGNORECASE)  # fmt: skip
"""Tags of a page that was written on purpose."""
_BREAKS: Final = re.compile(r"</?(?:p|br|div|li|tr|h[1-6])\b", re.IGNORECASE)
_RESIDUE: Final = re.compile(
    r"^(?:\w{0,12})?Copy code[ \t]*\n?|(?:^|\n)[ \t]*\d{1,2} / \d{1,2}[ \t]*(?=\n|\Z)", re.MULTILINE
)
_ITEM: Final = re.compile(r"^([ \t]*)(\d{1,3})([.、．)）])(?=\s|\D)", re.MULTILINE)


def mojibake(sample: Sample) -> Iterator[Hit]:
    """Differences between a text and its repair by ftfy."""
    from .mojibake import repair

    for turn, message in enumerate(sample.messages):
        text = message.content
        if text.isascii() or not any("\x80" <= c <= "\u024f" or c in "вГ" for c in text):
            continue
        mended = repair(text)
        if mended != text:
            for kind, a, b, c, d in SequenceMatcher(None, text, mended, False).get_opcodes():
                if kind != "equal":
                    yield Hit("mojibake", turn, a, b, "Windows-1252", mended[c:d])


def control(sample: Sample) -> Iterator[Hit]:
    """Characters that nobody sees; between letters of a ligature language they are left."""
    for turn, message in enumerate(sample.messages):
        for found in _CONTROL.finditer(message.content):
            codes = " ".join(f"U+{ord(c):04X}" for c in found[0][:4])
            yield Hit("control", turn, *found.span(), codes, "")


def html_residue(sample: Sample) -> Iterator[Hit]:
    """Entities, and tags where neither code nor a page was asked for.

    A text without any ``<`` that is full of ``&lt;`` was escaped as a whole, code included.
    """
    asked = sample.asked(len(sample.messages))
    code = CODE.search(asked) is not None
    if re.search(r"entit|escap|实体|转义", asked, re.IGNORECASE):
        return
    for turn, message in enumerate(sample.messages):
        text = message.content
        escaped = "<" not in text and "&lt;" in text
        if not code and "```" not in text and not _STRUCTURE.search(text):
            for found in _TAG.finditer(text):
                put = "\n" if _BREAKS.match(found[0]) and not found[0].startswith("</") else ""
                yield Hit("html", turn, *found.span(), "tag", put)
        if "&" in text and (escaped or (not code and "```" not in text)):
            for found in _ENTITY.finditer(text):
                put = html.unescape(found[0]).replace("\xa0", " ")
                yield Hit("html", turn, *found.span(), "entity", put)


def page_residue(sample: Sample) -> Iterator[Hit]:
    """Words of a chat page that were copied along."""
    for turn, text in sample.turns("assistant"):
        for found in _RESIDUE.finditer(text):
            yield Hit("page_residue", turn, *found.span(), "chat page", "")


def no_input(sample: Sample) -> Iterator[Hit]:
    """A mark for no input, behind a question."""
    for turn, text in sample.turns("user"):
        found = NO_INPUT.search(text)
        if found and found.start():
            yield Hit("no_input", turn, *found.span(), found[0].strip(), "")


def answer_label(sample: Sample) -> Iterator[Hit]:
    """A label before the answer; a transcript or a form may begin so."""
    for turn, text in sample.turns("assistant"):
        found = LABEL.match(text)
        if found is None or not found[0] or found.end() == len(text):
            continue
        label = found[0].strip()
        again = re.findall(rf"(?m)^\s*{re.escape(label)}", text)
        if len(again) > 1 or _wanted(sample.asked(turn), label):
            continue
        yield Hit("answer_label", turn, 0, found.end(), label, "")


def _wanted(asked: str, label: str) -> bool:
    word = label.strip("#:： ").lower()
    inputs = re.search(r"输入|input|问题|question", asked, re.IGNORECASE)
    return bool(SPEAKERS.search(asked)) or (word in asked.lower() and inputs is None)


def numbering(sample: Sample) -> Iterator[Hit]:
    """Lists of three and more items that are all called 1."""
    for turn, text in sample.turns("assistant"):
        items = list(_ITEM.finditer(text))
        numbers = [int(item[2]) for item in items]
        if len(items) >= 3 and set(numbers) == {1} and len({i[1] + i[3] for i in items}) == 1 \
                and not CODE.search(sample.asked(turn)) and "```" not in text:  # fmt: skip
            for number, item in enumerate(items[1:], 2):
                yield Hit("numbering", turn, *item.span(2), f"item {number}", str(number))


FIXES: Final[dict[str, Rule]] = {
    "mojibake": mojibake, "control": control, "html": html_residue, "page_residue": page_residue,
    "no_input": no_input,
    "answer_label": answer_label, "numbering": numbering,
}  # fmt: skip
