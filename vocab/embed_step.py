"""The last step of `yanmo vocab grow`, by itself: new code for it redoes no other step."""

from pathlib import Path
from typing import Any

from yanmo.recipe import from_table

from .embed import EmbedOptions, embed_checkpoint


def embed_step(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Grow the checkpoint; writes ``model``. A task function (see ``yanmo.tasks``)."""
    options = from_table(EmbedOptions, parameters["options"], where="[embed]")
    checkpoint, base = Path(parameters["checkpoint"]), Path(parameters["base"])
    return embed_checkpoint(checkpoint, base, inputs[-1].parent, out / "model", options)
