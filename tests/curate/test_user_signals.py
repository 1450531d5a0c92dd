"""Columns of a user's tables as signals: the join against a dictionary, rules, and the command."""

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.command import command
from yanmo.curate.decide import decide, signal_columns
from yanmo.curate.measure import measure
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.curate.thresholds import ChineseThresholds, Rules
from yanmo.curate.user_signals import look_up, sort_table
from yanmo.errors import DataError, RecipeError
from yanmo.recipe import dumps, from_table, load

ROWS = [("a", 1.5, 2), ("b", None, -1), ("钥匙", 0.25, 0), ("", 7.0, 7)]


def write(folder: Path, kind: str) -> Path:
    frame = pl.DataFrame(ROWS, schema=["id", "x", "n"], orient="row")
    path = folder / f"table.{kind}"
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "tsv":
        frame.write_csv(path, separator="\t", quote_style="non_numeric")
    elif kind.startswith("csv"):
        path.write_bytes(gzip.compress(frame.write_csv(quote_style="non_numeric").encode()))
    else:
        frame.with_columns(other=pl.lit("text")).write_ndjson(path)
    return path


def sort(path: Path, out: Path, columns: list[str], key: str = "id") -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    parameters = {"columns": columns, "key_column": key, "name": path.name}
    return sort_table([path], parameters, out)


@pytest.mark.parametrize("kind", ["parquet", "csv.gz", "tsv", "jsonl"])
def test_every_format_gives_the_same_values(tmp_path: Path, kind: str) -> None:
    told = sort(write(tmp_path, kind), tmp_path / "out", ["n", "x"])
    assert told["rows"] == 4
    keys = pa.array(["钥匙", "a", "missing", None, "b"])
    found = look_up(keys, tmp_path / "out" / "keys.npy", tmp_path / "out" / "values.npy")
    nan = float("nan")
    np.testing.assert_array_equal(found, [[0, 0.25], [2, 1.5], [nan, nan], [nan, nan], [-1, nan]])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["keys.npy", "values.npy"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.floats(allow_nan=False)),
       st.lists(st.text(st.characters(codec="utf-8"))))  # fmt: skip
def test_a_join_is_a_dictionary(tmp_path: Path, table: dict[str, float], more: list[str]) -> None:
    schema = {"k": pl.String, "v": pl.Float64}
    pl.DataFrame({"k": list(table), "v": list(table.values())}, schema=schema).write_parquet(
        tmp_path / "t.parquet"
    )
    sort(tmp_path / "t.parquet", tmp_path / "out", ["v"], "k")
    asked = [*more, *table]
    found = look_up(pa.array(asked, pa.string()), tmp_path / "out" / "keys.npy",
                    tmp_path / "out" / "values.npy")[:, 0]  # fmt: skip
    np.testing.assert_array_equal(found, [table.get(k, float("nan")) for k in asked])


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("id,x\na,1\nb,2\na,3\n", ["x"], "the same key, got (1, 3)"),
        ("id,x\na,1\n", ["y"], "no such column, got 'y'"),
        ("key,x\na,1\n", ["x"], "no such column, got 'id'"),
        ("id,x\na,good\n", ["x"], "good"),
        ("", ["x"], "no such column"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, text: str, columns: list[str], message: str
) -> None:
    (tmp_path / "t.csv").write_text(text, "utf-8")
    with pytest.raises(DataError) as error:
        sort(tmp_path / "t.csv", tmp_path / "out", columns)
    assert message in str(error.value)
    assert "t.csv" in str(error.value)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_compressed_table_that_is_cut_is_named(tmp_path: Path, kind: str) -> None:
    draw = random.Random(0)
    rows = [(f"{draw.getrandbits(64):x}", draw.random()) for _ in range(20_000)]
    frame = pl.DataFrame(rows, schema=["id", "x"], orient="row")
    text = frame.write_csv() if kind == "csv" else frame.write_ndjson()
    packed = zstandard.ZstdCompressor().compress(text.encode())
    path = tmp_path / f"table.{kind}.zst"
    path.write_bytes(packed)
    assert sort(path, tmp_path / "whole", ["x"])["rows"] == 20_000
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=rf"table\.{kind}\.zst"):
        sort(path, tmp_path / "cut", ["x"])


def test_rules_of_any_column() -> None:
    texts = pa.array(["甲"] * 5)
    columns = measure(texts)
    table = pa.table(
        {"id": list("abcde"), "lang": ["zh"] * 4 + ["en"], "lang_score": [1.0] * 5,
         "script": ["Hans"] * 5, **columns, "mine": pa.array([0.1, 0.3, 0.9, None, 0.1])}
    )  # fmt: skip
    extra = [{"column": "mine", "min": 0.3, "max": 0.8, "missing": "drop", "routes": ["zh"]}]
    rules = from_table(Rules, {"routed": False, "extra": extra}, where="test")
    found = decide(table, rules).to_pydict()
    assert found["kept"] == [False, True, False, False, True]
    assert found["rule"] == ["min_mine", None, "max_mine", "missing_mine", None]
    assert found["threshold"] == [0.3, None, 0.8, None, None]
    assert "mine" in signal_columns(rules)


def test_thresholds_of_quality_by_route() -> None:
    columns = measure(pa.array(["甲"] * 3))
    table = pa.table(
        {"id": list("abc"), "lang": ["zh", "zh", "en"], "lang_score": [1.0] * 3,
         "script": ["Hans", "Hans", "Latn"], **columns, "quality": [0.2, 0.7, 0.1]}
    )  # fmt: skip
    off = dict.fromkeys(ChineseThresholds.__dataclass_fields__, "off")
    routes = dict.fromkeys(("zh", "en", "default", "ja", "mixed"), off)
    rules = from_table(Rules, routes | {"zh": {**off, "min_quality": 0.5}}, where="test")
    found = decide(table, rules).to_pydict()
    assert found["kept"] == [False, True, True]
    assert found["rule"][0] == "min_quality"
    with pytest.raises(RecipeError, match="not measured"):
        decide(table.drop_columns(["quality"]), rules)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"signals": [{"columns": ["x"]}]}, "without a path"),
        ({"signals": [{"columns": ["x"], "path": "t.xlsx"}]}, "unknown format"),
        ({"signals": [{"columns": ["x"], "path": "t.csv", "key": "urls"}]}, "Did you mean 'url'"),
        ({"signals": [{"columns": ["n_chars"], "path": "t.csv"}]}, "name of another signal"),
        ({"rules": {"extra": [{"column": "nchars", "min": 1}]}}, "Did you mean 'n_chars'"),
        ({"rules": {"extra": [{"column": "n_chars"}]}}, "neither min nor max"),
        ({"rules": {"extra": [{"column": "n_chars", "min": 2, "max": 1}]}}, "min above max"),
        ({"perplexity": [{"model": "m", "head": 5}]}, "head and middle"),
        ({"rules": {"zh": {"max_perplexity": 5}}}, r"\[\[perplexity\]\]"),
    ],
)
def test_recipes_that_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        from_table(CurateRecipe, table, where="test")
    assert re.search(message, str(error.value))


def test_recipe_survives_a_round_trip(tmp_path: Path) -> None:
    table = {"signals": [{"columns": ["x"], "path": "t.csv"}, {"columns": ["meta.score"]}],
             "rules": {"extra": [{"column": "x", "min": 0.5}]}}  # fmt: skip
    recipe = from_table(CurateRecipe, table, where="test")
    (tmp_path / "r.toml").write_text(dumps(recipe), "utf-8")
    assert load(CurateRecipe, tmp_path / "r.toml") == recipe


def test_the_command(tmp_path: Path) -> None:
    texts = [f"第{i}篇：" + "".join(chr(0x4E00 + (i * 97 + j * 31) % 9000) for j in range(80))
             for i in range(6)]  # fmt: skip
    rows = [{"text": t, "url": f"https://a.example/{i}", "score": i, "name": f"n{i}"}
            for i, t in enumerate([*texts, texts[0]])]  # fmt: skip
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    (tmp_path / "docs.jsonl").write_text(lines, "utf-8")
    pl.DataFrame({"url": [f"https://a.example/{i}" for i in range(1, 9)], "mine": range(8)}
                 ).write_csv(tmp_path / "mine.csv")  # fmt: skip
    pl.DataFrame({"key": ["n2"], "named": [5.0]}).write_ndjson(tmp_path / "named.jsonl")
    (tmp_path / "r.toml").write_text(
        f"""rules.routed = false
duplicates.keep = "highest:mine"
[[signals]]
columns = ["mine"]
path = "{tmp_path}/mine.csv"
key = "url"
[[signals]]
columns = ["named"]
path = "{tmp_path}/named.jsonl"
key = "meta.name"
key_column = "key"
[[signals]]
columns = ["meta.score"]
[[rules.extra]]
column = "meta.score"
min = 2
[[rules.extra]]
column = "mine"
max = 3
""",
        "utf-8",
    )
    run = ("curate", "run", tmp_path / "docs.jsonl", "--recipe", tmp_path / "r.toml", "--json",
           "-q", "--workers", 1)  # fmt: skip
    done = command(*run, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert done.json()["dropped"] == {"min_meta.score": 2, "max_mine": 2}
    signals = pl.read_parquet(tmp_path / "run" / "signals" / "*.parquet")
    assert signals["mine"].to_list() == [None, 0, 1, 2, 3, 4, 5]
    assert signals["named"].to_list() == [None, None, 5, None, None, None, None]
    assert signals["meta.score"].to_list() == [0, 1, 2, 3, 4, 5, 6]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    missing = manifest["counts"]["added_signals"]["missing"]
    assert missing == {"mine": 1, "named": 6, "meta.score": 0}
    again = command(*run, "--out", tmp_path / "run", "--set", "rules.extra=[]")
    assert again.code == 0, again.err
    kept = pl.read_parquet(tmp_path / "run" / "documents" / "*.parquet")["url"].to_list()
    assert "https://a.example/6" in kept  # mine 5, and the other copy has none
    assert "https://a.example/0" not in kept
    assert "measure" not in {
        k for k, v in again.json()["steps"].items() if v["tasks"] > v["cached"]
    }
    (tmp_path / "mine.csv").unlink()
    gone = command(*run, "--out", tmp_path / "run")
    assert gone.code == 1
    assert "mine.csv" in gone.err
