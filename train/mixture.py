"""The mixture of a run: a plan of `yanmo curate mix`, or epochs of sources in the recipe."""

from pathlib import Path

from yanmo import mixture as mixtures
from yanmo.mixture import Plan
from yanmo.shards import Shards

from .data import Loader
from .recipe import Pretrain


def find_plan(recipe: Pretrain, shards: Shards) -> Plan | None:
    """The plan that a run follows; ``None``: every document once an epoch.

    Raises:
        RecipeError: a source is not in the shards.
        DataError: the plan was made for other shards.
    """
    if recipe.data.mixture is not None:
        plan = mixtures.read_plan(Path(recipe.data.mixture))
        mixtures.check_shards(plan, shards)
        return plan
    if recipe.data.sources:
        return mixtures.plan_of_epochs(shards, recipe.data.sources, recipe.seed)
    return None


def make_loader(recipe: Pretrain, shards: Shards, plan: Plan | None) -> Loader:
    """The training loader of a run. An epoch of a plan ends with a whole step."""
    read = None
    if plan is not None:
        read = mixtures.reading(plan, shards, multiple=recipe.batch_sequences)
    return Loader(
        shards, sequence_tokens=recipe.data.sequence_tokens, seed=recipe.seed, mixture=read
    )
