"""Which modules and versions a task's code reaches: as Python's parser and importlib say it."""

import ast
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import pytest

from yanmo.code_identity import code_identity, imports, version_of

PACKAGES = {"core": "yanmo", "curate": "yanmo.curate", "vocab": "yanmo.vocab",
            "train": "yanmo.train", "evals": "yanmo.evals"}  # fmt: skip


def parsed(source: bytes, package: str) -> list[str]:
    """Oracle: every import statement of the syntax tree."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = f"{package}.{node.module}" if node.module else package
            names += [base] if node.module else [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner
                       if node.module == "yanmo" and importlib.util.find_spec(name)]  # fmt: skip
            names += modules or [node.module]
    return names


def sources(root: Path) -> list[tuple[Path, str]]:
    return [(path, package) for folder, package in PACKAGES.items()
            for path in sorted((root / folder).rglob("*.py"))]  # fmt: skip


def test_imports_of_every_module_are_those_of_the_parser(root: Path) -> None:
    found = sources(root)
    assert len(found) > 150
    for path, package in found:
        text = path.read_bytes()
        assert sorted(imports(text, package)) == sorted(parsed(text, package)), path


AWKWARD = b'''"""A page.

import never
from nowhere import nothing
"""
import os, sys as system  # import this
from pathlib import (  # from here
    Path as P,  # from there
    PurePath,
)
if True:
    import json

def f():
    text = "import not_this"; other = 'it\\'s # no comment'
    """
    from docs import examples
    """
    from . import cousin, niece as n
    from .uncle import aunt
    from yanmo import files, no_such_module_of_ours
    from yanmo.errors import DataError
    # import commented
    importlib = from_table = 3
    return "\\\\" + '"""' + "import x"

import   spaced
'''


def test_strings_comments_and_line_ends_do_not_deceive() -> None:
    expected = ["os", "sys", "pathlib", "json", "house.cousin", "house.niece", "house.uncle",
                "yanmo.files", "yanmo.errors", "spaced"]  # fmt: skip
    assert imports(AWKWARD, "house") == expected
    assert sorted(parsed(AWKWARD, "house")) == sorted(expected)


def test_versions_are_those_of_importlib(root: Path) -> None:
    tops = {name.partition(".")[0] for path, package in sources(root)
            for name in imports(path.read_bytes(), package)}  # fmt: skip
    assert {"numpy", "fasttext", "opencc", "lxml"} <= tops
    known = importlib.metadata.packages_distributions()
    for top in tops - {"yanmo"}:
        builtin = top in sys.stdlib_module_names
        found = [] if builtin else known.get(top, [])
        expected = importlib.metadata.version(found[0]) if found else ""
        assert version_of(top) == expected, top


@pytest.mark.parametrize("name", ["no_such_package_of_anybody", "json"])
def test_no_version_is_none(name: str) -> None:
    assert version_of(name) == ""


def test_modules_that_import_a_constant_of_their_package_have_an_identity(root: Path) -> None:
    """``from . import PRELOAD`` names no module; clusters.parquet could not be made for it."""
    users = [
        path for path in (root / "curate").glob("*.py") if "import PRELOAD" in path.read_text()
    ]
    assert users
    for path in users:
        assert len(code_identity(f"yanmo.curate.{path.stem}")) == 64
