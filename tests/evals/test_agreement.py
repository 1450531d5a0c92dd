"""Agreement coefficients against published examples, the definition, and their own properties."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import DataError
from yanmo.evals.agreement import cohen_kappa, confusion, krippendorff_alpha

ABC = ("a", "b", "c")


def raters(table: list[list[int]], names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Two lists of ratings that give a table of counts."""
    pairs = [(names[i], names[j]) for i, row in enumerate(table) for j, n in enumerate(row)
             for _ in range(n)]  # fmt: skip
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        # The worked examples of the English encyclopedia's article on Cohen's kappa.
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 0.1304),
        ([[25, 35], [5, 35]], 0.2593),
        # Cohen 1960, table 1 (proportions of 200 cases): kappa 0.492.
        ([[88, 10, 2], [14, 40, 6], [18, 10, 12]], 0.4915),
    ],
)
def test_kappa_of_published_tables(table: list[list[int]], kappa: float) -> None:
    names = ABC[: len(table)]
    found = cohen_kappa(*raters(table, names), names)
    assert found.kappa == pytest.approx(kappa, abs=5e-5)
    assert [list(row) for row in found.confusion] == table
    assert found.low is not None
    assert found.high is not None
    assert found.low < kappa < found.high


def unit(text: str) -> list[list[str | None]]:
    """Rows of raters, written as in the paper, turned into units."""
    rows = [line.split() for line in text.strip().splitlines()]
    return [[None if v == "." else v for v in column] for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(
    ("rows", "alpha"),
    [
        # Krippendorff (2011), sections A, B and C.
        ("0 1 0 0 0 0 0 0 1 0\n1 1 1 0 0 1 0 0 0 0", 0.095),
        ("a a b b d c c c e d d a\nb a b b b c c c e d d d", 0.692),
        ("1 2 3 3 2 1 4 1 2 . . .\n1 2 3 3 2 2 4 1 2 5 . 3\n"
         ". 3 3 3 2 3 4 2 2 5 1 .\n1 2 3 3 2 4 4 1 2 5 1 .", 0.743),
    ],
)  # fmt: skip
def test_alpha_of_the_published_examples(rows: str, alpha: float) -> None:
    assert krippendorff_alpha(unit(rows)) == pytest.approx(alpha, abs=5e-4)


def test_nothing_to_agree_about() -> None:
    assert krippendorff_alpha([["a", "a"], ["a", None]]) is None
    assert krippendorff_alpha([["a"], ["b", None]]) is None
    found = cohen_kappa(["a", "a"], ["a", "a"], ABC)
    assert (found.kappa, found.low, found.raw) == (None, None, 1.0)


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="different numbers"):
        confusion(["a"], ["a", "b"], ABC)
    with pytest.raises(DataError, match="no item"):
        confusion([], [], ABC)
    with pytest.raises(DataError, match="'d'"):
        confusion(["a"], ["d"], ABC)


ratings = st.lists(st.tuples(st.sampled_from(ABC), st.sampled_from(ABC)), min_size=2, max_size=40)


@given(ratings)
@settings(max_examples=60, deadline=None)
def test_kappa_is_symmetric_and_one_at_agreement(pairs: list[tuple[str, str]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = cohen_kappa(first, second, ABC, rounds=50).kappa
    assert found == pytest.approx(cohen_kappa(second, first, ABC, rounds=50).kappa)
    if len(set(first)) > 1:
        assert cohen_kappa(first, first, ABC, rounds=50).kappa == pytest.approx(1.0)


@given(ratings)
@settings(max_examples=60, deadline=None)
def test_alpha_by_its_definition(pairs: list[tuple[str, str]]) -> None:
    """1 - observed over expected disagreement, over all pairs of values, counted one by one."""
    alpha = krippendorff_alpha(pairs)
    values = [v for pair in pairs for v in pair]
    n = len(values)
    observed = sum(2 * (a != b) for a, b in pairs) / n
    apart = sum(x != y for i, x in enumerate(values) for j, y in enumerate(values) if i != j)
    if apart == 0:
        assert alpha is None
    else:
        assert alpha is not None
        assert math.isclose(alpha, 1 - observed / (apart / (n * (n - 1))), abs_tol=1e-9)


def test_a_gap_changes_nothing() -> None:
    units: list[list[str | None]] = [["a", "b"], ["a", "a"], ["b", "b"]]
    assert krippendorff_alpha([[*u, None] for u in units]) == krippendorff_alpha(units)
    assert krippendorff_alpha([*units, ["c", None]]) == krippendorff_alpha(units)
