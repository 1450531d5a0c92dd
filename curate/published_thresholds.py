"""The thresholds that published recipes set on signals measured in their own way.

All are off. A recipe that sets one sets it for every document, whatever its language; the order is
that in which datatrove's pipeline for FineWeb asks. The named recipes (``yanmo curate init
--recipe``) are made of these and nothing else.
"""

# ruff: noqa: RUF009 (the two helpers wrap yanmo.recipe.setting and nothing else)
from dataclasses import dataclass
from typing import Any, Final

from yanmo.recipe import setting

REPETITION: Final = "datatrove 0.10.1, GopherRepetitionFilter"
QUALITY: Final = "datatrove 0.10.1, GopherQualityFilter"
C4: Final = "datatrove 0.10.1, C4QualityFilter"
FINEWEB: Final = "datatrove 0.10.1, FineWebQualityFilter"
FINEWEB_EN: Final = "FineWeb: FineWebQualityFilter after C4QualityFilter"
FINEWEB2: Final = "FineWeb-2, cmn_Hani"
MAP_NEO: Final = "MAP-NEO, Chinese pipeline"
CHINESE_WEB_TEXT: Final = "ChineseWebText"

Ratio = float | None
Count = int | None


def _share(source: str, help: str) -> Any:
    return setting(None, low=0, high=1, source=source, help=help)


def _number(source: str, help: str) -> Any:
    return setting(None, low=0, source=source, help=help)


@dataclass(frozen=True)
class PublishedThresholds:
    """``[rules.published]``: for every document; the source says who set which value."""

    min_lang_score: Ratio = _number(
        "FineWeb 0.65; FineWeb-2 0.692 (GlotLID); MAP-NEO 0.4", "language score"
    )
    min_chars: Count = _number("datatrove 1; MAP-NEO 50; ChineseWebText 201", "characters")
    max_chars: Count = _number("MAP-NEO 10 000", "characters")
    min_lines: Count = _number("datatrove 1", "lines with text")
    # GopherRepetitionFilter; MassiveText (Gopher), table A1
    max_gopher_duplicate_paragraph_fraction: Ratio = _share(
        f"{REPETITION} 0.3", "paragraphs that came before"
    )
    max_gopher_duplicate_paragraph_char_fraction: Ratio = _share(
        f"{REPETITION} 0.2", "their characters"
    )
    max_gopher_duplicate_line_fraction: Ratio = _share(
        f"{REPETITION} 0.3; FineWeb-2 0.287", "lines that came before"
    )
    max_gopher_duplicate_line_char_fraction: Ratio = _share(f"{REPETITION} 0.2", "their characters")
    max_gopher_top_2_gram_char_fraction: Ratio = _number(
        f"{REPETITION} 0.2", "the most frequent 2-gram of tokens"
    )
    max_gopher_top_3_gram_char_fraction: Ratio = _number(
        f"{REPETITION} 0.18", "the most frequent 3-gram of tokens"
    )
    max_gopher_top_4_gram_char_fraction: Ratio = _number(
        f"{REPETITION} 0.16", "the most frequent 4-gram of tokens"
    )
    max_gopher_duplicate_5_gram_char_fraction: Ratio = _share(
        f"{REPETITION} 0.15", "repeated 5-grams of tokens"
    )
    max_gopher_duplicate_6_gram_char_fraction: Ratio = _share(
        f"{REPETITION} 0.14", "repeated 6-grams of tokens"
    )
    max_gopher_duplicate_7_gram_char_fraction: Ratio = _share(
        f"{REPETITION} 0.13", "repeated 7-grams of tokens"
    )
    max_gopher_duplicate_8_gram_char_fraction: Ratio = _share(
        f"{REPETITION} 0.12", "repeated 8-grams of tokens"
    )
    max_gopher_duplicate_9_gram_char_fraction: Ratio = _share(
        f"{REPETITION} 0.11", "repeated 9-grams of tokens"
    )
    max_gopher_duplicate_10_gram_char_fraction: Ratio = _share(
        f"{REPETITION} 0.1", "repeated 10-grams of tokens"
    )
    # FineWeb-2 in words that are estimated, MAP-NEO in characters
    max_fineweb2_top_2_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.256", "the most frequent 2-gram of words"
    )
    max_fineweb2_top_3_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.201", "the most frequent 3-gram of words"
    )
    max_fineweb2_top_4_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.171", "the most frequent 4-gram of words"
    )
    max_fineweb2_duplicate_5_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.198", "repeated 5-grams of words"
    )
    max_fineweb2_duplicate_6_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.182", "repeated 6-grams of words"
    )
    max_fineweb2_duplicate_7_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.167", "repeated 7-grams of words"
    )
    max_fineweb2_duplicate_8_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.154", "repeated 8-grams of words"
    )
    max_fineweb2_duplicate_9_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.14", "repeated 9-grams of words"
    )
    max_fineweb2_duplicate_10_gram_char_fraction: Ratio = _share(
        f"{FINEWEB2} 0.127", "repeated 10-grams of words"
    )
    max_map_neo_top_2_gram_char_fraction: Ratio = _number(
        f"{MAP_NEO} 0.2", "the most frequent 2-gram of characters"
    )
    max_map_neo_top_3_gram_char_fraction: Ratio = _number(
        f"{MAP_NEO} 0.18", "the most frequent 3-gram of characters"
    )
    max_map_neo_top_4_gram_char_fraction: Ratio = _number(
        f"{MAP_NEO} 0.16", "the most frequent 4-gram of characters"
    )
    max_map_neo_duplicate_5_gram_char_fraction: Ratio = _share(
        f"{MAP_NEO} 0.6", "repeated 5-grams of characters"
    )
    max_map_neo_duplicate_6_gram_char_fraction: Ratio = _share(
        f"{MAP_NEO} 0.6", "repeated 6-grams of characters"
    )
    max_map_neo_duplicate_7_gram_char_fraction: Ratio = _share(
        f"{MAP_NEO} 0.6", "repeated 7-grams of characters"
    )
    max_map_neo_duplicate_8_gram_char_fraction: Ratio = _share(
        f"{MAP_NEO} 0.6", "repeated 8-grams of characters"
    )
    max_map_neo_duplicate_9_gram_char_fraction: Ratio = _share(
        f"{MAP_NEO} 0.6", "repeated 9-grams of characters"
    )
    max_map_neo_duplicate_10_gram_char_fraction: Ratio = _share(
        f"{MAP_NEO} 0.6", "repeated 10-grams of characters"
    )
    max_chinese_web_text_repeated_13_gram_fraction: Ratio = _share(
        f"{CHINESE_WEB_TEXT} 0.5", "repeated 13-grams of characters"
    )
    # GopherQualityFilter; MassiveText (Gopher), appendix A
    min_gopher_words: Count = _number(f"{QUALITY} 50", "tokens that are not all punctuation")
    max_gopher_words: Count = _number(f"{QUALITY} 100 000", "tokens that are not all punctuation")
    min_gopher_mean_word_chars: Ratio = _number(f"{QUALITY} 3", "mean characters of such tokens")
    max_gopher_mean_word_chars: Ratio = _number(f"{QUALITY} 10", "mean characters of such tokens")
    max_gopher_hashes_per_word: Ratio = _number(f"{QUALITY} 0.1", "'#' per token")
    max_gopher_ellipses_per_word: Ratio = _number(f"{QUALITY} 0.1", "ellipses per token")
    max_gopher_bullet_line_fraction: Ratio = _share(
        f"{QUALITY} 0.9", "lines that start with • or -"
    )
    max_gopher_ellipsis_line_fraction: Ratio = _share(
        f"{QUALITY} 0.3", "lines that end in an ellipsis"
    )
    min_gopher_alphabetic_word_fraction: Ratio = _share(f"{QUALITY} 0.8", "tokens with a letter")
    min_gopher_stop_words: Count = _number(f"{QUALITY} 2", "how many of the, be, to, of, … occur")
    # The same for FineWeb-2, in words that are estimated
    min_fineweb2_words: Count = _number(f"{FINEWEB2} 50", "words as jieba would cut them")
    max_fineweb2_words: Count = _number(f"{FINEWEB2} 100 000", "words as jieba would cut them")
    max_fineweb2_hashes_per_word: Ratio = _number(f"{FINEWEB2} 0.1", "'#' per word")
    max_fineweb2_ellipses_per_word: Ratio = _number(f"{FINEWEB2} 0.1", "ellipses per word")
    min_fineweb2_alphabetic_word_fraction: Ratio = _share(
        f"{FINEWEB2} 0.735", "words with a letter"
    )
    max_fineweb2_mean_word_chars: Ratio = _number(f"{FINEWEB2} 5", "mean characters of a word")
    min_fineweb2_mean_word_chars: Ratio = _number(f"{FINEWEB2} 1", "mean characters of a word")
    min_stop_words_zh: Count = _number(f"{FINEWEB2} 2", "how many of 的, 年, 在, 月, … occur")
    # C4QualityFilter: what its line rules leave, with and without terminal punctuation
    max_c4_lorem_ipsum_lines: Count = _number(f"{C4} 0", "lines with 'lorem ipsum'")
    max_c4_curly_bracket_lines: Count = _number(f"{C4} 0", "lines with '{'")
    min_c4_sentences: Count = _number(f"{C4} 5", "sentences")
    max_c4_any_lorem_ipsum_lines: Count = _number(f"{C4} 0", "lines with 'lorem ipsum'")
    max_c4_any_curly_bracket_lines: Count = _number(f"{C4} 0", "lines with '{'")
    min_c4_any_sentences: Count = _number(f"{C4} 5", "sentences")
    # FineWebQualityFilter, of the text and of what C4 leaves of it
    min_fineweb_terminal_punctuation_line_fraction: Ratio = _share(
        f"{FINEWEB} 0.12; FineWeb-2 0.106", "lines that end a sentence"
    )
    max_short_line_fraction: Ratio = _share(f"{FINEWEB} 0.67", "lines of at most 30 characters")
    max_duplicate_line_char_fraction: Ratio = _share(
        f"{FINEWEB} 0.01; FineWeb-2 0.1", "characters of lines that came before"
    )
    max_fineweb_newlines_per_word: Ratio = _number(f"{FINEWEB} 0.3", "line ends per token")
    max_fineweb2_newlines_per_word: Ratio = _number(f"{FINEWEB2} 0.178", "line ends per word")
    min_c4_any_terminal_punctuation_line_fraction: Ratio = _share(
        f"{FINEWEB_EN} 0.12", "lines that end a sentence"
    )
    max_c4_any_short_line_fraction: Ratio = _share(
        f"{FINEWEB_EN} 0.67", "lines of at most 30 characters"
    )
    max_c4_any_duplicate_line_char_fraction: Ratio = _share(
        f"{FINEWEB_EN} 0.01", "characters of lines that came before"
    )
    max_c4_any_newlines_per_word: Ratio = _number(f"{FINEWEB_EN} 0.3", "line ends per token")
    # MAP-NEO
    max_bracketed_fraction: Ratio = _share(f"{MAP_NEO} 0.1", "characters between 【 and 】")
    min_map_neo_sentences: Count = _number(f"{MAP_NEO} 2", "sentences")
    max_map_neo_hash_runs_per_char: Ratio = _number(f"{MAP_NEO} 0.1", "runs of '#' per character")
    max_map_neo_ellipses_per_char: Ratio = _number(f"{MAP_NEO} 0.1", "ellipses per character")
    max_map_neo_digit_fraction: Ratio = _share(
        f"{MAP_NEO} 0.3", "digits among letters, numbers and spaces"
    )
    max_map_neo_read_more_line_fraction: Ratio = _share(
        f"{MAP_NEO} 0.3", "lines that end in 展开, 更多, …"
    )
    max_map_neo_bullet_line_fraction: Ratio = _share(
        f"{MAP_NEO} 0.9", "lines that start with a bullet"
    )
    min_punctuation: Count = _number(f"{MAP_NEO} 1", "punctuation characters")
    min_unique_char_fraction: Ratio = _share(
        f"{MAP_NEO} over 0.1", "distinct characters per character"
    )
    min_char_entropy: Ratio = _number(f"{MAP_NEO} 3", "entropy of the characters, nats")
    # ChineseWebText
    min_chinese_web_text_mean_line_chars: Ratio = _number(
        f"{CHINESE_WEB_TEXT} 10", "mean characters of a line"
    )
    min_chinese_web_text_hanzi_fraction: Ratio = _share(
        f"{CHINESE_WEB_TEXT} 0.3", "hanzi among all characters"
    )
    max_traditional_chars: Count = _number(
        f"{CHINESE_WEB_TEXT} 0", "hanzi that are only traditional"
    )
