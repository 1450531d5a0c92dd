"""The floors of the house: who may import whom, checked on the syntax trees."""

import ast
from pathlib import Path

import pytest

FOLDERS = {"core": "yanmo", "curate": "yanmo.curate", "vocab": "yanmo.vocab",
           "train": "yanmo.train", "evals": "yanmo.evals"}  # fmt: skip
FLOOR = {"core": 0, "curate": 1, "vocab": 1, "train": 2, "evals": 3}
# curate.pack and curate.mixture count tokens with the target tokenizer.
EXCEPTIONS = {("curate/pack.py", "yanmo.vocab.load"), ("curate/mixture.py", "yanmo.vocab.load")}
BANNED = {"curate", "vocab", "train", "evals", "core"}


def sources(root: Path) -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append(node.module)
    return names


def stage_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "yanmo":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "core"


def test_imports_go_down_only(root: Path) -> None:
    wrong = []
    for path in sources(root):
        mine = path.relative_to(root).parts[0]
        for module in imports(path):
            stage = stage_of(module)
            if stage is None or stage == mine or FLOOR[stage] < FLOOR[mine]:
                continue
            if (path.relative_to(root).as_posix(), module) not in EXCEPTIONS:
                wrong.append(f"{path.relative_to(root)} imports {module}")
    assert wrong == []


def test_no_bare_folder_imports(root: Path) -> None:
    wrong = [
        f"{path.relative_to(root)} imports {module}"
        for path in [*sources(root), *sorted((root / "tests").rglob("*.py"))]
        for module in imports(path)
        if module.split(".")[0] in BANNED
    ]
    assert wrong == []


def test_no_file_named_for_nothing(root: Path) -> None:
    drawers = {"utils.py", "common.py", "helpers.py", "misc.py"}
    assert [p for p in sources(root) if p.name in drawers] == []


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_files_stay_readable(root: Path, folder: str) -> None:
    long = [
        (path.name, count)
        for path in sorted((root / folder).rglob("*.py"))
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 600
    ]
    assert long == []


def test_packages_list_equals_the_folders(root: Path) -> None:
    import tomllib

    listed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    mapping = listed["setuptools"]["package-dir"]
    assert {k: v for k, v in mapping.items() if v in FOLDERS} == {v: k for k, v in FOLDERS.items()}
    assert sorted(listed["setuptools"]["packages"]) == sorted(mapping)
