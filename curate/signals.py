"""The catalogue of signals: what is measured of every document, in which unit, after whom.

*Characters* are code points, *visible* ones are not space, *words* are those of
``yanmo.curate.words`` (a hanzi is one, a run of letters and digits is one), *lines* are those of
``yanmo.curate.layout`` (never blank). A fraction whose denominator is zero is 0.
"""

from dataclasses import dataclass
from typing import Final, Literal

from yanmo.errors import RecipeError
from yanmo.recipe import did_you_mean, setting

STOP_WORDS_ZH: Final = "的年在月是和日了於·為有被人中为他與後也而由"
"""Source: FineWeb-2, ``cmn_Hani``."""

SIZES: Final = ("n_chars", "n_bytes")
"""The signals that are measured in any case."""

TEXT_HASH: Final = ("text_hash_hi", "text_hash_lo")
"""Columns of the 128-bit XXH3 of the UTF-8 bytes of the text, upper and lower half. Two different
texts among 10⁹ have one hash with a chance of 1.5e-21."""


MAX_NGRAM_WORDS: Final = 1 << 20
"""So many words of a document fit the 20 bits that the n-gram kernel gives a number."""


@dataclass(frozen=True)
class Measure:
    """What can be set about measuring (thresholds are set where the deciding is)."""

    always: bool = setting(
        True,
        help="measure every signal; off measures those alone that a rule in force or the keep "
        "policy asks for, and the sizes and the hash of the text",
    )
    also: tuple[str, ...] = setting(
        (), help='where that is off, measure these signals too, e.g. ["char_entropy"]'
    )
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
    published_en: bool = setting(
        False, help="measure also what datatrove's English filters measure, for their verdicts"
    )
    published_zh: bool = setting(
        False, help="measure also what MAP-NEO and ChineseWebText measure, for their verdicts"
    )

    def __post_init__(self) -> None:
        """Refuse signals that cannot be measured."""
        names = [signal.name for signal in self._possible()]
        for name in self.also:
            if name not in names:
                off = {signal.name for signal in PUBLISHED}
                raise RecipeError(
                    "no such signal" if name not in off else "this signal is not measured",
                    where="measure.also",
                    value=name,
                    fix="Set measure.published_en or measure.published_zh = true."
                    if name in off
                    else did_you_mean(name, names),
                )

    def _possible(self) -> tuple["Signal", ...]:
        lines = PUBLISHED_LINES if self.published_en or self.published_zh else ()
        return (
            *SIGNALS,
            *lines,
            *(PUBLISHED_EN if self.published_en else ()),
            *(PUBLISHED_ZH if self.published_zh else ()),
        )

    def signals(self) -> tuple["Signal", ...]:
        """What these settings measure, in the order of the columns."""
        names = {*SIZES, *self.also}
        return tuple(s for s in self._possible() if self.always or s.name in names)


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

EXTRA: Final[tuple[Signal, ...]] = (
    _ratio("quality", "calibrated probability that the model of [quality] gives", "DCLM"),
    _ratio("quality_percentile", "percentile of its score", "DCLM"),
    _ratio("perplexity", "perplexity per word by the model of [[perplexity]]", "CCNet"),
    _ratio("perplexity_per_char", "the same per character", "yanmo"),
    _ratio("perplexity_bucket", "0 head, 1 middle, 2 tail", "CCNet"),
    _ratio("unknown_word_fraction", "words that its vocabulary has not", "yanmo"),
    _count("n_listed_words", "matches of the words of [words]", "yanmo"),
    _count("n_listed_word_types", "how many different ones", "ChineseWebText"),
    _ratio("listed_word_density", "sum of their weights per 1000 characters", "yanmo"),
)
"""Measured where the recipe names a model or a list."""

_DATATROVE: Final = "datatrove 0.10.1"
_NEO: Final = "MAP-NEO"
_CWT: Final = "ChineseWebText"
_FW2: Final = "FineWeb-2 cmn_Hani"

PUBLISHED_LINES: Final[tuple[Signal, ...]] = (
    _ratio(
        "gopher_bullet_line_fraction", "lines, empty ones too, that start with • or -", _DATATROVE
    ),
    _ratio(
        "gopher_ellipsis_line_fraction", "lines, empty ones too, that end in … or ...", _DATATROVE
    ),
    _ratio(
        "gopher_duplicate_paragraph_fraction",
        "pieces between blank lines that came before, among such pieces",
        _DATATROVE,
    ),
    _ratio("gopher_duplicate_paragraph_char_fraction", "their characters, among all", _DATATROVE),
    _ratio(
        "gopher_duplicate_line_fraction",
        "pieces between line ends that came before, among such pieces",
        _DATATROVE,
    ),
    _ratio("gopher_duplicate_line_char_fraction", "their characters, among all", _DATATROVE),
    _ratio(
        "fineweb_terminal_punctuation_line_fraction",
        "lines whose last character is a full stop, question or exclamation mark of any script",
        _DATATROVE,
    ),
)
"""Measured with either of the two below."""

PUBLISHED_EN: Final[tuple[Signal, ...]] = (
    _count("n_gopher_words", "tokens of spaCy's English that are not all punctuation", _DATATROVE),
    _ratio("gopher_mean_word_chars", "mean characters of those", _DATATROVE),
    _ratio("gopher_hashes_per_word", "characters ``#`` over tokens", _DATATROVE),
    _ratio("gopher_ellipses_per_word", "``...`` and ``…`` over tokens", _DATATROVE),
    _ratio("gopher_alphabetic_word_fraction", "tokens with a letter among tokens", _DATATROVE),
    _count("n_gopher_stop_words", "how many of 8 small English stop words occur", _DATATROVE),
    _ratio("fineweb_newlines_per_word", "``\\n`` over tokens", _DATATROVE),
    *(
        _ratio(
            f"gopher_top_{n}_gram_char_fraction",
            f"length of the most frequent {n}-gram of tokens, with spaces, times its occurrences, "
            "over characters",
            _DATATROVE,
        )
        for n in (2, 3, 4)
    ),
    *(
        _ratio(
            f"gopher_duplicate_{n}_gram_char_fraction",
            f"characters of {n}-grams of tokens that came before, over characters",
            _DATATROVE,
        )
        for n in range(5, 11)
    ),
    _count("n_c4_sentences", "sentences that C4's line rules leave", _DATATROVE),
    _count("n_c4_lorem_ipsum_lines", "lines with 'lorem ipsum' that C4 comes to see", _DATATROVE),
    _count("n_c4_curly_bracket_lines", "lines with ``{`` that C4 comes to see", _DATATROVE),
    _count("n_c4_any_sentences", "the same without the rule on terminal punctuation", _DATATROVE),
    _count("n_c4_any_lorem_ipsum_lines", "likewise", _DATATROVE),
    _count("n_c4_any_curly_bracket_lines", "likewise", _DATATROVE),
    _ratio(
        "c4_any_terminal_punctuation_line_fraction",
        "``fineweb_terminal_punctuation_line_fraction`` of what C4 leaves so",
        _DATATROVE,
    ),
    _ratio("c4_any_short_line_fraction", "its lines of at most 30 characters", _DATATROVE),
    _ratio(
        "c4_any_duplicate_line_char_fraction",
        "characters of its lines that came before, among characters but line ends",
        _DATATROVE,
    ),
    _ratio("c4_any_newlines_per_word", "its ``\\n`` over tokens", _DATATROVE),
)
"""Measured if ``[measure] published_en`` is on: what the English filters of datatrove compare."""

PUBLISHED_ZH: Final[tuple[Signal, ...]] = (
    _count("n_fineweb2_words", "words that jieba would cut, estimated, but punctuation", _FW2),
    _ratio("fineweb2_mean_word_chars", "mean characters of those, estimated", _FW2),
    _ratio("fineweb2_hashes_per_word", "characters ``#`` over words and marks, estimated", _FW2),
    _ratio("fineweb2_ellipses_per_word", "``...`` and ``…`` over words and marks, estimated", _FW2),
    _ratio("fineweb2_alphabetic_word_fraction", "words with a letter, likewise", _FW2),
    _ratio("fineweb2_newlines_per_word", "``\\n`` over words and marks, likewise", _FW2),
    *(
        _ratio(
            f"fineweb2_top_{n}_gram_char_fraction",
            f"the most frequent stretch of about {n} such words, with spaces, times its "
            "occurrences, over characters",
            _FW2,
        )
        for n in (2, 3, 4)
    ),
    *(
        _ratio(
            f"fineweb2_duplicate_{n}_gram_char_fraction",
            f"characters of stretches of about {n} such words that came before, over characters",
            _FW2,
        )
        for n in range(5, 11)
    ),
    _count("n_map_neo_sentences", 'stretches with text between . ! … ? ; " and their like', _NEO),
    _ratio("map_neo_hash_runs_per_char", "runs of ``#`` over characters", _NEO),
    _ratio("map_neo_ellipses_per_char", "runs of ``…``, and of two or more full stops", _NEO),
    _ratio("map_neo_digit_fraction", "digits among letters, numbers and spaces", _NEO),
    _ratio(
        "map_neo_read_more_line_fraction", "lines that end in 展开, 更多, readmore, 。。。", _NEO
    ),
    _ratio("map_neo_bullet_line_fraction", "lines whose first character is a bullet", _NEO),
    _ratio("chinese_web_text_mean_line_chars", "characters over line ends plus one", _CWT),
    _ratio("chinese_web_text_hanzi_fraction", "U+4E00 to U+9FA5 over all characters", _CWT),
    _count("n_traditional_chars", "hanzi that are only traditional", _CWT),
    _ratio(
        "chinese_web_text_repeated_13_gram_fraction",
        "13-grams of characters that occur more than once, spaces left out",
        _CWT,
    ),
    *(
        _ratio(
            f"map_neo_top_{n}_gram_char_fraction",
            f"repetitions of the most frequent {n}-gram of characters, times {n}, over characters",
            _NEO,
        )
        for n in (2, 3, 4)
    ),
    *(
        _ratio(
            f"map_neo_duplicate_{n}_gram_char_fraction",
            f"characters in {n}-grams of characters that occur more than once, over characters",
            _NEO,
        )
        for n in range(5, 11)
    ),
)
"""Measured if ``[measure] published_zh`` is on."""

PUBLISHED: Final = (*PUBLISHED_LINES, *PUBLISHED_EN, *PUBLISHED_ZH)
