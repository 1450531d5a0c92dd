"""Published recipes once more, slowly: plain Python from what datatrove, spaCy, MAP-NEO and
ChineseWebText publish. Nothing here looks at the kernels.
"""

import math
import re
import unicodedata
from collections import Counter

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
    return {
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
    found, lines = tokens(text), text.splitlines()
    words = [w for w in found if any(c not in _SHORT_STOPS for c in w)]
    bare = [line.strip() for line in lines]
    with_ends, left = c4(text, True), c4(text, False)
    rest = left[3]
    rest_lines = [line for line in rest.split("\n") if line.strip()]
    return {
        **line_signals(text),
        "n_gopher_words": len(words),
        "gopher_mean_word_chars": share(sum(map(len, words)), len(words)),
        "gopher_hashes_per_word": share(text.count("#"), len(found)),
        "gopher_ellipses_per_word": share(text.count("...") + text.count("…"), len(found)),
        "gopher_bullet_line_fraction": share(
            sum(s.startswith(("•", "-")) for s in bare), len(bare)
        ),
        "gopher_ellipsis_line_fraction": share(
            sum(s.endswith(("...", "…")) for s in bare), len(bare)
        ),
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
    return signals


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
