"""Rules on signals of any name, ``[[rules.extra]]``, and on listed words, ``[rules.words]``."""

from collections.abc import Mapping
from dataclasses import dataclass

from yanmo.errors import RecipeError
from yanmo.recipe import setting


@dataclass(frozen=True)
class ExtraRule:
    """One ``[[rules.extra]]`` table: bounds of a signal, both kept."""

    column: str = setting(help="A signal: a column of [[signals]] or any that is measured.")
    min: float | None = setting(None, help="Least value that is kept.")
    max: float | None = setting(None, help="Largest value that is kept.")
    missing: str = setting(
        "keep", choices=("keep", "drop"), help="What becomes of documents without a value."
    )
    routes: tuple[str, ...] = setting(
        (), choices=("default", "zh", "en", "ja", "mixed"), help="Kinds of text; none: all."
    )

    def __post_init__(self) -> None:
        """Refuse a rule that does nothing, or drops everything."""
        if self.min is None and self.max is None and self.missing == "keep":
            raise RecipeError("'rules.extra' has neither min nor max", value=self.column)
        if self.min is not None and self.max is not None and self.min > self.max:
            raise RecipeError("'rules.extra' has min above max", value=(self.min, self.max),
                              fix="No document would be kept.")  # fmt: skip

    def thresholds(self) -> dict[str, float]:
        """Rule names and their thresholds; that of a ``missing_`` rule says nothing."""
        found = {}
        if self.missing == "drop":
            found[f"missing_{self.column}"] = 0.0
        if self.min is not None:
            found[f"min_{self.column}"] = self.min
        if self.max is not None:
            found[f"max_{self.column}"] = self.max
        return found


def category_rule(category: str) -> tuple[str, str]:
    """The rule on the density of a category of listed words, and its signal."""
    signal = f"listed_word_density.{category}"
    return f"max_{signal}", signal


def check_densities(densities: Mapping[str, float | None]) -> None:
    """Refuse thresholds of ``[rules.words]`` that are no densities.

    Raises:
        RecipeError: one is below 0.
    """
    for category, most in densities.items():
        if most is not None and not most >= 0:
            raise RecipeError(f"'rules.words.{category}' must be at least 0", value=most)
