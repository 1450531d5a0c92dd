"""The thresholds as a recipe: sources, ranges, off and zero."""

import dataclasses

import pytest

from yanmo.curate.decide import ROUTES, RULES
from yanmo.curate.signals import EXTRA, SIGNALS
from yanmo.curate.thresholds import ChineseThresholds, Rules, Thresholds
from yanmo.errors import RecipeError
from yanmo.recipe import dumps, from_table, load, to_table


def test_every_threshold_says_where_it_is_from() -> None:
    for route in ROUTES:
        for field in dataclasses.fields(getattr(Rules(), route)):
            assert field.metadata["source"], (route, field.name)
            assert field.metadata["help"], (route, field.name)
            assert field.metadata["low"] == 0


def test_every_rule_has_a_signal_and_every_default_is_in_range() -> None:
    known = {signal.name for signal in (*SIGNALS, *EXTRA)} | {"lang_score"}
    assert {rule.signal for rule in RULES} <= known
    assert from_table(Rules, to_table(Rules()), where="defaults") == Rules()


def test_recipes_can_move_every_route() -> None:
    overrides = [
        "zh.min_words=10",
        "zh.max_lorem_ipsum=off",
        "mixed.max_lorem_ipsum=0",
        "en.max_words=100000",
        "languages=['zh', 'en']",
    ]
    rules = load(Rules, None, overrides)
    assert rules.zh == dataclasses.replace(ChineseThresholds(), min_words=10, max_lorem_ipsum=None)
    assert rules.mixed.max_lorem_ipsum == 0
    assert rules.en.max_words == 100_000
    assert rules.default == Thresholds()
    assert rules.languages == ("zh", "en")
    assert 'max_lorem_ipsum = "off"' in dumps(rules)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("zh.min_word=10", "min_words"),
        ("zh.max_digit_fraction=1.5", "0..1"),
        ("zh.min_words=2.5", "whole number"),
        ("fr.min_words=5", "unknown key"),
    ],
)
def test_wrong_keys_and_values_are_named(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(Rules, None, [override])
    assert message in str(caught.value)
