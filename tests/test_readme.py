"""What the README says is true: its tree, its commands, its links."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from readme_tree import OTHERS, parts, tree


def commands(readme: str) -> list[list[str]]:
    """All ``yanmo …`` command lines in its code blocks."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", readme, re.DOTALL)
    lines = [
        line.removeprefix("$ ").split("#")[0].split() for b in blocks for line in b.splitlines()
    ]
    return [line for line in lines if line[:1] == ["yanmo"]]


def test_tree_is_true(root: Path) -> None:
    inside = parts((root / "README.md").read_text(encoding="utf-8"))[1]
    assert inside == tree(), "run: python tests/readme_tree.py --write"
    assert [name for name in OTHERS if not (root / name).is_dir()] == []


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_commands_exist_with_their_options(root: Path, name: str) -> None:
    found = commands((root / name).read_text(encoding="utf-8"))
    assert len(found) >= 6
    import click

    from yanmo.cli import root as command_root

    for words in found:
        context = click.Context(command_root)
        command: click.Command = command_root
        names = iter(words[1:])
        while isinstance(command, click.Group):
            word = next(names)
            inner = command.get_command(context, word)
            assert inner is not None, words
            command = inner
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        used = [word for word in names if re.match(r"--?[a-z]", word)]
        assert [word for word in used if word not in known] == [], words


def test_the_chinese_readme_says_what_the_english_one_says(root: Path) -> None:
    """The same commands, links and tables, and no number that the other does not give."""
    english, chinese = (
        (root / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")
    )
    english = english.replace(parts(english)[1], "")
    assert commands(chinese) == commands(english)
    for pattern in (r"`(\[[^`]*)`", r"\]\((docs/[^)]+)\)"):
        assert set(re.findall(pattern, chinese)) == set(re.findall(pattern, english))
    number = r"\d+(?:\.\d+)*"
    assert set(re.findall(number, chinese)) <= set(re.findall(number, english))


def test_local_links_lead_somewhere(root: Path) -> None:
    for name in ("README.md", "README.zh.md", "CONTRIBUTING.md"):
        text = (root / name).read_text(encoding="utf-8")
        links = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
        assert [link for link in links if not (root / link).exists()] == [], name


def test_version_is_the_same_everywhere(root: Path) -> None:
    import yanmo

    done = subprocess.run(
        [sys.executable, "-m", "yanmo", "--version"], capture_output=True, text=True, check=True
    )
    assert yanmo.__version__ in done.stdout
    assert f'version = "{yanmo.__version__}"' in (root / "pyproject.toml").read_text()
    assert f"[{yanmo.__version__}]" in (root / "CHANGELOG.md").read_text(encoding="utf-8")
