"""Conversion between scripts: OpenCC is the oracle; who is converted, and the ledger."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opencc import OpenCC

from yanmo.curate.convert import changed_characters, convert, to_convert
from yanmo.curate.lines import LineOptions
from yanmo.curate.normalize import NormalizeOptions
from yanmo.errors import RecipeError
from yanmo.recipe import from_table

from .test_lines import part, run_part

HANT = "皇后在後面的裡屋，說這幾乎沒有關係；乾淨的頭髮，發展得很好。"
HANS = "皇后在后面的里屋，说这几乎没有关系；干净的头发，发展得很好。"
JAPANESE = "東京の國會圖書館で關係者が發表した。"
OFF = LineOptions(boilerplate=(), counters=False)


def table(texts: list[str], script: str = "Hant") -> pa.Table:
    return pa.table({
        "text": pa.array(texts, pa.large_string()),
        "script": pa.array([script] * len(texts)),
        "n_chars": pa.array([len(t) for t in texts], pa.int64()),
        "n_bytes": pa.array([len(t.encode()) for t in texts], pa.int64()),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "config", "text"),
    [("simplified", "t2s", HANT), ("traditional", "s2t", HANS), ("taiwan", "s2tw", HANS),
     ("hongkong", "s2hk", HANS)],
)  # fmt: skip
def test_as_opencc_does(choice: str, config: str, text: str) -> None:
    made, count, (removed, added) = convert(table([text]), choice)
    row = made.to_pylist()[0]
    assert row["text"] == OpenCC(config).convert(text) != text
    assert count == 1
    assert removed == added == sum(a != b for a, b in zip(text, row["text"], strict=True))
    assert row["script"] == ("Hans" if choice == "simplified" else "Hant")
    assert (row["n_chars"], row["n_bytes"]) == (len(row["text"]), len(row["text"].encode()))


def test_phrases_tell_one_hanzi_from_another() -> None:
    made, _, _ = convert(table([HANS]), "traditional")
    assert made["text"][0].as_py().startswith("皇后在後面的裏屋")
    assert "頭髮，發展" in made["text"][0].as_py()


@pytest.mark.parametrize(
    ("text", "choice"),
    [(HANT, "traditional"), (HANS, "simplified"), (JAPANESE, "simplified"),
     (HANT + "の", "simplified"), ("An English text about tea.", "simplified"),
     ("中文", "simplified"), ("", "simplified"), (HANT + HANS, "simplified"), (HANT, "off")],
)  # fmt: skip
def test_others_are_left_alone(text: str, choice: str) -> None:
    before = table([text])
    made, count, counts = convert(before, choice)
    assert made.equals(before)
    assert (count, counts.sum()) == (0, 0)


def test_hanzi_in_an_english_text_are_converted_and_it_stays_mixed() -> None:
    text = "The word 後 means behind, 裡 means inside, and 說 means to speak: 這幾個 are common."
    made, count, _ = convert(table([text], "mixed"), "simplified")
    assert count == 1
    assert made["script"][0].as_py() == "mixed"
    assert made["text"][0].as_py() == OpenCC("t2s").convert(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet=st.one_of(st.sampled_from(HANT + HANS + "の\n，a𠀀"),
                                           st.characters(codec="utf-8"))), max_size=6))  # fmt: skip
def test_the_ledger_balances_for_any_text(texts: list[str]) -> None:
    made, count, (removed, added) = convert(table(texts), "simplified")
    flags = to_convert(pa.array(texts, pa.large_string()), "simplified")
    assert count == flags.sum()
    after = made["text"].to_pylist()
    assert sum(map(len, texts)) + added - removed == sum(map(len, after))
    converter = OpenCC("t2s")
    assert after == [converter.convert(t) if f else t for t, f in zip(texts, flags, strict=True)]


def test_changed_characters() -> None:
    assert changed_characters("後\n裡外", "后\n里外") == (2, 2)
    assert changed_characters("ab\nc", "abc\nc") == (2, 3)


def test_in_the_task(tmp_path: Path) -> None:
    path = part(tmp_path / "in.parquet", [HANT, HANS, JAPANESE], script=["Hant", "Hans", "Jpan"])
    result = run_part(path, tmp_path / "out", OFF, "simplified")
    assert result["converted"] == 1
    edit = result["edits"]["convert"]
    assert edit["removed"] == edit["added"] > 0


def test_mistaken_choice_is_told() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'simplified'"):
        from_table(NormalizeOptions, {"convert": "simplifyed"}, where="normalize")
