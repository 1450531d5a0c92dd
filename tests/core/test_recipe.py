"""Recipes: round trip, and one clear error for every way to get them wrong."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.errors import RecipeError
from yanmo.recipe import dumps, load, setting, to_table


@dataclass(frozen=True)
class Filter:
    min_chars: int | None = setting(200, low=0)
    max_digit_fraction: float | None = setting(0.3, low=0.0, high=1.0)


@dataclass(frozen=True)
class Source:
    path: str = setting(help="Give [[input]] a path.")
    weight: float = setting(1.0, low=0.0)


@dataclass(frozen=True)
class Web:
    name: str = "web"
    keep: str = setting("text", choices=("text", "sample", "none"))
    deep: bool = True
    sizes: tuple[int, ...] = (1, 2)
    filter: Filter = field(default_factory=Filter)
    input: tuple[Source, ...] = ()
    routes: dict[str, Filter] = field(default_factory=dict)


def test_defaults_come_from_the_dataclass() -> None:
    assert load(Web) == Web()


def test_a_nested_table_keeps_the_defaults_of_its_place() -> None:
    """The default of a field may differ from what its class has; one key does not undo the rest."""

    @dataclass(frozen=True)
    class Strict:
        filter: Filter = Filter(min_chars=500, max_digit_fraction=0.1)

    assert load(Strict).filter == Filter(500, 0.1)
    assert load(Strict, overrides=["filter.min_chars=7"]).filter == Filter(7, 0.1)
    assert load(Strict, overrides=["filter.max_digit_fraction=off"]).filter == Filter(500, None)
    with pytest.raises(RecipeError, match=r"filter\.min_char'.*Did you mean 'min_chars'"):
        load(Strict, overrides=["filter.min_char=7"])


def test_round_trip_through_toml(tmp_path: Path) -> None:
    recipe = Web(
        name='a "q"\n名\x7f', deep=False, filter=Filter(min_chars=None, max_digit_fraction=0.0),
        input=(Source("x"), Source("y", 0.5)), routes={"zh": Filter(5), "a b": Filter()},
    )  # fmt: skip
    path = tmp_path / "web.toml"
    path.write_text(dumps(recipe), encoding="utf-8")
    assert load(Web, path) == recipe


@given(st.text(), st.integers(), st.floats(0, 1), st.booleans())
def test_any_scalar_survives(name: str, size: int, fraction: float, deep: bool) -> None:
    import tomllib

    from yanmo.recipe import from_table

    recipe = Web(name=name, sizes=(size,), deep=deep, filter=Filter(max_digit_fraction=fraction))
    assert from_table(Web, tomllib.loads(dumps(recipe)), where="text") == recipe


def test_override_wins_over_file(tmp_path: Path) -> None:
    path = tmp_path / "web.toml"
    path.write_text("[filter]\nmin_chars = 3\n", encoding="utf-8")
    recipe = load(
        Web, path, ["filter.min_chars=7", "name=plain word", "filter.max_digit_fraction=off"]
    )
    assert recipe.filter == Filter(7, None)
    assert recipe.name == "plain word"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min_char = 3", r"unknown key 'min_char'.*Known"),
        ("[filter]\nmin_char = 3", r"unknown key 'filter.min_char'. Did you mean 'min_chars'"),
        ("name = 3", r"'name' must be a string, got 3"),
        ("deep = 1", r"'deep' must be true or false, got 1"),
        ("sizes = [1, 'x']", r"'sizes\[1\]' must be a whole number, got 'x'"),
        ("keep = 'txt'", r"'keep' is none of the choices, got 'txt'. Did you mean 'text'"),
        ("[filter]\nmax_digit_fraction = 30", r"'filter.max_digit_fraction' must lie in 0.0..1.0"),
        ("[filter]\nmax_digit_fraction = nan", r"must lie in 0.0..1.0, got nan"),
        ("[[input]]\nweight = 1.0", r"key 'input\[0\].path' is required"),
        ("filter = 3", r"'filter' must be a table, got 3"),
        ("x = ", r"web.toml: not TOML"),
    ],
)
def test_errors_name_file_key_and_fix(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "web.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as caught:
        load(Web, path)
    assert "web.toml" in str(caught.value)


def test_missing_file_and_bad_override(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe file"):
        load(Web, tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="no '='"):
        load(Web, None, ["filter.min_chars"])


@dataclass(frozen=True)
class Numbers:
    """A default that is written without a point."""

    share: float = setting(50)


def test_a_whole_number_gives_one_table_read_or_default(tmp_path: Path) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text("share = 50.0\n")
    assert type(load(Numbers, path).share) is float
    tables = [to_table(recipe)["share"] for recipe in (Numbers(), load(Numbers, path))]
    assert tables == [50, 50]
    assert [type(value) for value in tables] == [int, int]
