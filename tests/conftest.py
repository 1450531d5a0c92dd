"""Shared by all tests: where real data lies, and a place for the numba cache to persist."""

import os
from pathlib import Path

import pytest

from tests.web import article, json_line

ROOT = Path(__file__).resolve().parent.parent


def _realdata() -> Path | None:
    named = os.environ.get("YANMO_REALDATA")
    found = Path(named) if named else ROOT.parent / "shared" / "realdata"
    return found if found.is_dir() else None


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real data, or a skip with the reason."""
    found = _realdata()
    if found is None:
        pytest.skip("no real data: set YANMO_REALDATA to its folder")
    return found


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three records: one that is kept, one that is no JSON, one that is too short."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(json_line(article(1)) + b"not json\n" + json_line("短。"))
    return path
