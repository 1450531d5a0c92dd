"""The tree in the README, made from the first line of every module. ``--write`` updates it."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- tree -->\n```\n", "```\n<!-- /tree -->"
FOLDERS = {
    "core": "import yanmo: the ground floor; knows no stage",
    "curate": "import yanmo.curate: pages in; clean documents and token shards out",
    "vocab": "import yanmo.vocab: text in; tokenizers and grown vocabularies out",
    "train": "import yanmo.train: token shards in; checkpoints out (torch)",
    "evals": "import yanmo.evals: a checkpoint in; scores and reports out",
}
OTHERS = {
    "bench": "side-by-side speed against peers",
    "docs": "what was tried, measured and concluded (log.md); documents judged by eye (reading/)",
    "examples": "recipes to copy",
    "fixtures": "inputs written for this project; demo/ (yanmo.sample) is the bundled sample",
    "tests": "mirrors the folders, plus tests of the promises made here",
}


def first_line(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    line = " ".join(text.split("\n\n")[0].split())
    return line if len(line) <= 78 else line[:77].rsplit(" ", 1)[0] + " …"


def tree() -> str:
    """The tree as text."""
    lines = []
    for folder, meaning in FOLDERS.items():
        lines.append(f"{folder + '/':<24}{meaning}")
        for path in sorted((ROOT / folder).glob("*.py")):
            if path.name != "__init__.py":
                lines.append(f"  {path.name:<22}{first_line(path)}")
    lines += [f"{name + '/':<24}{meaning}" for name, meaning in OTHERS.items()]
    return "\n".join(lines) + "\n"


def parts(readme: str) -> tuple[str, str, str]:
    """The README before, inside and after its tree."""
    head, _, rest = readme.partition(BEGIN)
    inside, _, tail = rest.partition(END)
    return head, inside, tail


if __name__ == "__main__":
    target = ROOT / "README.md"
    before, _, after = parts(target.read_text(encoding="utf-8"))
    if "--write" in sys.argv:
        target.write_text(before + BEGIN + tree() + END + after, encoding="utf-8")
