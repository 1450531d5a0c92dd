"""``yanmo curate init``: a recipe with every key, commented with its bounds, help and source."""

import dataclasses
from pathlib import Path
from typing import Any

from yanmo.errors import UsageError
from yanmo.files import atomic_write
from yanmo.recipe import OFF, dumps

from .run_recipe import CurateRecipe


def write_recipe(path: Path) -> None:
    """Write the default recipe.

    Raises:
        UsageError: the file exists.
    """
    if path.exists():
        raise UsageError("the file exists", where=path, fix="Name a new one.")
    with atomic_write(path, text=True) as stream:
        stream.write(commented())


def commented() -> str:
    """The default recipe as TOML, each key with a comment; it loads back to the defaults."""
    notes = _notes(CurateRecipe(), "")
    lines, path = (
        [f'# A recipe for `yanmo curate run`. "{OFF}" turns a threshold off; 0 is zero.'],
        "",
    )
    for line in dumps(CurateRecipe()).splitlines():
        if line.startswith("["):
            path = line.strip("[]") + "."
        key = line.partition(" = ")[0]
        note = notes.get(path + key) if " = " in line else None
        lines.append(f"{line}  # {note}" if note else line)
    return "\n".join(lines) + "\n"


def _notes(recipe: Any, path: str) -> dict[str, str]:
    notes: dict[str, str] = {}
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if dataclasses.is_dataclass(value):
            notes |= _notes(value, f"{path}{field.name}.")
            continue
        said = [field.metadata.get("help"), field.metadata.get("source")]
        if field.metadata.get("choices"):
            said.append("one of " + ", ".join(field.metadata["choices"]))
        notes[path + field.name] = "; ".join(s for s in said if s)
    return notes
