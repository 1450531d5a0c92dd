"""Published recipes once more, slowly: plain Python from what datatrove, spaCy, MAP-NEO and
ChineseWebText publish. Nothing here looks at the kernels.
"""

import math
import re
import unicodedata
from collections import Counter
from fractions import Fraction

from yanmo.curate.published_sets import symbols_only, terminals
from yanmo.curate.variants import variants

from .slow_tokens import sentences, tokens

STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}
_SHORT_STOPS = set(symbols_only())
_TERMINAL = tuple(terminals())


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


# ------------------------------------------------------------------ datatrove


def _again(items: list[str]) -> tuple[int, int]:
    late = [item for i, item in enumerate(items) if item in set(items[:i])]
    return len(late), sum(map(len, late))


def line_signals(text: str) -> dict[str, float]:
    paragraphs, pieces = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
    (blocks, block_chars), (many, chars) = _again(paragraphs), _again(pieces)
    plain = [line for line in text.split("\n") if line.strip()]
    bare = [line.strip() for line in text.splitlines()]
    return {
        "gopher_bullet_line_fraction": share(
            sum(s.startswith(("•", "-")) for s in bare), len(bare)
        ),
        "gopher_ellipsis_line_fraction": share(
            sum(s.endswith(("...", "…")) for s in bare), len(bare)
        ),
        "gopher_duplicate_paragraph_fraction": share(blocks, len(paragraphs)),
        "gopher_duplicate_paragraph_char_fraction": share(block_chars, len(text)),
        "gopher_duplicate_line_fraction": share(many, len(pieces)),
        "gopher_duplicate_line_char_fraction": share(chars, len(text)),
        "fineweb_terminal_punctuation_line_fraction": share(
            sum(line.endswith(_TERMINAL) for line in plain), len(plain)
        ),
    }


def _top(words: list[str], n: int) -> int:
    grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    gram, times = grams.most_common(1)[0] if grams else ("", 0)
    return len(gram) * times


def _duplicate(words: list[str], n: int) -> int:
    seen: set[str] = set()
    i = chars = 0
    while i + n <= len(words):
        gram = "".join(words[i : i + n])
        if gram in seen:
            chars, i = chars + len(gram), i + n
        else:
            seen.add(gram)
            i += 1
    return chars


_CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]")
_POLICY = (
    *("terms of use", "privacy policy", "cookie policy"),
    *("uses cookies", "use of cookies", "use cookies"),
)
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def c4(text: str, terminal: bool) -> tuple[int, int, int, str]:
    """Sentences, lines with lorem ipsum, with a bracket, and the text that C4 leaves."""
    lorem = brackets = count = 0
    kept = []
    for raw in text.splitlines():
        words = raw.split()
        if any(len(word) > 1000 for word in words) or len(words) < 3:
            continue
        line = _CITATION.sub("", raw.strip())
        if terminal and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            continue
        low = line.translate(_LOWER)
        lorem += "lorem ipsum" in low
        if "javascript" in low:
            continue
        brackets += "{" in line
        if any(phrase in low for phrase in _POLICY):
            continue
        count += sentences(line)
        kept.append(line)
    return count, lorem, brackets, "\n".join(kept).strip()


def english(text: str) -> dict[str, float]:
    """Every signal of ``PUBLISHED_LINES`` and ``PUBLISHED_EN``."""
    found = tokens(text)
    words = [w for w in found if any(c not in _SHORT_STOPS for c in w)]
    with_ends, left = c4(text, True), c4(text, False)
    rest = left[3]
    rest_lines = [line for line in rest.split("\n") if line.strip()]
    return {
        **line_signals(text),
        "n_gopher_words": len(words),
        "gopher_mean_word_chars": share(sum(map(len, words)), len(words)),
        "gopher_hashes_per_word": share(text.count("#"), len(found)),
        "gopher_ellipses_per_word": share(text.count("...") + text.count("…"), len(found)),
        "gopher_alphabetic_word_fraction": share(
            sum(any(c.isalpha() for c in w) for w in found), len(found)
        ),
        "n_gopher_stop_words": len(STOPS & set(found)),
        "fineweb_newlines_per_word": share(text.count("\n"), len(found)),
        **{
            f"gopher_top_{n}_gram_char_fraction": share(_top(found, n), len(text))
            for n in (2, 3, 4)
        },
        **{
            f"gopher_duplicate_{n}_gram_char_fraction": share(_duplicate(found, n), len(text))
            for n in range(5, 11)
        },
        "n_c4_sentences": with_ends[0],
        "n_c4_lorem_ipsum_lines": with_ends[1],
        "n_c4_curly_bracket_lines": with_ends[2],
        "n_c4_any_sentences": left[0],
        "n_c4_any_lorem_ipsum_lines": left[1],
        "n_c4_any_curly_bracket_lines": left[2],
        "c4_any_terminal_punctuation_line_fraction": share(
            sum(line.endswith(_TERMINAL) for line in rest_lines), len(rest_lines)
        ),
        "c4_any_short_line_fraction": share(
            sum(len(line) <= 30 for line in rest_lines), len(rest_lines)
        ),
        "c4_any_duplicate_line_char_fraction": share(
            _again(rest_lines)[1], len(rest.replace("\n", ""))
        ),
        "c4_any_newlines_per_word": share(rest.count("\n"), len(tokens(rest))),
    }


# ------------------------------------------------------------------ FineWeb-2


def hanzi_tokens(text: str) -> list[str]:
    """Hanzi one by one, and what jieba keeps apart from them."""
    return re.findall(r"[A-Za-z0-9]+(?:\.[0-9]+)?%?|[#%&+\-._]+|\S", text)


def _weight(token: str) -> Fraction:
    """Words that a token is worth: 1.8 hanzi are one."""
    return Fraction(5, 9) if "\u4e00" <= token <= "\u9fd5" else Fraction(1)


def _stretches(found: list[str], n: int) -> list[tuple[str, int]]:
    """From each token on: the characters that weigh n words to the nearest hanzi, and the end."""
    stretches = []
    for i in range(len(found)):
        total, j = Fraction(0), i
        while j < len(found) and total + Fraction(5, 18) < n:
            total, j = total + _weight(found[j]), j + 1
        if total + Fraction(5, 18) < n:
            break
        stretches.append(("".join(found[i:j]), j))
    return stretches


def fineweb2(text: str) -> dict[str, float]:
    """Signals of the recipe ``fineweb2-zh``."""
    found, n = hanzi_tokens(text), len(text)
    words = [w for w in found if any(c not in _SHORT_STOPS for c in w)]
    all_, plain = float(sum(map(_weight, found))), sum(map(_weight, words))
    letters = sum(_weight(w) for w in found if any(c.isalpha() for c in w))
    signals: dict[str, float] = {
        "n_fineweb2_words": math.floor(plain + Fraction(4, 9)),
        "fineweb2_mean_word_chars": share(sum(map(len, words)), float(plain)),
        "fineweb2_hashes_per_word": share(text.count("#"), all_),
        "fineweb2_ellipses_per_word": share(text.count("...") + text.count("…"), all_),
        "fineweb2_alphabetic_word_fraction": share(float(letters), all_),
        "fineweb2_newlines_per_word": share(text.count("\n"), all_),
    }
    for size in range(2, 11):
        stretches = _stretches(found, size)
        if size <= 4:
            times: Counter[str] = Counter()
            chars = most = 0
            for gram, _ in stretches:
                times[gram] += 1
                if times[gram] > most:  # the first to reach the number
                    most = times[gram]
                    chars = (len(gram) + size - 1) * most
            signals[f"fineweb2_top_{size}_gram_char_fraction"] = share(chars, n)
        else:
            seen: set[str] = set()
            i = chars = 0
            while i < len(stretches):
                gram, end = stretches[i]
                chars += len(gram) if gram in seen else 0
                i = end if gram in seen else i + 1
                seen.add(gram)
            signals[f"fineweb2_duplicate_{size}_gram_char_fraction"] = share(chars, n)
    return signals


# ------------------------------------------------------------------ MAP-NEO, ChineseWebText


def chinese(text: str) -> dict[str, float]:
    """Every signal of ``PUBLISHED_ZH``."""
    n = len(text)
    half = text.translate(str.maketrans("。！；？“”＃", '.!;?""#'))
    plain = re.sub(r"[^\w\s]", "", text)
    lines = text.splitlines()
    bare = re.sub("[ \n\t]", "", text.strip().translate(_LOWER))
    grams = [bare[i : i + 13] for i in range(len(bare) - 13)] if len(bare) >= 13 else [bare]
    signals: dict[str, float] = {
        "n_map_neo_sentences": sum(bool(s.strip()) for s in re.split('[.!…?;"]+', half)),
        "map_neo_hash_runs_per_char": share(len(re.findall("#+", half)), n),
        "map_neo_ellipses_per_char": share(len(re.findall(r"…+|\.{2,}", half)), n),
        "map_neo_digit_fraction": share(sum(map(str.isdigit, plain)), len(plain)),
        "map_neo_read_more_line_fraction": share(
            sum(s.endswith(("readmore", "展开", "更多", "。。。")) for s in lines), len(lines)
        ),
        "map_neo_bullet_line_fraction": share(
            sum(s.startswith(tuple("•●○■□▪▫※·➢‣▶◀◦–")) for s in lines), len(lines)
        ),
        "chinese_web_text_mean_line_chars": n / len(text.split("\n")),
        "chinese_web_text_hanzi_fraction": share(len(re.findall("[\u4e00-\u9fa5]", text)), n),
        "n_traditional_chars": sum(c in variants()[1] for c in text),
        "chinese_web_text_repeated_13_gram_fraction": share(
            sum(times for times in Counter(grams).values() if times > 1), len(grams)
        ),
    }
    for size in range(2, 11):
        found = [text[i : i + size] for i in range(n - size + 1)]
        counts = Counter(found)
        if size <= 4:
            most = counts.most_common(1)[0][1] if counts else 1
            signals[f"map_neo_top_{size}_gram_char_fraction"] = share((most - 1) * size, n)
        else:
            covered = {i + k for i, g in enumerate(found) if counts[g] > 1 for k in range(size)}
            signals[f"map_neo_duplicate_{size}_gram_char_fraction"] = share(len(covered), n)
    return signals | fineweb2(text)


# ------------------------------------------------------------------ verdicts


def gopher_quality(text: str) -> bool:
    s = english(text)
    return (
        50 <= s["n_gopher_words"] <= 100_000
        and 3 <= s["gopher_mean_word_chars"] <= 10
        and s["gopher_hashes_per_word"] <= 0.1
        and s["gopher_ellipses_per_word"] <= 0.1
        and s["gopher_bullet_line_fraction"] <= 0.9
        and s["gopher_ellipsis_line_fraction"] <= 0.3
        and s["gopher_alphabetic_word_fraction"] >= 0.8
        and s["n_gopher_stop_words"] >= 2
    )


def gopher_repetition(text: str) -> bool:
    s = english(text)
    limits = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}
    return (
        text != ""
        and s["gopher_duplicate_paragraph_fraction"] <= 0.3
        and s["gopher_duplicate_paragraph_char_fraction"] <= 0.2
        and s["gopher_duplicate_line_fraction"] <= 0.3
        and s["gopher_duplicate_line_char_fraction"] <= 0.2
        and s["gopher_top_2_gram_char_fraction"] <= 0.2
        and s["gopher_top_3_gram_char_fraction"] <= 0.18
        and s["gopher_top_4_gram_char_fraction"] <= 0.16
        and all(s[f"gopher_duplicate_{n}_gram_char_fraction"] <= x for n, x in limits.items())
    )


def c4_document(text: str, terminal: bool = True) -> bool:
    count, lorem, brackets, _ = c4(text, terminal)
    return count >= 5 and lorem == 0 and brackets == 0


def fineweb(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return False
    return (
        sum(line.endswith(_TERMINAL) for line in lines) / len(lines) >= 0.12
        and sum(len(line) <= 30 for line in lines) / len(lines) <= 0.67
        and _again(lines)[1] / len(text.replace("\n", "")) <= 0.01
        and text.count("\n") / len(tokens(text)) <= 0.3
    )


def fineweb_en(text: str) -> bool:
    return (
        gopher_repetition(text)
        and gopher_quality(text)
        and c4_document(text, terminal=False)
        and fineweb(c4(text, False)[3])
    )


def fineweb2_zh(text: str) -> bool:
    s = line_signals(text) | fineweb2(text)
    lines = [line for line in text.split("\n") if line.strip()]
    bare = [line.strip() for line in text.splitlines()]
    if not lines:
        return False
    tops = {2: 0.256, 3: 0.201, 4: 0.171}
    limits = {5: 0.198, 6: 0.182, 7: 0.167, 8: 0.154, 9: 0.14, 10: 0.127}
    return (
        s["gopher_duplicate_line_fraction"] <= 0.287
        and all(s[f"fineweb2_top_{n}_gram_char_fraction"] <= x for n, x in tops.items())
        and all(s[f"fineweb2_duplicate_{n}_gram_char_fraction"] <= x for n, x in limits.items())
        and s["fineweb_terminal_punctuation_line_fraction"] >= 0.106
        and _again(lines)[1] / len(text.replace("\n", "")) <= 0.1
        and s["fineweb2_newlines_per_word"] <= 0.178
        and 50 <= s["n_fineweb2_words"] <= 100_000
        and 1 <= s["fineweb2_mean_word_chars"] <= 5
        and s["fineweb2_hashes_per_word"] <= 0.1
        and s["fineweb2_ellipses_per_word"] <= 0.1
        and sum(line.startswith(("•", "-")) for line in bare) / len(bare) <= 0.9
        and sum(line.endswith(("...", "…")) for line in bare) / len(bare) <= 0.3
        and s["fineweb2_alphabetic_word_fraction"] >= 0.735
        and len(set("的年在月是和日了於·為有被人中为他與後也而由") & set(text)) >= 2
    )


def map_neo(text: str) -> bool:
    s, counts, n = chinese(text), Counter(text), len(text)
    if not 50 <= n <= 10_000:
        return False
    inside = sum(map(len, re.findall("【([^】\n]*)】", text)))
    entropy = -sum(c / n * math.log(c / n) for c in counts.values())
    tops = {2: 0.2, 3: 0.18, 4: 0.16}
    return (
        inside / n <= 0.1
        and s["n_map_neo_sentences"] > 1
        and s["map_neo_hash_runs_per_char"] <= 0.1
        and s["map_neo_ellipses_per_char"] <= 0.1
        and s["map_neo_digit_fraction"] <= 0.3
        and s["map_neo_read_more_line_fraction"] <= 0.3
        and s["map_neo_bullet_line_fraction"] <= 0.9
        and any(unicodedata.category(c)[0] == "P" for c in text)
        and len(counts) / n > 0.1
        and entropy >= 3
        and all(s[f"map_neo_top_{k}_gram_char_fraction"] <= x for k, x in tops.items())
        and all(s[f"map_neo_duplicate_{k}_gram_char_fraction"] <= 0.6 for k in range(5, 11))
    )


def chinese_web_text(text: str) -> bool:
    s = chinese(text)
    return (
        len(text) > 200
        and s["chinese_web_text_mean_line_chars"] >= 10
        and s["chinese_web_text_hanzi_fraction"] >= 0.3
        and s["n_traditional_chars"] == 0
        and s["chinese_web_text_repeated_13_gram_fraction"] <= 0.5
    )
