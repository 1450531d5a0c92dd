"""The ``[urls]`` table of a recipe: which pages are left out by their address."""

from dataclasses import dataclass

from yanmo.errors import RecipeError
from yanmo.recipe import setting


@dataclass(frozen=True)
class UrlOptions:
    """Pages whose address is on a list are dropped before they are extracted."""

    lists: tuple[str, ...] = setting(
        (), help="Lists of domains and addresses: UT1 folders or .tar.gz, and files with one a "
        "line. docs/lists.md",
    )  # fmt: skip
    categories: tuple[str, ...] = setting(
        (), help="Of UT1 lists only these categories; none: all but those that are no black lists."
    )
    allow: tuple[str, ...] = setting(
        (), help="Files of domains and addresses that are never dropped, whatever a list says."
    )
    hard_words: tuple[str, ...] = setting(
        (), source="datatrove", help="Files of words; one of them in an address drops the page"
    )
    soft_words: tuple[str, ...] = setting(
        (), source="datatrove", help="Files of words of which several must be in it"
    )
    max_soft_words: int = setting(
        1, low=0, source="datatrove: two drop", help="Different soft words that may be in it"
    )
    subwords: tuple[str, ...] = setting(
        (), source="datatrove",
        help="Files of strict sub-words, found also inside words and across dots and dashes",
    )  # fmt: skip
    below: bool = setting(
        False, source="squidGuard, for which UT1 is made",
        help="A listed address also drops the pages that lie below it",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse settings that do nothing.

        Raises:
            RecipeError: categories without lists, or an allow list with nothing to allow.
        """
        if self.categories and not self.lists:
            raise RecipeError("'urls.categories' are those of urls.lists, which is empty",
                              value=list(self.categories))  # fmt: skip
        if self.allow and not self.is_on:
            raise RecipeError("'urls.allow' allows what nothing drops", value=list(self.allow),
                              fix="Set urls.lists or a list of words.")  # fmt: skip

    @property
    def is_on(self) -> bool:
        """Is any page looked at?"""
        return bool(self.lists or self.hard_words or self.soft_words or self.subwords)
