"""``yanmo curate init``: a recipe with every key, or a published one, values with sources."""

import dataclasses
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from yanmo.errors import UsageError
from yanmo.files import atomic_write
from yanmo.recipe import OFF, did_you_mean, dumps

from .run_recipe import CurateRecipe

PUBLISHED_RECIPES: Final = (
    "gopher-quality",
    "gopher-repetition",
    "c4",
    "fineweb",
    "fineweb-en",
    "fineweb2-zh",
    "map-neo-zh",
    "chinesewebtext",
)
"""Recipes of ``curate/recipes``: thresholds and readings of one publication each."""
WEB_RECIPES: Final = ("zh-web", "en-web")
"""And two for pages of the web, on top of the default thresholds."""


def write_recipe(path: Path, name: str | None = None) -> None:
    """Write the default recipe, or a published one.

    Args:
        path: a new file.
        name: one of ``PUBLISHED_RECIPES`` or ``WEB_RECIPES``.

    Raises:
        UsageError: the file exists, or there is no such recipe.
    """
    if path.exists():
        raise UsageError("the file exists", where=path, fix="Name a new one.")
    text = published(name) if name else commented()
    with atomic_write(path, text=True) as stream:
        stream.write(text)


def published(name: str) -> str:
    """A recipe that comes with the package, as TOML.

    Raises:
        UsageError: there is no such recipe.
    """
    known = (*WEB_RECIPES, *PUBLISHED_RECIPES)
    if name not in known:
        raise UsageError("no such recipe", value=name,
                         fix=did_you_mean(name, known))  # fmt: skip
    return files("yanmo.curate").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")


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
