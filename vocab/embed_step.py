"""The last step of `yanmo vocab grow`, by itself: new code for it redoes no other step."""

from pathlib import Path
from typing import Any

from yanmo.recipe import from_table

from .embed import EmbedOptions, embed_checkpoint
from .grow_inputs import paths


def embed_step(inputs: list[Path], parameters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Grow the checkpoint; writes ``model``. A task function (see ``yanmo.tasks``)."""
    options = from_table(EmbedOptions, parameters["options"], where="[embed]")
    given = {name: some[0] for name, some in paths(inputs, parameters["given"]).items()}
    return embed_checkpoint(
        given["checkpoint"], given["base"], given["grown"], out / "model", options
    )
