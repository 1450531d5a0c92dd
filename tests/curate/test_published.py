"""Signals of published recipes against slow oracles, and the verdicts of every named recipe."""

import dataclasses
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yanmo.curate.cli import group
from yanmo.curate.decide import ROUTES, decide
from yanmo.curate.init_recipe import PUBLISHED_RECIPES, published
from yanmo.curate.measure import measure, schema
from yanmo.curate.published_thresholds import PublishedThresholds
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.signals import (
    PUBLISHED,
    PUBLISHED_EN,
    PUBLISHED_LINES,
    PUBLISHED_ZH,
    SIGNALS,
    Measure,
)
from yanmo.curate.thresholds import Rules, Thresholds
from yanmo.curate.tokens import cut_tokens
from yanmo.curate.utf8 import decode, text_buffer
from yanmo.curate.variants import variants
from yanmo.errors import RecipeError
from yanmo.recipe import from_table, load

from . import slow_published as slow
from .slow_signals import REPETITIVE, TEXTS
from .test_measure import FIXTURES, PROSE_EN, PROSE_ZH

BOTH = Measure(published_en=True, published_zh=True)
WORDS = [
    "don't", "can’t", "I'll", "it's.", "John's", "(U.S.)", "e.g.", "Mr.", "9am", "cannot",
    "3km", "50%", "$5", "US$7", "well-known", "a--b", "end...", "wait…", "x=y", "a/b",
    "foo.Bar", "3-4", "1,000", "A.B.", "http://a.bc/d-e?f=g", "me@site.org", "site.com:80/x",
    "[edit]", "[12]", "[citation needed]", "{", ":)", "X):", "f('');", "?!", '"Yes."', "said",
    "the", "be", "and", "that", "of", "to", "JavaScript", "lorem ipsum", "use cookies",
    "“quoted”", "–", "°C.", "Its", "its", "id", "®", "½", "天地", "。", "é", "ǅ", "\t", "  ", "\n",
    "\r\n", "\n\n", "\u2028", "- ", "• ", "# ", "+5", "+x",
]  # fmt: skip
ENGLISH = st.lists(st.one_of(st.sampled_from(WORDS), st.just(" ")), max_size=60).map(
    lambda words: " ".join(words).replace("  ", " ") if len(words) % 2 else "".join(words)
)


def published_rows(texts: list[str]) -> list[dict[str, float]]:
    columns = measure(pa.array(texts, pa.large_string()), BOTH)
    return [{s.name: columns[s.name][i] for s in PUBLISHED} for i in range(len(texts))]


def check(texts: list[str]) -> None:
    for text, got in zip(texts, published_rows(texts), strict=True):
        want = slow.english(text) | slow.chinese(text)
        assert set(want) == set(got)
        for name, value in want.items():
            assert got[name] == pytest.approx(value, rel=0, abs=1e-12), (name, text)


def test_fixtures_equal_the_oracle() -> None:
    check([*FIXTURES, " ".join(WORDS), "".join(WORDS), "x" * 1001 + " a b.\nA b c."])


@settings(deadline=None, max_examples=120)
@given(st.lists(ENGLISH, max_size=4))
@example(["a. [1] [2]\nb c d.", "[1] [2] [3]", "\n\n", " a\n\na "])
@example(["one two (three). \n", "...", "a\r\n\r\nb", "- a\n\n- b\n...\n"])
def test_english_equals_the_oracle(texts: list[str]) -> None:
    check(texts)


@settings(deadline=None, max_examples=80)
@given(st.lists(TEXTS, max_size=4))
def test_any_text_equals_the_oracle(texts: list[str]) -> None:
    check(texts)


@settings(deadline=None, max_examples=60)
@given(st.lists(REPETITIVE, max_size=3))
def test_repetitive_text_equals_the_oracle(texts: list[str]) -> None:
    check(texts)


SPACY = {
    "I don't think Mr. O'Neil's well-known U.S. shop can't open at 9am.": (
        "I do n't think Mr. O'Neil 's well - known U.S. shop ca n't open at 9 am ."
    ),
    "It cost $5.50 (or 3km/h), e.g. 50% of it...": (
        "It cost $ 5.50 ( or 3 km/h ) , e.g. 50 % of it ..."
    ),
    "See http://a.bc/d-e, me@site.org or site.com; foo.Bar and x=y.": (
        "See http://a.bc/d-e , me@site.org or site.com ; foo . Bar and x = y."
    ),
    "f(🟡x🙂y)": "f(🟡x 🙂 y )",
    "“It’s,” she said—“cannot be…” f(''); X): :-)": (
        "“ It ’s , ” she said—“cannot be … ” f ( '' ) ; X ): :-)"
    ),
}
"""Cut by spaCy 3.8.18 itself, once."""


def kernel_tokens(text: str) -> list[str]:
    codes, bounds = decode(*text_buffer(pa.array([text])))
    found = cut_tokens(codes, bounds)
    return [text[a:b] for a, b in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize("text", SPACY)
def test_tokens_are_those_that_spacy_gives(text: str) -> None:
    assert kernel_tokens(text) == SPACY[text].split()
    assert slow.tokens(text) == SPACY[text].split()


@settings(deadline=None, max_examples=150)
@given(st.one_of(ENGLISH, TEXTS))
def test_tokens_equal_the_oracle(text: str) -> None:
    assert kernel_tokens(text) == slow.tokens(text)


# ------------------------------------------------------------------ recipes


def recipe(name: str) -> CurateRecipe:
    return from_table(CurateRecipe, tomllib.loads(published(name)), where=name)


@pytest.mark.parametrize("name", PUBLISHED_RECIPES)
def test_a_recipe_loads_and_says_where_each_value_is_from(name: str) -> None:
    text = published(name)
    rules = recipe(name).rules
    assert not rules.routed
    table = tomllib.loads(text)["rules"]["published"]
    known = {f.name: f for f in dataclasses.fields(PublishedThresholds)}
    assert set(table) <= set(known)
    for route in ROUTES:
        assert rules.in_force(route) == {
            key: (float(value), known[key].metadata["source"]) for key, value in table.items()
        }
    assert re.search(r"https://\S+", text)  # the publication
    for key, value in table.items():  # the source names the value that the recipe sets
        said = re.sub(r"(?<=\d) (?=\d{3})", "", known[key].metadata["source"])
        assert f"{value:g}" in said or key == "min_unique_char_fraction", (key, said)


def test_every_published_threshold_has_a_signal_a_source_and_is_off() -> None:
    names = {s.name for s in (*SIGNALS, *PUBLISHED)} | {"lang_score"}
    for field in dataclasses.fields(PublishedThresholds):
        plain = field.name[4:]
        assert plain in names or f"n_{plain}" in names, field.name
        assert field.metadata["source"]
        assert field.metadata["help"]
        assert field.default is None


def test_every_published_signal_has_a_rule_and_one_name() -> None:
    rules = {field.name[4:] for field in dataclasses.fields(PublishedThresholds)}
    names = [s.name for s in (*SIGNALS, *PUBLISHED)]
    assert len(set(names)) == len(names)
    assert {s.name.removeprefix("n_") for s in PUBLISHED} <= {r.removeprefix("n_") for r in rules}
    assert all(s.meaning and s.source for s in PUBLISHED)


def test_a_rule_without_its_signal_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"measure\.published_en = true"):
        load(CurateRecipe, None, ["rules.published.min_gopher_words=50"])
    with pytest.raises(RecipeError, match=r"measure\.published_zh = true"):
        load(CurateRecipe, None, ["rules.published.max_traditional_chars=0"])
    rules = load(Rules, None, ["rules.published.min_gopher_words=50".removeprefix("rules.")])
    with pytest.raises(RecipeError, match="n_gopher_words"):
        decide(signals_of([PROSE_EN], Measure()), rules)


def test_a_published_threshold_takes_the_place_of_the_routes_own() -> None:
    rules = Rules(published=PublishedThresholds(min_char_entropy=2))
    for route in ROUTES:
        assert rules.in_force(route)["min_char_entropy"][0] == 2
    assert Rules(routed=False).in_force("en") == {}
    assert set(Rules().in_force("ja")) < {f.name for f in dataclasses.fields(Thresholds)}


def test_columns_are_there_only_if_asked_for() -> None:
    plain = set(schema().names)
    assert not plain & {s.name for s in PUBLISHED}
    assert {s.name for s in PUBLISHED_LINES} <= set(schema(Measure(published_zh=True)).names)
    for chosen, more in ((Measure(published_en=True), PUBLISHED_EN), (BOTH, PUBLISHED_ZH)):
        assert {s.name for s in more} <= set(schema(chosen).names)
        assert list(measure(pa.array(["a"]), chosen)) == [
            name
            for name in schema(chosen).names
            if name not in ("id", "lang", "lang_score", "script")
        ]


def test_init_writes_a_published_recipe(tmp_path: Path) -> None:
    out = tmp_path / "recipe.toml"
    done = CliRunner().invoke(group, ["init", "--recipe", "c4", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert load(CurateRecipe, out).rules == recipe("c4").rules
    help_text = CliRunner().invoke(group, ["init", "--help"]).output
    assert all(name in help_text for name in PUBLISHED_RECIPES)
    wrong = CliRunner().invoke(group, ["init", "--recipe", "c5", "--out", str(tmp_path / "x.toml")])
    assert wrong.exit_code != 0
    assert not (tmp_path / "x.toml").exists()


# ------------------------------------------------------------------ verdicts


def signals_of(texts: list[str], chosen: Measure) -> pa.RecordBatch:
    n = len(texts)
    columns: list[Any] = [
        pa.array([str(i) for i in range(n)]), pa.nulls(n, pa.string()), pa.nulls(n, pa.float64()),
        pa.nulls(n, pa.string()),
        *map(pa.array, measure(pa.array(texts, pa.large_string()), chosen).values()),
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=schema(chosen))


def kept(name: str, texts: list[str]) -> list[bool]:
    settings_ = recipe(name)
    rules = dataclasses.replace(settings_.rules, languages=None)
    verdicts = decide(signals_of(texts, settings_.active_measure()), rules)
    found: list[bool] = verdicts["kept"].to_pylist()
    return found


ORACLES: dict[str, Callable[[str], bool]] = {
    "gopher-quality": slow.gopher_quality,
    "gopher-repetition": slow.gopher_repetition,
    "c4": slow.c4_document,
    "fineweb": slow.fineweb,
    "fineweb-en": slow.fineweb_en,
    "fineweb2-zh": slow.fineweb2_zh,
    "map-neo-zh": slow.map_neo,
    "chinesewebtext": slow.chinese_web_text,
}
SENTENCES = [
    *("The committee met on Tuesday to discuss the new bridge and its cost.", "She didn't agree."),
    *(
        "“Nobody knows,” he said, “what they have to be.”",
        "- a bullet point",
        "Read more…",
        "Short",
    ),
    *("Costs rose by 3.5% (to $12m) in 2019.[4]", "Enable JavaScript to see this page.", "{ x }"),
    *(
        "We use cookies on this site to be nice.",
        "#tag #tag #tag",
        "And that, with the others, was it!",
    ),
    *(
        "清晨的雾还没有散，河边已经有人在钓鱼了。",
        "上游大概又放闸了……",
        "更多",
        "【广告】买一送一",
        "這個",
    ),
    *("I never saw the sea before that winter?", "lorem ipsum dolor sit amet.", "", "12345 67 89"),
]
ENDINGS = ["\n", "\n", " ", "\n\n"]
PAGES = st.lists(
    st.tuples(st.sampled_from(SENTENCES), st.sampled_from(ENDINGS)), min_size=1, max_size=25
).map(lambda parts: "".join(a + b for a, b in parts))
PROSE = st.lists(
    st.permutations(SENTENCES[:3] + SENTENCES[6:7] + SENTENCES[11:12]), max_size=3
).map(lambda rounds: "\n".join(" ".join(f"{s} {i}" for i, s in enumerate(r)) for r in rounds))


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.one_of(PAGES, PROSE), min_size=1, max_size=6))
@example(texts=["", PROSE_EN * 2, PROSE_ZH * 4, PROSE_ZH, f"{PROSE_EN}\n{PROSE_ZH}"])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_verdicts_equal_the_published_rules(name: str, texts: list[str]) -> None:
    assert kept(name, texts) == [ORACLES[name](text) for text in texts]


def numbered(n: int, word: str = "word") -> list[str]:
    """Different words, all letters."""
    letters = "abcdefghij"
    return [word + "".join(letters[int(d)] for d in f"{i:03d}") for i in range(n)]


def filler(n: int) -> str:
    return " ".join(numbered(n))


def different(n: int) -> str:
    """So many different simplified hanzi."""
    old = set(variants()[1])
    hanzi = [chr(code) for code in range(0x4E00, 0x9FA6) if chr(code) not in old][:n]
    return "".join(hanzi)


def short_lines(n: int) -> str:
    """A hundred different lines of which ``n`` are short."""
    return "\n".join(f"a b c {i}." if i < n else f"{filler(8)} {i}." for i in range(100))


TEN_LETTERS = " ".join(numbered(48, "letters"))
AT_THE_EDGE: list[tuple[str, str, bool]] = [
    ("gopher-quality", "the of " + filler(48), True),
    ("gopher-quality", "the of " + filler(47), False),
    ("gopher-quality", "the " + filler(60), False),
    ("gopher-quality", "the and " + " ".join(numbered(50, "")), True),
    ("gopher-quality", "the and to " + " ".join(numbered(50, "")), False),
    ("gopher-quality", f"the and {'x' * 17} {'y' * 17} " + TEN_LETTERS, True),
    ("gopher-quality", f"the and {'x' * 17} {'y' * 18} " + TEN_LETTERS, False),
    ("gopher-quality", "#" * 10 + " the of " + filler(88), True),
    ("gopher-quality", "#" * 11 + " the of " + filler(87), False),
    ("gopher-quality", "\n".join([*(f"- the of {filler(9)}" for _ in range(9)), "end"]), True),
    ("gopher-quality", "\n".join(f"- the of {filler(9)}" for _ in range(9)), False),
    ("gopher-quality", "\n".join([*(["the of..."] * 3), *([filler(9)] * 7)]), True),
    ("gopher-quality", "\n".join([*(["the of..."] * 4), *([filler(9)] * 6)]), False),
    ("gopher-quality", "the of " + filler(78) + " 12345" * 20, True),
    ("gopher-quality", "the of " + filler(77) + " 12345" * 21, False),
    ("c4", "\n".join(["One two three."] * 5), True),
    ("c4", "\n".join(["One two three."] * 4), False),
    ("c4", "\n".join(["One two three."] * 4 + ["One two."]), False),
    ("c4", "\n".join(["One two three."] * 5 + ["one { two"]), True),
    ("c4", "\n".join(["One two three."] * 5 + ["one { two."]), False),
    ("fineweb", "\n".join(f"{filler(8)} {i}" + ("." if i < 3 else "") for i in range(25)), True),
    ("fineweb", "\n".join(f"{filler(8)} {i}" + ("." if i < 2 else "") for i in range(25)), False),
    ("fineweb", short_lines(67), True),
    ("fineweb", short_lines(68), False),
    ("fineweb2-zh", "是的" + different(88) + "。\n", True),
    ("fineweb2-zh", "是的" + different(86) + "。\n", False),
    ("chinesewebtext", different(199) + "。好", True),
    ("chinesewebtext", different(198) + "。好", False),
    ("map-neo-zh", "".join(chr(0x4E00 + i) for i in range(48)) + "。好", True),
    ("map-neo-zh", "".join(chr(0x4E00 + i) for i in range(47)) + "。好", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "stays"), AT_THE_EDGE)
def test_equality_at_the_threshold(name: str, text: str, stays: bool) -> None:
    assert ORACLES[name](text) is stays
    assert kept(name, [text]) == [stays]


def test_unique_characters_at_a_tenth_are_dropped() -> None:
    """MAP-NEO asks for more than 0.1, where all other rules keep equality."""
    hanzi = "".join(chr(0x4E00 + i) for i in range(40))
    base = hanzi + "，。"
    order = "".join(base[(i * i + 7 * (i // 42)) % 42] for i in range(420))
    assert len(set(order)) / len(order) <= 0.1
    rules = Rules(
        routed=False, published=PublishedThresholds(min_unique_char_fraction=0.10000000000000002)
    )
    text = base * 10
    got = decide(signals_of([text, text[:-1]], Measure()), rules)
    assert len(set(text)) / len(text) == 0.1
    assert got["kept"].to_pylist() == [False, True]


def test_spaces_behind_a_citation_that_ends_the_text_are_a_sentence_as_spacy_has_it() -> None:
    # datatrove 0.10.1: split_into_sentences("a  。  ", "en") is ["a  。", "  "].
    texts = ["a  。  [edit]", "a b 。 [edit]", "one two three.  [1]\nfour five six.  [2]"]
    for text, got in zip(texts, published_rows(texts), strict=True):
        assert got["n_c4_any_sentences"] == slow.english(text)["n_c4_any_sentences"]
    assert [row["n_c4_any_sentences"] for row in published_rows(texts)] == [2, 1, 4]
