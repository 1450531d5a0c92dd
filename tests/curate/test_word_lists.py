"""Files of words: their forms, what is refused, and the signals of a part."""

import gzip
import math
import re
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import zstandard

from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.word_counts import count_part, load_words, signals_of
from yanmo.curate.word_lists import compile_lists, list_files
from yanmo.documents import SCHEMA, write_part
from yanmo.errors import DataError, RecipeError
from yanmo.recipe import dumps, from_table, load

OPTIONS: dict[str, Any] = {"boundaries": "words", "fold_case": True, "fold_variants": False,
                           "max_places": 50}  # fmt: skip


def compiled(folder: Path, allow: str = "", **options: Any) -> dict[str, Any]:
    """Compile every list in a folder."""
    lists = list_files([str(folder)], where="words.lists")
    parameters = {**OPTIONS, **options, "names": [p.name for p in lists],
                  "allow": ["allow.txt"] if allow else []}  # fmt: skip
    out = folder.parent / "out"
    out.mkdir(exist_ok=True)
    if allow:
        (folder.parent / "allow.txt").write_text(allow, "utf-8")
        lists.append(folder.parent / "allow.txt")
    return compile_lists(lists, parameters, out)


def counted(folder: Path, texts: list[str], **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Signals and places of texts, by the compiled lists in ``out``."""
    rows = [{"id": str(n), "text": t, "source": "s", "origin": str(n), "n_chars": len(t),
             "n_bytes": len(t.encode())} for n, t in enumerate(texts)]  # fmt: skip
    write_part(folder / "documents.parquet", pa.Table.from_pylist(rows, SCHEMA))
    load_words.cache_clear()
    inputs = [folder / "documents.parquet", folder / "out" / "words.parquet"]
    count_part(inputs, {**OPTIONS, **options}, folder)
    return pl.read_parquet(folder / "counts.parquet"), pl.read_parquet(folder / "words.parquet")


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "lists"
    folder.mkdir()
    return folder


def test_every_form_of_a_list(lists: Path, tmp_path: Path) -> None:
    (lists / "赌博.txt").write_text("\ufeff# 注释\n博彩\r\n\n  老虎机  \n", "utf-8")
    (lists / "three.tsv").write_text(
        "ads\t代开发票\t3\nspam\t代开发票\t0.5\nads\t招聘\t1\n", "utf-8"
    )
    (lists / "two.tsv").write_text("adult\t色情\nadult\tsex\n", "utf-8")
    (lists / "weights.txt.gz").write_bytes(gzip.compress("信用卡\t2\n贷款\t4.5\n".encode()))
    (lists / "z.txt.zst").write_bytes(zstandard.compress(b"click here\n"))
    (lists / "README.md").write_text("no list", "utf-8")
    told = compiled(lists)
    assert told["categories"] == ["ads", "adult", "spam", "weights", "z", "赌博"]
    assert (told["words"], told["repeated"], told["never"]) == (9, 0, [])
    words = load_words(tmp_path / "out" / "words.parquet")
    row = words.words.index("代开发票")
    assert words.named[row] == "ads|spam"
    assert words.weights[row].tolist() == [3, 3, 0, 0.5, 0, 0, 0]


def test_signals_by_hand(lists: Path, tmp_path: Path) -> None:
    (lists / "w.tsv").write_text("ads\t代开发票\t3\nspam\t代开发票\t0.5\nads\tＱＱ\t1\n", "utf-8")
    compiled(lists)
    text = "代开发票，加qq，QQ" + "。" * 39  # 50 characters
    counts, places = counted(tmp_path, [text, "", "没有"])
    assert counts.columns == ["id", *signals_of(["ads", "spam"])]
    first = counts.row(0, named=True)
    assert first == {
        "id": "0", "n_listed_words": 3, "n_listed_word_types": 2,
        "listed_word_density": 100, "n_listed_words.ads": 3, "listed_word_density.ads": 100,
        "n_listed_words.spam": 1, "listed_word_density.spam": 10,
    }  # fmt: skip
    assert counts.rows()[1][1:] == counts.rows()[2][1:] == (0.0,) * 7
    assert places.rows() == [
        ("0", 0, 4, "代开发票", "ads|spam", 3.0), ("0", 6, 8, "ＱＱ", "ads", 1.0),
        ("0", 9, 11, "ＱＱ", "ads", 1.0)]  # fmt: skip
    for _, start, end, *_ in places.rows():
        assert text[start:end].lower() in ("代开发票", "qq")


def test_allowed_words_and_variants(lists: Path, tmp_path: Path) -> None:
    (lists / "w.txt").write_text("色情\n发票\nsm\n", "utf-8")
    told = compiled(lists, allow="特色情怀\nＳＭ\n", fold_variants=True)
    assert told["never"] == ["sm"]
    counts, _ = counted(tmp_path, ["特色情怀，SM", "發票，色情"], fold_variants=True)
    assert counts["n_listed_words"].to_list() == [0, 2]
    compiled(lists)
    counts, _ = counted(tmp_path, ["特色情怀，SM", "發票，色情"])
    assert counts["n_listed_words"].to_list() == [2, 1]


def test_places_are_capped_and_counts_are_not(lists: Path, tmp_path: Path) -> None:
    (lists / "w.txt").write_text("兼职\n", "utf-8")
    compiled(lists)
    counts, places = counted(tmp_path, ["兼职" * 9, "兼职", "兼职" * 4], max_places=3)
    assert counts["n_listed_words"].to_list() == [9, 1, 4]
    assert places["id"].to_list() == ["0"] * 3 + ["1"] + ["2"] * 3
    assert counts["listed_word_density"].to_list() == [500.0] * 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "holds no words"),
        ("a.txt", b"# only\n", "holds no words"),
        ("a.txt", "赌博\n".encode("gb18030"), "a.txt, line 1: the list is not UTF-8"),
        ("a.tsv", "ads\t词\nads\n".encode(), "line 2: the lines of a list must have one number"),
        ("a.tsv", b"a\tb\t1\td\n", "at most 3"),
        ("a.tsv", "ads\t词\theavy\n".encode(), "line 1: a weight must be a number above 0"),
        ("a.tsv", "ads\t词\t-1\n".encode(), "above 0"),
        ("a.tsv", "ads\t词\tinf\n".encode(), "above 0"),
        ("a.tsv", "\t词\t1\n".encode(), "the category is empty"),
        ("a.tsv", b"ads\t\t1\n", "1 to 256 characters"),
        ("a.txt", b"x" * 257, "1 to 256 characters"),
        ("a.tsv", "a\tQQ\t1\na\tｑｑ\t2\n".encode(), "1; a.tsv, line 2: a word has two weights"),
        ("a.txt", "兼职,\n招聘,\n".encode(), "every word ends in a comma"),
        ("a.txt.gz", b"\x1f\x8bbroken", "cannot read the list"),
        ("a.txt.gz", gzip.compress(b"ab" * 99)[:10] + b"\xff" * 30, "cannot read the list"),
        ("a.txt.zst", zstandard.compress("兼职\n".encode() * 99)[:-2], "cannot read the list"),
    ],
)  # fmt: skip
def test_lists_that_are_refused(lists: Path, name: str, content: bytes, message: str) -> None:
    (lists / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        compiled(lists)
    assert re.search(message, str(error.value))
    assert "a.t" in str(error.value)


def test_too_many_categories(lists: Path) -> None:
    (lists / "a.tsv").write_text("".join(f"c{n}\tw{n}\n" for n in range(65)), "utf-8")
    with pytest.raises(DataError, match="more than 64 categories"):
        compiled(lists)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"words": {"list": ["x"]}}, "Did you mean 'lists'"),
        ({"words": {"boundaries": "word"}}, "Did you mean 'words'"),
        ({"words": {"allow": ["x"]}}, "allows what nothing counts"),
        ({"rules": {"words": {"ads": -1}}}, "must be at least 0"),
        ({"rules": {"words": {"ads": "high"}}}, "'rules.words.ads' must be a number"),
        ({"rules": {"words": {"ads": 3}}}, "Set words.lists"),
        ({"rules": {"zh": {"max_listed_word_density": 3}}}, "Set words.lists"),
        ({"rules": {"extra": [{"column": "n_listed_words.ads", "max": 3}]}}, "not measured"),
    ],
)
def test_recipes_that_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        from_table(CurateRecipe, table, where="test")


def test_recipe_survives_a_round_trip(tmp_path: Path) -> None:
    table = {"words": {"lists": ["w"]}, "rules": {"words": {"广告 A": 2.5, "off": "off"}}}
    recipe = from_table(CurateRecipe, table, where="test")
    (tmp_path / "r.toml").write_text(dumps(recipe), "utf-8")
    assert load(CurateRecipe, tmp_path / "r.toml") == recipe
    assert recipe.rules.words["off"] is None
    changed = load(CurateRecipe, tmp_path / "r.toml", ["rules.words.ads=1"])
    assert changed.rules.in_force("zh")["max_listed_word_density.ads"][0] == 1
    assert not math.isnan(changed.rules.in_force("en")["max_listed_word_density.广告 A"][0])
