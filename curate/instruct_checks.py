"""Rules that find what cannot be mended."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Final

from yanmo.message_records import INPUT_AT

from .instruct_sample import Hit, Rule, Sample, meta_of
from .instruct_words import (
    ADDRESS,
    ASKS,
    CODE,
    CONTACT,
    IDENTITY,
    LANGUAGES,
    LETTERS,
    MARKERS,
    NOTHING,
    PLACEHOLDER,
    PROSE,
    REFUSAL,
    REGARDS,
    SPEAKERS,
    STATEMENT,
    URL,
)

_LOST: Final = re.compile("\ufffd+|锟斤拷|烫烫烫")
_OPEN_ENDS: Final = ",，、:：(（《「『“"
_ECHO: Final = 10  # a shorter question may be a title
_SOME: Final = 20  # a shorter answer may be a salutation
_MENU: Final = 40
_PROSE: Final = 3  # small English words, or words of an input, that say which language it is in
_PAIRS: Final = {"（": "）", "《": "》", "「": "」", "『": "』", "【": "】", "“": "”"}
_ENDS: Final = re.compile(r"[。！？!?…；;~～.”\"'’」』）)】\]》>}|`*_$\d]")
_SENTENCE: Final = re.compile(r"[。！？!?]|\.(?:\s|$)")
_RUN: Final = re.compile(r"(\S)\1{19,}")
_ITEM: Final = re.compile(r"^[ \t]*(\d{1,3})[.、．](?=\s|\D)", re.MULTILINE)
_HAN: Final = re.compile(r"[\u3400-\u9fff]")
_WORD: Final = re.compile(r"[A-Za-z]{2,}")


def empty(sample: Sample) -> Iterator[Hit]:
    for turn, message in enumerate(sample.messages):
        if message.role != "tool" and NOTHING.fullmatch(message.content):
            yield Hit("empty", turn, 0, len(message.content), f"{message.role} says nothing")


def length(sample: Sample) -> Iterator[Hit]:
    bounds = sample.recipe.length
    low = {"user": bounds.min_user_chars, "assistant": bounds.min_answer_chars}
    high = {"user": bounds.max_user_chars, "assistant": bounds.max_answer_chars,
            "system": bounds.max_system_chars}  # fmt: skip
    # Later questions may be a number of a menu or "?".
    first = next((n for n, _ in sample.turns("user")), -1)
    for turn, message in enumerate(sample.messages):
        chars = len(message.content.strip())
        opens = message.role == "assistant" or turn == first
        if 0 < chars < low.get(message.role, 0) and opens:  # 0 characters are for empty
            yield Hit("too_short", turn, 0, len(message.content), f"{chars} characters")
        elif chars > high.get(message.role, chars):
            yield Hit("too_long", turn, high[message.role], len(message.content),
                      f"{chars} characters")  # fmt: skip


def lost_characters(sample: Sample) -> Iterator[Hit]:
    for turn, message in enumerate(sample.messages):
        if found := _LOST.search(message.content):
            yield Hit("lost_characters", turn, *found.span(), found[0][:3])


def truncated(sample: Sample) -> Iterator[Hit]:
    last = len(sample.messages) - 1
    # A task out of a list (`instruct generate`) was whole although its list was cut behind it.
    listed = "request_id" in sample.fields
    if meta_of(sample.fields, "finish_reason") == "length" and not listed:
        text = sample.messages[last].content
        yield Hit("truncated", last, len(text), len(text), "finish_reason is length")
    for turn, text in sample.turns("assistant"):
        body = text.rstrip()
        if body.count("```") % 2:
            at = body.rfind("```")
            yield Hit("truncated", turn, at, len(body), "open code block")
        elif body[-1:] in _OPEN_ENDS and len(body) >= _SOME and not _completes(sample, turn):
            yield Hit("truncated", turn, len(body) - 1, len(body), f"ends with {body[-1]}")
        elif (at := _open_bracket(body)) >= 0 and "```" not in body:
            yield Hit("truncated", turn, at, len(body), f"open {body[at]}")


def _completes(sample: Sample, turn: int) -> bool:
    """Whether an open end was asked for: a first half, code, a menu that waits for a choice."""
    asked, _ = sample.instruction(turn)
    text = sample.messages[turn].content.rstrip()
    last = text[text.rfind("\n") + 1 :]
    menu = re.search(r"选择|输入|编号|选项|命令|密码|姓名|请|choose|enter|select|prompt|>", last)
    return bool(
        re.search(r"标点|逗号|冒号|开头|前半|上联|补全|punctuat|comma|colon|phrase", asked)
        or CODE.search(asked)
        or (last[-1:] in ":：" and menu and len(last) < _MENU)
    )


def _open_bracket(text: str) -> int:
    """The last opening bracket if nothing closes it and no sentence ends behind it; else -1."""
    for left, right in _PAIRS.items():
        at = text.rfind(left)
        if at >= 0 and right not in text[at:] and text.count(left) > text.count(right):
            behind = text[at + 1 :]
            if not _SENTENCE.search(behind) and "\n" not in behind:
                return at
    return -1


def unfinished(sample: Sample) -> Iterator[Hit]:
    bounds = sample.recipe.unfinished
    for turn, text in sample.turns("assistant"):
        body = text.rstrip()
        lines = [line.strip() for line in body.split("\n") if line.strip()]
        if len(body) < bounds.min_chars or "```" in body or CODE.search(sample.asked(turn)):
            continue
        line = lines[-1]
        ended = sum(bool(_ENDS.match(line[-1])) for line in lines[:-1])
        if (
            line[-1].isalpha()
            and len(line) >= bounds.min_last_chars
            and _SENTENCE.search(body)
            and (len(lines) == 1 or 2 * ended > len(lines) - 1)
            and not URL.search(line)
            and not re.match(r"\d+[.、)）]|[-*•·#]", line)
            and not re.search(r"[#＃]\w+[^。.]*$", line)
            and not REGARDS.search(body[-80:])
        ):
            yield Hit("unfinished", turn, len(body) - len(line), len(body), "no end of sentence")


def refusal(sample: Sample) -> Iterator[Hit]:
    for turn, text in sample.turns("assistant"):
        if found := REFUSAL.search(text[:200]):
            yield Hit("refusal", turn, *found.span(), "refuses")


def asks_for_input(sample: Sample) -> Iterator[Hit]:
    answers = list(sample.turns("assistant"))
    if len(answers) == 1:
        turn, text = answers[0]
        given = isinstance(sample.fields.get(INPUT_AT), int)
        if not given and len(text) < 300 and (found := ASKS.search(text)):
            asked, _ = sample.instruction(turn)
            if not SPEAKERS.search(asked) and not LETTERS.search(asked):
                yield Hit("asks_for_input", turn, *found.span(), "asks for what is not there")


def identity(sample: Sample) -> Iterator[Hit]:
    for turn, text in sample.turns("assistant"):
        if found := IDENTITY.search(text):
            yield Hit("identity", turn, *found.span(), found[0].strip()[:40])


def role_leak(sample: Sample) -> Iterator[Hit]:
    for turn, text in sample.turns("assistant"):
        found = MARKERS.search(text)
        if found and "```" not in text and not SPEAKERS.search(sample.asked(turn)):
            yield Hit("role_leak", turn, *found.span(), found[0].strip())


def prompt_echo(sample: Sample) -> Iterator[Hit]:
    for turn, text in sample.turns("assistant"):
        question, number = sample.instruction(turn)
        whole = sample.messages[number].content.strip() if number >= 0 else ""
        question, body = question.strip(), text.strip()
        if body == whole and re.search(r"[\u3400-\u9fff\s]", whole):  # a typed command is echoed
            yield Hit("prompt_echo", turn, 0, len(text), "the answer is the question")
        elif len(question) >= _ECHO and body.startswith(f"{question}\n"):
            at = text.index(question)
            yield Hit("prompt_echo", turn, at, at + len(question), "begins with the question")


def list_restart(sample: Sample) -> Iterator[Hit]:
    """Numbered lines that follow each other directly and do not count on."""
    for turn, text in sample.turns("assistant"):
        before: re.Match[str] | None = None
        for item in _ITEM.finditer(text):
            if before is not None:
                number, last = int(item[1]), int(before[1])
                between = text[before.end() : item.start()].strip("\n")
                near = "\n" not in between
                if near and number != last + 1 and last < 200:
                    yield Hit("list_restart", turn, item.start(), item.end(), f"{last}, {number}")
                    break
            before = item


def repetition(sample: Sample) -> Iterator[Hit]:
    bounds = sample.recipe.repetition
    loop = re.compile(rf"(.{{4,60}}?)\1{{{bounds.loop_times - 1},}}\s*\S{{0,60}}\Z", re.DOTALL)
    for turn, text in sample.turns("assistant"):
        if len(text) < bounds.min_chars:
            continue
        if (found := _RUN.search(text)) and unicodedata.category(found[1])[0] in "LM":
            yield Hit("repetition", turn, *found.span(), "one character again and again")
            continue
        if _is_code(sample, turn):
            continue
        tail = text[-60 * (bounds.loop_times + 2) :]
        if (found := loop.search(tail)) and len(set(re.sub(r"\W", "", found[1]))) > 2:
            at = len(text) - len(tail)
            yield Hit("repetition", turn, at + found.start(), len(text), "loops at the end")


def _is_code(sample: Sample, turn: int) -> bool:
    text = sample.messages[turn].content
    found = "```" in text or STATEMENT.search(text) or CODE.search(sample.asked(turn))
    return bool(found)


def redundancy(sample: Sample) -> Iterator[Hit]:
    bounds = sample.recipe.redundancy
    for turn, text in sample.turns("assistant"):
        if len(text) >= bounds.min_chars and not _is_code(sample, turn):
            share = _repeated(text, bounds.gram_chars)
            if share > bounds.max_share:
                yield Hit("redundancy", turn, 0, len(text), f"{share:.2f} of the grams repeat")


def _repeated(text: str, size: int) -> float:
    """Share of the grams of letters that occur more than once."""
    letters = re.sub(r"[\W\d_]", "", text)
    grams = Counter(letters[i : i + size] for i in range(len(letters) - size + 1))
    twice = sum(count for count in grams.values() if count > 1)
    return twice / max(sum(grams.values()), 1)


def url_only(sample: Sample) -> Iterator[Hit]:
    for turn, text in sample.turns("user"):
        at = sample.fields.get(INPUT_AT)
        start = at if isinstance(at, int) else 0
        part = text[start:]
        asked = text[:start] if start else sample.asked(turn)
        if ADDRESS.search(asked) and start:
            continue
        if URL.search(part) and len(re.sub(r"\W", "", URL.sub("", part))) < 5:
            yield Hit("url_only", turn, start, len(text), "only a link")


def contact(sample: Sample) -> Iterator[Hit]:
    for turn, text in sample.turns("assistant"):
        found = CONTACT.search(text)
        if found and not LETTERS.search(sample.asked(turn)):
            yield Hit("contact", turn, *found.span(), found[0][:40])


def placeholder(sample: Sample) -> Iterator[Hit]:
    for turn, message in enumerate(sample.messages):
        found = PLACEHOLDER.search(message.content) if message.role != "system" else None
        if found and not LETTERS.search(sample.asked(turn + 1)) \
                and not CODE.search(sample.asked(turn + 1)):  # fmt: skip
            yield Hit("placeholder", turn, *found.span(), found[0][:40])


def language(sample: Sample) -> Iterator[Hit]:
    bounds = sample.recipe.language
    for turn, text in sample.turns("assistant"):
        question, number = sample.instruction(turn)
        asked = sample.asked(turn)
        if number < 0 or LANGUAGES.search(asked) or CODE.search(asked) or "```" in text:
            continue
        text = URL.sub("", text)
        whole = sample.messages[number].content
        (first, words), (second, answered) = _han_share(question), _han_share(text)
        if min(words, answered) < bounds.min_words:
            continue
        given = _han_share(whole[len(question) :])
        to_english = (
            first >= bounds.high and second <= bounds.low and len(PROSE.findall(text)) >= _PROSE
            and not (given[1] >= _PROSE and given[0] <= bounds.high)
        )  # fmt: skip
        to_chinese = (
            first <= bounds.low and second >= bounds.high and not STATEMENT.search(whole)
            and not (given[1] >= _PROSE and given[0] >= bounds.low)
        )  # fmt: skip
        if (to_english and not STATEMENT.search(text)) or to_chinese:
            yield Hit("language", turn, 0, len(text), f"Han share {first:.2f}, then {second:.2f}")


def _han_share(text: str) -> tuple[float, int]:
    """Share of hanzi among hanzi and Latin words, and how many both are."""
    han, latin = len(_HAN.findall(text)), len(_WORD.findall(text))
    return han / max(han + latin, 1), han + latin


def score(sample: Sample) -> Iterator[Hit]:
    bounds = sample.recipe.score
    value = sample.score(bounds.column)
    if value is None:
        return
    if bounds.min is not None and value < bounds.min:
        yield Hit("score", 0, 0, 0, f"{bounds.column} {value:.4g} < {bounds.min}")
    elif bounds.max is not None and value > bounds.max:
        yield Hit("score", 0, 0, 0, f"{bounds.column} {value:.4g} > {bounds.max}")


CHECKS: Final[dict[str, Rule]] = {
    "empty": empty, "length": length, "lost_characters": lost_characters, "truncated": truncated,
    "unfinished": unfinished, "refusal": refusal, "asks_for_input": asks_for_input,
    "identity": identity, "role_leak": role_leak, "prompt_echo": prompt_echo,
    "list_restart": list_restart, "repetition": repetition, "redundancy": redundancy,
    "url_only": url_only,
    "contact": contact, "placeholder": placeholder, "language": language, "score": score,
}  # fmt: skip
"""By their table in the recipe, in the order in which they are asked."""
