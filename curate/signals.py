"""The catalogue of signals: what is measured of every document, in which unit, after whom.

*Characters* are code points, *visible* ones are not space, *words* are those of
``yanmo.curate.words`` (a hanzi is one, a run of letters and digits is one), *lines* are those of
``yanmo.curate.layout`` (never blank). A fraction whose denominator is zero is 0.
"""

from dataclasses import dataclass
from typing import Final, Literal

from yanmo.recipe import setting

STOP_WORDS_ZH: Final = "的年在月是和日了於·為有被人中为他與後也而由"
"""Source: FineWeb-2, ``cmn_Hani``."""

TEXT_HASH: Final = ("text_hash_hi", "text_hash_lo")
"""Columns of the 128-bit XXH3 of the UTF-8 bytes of the text, upper and lower half. Two different
texts among 10⁹ have one hash with a chance of 1.5e-21."""


MAX_NGRAM_WORDS: Final = 1 << 20
"""So many words of a document fit the 20 bits that the n-gram kernel gives a number."""


@dataclass(frozen=True)
class Measure:
    """What can be set about measuring (thresholds are set where the deciding is)."""

    short_line_chars: int = setting(
        30,
        low=0,
        source="FineWeb",
        help="a line of at most so many characters is short",
    )
    max_ngram_words: int = setting(
        MAX_NGRAM_WORDS,
        low=1,
        high=MAX_NGRAM_WORDS,
        help="repeated n-grams are looked for in the first so many words of a document",
    )


@dataclass(frozen=True)
class Signal:
    """One column of the signal table: an int64 count or a float64 ratio."""

    name: str
    kind: Literal["count", "ratio"]
    meaning: str
    source: str


def _count(name: str, meaning: str, source: str) -> Signal:
    return Signal(name, "count", meaning, source)


def _ratio(name: str, meaning: str, source: str) -> Signal:
    return Signal(name, "ratio", meaning, source)


_GOPHER: Final = "MassiveText (Gopher)"
_TABLE_A1: Final = "MassiveText (Gopher), table A1"

SIGNALS: Final[tuple[Signal, ...]] = (
    _count("n_chars", "characters, with spaces and line ends", "MAP-NEO, ChineseWebText"),
    _count("n_bytes", "bytes of UTF-8", "yanmo"),
    _count("n_lines", "lines", "FineWeb"),
    _count("n_newlines", "characters ``\\n``", "FineWeb"),
    _count("n_paragraphs", "runs of lines without a blank line between them", _GOPHER),
    _count("n_sentences", "stretches with a word, up to a sentence or line end", "C4, MAP-NEO"),
    _count("n_words", "words", _GOPHER),
    _count("n_word_chars", "characters in words", "yanmo"),
    _count("n_words_latin", "words with a Latin letter", "yanmo"),
    _count("n_marks", "runs of one punctuation mark or symbol", "yanmo"),
    _count("n_punctuation", "punctuation characters (P*)", "MAP-NEO"),
    _ratio("hanzi_fraction", "hanzi among visible characters", "ChineseWebText"),
    _ratio("kana_fraction", "kana among visible characters", "yanmo"),
    _ratio("hangul_fraction", "hangul among visible characters", "yanmo"),
    _ratio("latin_fraction", "Latin letters among visible characters", "yanmo"),
    _ratio("letter_fraction", "letters of any script among visible characters", "data-juicer"),
    _ratio("digit_fraction", "numbers among letters, marks and numbers", "MAP-NEO"),
    _ratio("punctuation_fraction", "punctuation among visible characters", "MAP-NEO"),
    _ratio("symbol_fraction", "symbols (S*) among visible characters", "data-juicer"),
    _ratio("unique_char_fraction", "distinct characters over characters", "MAP-NEO"),
    _ratio("char_entropy", "entropy of the characters, in nats", "MAP-NEO"),
    _ratio("bracketed_fraction", "characters between 【 and 】 over characters", "MAP-NEO"),
    _ratio("hashes_per_word", "characters ``#`` over words", _GOPHER),
    _ratio("ellipses_per_word", "runs of ``…`` or of 3 and more ``.``, ``。`` over words", _GOPHER),
    _ratio("newlines_per_word", "``\\n`` over words", "FineWeb"),
    _ratio("mean_word_chars", "mean characters of a run of letters and digits", _GOPHER),
    _count("longest_word_chars", "characters of the longest such run", "C4"),
    _ratio("alphabetic_word_fraction", "words with a letter among words", _GOPHER),
    _ratio(
        "alphabetic_token_fraction", "words with a letter among words and marks", "datatrove 0.10"
    ),
    _count("n_stop_words_en", "how many of 8 English stop words occur", _GOPHER),
    _count("n_stop_words_zh", "how many of 22 Chinese stop characters occur", "FineWeb-2 cmn_Hani"),
    _ratio("mean_line_chars", "mean characters of a line", "ChineseWebText"),
    _ratio("bullet_line_fraction", "lines that start with a bullet", _GOPHER),
    _ratio("ellipsis_line_fraction", "lines that end in ``…`` or ``...``", _GOPHER),
    _ratio("read_more_line_fraction", "lines that end in 展开, 更多, read more …", "MAP-NEO"),
    _ratio("terminal_punctuation_line_fraction", "lines that end a sentence", "C4, FineWeb"),
    _ratio("short_line_fraction", "lines of at most ``short_line_chars`` characters", "FineWeb"),
    _ratio("duplicate_line_fraction", "lines that came before, among lines", _TABLE_A1),
    _ratio(
        "duplicate_line_char_fraction",
        "characters of lines that came before, among characters but line ends",
        f"{_TABLE_A1}; FineWeb",
    ),
    _ratio("duplicate_paragraph_fraction", "paragraphs that came before", _TABLE_A1),
    _ratio(
        "duplicate_paragraph_char_fraction",
        "characters of paragraphs that came before, among characters but line ends",
        _TABLE_A1,
    ),
    *(
        _ratio(
            f"top_{n}_gram_char_fraction",
            f"characters of words covered by the most frequent {n}-gram",
            _TABLE_A1,
        )
        for n in (2, 3, 4)
    ),
    *(
        _ratio(
            f"duplicate_{n}_gram_char_fraction",
            f"characters of words in {n}-grams that came before",
            _TABLE_A1,
        )
        for n in range(5, 11)
    ),
    _ratio("repeated_13_gram_fraction", "13-grams that occur more than once", "ChineseWebText"),
    _count("n_curly_brackets", "characters ``{`` and ``}``", "C4"),
    _count("n_lorem_ipsum", "phrase 'lorem ipsum'", "C4"),
    _count("n_javascript", "word 'javascript'", "C4"),
    _count("n_policy_phrases", "'privacy policy', 'uses cookies' and the like", "C4"),
    _count("n_replacement_chars", "characters U+FFFD", "yanmo"),
    _count("n_mojibake", "signatures of a wrong charset, such as 锟斤拷", "yanmo"),
    _ratio("mojibake_fraction", "U+FFFD and those signatures over characters", "yanmo"),
)
