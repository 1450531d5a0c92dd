"""The tests that docs/capabilities.md names are there."""

import re
from pathlib import Path


def test_every_named_test_exists(root: Path) -> None:
    page = (root / "docs" / "capabilities.md").read_text(encoding="utf-8")
    missing, found = [], 0
    for row in page.splitlines():
        file = ""
        for path, name in re.findall(r"`([\w/]+\.py|…)::(\w+)`", row):
            file = file if path == "…" else path
            source = root / "tests" / file
            found += 1
            if not source.is_file() or f"def {name}(" not in source.read_text(encoding="utf-8"):
                missing.append(f"{file}::{name}")
    assert found > 80
    assert missing == []


def test_what_has_no_test_says_no_or_why(root: Path) -> None:
    """A row without a test is a plain no."""
    page = (root / "docs" / "capabilities.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("| ") and "| test |" not in row]
    assert [row for row in rows if ".py::" not in row and "**no**" not in row] == []
