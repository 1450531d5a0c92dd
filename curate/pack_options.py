"""The ``[pack]`` table of a recipe: all that changes what token shards hold."""

from dataclasses import dataclass

from yanmo.recipe import setting


@dataclass(frozen=True)
class PackSettings:
    """The ``[pack]`` table of a recipe."""

    holdout_fraction: float = setting(
        0.01, low=0.0, high=0.5,
        help="Share of each source's bytes to hold out, in whole duplicate clusters and sites.",
    )  # fmt: skip
    holdout_jaccard: float | None = setting(
        0.8, low=0.1, high=1.0, source="docs/duplicates.md: below it the bands miss most pairs",
        help="No held-out document resembles a training one so much, in sets of character 5-grams.",
    )  # fmt: skip
    max_part_tokens: int = setting(
        1 << 27, low=1, help="A part is closed before it exceeds this; a longer document is alone."
    )
    shuffle: bool = setting(
        False,
        help="Write the documents in an order by hash over all parts. The trainer needs none.",
    )
    seed: int = setting(0, low=0, help="Chooses what is held out, and the order of a shuffle.")

    @property
    def guards(self) -> bool:
        """Whether held-out documents are compared with the others."""
        return self.holdout_jaccard is not None and self.holdout_fraction > 0
