"""Signals that are asked for alone, and long texts in which n-grams occur hundreds of times."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from yanmo.curate.cli import group
from yanmo.curate.hanzi_tokens import cut_hanzi, word_repeats
from yanmo.curate.measure import measure
from yanmo.curate.published_ngrams import token_repeats
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.signals import PUBLISHED, SIGNALS, SIZES, TEXT_HASH, Measure
from yanmo.curate.tokens import cut_tokens
from yanmo.curate.utf8 import decode, text_buffer
from yanmo.errors import RecipeError
from yanmo.recipe import load

from . import slow_published as slow
from .test_measure import FIXTURES, PROSE_EN, PROSE_ZH

ROUTED_BY = ("hanzi_fraction", "latin_fraction")
C4_TEXT = (
    "A line with [1] a number.\n[1] [2] [3]\n  One { two three\r\nPrivacy [edit]policy here now"
)


def test_a_signal_asked_for_alone_is_the_same() -> None:
    texts = pa.array(
        [*FIXTURES, C4_TEXT, f"[1] [2] [3]\n{C4_TEXT}\n[4] [5] [6]"], pa.large_string()
    )
    full = measure(texts, Measure(published_en=True, published_zh=True))
    for signal in (*SIGNALS, *PUBLISHED):
        chosen = Measure(always=False, also=(signal.name,), published_en=True, published_zh=True)
        alone = measure(texts, chosen)
        assert set(alone) == {*SIZES, signal.name, *TEXT_HASH}
        for name, values in alone.items():
            assert values.dtype == full[name].dtype
            assert np.array_equal(values, full[name]), name


def test_a_slip_in_a_name_is_refused() -> None:
    with pytest.raises(RecipeError, match="char_entropy"):
        load(CurateRecipe, None, ['measure.also=["char_entropi"]'])
    with pytest.raises(RecipeError, match=r"measure\.published_en"):
        load(CurateRecipe, None, ['measure.also=["n_gopher_words"]'])


def test_rules_and_the_keep_policy_ask() -> None:
    off = ["measure.always=false"]
    asked = load(CurateRecipe, None, [*off, "decide=false"]).active_measure()
    assert [s.name for s in asked.signals()] == list(SIZES)
    asked = load(CurateRecipe, None, [*off, "rules.routed=false"]).active_measure()
    assert [s.name for s in asked.signals()] == [*SIZES, *ROUTED_BY]
    more = ["rules.routed=false", "duplicates.keep=highest:n_words", 'measure.also=["n_lines"]']
    asked = load(CurateRecipe, None, [*off, *more]).active_measure()
    assert [s.name for s in asked.signals()] == [*SIZES, "n_lines", "n_words", *ROUTED_BY]
    rule = ["rules.routed=false", "rules.published.min_char_entropy=1"]
    asked = load(CurateRecipe, None, [*off, *rule]).active_measure()
    assert [s.name for s in asked.signals()] == [*SIZES, *ROUTED_BY, "char_entropy"]
    routed = {s.name for s in load(CurateRecipe, None, off).active_measure().signals()}
    assert {*ROUTED_BY} < routed < {s.name for s in SIGNALS}


def test_a_published_recipe_measures_what_it_compares(tmp_path: Path) -> None:
    recipe, source, out = (tmp_path / name for name in ("recipe.toml", "in", "run"))
    source.mkdir()
    (source / "a.txt").write_text(f"{PROSE_EN}\n" * 3, encoding="utf-8")
    (source / "b.txt").write_text(PROSE_ZH, encoding="utf-8")
    made = CliRunner().invoke(group, ["init", "--recipe", "gopher-quality", "--out", str(recipe)])
    assert made.exit_code == 0, made.output
    done = CliRunner().invoke(
        group, ["filter", str(source), "--recipe", str(recipe), "--out", str(out), "-q"]
    )
    assert done.exit_code == 0, done.output
    names = set(pq.read_table(out / "signals").column_names)
    assert "n_gopher_stop_words" in names
    assert not names & {"char_entropy", "n_c4_sentences", "gopher_top_2_gram_char_fraction"}
    found = pq.read_table(out / "dropped", columns=["id"])["id"].to_pylist()
    said = CliRunner().invoke(group, ["why", str(out), found[0]])
    assert said.exit_code == 0, said.output
    assert "n_gopher_words" in said.output


def long_texts(alphabet: list[str], joint: str) -> list[str]:
    """Many tokens, a few of them very often; and two phrases that are alike in number."""
    draw = random.Random(5)
    often = joint.join(
        alphabet[int(draw.paretovariate(0.7)) % len(alphabet)] for _ in range(20_000)
    )
    loop = joint.join((alphabet[:3] * 400)[:1_100])
    tie = joint.join([*alphabet[3:8], *alphabet[10:15], *alphabet[3:8], *alphabet[10:15]] * 2)
    return [often, loop, tie, joint.join(alphabet[:40])]


def test_long_english_texts_equal_the_oracle() -> None:
    texts = long_texts([f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(600)], " ")
    codes, bounds = decode(*text_buffer(pa.array(texts)))
    got = token_repeats(codes, cut_tokens(codes, bounds))
    for text, counts in zip(texts, got.T.tolist(), strict=True):
        words = text.split()
        want = [slow._top(words, n) for n in (2, 3, 4)]
        assert counts == [*want, *(slow._duplicate(words, n) for n in range(5, 11))]


def test_long_chinese_texts_equal_the_oracle() -> None:
    texts = [text[:700] for text in long_texts([chr(0x4E00 + 7 * i) for i in range(600)], "")]
    texts.append("，。".join(texts[2]) * 20)
    codes, bounds = decode(*text_buffer(pa.array(texts)))
    got = word_repeats(codes, cut_hanzi(codes, bounds))
    for text, counts in zip(texts, got.T.tolist(), strict=True):
        want = slow.fineweb2(text)
        names = [f"top_{n}" for n in (2, 3, 4)] + [f"duplicate_{n}" for n in range(5, 11)]
        for name, covered in zip(names, counts, strict=True):
            value = want[f"fineweb2_{name}_gram_char_fraction"]
            assert covered / len(text) == pytest.approx(value, rel=0, abs=1e-12), name
