"""The signals once more, slowly: plain Python from the published definitions, one text at a time.

Nothing here looks at the kernels. Classes come from ``unicodedata`` and the names of characters,
words from a regular expression over the string of classes, n-grams from tuples and counters.
"""

import math
import re
import unicodedata
from collections import Counter
from functools import cache

from hypothesis import strategies as st

BULLETS = "•-●○■□▪▫※·➢‣▶◀◦–"
STOPS_EN = {"the", "be", "to", "of", "and", "that", "have", "with"}
STOPS_ZH = set("的年在月是和日了於·為有被人中为他與後也而由")

# Little alphabets, so that lines, words and n-grams repeat; and anything at all.
_PIECES = [
    *"的一是天地玄黄aAbthe0129 \n，。！？…；：【】#•-{}'’.,,..\t\u3000ーカ한글éЖ\u0301☃\ufffd",
    *(
        "the ",
        "and ",
        "to be ",
        "天地玄黄，",
        "更多\n",
        "3,141.5",
        "don't",
        "\n\n",
        "...",
        "。。。",
    ),
    *(
        "Lorem Ipsum ",
        "JavaScript",
        "锟斤拷",
        "â€",
        "read more\n",
        "【广告】",
        " \n",
        "http://a.b/c",
    ),
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(_PIECES), st.characters(exclude_categories=["Cs", "Cn"])),
    max_size=60,
).map("".join)
REPETITIVE = st.lists(st.sampled_from(["天", "地", "a ", "b ", "ab ", "\n"]), max_size=80).map(
    "".join
)


@cache
def letter_class(character: str) -> str:
    """h hanzi, k kana, g hangul, L Latin, l letter, D number, M mark, P, S, n newline, s, o."""
    if character == "\n":
        return "n"
    if character.isspace():
        return "s"
    category = unicodedata.category(character)[0]
    name = unicodedata.name(character, "")
    if character in "々〆〇" or re.match("CJK (UNIFIED|COMPATIBILITY) IDEOGRAPH", name):
        return "h"
    if category == "L":
        if re.match("(HALFWIDTH )?(HIRAGANA|KATAKANA|HENTAIGANA)", name):
            return "k"
        if "HANGUL" in name:
            return "g"
        return "L" if re.match("(FULLWIDTH )?LATIN ", name) else "l"
    return {"N": "D", "M": "M", "P": "P", "S": "S"}.get(category, "o")


def classes(text: str) -> str:
    """One letter a character."""
    return "".join(map(letter_class, text))


_WORD = re.compile("[hk]|[gLlD](?:[gLlDM]|(?<=[Ll])'(?=[Ll])|(?<=D),(?=D))*")


def words(text: str) -> list[str]:
    """Hanzi and kana one by one; runs of letters, numbers and marks; don't and 3,141.5 are one."""
    # The two joining marks get a class of their own, and only they.
    shape = "".join(
        "'" if character in "'’" else "," if character in ".," else kind
        for character, kind in zip(text, classes(text), strict=True)
    )
    return [text[match.start() : match.end()] for match in _WORD.finditer(shape)]


def lines(text: str) -> list[str]:
    """Lines that are not blank."""
    return [line for line in text.split("\n") if line.strip()]


def paragraphs(text: str) -> list[tuple[str, ...]]:
    """Runs of lines between blank lines."""
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            found[-1].append(line)
        else:
            found.append([])
    return [tuple(paragraph) for paragraph in found if paragraph]


def repeated(items: list[tuple[str, ...]] | list[str]) -> tuple[int, int]:
    """How many items came before, and their characters."""
    seen = set()
    count = chars = 0
    for item in items:
        if item in seen:
            count += 1
            chars += len("".join(item))
        seen.add(item)
    return count, chars


def top_gram_chars(tokens: list[str], n: int) -> int:
    """Characters covered by the most frequent n-gram that occurs more than once."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    if not grams:
        return 0
    top, times = Counter(grams).most_common(1)[0]
    if times < 2:
        return 0
    covered = {i + k for i, gram in enumerate(grams) if gram == top for k in range(n)}
    return sum(len(tokens[i]) for i in covered)


def duplicate_gram_chars(tokens: list[str], n: int) -> int:
    """Characters of n-grams read before, reading from the left and skipping a repeated one."""
    seen = set()
    chars = i = 0
    while i + n <= len(tokens):
        gram = tuple(tokens[i : i + n])
        if gram in seen:
            chars += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return chars


def repeated_gram_fraction(tokens: list[str], n: int) -> float:
    """N-grams that occur more than once."""
    grams = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    return share(sum(c for c in grams.values() if c > 1), grams.total())


def entropy(text: str) -> float:
    """Of the characters, in nats."""
    return -sum(c / len(text) * math.log(c / len(text)) for c in Counter(text).values())


def sentences(text: str) -> int:
    """Stretches with a word, between sentence ends and line ends."""
    enders = r"[!?。！？…]|\.+(?=[\s\"'”’)\]）」]|$)"
    pieces = [piece for line in text.split("\n") for piece in re.split(enders, line)]
    return sum(bool(words(piece)) for piece in pieces)


def marks(text: str) -> list[str]:
    """Runs of one punctuation mark or symbol, outside words."""
    rest = list(text)
    shape = "".join(
        "'" if character in "'’" else "," if character in ".," else kind
        for character, kind in zip(text, classes(text), strict=True)
    )
    for match in _WORD.finditer(shape):
        rest[match.start() : match.end()] = " " * (match.end() - match.start())
    runs = re.finditer(r"(.)\1*", "".join(rest), re.DOTALL)
    return [run.group() for run in runs if letter_class(run.group(1)) in "PS"]


def share(part: float, whole: float) -> float:
    """A fraction; of nothing it is 0."""
    return part / whole if whole else 0.0


def character_signals(text: str) -> dict[str, float]:
    """Signals of single characters."""
    kinds = Counter(classes(text))
    visible = len(text) - kinds["n"] - kinds["s"]
    letters = sum(kinds[k] for k in "hkgLl")
    return {
        "n_chars": len(text),
        "n_bytes": len(text.encode()),
        "n_newlines": text.count("\n"),
        "n_punctuation": kinds["P"],
        "hanzi_fraction": share(kinds["h"], visible),
        "kana_fraction": share(kinds["k"], visible),
        "hangul_fraction": share(kinds["g"], visible),
        "latin_fraction": share(kinds["L"], visible),
        "letter_fraction": share(letters, visible),
        "digit_fraction": share(kinds["D"], letters + kinds["D"] + kinds["M"]),
        "punctuation_fraction": share(kinds["P"], visible),
        "symbol_fraction": share(kinds["S"], visible),
        "unique_char_fraction": share(len(set(text)), len(text)),
        "char_entropy": entropy(text),
        "n_stop_words_zh": len(STOPS_ZH & set(text)),
        "n_curly_brackets": text.count("{") + text.count("}"),
        "n_replacement_chars": text.count("\ufffd"),
    }


def word_signals(text: str) -> dict[str, float]:
    """Signals of words and marks."""
    found, other = words(text), marks(text)
    runs = [w for w in found if letter_class(w[0]) not in "hk"]
    alphabetic = sum(any(letter_class(c) in "hkgLl" for c in w) for w in found)
    ellipses = sum(m[0] == "…" or (m[0] in ".。" and len(m) >= 3) for m in other)
    inside = sum(len(m) for m in re.findall("【([^】\n]*)】", text))
    return {
        "n_words": len(found),
        "n_word_chars": sum(map(len, found)),
        "n_words_latin": sum("L" in classes(w) for w in runs),
        "n_marks": len(other),
        "n_sentences": sentences(text),
        "n_stop_words_en": len(STOPS_EN & {w.lower() for w in runs if w.isascii()}),
        "longest_word_chars": max(map(len, runs), default=0),
        "mean_word_chars": share(sum(map(len, runs)), len(runs)),
        "alphabetic_word_fraction": share(alphabetic, len(found)),
        "alphabetic_token_fraction": share(alphabetic, len(found) + len(other)),
        "bracketed_fraction": share(inside, len(text)),
        "hashes_per_word": share(text.count("#"), len(found)),
        "ellipses_per_word": share(ellipses, len(found)),
        "newlines_per_word": share(text.count("\n"), len(found)),
    }


def line_signals(text: str) -> dict[str, float]:
    """Signals of lines and paragraphs."""
    found, blocks, chars = lines(text), paragraphs(text), len(text) - text.count("\n")
    stripped = [line.strip() for line in found]
    more = ("readmore", "read more", "展开", "更多", "。。。")
    many, many_chars = repeated(found)
    blocks_again, blocks_chars = repeated(blocks)
    n = len(found)
    return {
        "n_lines": n,
        "n_paragraphs": len(blocks),
        "mean_line_chars": share(sum(map(len, found)), n),
        "bullet_line_fraction": share(sum(s[0] in BULLETS for s in stripped), n),
        "ellipsis_line_fraction": share(sum(s.endswith(("…", "...")) for s in stripped), n),
        "read_more_line_fraction": share(
            sum(s[-9:].translate(_ASCII_LOWER).endswith(more) for s in stripped), n
        ),
        "terminal_punctuation_line_fraction": share(
            sum(s[-1] in ".!?\"'。！？…；”’」』．｡" for s in stripped), n
        ),
        "short_line_fraction": share(sum(len(line) <= 30 for line in found), n),
        "duplicate_line_fraction": share(many, n),
        "duplicate_line_char_fraction": share(many_chars, chars),
        "duplicate_paragraph_fraction": share(blocks_again, len(blocks)),
        "duplicate_paragraph_char_fraction": share(blocks_chars, chars),
    }


_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def repetition_signals(text: str) -> dict[str, float]:
    """Signals of n-grams of words."""
    tokens = words(text)
    chars = sum(map(len, tokens))
    top = {f"top_{n}_gram_char_fraction": top_gram_chars(tokens, n) for n in (2, 3, 4)}
    again = {
        f"duplicate_{n}_gram_char_fraction": duplicate_gram_chars(tokens, n) for n in range(5, 11)
    }
    fractions = {name: share(count, chars) for name, count in (top | again).items()}
    return fractions | {"repeated_13_gram_fraction": repeated_gram_fraction(tokens, 13)}


def phrase_signals(text: str) -> dict[str, float]:
    """Markers, ASCII case ignored; phrases may overlap each other but not themselves."""
    low = text.translate(_ASCII_LOWER)
    policies = (
        *("terms of use", "privacy policy", "cookie policy"),
        *("uses cookies", "use of cookies", "use cookies"),
    )
    broken = [*"锛銆鈥锘", "锟斤拷", "烫烫烫", "屯屯屯"]
    broken += ["ï¼", "ã€", "â€", "Â·", "Ã©", "Ã¨", "Ã¤", "Ã¶", "Ã¼", "ï»¿"]
    signs = sum(len(re.findall(f"(?={re.escape(p)})", text)) for p in broken)
    return {
        "n_lorem_ipsum": low.count("lorem ipsum"),
        "n_javascript": low.count("javascript"),
        "n_policy_phrases": sum(map(low.count, policies)),
        "n_mojibake": signs,
        "mojibake_fraction": share(signs + text.count("\ufffd"), len(text)),
    }


def all_signals(text: str) -> dict[str, float]:
    """Every signal of one text."""
    return (
        character_signals(text)
        | word_signals(text)
        | line_signals(text)
        | repetition_signals(text)
        | phrase_signals(text)
    )
