"""The thresholds of every rule, for each kind of text, each with its source.

A ``min_`` rule keeps a document whose signal is at least the threshold, a ``max_`` rule one whose
signal is at most the threshold: a value equal to the threshold is kept. ``None`` (``"off"`` in a
recipe) turns a rule off; ``0`` is zero.

``Thresholds`` holds what fits any language; the classes below it change what their texts need.
"""

# ruff: noqa: RUF009 (the two helpers wrap yanmo.recipe.setting and nothing else)
from dataclasses import dataclass, field, fields
from typing import Any, Final

from yanmo.recipe import setting

from .extra_rules import ExtraRule, category_rule, check_densities
from .published_thresholds import PublishedThresholds

GOPHER: Final = "MassiveText (Gopher), appendix A"
TABLE_A1: Final = "MassiveText (Gopher), table A1"
C4: Final = "C4"
FINEWEB: Final = "FineWeb"
FINEWEB2: Final = "FineWeb-2, cmn_Hani"
MAP_NEO: Final = "MAP-NEO, Chinese pipeline"
CHINESE_WEB_TEXT: Final = "ChineseWebText"
OWN: Final = "yanmo; nothing published"
OWN_LISTS: Final = "docs/lists.md; it depends on the list"

Ratio = float | None
Count = int | None


def _share(default: Ratio, source: str, help: str) -> Any:
    return setting(default, low=0, high=1, source=source, help=help)


def _number(default: Ratio, source: str, help: str) -> Any:
    return setting(default, low=0, source=source, help=help)


@dataclass(frozen=True)
class Thresholds:
    """Any language: what marks broken, empty or repetitive text whatever its script."""

    min_lang_score: Ratio = _share(None, "FineWeb 0.65, MAP-NEO 0.4 (lid.176)", "language score")
    max_mojibake_fraction: Ratio = _share(0.01, OWN, "signatures of a wrong charset, per character")
    min_chars: Count = _number(None, "ChineseWebText 201", "characters")
    max_chars: Count = _number(None, "MAP-NEO 10 000, which drops long articles", "characters")
    min_words: Count = _number(50, GOPHER, "words; a hanzi is one")
    max_words: Count = _number(None, "MassiveText 100 000, which drops books", "words")
    min_hanzi_fraction: Ratio = _share(None, CHINESE_WEB_TEXT, "hanzi among visible characters")
    min_mean_word_chars: Ratio = _number(None, GOPHER, "mean length of runs of letters and digits")
    max_mean_word_chars: Ratio = _number(None, GOPHER, "mean length of runs of letters and digits")
    max_longest_word_chars: Count = _number(
        None, "C4 1000, by which it removes the line", "longest run of letters and digits"
    )
    max_hashes_per_word: Ratio = _number(0.1, GOPHER, "'#' per word")
    max_ellipses_per_word: Ratio = _number(0.1, GOPHER, "ellipses per word")
    max_bullet_line_fraction: Ratio = _share(0.9, GOPHER, "lines that start with a bullet")
    max_ellipsis_line_fraction: Ratio = _share(0.3, GOPHER, "lines that end in an ellipsis")
    max_read_more_line_fraction: Ratio = _share(0.3, MAP_NEO, "lines that end in 展开, 更多, …")
    min_alphabetic_word_fraction: Ratio = _share(None, GOPHER, "words with a letter")
    min_alphabetic_token_fraction: Ratio = _share(
        None,
        "MassiveText 0.8 as datatrove reads it; FineWeb-2 0.735",
        "words with a letter among words and marks",
    )
    min_stop_words_en: Count = _number(None, GOPHER, "how many of the, be, to, of, … occur")
    min_stop_words_zh: Count = _number(None, FINEWEB2, "how many of 的, 年, 在, 月, … occur")
    max_digit_fraction: Ratio = _share(0.3, MAP_NEO, "numbers among letters and numbers")
    min_punctuation: Count = _number(None, MAP_NEO, "punctuation characters")
    max_bracketed_fraction: Ratio = _share(0.1, MAP_NEO, "characters between 【 and 】")
    min_unique_char_fraction: Ratio = _share(
        None, "MAP-NEO 0.1, which drops long articles", "distinct characters per character"
    )
    min_char_entropy: Ratio = _number(None, MAP_NEO, "entropy of the characters, nats")
    min_sentences: Count = _number(None, "C4 5; MAP-NEO 2", "sentences; a line end ends one")
    min_mean_line_chars: Ratio = _number(None, CHINESE_WEB_TEXT, "mean characters of a line")
    min_terminal_punctuation_line_fraction: Ratio = _share(
        None, "FineWeb 0.12; FineWeb-2 0.106", "lines that end a sentence"
    )
    max_short_line_fraction: Ratio = _share(None, FINEWEB, "lines of at most 30 characters")
    max_newlines_per_word: Ratio = _number(None, "FineWeb 0.3; FineWeb-2 0.178", "line ends")
    max_duplicate_line_fraction: Ratio = _share(0.3, TABLE_A1, "lines that came before")
    max_duplicate_line_char_fraction: Ratio = _share(0.2, TABLE_A1, "characters of such lines")
    max_duplicate_paragraph_fraction: Ratio = _share(0.3, TABLE_A1, "paragraphs that came before")
    max_duplicate_paragraph_char_fraction: Ratio = _share(
        0.2, TABLE_A1, "characters of such paragraphs"
    )
    max_top_2_gram_char_fraction: Ratio = _share(0.2, TABLE_A1, "the most frequent 2-gram")
    max_top_3_gram_char_fraction: Ratio = _share(0.18, TABLE_A1, "the most frequent 3-gram")
    max_top_4_gram_char_fraction: Ratio = _share(0.16, TABLE_A1, "the most frequent 4-gram")
    max_duplicate_5_gram_char_fraction: Ratio = _share(0.15, TABLE_A1, "repeated 5-grams")
    max_duplicate_6_gram_char_fraction: Ratio = _share(0.14, TABLE_A1, "repeated 6-grams")
    max_duplicate_7_gram_char_fraction: Ratio = _share(0.13, TABLE_A1, "repeated 7-grams")
    max_duplicate_8_gram_char_fraction: Ratio = _share(0.12, TABLE_A1, "repeated 8-grams")
    max_duplicate_9_gram_char_fraction: Ratio = _share(0.11, TABLE_A1, "repeated 9-grams")
    max_duplicate_10_gram_char_fraction: Ratio = _share(0.1, TABLE_A1, "repeated 10-grams")
    max_repeated_13_gram_fraction: Ratio = _share(0.5, CHINESE_WEB_TEXT, "repeated 13-grams")
    max_lorem_ipsum: Count = _number(0, C4, "'lorem ipsum'")
    max_curly_brackets: Count = _number(None, "C4 0, which drops code", "'{' and '}'")
    max_javascript: Count = _number(None, "C4 0, by which it removes the line", "'javascript'")
    max_policy_phrases: Count = _number(
        None, "C4 0, by which it removes the line", "'privacy policy', 'uses cookies', …"
    )
    min_quality: Ratio = _share(None, "DCLM keeps the best tenth", "probability of [quality]")
    min_quality_percentile: Ratio = setting(
        None, low=0, high=100, source="DCLM 90", help="percentile of the score of [quality]"
    )
    min_perplexity: Ratio = _number(None, OWN, "perplexity per word; low is repetitive")
    max_perplexity: Ratio = _number(None, "CCNet, by language", "perplexity per word")
    max_perplexity_bucket: Ratio = setting(
        None, low=0, high=2, source="CCNet", help="0 keeps the head, 1 also the middle"
    )
    max_listed_words: Count = _number(None, OWN_LISTS, "words of [words] in the text")
    max_listed_word_types: Count = _number(None, OWN_LISTS, "how many different ones")
    max_listed_word_density: Ratio = _number(
        None, OWN_LISTS, "their weights together, per 1000 characters"
    )


@dataclass(frozen=True)
class EnglishThresholds(Thresholds):
    """English: MassiveText (Gopher) with what FineWeb adds."""

    min_mean_word_chars: Ratio = _number(3, GOPHER, "mean length of runs of letters and digits")
    max_mean_word_chars: Ratio = _number(10, GOPHER, "mean length of runs of letters and digits")
    min_alphabetic_word_fraction: Ratio = _share(0.8, GOPHER, "words with a letter")
    min_stop_words_en: Count = _number(2, GOPHER, "how many of the, be, to, of, … occur")
    min_terminal_punctuation_line_fraction: Ratio = _share(
        0.12, FINEWEB, "lines that end a sentence"
    )
    max_short_line_fraction: Ratio = _share(0.67, FINEWEB, "lines of at most 30 characters")
    max_newlines_per_word: Ratio = _number(0.3, FINEWEB, "line ends per word")
    max_duplicate_line_char_fraction: Ratio = _share(
        0.1, "FineWeb, the paper; its code has 0.01", "characters of such lines"
    )


@dataclass(frozen=True)
class CharacterThresholds(Thresholds):
    """Japanese, and the base of Chinese: a word is one character, so that n-grams are shorter."""

    max_top_2_gram_char_fraction: Ratio = _share(0.256, FINEWEB2, "the most frequent 2-gram")
    max_top_3_gram_char_fraction: Ratio = _share(0.201, FINEWEB2, "the most frequent 3-gram")
    max_top_4_gram_char_fraction: Ratio = _share(0.171, FINEWEB2, "the most frequent 4-gram")
    max_duplicate_5_gram_char_fraction: Ratio = _share(0.6, MAP_NEO, "repeated 5-grams")
    max_duplicate_6_gram_char_fraction: Ratio = _share(0.6, MAP_NEO, "repeated 6-grams")
    max_duplicate_7_gram_char_fraction: Ratio = _share(0.6, MAP_NEO, "repeated 7-grams")
    max_duplicate_8_gram_char_fraction: Ratio = _share(0.6, MAP_NEO, "repeated 8-grams")
    max_duplicate_9_gram_char_fraction: Ratio = _share(0.6, MAP_NEO, "repeated 9-grams")
    max_duplicate_10_gram_char_fraction: Ratio = _share(0.6, MAP_NEO, "repeated 10-grams")


@dataclass(frozen=True)
class ChineseThresholds(CharacterThresholds):
    """Chinese: MAP-NEO, ChineseWebText and FineWeb-2.

    FineWeb-2 counts words cut by jieba, about 1.6 hanzi each, so its ratios per word are a little
    milder here.
    """

    min_hanzi_fraction: Ratio = _share(0.3, CHINESE_WEB_TEXT, "hanzi among visible characters")
    min_words: Count = _number(50, MAP_NEO, "words; a hanzi is one")
    min_alphabetic_word_fraction: Ratio = _share(0.735, FINEWEB2, "words with a letter")
    min_stop_words_zh: Count = _number(2, FINEWEB2, "how many of 的, 年, 在, 月, … occur")
    min_punctuation: Count = _number(1, MAP_NEO, "punctuation characters")
    min_char_entropy: Ratio = _number(3, MAP_NEO, "entropy of the characters, nats")
    min_sentences: Count = _number(2, MAP_NEO, "sentences; a line end ends one")
    min_mean_line_chars: Ratio = _number(10, CHINESE_WEB_TEXT, "mean characters of a line")
    min_terminal_punctuation_line_fraction: Ratio = _share(
        0.106, FINEWEB2, "lines that end a sentence"
    )
    max_newlines_per_word: Ratio = _number(0.178, FINEWEB2, "line ends per word")
    max_duplicate_line_fraction: Ratio = _share(0.287, FINEWEB2, "lines that came before")
    max_duplicate_line_char_fraction: Ratio = _share(0.1, FINEWEB2, "characters of such lines")


@dataclass(frozen=True)
class MixedThresholds(ChineseThresholds):
    """Chinese with more Latin letters than hanzi: manuals with code, bilingual pages.

    Lines of code end in no full stop and repeat each other, comments and headings begin with ``#``,
    and Latin letters have an entropy of 3 nats: what presumes prose is off. Boilerplate is left to
    the rules on paragraphs and n-grams: of 20 manuals drawn from 292 that repeated lines had
    dropped, 17 were good (closing brackets, rules of tables, the same call for each framework), 1
    was arguable, and the other 2 failed one of those rules.
    """

    min_hanzi_fraction: Ratio = _share(None, CHINESE_WEB_TEXT, "hanzi among visible characters")
    min_stop_words_zh: Count = _number(None, FINEWEB2, "how many of 的, 年, 在, 月, … occur")
    min_char_entropy: Ratio = _number(None, MAP_NEO, "entropy of the characters, nats")
    max_hashes_per_word: Ratio = _number(None, GOPHER, "'#' per word")
    min_terminal_punctuation_line_fraction: Ratio = _share(
        None, FINEWEB2, "lines that end a sentence"
    )
    max_newlines_per_word: Ratio = _number(0.3, FINEWEB, "line ends per word")
    max_duplicate_line_fraction: Ratio = _share(None, TABLE_A1, "lines that came before")
    max_duplicate_line_char_fraction: Ratio = _share(
        None, "MassiveText 0.2, which drops manuals with code", "characters of such lines"
    )
    max_lorem_ipsum: Count = _number(None, C4, "'lorem ipsum'")


@dataclass(frozen=True)
class Rules:
    """Which thresholds judge which document; see :func:`yanmo.curate.decide.routes`."""

    languages: tuple[str, ...] | None = setting(
        None, help="languages to keep, such as ['zh', 'en']; off keeps all"
    )
    routed: bool = setting(
        True, help="apply the thresholds of each language; off leaves those of [rules.published]"
    )
    zh: ChineseThresholds = field(default_factory=ChineseThresholds)
    en: EnglishThresholds = field(default_factory=EnglishThresholds)
    mixed: MixedThresholds = field(default_factory=MixedThresholds)
    ja: CharacterThresholds = field(default_factory=CharacterThresholds)
    default: Thresholds = field(default_factory=Thresholds)
    published: PublishedThresholds = field(default_factory=PublishedThresholds)
    words: dict[str, float | None] = field(default_factory=dict)
    extra: tuple[ExtraRule, ...] = setting(
        (), help="[[rules.extra]] tables instead of this line: column, min, max, missing, routes"
    )

    def __post_init__(self) -> None:
        """Refuse densities below 0."""
        check_densities(self.words)

    def in_force(self, route: str) -> dict[str, tuple[float, str]]:
        """The rules that judge documents of a route.

        Args:
            route: one of ``yanmo.curate.decide.ROUTES``.

        Returns:
            ``{rule: (threshold, where it is from)}``. A threshold of ``published`` counts for every
            route and takes the place of the route's own.
        """
        found: dict[str, tuple[float, str]] = {}
        table = getattr(self, route)
        for one in fields(table) if self.routed else ():
            value = getattr(table, one.name)
            if value is not None:
                source = str(one.metadata["source"])
                found[one.name] = (
                    float(value),
                    source if value == one.default else "set in the recipe",
                )
        for one in fields(self.published):
            value = getattr(self.published, one.name)
            if value is not None:
                found[one.name] = (float(value), str(one.metadata["source"]))
        for category, most in self.words.items():
            if most is not None:
                found[category_rule(category)[0]] = (float(most), "set in the recipe")
        for rule in self.extra:
            if not rule.routes or route in rule.routes:
                found |= {k: (v, "set in the recipe") for k, v in rule.thresholds().items()}
        return found
