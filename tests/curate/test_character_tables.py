"""The kept tables of characters are what the modules would make, and fit one Unicode only."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from yanmo.code_identity import imports, version_of
from yanmo.curate import character_tables, characters, edits, line_classes, mojibake, scripts


def flat(table: tuple[character_tables.Blocks, character_tables.Blocks]) -> character_tables.Blocks:
    index, blocks = table
    return blocks[index].ravel()


def kept_for(name: str) -> str:
    return str(np.load(character_tables.FILE)[f"{name} for"])


@pytest.mark.skipif(
    kept_for("edits") != unicodedata.unidata_version, reason="made for another Unicode"
)
def test_kept_tables_are_what_would_be_made() -> None:
    assert np.array_equal(flat(characters.class_table()), characters.all_classes())
    assert np.array_equal(flat(scripts.table()), scripts.all_scripts())
    assert np.array_equal(flat(edits.table()), edits.all_edits())
    assert np.array_equal(line_classes.classes(), line_classes.all_classes())
    assert line_classes.classes().dtype == line_classes.all_classes().dtype


@pytest.mark.skipif(kept_for("mojibake own") != version_of("ftfy"), reason="made for another ftfy")
def test_kept_categories_are_those_of_ftfy() -> None:
    for kept, made in zip(mojibake.tables(), mojibake.all_categories(), strict=True):
        assert np.array_equal(kept, made)
        assert kept.dtype == made.dtype


def test_another_unicode_gets_tables_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = np.zeros(0x110000, np.uint8)
    made[0x41] = 7
    monkeypatch.setattr(unicodedata, "unidata_version", "99.0.0")
    assert np.array_equal(flat(character_tables.two_stages("edits", lambda: made)), made)
    lines = made.astype(np.uint16)
    assert character_tables.runs("lines", lambda: lines) is lines
    assert character_tables.runs("mojibake own", lambda: lines, version="0") is lines


def test_a_table_is_no_reason_to_redo_what_needs_another() -> None:
    """What a module imports, also inside functions, is part of the key of every task above it."""
    source = Path(character_tables.__file__).read_bytes()
    assert not [name for name in imports(source, "yanmo.curate") if name.startswith("yanmo")]
