"""When to stop before the planned end: the held-out loss no longer falls."""

from collections.abc import Sequence

from .heldout import Evaluation
from .recipe import PlateauSettings


def watched(settings: PlateauSettings, evaluation: Evaluation) -> float | None:
    """The figure that is watched; ``None`` if the evaluation has none."""
    kind = evaluation.new if settings.watch == "new_token_loss" else evaluation.every
    return None if kind is None else kind.loss


def reached(settings: PlateauSettings, values: Sequence[float]) -> bool:
    """Whether the last evaluations brought too little.

    Args:
        settings: ``[plateau]`` of the recipe.
        values: the watched figure at each evaluation, oldest first.

    Returns:
        True if the best of the last ``evaluations`` values is not below the best before them by at
        least the share ``gain``.
    """
    if settings.watch is None or len(values) <= settings.evaluations:
        return False
    best = min(values[: -settings.evaluations])
    return min(values[-settings.evaluations :]) > best * (1 - settings.gain)
